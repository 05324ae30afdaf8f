//! The policy: severities, expectations and waivers, and the verdict that they lead to.

pub mod file;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use glob::Pattern;
use jiff::Timestamp;

use crate::model::audit::Audited;
use crate::model::cluster::Cluster;
use crate::model::evidence::Evidence;
use crate::model::expectations::{AccessMode, AllowedCidr, Expectations};
use crate::model::file::Field;
use crate::model::gap::{Gap, GapReason};
use crate::model::judgment::{
    JudgedFinding, JudgedGap, Judgment, NotJudged, PolicyNote, PolicyNoteKind, Verdict, Waiver,
};
use crate::model::rule::{Finding, Outcome, Rule, Severity, Step, Threshold, WithoutEvidence};

/// The severity from which findings fail a run by default.
const FAIL_ON: Severity = Severity::High;

/// A policy. The default one has the rules' own severities and no waivers.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    settings: Settings,
    overrides: Vec<Override>,
    waivers: Vec<WaiverRule>,
}

/// Settings; what is not set keeps the value that it has without them.
#[derive(Debug, Clone, Default)]
struct Settings {
    fail_on: Option<Threshold>,
    /// Per rule: its severity, or `None` where it is off.
    rules: BTreeMap<String, Option<Severity>>,
    access: Option<Vec<AccessMode>>,
    widest_v4: Option<u8>,
    widest_v6: Option<u8>,
    /// Allowed blocks with their lines in the file.
    allowed: Option<Vec<(usize, AllowedCidr)>>,
}

/// Settings of some clusters.
#[derive(Debug, Clone)]
struct Override {
    /// Its line in the file, from 1.
    line: usize,
    /// Names or ARNs; all if empty.
    clusters: Vec<Pattern>,
    /// Accounts; all if empty.
    accounts: Vec<Pattern>,
    settings: Settings,
}

impl Override {
    fn applies_to(&self, cluster: &Cluster) -> bool {
        is_one_of(&self.clusters, cluster)
            && (self.accounts.is_empty() || cluster.account().is_some_and(|id| matches(&self.accounts, id)))
    }

    /// Whether it may apply to a cluster whose ARN is not recorded.
    fn may_apply_to(&self, cluster: &Cluster) -> bool {
        let may_be_one = is_one_of(&self.clusters, cluster)
            || self.clusters.iter().any(|pattern| pattern.as_str().starts_with("arn:"));
        cluster.arn.is_none() && may_be_one
    }
}

/// A waiver and what it applies to.
#[derive(Debug, Clone)]
struct WaiverRule {
    /// The cluster, or the subject of a finding.
    resource: Pattern,
    /// Names or ARNs of clusters; all if empty.
    clusters: Vec<Pattern>,
    until: Timestamp,
    waiver: Waiver,
}

impl WaiverRule {
    fn applies_to(&self, rule: &Rule, cluster: &Cluster, finding: &Finding) -> bool {
        let subject = finding.subject.as_str();
        let about = finding.about.as_ref().map(|about| format!("{subject} {about}"));
        let names = [Some(cluster.name.as_str()), cluster.arn.as_deref(), Some(subject), about.as_deref()];
        self.waiver.rule == rule.id
            && is_one_of(&self.clusters, cluster)
            && names.iter().flatten().any(|name| self.resource.matches(name))
    }
}

/// Whether a cluster's name or ARN matches one of the patterns; true if there are none.
fn is_one_of(patterns: &[Pattern], cluster: &Cluster) -> bool {
    patterns.is_empty()
        || matches(patterns, &cluster.name)
        || cluster.arn.as_ref().is_some_and(|arn| matches(patterns, arn))
}

fn matches(patterns: &[Pattern], name: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(name))
}

impl Policy {
    /// The settings that apply to a cluster, the one with the highest precedence first.
    fn settings_of<'a>(&'a self, cluster: &'a Cluster) -> impl Iterator<Item = &'a Settings> {
        let overrides = self.overrides.iter().rev().filter(|one| one.applies_to(cluster));
        overrides.map(|one| &one.settings).chain([&self.settings])
    }

