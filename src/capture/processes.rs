//! The processes that have a socket open, as a row lists them.
//!
//! `ss` prints `users:(("comm",pid=1,fd=2),...)`, with `tid=` or `proc_ctx=` between
//! `pid=` and `fd=` if requested; before iproute2 4.x `users:(("comm",1,2),...)`.
//! `comm` is printed without escaping, and a process can set its 15 bytes freely, so
//! the name may contain quotes, parentheses, or text that imitates the end of its own
//! entry.
//!
//! `netstat` prints `1/name`, or `-` if it lacks the permission to read the process.
//!
//! The processes of a socket in `/proc` are joined to the same form, each with a NUL behind
//! it, which no name contains.

use super::address::decimal;
use super::bytes::{self, digits};

/// The longest `comm`: the kernel's `TASK_COMM_LEN` without the final NUL.
const COMM_MAX: usize = 15;

/// A process as a row lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process<'a> {
    /// Its `comm`: arbitrary bytes, set by the process itself.
    pub comm: &'a [u8],
    pid: &'a [u8],
}

impl Process<'_> {
    /// Its process id; `None` if it is missing or out of range.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        decimal(self.pid)
    }
}

/// The processes of a row, parsed lazily.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Processes<'a> {
    form: Form,
    text: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Ss,
    /// The row lacks the column of the state, as with `ss state X`.
    SsWithoutState,
    Netstat,
    Proc,
    Conntrack,
}

/// The start of the column that lists the processes in a row of `ss`.
pub(super) const USERS: &[u8] = b"users:((";

impl<'a> Processes<'a> {
    /// The processes in a column `users:(("...))`, which is the whole text.
    #[inline]
    pub(super) fn of_column(text: &'a [u8]) -> Option<Self> {
        let entries = text.strip_prefix(USERS)?;
        let is_whole = entries.first() == Some(&b'"') && entries.ends_with(b"))");
        is_whole.then_some(Self { form: Form::Ss, text: &text[USERS.len() - 1..] })
    }

    /// The processes in `rest`, the text after the peer address in a row of `ss`.
    pub(super) fn from_ss(rest: &'a [u8]) -> Self {
        // Usually the first column in `rest`; old versions print the timer before it.
        let text = if rest.starts_with(USERS) {
            &rest[USERS.len() - 1..]
        } else {
            match memchr::memmem::find(rest, USERS) {
                Some(start) => &rest[start + USERS.len() - 1..],
                None => &[],
            }
        };
        Self { form: Form::Ss, text }
    }

    /// The processes in `rest`, the text after the state in a row of `netstat`.
    pub(super) fn from_netstat(rest: &'a [u8]) -> Self {
        // With -e, user and inode precede the process; with -o, a timer follows it.
        let start = rest.iter().enumerate().position(|(index, byte)| {
            let is_token_start = index == 0 || rest[index - 1] == b' ';
            is_token_start && byte.is_ascii_digit() && {
                let (_, after) = digits(&rest[index..]);
                after.first() == Some(&b'/')
            }
        });
        let text = start.map_or(&[][..], |start| &rest[start..]);
        let end = memchr::memmem::find(text, b"  ").unwrap_or(text.len());
        let mut text = &text[..end];
        for timer in [&b" off ("[..], b" keepalive (", b" on (", b" timewait (", b" unkn-"] {
            if let Some(end) = memchr::memmem::rfind(text, timer) {
                text = &text[..end];
            }
        }
        Self { form: Form::Netstat, text: text.trim_ascii_end() }
    }

    /// The processes of a socket in `/proc`: `PID/NAME` and a NUL for each.
    pub(super) fn from_proc(text: &'a [u8]) -> Self {
        Self { form: Form::Proc, text }
    }

    /// Those of an entry of `conntrack`, which has none.
    pub(super) fn of_conntrack() -> Self {
        Self { form: Form::Conntrack, text: &[] }
    }

    /// Whether the row is an entry of `conntrack`.
    pub(super) fn is_conntrack(&self) -> bool {
        self.form == Form::Conntrack
    }

    /// The same for a row that lacks the column of the state.
    pub(super) fn without_state(self) -> Self {
        Self { form: Form::SsWithoutState, ..self }
    }

    /// Whether the row has the column of the state.
    pub(super) fn is_after_state(&self) -> bool {
        self.form != Form::SsWithoutState
    }

    /// Whether the row is one of `netstat`.
    pub(super) fn is_netstat(&self) -> bool {
        self.form == Form::Netstat
    }

    /// Whether the row lists no process.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

impl<'a> Iterator for Processes<'a> {
    type Item = Process<'a>;

    fn next(&mut self) -> Option<Process<'a>> {
        match self.form {
            Form::Ss | Form::SsWithoutState => self.next_ss(),
            Form::Netstat => {
                let slash = self.text.iter().position(|&byte| byte == b'/')?;
                let process = Process { comm: &self.text[slash + 1..], pid: &self.text[..slash] };
                self.text = &[];
                Some(process)
            }
            Form::Proc => {
                let end = memchr::memchr(0, self.text)?;
                let slash = memchr::memchr(b'/', &self.text[..end])?;
                let process = Process { comm: &self.text[slash + 1..end], pid: &self.text[..slash] };
                self.text = &self.text[end + 1..];
                Some(process)
            }
            Form::Conntrack => None,
        }
    }
}

