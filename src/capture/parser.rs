//! An incremental parser of captures: it takes bytes in chunks of any size, and every
//! line becomes an event or is counted in the tally.

use std::io::{self, Read};

use super::line::{Line, Row, is_truncated, is_wrapped_users, parse_line};
use super::proc::{ProcLine, parse_named_owner};
use super::proc_join::{Counted, Joined, ProcCapture};
use super::processes::Processes;
use crate::model::node::{RejectReason, Tally};

/// The longest line that is parsed, far above any row of `ss`. The text of longer lines
/// is dropped, so that memory use is bounded.
pub const LINE_MAX: usize = 1 << 20;

/// An event of the parser, in the order of the capture. The rows of tables in `/proc` follow
/// at the end of the capture, or above the next marker line, when their processes are known.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A marker line `>> node NAME <<`: the rows below it belong to this node.
    Node {
        /// The line number, from 1.
        number: u64,
        /// The name, as written in the line.
        name: &'a [u8],
        /// The counts of the lines above it.
        above: Tally,
        /// The offsets of the line in the capture: its first byte, and that of the next line.
        range: (u64, u64),
    },
    /// A socket row.
    Row(Row<'a>),
    /// The end of a capture of `/proc`, whose rows precede it.
    Joined(Joined),
    /// A rejected line: neither a row, a continuation line, column headings nor a marker
    /// line.
    Rejected {
        /// The line number, from 1.
        number: u64,
        /// Why it was rejected.
        reason: RejectReason,
        /// The text of the line.
        text: &'a [u8],
    },
}

/// How many bytes are requested from the reader at a time.
const CHUNK: usize = 256 << 10;

/// A parser of one capture, which it splits into lines.
#[derive(Debug, Default)]
pub struct Parser {
    /// Bytes that were read and not parsed yet, up to `filled`. Between two reads these
    /// are at most one row and the line below it.
    buffer: Vec<u8>,
    filled: usize,
    /// The offset in `buffer` at which the incomplete last line begins.
    line: usize,
    /// The number of bytes above the line that is parsed.
    offset: u64,
    /// Whether the rest of the incomplete line is dropped, since it is too long.
    skipping: bool,
    /// Whether the previous line was a row or a continuation of one.
    in_row: bool,
    /// Whether the processes of the previous line, a row, are on the next line.
    is_wrapped: bool,
    /// The lines of a capture of `/proc`, whose rows were not passed on yet.
    proc: Option<Box<ProcCapture>>,
    tally: Tally,
}

