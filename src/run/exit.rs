//! Exit codes: one enum, one conversion.

use std::fmt;
use std::process::ExitCode;

use crate::model::judgment::Verdict;

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
    /// Nothing to judge: there is no such cluster.
    Nothing,
    /// A bug: a panic (`EX_SOFTWARE` of sysexits.h).
    Bug,
    /// Ended by a signal, of this number.
    Signal(u8),
    /// As the command that was traced ended.
    Command(u8),
}

/// An error's context that says how the run ends; usage is what ends the others.
#[derive(Debug, Clone)]
pub struct EndsWith(pub Exit, pub String);

impl fmt::Display for EndsWith {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.1)
    }
}

impl std::error::Error for EndsWith {}

impl Exit {
    /// How a run ends that an error ended.
    #[must_use]
    pub fn of(error: &anyhow::Error) -> Self {
        error.downcast_ref().map_or(Self::Usage, |EndsWith(exit, _)| *exit)
    }
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
            Exit::Nothing => 4,
            Exit::Bug => 70,
            // What a shell makes of it.
            Exit::Signal(number) => 128 + number,
            Exit::Command(code) => code,
        })
    }
}
