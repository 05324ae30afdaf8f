//! Failures of a node that are the same over any transport: what the ending of the client
//! means after the login, and what sudo, `ss` and `getent` report.

use std::time::Duration;

use super::Target;
use super::client::{Ending, StopReason};
use super::diagnosis::{CAPTURE_ELSEWHERE, Diagnosis, last_line};
use super::probe::{Asked, Limits};
use super::read::Run;
use super::transcript::Section;
use crate::model::gap::{Gap, GapReason, Subject};
use crate::model::name::NodeName;
use crate::model::probe::Probe;

const RUN_BY_HAND: &str = "run it by hand on the node: sudo ss -tnp";
const OUTPUT_BY_HAND: &str = "run it by hand to see its output: sudo ss -tnp";
const ALLOW_SS: &str = "allow it without a password, as with `USER ALL=(root) NOPASSWD: /usr/sbin/ss -tnp, /usr/bin/ss -tnp` in sudoers";

/// The refusals of sudo: a password is required, or sudoers has no entry for the user or
/// for the command.
const SUDO_REFUSALS: [&str; 5] = [
    "sudo: a terminal is required",
    "a password is required",
    "not in the sudoers",
    "is not allowed to",
    "may not run sudo",
];

/// What is missing of a node's sockets; `None` if nothing is.
pub(crate) fn sockets<W>(target: &Target, run: &Run<W>) -> Option<Diagnosis> {
    let (transcript, ending) = (&run.transcript, &run.ending);
    let program = program(target);
    Some(match (transcript.status(Section::Privileged), transcript.status(Section::Unprivileged)) {
        (Some(0), _) | (Some(_), Some(0)) if transcript.captured == 0 => Diagnosis::new(
            GapReason::Incomplete,
            format!("{program} printed nothing there, not even column headings"),
            RUN_BY_HAND,
        ),
        (Some(0), _) => return None,
        (Some(_), Some(0)) => no_process_names(target, ending),
        (Some(status), _) if transcript.captured > 0 => Diagnosis::new(
            GapReason::Incomplete,
            format!("{program} failed after some rows: exit code {status}{}", last_line(ending)),
            RUN_BY_HAND,
        ),
        (Some(_), Some(127)) => Diagnosis::new(
            GapReason::NotSupported,
            "ss is not installed on it",
            format!("install iproute2 on it, or {CAPTURE_ELSEWHERE}"),
        ),
        (Some(_), Some(status)) => {
            let detail = format!("{program} failed: exit code {status}{}", last_line(ending));
            Diagnosis::new(GapReason::Failed, detail, CAPTURE_ELSEWHERE)
        }
        _ => unfinished(target, run),
    })
}

/// The answer of the node's resolver, or why there is none.
pub(crate) fn answer<W>(target: &Target, node: &NodeName, run: &Run<W>) -> Result<Vec<u8>, Gap> {
    let transcript = &run.transcript;
    let (why, detail) = match transcript.status(Section::Dns) {
        Some(0) => return Ok(transcript.answer.clone()),
        // Its name servers may answer the host, or be reached by it alone.
        Some(2) if target.has_own_network() => (
            GapReason::NoAnswer,
            "the name does not resolve with the node's configuration in a pod, whose network is not the node's".to_owned(),
        ),
        // https://man7.org/linux/man-pages/man1/getent.1.html
        Some(2) => (
            GapReason::NoAnswer,
            "the name does not resolve on the node (getent ahosts: exit code 2)".to_owned(),
        ),
        Some(127) => (GapReason::NotSupported, "getent is not installed on the node".to_owned()),
        Some(status) => (GapReason::Failed, format!("getent ahosts failed on the node: exit code {status}")),
        None => match run.ending.stopped {
            Some(StopReason::TooMuchOutput) => {
                (GapReason::TooMuchOutput, "getent ahosts printed more than an answer can contain".to_owned())
            }
            Some(StopReason::TimedOut(limit)) => (
                GapReason::TimedOut,
                format!("the node did not resolve the name within {} s", limit.as_secs()),
            ),
            None => (
                GapReason::ConnectionLost,
                "the connection was lost before the node resolved the name".to_owned(),
            ),
        },
    };
    let hint = "check on the node: cat /etc/resolv.conf, and what its resolver answers".to_owned();
    Err(Gap { subject: Subject::Vantage(node.to_string()), why, detail, hint })
}

