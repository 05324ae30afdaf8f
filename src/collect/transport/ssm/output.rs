//! The output of the script: the capture, compressed, between two marks.
//!
//! ```text
//! eks-netcheck begin 1
//! H4sIAAAAAAAAA...               (gzip, in base64)
//! eks-netcheck end 0
//! ```
//!
//! Systems Manager cuts outputs, with or without a marker of its own. Without the second mark
//! the capture is not whole.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;

use crate::capture::reading::CaptureSummary;
use crate::evidence::aws::ssm::VERSION;
use crate::model::gap::GapReason;
use crate::model::name::NodeName;
use crate::model::node::NodeStatus;

/// The largest capture: some bytes of an output can stand for many.
const CAPTURE_MAX: u64 = 64 << 20;
/// The largest answer of the node's resolver.
const ANSWER_MAX: usize = 64 << 10;

/// What the script printed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// A whole capture.
    Whole(Capture),
    /// The beginning of one, or nothing of it.
    Cut,
    /// The names of programs that the node lacks.
    Missing(String),
    /// The output of another version of the script.
    OtherVersion(String),
    /// Something that the script does not print.
    Damaged(String),
}

/// A capture that was filtered on the node, and what its comment lines say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Capture {
    /// The capture, with its comment lines.
    pub(super) bytes: Vec<u8>,
    /// Whether no socket lists a process.
    pub(super) is_nameless: bool,
    /// The host of the API server that the node's kubeconfig names.
    pub(super) server: Option<String>,
    /// The exit status of `getent ahosts` for that host, and what it printed.
    pub(super) answer: Option<(u32, Vec<u8>)>,
}

/// The line before the capture, without the version.
pub(super) const BEGIN: &str = "eks-netcheck begin ";
/// The line after it, without the exit status.
const END: &str = "eks-netcheck end ";
/// The line instead of them, without the names of programs.
const MISSING: &str = "eks-netcheck missing ";

/// Parses what the script printed.
pub(super) fn parse(text: &str) -> Output {
    let mut lines = text.lines().map(str::trim_end);
    let begin = lines.find(|line| line.starts_with(BEGIN) || line.starts_with(MISSING));
    let Some(begin) = begin else { return Output::Cut };
    if let Some(programs) = begin.strip_prefix(MISSING) {
        return Output::Missing(programs.to_owned());
    }
    let version = begin.trim_start_matches(BEGIN);
    if version != VERSION {
        return Output::OtherVersion(version.to_owned());
    }
    let mut encoded = String::new();
    loop {
        let Some(line) = lines.next() else { return Output::Cut };
        match line.strip_prefix(END) {
            Some("0") => break,
            Some(status) => return Output::Damaged(format!("base64 failed on it: exit code {status}")),
            None => encoded.push_str(line),
        }
    }
    match decode(&encoded) {
        Ok(bytes) => capture(bytes),
        Err(problem) => Output::Damaged(problem),
    }
}

fn decode(encoded: &str) -> Result<Vec<u8>, String> {
    if encoded.is_empty() {
        return Err("gzip printed nothing on it".to_owned());
    }
    let compressed =
        STANDARD.decode(encoded).map_err(|error| format!("its output is not base64: {error}"))?;
    let mut bytes = Vec::new();
    let mut decoder = GzDecoder::new(&compressed[..]).take(CAPTURE_MAX + 1);
    decoder.read_to_end(&mut bytes).map_err(|error| format!("its output is not gzip: {error}"))?;
    if bytes.len() as u64 > CAPTURE_MAX {
        return Err(format!("its output has more than {} MiB", CAPTURE_MAX >> 20));
    }
    Ok(bytes)
}

/// The beginning of a comment line in a capture.
const COMMENT: &[u8] = b"# eks-netcheck ";

fn capture(bytes: Vec<u8>) -> Output {
    // Reading it from memory does not fail; whether it is whole does not depend on the name.
    let summary = CaptureSummary::read(&NodeName::unnamed(), &bytes[..], |_| {});
    let Ok(summary) = summary else { return Output::Damaged("its output cannot be read".to_owned()) };
    if let Some(problem) = summary.filtered_problem() {
        return Output::Damaged(problem);
    }
    if summary.left_out().is_none() {
        return Output::Damaged("its output is not that of the script".to_owned());
    }
    let mut capture =
        Capture { is_nameless: summary.status() == NodeStatus::NoProcessNames, ..Capture::default() };
    let mut answer = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        // They precede the sockets.
        let Some(comment) = line.strip_prefix(COMMENT) else { break };
        let text = String::from_utf8_lossy(comment);
        if let Some(server) = text.strip_prefix("server ") {
            capture.server = Some(server.to_owned());
        } else if let Some(line) = comment.strip_prefix(b"dns ") {
            if answer.len() + line.len() < ANSWER_MAX {
                answer.extend_from_slice(line);
                answer.push(b'\n');
            }
        } else if let Some(status) = text.strip_prefix("resolved ").and_then(|status| status.parse().ok()) {
            capture.answer = Some((status, std::mem::take(&mut answer)));
        }
    }
    capture.bytes = bytes;
    Output::Whole(capture)
}

