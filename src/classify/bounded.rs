//! The connections that are kept: a bounded number, however many rows a capture has. The
//! others are counted by what rules and reports distinguish, so that no outcome depends on
//! the bound.

use std::cmp::Ordering;
use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::BuildHasher;

use crate::model::connection::{Connection, Direction, OmittedConnections, Path};
use crate::model::gap::{Gap, GapReason, Subject};
use crate::model::name::NodeName;
use crate::model::socket::{Host, Port, State};

/// How many connections are kept.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// With one peer of a node: an address and, unless it is that of a client, its port.
    pub per_peer: usize,
    /// Of one node.
    pub per_node: usize,
    /// Of all nodes.
    pub total: usize,
    /// How many more are kept until those beyond the limits are counted.
    pub spare: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { per_peer: 1000, per_node: 10_000, total: 500_000, spare: 50_000 }
    }
}

/// The largest number of connections that are counted once however often they are repeated.
/// Beyond it, repeated ones are counted again.
const COUNTED_MAX: usize = 1_500_000;

/// Connections of one kind are the same to rules and reports: they differ by the ports of
/// the client alone. Of each kind, one connection at least is kept, unless a node has more
/// kinds than the limits.
#[derive(Debug, Default)]
pub(super) struct Connections {
    kept: Vec<Connection>,
    limits: Limits,
    /// The index of the first connection of the node that is being added: rows of one node
    /// mostly follow each other.
    current: usize,
    /// The number of connections from there that the limits left at the last count.
    left: usize,
    /// The hashes of the connections that were counted.
    counted: HashSet<u64>,
    hasher: RandomState,
    /// The number of connections that are not kept, by kind.
    omitted: BTreeMap<Connection, u64>,
    /// The number of those whose kind is beyond the limits.
    unlisted: BTreeMap<(NodeName, State, Path, bool), u64>,
}

impl Connections {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    pub(super) fn push(&mut self, connection: Connection) {
        if self.kept.last().is_some_and(|last| last.node != connection.node) {
            self.count(self.current);
            self.current = self.kept.len();
            self.left = 0;
        }
        self.kept.push(connection);
        let Limits { total, spare, .. } = self.limits;
        let with_spare = |left: usize| left + spare.max(left / 4);
        if self.kept.len() - self.current >= with_spare(self.left) {
            self.count(self.current);
            self.left = self.kept.len() - self.current;
        }
        if self.kept.len() >= with_spare(total) {
            self.count(0);
            self.current = self.kept.len();
            self.left = 0;
        }
    }

    /// The connections that are kept, and the numbers of the others; both sorted.
    pub(super) fn finish(mut self) -> (Vec<Connection>, Vec<OmittedConnections>) {
        self.count(0);
        self.kept.sort();
        let of_kinds = self.omitted.into_iter().map(|(kind, count)| OmittedConnections {
            node: kind.node.clone(),
            state: kind.socket.state,
            path: kind.attribution.path,
            is_read: is_read(&kind),
            kind: Some(kind),
            count,
        });
        let unlisted = self.unlisted.into_iter().map(|((node, state, path, is_read), count)| {
            OmittedConnections { node, state, path, is_read, kind: None, count }
        });
        let mut omitted: Vec<_> = of_kinds.chain(unlisted).collect();
        omitted.sort_by(|a, b| a.node.cmp(&b.node));
        (self.kept, omitted)
    }

    /// Counts the connections from an index on that are beyond the limits, and drops them. The
    /// result does not depend on the order in which they were added, nor on when they are
    /// counted: those that come first by their kind are kept, and a connection that is dropped
    /// once would be dropped later too.
    fn count(&mut self, from: usize) {
        // Splitting at 0 would allocate as much again.
        let mut all = if from == 0 { std::mem::take(&mut self.kept) } else { self.kept.split_off(from) };
        all.sort_unstable_by(by_kind);
        // Output that was recorded several times, as by a loop, repeats connections.
        all.dedup();
        let fates = fates(&all, self.limits);
        let mut fates = fates.into_iter();
        all.retain(|connection| match fates.next() {
            Some(Fate::Kept) | None => true,
            Some(Fate::Omitted) => {
                if self.is_new(connection) {
                    *self.omitted.entry(kind(connection)).or_default() += 1;
                }
                false
            }
            Some(Fate::Unlisted) => {
                let of_kind = self.omitted.remove(&kind(connection)).unwrap_or_default();
                let count = of_kind + u64::from(self.is_new(connection));
                let socket = &connection.socket;
                let (node, path) = (connection.node.clone(), connection.attribution.path);
                let key = (node, socket.state, path, is_read(connection));
                *self.unlisted.entry(key).or_default() += count;
                false
            }
        });
        if self.kept.is_empty() {
            self.kept = all;
        } else {
            self.kept.append(&mut all);
        }
    }

