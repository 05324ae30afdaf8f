//! Why a node could not be read over ssh, told from what ssh, sudo and the
//! shell say, and what to do about it.

use std::io::Write;
use std::time::Duration;

use super::ssh::{Cut, Destination, Ending, Session};
use super::transcript::Section;
use crate::model::gap::{Gap, GapReason, Subject};
use crate::model::name::NodeName;

/// How to hand in a node that ssh does not reach.
const HAND_IN: &str = "capture `ss -tnp` on it as root another way (SSM, a debug pod, its admin container) and judge it with --evidence";

/// A sign in what ssh says, in the order in which they are looked for: a jump
/// host's trouble shows as more than one.
struct Sign {
    says: &'static str,
    why: GapReason,
    detail: &'static str,
    hint: &'static str,
}

const SIGNS: [Sign; 14] = [
    Sign {
        says: "REMOTE HOST IDENTIFICATION HAS CHANGED",
        why: GapReason::HostKeyChanged,
        detail: "its host key is not the one that ssh knows",
        hint: "a new node may have an old one's address, and so may an attacker: compare the key, then ssh-keygen -R HOST and log in once by hand",
    },
    Sign {
        says: "Host key verification failed",
        why: GapReason::HostKeyUnknown,
        detail: "ssh does not know its host key",
        hint: "log in once by hand and compare the key, or pass --ssh-option StrictHostKeyChecking=accept-new",
    },
    Sign {
        says: "Could not resolve hostname",
        why: GapReason::NameNotResolved,
        detail: "its name does not resolve here",
        hint: "pass --node NAME=TARGET, or --node-address private",
    },
    Sign {
        says: "Permission denied",
        why: GapReason::LoginRefused,
        detail: "it takes none of your keys",
        hint: "pass --ssh-user, load the key into your agent, or name it with --ssh-option IdentityFile=FILE",
    },
    Sign {
        says: "Too many authentication failures",
        why: GapReason::LoginRefused,
        detail: "it gave up before ssh came to the right key",
        hint: "name the key with --ssh-option IdentityFile=FILE and --ssh-option IdentitiesOnly=yes",
    },
    Sign {
        says: "Connection refused",
        why: GapReason::ConnectionRefused,
        detail: "nothing listens on its ssh port, as on Bottlerocket",
        hint: HAND_IN,
    },
    Sign {
        says: "Connection timed out",
        why: GapReason::TimedOut,
        detail: "ssh got no answer from it",
        hint: "see that its security group lets you in on port 22, or go by a jump host: --ssh-option ProxyJump=BASTION",
    },
    Sign {
        says: "Operation timed out",
        why: GapReason::TimedOut,
        detail: "ssh got no answer from it",
        hint: "see that its security group lets you in on port 22, or go by a jump host: --ssh-option ProxyJump=BASTION",
    },
    Sign {
        says: "No route to host",
        why: GapReason::Unreachable,
        detail: "there is no route to it from here",
        hint: "go by a jump host: --ssh-option ProxyJump=BASTION, or by SSM with a ProxyCommand",
    },
    Sign {
        says: "Network is unreachable",
        why: GapReason::Unreachable,
        detail: "there is no route to it from here",
        hint: "go by a jump host: --ssh-option ProxyJump=BASTION, or by SSM with a ProxyCommand",
    },
    Sign {
        says: "kex_exchange_identification",
        why: GapReason::ConnectionLost,
        detail: "it closes connections before the login, as a server with too many of them does",
        hint: "try again with a lower --concurrency, or raise MaxStartups there",
    },
    Sign {
        says: "stdio forwarding failed",
        why: GapReason::Unreachable,
        detail: "the jump host cannot reach it",
        hint: "see that the jump host's security group and the node's fit",
    },
    Sign {
        says: "Connection closed",
        why: GapReason::ConnectionLost,
        detail: "it closed the connection",
        hint: "try again; its own log tells why",
    },
    Sign {
        says: "Bad configuration option",
        why: GapReason::Failed,
        detail: "ssh does not take its options",
        hint: "see --ssh-option and your ssh configuration",
    },
];

/// How sudo refuses, for all of its reasons: a password, no entry in sudoers,
/// an entry for other commands.
const SUDO_REFUSES: [&str; 4] =
    ["a password is required", "not in the sudoers", "is not allowed to", "may not run sudo"];

/// What is missing of a node, from how its session ended; nothing if all is there.
pub(crate) fn gap<W: Write>(node: &NodeName, to: &Destination, session: &Session<W>) -> Option<Gap> {
    let (why, detail, hint) = sockets(to, session)?;
    Some(Gap { subject: node.clone().into(), why, detail, hint })
}

/// ssh could not be run, or what it prints not be kept.
pub(crate) fn not_run(node: &NodeName, error: &std::io::Error) -> Gap {
    Gap {
        subject: node.clone().into(),
        why: GapReason::Failed,
        detail: error.to_string(),
        hint: "see that the OpenSSH client is installed, and what limits processes, files and space (ulimit -a, df)"
            .to_owned(),
    }
}

