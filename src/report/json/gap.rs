//! Gaps in JSON.

use schemars::JsonSchema;
use serde::Serialize;

use super::words::Why;
use crate::model::gap::Gap;

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct GapReport {
    what: String,
    why: Why,
    detail: String,
    /// The next step.
    hint: String,
}

impl From<&Gap> for GapReport {
    fn from(gap: &Gap) -> Self {
        Self {
            what: gap.subject.to_string(),
            why: gap.why.into(),
            detail: gap.detail.clone(),
            hint: gap.hint.clone(),
        }
    }
}
