//! What a team makes of findings, and the verdict that comes of it.

pub mod file;

use std::collections::{BTreeMap, BTreeSet};

use glob::Pattern;

use crate::model::cluster::Cluster;
use crate::model::expected::{AllowedCidr, Expected};
use crate::model::verdict::{
    Gap, JudgedFinding, JudgedGap, Judgment, Outcome, PolicyNote, PolicyNoteKind, Rule, Severity, Verdict,
    Waiver,
};

/// From which severity on findings fail a run, if no one says otherwise.
const FAIL_ON: Severity = Severity::High;

/// What a team makes of findings; by default nothing but the usual.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    settings: Settings,
    overrides: Vec<Override>,
    waivers: Vec<(Pattern, Waiver)>,
}

/// The severity from which findings fail a run; `None`: none do.
pub type FailOn = Option<Severity>;

/// What holds for some clusters; what is not said is left as it was.
#[derive(Debug, Clone, Default)]
struct Settings {
    fail_on: Option<FailOn>,
    /// By rule: its severity, or `None` where it is off.
    rules: BTreeMap<String, Option<Severity>>,
    access: Option<Vec<String>>,
    widest_v4: Option<u8>,
    widest_v6: Option<u8>,
    /// Blocks with the lines they stand in.
    allowed: Option<Vec<(usize, AllowedCidr)>>,
}

/// Settings of some clusters.
#[derive(Debug, Clone)]
struct Override {
    /// Names or ARNs; none: all.
    clusters: Vec<Pattern>,
    /// Accounts; none: all.
    accounts: Vec<Pattern>,
    settings: Settings,
}

impl Override {
    fn is_for(&self, cluster: &Cluster) -> bool {
        let is_one = |patterns: &[Pattern], names: &[Option<&str>]| {
            let names: Vec<_> = names.iter().copied().flatten().collect();
            patterns.is_empty()
                || patterns.iter().any(|pattern| names.iter().any(|name| pattern.matches(name)))
        };
        is_one(&self.clusters, &[Some(&cluster.name), cluster.arn.as_deref()])
            && is_one(&self.accounts, &[cluster.account()])
    }
}

impl Policy {
    /// What holds for a cluster, the last word first.
    fn settings_of<'a>(&'a self, cluster: &'a Cluster) -> impl Iterator<Item = &'a Settings> {
        let overrides = self.overrides.iter().rev().filter(|one| one.is_for(cluster));
        overrides.map(|one| &one.settings).chain([&self.settings])
    }

    /// What it wants of a cluster's endpoint.
    #[must_use]
    pub fn expected(&self, cluster: &Cluster) -> Expected {
        let usual = Expected::default();
        let settings = || self.settings_of(cluster);
        let lists: Vec<_> = settings().filter_map(|settings| settings.allowed.as_deref()).collect();
        let allowed = lists.iter().copied().flatten().map(|(_, entry)| entry.clone());
        Expected {
            access: settings().find_map(|settings| settings.access.clone()).unwrap_or_default(),
            widest_v4: settings().find_map(|settings| settings.widest_v4).unwrap_or(usual.widest_v4),
            widest_v6: settings().find_map(|settings| settings.widest_v6).unwrap_or(usual.widest_v6),
            // A list for some clusters adds to that for all.
            allowed: (!lists.is_empty()).then(|| allowed.collect()),
        }
    }

