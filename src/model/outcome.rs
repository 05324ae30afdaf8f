//! The outcome of one rule for a cluster, which formats that report rule by rule map to their own
//! words.

use super::gap::Gap;
use super::judgment::{Acceptance, Exclusion, JudgedFinding, JudgedGap, Judgment, NotJudged};
use super::rule::Rule;

/// The outcome of a rule for a cluster under the policy: its findings and gaps by their effect on
/// the verdict.
#[derive(Debug)]
pub struct RuleOutcome<'a> {
    /// The findings that count and reach the threshold, the worst first.
    pub failing: Vec<&'a JudgedFinding>,
    /// The findings that count and are below the threshold, the worst first.
    pub below: Vec<&'a JudgedFinding>,
    /// The findings that are waived, or known from the baseline.
    pub excepted: Vec<&'a JudgedFinding>,
    /// The gaps that the verdict depends on.
    pub needed: Vec<&'a JudgedGap>,
    /// Other gaps, also those that the policy accepts.
    pub other_gaps: Vec<&'a JudgedGap>,
    /// The gaps of a rule that no verdict depends on.
    pub not_judged: Vec<&'a NotJudged>,
    /// Why the rule is not judged at all.
    pub exclusion: Option<Exclusion>,
}

/// The outcome of a rule in one word: of several that apply, the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleStatus {
    /// Findings fail the run.
    Fails,
    /// Evidence is missing that the verdict depends on.
    Inconclusive,
    /// Findings count, and are below the threshold.
    Below,
    /// Evidence is missing that the verdict does not depend on, and that is not accepted.
    Unseen,
    /// All findings are waived or known.
    Excepted,
    /// Evidence is missing, and the policy accepts that.
    Accepted,
    /// The rule is not judged, whatever the evidence.
    Excluded(Exclusion),
    /// Nothing was found.
    Passes,
}

impl Judgment {
    /// The outcome of a rule.
    #[must_use]
    pub fn outcome(&self, rule: &Rule) -> RuleOutcome<'_> {
        let findings = self.findings.iter().filter(|judged| judged.rule.id == rule.id);
        let (counted, excepted): (Vec<_>, Vec<_>) = findings.partition(|judged| judged.counts());
        let (failing, below) = counted.into_iter().partition(|judged| self.fails(judged));
        let gaps = self.gaps.iter().filter(|judged| judged.rules.iter().any(|one| one.id == rule.id));
        let (needed, other_gaps) = gaps.partition(|judged| judged.needed);
        let not_judged = self.not_judged.iter().filter(|one| one.rule.id == rule.id).collect();
        let exclusion = self.exclusion(rule);
        RuleOutcome { failing, below, excepted, needed, other_gaps, not_judged, exclusion }
    }
}

impl<'a> RuleOutcome<'a> {
    /// All findings: first those that count, the worst first.
    pub fn findings(&self) -> impl Iterator<Item = &'a JudgedFinding> {
        self.counted().chain(self.excepted.iter().copied())
    }

    /// The findings that count, the worst first.
    pub fn counted(&self) -> impl Iterator<Item = &'a JudgedFinding> {
        self.failing.iter().chain(&self.below).copied()
    }

    /// The missing evidence, with its acceptance if it is accepted. Of several gaps, one that the
    /// verdict depends on, or else one that is not accepted.
    #[must_use]
    pub fn gap(&self) -> Option<(&'a Gap, Option<&'a Acceptance>)> {
        let gaps = self.needed.iter().chain(&self.other_gaps);
        let gaps = gaps.map(|judged| (&judged.gap, judged.accepted_by()));
        let all = gaps.chain(self.not_judged.iter().map(|one| (&one.gap, None)));
        all.min_by_key(|(_, accepted)| accepted.is_some())
    }

    /// Whether the rule had all evidence that it needs, and is not excluded.
    #[must_use]
    pub fn is_judged(&self) -> bool {
        self.gap().is_none() && self.exclusion.is_none()
    }

    /// The outcome in one word.
    #[must_use]
    pub fn status(&self) -> RuleStatus {
        let unaccepted = self.gap().map(|(_, accepted)| accepted.is_none());
        match self.exclusion {
            _ if !self.failing.is_empty() => RuleStatus::Fails,
            _ if !self.needed.is_empty() => RuleStatus::Inconclusive,
            _ if !self.below.is_empty() => RuleStatus::Below,
            _ if unaccepted == Some(true) => RuleStatus::Unseen,
            _ if !self.excepted.is_empty() => RuleStatus::Excepted,
            _ if unaccepted == Some(false) => RuleStatus::Accepted,
            Some(exclusion) => RuleStatus::Excluded(exclusion),
            None => RuleStatus::Passes,
        }
    }
}
