//! The entries of a policy, and what each of them applies to.

use std::collections::BTreeMap;

use glob::Pattern;
use jiff::Timestamp;

use super::scope::{Applies, Scope, names_cluster};
use crate::model::cluster::Cluster;
use crate::model::expectations::{AccessMode, AllowedCidr};
use crate::model::gap::Subject;
use crate::model::judgment::{Acceptance, Waiver};
use crate::model::rule::{Finding, Rule, Severity, Threshold};

/// All entries.
#[derive(Debug, Clone, Default)]
pub(super) struct Entries {
    pub(super) settings: Settings,
    pub(super) overrides: Vec<Override>,
    pub(super) waivers: Vec<WaiverRule>,
    pub(super) accepted: Vec<AcceptRule>,
}

/// Settings; what is not set keeps the value that it has without them.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    pub(super) fail_on: Option<Threshold>,
    /// Per rule: its severity, or `None` where it is off.
    pub(super) rules: BTreeMap<String, Option<Severity>>,
    pub(super) access: Option<Vec<AccessMode>>,
    pub(super) widest_v4: Option<u8>,
    pub(super) widest_v6: Option<u8>,
    /// Allowed blocks with their lines in the file.
    pub(super) allowed: Option<Vec<(usize, AllowedCidr)>>,
}

/// Settings of some clusters.
#[derive(Debug, Clone)]
pub(super) struct Override {
    /// Its line in the file, from 1.
    pub(super) line: usize,
    pub(super) scope: Scope,
    pub(super) settings: Settings,
}

/// A waiver and what it applies to.
#[derive(Debug, Clone)]
pub(super) struct WaiverRule {
    /// The cluster, or the subject of a finding.
    pub(super) resource: Pattern,
    pub(super) scope: Scope,
    pub(super) until: Timestamp,
    pub(super) waiver: Waiver,
}

impl WaiverRule {
    pub(super) fn applies_to(&self, rule: &Rule, cluster: &Cluster, finding: &Finding) -> Applies {
        if self.waiver.rule != rule.id {
            return Applies::No;
        }
        let subject = finding.subject.as_str();
        let about = finding.about.as_ref().map(|about| format!("{subject} {about}"));
        let mut names = [Some(subject), about.as_deref()].into_iter().flatten();
        let is_about = Applies::from(names.any(|name| self.resource.matches(name)));
        is_about.max(names_cluster(&self.resource, cluster)).min(self.scope.includes(cluster))
    }
}

/// An acceptance of gaps and what it applies to.
#[derive(Debug, Clone)]
pub(super) struct AcceptRule {
    /// The subject of a gap, as reports show it.
    pub(super) subject: Pattern,
    pub(super) scope: Scope,
    pub(super) until: Timestamp,
    pub(super) acceptance: Acceptance,
}

impl AcceptRule {
    pub(super) fn applies_to(&self, cluster: &Cluster, subject: &Subject) -> Applies {
        Applies::from(self.subject.matches(&subject.to_string())).min(self.scope.includes(cluster))
    }
}
