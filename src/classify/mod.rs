//! Sockets, ENIs and DNS answers put together. Pure: the same evidence gives
//! the same facts, in whatever order it came.

pub mod changes;
mod eni;
pub mod history;
pub mod path;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use self::eni::classify_interface;
use self::path::Index;
use crate::model::connection::{Component, Connection, Path};
use crate::model::evidence::Evidence;
use crate::model::expectations::Expected;
use crate::model::facts::{Facts, KnownInterface};
use crate::model::gap::{Gap, GapReason};
use crate::model::name::NodeName;
use crate::model::net::Instance;
use crate::model::node::Node;
use crate::model::socket::{Process, Socket};

/// No kernel gives a longer name than 15 bytes; a file may.
const NAME_KEPT: usize = 200;

/// Takes evidence in, row by row, and gives the facts.
#[derive(Debug)]
pub struct Classifier {
    evidence: Evidence,
    interfaces: Vec<KnownInterface>,
    index: Index,
    connections: Vec<Connection>,
    other_connections: u64,
}

impl Classifier {
    /// A classifier that knows everything but the nodes' sockets.
    #[must_use]
    pub fn new(evidence: Evidence) -> Self {
        let cluster = &evidence.cluster;
        let nodes: HashSet<_> = evidence.node_instances().map(|instance| instance.id.as_str()).collect();
        let seen = evidence.interfaces.seen().into_iter().flatten();
        let interfaces: Vec<_> =
            seen.map(|interface| classify_interface(interface.clone(), cluster, &nodes)).collect();
        let index = Index::new(&evidence, &interfaces);
        Self { evidence, interfaces, index, connections: Vec::new(), other_connections: 0 }
    }

    /// Takes a socket of a node. `processes` gives the row's processes as
    /// `comm` and pid, first one first.
    pub fn add<'a>(
        &mut self,
        node: &NodeName,
        socket: Socket,
        processes: impl Iterator<Item = (&'a [u8], Option<u32>)> + Clone,
    ) {
        let component = processes.clone().find_map(|(comm, _)| Component::from_comm(comm));
        let direction = self.index.direction(&socket);
        let attribution = self.index.attribute(&socket, direction, component);
        let path = attribution.path;
        let is_reported = component.is_some_and(Component::is_node_component)
            || path.is_api_server()
            || path == Path::Unattributed;
        if !is_reported {
            self.other_connections += 1;
            return;
        }
        let process = { processes }.next().map(|(comm, pid)| Process {
            name: String::from_utf8_lossy(&comm[..comm.len().min(NAME_KEPT)]).into_owned(),
            pid,
        });
        self.connections.push(Connection {
            node: node.clone(),
            process,
            component,
            socket,
            direction,
            attribution,
        });
    }

    /// A socket with its direction and path.
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

    /// The network interface that an [`Attribution`](crate::model::connection::Attribution) names.
    #[must_use]
    pub fn interface(&self, index: usize) -> Option<&KnownInterface> {
        self.interfaces.get(index)
    }

    /// What is not known of the cluster.
    #[must_use]
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// The facts, given the nodes whose sockets were added.
    #[must_use]
    pub fn finish(self, nodes: Vec<Node>) -> Facts {
        let Self { evidence, interfaces, index, mut connections, other_connections } = self;
        connections.sort();
        let path = |address| index.lookup(address).map_or(Path::Unattributed, |attribution| attribution.path);
        let endpoint_addresses = evidence.endpoint_addresses().into_iter();
        let endpoint_addresses = endpoint_addresses.map(|address| (address, path(address))).collect();
        let missing_nodes = missing_nodes(&evidence, &nodes, &connections);
        Facts {
            evidence,
            interfaces,
            endpoint_addresses,
            nodes,
            missing_nodes,
            connections,
            other_connections,
            expected: Expected::default(),
        }
    }
}

