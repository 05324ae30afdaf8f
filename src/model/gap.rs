//! Evidence that was not seen, and why.

use serde::{Deserialize, Serialize};

/// Something that was not seen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gap {
    /// What: an evidence file, or `node NAME`.
    pub what: String,
    /// Why, as a word.
    pub why: GapReason,
    /// Why, in words.
    pub detail: String,
    /// The next step.
    pub hint: String,
}

impl Gap {
    /// Whether it was left out because the user wants it so: that is nothing the
    /// verdict lacks. Only nodes can be.
    #[must_use]
    pub fn is_left_out(&self) -> bool {
        self.why == GapReason::NotAsked && self.what == "nodes"
    }
}

/// Why something was not seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GapReason {
    /// The evidence holds nothing of it.
    NotRecorded,
    /// The evidence holds a part of it.
    Incomplete,
    /// It is not to be had of this kind of cluster or node.
    NotSupported,
    /// The file that should hold it holds something else.
    Malformed,
    /// The capture was not run as root.
    NoProcessNames,
    /// It did not answer.
    Unreachable,
    /// The name did not resolve.
    NoAnswer,
    /// A permission is missing.
    AccessDenied,
    /// Nobody to ask as.
    NoCredentials,
    /// The user asked for it to be left out, so no rule is judged by it.
    NotAsked,
    /// It took longer than was allowed.
    TimedOut,
    /// It gave more than any such answer holds.
    TooMuchOutput,
    /// The node's name does not resolve where ssh runs.
    NameNotResolved,
    /// Nothing listens where ssh connects to.
    ConnectionRefused,
    /// The connection broke off.
    ConnectionLost,
    /// ssh knows no key of the host.
    HostKeyUnknown,
    /// ssh knows another key of the host.
    HostKeyChanged,
    /// The host took none of the user's keys.
    LoginRefused,
    /// The user may log in and run nothing.
    NoShell,
    /// There is no such thing.
    NotFound,
    /// The run was ended before.
    Interrupted,
    /// What else a recording says.
    #[serde(other)]
    Failed,
}

impl GapReason {
    /// The word for it in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotRecorded => "not-recorded",
            Self::Incomplete => "incomplete",
            Self::NotSupported => "not-supported",
            Self::Malformed => "malformed",
            Self::NoProcessNames => "no-process-names",
            Self::Unreachable => "unreachable",
            Self::NoAnswer => "no-answer",
            Self::AccessDenied => "access-denied",
            Self::NoCredentials => "no-credentials",
            Self::NotAsked => "not-asked",
            Self::TimedOut => "timed-out",
            Self::TooMuchOutput => "too-much-output",
            Self::NameNotResolved => "name-not-resolved",
            Self::ConnectionRefused => "connection-refused",
            Self::ConnectionLost => "connection-lost",
            Self::HostKeyUnknown => "host-key-unknown",
            Self::HostKeyChanged => "host-key-changed",
            Self::LoginRefused => "login-refused",
            Self::NoShell => "no-shell",
            Self::NotFound => "not-found",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
        }
    }
}
