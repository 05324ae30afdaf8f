//! One interpretation of the policy for a cluster: which of its entries apply.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::entries::Settings;
use super::exceptions::Exceptions;
use super::known::Known;
use crate::model::compliance::{Control, Mapping};
use crate::model::expectations::Expectations;
use crate::model::gap::Gap;
use crate::model::judgment::{
    ControlResult, ControlStatus, JudgedFinding, JudgedGap, Judgment, NotJudged, Verdict,
};
use crate::model::rule::{Finding, Outcome, Rule, Severity, Step, Threshold, WithoutEvidence};
use crate::model::selection::Selection;

/// The outcomes of all rules.
pub(super) type Outcomes = Vec<(&'static Rule, Outcome)>;

/// The severity from which findings fail a run by default.
const FAIL_ON: Severity = Severity::High;

/// An interpretation of the policy for a cluster: a decision on each entry of which it is not known
/// whether it applies.
pub(super) struct Interpretation<'a> {
    pub(super) exceptions: &'a Exceptions<'a>,
    pub(super) selection: &'a Selection,
    /// The settings that apply, the one with the highest precedence first.
    pub(super) settings: Vec<&'a Settings>,
    /// Whether waivers and acceptances apply of which that is not known.
    pub(super) with_unknown: bool,
    /// The findings of the baseline, if there is one.
    pub(super) known: Option<Known<'a>>,
}

