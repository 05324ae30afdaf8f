//! What a team makes of findings, and the verdict that comes of it.

pub mod file;

use std::collections::{BTreeMap, BTreeSet};

use glob::Pattern;
use jiff::Timestamp;

use crate::model::audit::Audited;
use crate::model::cluster::Cluster;
use crate::model::evidence::Evidence;
use crate::model::expectations::{AccessMode, AllowedCidr, Expectations};
use crate::model::file::Field;
use crate::model::gap::{Gap, GapReason};
use crate::model::judgment::{
    JudgedFinding, JudgedGap, Judgment, PolicyNote, PolicyNoteKind, Verdict, Waiver,
};
use crate::model::rule::{Finding, Outcome, Rule, Severity};

/// From which severity on findings fail a run, if no one says otherwise.
const FAIL_ON: Severity = Severity::High;

/// What a team makes of findings; by default nothing but the usual.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    settings: Settings,
    overrides: Vec<Override>,
    waivers: Vec<WaiverOf>,
}

/// The severity from which findings fail a run; `None`: none do.
pub type FailOn = Option<Severity>;

/// What holds for some clusters; what is not said is left as it was.
#[derive(Debug, Clone, Default)]
struct Settings {
    fail_on: Option<FailOn>,
    /// By rule: its severity, or `None` where it is off.
    rules: BTreeMap<String, Option<Severity>>,
    access: Option<Vec<AccessMode>>,
    widest_v4: Option<u8>,
    widest_v6: Option<u8>,
    /// Blocks with the lines they stand in.
    allowed: Option<Vec<(usize, AllowedCidr)>>,
}

/// Settings of some clusters.
#[derive(Debug, Clone)]
struct Override {
    /// Where it stands: the line, from 1.
    line: usize,
    /// Names or ARNs; none: all.
    clusters: Vec<Pattern>,
    /// Accounts; none: all.
    accounts: Vec<Pattern>,
    settings: Settings,
}

impl Override {
    fn is_for(&self, cluster: &Cluster) -> bool {
        is_one_of(&self.clusters, cluster)
            && (self.accounts.is_empty() || cluster.account().is_some_and(|id| matches(&self.accounts, id)))
    }

    /// Whether it would be for a cluster whose ARN was not recorded if that were
    /// the right one.
    fn may_be_for(&self, cluster: &Cluster) -> bool {
        let may_be_one = is_one_of(&self.clusters, cluster)
            || self.clusters.iter().any(|pattern| pattern.as_str().starts_with("arn:"));
        cluster.arn.is_none() && may_be_one
    }
}

/// A waiver and what it is for.
#[derive(Debug, Clone)]
struct WaiverOf {
    /// The cluster, or what a finding is about.
    resource: Pattern,
    /// Names or ARNs of the clusters in which; none: all.
    clusters: Vec<Pattern>,
    until: Timestamp,
    waiver: Waiver,
}

impl WaiverOf {
    fn is_for(&self, rule: &Rule, cluster: &Cluster, finding: &Finding) -> bool {
        let subject = finding.subject.as_str();
        let about = finding.about.as_ref().map(|about| format!("{subject} {about}"));
        let names = [Some(cluster.name.as_str()), cluster.arn.as_deref(), Some(subject), about.as_deref()];
        self.waiver.rule == rule.id
            && is_one_of(&self.clusters, cluster)
            && names.iter().flatten().any(|name| self.resource.matches(name))
    }
}

/// Whether a cluster's name or ARN fits one of some patterns; none: all do.
fn is_one_of(patterns: &[Pattern], cluster: &Cluster) -> bool {
    patterns.is_empty()
        || matches(patterns, &cluster.name)
        || cluster.arn.as_ref().is_some_and(|arn| matches(patterns, arn))
}

fn matches(patterns: &[Pattern], name: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(name))
}

impl Policy {
    /// What holds for a cluster, the last word first.
    fn settings_of<'a>(&'a self, cluster: &'a Cluster) -> impl Iterator<Item = &'a Settings> {
        let overrides = self.overrides.iter().rev().filter(|one| one.is_for(cluster));
        overrides.map(|one| &one.settings).chain([&self.settings])
    }

    /// What it wants of a cluster's endpoint.
    #[must_use]
    pub fn expected(&self, cluster: &Cluster) -> Expectations {
        let usual = Expectations::default();
        let settings = || self.settings_of(cluster);
        let lists: Vec<_> = settings().filter_map(|settings| settings.allowed.as_deref()).collect();
        let allowed = lists.iter().copied().flatten().map(|(_, entry)| entry.clone());
        Expectations {
            access: settings().find_map(|settings| settings.access.clone()),
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
        evidence: &Evidence,
        fail_on: Option<FailOn>,
        outcomes: Vec<(&'static Rule, Outcome)>,
        gaps: Vec<Gap>,
    ) -> Judgment {
        let cluster = &evidence.cluster;
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
                let waiver = self.waiver(rule, cluster, &finding).cloned();
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
        // Settings that may hold here would say what the verdict is.
        let unsure = self.overrides.iter().filter(|one| !one.is_for(cluster) && one.may_be_for(cluster));
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
        Judgment { verdict, findings, gaps, off }
    }

    /// The waiver for a finding: of several, the one that holds longest.
    fn waiver(&self, rule: &Rule, cluster: &Cluster, finding: &Finding) -> Option<&Waiver> {
        let all = self.waivers.iter().filter(|one| one.is_for(rule, cluster, finding));
        all.max_by_key(|one| one.until).map(|one| &one.waiver)
    }

    /// What its owner should know of it after a run, in the file's order.
    /// `is_whole` if all was judged that there is.
    #[must_use]
    pub fn notes(&self, clusters: &[Audited], is_whole: bool) -> Vec<PolicyNote> {
        let mut notes = BTreeSet::new();
        for one in &self.waivers {
            let Waiver { line, rule, resource, owner, expires, is_expired, .. } = &one.waiver;
            let is_used = clusters.iter().any(|Audited { facts, judgment }| {
                let cluster = &facts.evidence.cluster;
                judgment.findings.iter().any(|judged| one.is_for(judged.rule, cluster, &judged.finding))
            });
            let of_rule = |gap: &JudgedGap| gap.rules.iter().any(|of| of.id == rule);
            let may_be_used = !is_whole || clusters.iter().any(|one| one.judgment.gaps.iter().any(of_rule));
            let what = format!("the waiver of {rule} for {resource:?}");
            let (kind, text) = match (is_expired, is_used) {
                (true, true) => (
                    PolicyNoteKind::WaiverExpired,
                    format!("{what} expired {expires}, so that its findings count again; it was {owner}'s"),
                ),
                (true, false) => (
                    PolicyNoteKind::WaiverExpired,
                    format!("{what} expired {expires}: take it out; it was {owner}'s"),
                ),
                (false, false) if !may_be_used => (
                    PolicyNoteKind::WaiverUnused,
                    format!("{what} is for nothing that was found; it is {owner}'s"),
                ),
                (false, _) => continue,
            };
            notes.insert(PolicyNote { line: *line, kind, text });
        }
        let settings = self.overrides.iter().map(|one| &one.settings).chain([&self.settings]);
        let allowed = settings.filter_map(|settings| settings.allowed.as_deref()).flatten();
        for (line, entry) in allowed.filter(|(_, entry)| entry.is_expired) {
            let AllowedCidr { cidr, owner, expires, .. } = entry;
            let expires = expires.as_deref().unwrap_or_default();
            let text = format!("{cidr} was allowed until {expires}; it was {owner}'s");
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
