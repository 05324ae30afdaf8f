//! Rules and their outcomes: findings and gaps.

use ipnet::IpNet;

use super::compliance::Control;
use super::expectations::Expectations;
use super::facts::Facts;
use super::file::File;
use super::gap::Gap;
use super::text::{capital, split_command};

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Informational.
    Low,
    /// Should be fixed.
    Medium,
    /// Should be fixed soon.
    High,
    /// Should be fixed immediately.
    Critical,
}

/// The severity from which findings fail a run; `None` if none do.
pub type Threshold = Option<Severity>;

impl Severity {
    /// Its name in reports.
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

/// A rule: its check with its texts, which `explain`, the documentation and all output
/// formats use.
#[derive(Debug)]
pub struct Rule {
    /// Its public id, in kebab case. It never changes.
    pub id: &'static str,
    /// The severity of its findings, unless a policy overrides it.
    pub severity: Severity,
    /// What it finds, as a sentence without a full stop.
    pub summary: &'static str,
    /// Why the finding matters.
    pub why: &'static str,
    /// How to fix it: prose, and commands in lines that are indented by four blanks. In
    /// commands, the placeholders `CLUSTER`, `REGION`, `VPC`, `ENDPOINT` and
    /// `SECURITY_GROUP` are replaced by the values of the cluster.
    pub remediation: &'static str,
    /// The URL of the AWS documentation.
    pub reference: &'static str,
    /// The controls of standards that it belongs to.
    pub controls: &'static [Control],
    /// The evidence that the check needs besides `cluster.json`.
    pub needs: &'static [Need],
    /// The effect of missing evidence on the run.
    pub without_evidence: WithoutEvidence,
    /// The steps that resolve its findings in a cluster, in their order, under what the
    /// policy allows; none if the remediation applies to every cluster as it is.
    pub steps: fn(&Facts, &Expectations, &[Finding]) -> Vec<Step>,
    /// The check. Its second argument is what the policy allows.
    pub check: fn(&Facts, &Expectations) -> Outcome,
}

/// The effect on a run if evidence that a rule needs is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithoutEvidence {
    /// The run is inconclusive, if the rule's severity reaches the threshold.
    Inconclusive,
    /// The rule is listed as not judged, and the verdict does not depend on it.
    NotJudged,
}

/// A step of a remediation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Step {
    /// What to do, as a sentence without a full stop.
    pub text: String,
    /// The command that does it.
    pub command: Option<String>,
    /// How to see that it worked.
    pub check: Option<Check>,
    /// The blocks that it adds to `publicAccessCidrs`. A command replaces the whole list, so that
    /// the blocks of several steps belong into one command.
    pub admits: Vec<IpNet>,
}

/// How to see that a step worked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Check {
    /// What is seen, as a sentence without a full stop.
    pub text: String,
    /// The command that shows it, unless it is that of the step.
    pub command: Option<String>,
}

impl Step {
    /// A step without a command.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), command: None, check: None, admits: Vec::new() }
    }

    /// The next step of a gap; `None` if it has none.
    #[must_use]
    pub fn of_hint(hint: &str) -> Option<Self> {
        if hint.is_empty() {
            return None;
        }
        let (text, command) = split_command(hint);
        Some(Self { command: command.map(ToOwned::to_owned), ..Self::new(capital(text)) })
    }

    /// Sets the command.
    #[must_use]
    pub fn command(self, command: impl Into<String>) -> Self {
        Self { command: Some(command.into()), ..self }
    }

    /// Sets the blocks that it adds to `publicAccessCidrs`.
    #[must_use]
    pub fn admits(self, blocks: &[IpNet]) -> Self {
        Self { admits: blocks.to_vec(), ..self }
    }

    /// Sets what the command shows when the step is done.
    #[must_use]
    pub fn done_when(self, text: impl Into<String>) -> Self {
        Self { check: Some(Check { text: text.into(), command: None }), ..self }
    }

    /// Sets a command that shows whether the step worked, and what it shows.
    #[must_use]
    pub fn check(self, text: impl Into<String>, command: impl Into<String>) -> Self {
        Self { check: Some(Check { text: text.into(), command: Some(command.into()) }), ..self }
    }
}

/// A kind of evidence that a rule needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// A file with an answer of EC2.
    File(File),
    /// The addresses of the endpoint.
    Dns,
    /// The sockets of the nodes.
    Nodes,
    /// The answers to probes.
    Probe,
}

impl Need {
    /// Its name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File(file) => file.name(),
            Self::Dns => "the endpoint's addresses by DNS",
            Self::Nodes => "the nodes' sockets",
            Self::Probe => "the answers to probes of the endpoint",
        }
    }
}

/// The outcome of a rule. The rule passes if there are neither findings nor gaps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The findings.
    pub findings: Vec<Finding>,
    /// The missing evidence that the rule needs.
    pub gaps: Vec<Gap>,
    /// The steps that resolve the findings.
    pub steps: Vec<Step>,
}

impl Outcome {
    /// The outcome without findings and gaps.
    #[must_use]
    pub fn pass() -> Self {
        Self::default()
    }

    /// The outcome with one finding.
    #[must_use]
    pub fn fail(subject: impl Into<String>, message: impl Into<String>) -> Self {
        Finding::new(subject, message).into()
    }

    /// The outcome with one gap.
    #[must_use]
    pub fn inconclusive(gap: Gap) -> Self {
        Self { findings: Vec::new(), gaps: vec![gap], steps: Vec::new() }
    }
}

impl From<Finding> for Outcome {
    fn from(finding: Finding) -> Self {
        Self { findings: vec![finding], gaps: Vec::new(), steps: Vec::new() }
    }
}

/// A finding of a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// What it is about: an ARN, an id or a node name.
    pub subject: String,
    /// What distinguishes several findings of the rule about one subject: a peer, an
    /// attribute. Rule, subject and this value identify a finding across runs.
    pub about: Option<String>,
    /// What was found, and the next step if the remediation of the rule has none.
    pub message: String,
    /// Its severity, if it is lower than that of the rule.
    pub severity: Option<Severity>,
    /// What it extends to, of which more is worse: the blocks that are open, the processes on a
    /// path. Empty if there is no such thing. Nodes are none: they come and go.
    pub extent: Vec<String>,
}

impl Finding {
    /// A finding with a subject and a message.
    #[must_use]
    pub fn new(subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            about: None,
            message: message.into(),
            severity: None,
            extent: Vec::new(),
        }
    }

    /// Sets a severity lower than that of the rule.
    #[must_use]
    pub fn at(self, severity: Severity) -> Self {
        Self { severity: Some(severity), ..self }
    }

    /// Sets the extent.
    #[must_use]
    pub fn over(self, parts: impl IntoIterator<Item = impl ToString>) -> Self {
        Self { extent: parts.into_iter().map(|part| part.to_string()).collect(), ..self }
    }

    /// Sets `about`.
    #[must_use]
    pub fn of(self, about: impl Into<String>) -> Self {
        Self { about: Some(about.into()), ..self }
    }
}