/// A session that ended before the first look. `began`: something of ours ran.
pub(crate) fn never_looked_at(
    node: &NodeName,
    to: &Destination,
    ending: &Ending,
    began: bool,
    preamble: &[u8],
) -> Gap {
    let (why, detail, hint) = match ending.cut {
        Some(Cut::TooMuch) => trouble(
            GapReason::TooMuchOutput,
            if began { "it prints more than ss does" } else { "it prints too much before ss runs" },
            "see by hand what it prints: sudo ss -tnp",
        ),
        Some(Cut::TimedOut(after)) => {
            let stage = if began { "ss did not end" } else { "the login did not end" };
            trouble(
                GapReason::TimedOut,
                format!("{stage} within {} s", after.as_secs()),
                "see by hand what takes so long, or give it longer with --timeout",
            )
        }
        None if began => lost_midway("", ending),
        None => no_login(to, ending, preamble),
    };
    Gap { subject: node.clone().into(), why, detail, hint }
}

/// A session that ended before it should, after some looks.
pub(crate) fn dropped_out(node: &NodeName, ending: &Ending, samples: u64, after: Duration) -> Gap {
    let (why, detail) = match ending.cut {
        Some(Cut::TooMuch) => (GapReason::TooMuchOutput, "it printed more than ss does".to_owned()),
        Some(Cut::TimedOut(after)) => {
            (GapReason::TimedOut, format!("the last look did not end within {} s", after.as_secs()))
        }
        None => (GapReason::ConnectionLost, format!("the connection broke off{}", last_words(ending))),
    };
    Gap {
        subject: node.clone().into(),
        why,
        detail: format!(
            "{detail}, {:.1} s after the trace began and {samples} looks; what came later was not seen",
            after.as_secs_f64()
        ),
        hint: "try again".to_owned(),
    }
}

/// Sockets were seen, and not whose they are.
pub(crate) fn nameless(node: &NodeName, ending: &Ending) -> Gap {
    let (why, detail, hint) = without_root(ending);
    Gap { subject: node.clone().into(), why, detail, hint }
}

/// What the node's resolver gave, or why it gave nothing. `None` where the
/// session did not come so far, which says enough.
pub(crate) fn answer<W: Write>(node: &NodeName, session: &Session<W>) -> Result<Vec<u8>, Gap> {
    let transcript = &session.transcript;
    let (why, detail) = match transcript.status(Section::Dns) {
        Some(0) => return Ok(transcript.answer.clone()),
        // https://man7.org/linux/man-pages/man1/getent.1.html
        Some(2) => (
            GapReason::NoAnswer,
            "the name does not resolve on the node (getent ahosts: exit code 2)".to_owned(),
        ),
        Some(127) => (GapReason::NotSupported, "there is no getent on the node".to_owned()),
        Some(status) => (GapReason::Failed, format!("getent ahosts failed on the node: exit code {status}")),
        None => match session.ending.cut {
            Some(Cut::TooMuch) => {
                (GapReason::TooMuchOutput, "getent ahosts printed more than any answer holds".to_owned())
            }
            Some(Cut::TimedOut(after)) => (
                GapReason::TimedOut,
                format!("the node did not resolve the name within {} s", after.as_secs()),
            ),
            None => (
                GapReason::ConnectionLost,
                "the connection broke off before the node resolved the name".to_owned(),
            ),
        },
    };
    let hint = "see on the node: cat /etc/resolv.conf, and what its resolver answers".to_owned();
    Err(Gap { subject: Subject::Vantage(node.to_string()), why, detail, hint })
}

type Trouble = (GapReason, String, String);

fn trouble(why: GapReason, detail: impl Into<String>, hint: impl Into<String>) -> Trouble {
    (why, detail.into(), hint.into())
}

fn sockets<W: Write>(to: &Destination, session: &Session<W>) -> Option<Trouble> {
    let transcript = &session.transcript;
    Some(match (transcript.status(Section::Privileged), transcript.status(Section::Plain)) {
        (Some(0), _) | (Some(_), Some(0)) if transcript.captured == 0 => trouble(
            GapReason::Incomplete,
            "ss printed nothing there, not even its column heads",
            "run it by hand on the node: sudo ss -tnp",
        ),
        (Some(0), _) => return None,
        (Some(_), Some(0)) => without_root(&session.ending),
        (Some(status), _) if transcript.captured > 0 => trouble(
            GapReason::Incomplete,
            format!("ss failed midway: exit code {status}{}", last_words(&session.ending)),
            "run it by hand on the node: sudo ss -tnp",
        ),
        (Some(_), Some(127)) => trouble(
            GapReason::NotSupported,
            "there is no ss on it",
            format!("install iproute2 on it, or {HAND_IN}"),
        ),
        (Some(_), Some(status)) => {
            let detail = format!("ss failed: exit code {status}{}", last_words(&session.ending));
            trouble(GapReason::Failed, detail, HAND_IN)
        }
        _ => unfinished(to, session),
    })
}

