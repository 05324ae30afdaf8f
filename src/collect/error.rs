//! Errors that end a collection. Evidence that is missing is a gap instead.

use std::io;

use tokio::task::JoinError;

use super::runtime::RuntimeError;
use crate::evidence::error::EvidenceError;
use crate::model::gap::Gap;

/// Why a collection ended.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The cluster cannot be described.
    #[error("{}", .0.message)]
    Undescribed(Box<Undescribed>),
    /// The configuration of AWS cannot be used.
    #[error("{0}")]
    Configuration(String),
    /// The evidence cannot be written.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// A task panicked.
    #[error(transparent)]
    Task(#[from] JoinError),
    /// A signal interrupts the run.
    #[error("{}", interrupted(*answered, *expected, outstanding))]
    Interrupted {
        /// Its number.
        signal: u8,
        /// How many answers had been received.
        answered: u64,
        /// How many were expected.
        expected: u64,
        /// What had not answered, in words.
        outstanding: String,
    },
    /// The runtime does not start.
    #[error(transparent)]
    Runtime(RuntimeError),
    /// There is no place for temporary captures.
    #[error("cannot create a temporary directory; set TMPDIR to a directory that can be written to")]
    Scratch(#[source] io::Error),
}

/// A cluster that cannot be described, so that nothing can be judged.
#[derive(Debug)]
pub struct Undescribed {
    /// The cause and the next step.
    pub message: String,
    /// The same as a gap.
    pub gap: Gap,
    /// Whether no such cluster exists.
    pub is_absent: bool,
    /// Whether the configuration is the cause, such as a region that does not exist.
    pub is_configuration: bool,
}

impl From<Undescribed> for CollectError {
    fn from(undescribed: Undescribed) -> Self {
        Self::Undescribed(Box::new(undescribed))
    }
}

/// What a collection returns.
pub type Result<T, E = CollectError> = std::result::Result<T, E>;

fn interrupted(answered: u64, expected: u64, outstanding: &str) -> String {
    let waiting = if outstanding.is_empty() { String::new() } else { format!("; not yet: {outstanding}") };
    match expected {
        0 => format!("interrupted before any answer was received{waiting}"),
        _ => format!("interrupted: {answered} of {expected} answers had been received{waiting}"),
    }
}