impl<'a> Processes<'a> {
    /// Parses the next entry of `ss`. `self.text` begins with its `(`, or is empty after
    /// the last one.
    fn next_ss(&mut self) -> Option<Process<'a>> {
        let entry = self.text.strip_prefix(b"(\"")?;
        if let Some((process, next)) = parse_simple_entry(entry) {
            self.text = next;
            return Some(process);
        }
        let Some((name, tail)) = find_name_end(entry) else {
            // A line that was truncated or shortened by hand: take the text up to the quote,
            // if there is one, as the name.
            self.text = &[];
            let end = memchr::memchr(b'"', entry).unwrap_or(entry.len());
            return Some(Process { comm: &entry[..end], pid: &[] });
        };
        self.text = match &entry[name + tail.len..] {
            [b',', next @ ..] => next,
            _ => &[],
        };
        Some(Process { comm: &entry[..name], pid: tail.pid })
    }
}

/// Parses the form of most entries, `comm",pid=1,fd=2)` with a name without quotes, and
/// returns the process with the following entries. [`find_name_end`] gives the same
/// result: after a name that is not empty, the entry is too long for another quote
/// within the 15 bytes that a name can have.
#[inline]
fn parse_simple_entry(entry: &[u8]) -> Option<(Process<'_>, &[u8])> {
    let (comm, rest) = bytes::split(entry, |word| bytes::equal(word, b'"'));
    let (pid, rest) = digits(rest.strip_prefix(b"\",pid=")?);
    let (_, rest) = digits(rest.strip_prefix(b",fd=")?);
    let next = match rest {
        [b')', b')', ..] => &[],
        [b')', b',', next @ ..] if next.starts_with(b"(\"") => next,
        _ => return None,
    };
    (!comm.is_empty() && !pid.is_empty()).then_some((Process { comm, pid }, next))
}

/// The part of an entry after its name, from the closing quote to the `)`.
struct EntryTail<'a> {
    pid: &'a [u8],
    len: usize,
    /// Whether it has the form `pid=1,fd=2` rather than the old `1,2`.
    keyed: bool,
}

/// Finds the end of the name that `entry` begins with, and parses the rest of the entry.
///
/// A keyed entry is at least 16 bytes longer than its name. So a name of at most 15
/// bytes cannot contain the end of one entry *and* the start of the next, and the last
/// possible end within 15 bytes is the right one. The old form is shorter and ambiguous:
/// the first possible end is used. The same applies to names longer than 15 bytes, which
/// no kernel reports.
fn find_name_end(entry: &[u8]) -> Option<(usize, EntryTail<'_>)> {
    let mut within = None;
    for quote in memchr::memchr_iter(b'"', entry) {
        if quote > COMM_MAX && within.is_some() {
            break;
        }
        let Some(tail) = parse_entry_tail(&entry[quote..]) else { continue };
        if quote > COMM_MAX || !tail.keyed {
            return within.or(Some((quote, tail)));
        }
        within = Some((quote, tail));
    }
    within
}

