//! Errors that end a collection. Evidence that is missing is a gap instead.

use std::io;

use tokio::task::JoinError;

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
    /// A signal, of this number, interrupts the run.
    #[error("interrupted")]
    Interrupted(u8),
    /// Signals cannot be received.
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    /// The runtime does not start.
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
    /// There is no place for temporary captures.
    #[error("cannot create a temporary directory; set TMPDIR to a directory that can be written to")]
    Scratch(#[source] io::Error),
}

impl CollectError {
    /// The error for a signal that was waited for.
    pub(super) fn interrupted(signal: io::Result<u8>) -> Self {
        signal.map_or_else(Self::Signals, Self::Interrupted)
    }
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
}

impl From<Undescribed> for CollectError {
    fn from(undescribed: Undescribed) -> Self {
        Self::Undescribed(Box::new(undescribed))
    }
}

/// What a collection returns.
pub type Result<T, E = CollectError> = std::result::Result<T, E>;
