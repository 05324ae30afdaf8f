//! The entries of a policy, and what each of them applies to.

use std::collections::BTreeMap;

use glob::Pattern;
use jiff::Timestamp;

use super::scope::Scope;
use crate::model::access::AccessMode;
use crate::model::expectations::AllowedCidr;
use crate::model::judgment::{Acceptance, Waiver};
use crate::model::rule::{Severity, Threshold};

/// All entries.
#[derive(Debug, Clone, Default)]
pub(super) struct Entries {
    /// The name of the preset that the policy extends.
    pub(super) preset: Option<&'static str>,
    /// Its settings.
    pub(super) extended: Settings,
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
    /// Whether no public access is allowed.
    pub(super) private_only: Option<bool>,
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

/// An acceptance of gaps and what it applies to.
#[derive(Debug, Clone)]
pub(super) struct AcceptRule {
    /// The subject of a gap, as reports show it.
    pub(super) subject: Pattern,
    pub(super) scope: Scope,
    pub(super) until: Timestamp,
    pub(super) acceptance: Acceptance,
}
