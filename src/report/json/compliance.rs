//! The controls of standards, in JSON.

use schemars::JsonSchema;
use serde::Serialize;

use super::words::{ControlStatus, Mapping};
use crate::model::compliance::Control;
use crate::model::judgment::ControlResult;

/// A control of a standard, as a rule belongs to it.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ControlName {
    /// The standard with its version: cis-eks-1.8.0, aws-fsbp-1.0.0, aws-config, aws-control-tower, pci-dss-4.0.1,
    /// nist-800-53-r5.
    standard: String,
    id: String,
    /// The source of the mapping: the control's own text asks the same, AWS relates it to EKS.1, or it is our own mapping.
    mapping: Mapping,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ControlReport {
    standard: String,
    id: String,
    title: String,
    mapping: Mapping,
    /// By all its rules: fail if one has a finding of whatever severity, unknown if evidence is missing or a rule is
    /// switched off or not selected, waived if all findings are.
    status: ControlStatus,
    rules: Vec<String>,
}

impl From<&Control> for ControlName {
    fn from(control: &Control) -> Self {
        Self {
            standard: control.standard.id().to_owned(),
            id: control.id.to_owned(),
            mapping: control.mapping.into(),
        }
    }
}

impl From<&ControlResult> for ControlReport {
    fn from(result: &ControlResult) -> Self {
        let control = result.control;
        Self {
            standard: control.standard.id().to_owned(),
            id: control.id.to_owned(),
            title: control.title.to_owned(),
            mapping: control.mapping.into(),
            status: result.status.into(),
            rules: result.rules.iter().map(|rule| rule.id.to_owned()).collect(),
        }
    }
}
