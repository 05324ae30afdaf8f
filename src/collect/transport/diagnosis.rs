//! The reason why a node could not be read or sampled, with the next step.

use super::client::{ClientError, Ending};
use crate::model::gap::{Gap, GapReason, Subject};

/// The next step for a node that the transport does not reach.
pub(super) const CAPTURE_ELSEWHERE: &str = "capture `ss -tnp` on it as root another way (--nodes kubectl, SSM, its admin container) and judge it with --evidence";

/// The reason of a failure, and the next step.
#[derive(Debug, Clone)]
pub(crate) struct Diagnosis {
    why: GapReason,
    detail: String,
    hint: String,
}

impl Diagnosis {
    pub(super) fn new(why: GapReason, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { why, detail: detail.into(), hint: hint.into() }
    }

    /// The reason as text, without the next step.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// The gap that a node's failure leaves.
    pub(crate) fn gap(self, subject: impl Into<Subject>) -> Gap {
        Gap { subject: subject.into(), why: self.why, detail: self.detail, hint: self.hint }
    }
}

/// A client that could not be used.
impl From<ClientError> for Diagnosis {
    fn from(error: ClientError) -> Self {
        let hint = match &error {
            ClientError::Start { program, .. } => format!(
                "check that {program} is installed, and the limits of processes and open files (ulimit -a)"
            ),
            ClientError::Wait(_) | ClientError::Capture(_) => {
                "check the limits of open files (ulimit -a) and of disk space (df)".to_owned()
            }
        };
        Self::new(GapReason::Failed, error.to_string(), hint)
    }
}

/// The beginning of a line that a program printed.
pub(super) fn excerpt(line: &str) -> String {
    line.chars().take(200).collect()
}

/// The last line of standard error, if there is one, to be appended to a detail.
pub(super) fn last_line(ending: &Ending) -> String {
    let line = ending.stderr.lines().map(str::trim).rfind(|line| !line.is_empty());
    line.map(|line| format!("; it printed {:?}", excerpt(line))).unwrap_or_default()
}
