//! Steps of a remediation in JSON.

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::rule::{Check, Step};

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct StepReport {
    text: String,
    command: Option<String>,
    /// How to see that it worked.
    check: Option<CheckReport>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct CheckReport {
    text: String,
    /// The command that shows it; null where it is that of the step.
    command: Option<String>,
}

impl From<&Check> for CheckReport {
    fn from(Check { text, command }: &Check) -> Self {
        Self { text: text.clone(), command: command.clone() }
    }
}

impl From<&Step> for StepReport {
    fn from(Step { text, command, check, .. }: &Step) -> Self {
        Self { text: text.clone(), command: command.clone(), check: check.as_ref().map(CheckReport::from) }
    }
}
