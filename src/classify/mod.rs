//! Classification: derives facts from sockets, ENIs and DNS answers. Pure: the same
//! evidence gives the same facts, in whatever order it is added.

mod architecture;
mod block_public_access;
mod bounded;
mod captures;
pub mod changes;
mod control_plane;
mod egress;
mod eni;
pub mod history;
mod machines;
mod missing;
mod network_acls;
mod other_vpc;
pub mod path;
mod reach;
pub mod reachability;
mod restarts;
mod route_tables;
mod security_groups;
mod seen_from;
pub mod simulation;
mod traffic;
mod unplaced;
pub mod witness;

use std::collections::HashSet;
use std::sync::Arc;

use self::architecture::architecture;
use self::bounded::Connections;
pub use self::bounded::Limits;
use self::bounded::too_many_connections;
use self::captures::of_other_machines;
use self::control_plane::subnets_without_egress;
use self::egress::node_egress;
use self::eni::{classify_interface, owner};
use self::machines::{Machines, several_machines};
use self::missing::missing_nodes;
use self::other_vpc::other_vpc;
use self::path::Index;
use self::reach::node_reach;
use self::seen_from::seen_from;
use self::traffic::node_traffic;
use self::unplaced::Unplaced;
use crate::model::connection::{Component, Connection, Path};
use crate::model::evidence::Evidence;
use crate::model::facts::{ClassifiedInterface, Facts};
use crate::model::name::NodeName;
use crate::model::net::INTERFACES;
use crate::model::node::Node;
use crate::model::socket::{Process, Socket, SocketAddress};
use crate::model::traffic::NodeTraffic;

/// The local and the peer address of a socket.
type Key = (SocketAddress, SocketAddress);

/// How many bytes of a process name are kept. A kernel reports at most 15; a file can
/// contain more.
const NAME_KEPT: usize = 200;

/// A classifier to which sockets are added one at a time, and which derives the facts.
#[derive(Debug)]
pub struct Classifier {
    evidence: Evidence,
    interfaces: Vec<ClassifiedInterface>,
    index: Index,
    machines: Machines,
    connections: Connections,
    unplaced: Unplaced,
    other_connections: u64,
}

impl Classifier {
    /// A classifier with all evidence except the sockets of the nodes.
    #[must_use]
    pub fn new(evidence: Evidence) -> Self {
        Self::with_limits(evidence, Limits::default())
    }

    /// The same with other limits on the connections that are kept.
    #[must_use]
    pub fn with_limits(mut evidence: Evidence, limits: Limits) -> Self {
        let others = other_vpc(&evidence);
        for (file, gap) in &others {
            evidence.network.take_away(*file, gap);
        }
        let owner = owner(&evidence).unwrap_or_else(|gap| {
            evidence.network.take_away(INTERFACES, &gap);
            None
        });
        let cluster = &evidence.cluster;
        let nodes: HashSet<_> = evidence.node_instances().map(|instance| instance.id.as_str()).collect();
        let seen = evidence.network.interfaces.seen().into_iter().flatten();
        let interfaces: Vec<_> = seen
            .map(|interface| classify_interface(Arc::clone(interface), cluster, owner.as_deref(), &nodes))
            .collect();
        let index = Index::new(&evidence, &interfaces, others.is_empty());
        let machines = Machines::new(&evidence);
        let connections = Connections::new(limits);
        let unplaced = Unplaced::default();
        Self { evidence, interfaces, index, machines, connections, unplaced, other_connections: 0 }
    }

    /// Adds a socket of a node. `processes` are those of its row, as `comm` and pid, in
    /// the order of the row.
    pub fn add<'a>(
        &mut self,
        node: &NodeName,
        socket: Socket,
        processes: impl Iterator<Item = (&'a [u8], Option<u32>)> + Clone,
    ) {
        self.machines.add(node, socket.local.ip());
        let component = processes.clone().find_map(|(comm, _)| Component::from_comm(comm));
        let direction = self.index.direction(&socket);
        let attribution = self.index.attribute(&socket, direction, component);
        let is_unplaced = self.index.is_unplaced(&socket, direction, attribution.path);
        if !is_unplaced && !is_reported(component, attribution.path) {
            self.other_connections += 1;
            return;
        }
        let process = { processes }.next().map(|(comm, pid)| Process {
            name: String::from_utf8_lossy(&comm[..comm.len().min(NAME_KEPT)]).into_owned(),
            pid,
        });
        if is_unplaced {
            self.unplaced.add(node, process.as_ref());
            self.other_connections += 1;
            return;
        }
        let node = node.clone();
        self.keep(Connection { node, process, component, socket, direction, attribution });
    }

