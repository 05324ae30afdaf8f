//! The policy: severities, expectations, waivers and accepted gaps, and the verdict that
//! they lead to.

mod entries;
mod exceptions;
pub mod file;
mod judge;
mod known;
mod preset;
mod scope;
mod tables;
mod tolerant;
pub mod usage;

use std::sync::Arc;

use self::entries::{Entries, Override};
use self::exceptions::Exceptions;
use self::judge::Interpretation;
use self::known::Known;
use self::scope::Applies;
use self::usage::Usage;
use crate::model::baseline::Baseline;
use crate::model::cluster::Cluster;
use crate::model::evidence::Evidence;
use crate::model::expectations::Expectations;
use crate::model::file::Field;
use crate::model::gap::{Gap, GapReason, Subject};
use crate::model::judgment::{JudgedGap, Judgment, Verdict};
use crate::model::rule::{Outcome, Rule, Threshold};
use crate::model::selection::Selection;

/// The largest number of overrides for which all combinations are judged if it is not
/// known whether they apply.
const UNKNOWN_MAX: usize = 6;

/// A policy. The default one has the rules' own severities, and excepts nothing.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    entries: Entries,
    /// The rules that it is applied to.
    selection: Selection,
    /// Findings that are known, and do not count.
    baseline: Option<Arc<Baseline>>,
}

impl Policy {
    /// The policy with its entries, for all rules.
    fn new(entries: Entries) -> Self {
        Self { entries, ..Self::default() }
    }

    /// Restricts it to rules.
    pub fn select(&mut self, selection: Selection) {
        self.selection = selection;
    }

    /// Whether there is a cluster for which it may judge a rule.
    #[must_use]
    pub fn may_judge(&self, rule: &Rule) -> bool {
        let Entries { settings, extended, overrides, .. } = &self.entries;
        let in_general = [settings, extended].into_iter().find_map(|settings| settings.rules.get(rule.id));
        let mut of_some = overrides.iter().filter_map(|one| one.settings.rules.get(rule.id));
        let mut is_on = || in_general.is_none_or(Option::is_some) || of_some.any(Option::is_some);
        self.selection.includes(rule) && (self.selection.names(rule) || is_on())
    }

    /// The policy with a baseline: only findings that it has not count. Gaps count as without it.
    #[must_use]
    pub fn with_baseline(self, baseline: Baseline) -> Self {
        Self { baseline: Some(Arc::new(baseline)), ..self }
    }

    /// What it expects of a cluster's endpoint, without overrides of which it is not known
    /// whether they apply.
    #[must_use]
    pub fn expected(&self, cluster: &Cluster) -> Expectations {
        let exceptions = Exceptions::new(&self.entries, cluster);
        self.interpretation(cluster, &exceptions, &[], false).expected()
    }

