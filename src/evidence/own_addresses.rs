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
    listed: OnceCell<Listed>,
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

    /// The addresses of the node with this name.
    fn of(&self, name: &str) -> BTreeSet<IpAddr> {
        self.listed.get_or_init(|| self.read()).of(name)
    }

    /// Reads the lists. One that is missing or cannot be parsed is reported elsewhere.
    fn read(&self) -> Listed {
        let Some(dir) = self.dir else { return Listed::default() };
        let instances = dir.listed(INSTANCES.name(), parse_instances).unwrap_or_default();
        Listed::new(instances, dir.listed(NODES.name(), parse_nodes).unwrap_or_default())
    }
}

/// The nodes that EC2 and Kubernetes list, by what names them.
#[derive(Default)]
struct Listed {
    instances: Vec<Instance>,
    nodes: Vec<KubernetesNode>,
    /// The indices of instances by id, DNS name, the first label of it, and address.
    instances_by_name: HashMap<String, Vec<usize>>,
    /// The same by `Name` tag.
    instances_by_tag: HashMap<String, Vec<usize>>,
    /// The indices of nodes by name, instance id and address.
    nodes_by_name: HashMap<String, Vec<usize>>,
}

impl Listed {
    fn new(instances: Vec<Instance>, nodes: Vec<KubernetesNode>) -> Self {
        let mut listed = Self::default();
        for (index, instance) in instances.iter().enumerate() {
            let dns_name = instance.dns_name.as_deref().unwrap_or_default();
            let first_label = dns_name.split('.').next().unwrap_or_default();
            let names = [instance.id.as_str(), dns_name, first_label].map(ToOwned::to_owned);
            for name in names.into_iter().chain(own(instance).map(|address| address.to_string())) {
                listed.instances_by_name.entry(name).or_default().push(index);
            }
            if let Some(tag) = instance.name_tag() {
                listed.instances_by_tag.entry(tag.to_owned()).or_default().push(index);
            }
        }
        for (index, node) in nodes.iter().enumerate() {
            let names = std::iter::once(node.name.as_str()).chain(node.instance_id());
            let addresses = node.addresses.iter().map(ToString::to_string);
            for name in names.map(ToOwned::to_owned).chain(addresses) {
                listed.nodes_by_name.entry(name).or_default().push(index);
            }
        }
        Self { instances, nodes, ..listed }
    }

    /// The addresses of the node with this name: its instance id, its DNS name or the first
    /// label of it, its `Name` tag if no other instance has it, its name in Kubernetes, or one
    /// of its addresses.
    fn of(&self, name: &str) -> BTreeSet<IpAddr> {
        let instances = |index: &HashMap<String, Vec<usize>>, name: &str| -> Vec<&Instance> {
            let found = index.get(name).into_iter().flatten();
            found.filter_map(|&at| self.instances.get(at)).collect()
        };
        let nodes = |name: &str| {
            let found = self.nodes_by_name.get(name).into_iter().flatten();
            found.filter_map(|&at| self.nodes.get(at))
        };
        let tagged = Some(instances(&self.instances_by_tag, name)).filter(|tagged| tagged.len() == 1);
        let named = instances(&self.instances_by_name, name).into_iter().chain(tagged.unwrap_or_default());
        let ids = named.map(|instance| instance.id.as_str());
        let ids: BTreeSet<_> = ids.chain(nodes(name).filter_map(KubernetesNode::instance_id)).collect();
        let of_ids = ids.iter().flat_map(|id| {
            let instances = instances(&self.instances_by_name, id).into_iter();
            instances.filter(move |instance| instance.id == *id).flat_map(own)
        });
        let same = ids.iter().flat_map(|id| nodes(id).filter(move |node| node.instance_id() == Some(*id)));
        let of_nodes = nodes(name).chain(same).flat_map(|node| node.addresses.iter().copied());
        of_ids.chain(of_nodes).collect()
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
