//! A capture: bytes in chunks of any size, every line accounted for.

use std::io::{self, Read};

use super::line::{Line, Row, is_cut, is_wrapped_users, parse_line};
use super::processes::Processes;
use crate::model::node::{RejectReason, Tally};

/// No line of `ss` is longer; what is longer is not kept in memory.
pub const LINE_MAX: usize = 1 << 20;

/// What a capture holds, in order.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// `>> node NAME <<`: the rows that follow are of this node.
    Node {
        /// The line's number, from 1.
        number: u64,
        /// The name, as it stands there.
        name: &'a [u8],
        /// How the lines above ended.
        above: Tally,
    },
    /// A socket.
    Row(Row<'a>),
    /// A line that is none.
    Rejected {
        /// Its number, from 1.
        number: u64,
        /// Why it is none.
        reason: RejectReason,
        /// The line.
        text: &'a [u8],
    },
}

/// How much of a capture is read at a time.
const CHUNK: usize = 256 << 10;

/// Splits a capture into lines and understands each.
#[derive(Debug, Default)]
pub struct Parser {
    /// Bytes read and not done with are those before `filled`: between two
    /// reads at most a row and the line below it.
    buffer: Vec<u8>,
    filled: usize,
    /// Where the line under way begins.
    line: usize,
    /// Whether the rest of the line under way is dropped.
    skipping: bool,
    /// Whether the last line was a row or belonged to one.
    in_row: bool,
    tally: Tally,
}

impl Parser {
    /// A parser at the beginning of a capture.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads once from `reader` and takes what that gives. Says how many bytes
    /// those were: 0 at the end.
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
            self.take(&mut buffer, fresh, sink);
        }
        self.buffer = buffer;
        result
    }

    /// Takes the end of the capture.
    pub fn finish(mut self, sink: &mut impl FnMut(Event<'_>)) -> Tally {
        let mut bytes = std::mem::take(&mut self.buffer);
        bytes.truncate(self.filled);
        let end = match bytes.last() {
            Some(b'\n') | None => End::Whole,
            Some(_) => End::WithoutLineFeed,
        };
        if end == End::WithoutLineFeed {
            bytes.push(b'\n');
        }
        self.lines(&bytes, end, sink);
        self.tally
    }

    /// Takes the bytes from `fresh` on, which have just been read.
    fn take(&mut self, buffer: &mut [u8], fresh: usize, sink: &mut impl FnMut(Event<'_>)) {
        let mut begin = 0;
        // Nothing comes whole without a line feed; what was looked at before is
        // not looked at again.
        if let Some(end) = memchr::memrchr(b'\n', &buffer[fresh..self.filled]) {
            if self.skipping {
                self.skipping = false;
                let first = memchr::memchr(b'\n', &buffer[..self.filled]);
                begin = first.map_or(self.filled, |end| end + 1);
            }
            self.line = fresh + end + 1;
            begin += self.lines(&buffer[begin..self.filled], End::NotYet, sink);
        }
        if self.skipping {
            begin = self.filled;
        } else if self.filled - self.line > LINE_MAX {
            // The row above, if one waits, has now seen enough of this line.
            begin += self.lines(&buffer[begin..self.filled], End::NotYet, sink);
            self.reject(RejectReason::TooLong, &buffer[begin..self.filled], sink);
            self.skipping = true;
            begin = self.filled;
        }
        buffer.copy_within(begin..self.filled, 0);
        self.filled -= begin;
        self.line = self.line.saturating_sub(begin);
    }

    /// Understands every line that has come whole; says how many bytes those are.
    fn lines(&mut self, bytes: &[u8], end_of_all: End, sink: &mut impl FnMut(Event<'_>)) -> usize {
        let mut used = 0;
        while let Some(end) = memchr::memchr(b'\n', &bytes[used..]) {
            let line = &bytes[used..used + end];
            let below = &bytes[used + end + 1..];
            let mut parsed =
                if line.len() > LINE_MAX { Line::Rejected(RejectReason::TooLong) } else { parse_line(line) };
            if let Line::Row(row) = &mut parsed
                && row.processes.is_empty()
            {
                match users_below(below) {
                    Below::Users(users) => row.processes = users,
                    Below::Else => {}
                    Below::NotYet if end_of_all != End::NotYet || below.len() > LINE_MAX => {}
                    Below::NotYet => break,
                }
            }
            if end_of_all == End::WithoutLineFeed && below.is_empty() && is_cut(line, &parsed) {
                parsed = Line::Rejected(RejectReason::BrokenRow);
            }
            used += end + 1;
            self.account(parsed, line, sink);
        }
        used
    }

    fn account(&mut self, parsed: Line<'_>, line: &[u8], sink: &mut impl FnMut(Event<'_>)) {
        let was_in_row = std::mem::replace(&mut self.in_row, false);
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
            Line::Node(name) => {
                let above = self.tally;
                self.tally.headers += 1;
                sink(Event::Node { number: self.tally.lines(), name, above });
            }
            Line::Rejected(reason) => self.reject(reason, line, sink),
        }
    }

    fn reject(&mut self, reason: RejectReason, text: &[u8], sink: &mut impl FnMut(Event<'_>)) {
        self.tally.rejected += 1;
        sink(Event::Rejected { number: self.tally.lines(), reason, text });
    }
}

/// How what is to be understood ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// More may follow.
    NotYet,
    /// With the capture, and a line feed.
    Whole,
    /// With the capture, in the midst of a line.
    WithoutLineFeed,
}