    /// Judges a cluster. `fail_on` takes precedence over the policy's; `check` applies the
    /// rules; `gaps` are all gaps of the evidence, whether or not a rule needs them.
    ///
    /// If it is not known whether an entry of the policy applies to the cluster, it is
    /// judged both ways: the verdict is inconclusive if it depends on that.
    #[must_use]
    pub fn judge(
        &self,
        evidence: &Evidence,
        fail_on: Option<Threshold>,
        check: impl Fn(&Expectations) -> Vec<(&'static Rule, Outcome)>,
        gaps: &[Gap],
    ) -> Judgment {
        let cluster = &evidence.cluster;
        let exceptions = Exceptions::new(&self.entries, cluster);
        let interpretation = self.interpretation(cluster, &exceptions, &[], false);
        let mut judgment = interpretation.judge(fail_on, check(&interpretation.expected()), gaps.to_vec());
        let unknown: Vec<_> = self.unknown_overrides(cluster).collect();
        let unknown_exceptions = exceptions.unknown(&judgment);
        if unknown.is_empty() && unknown_exceptions.is_empty() {
            return judgment;
        }
        let mut all = Verdicts::new(unknown.len());
        if unknown.len() <= UNKNOWN_MAX {
            all.verdicts = (0..1 << unknown.len())
                .map(|overrides: usize| {
                    let chosen = unknown.iter().enumerate().filter(|(bit, _)| overrides >> bit & 1 == 1);
                    let chosen: Vec<_> = chosen.map(|(_, at)| *at).collect();
                    [false, true].map(|with_unknown| {
                        let one = self.interpretation(cluster, &exceptions, &chosen, with_unknown);
                        one.judge(fail_on, check(&one.expected()), gaps.to_vec()).verdict
                    })
                })
                .collect();
        }
        judgment.verdict = all.verdict();
        let overrides = unknown.iter().enumerate().map(|(bit, at)| {
            let what = ("override", self.entries.overrides[*at].line);
            unknown_entry(evidence, what, all.depend_on_override(bit))
        });
        let depend = all.depend_on_exceptions();
        let of_exceptions = unknown_exceptions.into_iter().map(|what| unknown_entry(evidence, what, depend));
        judgment.gaps.extend(overrides.chain(of_exceptions).collect::<Vec<_>>());
        judgment.gaps.sort_by_key(|judged| !judged.needed);
        judgment
    }

    /// The interpretation for a cluster in which these overrides apply besides those that are
    /// known to.
    fn interpretation<'a>(
        &'a self,
        cluster: &Cluster,
        exceptions: &'a Exceptions<'a>,
        overrides: &[usize],
        with_unknown: bool,
    ) -> Interpretation<'a> {
        let applies = |(at, one): &(usize, &Override)| {
            one.scope.includes(cluster) == Applies::Yes || overrides.contains(at)
        };
        let all: Vec<_> = self.entries.overrides.iter().enumerate().filter(applies).collect();
        let settings = all
            .into_iter()
            .rev()
            .map(|(_, one)| &one.settings)
            .chain([&self.entries.settings, &self.entries.extended]);
        let known = self.baseline.as_ref().map(|baseline| Known::new(baseline, cluster));
        Interpretation {
            exceptions,
            selection: &self.selection,
            settings: settings.collect(),
            with_unknown,
            known,
        }
    }

    /// The overrides of which it is not known whether they apply to a cluster.
    fn unknown_overrides(&self, cluster: &Cluster) -> impl Iterator<Item = usize> {
        let all = self.entries.overrides.iter().enumerate();
        all.filter(|(_, one)| one.scope.includes(cluster) == Applies::Unknown).map(|(at, _)| at)
    }

    /// The name of the preset that it extends.
    #[must_use]
    pub fn preset(&self) -> Option<&'static str> {
        self.entries.preset
    }

    /// Begins to record which waivers and accepted gaps a run uses.
    #[must_use]
    pub fn usage(&self) -> Usage<'_> {
        Usage::new(&self.entries)
    }
}

/// The verdicts of all interpretations for a cluster.
struct Verdicts {
    /// By the overrides that apply, one bit each; in each, without and with the waivers and
    /// acceptances of which it is not known whether they apply. With more of them, fewer
    /// findings and gaps count, so that no other choice of them has another verdict. Empty
    /// if there are too many overrides.
    verdicts: Vec<[Verdict; 2]>,
}

impl Verdicts {
    fn new(overrides: usize) -> Self {
        Self { verdicts: Vec::with_capacity(1 << overrides.min(UNKNOWN_MAX)) }
    }

    /// The verdict, which is inconclusive unless it is the same in all of them.
    fn verdict(&self) -> Verdict {
        let mut all = self.verdicts.iter().flatten();
        match all.next() {
            Some(first) if all.all(|verdict| verdict == first) => *first,
            _ => Verdict::Inconclusive,
        }
    }

    /// Whether the verdict depends on the override with this bit.
    fn depend_on_override(&self, bit: usize) -> bool {
        let mut all = self.verdicts.iter().enumerate();
        self.verdicts.is_empty() || all.any(|(at, verdicts)| *verdicts != self.verdicts[at | 1 << bit])
    }

    /// Whether it depends on waivers and acceptances.
    fn depend_on_exceptions(&self) -> bool {
        self.verdicts.is_empty() || self.verdicts.iter().any(|[without, with]| without != with)
    }
}

/// The gap for an entry of the policy, with its line, of which it is not known whether it
/// applies.
fn unknown_entry(evidence: &Evidence, (what, line): (&str, usize), needed: bool) -> JudgedGap {
    let cluster = &evidence.cluster;
    let (why, cause) = match &cluster.arn {
        None => (GapReason::NotRecorded, "the cluster's ARN is not recorded".to_owned()),
        Some(arn) => (GapReason::Incomplete, format!("the cluster's ARN is not complete: {arn:?}")),
    };
    let effect = if needed { "" } else { "; the verdict is the same either way" };
    let detail =
        format!("the policy's {what} in line {line} applies to some accounts or ARNs, and {cause}{effect}");
    let subject = Subject::from(Field::Arn);
    let hint = evidence.hint(&subject, why);
    JudgedGap { gap: Gap { subject, why, detail, hint }, rules: Vec::new(), needed, accepted: None }
}
