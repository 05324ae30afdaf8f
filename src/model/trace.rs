//! Which sockets were there before, during and after an action.

use std::time::Duration;

use super::connection::Connection;
use super::facts::InterfaceKind;
use super::gap::Gap;
use super::name::NodeName;

/// The sockets of several looks at each node.
#[derive(Debug)]
pub struct Trace {
    /// The cluster, where it is known.
    pub cluster: Option<String>,
    /// The command that was run meanwhile; `None` where there was none.
    pub command: Option<Ran>,
    /// When the first look was taken, as RFC 3339 has it; `None` for recordings.
    pub began: Option<String>,
    /// The nodes, sorted by name.
    pub nodes: Vec<TracedNode>,
    /// What changed, and the API server's connections that did not; sorted.
    pub connections: Vec<TracedConnection>,
    /// What was not seen.
    pub gaps: Vec<Gap>,
}

/// A command and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The program and its arguments; bytes that are not UTF-8 are replaced.
    pub words: Vec<String>,
    /// Its exit code, or 128 and the signal that ended it, as shells have it.
    pub exit_code: u8,
    /// How long it ran.
    pub lasted: Duration,
}

/// How often a node was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracedNode {
    /// Its name.
    pub name: NodeName,
    /// Looks taken.
    pub samples: u64,
    /// Looks that were due and not taken, because the last ones were not done.
    pub missed: u64,
    /// Whether the kernel also told of sockets that ended between two looks.
    pub tells_ends: bool,
}

/// A connection and when it was there.
#[derive(Debug, Clone)]
pub struct TracedConnection {
    /// The connection as it was last seen.
    pub connection: Connection,
    /// The network interface that has the peer's address.
    pub eni: Option<EniRef>,
    /// When it was there.
    pub presence: Presence,
    /// Whether it changed for another reason than the action: it has nothing to
    /// do with how API server and node reach each other, or came after it.
    pub is_background: bool,
    /// In how many looks it was seen; none where only its end was told.
    pub samples: u64,
    /// When it was first and last seen; `None` for recordings.
    pub seen: Option<(Moment, Moment)>,
}

/// A network interface by its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EniRef {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub kind: InterfaceKind,
}

/// A time by two clocks: looks are ordered by ours, and a node's is not trusted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    /// Since the trace began.
    pub arrived: Duration,
    /// Since 1970, by the node's own clock, where it told.
    pub node: Option<Duration>,
}

/// A part of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Before the action.
    Before,
    /// While it lasts.
    During,
    /// After it.
    After,
}

/// In which parts of a trace a connection was there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Presence {
    /// In the last look before the action.
    pub before: bool,
    /// In any look during it.
    pub during: bool,
    /// In the last look of all.
    pub after: bool,
}

impl Presence {
    /// What that comes to; `None` if nothing changed.
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

/// What became of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Not there before, there at the end.
    Appeared,
    /// There before, not at the end.
    Gone,
    /// There during the action only.
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
