//! The processes that connect to the API server, by their sockets.

use std::collections::BTreeMap;

use super::socket_evidence::{Sides, SocketEvidence};
use crate::model::connection::{Component, Direction, Path, UNNAMED};
use crate::model::facts::{Facts, has_ambiguous_peer};
use crate::model::name::NodeName;
use crate::model::socket::State;

/// The sockets of a process with the API server.
#[derive(Debug, Default)]
pub(super) struct ProcessSockets {
    /// The component that the process is.
    pub(super) component: Option<Component>,
    /// With which sides it has established connections.
    pub(super) sides: Sides,
    /// Whether an attempt to connect hangs.
    pub(super) is_hanging: bool,
    /// Whether it has an established connection with a peer that may or may not be the API
    /// server.
    pub(super) is_unexplained: bool,
    /// Whether it has one with a public address, while no address of the public endpoint is
    /// known.
    pub(super) is_unplaced: bool,
}

/// The processes of each node, by name.
pub(super) type Processes = BTreeMap<NodeName, BTreeMap<String, ProcessSockets>>;

/// The processes of each node that connect to the API server.
pub(super) fn processes(facts: &Facts) -> Processes {
    let mut processes = Processes::new();
    let outbound = facts.counted_connections().map(|(connection, _)| connection);
    for connection in outbound.filter(|connection| connection.direction == Direction::Outbound) {
        let path = connection.attribution.path;
        let is_unexplained = has_ambiguous_peer(connection, &facts.endpoint_addresses);
        if !path.is_api_server() && !is_unexplained {
            continue;
        }
        let of_node = match processes.get_mut(&connection.node) {
            Some(known) => known,
            None => processes.entry(connection.node.clone()).or_default(),
        };
        let sockets = of_node.entry(connection.process_name().to_owned()).or_default();
        sockets.component = connection.component;
        match connection.socket.state {
            State::Established => {
                sockets.sides.public |= path == Path::PublicEndpoint;
                sockets.sides.private |= path == Path::PrivateEni;
                sockets.sides.cluster_ip |= path == Path::ClusterIp;
                sockets.is_unexplained |= is_unexplained;
            }
            State::SynSent => sockets.is_hanging |= path.is_api_server(),
            _ => {}
        }
    }
    if may_have_unknown_addresses(facts) {
        for (node, names) in &facts.unplaced {
            let of_node = processes.entry(node.clone()).or_default();
            for name in names {
                let name = name.as_deref().unwrap_or(UNNAMED);
                of_node.entry(name.to_owned()).or_default().is_unplaced = true;
            }
        }
    }
    processes
}

/// Whether a public address that nothing explains may be one of the public endpoint: none of
/// those is known.
fn may_have_unknown_addresses(facts: &Facts) -> bool {
    let is_public = |path: &Path| *path == Path::PublicEndpoint;
    facts.evidence.cluster.access.public() != Some(false)
        && !facts.endpoint_addresses.values().any(is_public)
        && !facts.connections.iter().any(|connection| is_public(&connection.attribution.path))
}

impl ProcessSockets {
    /// What they show.
    pub(super) fn sight(&self) -> SocketEvidence {
        if self.is_unexplained {
            SocketEvidence::Unexplained
        } else if self.is_unplaced {
            SocketEvidence::Unplaced
        } else if self.sides != Sides::default() {
            SocketEvidence::Sides(self.sides)
        } else if self.is_hanging {
            SocketEvidence::Hanging
        } else {
            SocketEvidence::Unseen
        }
    }
}
