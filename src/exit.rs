//! Exit codes: one enum, one conversion.

use std::process::ExitCode;

use crate::model::verdict::Verdict;

/// How a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Judged, and nothing at or above the threshold.
    Pass,
    /// Judged, and findings at or above the threshold.
    Findings,
    /// Usage or configuration, malformed evidence among it.
    Usage,
    /// Could not judge.
    Inconclusive,
}

impl From<Verdict> for Exit {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Pass => Self::Pass,
            Verdict::Fail => Self::Findings,
            Verdict::Inconclusive => Self::Inconclusive,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Pass => 0,
            Exit::Findings => 1,
            Exit::Usage => 2,
            Exit::Inconclusive => 3,
        })
    }
}
