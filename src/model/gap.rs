//! Gaps: evidence that was not seen, and why.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::file::{Field, File};
use super::name::NodeName;

/// A thing that was seen, or the reason why it was not. "Could not see" is a
/// value of its own and is never treated as an empty one.
#[derive(Debug, Clone)]
pub enum Observed<T> {
    /// It was seen.
    Seen(T),
    /// It was not seen.
    Unseen(Gap),
}

impl<T> Observed<T> {
    /// The thing, if it was seen.
    pub fn seen(&self) -> Option<&T> {
        match self {
            Self::Seen(value) => Some(value),
            Self::Unseen(_) => None,
        }
    }

    /// The thing, or a copy of the gap.
    ///
    /// # Errors
    /// The gap, if the thing was not seen.
    pub fn as_result(&self) -> Result<&T, Gap> {
        match self {
            Self::Seen(value) => Ok(value),
            Self::Unseen(gap) => Err(gap.clone()),
        }
    }
}

/// A piece of evidence that was not seen. Its text is `subject: detail; hint`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gap {
    /// What was not seen.
    pub subject: Subject,
    /// Why, as a word.
    pub why: GapReason,
    /// Why, in words.
    pub detail: String,
    /// The next step, as the source of the evidence knows it.
    pub hint: String,
}

impl Gap {
    /// Whether the user asked for it to be left out, so that the verdict does not
    /// need it. Only the nodes can be left out.
    #[must_use]
    pub fn is_left_out(&self) -> bool {
        self.why == GapReason::NotAsked && self.subject == Subject::Nodes
    }

    /// The text without the next step: `subject: detail`.
    #[must_use]
    pub fn problem(&self) -> String {
        format!("{}: {}", self.subject, self.detail)
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.detail)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, "; {}", self.hint) }
    }
}

/// What a gap is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A file of the evidence directory.
    File(File),
    /// A field in such a file.
    Field(Field),
    /// The answer to the endpoint's name at a vantage point.
    Vantage(String),
    /// The records of one type in that answer.
    Records {
        /// `A` or `AAAA`.
        kind: &'static str,
        /// The vantage point.
        vantage: String,
    },
    /// The answer at every vantage point.
    Vantages,
    /// A node.
    Node(NodeName),
    /// An instance that EC2 lists as a node, by its id.
    Instance(String),
    /// All nodes.
    Nodes,
    /// Nodes that run outside of EC2, which EC2 does not list.
    HybridNodes,
    /// The address with which an instance's traffic leaves the VPC, by the instance's id.
    Egress(String),
    /// Sockets of several samples.
    Sockets,
    /// An API action, such as `eks:ListClusters`.
    Action(&'static str),
    /// A subject of one of the two recordings that `diff` compares.
    Recording {
        /// The subject in it.
        of: Box<Subject>,
        /// Which recording: `before` or `after`.
        side: &'static str,
    },
    /// Anything else that a manifest names.
    Other(String),
}

impl Subject {
    /// The node that it is about, if it is about one.
    #[must_use]
    pub fn node(&self) -> Option<&NodeName> {
        match self {
            Self::Node(name) => Some(name),
            Self::Recording { of, .. } => of.node(),
            _ => None,
        }
    }
}

impl From<File> for Subject {
    fn from(file: File) -> Self {
        Self::File(file)
    }
}

impl From<Field> for Subject {
    fn from(field: Field) -> Self {
        Self::Field(field)
    }
}

impl From<NodeName> for Subject {
    fn from(name: NodeName) -> Self {
        Self::Node(name)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => write!(f, "{file}"),
            Self::Field(field) => write!(f, "{}: {}", field.file(), field.name()),
            Self::Vantage(name) => write!(f, "dns/{name}.txt"),
            Self::Records { kind, vantage } => write!(f, "{kind} records from {vantage}"),
            Self::Vantages => f.write_str("dns"),
            Self::Node(name) => write!(f, "node {name}"),
            Self::Instance(id) => write!(f, "node {id}"),
            Self::Nodes => f.write_str("nodes"),
            Self::HybridNodes => f.write_str("hybrid nodes"),
            Self::Egress(id) => write!(f, "egress of node {id}"),
            Self::Sockets => f.write_str("sockets"),
            Self::Action(action) => f.write_str(action),
            Self::Recording { of, side } => write!(f, "{of} ({side})"),
            Self::Other(text) => f.write_str(text),
        }
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
