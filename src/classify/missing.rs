//! Gaps for known nodes that were not read.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use crate::model::connection::Connection;
use crate::model::evidence::Evidence;
use crate::model::gap::{Gap, GapReason, Subject};
use crate::model::name::NodeName;
use crate::model::net::{INSTANCES, Instance};
use crate::model::node::Node;

/// Returns the gaps for nodes that are known and were not read. A capture belongs to an
/// instance if a socket in it has one of the instance's addresses.
pub(super) fn missing_nodes(evidence: &Evidence, nodes: &[Node], connections: &[Connection]) -> Vec<Gap> {
    if nodes.is_empty() {
        return vec![evidence.gap(Subject::Nodes, GapReason::NotRecorded, "no node's sockets were read")];
    }
    if evidence.network.instances.seen().is_some() && evidence.node_instances().next().is_none() {
        return vec![no_instances(evidence, ", so it is not known whether every node was read")];
    }
    let read = ReadNodes::new(evidence, nodes, connections);
    let unread = evidence.node_instances().filter(|instance| !read.contains(instance)).map(|instance| {
        let address = instance.addresses.first().map(|address| format!(" ({address})")).unwrap_or_default();
        let detail = format!(
            "it is running, its tags identify it as a node of the cluster{address}, and no capture contains a socket with one of its addresses"
        );
        evidence.gap(Subject::Instance(instance.id.clone()), GapReason::NotRecorded, detail)
    });
    let hybrid = evidence.cluster.hybrid_nodes_enabled && !has_unlisted_node(evidence, nodes, connections);
    let hybrid = hybrid.then(|| {
        let detail = "hybrid nodes are enabled on the cluster, EC2 does not list them, and all captures are of nodes that EC2 lists";
        evidence.gap(Subject::HybridNodes, GapReason::NotRecorded, detail)
    });
    unread.chain(hybrid).collect()
}

/// The gap for a list of instances that contains no node of the cluster.
fn no_instances(evidence: &Evidence, consequence: &str) -> Gap {
    let detail = format!("{}{consequence}", evidence.no_node_instances());
    evidence.gap(INSTANCES, GapReason::Incomplete, detail)
}

/// The addresses and names by which instances that were read are identified.
struct ReadNodes<'a> {
    /// The local addresses of all connections.
    addresses: HashSet<IpAddr>,
    /// The names of nodes without sockets. They have gaps of their own, and only their
    /// names can identify their instances.
    empty: HashSet<&'a str>,
    /// The number of instances with each `Name` tag. The instances of a node group share
    /// one, which then identifies none of them.
    name_tags: HashMap<&'a str, u32>,
}

impl<'a> ReadNodes<'a> {
    fn new(evidence: &'a Evidence, nodes: &'a [Node], connections: &[Connection]) -> Self {
        let addresses = connections.iter().filter_map(|connection| connection.socket.local.ip()).collect();
        let empty = nodes.iter().filter(|node| node.tally.rows == 0).map(|node| node.name.as_str()).collect();
        let mut name_tags: HashMap<&str, u32> = HashMap::new();
        for name in evidence.node_instances().filter_map(Instance::name_tag) {
            *name_tags.entry(name).or_default() += 1;
        }
        Self { addresses, empty, name_tags }
    }

    fn contains(&self, instance: &Instance) -> bool {
        let dns_name = instance.dns_name.as_deref().unwrap_or_default();
        let host = dns_name.split('.').next().unwrap_or_default();
        let addresses = || instance.addresses.iter();
        let has_unique_name = |name: &&str| self.empty.contains(name) && self.name_tags.get(name) == Some(&1);
        addresses().any(|address| self.addresses.contains(address))
            || addresses().any(|address| self.empty.contains(address.to_string().as_str()))
            || [instance.id.as_str(), dns_name, host].iter().any(|name| self.empty.contains(name))
            || instance.name_tag().as_ref().is_some_and(has_unique_name)
    }
}

/// Whether any node was read that EC2 does not list.
fn has_unlisted_node(evidence: &Evidence, nodes: &[Node], connections: &[Connection]) -> bool {
    let listed: HashSet<&IpAddr> =
        evidence.node_instances().flat_map(|instance| &instance.addresses).collect();
    let is_listed =
        |connection: &&Connection| connection.socket.local.ip().is_some_and(|local| listed.contains(&local));
    let on_listed: HashSet<&NodeName> =
        connections.iter().filter(is_listed).map(|connection| &connection.node).collect();
    nodes.iter().any(|node| node.tally.rows > 0 && !on_listed.contains(&node.name))
}
