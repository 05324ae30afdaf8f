//! What the outcomes of the rules amount to under a policy.

use super::gap::Gap;
use super::rule::{Finding, Rule, Severity};

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
        self.waiver.as_ref().filter(|waiver| !waiver.is_expired)
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
    pub is_expired: bool,
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