/// What addresses answered to the node, or why that is not known; `None` if there is nothing to
/// probe.
pub(crate) fn probe<W>(node: &NodeName, run: &Run<W>, limits: Limits) -> Option<Result<Probe, Gap>> {
    let transcript = &run.transcript;
    let (why, detail) = match (&run.asked, transcript.status(Section::Probe)) {
        (Some(Asked::Nothing), _) => return None,
        (Some(Asked::Unknown), _) => (
            GapReason::TimedOut,
            "the addresses to probe were not known when the node had been read".to_owned(),
        ),
        (Some(Asked::NoTime), _) => (
            GapReason::TimedOut,
            "the other nodes took all the time that probes from nodes may take together".to_owned(),
        ),
        (Some(Asked::Probe(probe)), Some(0)) => match probe.parse(node, &transcript.probe, limits) {
            Ok(probe) => return Some(Ok(probe)),
            Err(problem) => (GapReason::Failed, problem),
        },
        (Some(Asked::Probe(_)), Some(127)) => (
            GapReason::NotSupported,
            "the node has neither curl nor bash with timeout, so it did not probe the endpoint".to_owned(),
        ),
        (Some(Asked::Probe(_)), Some(status)) => {
            (GapReason::Failed, format!("the probe failed on the node: exit code {status}"))
        }
        (Some(Asked::Probe(_)) | None, None) | (None, Some(_)) => match run.ending.stopped {
            Some(StopReason::TooMuchOutput) => {
                (GapReason::TooMuchOutput, "the node printed more than an answer can contain".to_owned())
            }
            Some(StopReason::TimedOut(limit)) => {
                (GapReason::TimedOut, format!("the node did not end its probes within {} s", limit.as_secs()))
            }
            None => (
                GapReason::ConnectionLost,
                "the connection was lost before the node had probed the endpoint".to_owned(),
            ),
        },
    };
    let hint = "probe from the node by hand: curl -vk https://ENDPOINT/livez".to_owned();
    Some(Err(Gap { subject: Subject::Probe(node.to_string()), why, detail, hint }))
}

/// A client that ended before the first sample.
pub(super) fn not_sampled(target: &Target, ending: &Ending, has_begun: bool, preamble: &[u8]) -> Diagnosis {
    match ending.stopped {
        Some(StopReason::TooMuchOutput) if has_begun => {
            Diagnosis::new(GapReason::TooMuchOutput, "more output than ss prints", OUTPUT_BY_HAND)
        }
        Some(StopReason::TooMuchOutput) => too_much_before_ss(),
        Some(StopReason::TimedOut(limit)) => timed_out(target, has_begun, limit, ""),
        None if has_begun => connection_lost(target, "", ending),
        None => no_login(target, ending, preamble),
    }
}

/// A client that ended early, after some samples.
pub(super) fn sampling_ended(
    ending: &Ending,
    samples: u64,
    after: Duration,
    stopped_for: Option<Duration>,
) -> Diagnosis {
    let (why, detail) = match ending.stopped {
        None if let Some(stopped) = stopped_for => (
            GapReason::Interrupted,
            format!(
                "this program was stopped for {} s, as by Ctrl-Z, and the node ended the sampling",
                stopped.as_secs()
            ),
        ),
        Some(StopReason::TooMuchOutput) => {
            (GapReason::TooMuchOutput, "more output than ss prints".to_owned())
        }
        Some(StopReason::TimedOut(limit)) => {
            (GapReason::TimedOut, format!("the last sample was not complete within {} s", limit.as_secs()))
        }
        None => (GapReason::ConnectionLost, format!("the connection was lost{}", last_line(ending))),
    };
    let detail = format!(
        "{detail}, {:.1} s after the trace began, after {samples} samples; later changes were not seen",
        after.as_secs_f64()
    );
    Diagnosis::new(why, detail, "try again")
}

/// A node whose last sample is missing, because `ss` failed.
pub(super) fn last_sample_failed(ending: &Ending) -> Diagnosis {
    let detail = format!("ss failed in the last sample{}; later changes were not seen", last_line(ending));
    Diagnosis::new(GapReason::Failed, detail, "try again")
}