    /// What it expects of a cluster's endpoint.
    #[must_use]
    pub fn expected(&self, cluster: &Cluster) -> Expectations {
        let default = Expectations::default();
        let settings = || self.settings_of(cluster);
        let lists: Vec<_> = settings().filter_map(|settings| settings.allowed.as_deref()).collect();
        let allowed = lists.iter().copied().flatten().map(|(_, entry)| entry.clone());
        Expectations {
            access: settings().find_map(|settings| settings.access.clone()),
            widest_v4: settings().find_map(|settings| settings.widest_v4).unwrap_or(default.widest_v4),
            widest_v6: settings().find_map(|settings| settings.widest_v6).unwrap_or(default.widest_v6),
            // The lists of overrides add to the general one.
            allowed: (!lists.is_empty()).then(|| allowed.collect()),
        }
    }

    /// Judges a cluster. `fail_on` takes precedence over the policy's; `gaps` are all
    /// gaps of the evidence, whether or not a rule needs them.
    #[must_use]
    pub fn judge(
        &self,
        evidence: &Evidence,
        fail_on: Option<Threshold>,
        outcomes: Vec<(&'static Rule, Outcome)>,
        gaps: Vec<Gap>,
    ) -> Judgment {
        let cluster = &evidence.cluster;
        let of_policy = || self.settings_of(cluster).find_map(|settings| settings.fail_on);
        let fail_on = fail_on.or_else(of_policy).unwrap_or(Some(FAIL_ON));
        let counts = |severity: Severity| fail_on.is_some_and(|threshold| severity >= threshold);
        let severity = |rule: &Rule| {
            let set = self.settings_of(cluster).find_map(|settings| settings.rules.get(rule.id));
            set.copied().unwrap_or(Some(rule.severity))
        };
        let is_set =
            |rule: &Rule| self.settings_of(cluster).any(|settings| settings.rules.contains_key(rule.id));
        let is_needed = |gap: &Gap, rules: &[&Rule]| {
            !gap.is_left_out() && rules.iter().any(|rule| severity(rule).is_some_and(counts))
        };
        let mut findings = Vec::new();
        let mut off = Vec::new();
        let mut not_judged = Vec::new();
        let mut rules_by_gap: BTreeMap<Gap, Vec<&'static Rule>> =
            gaps.into_iter().map(|gap| (gap, Vec::new())).collect();
        for (rule, mut outcome) in outcomes {
            let Some(severity) = severity(rule) else {
                off.push(rule);
                continue;
            };
            outcome.findings.sort();
            let steps: Arc<[Step]> = outcome.steps.into();
            findings.extend(outcome.findings.into_iter().map(|finding| {
                let waiver = self.waiver(rule, cluster, &finding).cloned();
                let severity = match finding.severity {
                    Some(lower) if !is_set(rule) => lower,
                    _ => severity,
                };
                JudgedFinding { rule, severity, finding, steps: Arc::clone(&steps), waiver }
            }));
            outcome.gaps.sort();
            outcome.gaps.dedup();
            if rule.without_evidence == WithoutEvidence::NotJudged {
                not_judged.extend(outcome.gaps.into_iter().map(|gap| NotJudged { rule, gap }));
                continue;
            }
            for gap in outcome.gaps {
                rules_by_gap.entry(gap).or_default().push(rule);
            }
        }
        // Waived findings come last.
        findings.sort_by_key(|judged| (judged.waived_by().is_some(), std::cmp::Reverse(judged.severity)));
        let mut gaps: Vec<_> = rules_by_gap
            .into_iter()
            .map(|(gap, rules)| JudgedGap { needed: is_needed(&gap, &rules), gap, rules })
            .collect();
        // Overrides that may apply decide the verdict, so they must be known.
        let unsure =
            self.overrides.iter().filter(|one| !one.applies_to(cluster) && one.may_apply_to(cluster));
        gaps.extend(unsure.map(|one| JudgedGap {
            gap: no_arn(evidence, one.line),
            rules: Vec::new(),
            needed: true,
        }));
        gaps.sort_by_key(|judged| !judged.needed);
        let fails = |judged: &JudgedFinding| judged.waived_by().is_none() && counts(judged.severity);
        let verdict = if findings.iter().any(fails) {
            Verdict::Fail
        } else if gaps.iter().any(|judged| judged.needed) {
            Verdict::Inconclusive
        } else {
            Verdict::Pass
        };
        Judgment { verdict, findings, gaps, not_judged, off }
    }

    /// The waiver for a finding: of several, the one that expires last.
    fn waiver(&self, rule: &Rule, cluster: &Cluster, finding: &Finding) -> Option<&Waiver> {
        let all = self.waivers.iter().filter(|one| one.applies_to(rule, cluster, finding));
        all.max_by_key(|one| one.until).map(|one| &one.waiver)
    }

    /// Begins to record which waivers a run uses.
    #[must_use]
    pub fn usage(&self) -> Usage<'_> {
        Usage { policy: self, waivers: vec![WaiverUse::default(); self.waivers.len()] }
    }
}

