//! A trace: the sockets that existed before, during and after an action.

use std::time::Duration;

use super::connection::Connection;
use super::facts::InterfaceKind;
use super::gap::Gap;
use super::name::NodeName;

/// The sockets of several samples of each node.
#[derive(Debug)]
pub struct Trace {
    /// The cluster, where it is known.
    pub cluster: Option<String>,
    /// The command that was traced, if there was one.
    pub command: Option<TracedCommand>,
    /// When the trace began, in RFC 3339; `None` for recordings.
    pub began: Option<String>,
    /// The nodes, sorted by name.
    pub nodes: Vec<TracedNode>,
    /// The connections that changed, and those to and from the API server that did not; sorted.
    pub connections: Vec<TracedConnection>,
    /// What was not seen.
    pub gaps: Vec<Gap>,
}

/// A command and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracedCommand {
    /// The program and its arguments; bytes that are not UTF-8 are replaced.
    pub words: Vec<String>,
    /// Its exit code, or 128 and the number of the signal that terminated it.
    pub exit_code: u8,
    /// How long it ran.
    pub duration: Duration,
}

/// How often a node was sampled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracedNode {
    /// Its name.
    pub name: NodeName,
    /// The number of samples.
    pub samples: u64,
    /// The number of samples that were due and not taken, since earlier ones were outstanding.
    pub missed: u64,
    /// Whether the kernel also reported sockets that were closed between two samples.
    pub has_close_events: bool,
}

/// A connection and the parts of the trace that it existed in.
#[derive(Debug, Clone)]
pub struct TracedConnection {
    /// The connection as it was last seen.
    pub connection: Connection,
    /// The network interface with the peer's address.
    pub eni: Option<EniRef>,
    /// The parts of the trace that it existed in.
    pub presence: Presence,
    /// Whether it changed for another reason than the action: it is not a connection
    /// between the API server and the node, or appeared after the action.
    pub is_background: bool,
    /// The number of samples that contain it; 0 if only its close was reported.
    pub samples: u64,
    /// The times of the first and the last sample that contain it; `None` for recordings.
    pub seen: Option<(Moment, Moment)>,
}

/// A reference to a network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EniRef {
    /// Its id.
    pub id: String,
    /// Its kind: what it belongs to.
    pub kind: InterfaceKind,
}

/// A time by two clocks. Samples are ordered by the time of arrival, since the clocks of
/// nodes differ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    /// The time of arrival since the trace began.
    pub arrived: Duration,
    /// The node's clock since 1970, if it is known.
    pub node: Option<Duration>,
}

/// A part of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Before the action.
    Before,
    /// During the action.
    During,
    /// After the action.
    After,
}

/// The parts of a trace that a connection existed in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Presence {
    /// In the last sample before the action.
    pub before: bool,
    /// In any sample during the action.
    pub during: bool,
    /// In the last sample of all.
    pub after: bool,
}

impl Presence {
    /// The change; `None` if nothing changed.
    #[must_use]
    pub fn change(self) -> Option<Change> {
        match (self.before, self.during, self.after) {
            (false, _, true) => Some(Change::Appeared),
            (true, _, false) => Some(Change::Gone),
            (false, true, false) => Some(Change::Transient),
            (true, _, true) | (false, false, false) => None,
        }
    }
}

/// A change of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Absent before the action, present at the end.
    Appeared,
    /// Present before the action, absent at the end.
    Gone,
    /// Present during the action only.
    Transient,
}

impl Change {
    /// The word for it in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Appeared => "appeared",
            Self::Gone => "gone",
            Self::Transient => "transient",
        }
    }
}
