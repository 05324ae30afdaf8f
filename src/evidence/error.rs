//! Errors that occur when evidence is read or written.

use std::io;
use std::path::{Path, PathBuf};

use super::json::JsonError;

/// An error in reading or writing evidence. The message names the file and, except for
/// I/O errors, the next step.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// An I/O operation failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// The operation, as a verb: `read`, `write`, ...
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A JSON file cannot be parsed.
    #[error("{}: {error}; {next_step}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The position and the cause.
        error: JsonError,
        /// The next step, which depends on the tool that prints the file.
        next_step: String,
    },
    /// The directory is of another cluster than the expected one. The text is the whole message.
    #[error("{}", .0)]
    OtherCluster(String),
    /// A file or directory exists but cannot be used, or is missing. The text is the whole
    /// message.
    #[error("{}", .0)]
    Unusable(String),
}

impl EvidenceError {
    /// Returns a conversion from an I/O error, for `map_err`.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
