//! `manifest.json`: who recorded when, and what was asked for and not got.

use serde::{Deserialize, Serialize};

use crate::model::gap::{Gap, GapReason};

/// The whole file. A hand-made one may hold the gaps alone.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Manifest {
    /// Of the tool that recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<String>,
    /// When the recording ended, in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) time: Option<String>,
    /// What is missing.
    #[serde(default)]
    pub(super) gaps: Vec<ManifestGap>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
pub(super) struct ManifestGap {
    pub(super) what: String,
    pub(super) why: GapReason,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    hint: String,
}

impl From<ManifestGap> for Gap {
    fn from(gap: ManifestGap) -> Self {
        Self { what: gap.what, why: gap.why, detail: gap.detail, hint: gap.hint }
    }
}

impl From<Gap> for ManifestGap {
    fn from(gap: Gap) -> Self {
        Self { what: gap.what, why: gap.why, detail: gap.detail, hint: gap.hint }
    }
}
