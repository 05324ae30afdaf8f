//! What the rules' outcomes come to.

use std::collections::BTreeMap;

use crate::model::verdict::{Gap, JudgedFinding, JudgedGap, Judgment, Outcome, Rule, Severity, Verdict};

/// What a team makes of findings.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Findings at or above this fail the run; `None`: none do.
    pub fail_on: Option<Severity>,
}

/// Judges. `gaps` are those that no rule asked about.
#[must_use]
pub fn judge(policy: Policy, outcomes: Vec<(&'static Rule, Outcome)>, gaps: Vec<Gap>) -> Judgment {
    let counts = |severity: Severity| policy.fail_on.is_some_and(|threshold| severity >= threshold);
    let costs =
        |gap: &Gap, rules: &[&Rule]| !gap.is_left_out() && rules.iter().any(|rule| counts(rule.severity));
    let mut findings = Vec::new();
    let mut rules_by_gap: BTreeMap<Gap, Vec<&'static Rule>> =
        gaps.into_iter().map(|gap| (gap, Vec::new())).collect();
    for (rule, mut outcome) in outcomes {
        outcome.findings.sort();
        let judged = outcome.findings.into_iter();
        findings.extend(judged.map(|finding| JudgedFinding { rule, severity: rule.severity, finding }));
        outcome.gaps.sort();
        outcome.gaps.dedup();
        for gap in outcome.gaps {
            rules_by_gap.entry(gap).or_default().push(rule);
        }
    }
    findings.sort_by_key(|judged| std::cmp::Reverse(judged.severity));
    let mut gaps: Vec<_> = rules_by_gap
        .into_iter()
        .map(|(gap, rules)| JudgedGap { needed: costs(&gap, &rules), gap, rules })
        .collect();
    gaps.sort_by_key(|judged| !judged.needed);
    let verdict = if findings.iter().any(|judged| counts(judged.severity)) {
        Verdict::Fail
    } else if gaps.iter().any(|judged| judged.needed) {
        Verdict::Inconclusive
    } else {
        Verdict::Pass
    };
    Judgment { verdict, findings, gaps }
}
