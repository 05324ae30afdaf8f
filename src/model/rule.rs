//! Rules, and what a rule found or could not see.

use super::expectations::Expectations;
use super::facts::Facts;
use super::file::File;
use super::gap::Gap;

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
    /// The evidence that the check needs besides `cluster.json`.
    pub needs: &'static [Need],
    /// The check. Its second argument is what the policy expects of the cluster.
    pub check: fn(&Facts, &Expectations) -> Outcome,
}

/// A kind of evidence that a rule needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// An answer of EC2.
    File(File),
    /// What the endpoint's name resolves to.
    Dns,
    /// The nodes' sockets.
    Nodes,
}

impl Need {
    /// The words for it in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File(file) => file.name(),
            Self::Dns => "the endpoint's addresses by DNS",
            Self::Nodes => "the nodes' sockets",
        }
    }
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