    /// Adds a connection that [`Self::connection`] classified.
    pub fn add_connection(&mut self, connection: Connection) {
        self.machines.add(&connection.node, connection.socket.local.ip());
        if is_reported(connection.component, connection.attribution.path) {
            self.keep(connection);
        } else {
            let Connection { node, process, socket, direction, attribution, .. } = &connection;
            if self.index.is_unplaced(socket, *direction, attribution.path) {
                self.unplaced.add(node, process.as_ref());
            }
            self.other_connections += 1;
        }
    }

    fn keep(&mut self, connection: Connection) {
        self.machines.add_connection(&connection);
        self.connections.push(connection);
    }

    /// Classifies a socket without adding it.
    #[must_use]
    pub fn connection(
        &self,
        node: &NodeName,
        socket: Socket,
        component: Option<Component>,
        process: Option<Process>,
    ) -> Connection {
        let direction = self.index.direction(&socket);
        let attribution = self.index.attribute(&socket, direction, component);
        Connection { node: node.clone(), process, component, socket, direction, attribution }
    }

    /// The network interface with an index from an
    /// [`Attribution`](crate::model::connection::Attribution).
    #[must_use]
    pub fn interface(&self, index: usize) -> Option<&ClassifiedInterface> {
        self.interfaces.get(index)
    }

    /// The evidence.
    #[must_use]
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// Returns the facts. `nodes` are the nodes whose sockets were added.
    #[must_use]
    pub fn finish(self, mut nodes: Vec<Node>) -> Facts {
        let Self { evidence, interfaces, index, mut machines, connections, unplaced, other_connections } =
            self;
        let (mut connections, connections_omitted) = connections.finish();
        let left_out = nodes.iter().filter_map(|node| node.left_out);
        let left_out = left_out.fold(0, |sum: u64, one| sum.saturating_add(one.sockets));
        let machines: Vec<_> = nodes.iter().map(|node| machines.of(&node.name)).collect();
        for (node, machines) in nodes.iter_mut().zip(&machines) {
            node.gaps.extend(several_machines(&evidence, &node.name, machines));
            node.gaps.extend(too_many_connections(&node.name, &connections_omitted));
        }
        let other_machines = of_other_machines(&evidence, &mut nodes, &machines);
        let path = |address| index.lookup(address).map_or(Path::Unattributed, |attribution| attribution.path);
        let endpoint_addresses = evidence.endpoint_addresses().into_iter();
        let endpoint_addresses = endpoint_addresses.map(|address| (address, path(address))).collect();
        let mut traffic =
            node_traffic(&nodes, &machines, &connections, &connections_omitted, &endpoint_addresses);
        traffic.iter_mut().filter(|one| other_machines.contains(&one.node)).for_each(NodeTraffic::unsee);
        connections.retain(|connection| !other_machines.contains(&connection.node));
        let seen_from = seen_from(&evidence, &index, &nodes, &connections, &connections_omitted);
        let mut facts = Facts {
            seen_from,
            architecture: Vec::new(),
            missing_nodes: missing_nodes(&evidence, &interfaces, &nodes, &machines),
            traffic,
            egress: node_egress(&evidence, &interfaces, &nodes, &machines),
            machines,
            other_machines,
            subnets_without_egress: subnets_without_egress(&evidence, &interfaces),
            reach: node_reach(&evidence, &interfaces, &connections),
            evidence,
            interfaces,
            endpoint_addresses,
            nodes,
            connections,
            connections_omitted,
            unplaced: unplaced.finish(),
            other_connections: other_connections.saturating_add(left_out),
            incomplete: None,
        };
        facts.architecture = architecture(&facts);
        facts
    }
}

/// Whether a connection is listed in the facts; others are only counted.
fn is_reported(component: Option<Component>, path: Path) -> bool {
    component.is_some_and(Component::is_node_component) || path.is_api_server() || path == Path::Unattributed
}

#[cfg(test)]
mod testing;
