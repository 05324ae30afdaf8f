//! The addresses of the nodes themselves, without those of their pods. `conntrack` lists the
//! connections of both.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use super::aws::instances::parse_instances;
use super::directory::EvidenceDir;
use super::kubernetes::parse_nodes;
use crate::capture::line::Row;
use crate::model::kubernetes::{KubernetesNode, NODES};
use crate::model::name::NodeName;
use crate::model::net::{INSTANCES, Instance};
use crate::model::socket::Socket;

/// The addresses of the nodes that EC2 and Kubernetes list. They are read when the first
/// entry of `conntrack` asks for them.
pub(super) struct OwnAddresses<'a> {
    dir: Option<&'a EvidenceDir>,
    listed: OnceCell<(Vec<Instance>, Vec<KubernetesNode>)>,
    of_nodes: RefCell<HashMap<NodeName, BTreeSet<IpAddr>>>,
}

impl<'a> OwnAddresses<'a> {
    /// Those that the lists in a directory have; none without a directory.
    pub(super) fn new(dir: Option<&'a EvidenceDir>) -> Self {
        Self { dir, listed: OnceCell::new(), of_nodes: RefCell::default() }
    }

    /// Adds what a bundle of the node's logs says: the id of its instance, and its address.
    pub(super) fn add(&self, node: &NodeName, instance: Option<&str>, address: Option<IpAddr>) {
        let mut addresses = self.of(node.as_str());
        addresses.extend(instance.map(|id| self.of(id)).into_iter().flatten());
        addresses.extend(address);
        self.of_nodes.borrow_mut().insert(node.clone(), addresses);
    }

    /// Whether an address of a node is known.
    pub(super) fn are_known(&self, node: &NodeName) -> bool {
        self.with(node, |addresses| !addresses.is_empty())
    }

    /// A row as one of the node's own sockets; `None` for a connection that it only forwards,
    /// or that may be one.
    pub(super) fn own_row<'r>(&self, node: &NodeName, row: Row<'r>) -> Option<Row<'r>> {
        if !row.is_conntrack() {
            return Some(row);
        }
        let Socket { state, local, peer } = row.socket;
        let is_own = |ip: Option<IpAddr>| self.with(node, |own| ip.is_some_and(|ip| own.contains(&ip)));
        let socket = if is_own(local.ip()) {
            Socket { state, local, peer }
        } else if is_own(peer.ip()) {
            Socket { state, local: peer, peer: local }
        } else {
            return None;
        };
        Some(Row { socket, ..row })
    }

    fn with<T>(&self, node: &NodeName, read: impl FnOnce(&BTreeSet<IpAddr>) -> T) -> T {
        let mut of_nodes = self.of_nodes.borrow_mut();
        if let Some(known) = of_nodes.get(node) {
            return read(known);
        }
        read(of_nodes.entry(node.clone()).or_insert_with(|| self.of(node.as_str())))
    }

    /// The addresses of the node with this name: its instance id, its DNS name or the first
    /// label of it, its `Name` tag if no other instance has it, its name in Kubernetes, or one
    /// of its addresses.
    fn of(&self, name: &str) -> BTreeSet<IpAddr> {
        let (instances, nodes) = self.listed.get_or_init(|| self.read());
        let has_tag = |instance: &&Instance| instance.name_tag() == Some(name);
        let is_only_tag = instances.iter().filter(has_tag).count() == 1;
        let is_named = |instance: &Instance| {
            let dns_name = instance.dns_name.as_deref().unwrap_or_default();
            let is_address = || own(instance).any(|address| address.to_string() == name);
            [instance.id.as_str(), dns_name, dns_name.split('.').next().unwrap_or_default()].contains(&name)
                || is_only_tag && has_tag(&instance)
                || is_address()
        };
        let is_node = |node: &KubernetesNode| {
            node.name == name
                || node.instance_id() == Some(name)
                || node.addresses.iter().any(|address| address.to_string() == name)
        };
        let named: Vec<_> = instances.iter().filter(|instance| is_named(instance)).collect();
        let listed: Vec<_> = nodes.iter().filter(|node| is_node(node)).collect();
        let ids: BTreeSet<_> = named.iter().map(|instance| instance.id.as_str()).collect();
        let ids: BTreeSet<_> =
            ids.into_iter().chain(listed.iter().filter_map(|node| node.instance_id())).collect();
        let of_ids = instances.iter().filter(|instance| ids.contains(instance.id.as_str())).flat_map(own);
        let same = nodes.iter().filter(|node| node.instance_id().is_some_and(|id| ids.contains(id)));
        let of_nodes = listed.iter().copied().chain(same).flat_map(|node| node.addresses.iter().copied());
        of_ids.chain(of_nodes).collect()
    }

    /// Reads the lists. One that is missing or cannot be parsed is reported elsewhere.
    fn read(&self) -> (Vec<Instance>, Vec<KubernetesNode>) {
        let Some(dir) = self.dir else { return (Vec::new(), Vec::new()) };
        let instances = dir.listed(INSTANCES.name(), parse_instances).unwrap_or_default();
        (instances, dir.listed(NODES.name(), parse_nodes).unwrap_or_default())
    }
}

/// The addresses of an instance that are no pod's: the primary one, and those of IPv6, of
/// which pods have prefixes.
///
/// <https://docs.aws.amazon.com/eks/latest/userguide/cni-ipv6.html>
fn own(instance: &Instance) -> impl Iterator<Item = IpAddr> {
    let primary = instance.addresses.first().copied();
    let v6 = instance.addresses.iter().copied().filter(IpAddr::is_ipv6);
    primary.into_iter().chain(v6)
}