/// Sockets without their processes: the user is not root, and sudo failed.
pub(super) fn no_process_names(target: &Target, ending: &Ending) -> Diagnosis {
    if let Some(diagnosis) = target.no_process_names() {
        return diagnosis;
    }
    let root = target.root_hint();
    let has = |text: &str| ending.stderr.contains(text);
    let (detail, hint) = if SUDO_REFUSALS.iter().any(|text| has(text)) {
        ("sudo requires a password or does not allow ss", format!("{ALLOW_SS}, or {root}"))
    } else if has("must have a tty") {
        ("sudo requires a terminal (requiretty)", "remove requiretty from sudoers for this user".to_owned())
    } else if has("ss: command not found") {
        ("sudo does not find ss", "add the directory of ss to secure_path in sudoers".to_owned())
    } else if has("sudo: not found") || has("sudo: command not found") {
        ("sudo is not installed on it", root.to_owned())
    } else {
        let detail = format!("ss ran without root privileges, so no process is named{}", last_line(ending));
        return Diagnosis::new(GapReason::NoProcessNames, detail, format!("{ALLOW_SS}, or {root}"));
    };
    Diagnosis::new(GapReason::NoProcessNames, format!("{detail}, so no process is named"), hint)
}

/// A client that ended before `ss` did.
fn unfinished<W>(target: &Target, run: &Run<W>) -> Diagnosis {
    let (transcript, ending) = (&run.transcript, &run.ending);
    let part = if transcript.captured > 0 { "; the rows before that are judged" } else { "" };
    match ending.stopped {
        Some(StopReason::TooMuchOutput) if transcript.captured == 0 => too_much_before_ss(),
        Some(StopReason::TooMuchOutput) => Diagnosis::new(
            GapReason::TooMuchOutput,
            format!("more output than ss prints: cut off after {} bytes{part}", transcript.captured),
            OUTPUT_BY_HAND,
        ),
        Some(StopReason::TimedOut(limit)) => timed_out(target, transcript.has_begun, limit, part),
        None if transcript.has_begun => connection_lost(target, part, ending),
        None => no_login(target, ending, &transcript.preamble),
    }
}

fn too_much_before_ss() -> Diagnosis {
    Diagnosis::new(GapReason::TooMuchOutput, "too much output before ss ran", OUTPUT_BY_HAND)
}

fn timed_out(target: &Target, has_begun: bool, limit: Duration, part: &str) -> Diagnosis {
    let stage = if has_begun {
        format!("{} did not end", program(target))
    } else {
        format!("{} did not end", target.opening())
    };
    Diagnosis::new(
        GapReason::TimedOut,
        format!("{stage} within {} s{part}", limit.as_secs()),
        target.time_out_hint(),
    )
}

fn connection_lost(target: &Target, part: &str, ending: &Ending) -> Diagnosis {
    let program = program(target);
    let detail = format!("the connection was lost before {program} ended{part}{}", last_line(ending));
    Diagnosis::new(GapReason::ConnectionLost, detail, "try again")
}

/// What reads the sockets.
fn program(target: &Target) -> &'static str {
    target.own_scripts().map_or("ss", |own| own.program)
}

/// A client that ended before the script began.
fn no_login(target: &Target, ending: &Ending, preamble: &[u8]) -> Diagnosis {
    if let Some(diagnosis) = target.diagnose(ending) {
        return diagnosis;
    }
    let preamble = String::from_utf8_lossy(preamble);
    let line = preamble.lines().map(str::trim).rfind(|line| !line.is_empty());
    let detail = match (line, ending.status.and_then(|status| status.code())) {
        (Some(line), _) => format!("the login runs no command; it printed {line:?}"),
        (None, Some(code)) => format!("the login runs no command: exit code {code}{}", last_line(ending)),
        (None, None) => {
            format!("the login runs no command: terminated by a signal{}", last_line(ending))
        }
    };
    let hint = format!("log in as a user with a shell, or {CAPTURE_ELSEWHERE}");
    Diagnosis::new(GapReason::NoShell, detail, hint)
}
