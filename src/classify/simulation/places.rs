//! Where hosts are: by what EC2 lists about them, or by their addresses.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::classify::reachability::Reachabilities;
use crate::model::facts::Facts;
use crate::model::kubernetes::KubernetesNode;
use crate::model::name::is_reserved;
use crate::model::net::Instance;
use crate::model::reachability::{Location, Place};

/// The places of hosts.
pub(super) struct Places<'a> {
    facts: &'a Facts,
    known: &'a Reachabilities<'a>,
    instances: HashMap<&'a str, &'a Instance>,
    /// The instances of nodes by their names, and by their addresses; `None` where several have
    /// one, as those of a node group share their tag.
    named: HashMap<&'a str, Option<&'a Instance>>,
    addressed: HashMap<IpAddr, Option<&'a Instance>>,
    /// The nodes that Kubernetes lists, by name.
    listed: HashMap<&'a str, Vec<&'a KubernetesNode>>,
}

/// Adds an instance to those that are known by a key.
fn add<'a, K: Eq + Hash>(known: &mut HashMap<K, Option<&'a Instance>>, key: K, instance: &'a Instance) {
    let one = known.entry(key).or_insert(Some(instance));
    *one = one.filter(|one| std::ptr::eq(*one, instance));
}

impl<'a> Places<'a> {
    pub(super) fn new(facts: &'a Facts, known: &'a Reachabilities<'a>) -> Self {
        let instances = facts.evidence.network.instances.seen().into_iter().flatten();
        let instances = instances.map(|instance| (instance.id.as_str(), instance)).collect();
        let (mut named, mut addressed) = (HashMap::new(), HashMap::new());
        for instance in facts.evidence.node_instances() {
            for name in instance.names() {
                add(&mut named, name, instance);
            }
            for address in &instance.addresses {
                add(&mut addressed, *address, instance);
            }
        }
        let mut listed: HashMap<_, Vec<_>> = HashMap::new();
        for node in facts.evidence.kubernetes.nodes.seen().into_iter().flatten() {
            listed.entry(node.name.as_str()).or_default().push(node);
        }
        Self { facts, known, instances, named, addressed, listed }
    }

    /// The instance of a node that has this name or address, if no other one has.
    pub(super) fn named_instance(&self, name: &str) -> Option<&'a Instance> {
        let by_name = self.named.get(name).copied();
        let address = name.parse::<IpAddr>().ok();
        let by_address = address.and_then(|address| self.addressed.get(&address).copied());
        match (by_name, by_address) {
            (Some(one), None) | (None, Some(one)) => one,
            (Some(one), Some(other)) => {
                one.filter(|one| other.is_some_and(|other| std::ptr::eq(*one, other)))
            }
            (None, None) => None,
        }
    }

    /// The addresses that Kubernetes lists for a node.
    pub(super) fn listed_addresses(&self, name: &str) -> Vec<IpAddr> {
        let nodes = self.listed.get(name).into_iter().flatten();
        nodes.flat_map(|node| &node.addresses).copied().collect()
    }

    /// The instance with this id.
    pub(super) fn instance(&self, id: &str) -> Option<&'a Instance> {
        self.instances.get(id).copied()
    }

    /// The place of an instance.
    pub(super) fn of_instance(&self, name: &str, instance: &Instance) -> Place {
        Place { name: of_node(name), ..self.known.instance(instance) }
    }

    /// The place of a host that is known by its addresses.
    pub(super) fn of_addresses(&self, name: &str, addresses: &[IpAddr]) -> Place {
        let blocks = || addresses.iter().copied().map(IpNet::from).collect();
        let first = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
        let location = match first.map(|&address| self.known.address(address).location) {
            None => Location::Unknown,
            Some(_) if self.is_remote(addresses) => Location::Outside { blocks: blocks() },
            Some(Location::Outside { .. }) => Location::Outside { blocks: blocks() },
            Some(location) => location,
        };
        Place { name: of_node(name), location }
    }

    /// The place of a client that the user names.
    pub(super) fn of_block(&self, name: &str, block: IpNet) -> Place {
        Place { name: name.to_owned(), ..self.known.block(block) }
    }

    /// The place of the operator.
    pub(super) fn here(&self) -> Place {
        self.known.here()
    }

    /// Whether addresses are in a network of hybrid nodes.
    fn is_remote(&self, addresses: &[IpAddr]) -> bool {
        let remote = &self.facts.evidence.cluster.remote_node_networks;
        addresses.iter().any(|address| remote.iter().any(|network| network.contains(address)))
    }
}

/// The name of a node's place. That of the operator's vantage point is not one: what was seen from
/// there was not seen from the node.
pub(super) fn of_node(name: &str) -> String {
    if is_reserved(name) { format!("the node {name}") } else { name.to_owned() }
}
