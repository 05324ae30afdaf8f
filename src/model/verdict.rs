//! Rules and what they say.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::facts::Facts;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Low,
    /// Worth mending.
    Medium,
    /// Mend it soon.
    High,
    /// Mend it now.
    Critical,
}

impl Severity {
    /// The word for it in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// The answer of a whole run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Judged, and nothing at or above the threshold.
    Pass,
    /// Judged, and findings at or above the threshold.
    Fail,
    /// Something was not seen that a rule at or above the threshold needed.
    Inconclusive,
}

impl Verdict {
    /// The word for it in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// A check with everything that is said about it: `explain`, the README and
/// every output format take it from here.
#[derive(Debug)]
pub struct Rule {
    /// Its public id, in kebab case; never changes.
    pub id: &'static str,
    /// How bad its findings are unless a policy says otherwise.
    pub severity: Severity,
    /// What it finds, in a sentence without a full stop.
    pub summary: &'static str,
    /// Why that matters.
    pub why: &'static str,
    /// How to mend it: prose, and commands to paste in lines that begin with
    /// four blanks. In those `CLUSTER`, `REGION`, `VPC`, `ENDPOINT` and
    /// `SECURITY_GROUP` stand for the cluster's own.
    pub remediation: &'static str,
    /// Where AWS says so.
    pub reference: &'static str,
    /// The check.
    pub check: fn(&Facts) -> Outcome,
}

/// What a rule says: it passes when it found nothing and missed nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What it found.
    pub findings: Vec<Finding>,
    /// What it needed and did not see.
    pub gaps: Vec<Gap>,
}

impl Outcome {
    /// Nothing found, nothing missed.
    #[must_use]
    pub fn pass() -> Self {
        Self::default()
    }

    /// One finding.
    #[must_use]
    pub fn fail(subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self { findings: vec![Finding::new(subject, message)], gaps: Vec::new() }
    }

    /// One thing that was not seen.
    #[must_use]
    pub fn inconclusive(gap: Gap) -> Self {
        Self { findings: Vec::new(), gaps: vec![gap] }
    }
}

/// Something that a rule found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// What it is about: an ARN, an id, a node's name.
    pub subject: String,
    /// Which of the subject's it is, where a rule can find several: a peer, an
    /// attribute. With the subject it tells findings apart from run to run.
    pub about: Option<String>,
    /// What was seen, and the next step where the rule's own text has none.
    pub message: String,
}

impl Finding {
    /// A finding.
    #[must_use]
    pub fn new(subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self { subject: subject.into(), about: None, message: message.into() }
    }

    /// The same, of one of the things that a rule can find of the subject.
    #[must_use]
    pub fn of(self, about: impl Into<String>) -> Self {
        Self { about: Some(about.into()), ..self }
    }
}

/// Something that was not seen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gap {
    /// What: an evidence file, or `node NAME`.
    pub what: String,
    /// Why, as a word.
    pub why: GapReason,
    /// Why, in words.
    pub detail: String,
    /// The next step.
    pub hint: String,
}

impl Gap {
    /// Whether it was left out because the user wants it so: that is nothing the
    /// verdict lacks. Only nodes can be.
    #[must_use]
    pub fn is_left_out(&self) -> bool {
        self.why == GapReason::NotAsked && self.what == "nodes"
    }
}

/// Why something was not seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GapReason {
    /// The evidence holds nothing of it.
    NotRecorded,
    /// The evidence holds a part of it.
    Incomplete,
    /// It is not to be had of this kind of cluster or node.
    NotSupported,
    /// The file that should hold it holds something else.
    Malformed,
    /// The capture was not run as root.
    NoProcessNames,
    /// It did not answer.
    Unreachable,
    /// The name did not resolve.
    NoAnswer,
    /// A permission is missing.
    AccessDenied,
    /// Nobody to ask as.
    NoCredentials,
    /// The user asked for it to be left out, so no rule is judged by it.
    NotAsked,
    /// It took longer than was allowed.
    TimedOut,
    /// It gave more than any such answer holds.
    TooMuchOutput,
    /// The node's name does not resolve where ssh runs.
    NameNotResolved,
    /// Nothing listens where ssh connects to.
    ConnectionRefused,
    /// The connection broke off.
    ConnectionLost,
    /// ssh knows no key of the host.
    HostKeyUnknown,
    /// ssh knows another key of the host.
    HostKeyChanged,
    /// The host took none of the user's keys.
    LoginRefused,
    /// The user may log in and run nothing.
    NoShell,
    /// There is no such thing.
    NotFound,
    /// The run was ended before.
    Interrupted,
    /// What else a recording says.
    #[serde(other)]
    Failed,
}

