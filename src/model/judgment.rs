//! The judgment: the outcomes of the rules under a policy.

use std::cmp::Reverse;
use std::sync::Arc;

use super::baseline::{BaselineState, Comparison};
use super::compliance::Control;
use super::gap::Gap;
use super::rule::{Finding, Rule, Severity, Step, Threshold};

/// The verdict of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// No finding is at or above the threshold, and no rule there lacked evidence, other than
    /// rules that are not judged and gaps that the policy accepts.
    Pass,
    /// There are findings at or above the threshold.
    Fail,
    /// Evidence is missing that a rule at or above the threshold needs, or without which none of
    /// the rules that were named could be judged.
    Inconclusive,
}

impl Verdict {
    /// Its name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// The outcomes of the rules under a policy.
#[derive(Debug)]
pub struct Judgment {
    /// The verdict.
    pub verdict: Verdict,
    /// The severity from which findings fail the run.
    pub threshold: Threshold,
    /// The findings, by descending severity.
    pub findings: Vec<JudgedFinding>,
    /// The gaps; first those that the verdict depends on.
    pub gaps: Vec<JudgedGap>,
    /// Whether rules were named on the command line and none of them could be judged, which makes
    /// the run inconclusive whatever their severity.
    pub is_blind: bool,
    /// The rules that were not judged for lack of evidence, and that the verdict does not
    /// depend on.
    pub not_judged: Vec<NotJudged>,
    /// The rules that the policy turns off.
    pub off: Vec<&'static Rule>,
    /// The rules that are not selected on the command line.
    pub skipped: Vec<&'static Rule>,
    /// Whether the cluster meets the controls of the rules, except those by our own mapping;
    /// sorted.
    pub controls: Vec<ControlResult>,
    /// What comparing with the baseline shows; `None` without one.
    pub comparison: Option<Comparison>,
}

impl Judgment {
    /// The controls of a rule that the cluster meets: those of which no rule has a finding or
    /// lacks evidence.
    pub fn controls_met(&self, rule: &Rule) -> impl Iterator<Item = &'static Control> {
        let met = self.controls.iter().filter(|result| result.status == ControlStatus::Pass);
        met.map(|result| result.control).filter(|control| rule.controls.contains(control))
    }

    /// Whether the cluster meets a control, by the outcome of one rule.
    #[must_use]
    pub fn status_by(&self, rule: &Rule) -> ControlStatus {
        let mut findings = self.findings.iter().filter(|judged| judged.rule.id == rule.id).peekable();
        let is_found = findings.peek().is_some();
        if findings.any(|judged| judged.waived_by().is_none()) {
            ControlStatus::Fail
        } else if !self.outcome(rule).is_judged() {
            ControlStatus::Unknown
        } else if is_found {
            ControlStatus::Waived
        } else {
            ControlStatus::Pass
        }
    }

    /// Why a rule is not judged at all; `None` if it is judged.
    #[must_use]
    pub fn exclusion(&self, rule: &Rule) -> Option<Exclusion> {
        let is_in = |rules: &[&Rule]| rules.iter().any(|one| one.id == rule.id);
        if is_in(&self.skipped) {
            Some(Exclusion::CommandLine)
        } else {
            is_in(&self.off).then_some(Exclusion::Policy)
        }
    }

    /// Whether a severity is at or above the threshold.
    #[must_use]
    pub fn reaches_threshold(&self, severity: Severity) -> bool {
        self.threshold.is_some_and(|threshold| severity >= threshold)
    }

    /// Whether a finding fails the run: it counts and reaches the threshold.
    #[must_use]
    pub fn fails(&self, judged: &JudgedFinding) -> bool {
        judged.counts() && self.reaches_threshold(judged.severity)
    }
}

/// Why a rule is not judged, whatever the evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exclusion {
    /// The policy turns it off.
    Policy,
    /// It is not selected on the command line.
    CommandLine,
}

impl Exclusion {
    /// The reason in words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "switched off by the policy",
            Self::CommandLine => "not selected on the command line",
        }
    }
}

/// A rule that was not judged, in whole or for some nodes, with the missing evidence.
#[derive(Debug)]
pub struct NotJudged {
    /// The rule.
    pub rule: &'static Rule,
    /// The missing evidence.
    pub gap: Gap,
}

/// A finding with its rule.
#[derive(Debug)]
pub struct JudgedFinding {
    /// The rule.
    pub rule: &'static Rule,
    /// Its severity under the policy.
    pub severity: Severity,
    /// The finding.
    pub finding: Finding,
    /// The steps that resolve it and the other findings of the rule; none if the rule's
    /// remediation applies as it is.
    pub steps: Arc<[Step]>,
    /// The waiver that matches it, which may have expired.
    pub waiver: Option<Waiver>,
    /// Whether the baseline has it; `None` without a baseline.
    pub baseline: Option<BaselineState>,
}