/// The use of a policy's waivers in a run. It keeps nothing of a cluster.
#[derive(Debug)]
pub struct Usage<'a> {
    policy: &'a Policy,
    /// In the order of the policy's waivers.
    waivers: Vec<WaiverUse>,
}

/// The use of a waiver.
#[derive(Debug, Clone, Default)]
struct WaiverUse {
    /// It applied to a finding.
    is_used: bool,
    /// Its rule was inconclusive for a cluster, so that it may apply there.
    may_be_used: bool,
}

impl Usage<'_> {
    /// Records a cluster.
    pub fn cluster(&mut self, audited: &Audited) {
        let Audited { facts, judgment } = audited;
        let cluster = &facts.evidence.cluster;
        for (one, used) in self.policy.waivers.iter().zip(&mut self.waivers) {
            let mut findings = judgment.findings.iter();
            used.is_used |= findings.any(|judged| one.applies_to(judged.rule, cluster, &judged.finding));
            let is_of_rule = |rule: &Rule| rule.id == one.waiver.rule;
            used.may_be_used |= judgment.not_judged.iter().any(|not_judged| is_of_rule(not_judged.rule))
                || judgment.gaps.iter().any(|gap| gap.rules.iter().any(|rule| is_of_rule(rule)));
        }
    }

    /// Notes to the owner of the policy, in the file's order. `is_whole` if every cluster
    /// was judged: only then is a waiver known to be unused.
    #[must_use]
    pub fn notes(&self, is_whole: bool) -> Vec<PolicyNote> {
        let mut notes = BTreeSet::new();
        for (one, used) in self.policy.waivers.iter().zip(&self.waivers) {
            let Waiver { line, rule, resource, owner, expires, is_expired, .. } = &one.waiver;
            let what = format!("the waiver of {rule} for {resource:?}");
            let (kind, text) = match (is_expired, used.is_used) {
                (true, true) => (
                    PolicyNoteKind::WaiverExpired,
                    format!("{what} expired {expires}, so its findings count; owner: {owner}"),
                ),
                (true, false) => (
                    PolicyNoteKind::WaiverExpired,
                    format!("{what} expired {expires}: remove it; owner: {owner}"),
                ),
                (false, false) if is_whole && !used.may_be_used => {
                    (PolicyNoteKind::WaiverUnused, format!("{what} matches no finding; owner: {owner}"))
                }
                (false, _) => continue,
            };
            notes.insert(PolicyNote { line: *line, kind, text });
        }
        let policy = self.policy;
        let settings = policy.overrides.iter().map(|one| &one.settings).chain([&policy.settings]);
        let allowed = settings.filter_map(|settings| settings.allowed.as_deref()).flatten();
        for (line, entry) in allowed.filter(|(_, entry)| entry.is_expired) {
            let AllowedCidr { cidr, owner, expires, .. } = entry;
            let expires = expires.as_deref().unwrap_or_default();
            let text = format!("{cidr} was allowed until {expires}; owner: {owner}");
            notes.insert(PolicyNote { line: *line, kind: PolicyNoteKind::CidrExpired, text });
        }
        notes.into_iter().collect()
    }
}

/// It is not known whether an override applies.
fn no_arn(evidence: &Evidence, line: usize) -> Gap {
    let detail = format!(
        "the policy's override in line {line} applies to some accounts or ARNs, and the cluster's ARN is not recorded"
    );
    evidence.gap(Field::Arn, GapReason::NotRecorded, detail)
}
