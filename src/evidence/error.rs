//! Errors of reading and writing evidence.

use std::io;
use std::path::{Path, PathBuf};

use super::json::JsonError;

/// Why evidence cannot be read or written. Each names the file and the next step.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The system refused an operation.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was to be done.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file is not the JSON that it should be.
    #[error("{}: {error}; record it as the aws CLI prints it with --output json", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        error: JsonError,
    },
    /// A file or directory is there and cannot be used.
    #[error("{}", .0)]
    Unusable(String),
}

impl EvidenceError {
    /// A conversion of an I/O error.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