/// The key of the order of findings.
pub type Rank = (bool, bool, Reverse<Severity>);

impl JudgedFinding {
    /// The waiver in force, which excludes the finding from the verdict.
    #[must_use]
    pub fn waived_by(&self) -> Option<&Waiver> {
        self.waiver.as_ref().filter(|waiver| !waiver.is_expired)
    }

    /// Whether it is known from the baseline, which excludes it from the verdict. A waiver takes
    /// precedence.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.waived_by().is_none() && self.baseline == Some(BaselineState::Unchanged)
    }

    /// Whether the verdict depends on it: it is neither waived nor known.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.waived_by().is_none() && !self.is_known()
    }

    /// The key of the order of findings: the worst first, of those that count; then known ones, then
    /// waived ones.
    #[must_use]
    pub fn rank(&self) -> Rank {
        (!self.counts(), self.waived_by().is_some(), Reverse(self.severity))
    }

    /// Whether another one is waived, known or counts as this one.
    #[must_use]
    pub fn counts_like(&self, other: &Self) -> bool {
        let way = |one: &Self| (one.waived_by().is_some(), one.is_known());
        way(self) == way(other)
    }
}

/// A waiver: an entry of the policy that accepts findings until a date.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Waiver {
    /// Its line in the policy file, from 1.
    pub line: usize,
    /// The id of the rule.
    pub rule: String,
    /// A glob that matches the subjects of the findings: names and ARNs.
    pub resource: String,
    /// The reason.
    pub reason: String,
    /// The owner.
    pub owner: String,
    /// The expiry date, as written in the policy.
    pub expires: String,
    /// Whether it has expired.
    pub is_expired: bool,
}

/// An acceptance: an entry of the policy that accepts gaps until a date.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Acceptance {
    /// Its line in the policy file, from 1.
    pub line: usize,
    /// A glob that matches the subjects of the gaps.
    pub subject: String,
    /// The reason.
    pub reason: String,
    /// The owner.
    pub owner: String,
    /// The expiry date, as written in the policy.
    pub expires: String,
    /// Whether it has expired.
    pub is_expired: bool,
}

/// A note about the policy itself, such as an expired waiver.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyNote {
    /// The line in the policy file, from 1.
    pub line: usize,
    /// Its kind.
    pub kind: PolicyNoteKind,
    /// Its text.
    pub text: String,
}

/// The kind of a [`PolicyNote`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PolicyNoteKind {
    /// A waiver has expired; its findings count again.
    WaiverExpired,
    /// A waiver matches no finding.
    WaiverUnused,
    /// The acceptance of a gap has expired; the gap counts again.
    AcceptanceExpired,
    /// An acceptance matches no gap.
    AcceptanceUnused,
    /// An allowed CIDR block has expired.
    CidrExpired,
}

impl PolicyNoteKind {
    /// Its name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WaiverExpired => "waiver-expired",
            Self::WaiverUnused => "waiver-unused",
            Self::AcceptanceExpired => "acceptance-expired",
            Self::AcceptanceUnused => "acceptance-unused",
            Self::CidrExpired => "cidr-expired",
        }
    }
}

/// A gap with the rules that it makes inconclusive.
#[derive(Debug)]
pub struct JudgedGap {
    /// The gap.
    pub gap: Gap,
    /// The rules; none if no rule needs the evidence.
    pub rules: Vec<&'static Rule>,
    /// Whether the verdict depends on the missing evidence.
    pub needed: bool,
    /// The acceptance that matches it, which may have expired.
    pub accepted: Option<Acceptance>,
}

impl JudgedGap {
    /// The acceptance in force, which excludes the gap from the verdict.
    #[must_use]
    pub fn accepted_by(&self) -> Option<&Acceptance> {
        self.accepted.as_ref().filter(|accepted| !accepted.is_expired)
    }
}

/// Whether a cluster meets a control, by all rules that belong to it in the same way.
#[derive(Debug, Clone)]
pub struct ControlResult {
    /// The control.
    pub control: &'static Control,
    /// Whether the cluster meets it.
    pub status: ControlStatus,
    /// The rules that belong to it, in the order in which they are documented.
    pub rules: Vec<&'static Rule>,
}

/// Whether a cluster meets a control. The worst rule decides, in the order of the variants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ControlStatus {
    /// No rule found anything.
    Pass,
    /// All findings are waived. The cluster does not meet the control; the policy accepts that.
    Waived,
    /// Evidence is missing, or a rule is turned off by the policy or not selected.
    Unknown,
    /// A rule has findings, of whatever severity.
    Fail,
}

impl ControlStatus {
    /// Its name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Waived => "waived",
            Self::Unknown => "unknown",
            Self::Fail => "fail",
        }
    }
}