/// The problem of an answer of the node's resolver, by the exit status of `getent`.
pub(super) fn resolver_problem(status: u32) -> Option<(GapReason, String)> {
    Some(match status {
        0 => return None,
        // https://man7.org/linux/man-pages/man1/getent.1.html
        2 => (
            GapReason::NoAnswer,
            "the name does not resolve on the node (getent ahosts: exit code 2)".to_owned(),
        ),
        // https://man7.org/linux/man-pages/man1/timeout.1.html
        124 => (GapReason::TimedOut, "the node did not resolve the name within 10 s".to_owned()),
        127 => (GapReason::NotSupported, "getent is not installed on the node".to_owned()),
        status => (GapReason::Failed, format!("getent ahosts failed on the node: exit code {status}")),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const CAPTURE: &str = "\
# eks-netcheck filtered 1
# eks-netcheck server api.example
# eks-netcheck dns 203.0.113.10 STREAM api.example
# eks-netcheck resolved 0
State Recv-Q Send-Q Local Address:Port Peer Address:Port Process
ESTAB 0 0 10.0.0.1:1 203.0.113.10:443 users:((\"kubelet\",pid=1,fd=2))
ESTAB 0 0 10.0.0.1:2 203.0.113.10:443 users:((\"kube-proxy\",pid=2,fd=2))
# eks-netcheck end ss=0 sockets=9 kept=2 named=8 nameless=0 kube-proxy=yes
";

    fn encoded(capture: &[u8]) -> String {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(capture).expect("a vector");
        STANDARD.encode(encoder.finish().expect("a vector"))
    }

    fn output(capture: &[u8]) -> String {
        let lines: Vec<_> = encoded(capture)
            .as_bytes()
            .chunks(76)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        format!("noise\neks-netcheck begin 1\n{}\neks-netcheck end 0\n", lines.join("\n"))
    }

    #[test]
    fn a_whole_output_is_a_capture_with_the_answer_of_the_resolver() {
        let Output::Whole(capture) = parse(&output(CAPTURE.as_bytes())) else { panic!("not whole") };
        assert_eq!(capture.bytes, CAPTURE.as_bytes());
        assert_eq!(capture.server.as_deref(), Some("api.example"));
        assert_eq!(capture.answer, Some((0, b"203.0.113.10 STREAM api.example\n".to_vec())));
        assert!(!capture.is_nameless);
    }

    #[test]
    fn no_beginning_of_an_output_is_whole() {
        let whole = output(CAPTURE.as_bytes());
        let end = whole.trim_end().len();
        for length in 0..end {
            for marker in ["", "---Output truncated---", "\n--output truncated--"] {
                let text = format!("{}{marker}", &whole[..length]);
                assert!(!matches!(parse(&text), Output::Whole(_)), "{length} {marker}");
            }
        }
    }

    #[test]
    fn a_changed_output_is_not_another_capture() {
        let whole = output(CAPTURE.as_bytes());
        for at in 0..whole.len() {
            for changed in ["A", "/", "\n", " ", ""] {
                let text = format!("{}{changed}{}", &whole[..at], &whole[at + 1..]);
                if let Output::Whole(capture) = parse(&text) {
                    assert_eq!(capture.bytes, CAPTURE.as_bytes(), "{at} {changed:?}");
                }
            }
        }
    }

    #[test]
    fn a_capture_without_all_of_its_rows_is_not_whole() {
        let lines: Vec<_> = CAPTURE.lines().collect();
        for without in [0, 5, 6, 7] {
            let mut rest = lines.clone();
            rest.remove(without);
            let parsed = parse(&output((rest.join("\n") + "\n").as_bytes()));
            assert!(matches!(parsed, Output::Damaged(_)), "{without}: {parsed:?}");
        }
        let failed = CAPTURE.replace("ss=0", "ss=137");
        assert_eq!(
            parse(&output(failed.as_bytes())),
            Output::Damaged("ss failed on the node: exit code 137".to_owned())
        );
        let more = format!("{CAPTURE}ESTAB 0 0 10.0.0.1:3 203.0.113.10:443\n");
        assert!(matches!(parse(&output(more.as_bytes())), Output::Damaged(_)));
    }

    #[test]
    fn an_output_that_expands_without_end_is_refused() {
        let bomb = encoded(&vec![b'x'; usize::try_from(CAPTURE_MAX).expect("64 bits") + 10]);
        let text = format!("eks-netcheck begin 1\n{bomb}\neks-netcheck end 0\n");
        assert_eq!(parse(&text), Output::Damaged("its output has more than 64 MiB".to_owned()));
    }

    #[test]
    fn what_the_script_did_not_print_is_told_apart() {
        assert_eq!(parse(""), Output::Cut);
        assert_eq!(parse("eks-netcheck missing ss gzip\n"), Output::Missing("ss gzip".to_owned()));
        assert_eq!(parse("eks-netcheck begin 2\nx\n"), Output::OtherVersion("2".to_owned()));
        for text in
            ["eks-netcheck begin 1\n*\neks-netcheck end 0", "eks-netcheck begin 1\neks-netcheck end 0"]
        {
            assert!(matches!(parse(text), Output::Damaged(_)), "{text}");
        }
        assert!(matches!(parse("eks-netcheck begin 1\neks-netcheck end 127"), Output::Damaged(_)));
    }
}