/// What stands in the line below a row that names no process.
enum Below<'a> {
    /// The row's processes, wrapped by a narrow terminal.
    Users(Processes<'a>),
    /// Anything else.
    Else,
    /// The line has not come whole.
    NotYet,
}

fn users_below(below: &[u8]) -> Below<'_> {
    match below.first() {
        None => Below::NotYet,
        Some(b' ' | b'\t' | b'u') => match memchr::memchr(b'\n', below) {
            None => Below::NotYet,
            Some(end) if is_wrapped_users(&below[..end]) => {
                Below::Users(Processes::of_ss(below[..end].trim_ascii()))
            }
            Some(_) => Below::Else,
        },
        Some(_) => Below::Else,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every event in words, and the tally, of a capture fed in chunks of `size`.
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
    fn chunks_of_any_size_give_the_same() {
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

    /// But for a cut between lines, or behind a row's last byte.
    #[test]
    fn a_capture_that_stops_anywhere_is_cut() {
        let capture = "State      Recv-Q Send-Q Local Address:Port  Peer Address:Port Process\n\
            ESTAB      0      0      10.0.0.1:1          10.0.0.2:443      users:((\"kubelet\",pid=1,fd=2))\n\
            TIME-WAIT  0      0      10.0.0.1:2          10.0.0.2:443\n\
            tcp  LISTEN 0  128  [::]:22  [::]:*  users:((\"sshd\",pid=7,fd=3),(\"sshd\",pid=8,fd=3))\n\
            ESTAB      0      0      10.0.0.1:3          10.0.0.2:443\n\
            \u{20}          users:((\"kube-proxy\",pid=1,fd=2))\n";
        let heads = capture.find('\n').expect("heads");
        let broken = |length: usize| {
            let (events, _) = events(&capture.as_bytes()[..length], usize::MAX);
            events.iter().any(|event| event.contains("BrokenRow"))
        };
        for length in heads + 1..=capture.len() {
            let (_, line) = capture[..length].rsplit_once('\n').expect("heads");
            let is_blank = line.trim().is_empty();
            let is_whole = is_blank || line.ends_with("))");
            assert_eq!(broken(length), !is_whole, "{line:?}");
        }
        let netstat = "tcp        0      0 10.0.0.1:1     10.0.0.2:443     ESTABLISHED 1/kubelet  \n";
        for length in 1..netstat.len() {
            let (events, _) = events(&netstat.as_bytes()[..length], usize::MAX);
            let is_whole = netstat[..length].contains("kubelet ");
            assert_eq!(!events[0].contains("BrokenRow"), is_whole, "{events:?}");
        }
    }

    #[test]
    fn a_line_without_end_is_counted_and_not_kept() {
        let mut text = b"ESTAB 0 0 1.1.1.1:1 2.2.2.2:443\n".to_vec();
        text.extend(std::iter::repeat_n(b' ', 3 * LINE_MAX));
        text.extend(b"\nESTAB 0 0 1.1.1.1:1 3.3.3.3:443\n");
        // In pieces of any size, whole lines among them.
        for size in [16, 4096, LINE_MAX, usize::MAX] {
            let (events, tally) = events(&text, size);
            assert_eq!(events[0], "2.2.2.2:443 ", "{size}");
            assert!(events[1].starts_with("2 TooLong"), "{size}: {events:?}");
            assert_eq!(events[2], "3.3.3.3:443 ", "{size}");
            assert_eq!(tally, Tally { headers: 0, rows: 2, continuations: 0, rejected: 1 }, "{size}");
        }
    }
}