/// Nodes that should have been read and were not. A capture is of an instance
/// if its sockets have its address.
fn missing_nodes(evidence: &Evidence, nodes: &[Node], connections: &[Connection]) -> Vec<Gap> {
    if nodes.is_empty() {
        // Who recorded it may know why.
        if let Some(gap) = evidence.gaps.iter().find(|gap| gap.what == "nodes") {
            return vec![gap.clone()];
        }
        return vec![Gap {
            what: "nodes".to_owned(),
            why: GapReason::NotRecorded,
            detail: "no node's sockets are in the evidence directory".to_owned(),
            hint: "record each node with: ssh NODE sudo ss -tnp > nodes/NODE.txt".to_owned(),
        }];
    }
    if evidence.instances.seen().is_some() && evidence.node_instances().next().is_none() {
        return vec![Gap {
            what: "instances.json".to_owned(),
            why: GapReason::Incomplete,
            detail: format!(
                "no running instance in it is tagged kubernetes.io/cluster/{0} or eks:cluster-name = {0}, so it is not known whether every node was read",
                evidence.cluster.name
            ),
            hint: "record it with: aws ec2 describe-instances, without a filter that leaves nodes out"
                .to_owned(),
        }];
    }
    let locals: HashSet<IpAddr> =
        connections.iter().filter_map(|connection| connection.socket.local.ip()).collect();
    // A file's name can be mistaken, the addresses of its sockets cannot: names
    // count for nodes that gave no sockets, and say so themselves.
    let unread = nodes.iter().filter(|node| node.tally.rows == 0);
    let unread: HashSet<&str> = unread.map(|node| node.name.as_str()).collect();
    let mut times_named: HashMap<&str, u32> = HashMap::new();
    for name in evidence.node_instances().filter_map(Instance::name_tag) {
        *times_named.entry(name).or_default() += 1;
    }
    let is_read = |instance: &&Instance| {
        let dns_name = instance.dns_name.as_deref().unwrap_or_default();
        let host = dns_name.split('.').next().unwrap_or_default();
        instance.addresses.iter().any(|address| locals.contains(address))
            || instance.addresses.iter().any(|address| unread.contains(address.to_string().as_str()))
            || [instance.id.as_str(), dns_name, host].iter().any(|name| unread.contains(name))
            // Node groups give all their instances the same name: that tells nothing.
            || instance.name_tag().is_some_and(|name| unread.contains(name) && times_named.get(name) == Some(&1))
    };
    let unlisted = evidence.cluster.takes_hybrid_nodes && !has_unlisted_node(evidence, nodes, connections);
    let hybrid = unlisted.then(|| Gap {
        what: "hybrid nodes".to_owned(),
        why: GapReason::NotRecorded,
        detail: "the cluster takes hybrid nodes, which EC2 does not list, and no capture is of another node than EC2's"
            .to_owned(),
        hint: "name each with --node NAME=TARGET, or record it with: ssh NODE sudo ss -tnp > nodes/NODE.txt".to_owned(),
    });
    let unread = evidence.node_instances().filter(|instance| !is_read(instance)).map(|instance| {
        let address = instance.addresses.first().map(|address| format!(" ({address})")).unwrap_or_default();
        Gap {
            what: format!("node {}", instance.id),
            why: GapReason::NotRecorded,
            detail: format!(
                "a running node{address} by its tags, and no capture has a socket of its addresses"
            ),
            hint: "name it with --node as well, or record it with: ssh NODE sudo ss -tnp > nodes/NODE.txt"
                .to_owned(),
        }
    });
    unread.chain(hybrid).collect()
}

/// Whether a node was read that is none of EC2's.
fn has_unlisted_node(evidence: &Evidence, nodes: &[Node], connections: &[Connection]) -> bool {
    let listed: HashSet<&IpAddr> =
        evidence.node_instances().flat_map(|instance| &instance.addresses).collect();
    let is_of_ec2 =
        |connection: &&Connection| connection.socket.local.ip().is_some_and(|local| listed.contains(&local));
    let of_ec2: HashSet<&NodeName> =
        connections.iter().filter(is_of_ec2).map(|connection| &connection.node).collect();
    nodes.iter().any(|node| node.tally.rows > 0 && !of_ec2.contains(&node.name))
}
