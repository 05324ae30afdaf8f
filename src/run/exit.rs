//! How a run ends: one enum of exit codes, with one conversion.

use std::process::ExitCode;

use crate::evidence::error::EvidenceError;
use crate::model::file::File;
use crate::model::gap::{Gap, GapReason};
use crate::model::judgment::Verdict;
use crate::model::reachability::Reaches;
use crate::model::simulation::SimulationVerdict;

/// The end of a run.
#[derive(Debug)]
pub struct Ending {
    /// The exit code.
    pub exit: Exit,
    /// The error message, where the exit code needs one.
    pub message: Option<String>,
}

impl Ending {
    /// An end with an error message.
    #[must_use]
    pub fn with_message(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: Some(message.into()) }
    }

    /// The same after an error of writing a report: every other exit code says that each report is
    /// whole.
    pub(super) fn with_missing_report(self, error: &anyhow::Error) -> Self {
        let message = match self.message {
            Some(message) => format!("{message}; not all reports could be written: {error:#}"),
            None => format!("{error:#}"),
        };
        Self::with_message(Exit::Usage, message)
    }
}

/// The gap for a cluster that was not described; `None` if the run ended for another reason.
pub(super) fn undescribed(ending: &Ending) -> Option<Gap> {
    let why = match ending.exit {
        Exit::Nothing => GapReason::NotFound,
        Exit::Inconclusive => GapReason::Failed,
        _ => return None,
    };
    let detail = ending.message.clone().unwrap_or_default();
    Some(Gap { subject: File::CLUSTER.into(), why, detail, hint: String::new() })
}

/// The end of a run on evidence of another cluster than the one that it is about.
///
/// # Errors
/// If the evidence cannot be read for another reason.
pub(super) fn no_such_cluster(error: EvidenceError) -> Result<Ending, EvidenceError> {
    match error {
        EvidenceError::OtherCluster(message) => Ok(Ending::with_message(Exit::Nothing, message)),
        error => Err(error),
    }
}

impl From<Exit> for Ending {
    fn from(exit: Exit) -> Self {
        Self { exit, message: None }
    }
}

/// An exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Judged, and nothing at or above the threshold; of a simulation, safe.
    Pass,
    /// Judged, and findings at or above the threshold; of a simulation, a client breaks.
    Findings,
    /// Usage or configuration, including malformed evidence; or a report could not be written.
    Usage,
    /// Could not judge.
    Inconclusive,
    /// Nothing to judge: no such cluster.
    Nothing,
    /// A bug: a panic (`EX_SOFTWARE` of sysexits.h).
    Bug,
    /// Ended by a signal of this number.
    Signal(u8),
    /// The exit code of the traced command.
    Command(u8),
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

impl From<Reaches> for Exit {
    fn from(reaches: Reaches) -> Self {
        match reaches {
            Reaches::Yes => Self::Pass,
            Reaches::No => Self::Findings,
            Reaches::Unknown => Self::Inconclusive,
        }
    }
}

impl From<SimulationVerdict> for Exit {
    fn from(verdict: SimulationVerdict) -> Self {
        match verdict {
            SimulationVerdict::Safe => Self::Pass,
            SimulationVerdict::Breaks => Self::Findings,
            SimulationVerdict::Unknown => Self::Inconclusive,
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
            Exit::Nothing => 4,
            Exit::Bug => 70,
            // As shells report it.
            Exit::Signal(number) => 128 + number,
            Exit::Command(code) => code,
        })
    }
}
