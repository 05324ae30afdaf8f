//! Gaps: evidence that was not obtained, with the reason.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::file::{Field, File};
use super::name::NodeName;
use super::seen_from::HERE;

/// An observation, or the gap if it could not be made. A missing observation is a value
/// of its own and is never treated as an empty one.
#[derive(Debug, Clone)]
pub enum Observed<T> {
    /// The observed value.
    Seen(T),
    /// The gap.
    Unseen(Gap),
}

impl<T> Observed<T> {
    /// The value, if there is one.
    pub fn seen(&self) -> Option<&T> {
        match self {
            Self::Seen(value) => Some(value),
            Self::Unseen(_) => None,
        }
    }

    /// The value, or a copy of the gap.
    ///
    /// # Errors
    /// The gap, if there is no value.
    pub fn as_result(&self) -> Result<&T, Gap> {
        match self {
            Self::Seen(value) => Ok(value),
            Self::Unseen(gap) => Err(gap.clone()),
        }
    }
}

/// A piece of evidence that was not obtained. Its text is `subject: detail; hint`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gap {
    /// What was not obtained.
    pub subject: Subject,
    /// The reason, as a fixed word.
    pub why: GapReason,
    /// The reason, as text.
    pub detail: String,
    /// The next step, from the source of the evidence; may be empty.
    pub hint: String,
}

impl Gap {
    /// Whether the user excluded the evidence, so that the verdict does not depend on it.
    /// Only the nodes and the probes can be excluded.
    #[must_use]
    pub fn is_left_out(&self) -> bool {
        self.why == GapReason::NotAsked && matches!(self.subject, Subject::Nodes | Subject::Probe(_))
    }

    /// Whether it is a file that exists and is not read.
    #[must_use]
    pub fn is_unread_file(&self) -> bool {
        self.why == GapReason::NotSupported && matches!(self.subject, Subject::Other(_))
    }

    /// Whether it is of evidence that no rule needs: network ACLs that AWS refuses, since older
    /// IAM policies lack the action, and probes from nodes, which need a program there and time.
    #[must_use]
    pub fn is_optional(&self) -> bool {
        match &self.subject {
            Subject::File(file) => self.why == GapReason::AccessDenied && *file == File::NETWORK_ACLS,
            Subject::Probe(vantage) => vantage != HERE,
            _ => false,
        }
    }

    /// The text without the subject: `detail; next step`.
    #[must_use]
    pub fn cause(&self) -> String {
        let Self { detail, hint, .. } = self;
        if hint.is_empty() { detail.clone() } else { format!("{detail}; {hint}") }
    }

    /// The text without the next step: `subject: detail`.
    #[must_use]
    pub fn problem(&self) -> String {
        format!("{}: {}", self.subject, self.detail)
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.cause())
    }
}

/// What a gap is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A file of the evidence directory.
    File(File),
    /// A field of such a file.
    Field(Field),
    /// The DNS answer for the endpoint's name at a vantage point.
    Vantage(String),
    /// The records of one type in such an answer.
    Records {
        /// `A` or `AAAA`.
        kind: &'static str,
        /// The vantage point.
        vantage: String,
    },
    /// The answers to probes at a vantage point.
    Probe(String),
    /// The DNS answers at all vantage points.
    Vantages,
    /// A node.
    Node(NodeName),
    /// A node that EC2 lists, by its instance id.
    Instance(String),
    /// All nodes.
    Nodes,
    /// Hybrid nodes, which EC2 does not list.
    HybridNodes,
    /// Pods on Fargate.
    FargatePods,
    /// The egress address of a node, by its instance id or its name.
    Egress(String),
    /// The sockets of several samples.
    Sockets,
    /// An API action, such as `eks:ListClusters`.
    Action(&'static str),
    /// A subject in one of the two recordings that `diff` compares.
    Recording {
        /// The subject.
        of: Box<Subject>,
        /// Which recording: `before` or `after`.
        side: &'static str,
    },
    /// Any other text in a manifest.
    Other(String),
}

impl Subject {
    /// The node, if the subject is one.
    #[must_use]
    pub fn node(&self) -> Option<&NodeName> {
        match self {
            Self::Node(name) => Some(name),
            Self::Recording { of, .. } => of.node(),
            _ => None,
        }
    }

    /// The name that distinguishes it from others of its kind, if there may be many of them: of
    /// a node, an instance or a vantage point.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Node(name) => Some(name.as_str()),
            Self::Instance(name) | Self::Egress(name) | Self::Vantage(name) | Self::Probe(name) => Some(name),
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
            Self::Probe(name) => write!(f, "probe/{name}.json"),
            Self::Vantages => f.write_str("dns"),
            Self::Node(name) => write!(f, "node {name}"),
            Self::Instance(id) => write!(f, "node {id}"),
            Self::Nodes => f.write_str("nodes"),
            Self::HybridNodes => f.write_str("hybrid nodes"),
            Self::FargatePods => f.write_str("Fargate pods"),
            Self::Egress(id) => write!(f, "egress of node {id}"),
            Self::Sockets => f.write_str("sockets"),
            Self::Action(action) => f.write_str(action),
            Self::Recording { of, side } => write!(f, "{of} ({side})"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

/// The reason why evidence was not obtained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GapReason {
    /// It is not in the recording.
    NotRecorded,
    /// Only a part of it was obtained.
    Incomplete,
    /// This kind of cluster or node does not provide it.
    NotSupported,
    /// The file or answer cannot be parsed.
    Malformed,
    /// The capture was not run as root.
    NoProcessNames,
    /// The host did not answer.
    Unreachable,
    /// The name did not resolve.
    NoAnswer,
    /// A permission is missing.
    AccessDenied,
    /// No AWS credentials are available.
    NoCredentials,
    /// The user excluded it.
    NotAsked,
    /// The time limit was exceeded.
    TimedOut,
    /// The size limit of the answer was exceeded.
    TooMuchOutput,
    /// ssh cannot resolve the node's host name.
    NameNotResolved,
    /// The host refused the TCP connection of ssh.
    ConnectionRefused,
    /// The ssh connection was lost.
    ConnectionLost,
    /// The host key is not in `known_hosts`.
    HostKeyUnknown,
    /// The host key differs from that in `known_hosts`.
    HostKeyChanged,
    /// The host rejected the user's keys.
    LoginRefused,
    /// The login succeeded, but the account cannot run commands.
    NoShell,
    /// It does not exist.
    NotFound,
    /// The run ended before it was obtained.
    Interrupted,
    /// Any other reason, including unknown words in a recording.
    #[serde(other)]
    Failed,
}

impl GapReason {
    /// Its name in reports.
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
