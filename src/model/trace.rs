//! A trace: the sockets that existed before, during and after an action.

use std::time::Duration;

use super::connection::{Component, Connection, Direction, Path};
use super::facts::InterfaceKind;
use super::gap::Gap;
use super::name::NodeName;
use super::socket::State;
use super::traffic::TrafficPath;

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
    /// Which components' traffic took another path in the second of two recordings; sorted by node.
    pub traffic: Vec<TrafficChange>,
    /// Whether two recordings are of different clusters with the same name, so that what differs
    /// is no change of one cluster.
    pub is_of_two_clusters: bool,
    /// What was not seen.
    pub gaps: Vec<Gap>,
}

/// A change of the path of a component's traffic to the API server on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrafficChange {
    /// The node.
    pub node: NodeName,
    /// The component.
    pub component: Component,
    /// Its path in the first recording.
    pub before: TrafficPath,
    /// Its path in the second one.
    pub after: TrafficPath,
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
    /// The largest number of inbound connections on any port that were opened after the
    /// last sample before the action, and that no sample and no closed socket shows;
    /// `None` if it is not known.
    pub unseen_inbound: Option<u64>,
    /// What its samples cover.
    pub coverage: Coverage,
}

impl TracedNode {
    /// Whether it was seen both before the action and at the end.
    #[must_use]
    pub fn is_compared(&self) -> bool {
        !self.coverage.unseen.contains(&Phase::Before) && !self.coverage.unseen.contains(&Phase::After)
    }
}

/// What the complete samples of a node cover.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// The parts of the trace in which it was not seen, or not to their end.
    pub unseen: Vec<Phase>,
    /// The longest time between two samples, from the last one before the action on; `None`
    /// for recordings.
    pub longest_gap: Option<Duration>,
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
    /// What it is, which shows whether the action may be the reason for its change.
    pub role: Role,
    /// The number of samples that contain it; 0 if only its close was reported.
    pub samples: u64,
    /// The times of the first and the last sample that contain it; `None` for recordings.
    pub seen: Option<(Moment, Moment)>,
}

impl TracedConnection {
    /// Whether it changed, and the action may be the reason.
    #[must_use]
    pub fn is_change(&self) -> bool {
        !self.role.is_background() && self.presence.change().is_some()
    }

    /// Whether it is an established connection of the API server to a kubelet that existed
    /// before the action: the API server reuses such a connection for requests of any client.
    #[must_use]
    pub fn is_pooled(&self) -> bool {
        let connection = &self.connection;
        connection.direction == Direction::Inbound
            && connection.attribution.path == Path::PrivateEni
            && connection.socket.state == State::Established
            && self.presence.before == Sighting::Present
    }
}

/// What a connection is in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// An inbound connection from the API server to the kubelet, as an exec needs one.
    Inbound,
    /// A loopback connection between kubelet and container runtime, which carries the stream
    /// of an exec.
    Stream,
    /// A connection of a node's process to the API server. The action may run such a process,
    /// and so may everybody else.
    Outbound,
    /// A connection that changed with the restart of its process.
    Restart,
    /// An inbound connection that existed before the action and ended: the API server closed
    /// one that was idle, or an earlier session ended.
    Pool,
    /// A connection of probes, of metrics-server or of other programs, or one that appeared
    /// after the action.
    Other,
}

impl Role {
    /// Its name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Stream => "stream",
            Self::Outbound => "outbound",
            Self::Restart => "restart",
            Self::Pool => "pool",
            Self::Other => "other",
        }
    }

    /// Whether its changes have another reason than the action.
    #[must_use]
    pub fn is_background(self) -> bool {
        matches!(self, Self::Restart | Self::Pool | Self::Other)
    }
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

impl Moment {
    /// The time since an earlier sample, by the clock that shows more of it: several may arrive
    /// at once.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let on_node = self.node.zip(earlier.node).map(|(now, then)| now.saturating_sub(then));
        self.arrived.saturating_sub(earlier.arrived).max(on_node.unwrap_or_default())
    }
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presence {
    /// In the last sample before the action.
    pub before: Sighting,
    /// In any sample during the action.
    pub during: Sighting,
    /// In the last sample of all.
    pub after: Sighting,
    /// Whether it was seen, and its end as well: a later sample of its node lacks it, or the
    /// kernel reported that it was closed.
    pub has_ended: bool,
    /// Whether it appeared after the action, and ended before the last sample of all.
    pub is_after_only: bool,
}

/// Whether a connection existed at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sighting {
    /// A sample contains it, or two samples show that it must have existed between them.
    Present,
    /// The samples of that time lack it.
    Absent,
    /// Its node was not seen then, or not to the end.
    Unknown,
}

impl Sighting {
    /// From whether it was seen, where its node was.
    #[must_use]
    pub fn seen(is_present: bool) -> Self {
        if is_present { Self::Present } else { Self::Absent }
    }
}

impl Presence {
    /// The sighting in a part of the trace.
    #[must_use]
    pub fn of(self, phase: Phase) -> Sighting {
        match phase {
            Phase::Before => self.before,
            Phase::During => self.during,
            Phase::After => self.after,
        }
    }

    /// The change; `None` if nothing changed, or if that is not known.
    #[must_use]
    pub fn change(self) -> Option<Change> {
        use Sighting::{Absent, Present, Unknown};
        match (self.before, self.during, self.after) {
            // Its node may have been lost: what was seen until then.
            (Absent, _, Present | Unknown) => Some(Change::Appeared),
            (Present, _, Absent) => Some(Change::Gone),
            (Absent, Present, Absent) => Some(Change::Transient),
            (Absent, _, Absent) if self.is_after_only => Some(Change::Transient),
            _ => None,
        }
    }

    /// Whether it is not known if it changed.
    #[must_use]
    pub fn is_undetermined(self) -> bool {
        self.change().is_none() && [self.before, self.after].contains(&Sighting::Unknown)
    }
}

/// A change of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Absent before the action, present at the end, or in the last sample of a node that was
    /// lost.
    Appeared,
    /// Present before the action, ended since.
    Gone,
    /// Present during the action only, or after it only.
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