/// The user is not root, and sudo did not help.
fn without_root(ending: &Ending) -> Trouble {
    let says = |text: &str| ending.stderr.contains(text);
    let allow = "allow it without one, as with `USER ALL=(root) NOPASSWD: /usr/sbin/ss -tnp, /usr/bin/ss -tnp` in sudoers, or log in as root with --ssh-user";
    let (detail, hint) = if says("sudo: a terminal is required") || SUDO_REFUSES.iter().any(|text| says(text))
    {
        (
            "sudo wants a password, or does not allow ss, so that no process is named".to_owned(),
            allow.to_owned(),
        )
    } else if says("must have a tty") {
        (
            "sudo wants a terminal (requiretty), so that no process is named".to_owned(),
            "take requiretty out of sudoers for this user".to_owned(),
        )
    } else if says("ss: command not found") {
        (
            "sudo finds no ss, so that no process is named".to_owned(),
            "put the directory of ss into secure_path in sudoers".to_owned(),
        )
    } else if says("sudo: not found") || says("sudo: command not found") {
        (
            "there is no sudo on it, so that no process is named".to_owned(),
            "log in as root with --ssh-user".to_owned(),
        )
    } else {
        (
            format!("ss ran without root rights, so that no process is named{}", last_words(ending)),
            allow.to_owned(),
        )
    };
    trouble(GapReason::NoProcessNames, detail, hint)
}

/// The session ended before `ss` did.
fn unfinished<W: Write>(to: &Destination, session: &Session<W>) -> Trouble {
    let (transcript, ending) = (&session.transcript, &session.ending);
    let part = if transcript.captured > 0 { "; what came before is judged" } else { "" };
    match ending.cut {
        Some(Cut::TooMuch) => {
            return trouble(
                GapReason::TooMuchOutput,
                match transcript.captured {
                    0 => "it prints too much before ss runs".to_owned(),
                    captured => format!("it printed more than ss does: cut off after {captured} bytes{part}"),
                },
                "see by hand what it prints: sudo ss -tnp",
            );
        }
        Some(Cut::TimedOut(after)) => {
            let stage = if transcript.began { "ss did not end" } else { "the login did not end" };
            return trouble(
                GapReason::TimedOut,
                format!("{stage} within {} s{part}", after.as_secs()),
                "see by hand what takes so long, or give it longer with --timeout",
            );
        }
        None => {}
    }
    if transcript.began {
        return lost_midway(part, ending);
    }
    no_login(to, ending, &transcript.preamble)
}

fn lost_midway(part: &str, ending: &Ending) -> Trouble {
    let detail = format!("the connection broke off midway{part}{}", last_words(ending));
    trouble(GapReason::ConnectionLost, detail, "try again")
}

/// The session ended before anything of ours ran.
fn no_login(to: &Destination, ending: &Ending, preamble: &[u8]) -> Trouble {
    if let Some((sign, line)) = sign(&ending.stderr) {
        return trouble(
            sign.why,
            format!("{}; ssh says {:?} ({to})", sign.detail, shortened(line)),
            sign.hint.replace("HOST", changed_host(&ending.stderr).unwrap_or(to.host())),
        );
    }
    let preamble = String::from_utf8_lossy(preamble);
    let said = preamble.lines().map(str::trim).rfind(|line| !line.is_empty());
    match (ending.status.and_then(|status| status.code()), said) {
        (Some(255), _) => trouble(
            GapReason::Unreachable,
            format!("ssh failed{} ({to})", last_words(ending)),
            format!("try by hand: {}", ending.by_hand),
        ),
        (_, Some(said)) => trouble(
            GapReason::NoShell,
            format!("the login runs no command; it says {said:?}"),
            format!("log in as a user with a shell, or {HAND_IN}"),
        ),
        (status, None) => {
            let status =
                status.map_or("killed by a signal".to_owned(), |status| format!("exit code {status}"));
            trouble(
                GapReason::NoShell,
                format!("the login ran no command: {status}{}", last_words(ending)),
                format!("log in as a user with a shell, or {HAND_IN}"),
            )
        }
    }
}

/// The first sign that fits, and the line that says it.
fn sign(stderr: &str) -> Option<(&'static Sign, &str)> {
    SIGNS.iter().find_map(|sign| {
        let line = stderr.lines().find(|line| line.contains(sign.says))?;
        Some((sign, line.trim_matches(['@', ' ', '\r'])))
    })
}

/// The host whose key changed, which may be a jump host's.
fn changed_host(stderr: &str) -> Option<&str> {
    let after = stderr.split_once("Host key for ")?.1;
    let host = after.split_once(" has changed")?.0;
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    (!host.is_empty() && !host.starts_with('-') && host.bytes().all(is_host)).then_some(host)
}

fn shortened(line: &str) -> String {
    line.chars().take(200).collect()
}

/// The last line of standard error, if there is one.
fn last_words(ending: &Ending) -> String {
    let line = ending.stderr.lines().map(str::trim).rfind(|line| !line.is_empty());
    line.map(|line| format!("; it says {:?}", shortened(line))).unwrap_or_default()
}