impl Interpretation<'_> {
    /// What is expected of the endpoint.
    pub(super) fn expected(&self) -> Expectations {
        let default = Expectations::default();
        let settings = || self.settings.iter();
        let lists: Vec<_> = settings().filter_map(|settings| settings.allowed.as_deref()).collect();
        let allowed = lists.iter().copied().flatten().map(|(_, entry)| entry.clone());
        Expectations {
            access: settings().find_map(|settings| settings.access.clone()),
            private_only: settings().find_map(|settings| settings.private_only).unwrap_or(false),
            widest_v4: settings().find_map(|settings| settings.widest_v4).unwrap_or(default.widest_v4),
            widest_v6: settings().find_map(|settings| settings.widest_v6).unwrap_or(default.widest_v6),
            // The lists of overrides add to the general one.
            allowed: (!lists.is_empty()).then(|| allowed.collect()),
        }
    }

    /// Judges the outcomes of the rules. `fail_on` takes precedence over the policy's.
    pub(super) fn judge(&self, fail_on: Option<Threshold>, outcomes: Outcomes, gaps: Vec<Gap>) -> Judgment {
        let of_policy = || self.settings.iter().find_map(|settings| settings.fail_on);
        let fail_on = fail_on.or_else(of_policy).unwrap_or(Some(FAIL_ON));
        let mut judgment = Judgment {
            verdict: Verdict::Pass,
            threshold: fail_on,
            findings: Vec::new(),
            gaps: Vec::new(),
            is_blind: false,
            not_judged: Vec::new(),
            off: Vec::new(),
            skipped: Vec::new(),
            controls: Vec::new(),
            comparison: None,
        };
        let rules: Vec<_> = outcomes.iter().map(|(rule, _)| *rule).collect();
        let is_accepted = |gap: &Gap| {
            let accepted = self.exceptions.acceptance(gap, self.with_unknown);
            accepted.is_some_and(|accepted| !accepted.is_expired)
        };
        let (mut named, mut unseen) = (0, 0);
        let mut rules_by_gap: BTreeMap<Gap, Vec<&'static Rule>> =
            gaps.into_iter().map(|gap| (gap, Vec::new())).collect();
        for (rule, outcome) in outcomes {
            if !self.selection.includes(rule) {
                judgment.skipped.push(rule);
                continue;
            }
            let Some(severity) = self.severity(rule) else {
                judgment.off.push(rule);
                continue;
            };
            if self.selection.names(rule) {
                named += 1;
                let is_unseen =
                    outcome.findings.is_empty() && outcome.gaps.iter().any(|gap| !is_accepted(gap));
                unseen += usize::from(is_unseen);
            }
            judgment.findings.extend(self.findings(rule, severity, outcome.findings, outcome.steps.into()));
            let gaps = BTreeSet::from_iter(outcome.gaps);
            // Who names a rule asks for its outcome.
            if rule.without_evidence == WithoutEvidence::NotJudged && !self.selection.names(rule) {
                judgment.not_judged.extend(gaps.into_iter().map(|gap| NotJudged { rule, gap }));
                continue;
            }
            for gap in gaps {
                rules_by_gap.entry(gap).or_default().push(rule);
            }
        }
        judgment.findings.sort_by_key(JudgedFinding::rank);
        // A threshold of never asks for no verdict.
        let is_blind = named > 0 && unseen == named && fail_on.is_some();
        judgment.is_blind = is_blind;
        let reaches = |rule: &Rule| self.severity(rule).is_some_and(|one| judgment.reaches_threshold(one));
        let gaps = rules_by_gap
            .into_iter()
            .map(|(gap, rules)| {
                let accepted = self.exceptions.acceptance(&gap, self.with_unknown).cloned();
                let is_accepted = is_accepted(&gap);
                let is_named = rules.iter().any(|rule| self.selection.names(rule));
                let is_left_out = gap.is_left_out() && !is_named;
                let needed =
                    !is_left_out && !is_accepted && rules.iter().any(|rule| is_blind || reaches(rule));
                JudgedGap { gap, rules, needed, accepted }
            })
            .collect();
        judgment.gaps = gaps;
        judgment.gaps.sort_by_key(|judged| !judged.needed);
        judgment.verdict = if judgment.findings.iter().any(|judged| judgment.fails(judged)) {
            Verdict::Fail
        } else if judgment.gaps.iter().any(|judged| judged.needed) {
            Verdict::Inconclusive
        } else {
            Verdict::Pass
        };
        judgment.controls = controls(&rules, &judgment);
        judgment.comparison = self.known.map(|known| known.compare(&rules, &judgment));
        judgment
    }

    /// The severity of a rule; `None` if it is off.
    fn severity(&self, rule: &Rule) -> Option<Severity> {
        self.set(rule).copied().unwrap_or(Some(rule.severity))
    }

    /// What the policy sets for a rule, which it does not turn off if the command line names it.
    fn set(&self, rule: &Rule) -> Option<&Option<Severity>> {
        let is_named = self.selection.names(rule);
        let mut set = self.settings.iter().filter_map(|settings| settings.rules.get(rule.id));
        set.find(|severity| severity.is_some() || !is_named)
    }

    fn findings(
        &self,
        rule: &'static Rule,
        severity: Severity,
        mut findings: Vec<Finding>,
        steps: Arc<[Step]>,
    ) -> impl Iterator<Item = JudgedFinding> {
        let is_set = self.set(rule).is_some();
        findings.sort();
        findings.into_iter().map(move |finding| {
            let waiver = self.exceptions.waiver(rule, &finding, self.with_unknown).cloned();
            let severity = finding.severity.filter(|_| !is_set).unwrap_or(severity);
            let baseline = self.known.map(|known| known.state(rule, &finding, severity));
            JudgedFinding { rule, severity, finding, steps: Arc::clone(&steps), waiver, baseline }
        })
    }
}

/// Whether the cluster meets the controls of the rules. A rule that belongs to a control by
/// our own mapping covers a part of it only: it does not show that the control is met.
fn controls(rules: &[&'static Rule], judgment: &Judgment) -> Vec<ControlResult> {
    let mut by_control: BTreeMap<&'static Control, Vec<&'static Rule>> = BTreeMap::new();
    for rule in rules {
        for control in rule.controls.iter().filter(|control| control.mapping != Mapping::Own) {
            by_control.entry(control).or_default().push(rule);
        }
    }
    let result = |(control, rules): (&'static Control, Vec<&'static Rule>)| {
        let status = rules.iter().map(|rule| judgment.status_by(rule)).max();
        ControlResult { control, status: status.unwrap_or(ControlStatus::Unknown), rules }
    };
    by_control.into_iter().map(result).collect()
}