impl GapReason {
    /// The word for it in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotRecorded => "not-recorded",
            Self::Incomplete => "incomplete",
            Self::NotSupported => "not-supported",
            Self::Malformed => "malformed",
            Self::NoProcessNames => "no-process-names",
            Self::Unreachable => "unreachable",
            Self::NoAnswer => "no-answer",
            Self::AccessDenied => "access-denied",
            Self::NoCredentials => "no-credentials",
            Self::NotAsked => "not-asked",
            Self::TimedOut => "timed-out",
            Self::TooMuchOutput => "too-much-output",
            Self::NameNotResolved => "name-not-resolved",
            Self::ConnectionRefused => "connection-refused",
            Self::ConnectionLost => "connection-lost",
            Self::HostKeyUnknown => "host-key-unknown",
            Self::HostKeyChanged => "host-key-changed",
            Self::LoginRefused => "login-refused",
            Self::NoShell => "no-shell",
            Self::NotFound => "not-found",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
        }
    }
}

/// A name in a command to paste: itself where a shell takes it as one word that
/// means nothing else, or the placeholder.
#[must_use]
pub fn shell_word<'a>(name: &'a str, placeholder: &'a str) -> &'a str {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte);
    let fits = !name.is_empty() && !name.starts_with('-') && name.bytes().all(is_plain);
    if fits { name } else { placeholder }
}

/// A word of a command line, so that a shell takes it back as that word.
#[must_use]
pub fn shell_quoted(word: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=:,@%+".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

/// What the rules' outcomes come to under a policy.
#[derive(Debug)]
pub struct Judgment {
    /// The answer.
    pub verdict: Verdict,
    /// What was found, worst first.
    pub findings: Vec<JudgedFinding>,
    /// What was not seen: what the verdict needed first.
    pub gaps: Vec<JudgedGap>,
    /// Rules that the policy has switched off.
    pub off: Vec<&'static Rule>,
}

/// A finding with its rule.
#[derive(Debug)]
pub struct JudgedFinding {
    /// The rule.
    pub rule: &'static Rule,
    /// How bad it is.
    pub severity: Severity,
    /// The finding.
    pub finding: Finding,
    /// The waiver for it, which may be over.
    pub waiver: Option<Waiver>,
}

impl JudgedFinding {
    /// The waiver that keeps it from counting.
    #[must_use]
    pub fn waived_by(&self) -> Option<&Waiver> {
        self.waiver.as_ref().filter(|waiver| !waiver.is_over)
    }
}

/// Somebody's word that findings are to be put up with for a while.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Waiver {
    /// Where it stands in the policy file: the line, from 1.
    pub line: usize,
    /// The rule's id.
    pub rule: String,
    /// What it is for: a glob over names and ARNs.
    pub resource: String,
    /// Why.
    pub reason: String,
    /// Who answers for it.
    pub owner: String,
    /// Until when, as it was written.
    pub expires: String,
    /// Whether that is over.
    pub is_over: bool,
}

/// Something about the policy itself that its owner should know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyNote {
    /// Where in the policy file: the line, from 1.
    pub line: usize,
    /// What it is about.
    pub kind: PolicyNoteKind,
    /// What, in words.
    pub text: String,
}

/// What a [`PolicyNote`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PolicyNoteKind {
    /// A waiver's time is over: what it was for counts again.
    WaiverExpired,
    /// A waiver is for nothing that was found.
    WaiverUnused,
    /// The time of an allowed block is over.
    CidrExpired,
}

impl PolicyNoteKind {
    /// The word for it in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WaiverExpired => "waiver-expired",
            Self::WaiverUnused => "waiver-unused",
            Self::CidrExpired => "cidr-expired",
        }
    }
}

/// A gap with the rules that it left inconclusive.
#[derive(Debug)]
pub struct JudgedGap {
    /// The gap.
    pub gap: Gap,
    /// The rules; none where the gap cost the verdict nothing.
    pub rules: Vec<&'static Rule>,
    /// Whether the verdict needed it.
    pub needed: bool,
}
