//! The policy in JSON.

use schemars::JsonSchema;
use serde::Serialize;

use super::words::PolicyNoteKind;
use crate::model::audit::PolicyUsed;
use crate::model::judgment::PolicyNote;

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct PolicyReport {
    /// The path of the file; `-` for standard input.
    file: String,
    /// The preset that it extends.
    extends: Option<String>,
    /// Notes to the owner of the policy.
    notes: Vec<PolicyNoteReport>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct PolicyNoteReport {
    line: usize,
    kind: PolicyNoteKind,
    text: String,
}

impl PolicyReport {
    /// The report on a policy; `None` for the default policy.
    pub(super) fn new(policy: &PolicyUsed) -> Option<Self> {
        let note = |note: &PolicyNote| PolicyNoteReport {
            line: note.line,
            kind: note.kind.into(),
            text: note.text.clone(),
        };
        Some(Self {
            file: policy.path.clone()?,
            extends: policy.preset.map(str::to_owned),
            notes: policy.notes.iter().map(note).collect(),
        })
    }
}
