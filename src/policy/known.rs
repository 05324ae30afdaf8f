//! The findings of the baseline for a cluster, and what became of them.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::baseline::{Baseline, BaselineState, Comparison, FindingId, KnownFinding, Recorded};
use crate::model::cluster::Cluster;
use crate::model::judgment::Judgment;
use crate::model::rule::{Finding, Rule, Severity};

/// The findings of the baseline for a cluster.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    /// `None` if the baseline has no report on the cluster.
    findings: Option<&'a BTreeMap<FindingId, Recorded>>,
    /// What limits the comparison.
    note: Option<&'static str>,
}

impl<'a> Known<'a> {
    pub(super) fn new(baseline: &'a Baseline, cluster: &Cluster) -> Self {
        Self { findings: baseline.of(cluster), note: baseline.note(cluster) }
    }

    /// Whether a finding of this severity is known.
    pub(super) fn state(self, rule: &Rule, finding: &Finding, severity: Severity) -> BaselineState {
        match self.findings.and_then(|findings| findings.get(&FindingId::new(rule, finding))) {
            Some(recorded) if recorded.covers(severity, finding) => BaselineState::Unchanged,
            Some(_) => BaselineState::Worse,
            None => BaselineState::New,
        }
    }

    /// What became of the findings that a judgment has not. Of a rule that could not be judged,
    /// was not to be, or does not exist, that is not known.
    pub(super) fn compare(self, rules: &[&'static Rule], judgment: &Judgment) -> Comparison {
        let found: BTreeSet<_> =
            judgment.findings.iter().map(|judged| FindingId::new(judged.rule, &judged.finding)).collect();
        let is_judged = |rule: &&&Rule| judgment.outcome(rule).is_judged();
        let judged: BTreeSet<_> = rules.iter().filter(is_judged).map(|rule| rule.id).collect();
        let mut comparison = Comparison { note: self.note, ..Comparison::default() };
        for (id, recorded) in self.findings.into_iter().flatten().filter(|(id, _)| !found.contains(id)) {
            let list = if judged.contains(id.rule.as_str()) {
                &mut comparison.gone
            } else {
                &mut comparison.not_judged
            };
            list.push(KnownFinding { id: id.clone(), message: recorded.message.clone() });
        }
        comparison
    }
}