    /// Whether a connection was not counted before.
    fn is_new(&mut self, connection: &Connection) -> bool {
        let hash = self.hasher.hash_one(connection);
        if self.counted.len() < COUNTED_MAX {
            self.counted.insert(hash)
        } else {
            !self.counted.contains(&hash)
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    /// Another connection of its kind is kept.
    Omitted,
    /// No connection of its kind is kept.
    Unlisted,
}

/// How many connections were kept, and the limits.
struct Room<'a> {
    limits: Limits,
    peers: HashMap<(&'a NodeName, &'a Host, Option<&'a Port>), usize>,
    nodes: HashMap<&'a NodeName, usize>,
    total: usize,
}

impl<'a> Room<'a> {
    /// Counts a connection as kept, if the limits allow it.
    fn take(&mut self, connection: &'a Connection) -> bool {
        let Connection { node, socket, .. } = connection;
        let of_peer = self.peers.entry((node, &socket.peer.host, server_port(connection))).or_default();
        let of_node = self.nodes.entry(node).or_default();
        let Limits { per_peer, per_node, total, .. } = self.limits;
        let has_room = *of_peer < per_peer && *of_node < per_node && self.total < total;
        if has_room {
            *of_peer += 1;
            *of_node += 1;
            self.total += 1;
        }
        has_room
    }
}

/// Whether each connection is kept. They are sorted by kind.
fn fates(all: &[Connection], limits: Limits) -> Vec<Fate> {
    let mut fates = vec![Fate::Unlisted; all.len()];
    if all.len() <= limits.per_peer.min(limits.total).min(limits.per_node) {
        fates.fill(Fate::Kept);
        return fates;
    }
    let mut room = Room { limits, peers: HashMap::new(), nodes: HashMap::new(), total: 0 };
    // The first connection of each kind, those that decide an outcome first; then others.
    let mut kinds = Vec::new();
    let mut at = 0;
    for of_kind in all.chunk_by(|a, b| cmp_kinds(a, b).is_eq()) {
        kinds.push(at..at + of_kind.len());
        at += of_kind.len();
    }
    kinds.sort_by_key(|of_kind| rank(&all[of_kind.start]));
    for of_kind in kinds {
        let first = of_kind.start;
        if room.take(&all[first]) {
            fates[of_kind].fill(Fate::Omitted);
            fates[first] = Fate::Kept;
        }
    }
    for (connection, fate) in all.iter().zip(&mut fates) {
        if *fate == Fate::Omitted && room.take(connection) {
            *fate = Fate::Kept;
        }
    }
    fates
}

/// The rank of a connection among those for which there is room: what can be a finding comes
/// before what can only be the absence of one.
fn rank(connection: &Connection) -> u8 {
    match (connection.attribution.path, connection.direction) {
        (Path::PublicEndpoint, _) => 0,
        (Path::Unattributed, Direction::Outbound) => 1,
        (Path::PrivateEni | Path::ClusterIp, _) => 2,
        (Path::Unattributed, _) => 3,
        (_, Direction::Outbound) => 4,
        _ => UNREAD,
    }
}

/// The rank of connections that decide nothing, such as those of probes with pods.
const UNREAD: u8 = 5;

fn is_read(connection: &Connection) -> bool {
    rank(connection) < UNREAD
}

/// Whether the peer's port is that of a client, which no rule reads.
fn has_client(connection: &Connection) -> bool {
    let is_client =
        connection.direction == Direction::Inbound || connection.attribution.path == Path::Loopback;
    is_client && matches!(connection.socket.peer.host, Host::Ip(_))
}

/// The peer's port, unless it is that of a client.
fn server_port(connection: &Connection) -> Option<&Port> {
    (!has_client(connection)).then_some(&connection.socket.peer.port)
}

/// The kind of a connection: the same with wildcards for the ports of clients.
fn kind(connection: &Connection) -> Connection {
    let mut kind = connection.clone();
    kind.socket.local.port = Port::Any;
    if has_client(connection) {
        kind.socket.peer.port = Port::Any;
    }
    kind
}

fn cmp_kinds(a: &Connection, b: &Connection) -> Ordering {
    (a.node.cmp(&b.node))
        .then_with(|| a.process.cmp(&b.process))
        .then_with(|| a.component.cmp(&b.component))
        .then_with(|| a.socket.state.cmp(&b.socket.state))
        .then_with(|| a.socket.local.host.cmp(&b.socket.local.host))
        .then_with(|| a.socket.peer.host.cmp(&b.socket.peer.host))
        .then_with(|| server_port(a).cmp(&server_port(b)))
        .then_with(|| a.direction.cmp(&b.direction))
        .then_with(|| a.attribution.cmp(&b.attribution))
}

fn by_kind(a: &Connection, b: &Connection) -> Ordering {
    cmp_kinds(a, b)
        .then_with(|| a.socket.local.port.cmp(&b.socket.local.port))
        .then_with(|| a.socket.peer.port.cmp(&b.socket.peer.port))
}

/// The gap for a node with more kinds of connections than are kept, if any of the others may
/// decide an outcome.
pub(super) fn too_many_connections(node: &NodeName, omitted: &[OmittedConnections]) -> Option<Gap> {
    let begin = omitted.partition_point(|one| one.node < *node);
    let own = omitted[begin..].iter().take_while(|one| one.node == *node);
    let count: u64 = own.filter(|one| one.is_unseen()).map(|one| one.count).sum();
    (count > 0).then(|| Gap {
        subject: Subject::Node(node.clone()),
        why: GapReason::TooMuchOutput,
        detail: format!(
            "{count} of its connections are counted and not judged: there are more different peers and processes than are kept"
        ),
        hint: format!("find out what opens them on {node}: sudo ss -tnp"),
    })
}