    /// Judges a cluster. `fail_on` goes before what the policy says; `gaps` are
    /// those that no rule asked about.
    #[must_use]
    pub fn judge(
        &self,
        cluster: &Cluster,
        fail_on: Option<FailOn>,
        outcomes: Vec<(&'static Rule, Outcome)>,
        gaps: Vec<Gap>,
    ) -> Judgment {
        let of_policy = || self.settings_of(cluster).find_map(|settings| settings.fail_on);
        let fail_on = fail_on.or_else(of_policy).unwrap_or(Some(FAIL_ON));
        let counts = |severity: Severity| fail_on.is_some_and(|threshold| severity >= threshold);
        let severity = |rule: &Rule| {
            let said = self.settings_of(cluster).find_map(|settings| settings.rules.get(rule.id));
            said.copied().unwrap_or(Some(rule.severity))
        };
        let costs = |gap: &Gap, rules: &[&Rule]| {
            !gap.is_left_out() && rules.iter().any(|rule| severity(rule).is_some_and(counts))
        };
        let mut findings = Vec::new();
        let mut off = Vec::new();
        let mut rules_by_gap: BTreeMap<Gap, Vec<&'static Rule>> =
            gaps.into_iter().map(|gap| (gap, Vec::new())).collect();
        for (rule, mut outcome) in outcomes {
            let Some(severity) = severity(rule) else {
                off.push(rule);
                continue;
            };
            outcome.findings.sort();
            findings.extend(outcome.findings.into_iter().map(|finding| {
                let waiver = self.waiver(rule, cluster, &finding.subject).cloned();
                JudgedFinding { rule, severity, finding, waiver }
            }));
            outcome.gaps.sort();
            outcome.gaps.dedup();
            for gap in outcome.gaps {
                rules_by_gap.entry(gap).or_default().push(rule);
            }
        }
        // What is waived comes last.
        findings.sort_by_key(|judged| (judged.waived_by().is_some(), std::cmp::Reverse(judged.severity)));
        let mut gaps: Vec<_> = rules_by_gap
            .into_iter()
            .map(|(gap, rules)| JudgedGap { needed: costs(&gap, &rules), gap, rules })
            .collect();
        gaps.sort_by_key(|judged| !judged.needed);
        let fails = |judged: &JudgedFinding| judged.waived_by().is_none() && counts(judged.severity);
        let verdict = if findings.iter().any(fails) {
            Verdict::Fail
        } else if gaps.iter().any(|judged| judged.needed) {
            Verdict::Inconclusive
        } else {
            Verdict::Pass
        };
        Judgment { verdict, findings, gaps, off }
    }

    /// The waiver for a finding: one that holds, or else one that is over.
    fn waiver(&self, rule: &Rule, cluster: &Cluster, subject: &str) -> Option<&Waiver> {
        let names = [Some(cluster.name.as_str()), cluster.arn.as_deref(), Some(subject)];
        let is_for = |pattern: &Pattern, waiver: &Waiver| {
            waiver.rule == rule.id && names.iter().flatten().any(|name| pattern.matches(name))
        };
        let all = self.waivers.iter().filter(|(pattern, waiver)| is_for(pattern, waiver));
        all.map(|(_, waiver)| waiver).min_by_key(|waiver| waiver.is_over)
    }

    /// What its owner should know of it after a run, in the file's order.
    #[must_use]
    pub fn notes(&self, judgments: &[&Judgment]) -> Vec<PolicyNote> {
        let found = judgments.iter().flat_map(|judgment| &judgment.findings);
        let used: BTreeSet<_> = found.filter_map(|judged| Some(judged.waiver.as_ref()?.line)).collect();
        let mut notes = BTreeSet::new();
        for (_, waiver) in &self.waivers {
            let Waiver { line, rule, resource, owner, expires, .. } = waiver;
            let (kind, text) = match (waiver.is_over, used.contains(line)) {
                (true, true) => (
                    PolicyNoteKind::WaiverExpired,
                    format!(
                        "the waiver of {rule} for {resource:?} expired {expires}, so that its findings count again; it was {owner}'s"
                    ),
                ),
                (true, false) => (
                    PolicyNoteKind::WaiverExpired,
                    format!(
                        "the waiver of {rule} for {resource:?} expired {expires}, and nothing needs it: take it out; it was {owner}'s"
                    ),
                ),
                (false, false) => (
                    PolicyNoteKind::WaiverUnused,
                    format!(
                        "the waiver of {rule} for {resource:?} is for nothing that was found; it is {owner}'s"
                    ),
                ),
                (false, true) => continue,
            };
            notes.insert(PolicyNote { line: *line, kind, text });
        }
        let settings = self.overrides.iter().map(|one| &one.settings).chain([&self.settings]);
        let allowed = settings.filter_map(|settings| settings.allowed.as_deref()).flatten();
        for (line, entry) in allowed.filter(|(_, entry)| entry.is_over) {
            let AllowedCidr { cidr, owner, expires, .. } = entry;
            let expires = expires.as_deref().unwrap_or_default();
            let text = format!("{cidr} was allowed until {expires}; it was {owner}'s");
            notes.insert(PolicyNote { line: *line, kind: PolicyNoteKind::CidrExpired, text });
        }
        notes.into_iter().collect()
    }
}
