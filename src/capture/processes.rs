//! The processes that a row names.
//!
//! `ss` prints `users:(("comm",pid=1,fd=2),...)`, before iproute2 4.x
//! `users:(("comm",1,2),...)`, and may put `tid=` or `proc_ctx=` between.
//! `comm` is printed raw and its 15 bytes are chosen by whoever runs the
//! process, so it may hold quotes, parentheses, or something that looks like
//! the end of its own entry.
//!
//! `netstat` prints `1/name`, or `-` where it may not say.

use super::address::decimal;
use super::bytes::{self, digits};

/// `TASK_COMM_LEN` less its final NUL.
const COMM_MAX: usize = 15;

/// A process as a row names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process<'a> {
    /// `comm`, in whatever bytes the process chose.
    pub comm: &'a [u8],
    pid: &'a [u8],
}

impl Process<'_> {
    /// Its id; `None` where no kernel gives such a number.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        decimal(self.pid)
    }
}

/// The processes of a row, parsed when they are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Processes<'a> {
    form: Form,
    text: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Ss,
    Netstat,
}

/// What begins the processes of an `ss` row.
const USERS: &[u8] = b"users:((";

impl<'a> Processes<'a> {
    /// The processes in what follows the peer's address in a row of `ss`.
    pub(super) fn of_ss(rest: &'a [u8]) -> Self {
        // Nearly always at once; old versions print the timer first.
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

    /// The processes in what follows the state in a row of `netstat`.
    pub(super) fn of_netstat(rest: &'a [u8]) -> Self {
        // User and inode may stand before, a timer behind.
        let start = rest.iter().enumerate().position(|(index, byte)| {
            let begins = index == 0 || rest[index - 1] == b' ';
            begins && byte.is_ascii_digit() && {
                let (_, behind) = digits(&rest[index..]);
                behind.first() == Some(&b'/')
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

    /// Whether `netstat` wrote them.
    pub(super) fn are_netstats(&self) -> bool {
        self.form == Form::Netstat
    }

    /// Whether the row names none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

impl<'a> Iterator for Processes<'a> {
    type Item = Process<'a>;

    fn next(&mut self) -> Option<Process<'a>> {
        match self.form {
            Form::Ss => self.next_ss(),
            Form::Netstat => {
                let slash = self.text.iter().position(|&byte| byte == b'/')?;
                let process = Process { comm: &self.text[slash + 1..], pid: &self.text[..slash] };
                self.text = &[];
                Some(process)
            }
        }
    }
}

impl<'a> Processes<'a> {
    /// `self.text` begins at the `(` of an entry, or is done.
    fn next_ss(&mut self) -> Option<Process<'a>> {
        let entry = self.text.strip_prefix(b"(\"")?;
        if let Some((process, next)) = plain(entry) {
            self.text = next;
            return Some(process);
        }
        let Some((name, tail)) = close(entry) else {
            // A line cut short: the name is what is left of it.
            self.text = &[];
            return Some(Process { comm: entry, pid: &[] });
        };
        self.text = match &entry[name + tail.len..] {
            [b',', next @ ..] => next,
            _ => &[],
        };
        Some(Process { comm: &entry[..name], pid: tail.pid })
    }
}

/// What nearly every entry is, a name without a quote, a pid and a descriptor,
/// and the next entry. Such an entry is too long for another quote to stand within
/// the 15 bytes of a name, unless its name is empty: [`close`] finds the same end.
#[inline]
fn plain(entry: &[u8]) -> Option<(Process<'_>, &[u8])> {
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

/// What stands between a name and the end of its entry.
struct Tail<'a> {
    pid: &'a [u8],
    len: usize,
    keyed: bool,
}

/// The end of a name, and what follows it up to the end of the entry.
///
/// A keyed entry costs at least 16 bytes more than its name, so no name that a
/// kernel allows can hold another entry's end *and* its beginning: the last end
/// within 15 bytes is the true one. The old form is shorter and leaves doubt;
/// there the first end counts. Longer names are no kernel's; the first counts.
fn close(entry: &[u8]) -> Option<(usize, Tail<'_>)> {
    let mut within = None;
    for quote in memchr::memchr_iter(b'"', entry) {
        if quote > COMM_MAX && within.is_some() {
            break;
        }
        let Some(tail) = tail(&entry[quote..]) else { continue };
        if quote > COMM_MAX || !tail.keyed {
            return within.or(Some((quote, tail)));
        }
        within = Some((quote, tail));
    }
    within
}

/// `",pid=1,fd=2)` or `",1,2)`, with another entry or the end behind it.
fn tail(text: &[u8]) -> Option<Tail<'_>> {
    let values = text.strip_prefix(b"\",")?;
    let keyed = values.starts_with(b"pid=");
    let number = if keyed { &values[4..] } else { values };
    let (pid, rest) = digits(number);
    if pid.is_empty() || rest.first() != Some(&b',') {
        return None;
    }
    let end = number.iter().position(|byte| matches!(byte, b'(' | b')' | b'"'))?;
    let follows = &number[end..];
    if !(follows.starts_with(b"))") || follows.starts_with(b"),(\"")) {
        return None;
    }
    let len = text.len() - number.len() + end + 1;
    Some(Tail { pid, len, keyed })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ss(rest: &[u8]) -> Vec<(String, Option<u32>)> {
        Processes::of_ss(rest)
            .map(|process| (String::from_utf8_lossy(process.comm).into_owned(), process.pid()))
            .collect()
    }

    fn netstat(rest: &str) -> Vec<(String, Option<u32>)> {
        Processes::of_netstat(rest.as_bytes())
            .map(|process| (String::from_utf8_lossy(process.comm).into_owned(), process.pid()))
            .collect()
    }

    fn named(name: &str, pid: u32) -> (String, Option<u32>) {
        (name.to_owned(), Some(pid))
    }

    #[test]
    fn new_old_and_extended_forms() {
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
    fn plain_entries_end_where_all_others_do() {
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
        let mut plainly = 0;
        for entry in
            entries.flat_map(|entry| ends.map(|end| [format!("{entry}{end}"), format!("{entry}3{end}")]))
        {
            for entry in entry {
                let Some((process, next)) = plain(entry.as_bytes()) else { continue };
                let (name, tail) = close(entry.as_bytes()).expect("an end");
                assert_eq!((process.comm.len(), process.pid), (name, tail.pid), "{entry}");
                let behind = &entry.as_bytes()[name + tail.len..];
                assert_eq!(next, behind.strip_prefix(b",").unwrap_or_default(), "{entry}");
                plainly += 1;
            }
        }
        assert!(plainly > 100, "{plainly}");
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
    }

    #[test]
    fn programs_of_netstat() {
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
