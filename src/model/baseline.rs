//! The baseline: an earlier report, whose findings are known.

use std::collections::{BTreeMap, BTreeSet};

use super::cluster::Cluster;
use super::extent::Extent;
use super::rule::{Finding, Rule, Severity};

/// What identifies a finding of a cluster: never its message, its severity or its extent, by which
/// it can get worse.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FindingId {
    /// The id of the rule.
    pub rule: String,
    /// The subject: an ARN, an id or a node.
    pub subject: String,
    /// The part of the subject.
    pub about: Option<String>,
}

impl FindingId {
    /// That of a finding of a rule.
    #[must_use]
    pub fn new(rule: &Rule, finding: &Finding) -> Self {
        Self { rule: rule.id.to_owned(), subject: finding.subject.clone(), about: finding.about.clone() }
    }
}

/// A finding of the baseline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownFinding {
    /// What identifies it.
    pub id: FindingId,
    /// Its message then.
    pub message: String,
}

/// What is recorded about a finding of the baseline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its message.
    pub message: String,
    /// Its severity.
    pub severity: Severity,
    /// Its extent.
    pub extent: Extent,
}

impl Recorded {
    /// Whether a finding is no worse than this one: neither its severity is higher, nor does it
    /// extend to anything else.
    #[must_use]
    pub fn covers(&self, severity: Severity, finding: &Finding) -> bool {
        severity <= self.severity && self.extent.contains(&finding.extent)
    }
}

/// An earlier report. Clusters are those of their ARN, or of their name if it has none.
#[derive(Debug, Clone, Default)]
pub struct Baseline {
    /// The findings that counted then, or were known, by cluster.
    pub clusters: BTreeMap<String, BTreeMap<FindingId, Recorded>>,
    /// The clusters whose verdict was inconclusive then.
    pub inconclusive: BTreeSet<String>,
}

impl Baseline {
    /// The findings of a cluster; `None` if there is no report on it.
    #[must_use]
    pub fn of(&self, cluster: &Cluster) -> Option<&BTreeMap<FindingId, Recorded>> {
        self.clusters.get(cluster.subject())
    }

    /// What limits the comparison of a cluster with it.
    #[must_use]
    pub fn note(&self, cluster: &Cluster) -> Option<&'static str> {
        if self.of(cluster).is_none() {
            Some("the baseline has no report on this cluster, so all findings are new")
        } else if self.inconclusive.contains(cluster.subject()) {
            Some("the baseline is inconclusive: a finding may be new only because it was not seen then")
        } else {
            None
        }
    }
}

/// Whether the baseline has a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BaselineState {
    /// It has not.
    New,
    /// It has one that is less severe or does not extend as far, so that the finding counts.
    Worse,
    /// It has one that is as bad, so that the finding does not count.
    Unchanged,
}

/// The comparison of a cluster's findings with the baseline, other than the state of each.
#[derive(Debug, Clone, Default)]
pub struct Comparison {
    /// Findings of the baseline that are gone: their rules were judged, and did not find them.
    pub gone: Vec<KnownFinding>,
    /// Findings of the baseline of which that is not known: evidence is missing, or the rule is off.
    pub not_judged: Vec<KnownFinding>,
    /// What limits the comparison.
    pub note: Option<&'static str>,
}