/// Parses `",pid=1,fd=2)` or `",1,2)`, followed by another entry or the end of the list.
fn parse_entry_tail(text: &[u8]) -> Option<EntryTail<'_>> {
    let values = text.strip_prefix(b"\",")?;
    let keyed = values.starts_with(b"pid=");
    let number = if keyed { &values[4..] } else { values };
    let (pid, rest) = digits(number);
    if pid.is_empty() || rest.first() != Some(&b',') {
        return None;
    }
    let end = number.iter().position(|byte| matches!(byte, b'(' | b')' | b'"'))?;
    let after = &number[end..];
    if !(after.starts_with(b"))") || after.starts_with(b"),(\"")) {
        return None;
    }
    let len = text.len() - number.len() + end + 1;
    Some(EntryTail { pid, len, keyed })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ss(rest: &[u8]) -> Vec<(String, Option<u32>)> {
        Processes::from_ss(rest)
            .map(|process| (String::from_utf8_lossy(process.comm).into_owned(), process.pid()))
            .collect()
    }

    fn netstat(rest: &str) -> Vec<(String, Option<u32>)> {
        Processes::from_netstat(rest.as_bytes())
            .map(|process| (String::from_utf8_lossy(process.comm).into_owned(), process.pid()))
            .collect()
    }

    fn named(name: &str, pid: u32) -> (String, Option<u32>) {
        (name.to_owned(), Some(pid))
    }

    #[test]
    fn entries_of_all_ss_versions() {
        assert_eq!(ss(br#"users:(("kubelet",pid=59,fd=7))"#), [named("kubelet", 59)]);
        assert_eq!(ss(br#"users:(("kubelet",59,7))"#), [named("kubelet", 59)]);
        assert_eq!(
            ss(br#"users:(("sshd",pid=70,fd=3),("sshd",pid=69,fd=3)) ino:1 sk:2"#),
            [named("sshd", 70), named("sshd", 69)]
        );
        assert_eq!(ss(br#"users:(("sshd",70,3),("sshd",69,3))"#), [named("sshd", 70), named("sshd", 69)]);
        assert_eq!(ss(br#"users:(("kubelet",pid=59,tid=61,fd=7))"#), [named("kubelet", 59)]);
        assert_eq!(
            ss(br#"users:(("kubelet",pid=59,proc_ctx=system_u:system_r:kubelet_t:s0:c1,c2,fd=7))"#),
            [named("kubelet", 59)]
        );
        assert_eq!(
            ss(br#"timer:(keepalive,28sec,0) users:(("kubelet",59,7)) ino:9"#),
            [named("kubelet", 59)]
        );
        assert_eq!(ss(b"timer:(timewait,59sec,0) ino:0 sk:1b"), []);
    }

    #[test]
    fn names_that_imitate_the_end_of_their_entry() {
        for name in [
            "x\",pid=1,fd=2)",
            "\",pid=1,fd=2),(",
            "a b c",
            "a:b:c",
            "\"",
            "\"\"",
            "))",
            "((",
            "\x1b[31mred",
            "",
            ",pid=1,fd=2))",
            "users:((\"",
            "\",1,2)",
        ] {
            let one = format!(r#"users:(("{name}",pid=77,fd=3))"#);
            assert_eq!(ss(one.as_bytes()), [named(name, 77)], "{one}");
            let two = format!(r#"users:(("{name}",pid=77,fd=3),("kubelet",pid=5,fd=6))"#);
            assert_eq!(ss(two.as_bytes()), [named(name, 77), named("kubelet", 5)], "{two}");
            let last = format!(r#"users:(("kubelet",pid=5,fd=6),("{name}",pid=77,fd=3)) ino:3"#);
            assert_eq!(ss(last.as_bytes()), [named("kubelet", 5), named(name, 77)], "{last}");
        }
    }

    #[test]
    fn simple_entries_agree_with_general_parser() {
        let names = [
            "kubelet",
            "a",
            "",
            "\"",
            "x\",pid=1,fd=2)",
            "exactly15bytes!",
            "sixteen bytes ok",
            "))",
            "((",
            "a,b",
        ];
        let pids = ["", "1", "1234567", "12345678", "123456789012", "1x"];
        let ends = ["", ")", "))", ")) ino:1", "),(\"b\",pid=2,fd=3))", "),(", "),b", ",tid=1))", "x))"];
        let entries = names.iter().flat_map(|name| pids.map(|pid| format!("{name}\",pid={pid},fd=")));
        let mut parsed = 0;
        for entry in
            entries.flat_map(|entry| ends.map(|end| [format!("{entry}{end}"), format!("{entry}3{end}")]))
        {
            for entry in entry {
                let Some((process, next)) = parse_simple_entry(entry.as_bytes()) else { continue };
                let (name, tail) = find_name_end(entry.as_bytes()).expect("an end");
                assert_eq!((process.comm.len(), process.pid), (name, tail.pid), "{entry}");
                let after = &entry.as_bytes()[name + tail.len..];
                assert_eq!(next, after.strip_prefix(b",").unwrap_or_default(), "{entry}");
                parsed += 1;
            }
        }
        assert!(parsed > 100, "{parsed}");
    }

    #[test]
    fn names_and_pids_of_any_length() {
        let long = "n".repeat(5000);
        assert_eq!(ss(format!(r#"users:(("{long}",pid=77,fd=3))"#).as_bytes()), [named(&long, 77)]);
        let pid = "9".repeat(40);
        assert_eq!(
            ss(format!(r#"users:(("kubelet",pid={pid},fd=3))"#).as_bytes()),
            [("kubelet".to_owned(), None)]
        );
        assert_eq!(ss(br#"users:(("kube"#), [("kube".to_owned(), None)]);
        assert_eq!(ss(br#"users:(("kubelet"...))"#), [("kubelet".to_owned(), None)]);
        assert_eq!(ss(br#"users:(("kubelet"))"#), [("kubelet".to_owned(), None)]);
    }

    #[test]
    fn processes_of_netstat() {
        assert_eq!(netstat("21355/kubelet       "), [named("kubelet", 21355)]);
        assert_eq!(netstat("67/sshd: root@pts/0 "), [named("sshd: root@pts/0", 67)]);
        assert_eq!(
            netstat("0          12345      59/kube-proxy         keepalive (9.3/0/0)"),
            [named("kube-proxy", 59)]
        );
        assert_eq!(netstat("59/kube-proxy keepalive (9.3/0/0)"), [named("kube-proxy", 59)]);
        assert_eq!(netstat("-                   "), []);
        assert_eq!(netstat(""), []);
    }
}