impl Parser {
    /// A parser at the beginning of a capture.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads once from `reader` and passes the events of the complete lines to `sink`.
    /// Returns how many bytes were read: 0 at the end of the capture.
    ///
    /// # Errors
    /// If `reader` fails.
    pub fn read_from(
        &mut self,
        reader: &mut impl Read,
        sink: &mut impl FnMut(Event<'_>),
    ) -> io::Result<usize> {
        if self.buffer.len() < self.filled + CHUNK {
            self.buffer.resize(self.filled + CHUNK, 0);
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = reader.read(&mut buffer[self.filled..]);
        if let Ok(read) = &result {
            let fresh = self.filled;
            self.filled += read;
            self.parse_buffer(&mut buffer, fresh, sink);
        }
        self.buffer = buffer;
        result
    }

    /// Parses what remains at the end of the capture, and returns the counts of all lines.
    pub fn finish(mut self, sink: &mut impl FnMut(Event<'_>)) -> Tally {
        let mut bytes = std::mem::take(&mut self.buffer);
        bytes.truncate(self.filled);
        let end = match bytes.last() {
            Some(b'\n') | None => End::LineFeed,
            Some(_) => End::NoLineFeed,
        };
        if end == End::NoLineFeed {
            bytes.push(b'\n');
        }
        self.parse_lines(&bytes, end, sink);
        self.join(sink);
        self.tally
    }

    /// Parses the complete lines in `buffer` and keeps the rest. The bytes from `fresh` on
    /// have just been read.
    fn parse_buffer(&mut self, buffer: &mut [u8], fresh: usize, sink: &mut impl FnMut(Event<'_>)) {
        let mut begin = 0;
        // Without a line feed in the new bytes, no line has become complete. The old bytes
        // are not searched again.
        if let Some(end) = memchr::memrchr(b'\n', &buffer[fresh..self.filled]) {
            if self.skipping {
                self.skipping = false;
                let first = memchr::memchr(b'\n', &buffer[..self.filled]);
                begin = first.map_or(self.filled, |end| end + 1);
                self.offset += begin as u64;
            }
            self.line = fresh + end + 1;
            begin += self.parse_lines(&buffer[begin..self.filled], End::Open, sink);
        }
        if self.skipping {
            self.offset += (self.filled - begin) as u64;
            begin = self.filled;
        } else if self.filled - self.line > LINE_MAX {
            // First parse the row, if any, that was waiting for this line to be complete.
            begin += self.parse_lines(&buffer[begin..self.filled], End::Open, sink);
            self.reject(RejectReason::TooLong, &buffer[begin..self.filled], sink);
            self.skipping = true;
            self.offset += (self.filled - begin) as u64;
            begin = self.filled;
        }
        buffer.copy_within(begin..self.filled, 0);
        self.filled -= begin;
        self.line = self.line.saturating_sub(begin);
    }

    /// Parses all complete lines in `bytes` and returns how many bytes they occupy.
    fn parse_lines(&mut self, bytes: &[u8], input_end: End, sink: &mut impl FnMut(Event<'_>)) -> usize {
        let mut used = 0;
        while let Some(end) = memchr::memchr(b'\n', &bytes[used..]) {
            let line = &bytes[used..used + end];
            let below = &bytes[used + end + 1..];
            let mut is_wrapped = false;
            let has_named_owners = self.proc.as_ref().is_some_and(|proc| proc.has_named_owners);
            let named_owner = if has_named_owners { parse_named_owner(line) } else { None };
            let mut parsed = match named_owner {
                _ if line.len() > LINE_MAX => Line::Rejected(RejectReason::TooLong),
                Some(owner) => Line::Proc(owner),
                None => parse_line(line),
            };
            if let Line::Row(row) = &mut parsed
                && row.processes.is_empty()
                && !row.is_conntrack()
            {
                match users_in_next_line(below) {
                    NextLine::Users(users) => {
                        row.processes = if row.has_state() { users } else { users.without_state() };
                        is_wrapped = true;
                    }
                    NextLine::Other => {}
                    NextLine::Incomplete if input_end != End::Open || below.len() > LINE_MAX => {}
                    NextLine::Incomplete => break,
                }
            }
            if input_end == End::NoLineFeed && below.is_empty() && is_truncated(line, &parsed) {
                parsed = Line::Rejected(RejectReason::BrokenRow);
            }
            used += end + 1;
            if matches!(parsed, Line::Continuation) && is_wrapped_users(line) && !self.is_wrapped {
                // The row of these processes is not in the line above.
                parsed = Line::Rejected(RejectReason::BrokenRow);
            }
            self.is_wrapped = is_wrapped;
            self.emit(parsed, line, sink);
            self.offset += end as u64 + 1;
        }
        used
    }

    /// Counts a parsed line and passes its event, if it has one, to `sink`.
    fn emit(&mut self, parsed: Line<'_>, line: &[u8], sink: &mut impl FnMut(Event<'_>)) {
        let was_in_row = std::mem::replace(&mut self.in_row, false);
        if let (Some(proc), false) = (&mut self.proc, matches!(parsed, Line::Proc(_))) {
            proc.other_line();
        }
        match parsed {
            Line::Row(row) => {
                self.in_row = true;
                self.tally.rows += 1;
                sink(Event::Row(row));
            }
            Line::Continuation if was_in_row => {
                self.in_row = true;
                self.tally.continuations += 1;
            }
            Line::Continuation => self.reject(RejectReason::NotARow, line, sink),
            Line::Header => self.tally.headers += 1,
            Line::Proc(parsed) => self.add_proc(parsed, line, sink),
            Line::Node(name) => {
                self.join(sink);
                let above = self.tally;
                self.tally.headers += 1;
                let range = (self.offset, self.offset + line.len() as u64 + 1);
                sink(Event::Node { number: self.tally.lines(), name, above, range });
            }
            Line::Rejected(reason) => self.reject(reason, line, sink),
        }
    }

    /// Counts a line of a capture of `/proc` and keeps it.
    fn add_proc(&mut self, parsed: ProcLine<'_>, line: &[u8], sink: &mut impl FnMut(Event<'_>)) {
        if parsed == ProcLine::Begin {
            // Another capture, maybe of another machine, with inodes and processes of its own.
            self.join(sink);
        }
        let at = self.tally.lines() + 1;
        match self.proc.get_or_insert_default().add(parsed, at) {
            Counted::Header => self.tally.headers += 1,
            Counted::Row => self.tally.rows += 1,
            Counted::Continuation => self.tally.continuations += 1,
            Counted::Broken => self.reject(RejectReason::BrokenRow, line, sink),
            Counted::Other => self.reject(RejectReason::NotARow, line, sink),
        }
    }

    /// Passes the rows of a capture of `/proc`, if there is one, to `sink`.
    fn join(&mut self, sink: &mut impl FnMut(Event<'_>)) {
        if let Some(proc) = self.proc.take() {
            let joined = proc.finish(|row| sink(Event::Row(row)));
            sink(Event::Joined(joined));
        }
    }

    fn reject(&mut self, reason: RejectReason, text: &[u8], sink: &mut impl FnMut(Event<'_>)) {
        self.tally.rejected += 1;
        sink(Event::Rejected { number: self.tally.lines(), reason, text });
    }
}

/// What follows the bytes that are parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Possibly more bytes.
    Open,
    /// The end of the capture, after a line feed.
    LineFeed,
    /// The end of the capture, in the middle of a line.
    NoLineFeed,
}

/// The line below a row that lists no process.
enum NextLine<'a> {
    /// The row's processes, wrapped by a narrow terminal.
    Users(Processes<'a>),
    /// Anything else.
    Other,
    /// Unknown: the line is not complete yet.
    Incomplete,
}

fn users_in_next_line(below: &[u8]) -> NextLine<'_> {
    match below.first() {
        None => NextLine::Incomplete,
        Some(b' ' | b'\t' | b'u') => match memchr::memchr(b'\n', below) {
            None => NextLine::Incomplete,
            Some(end) if is_wrapped_users(&below[..end]) => {
                NextLine::Users(Processes::from_ss(below[..end].trim_ascii()))
            }
            Some(_) => NextLine::Other,
        },
        Some(_) => NextLine::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The events of a capture, as text, and its tally; the capture is read in chunks of
    /// `size` bytes.
    fn events(text: &[u8], size: usize) -> (Vec<String>, Tally) {
        let mut events = Vec::new();
        let mut sink = |event: Event<'_>| {
            events.push(match event {
                Event::Node { number, name, .. } => {
                    format!("{number} node {}", String::from_utf8_lossy(name))
                }
                Event::Row(row) => {
                    let comms: Vec<_> = row
                        .processes
                        .map(|process| String::from_utf8_lossy(process.comm).into_owned())
                        .collect();
                    format!("{} {}", row.socket.peer, comms.join("+"))
                }
                Event::Joined(joined) => format!("{joined:?}"),
                Event::Rejected { number, reason, text } => format!("{number} {reason:?} {}", text.len()),
            });
        };
        let mut parser = Parser::new();
        for mut chunk in text.chunks(size) {
            while parser.read_from(&mut chunk, &mut sink).expect("memory can be read") > 0 {}
        }
        let tally = parser.finish(&mut sink);
        (events, tally)
    }

    #[test]
    fn chunk_size_does_not_change_the_result() {
        let text = b"banner\n>> node n1 <<\nState Recv-Q Send-Q Local Address:Port Peer Address:Port\n\
            ESTAB 0 0 1.1.1.1:1 2.2.2.2:443 users:((\"kubelet\",pid=1,fd=2))\n\t bbr\n\
            ESTAB 0 0 1.1.1.1:2 3.3.3.3:443\n      users:((\"kube-proxy\",pid=1,fd=2))\n\
            ESTAB 0 0 1.1.1.1:3 4.4.4.4:443\n\n\t stray\r\nESTAB 0 0 1.1.1.1:4 5.5.5.5:443 users:((\"sshd\",pid=1,fd=2))";
        let whole = events(text, usize::MAX);
        assert_eq!(
            whole.0,
            [
                "1 NotARow 6",
                "2 node n1",
                "2.2.2.2:443 kubelet",
                "3.3.3.3:443 kube-proxy",
                "4.4.4.4:443 ",
                "9 Blank 0",
                "10 NotARow 8",
                "5.5.5.5:443 sshd",
            ]
        );
        assert_eq!(whole.1, Tally { headers: 2, rows: 4, continuations: 2, rejected: 3 });
        for size in 1..text.len() {
            assert_eq!(events(text, size), whole, "chunks of {size}");
        }
    }

    #[test]
    fn marker_lines_have_their_place() {
        let long = format!("first\n{}\n>> node n1 <<\nrow\n>> node n2 <<\n", "x".repeat(2 * LINE_MAX));
        for size in [7, 4096, usize::MAX] {
            let mut ranges = Vec::new();
            let mut sink = |event: Event<'_>| {
                if let Event::Node { range, .. } = event {
                    ranges.push(range);
                }
            };
            let mut parser = Parser::new();
            for mut chunk in long.as_bytes().chunks(size) {
                while parser.read_from(&mut chunk, &mut sink).expect("memory can be read") > 0 {}
            }
            parser.finish(&mut sink);
            let begin = long.find(">> node n1").expect("a marker line") as u64;
            assert_eq!(ranges, [(begin, begin + 14), (begin + 18, begin + 32)], "{size}");
        }
    }

    /// Every prefix of a capture is tested. One that ends between lines, or after the last
    /// byte of a row, is not truncated.
    #[test]
    fn truncated_captures_are_detected() {
        let capture = "State      Recv-Q Send-Q Local Address:Port  Peer Address:Port Process\n\
            ESTAB      0      0      10.0.0.1:1          10.0.0.2:443      users:((\"kubelet\",pid=1,fd=2))\n\
            TIME-WAIT  0      0      10.0.0.1:2          10.0.0.2:443\n\
            tcp  LISTEN 0  128  [::]:22  [::]:*  users:((\"sshd\",pid=7,fd=3),(\"sshd\",pid=8,fd=3))\n\
            ESTAB      0      0      10.0.0.1:3          10.0.0.2:443\n\
            \u{20}          users:((\"kube-proxy\",pid=1,fd=2))\n";
        let header_end = capture.find('\n').expect("column headings");
        let broken = |length: usize| {
            let (events, _) = events(&capture.as_bytes()[..length], usize::MAX);
            events.iter().any(|event| event.contains("BrokenRow"))
        };
        for length in header_end + 1..=capture.len() {
            let (_, line) = capture[..length].rsplit_once('\n').expect("column headings");
            let is_blank = line.trim().is_empty();
            let is_complete = is_blank || line.ends_with("))");
            assert_eq!(broken(length), !is_complete, "{line:?}");
        }
        let netstat = "tcp        0      0 10.0.0.1:1     10.0.0.2:443     ESTABLISHED 1/kubelet  \n";
        for length in 1..netstat.len() {
            let (events, _) = events(&netstat.as_bytes()[..length], usize::MAX);
            let is_complete = netstat[..length].contains("kubelet ");
            assert_eq!(!events[0].contains("BrokenRow"), is_complete, "{events:?}");
        }
    }

    /// A row that is broken over two lines at any position is read, or makes the capture
    /// incomplete.
    #[test]
    fn rows_broken_over_two_lines_are_detected() {
        for row in [
            "ESTAB 0 0 10.0.0.1:42801 3.39.1.1:443 users:((\"kubelet\",pid=3011,fd=44))",
            "tcp ESTAB 0 0 [::ffff:10.0.0.1]:10250 [2001:db8::1]:443 users:((\"kubelet\",pid=3011,fd=44))",
            "SYN-SENT 0 1 10.0.0.1:42801 3.39.1.1:443 users:((\"kubelet\",3011,44),(\"b\",3,4))",
            "0 0 10.0.0.1:42801 3.39.1.1:443 users:((\"kubelet\",pid=3011,fd=44))",
            "tcp        0      0 10.0.0.1:42801   3.39.1.1:443  ESTABLISHED 3011/kubelet ",
        ] {
            // netstat does not mark the end of a name, so a broken name is a shorter one.
            let end = row.rfind('/').map_or(row.len(), |slash| slash + 2);
            for at in 1..end {
                let (first, second) = row.split_at(at);
                let (events, tally) = events(format!("{first}\n{second}\n\n").as_bytes(), usize::MAX);
                let is_broken = events.iter().any(|event| event.contains("BrokenRow"));
                let is_whole = tally.rows == 1 && events.iter().any(|event| event.contains("443 kubelet"));
                assert!(is_broken || is_whole, "{first:?} {second:?}: {events:?}");
            }
        }
    }

    #[test]
    fn processes_of_a_row_that_is_missing_are_detected() {
        let row = "ESTAB 0 0 10.0.0.1:1 10.0.0.2:443";
        let users = "users:((\"kubelet\",pid=1,fd=2))";
        for (text, is_broken) in [
            (format!("{row}\n  {users}\n"), false),
            (format!("{row} {users}\n  {users}\n"), true),
            (format!("{row}\n  {users}\n  {users}\n"), true),
            (format!("{users}\n"), true),
        ] {
            for size in [1, usize::MAX] {
                let (events, _) = events(text.as_bytes(), size);
                assert_eq!(events.iter().any(|event| event.contains("BrokenRow")), is_broken, "{text}");
            }
        }
    }

    #[test]
    fn overlong_lines_are_counted_and_dropped() {
        let mut text = b"ESTAB 0 0 1.1.1.1:1 2.2.2.2:443\n".to_vec();
        text.extend(std::iter::repeat_n(b' ', 3 * LINE_MAX));
        text.extend(b"\nESTAB 0 0 1.1.1.1:1 3.3.3.3:443\n");
        // In chunks that are smaller and larger than a line.
        for size in [16, 4096, LINE_MAX, usize::MAX] {
            let (events, tally) = events(&text, size);
            assert_eq!(events[0], "2.2.2.2:443 ", "{size}");
            assert!(events[1].starts_with("2 TooLong"), "{size}: {events:?}");
            assert_eq!(events[2], "3.3.3.3:443 ", "{size}");
            assert_eq!(tally, Tally { headers: 0, rows: 2, continuations: 0, rejected: 1 }, "{size}");
        }
    }
}
