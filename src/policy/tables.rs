//! The types of the policy file: its format, and its JSON Schema.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;
use toml::value::Datetime;

use super::preset::Preset;
use crate::model::rule::{Severity, Threshold};

/// The whole file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
#[schemars(title = "eks-netcheck.toml")]
pub(super) struct PolicyFile {
    /// The preset to extend; all other entries take precedence over it.
    pub(super) extends: Option<Preset>,
    /// Findings of this severity or a higher one fail the run; high by default.
    pub(super) fail_on: Option<FailOnSetting>,
    /// Per rule: another severity, or off.
    #[schemars(with = "BTreeMap<String, RuleSetting>")]
    pub(super) rules: BTreeMap<Spanned<String>, RuleSetting>,
    pub(super) endpoint: EndpointTable,
    /// The blocks that publicAccessCidrs may contain; an empty list allows none.
    #[schemars(with = "Option<Vec<AllowedCidrTable>>")]
    pub(super) allowed_cidr: Option<Vec<Spanned<AllowedCidrTable>>>,
    /// Settings of some clusters; where several apply, the last one takes precedence.
    #[schemars(with = "Vec<OverrideTable>")]
    pub(super) r#override: Vec<Spanned<OverrideTable>>,
    /// Findings that do not count until a date.
    #[schemars(with = "Vec<WaiverTable>")]
    pub(super) waiver: Vec<Spanned<WaiverTable>>,
    /// Missing evidence that does not count until a date.
    #[schemars(with = "Vec<AcceptGapTable>")]
    pub(super) accept_gap: Vec<Spanned<AcceptGapTable>>,
}

/// The keys of [`PolicyFile`].
pub(super) const KEYS: [&str; 8] =
    ["extends", "fail-on", "rules", "endpoint", "allowed-cidr", "override", "waiver", "accept-gap"];

/// What is expected of the endpoint.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct EndpointTable {
    /// The access modes that are allowed.
    #[schemars(with = "Option<Vec<AccessModeWord>>", length(min = 1))]
    pub(super) access: Option<Spanned<Vec<Spanned<String>>>>,
    /// The widest IPv4 block that publicAccessCidrs may contain, such as /24; /8 by default.
    #[schemars(with = "Option<String>")]
    pub(super) widest_ipv4: Option<Spanned<String>>,
    /// The same for IPv6; /32 by default.
    #[schemars(with = "Option<String>")]
    pub(super) widest_ipv6: Option<Spanned<String>>,
}

/// The keys of [`EndpointTable`].
pub(super) const ENDPOINT_KEYS: [&str; 3] = ["access", "widest-ipv4", "widest-ipv6"];

/// A block that publicAccessCidrs may contain.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct AllowedCidrTable {
    /// The block, such as 203.0.113.0/24.
    #[schemars(with = "String")]
    pub(super) cidr: Spanned<String>,
    /// Its owner.
    #[schemars(with = "String")]
    pub(super) owner: Spanned<String>,
    /// Its purpose.
    #[schemars(with = "String")]
    pub(super) reason: Spanned<String>,
    /// The last day on which it is allowed, in UTC, or a time with an offset.
    #[schemars(with = "Option<String>")]
    pub(super) expires: Option<Spanned<Datetime>>,
}

/// Settings of some clusters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct OverrideTable {
    /// Globs over the clusters' names and ARNs.
    #[schemars(with = "Vec<String>")]
    #[serde(default)]
    pub(super) clusters: Vec<Spanned<String>>,
    /// Globs over account ids.
    #[schemars(with = "Vec<String>")]
    #[serde(default)]
    pub(super) accounts: Vec<Spanned<String>>,
    /// As above.
    pub(super) fail_on: Option<FailOnSetting>,
    /// As above.
    #[schemars(with = "BTreeMap<String, RuleSetting>")]
    #[serde(default)]
    pub(super) rules: BTreeMap<Spanned<String>, RuleSetting>,
    /// As above.
    #[serde(default)]
    pub(super) endpoint: EndpointTable,
    /// As above; these are allowed in addition to the others.
    #[schemars(with = "Option<Vec<AllowedCidrTable>>")]
    pub(super) allowed_cidr: Option<Vec<Spanned<AllowedCidrTable>>>,
}

/// Findings that do not count until a date.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct WaiverTable {
    /// The rule's id.
    #[schemars(with = "String")]
    pub(super) rule: Spanned<String>,
    /// A glob over the cluster's name, its ARN, and the finding's subject, or its subject and about.
    #[schemars(with = "String")]
    pub(super) resource: Spanned<String>,
    /// Globs over the names and ARNs of the clusters that it applies to; all by default.
    #[schemars(with = "Vec<String>")]
    #[serde(default)]
    pub(super) clusters: Vec<Spanned<String>>,
    /// The reason.
    #[schemars(with = "String")]
    pub(super) reason: Spanned<String>,
    /// Its owner.
    #[schemars(with = "String")]
    pub(super) owner: Spanned<String>,
    /// The last day on which it applies, in UTC, or a time with an offset.
    #[schemars(with = "String")]
    pub(super) expires: Spanned<Datetime>,
}

/// Missing evidence that does not count until a date.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct AcceptGapTable {
    /// A glob over what is missing, as reports name it: `hybrid nodes`, `Fargate pods`.
    #[schemars(with = "String")]
    pub(super) subject: Spanned<String>,
    /// Globs over the names and ARNs of the clusters that it applies to; all by default.
    #[schemars(with = "Vec<String>")]
    #[serde(default)]
    pub(super) clusters: Vec<Spanned<String>>,
    /// The reason.
    #[schemars(with = "String")]
    pub(super) reason: Spanned<String>,
    /// Its owner.
    #[schemars(with = "String")]
    pub(super) owner: Spanned<String>,
    /// The last day on which it applies, in UTC, or a time with an offset.
    #[schemars(with = "String")]
    pub(super) expires: Spanned<Datetime>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum FailOnSetting {
    Critical,
    High,
    Medium,
    Low,
    Never,
}

impl From<FailOnSetting> for Threshold {
    fn from(threshold: FailOnSetting) -> Self {
        match threshold {
            FailOnSetting::Critical => Some(Severity::Critical),
            FailOnSetting::High => Some(Severity::High),
            FailOnSetting::Medium => Some(Severity::Medium),
            FailOnSetting::Low => Some(Severity::Low),
            FailOnSetting::Never => None,
        }
    }
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RuleSetting {
    Critical,
    High,
    Medium,
    Low,
    Off,
}

impl From<RuleSetting> for Option<Severity> {
    fn from(setting: RuleSetting) -> Self {
        match setting {
            RuleSetting::Critical => Some(Severity::Critical),
            RuleSetting::High => Some(Severity::High),
            RuleSetting::Medium => Some(Severity::Medium),
            RuleSetting::Low => Some(Severity::Low),
            RuleSetting::Off => None,
        }
    }
}

// The names of `AccessMode`, which the schema has without this comment.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
#[expect(dead_code, reason = "for the schema alone")]
pub(super) enum AccessModeWord {
    Public,
    PublicAndPrivate,
    Private,
}
