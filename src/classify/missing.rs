//! Gaps for known nodes that were not read.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use crate::model::evidence::Evidence;
use crate::model::facts::{ClassifiedInterface, Machine};
use crate::model::gap::{Gap, GapReason, Subject};
use crate::model::kubernetes::KubernetesNode;
use crate::model::name::NodeName;
use crate::model::net::{INSTANCES, Instance};
use crate::model::node::Node;
use crate::model::text::list;

/// Returns the gaps for nodes that are known and were not read. `machines` are those of
/// the capture of each node.
pub(super) fn missing_nodes(
    evidence: &Evidence,
    interfaces: &[ClassifiedInterface],
    nodes: &[Node],
    machines: &[Vec<Machine>],
) -> Vec<Gap> {
    let fargate = fargate_pods(evidence, interfaces);
    if nodes.is_empty() && evidence.has_no_nodes() {
        return fargate.into_iter().collect();
    }
    if nodes.is_empty() {
        let gap = evidence.gap(Subject::Nodes, GapReason::NotRecorded, "no node's sockets were read");
        return [gap].into_iter().chain(fargate).collect();
    }
    let of_kubernetes = evidence.kubernetes.nodes.seen();
    let has_no_instances =
        evidence.network.instances.seen().is_some() && evidence.node_instances().next().is_none();
    if has_no_instances && of_kubernetes.is_none() {
        let gap = no_instances(evidence, ", so it is not known whether every node was read");
        return [gap].into_iter().chain(fargate).collect();
    }
    let read = ReadNodes::new(evidence, nodes, machines);
    let without_login = evidence.instances_without_login();
    let unread = evidence.node_instances().filter(|instance| !read.contains(instance)).map(|instance| {
        let address = instance.addresses.first().map(|address| format!(" ({address})")).unwrap_or_default();
        let seen = match read.others.get(instance.id.as_str()) {
            Some(node) => format!("the capture of {node} contains only sockets of its other processes"),
            None => "no capture contains a socket with one of its addresses".to_owned(),
        };
        let detail = format!(
            "it is running, its tags or its operator identify it as a node of the cluster{address}, and {seen}"
        );
        let accepts_no_login = without_login.contains(instance.id.as_str());
        evidence.gap(Subject::Instance(instance.id.clone()), why_unread(accepts_no_login), detail)
    });
    let mut unread: Vec<_> = unread.collect();
    if let [Gap { subject: Subject::Instance(id), why: GapReason::NotRecorded, hint, .. }] = &mut unread[..]
        && let Some(name) = name_like_others(evidence, nodes, machines, id)
    {
        *hint = evidence.hint(&Subject::Node(name), GapReason::NotRecorded);
    }
    let of_kubernetes_alone = evidence.nodes_of_kubernetes_alone();
    let unlisted =
        of_kubernetes_alone.filter(|node| !node.is_fargate() && !read.contains_unlisted(node)).map(|node| {
            let detail =
                "Kubernetes lists it as a node, and no capture contains a socket with one of its addresses";
            evidence.gap(Subject::Instance(node.name.clone()), why_unread(node.accepts_no_login()), detail)
        });
    let hybrid = evidence.cluster.hybrid_nodes_enabled
        && of_kubernetes.is_none()
        && !has_hybrid_node(evidence, nodes, machines);
    let hybrid = hybrid.then(|| {
        let detail = "hybrid nodes are enabled on the cluster, EC2 does not list them, and no capture is of a node in their networks";
        evidence.gap(Subject::HybridNodes, GapReason::NotRecorded, detail)
    });
    unread.into_iter().chain(unlisted).chain(hybrid).chain(fargate).collect()
}

/// The name of an instance of the kind by which another node was recorded: where the captures are
/// named by `Name` tags, by private DNS names or by addresses, ssh knows those names, or the user.
fn name_like_others(
    evidence: &Evidence,
    nodes: &[Node],
    machines: &[Vec<Machine>],
    id: &str,
) -> Option<NodeName> {
    evidence.directory.as_ref()?;
    let names = |instance: &Instance| {
        let names = [instance.dns_name.as_deref(), instance.host_name(), instance.name_tag()];
        let [dns_name, host_name, tag] = names.map(|name| name.map(ToOwned::to_owned));
        [dns_name, host_name, tag, instance.addresses.first().map(ToString::to_string)]
    };
    let with_id = |id: &str| evidence.node_instances().find(|instance| instance.id == id);
    let (node, recorded) = nodes.iter().zip(machines).find_map(|(node, machines)| match &machines[..] {
        [Machine { instance: Some(id), .. }] => Some((node.name.as_str(), with_id(id)?)),
        _ => None,
    })?;
    let kind = names(recorded).iter().position(|name| name.as_deref() == Some(node))?;
    let name = names(with_id(id)?)[kind].take()?;
    // The instances of a node group share a tag.
    let is_taken = nodes.iter().any(|node| node.name.as_str() == name);
    name.parse().ok().filter(|_| !is_taken)
}

/// Why a node was not read.
fn why_unread(accepts_no_login: bool) -> GapReason {
    if accepts_no_login { GapReason::NotSupported } else { GapReason::NotRecorded }
}

/// The gap for a list of instances that contains no node of the cluster.
fn no_instances(evidence: &Evidence, consequence: &str) -> Gap {
    let detail = format!("{}{consequence}", evidence.no_node_instances());
    evidence.gap(INSTANCES, GapReason::Incomplete, detail)
}

/// The gap for pods on Fargate: each has a node of its own, on a host that AWS owns.
fn fargate_pods(evidence: &Evidence, interfaces: &[ClassifiedInterface]) -> Option<Gap> {
    const SHOWN: usize = 3;
    let by_interface = interfaces.iter().filter(|known| known.is_fargate_pod_of(&evidence.cluster));
    let by_interface: Vec<_> = by_interface.map(|known| known.interface.id.as_str()).collect();
    let listed = evidence.nodes_of_kubernetes_alone().filter(|node| node.is_fargate());
    let listed: Vec<_> = listed.map(|node| node.name.as_str()).collect();
    // The same pods, by either list.
    let pods = if listed.is_empty() { by_interface } else { listed };
    if pods.is_empty() {
        return None;
    }
    let detail = format!(
        "pods of the cluster run on Fargate ({}), and the sockets of their kubelets cannot be read: AWS owns their hosts",
        list(&pods, SHOWN)
    );
    Some(evidence.gap(Subject::FargatePods, GapReason::NotSupported, detail))
}

/// The instances that were read, and the names by which others are identified.
struct ReadNodes<'a> {
    /// The ids of the instances whose sockets are in a capture.
    instances: HashSet<&'a str>,
    /// The instances of which a capture of several machines contains only sockets of
    /// processes other than kubelet, with the name of the node.
    others: HashMap<&'a str, &'a NodeName>,
    /// The local addresses of their machines.
    addresses: HashSet<IpAddr>,
    /// The names of nodes without sockets. They have gaps of their own, and only their
    /// names can identify their instances.
    empty: HashSet<&'a str>,
    /// The number of instances with each `Name` tag. The instances of a node group share
    /// one, which then identifies none of them.
    name_tags: HashMap<&'a str, u32>,
}

impl<'a> ReadNodes<'a> {
    fn new(evidence: &'a Evidence, nodes: &'a [Node], machines: &'a [Vec<Machine>]) -> Self {
        // In a capture with the sockets of several machines, a row of any process is no
        // proof that its machine was read.
        let read = machines.iter().flat_map(|of_node| {
            let is_only = of_node.len() == 1;
            of_node.iter().filter(move |machine| is_only || machine.has_kubelet)
        });
        let addresses = read.clone().flat_map(|machine| machine.addresses.iter().copied()).collect();
        let instances = read.filter_map(|machine| machine.instance.as_deref()).collect();
        let empty = nodes.iter().filter(|node| node.tally.rows == 0).map(|node| node.name.as_str()).collect();
        let mut name_tags: HashMap<&str, u32> = HashMap::new();
        for name in evidence.node_instances().filter_map(Instance::name_tag) {
            *name_tags.entry(name).or_default() += 1;
        }
        let all = nodes.iter().zip(machines).flat_map(|(node, of_node)| {
            of_node.iter().filter_map(move |machine| Some((machine.instance.as_deref()?, &node.name)))
        });
        Self { instances, others: all.collect(), addresses, empty, name_tags }
    }

    fn contains_unlisted(&self, node: &KubernetesNode) -> bool {
        node.instance_id().is_some_and(|id| self.instances.contains(id))
            || node.addresses.iter().any(|address| self.addresses.contains(address))
            || self.empty.contains(node.name.as_str())
    }

    fn contains(&self, instance: &Instance) -> bool {
        let dns_name = instance.dns_name.as_deref().unwrap_or_default();
        let host = instance.host_name().unwrap_or_default();
        let addresses = || instance.addresses.iter();
        let has_unique_name = |name: &&str| self.empty.contains(name) && self.name_tags.get(name) == Some(&1);
        self.instances.contains(instance.id.as_str())
            || addresses().any(|address| self.empty.contains(address.to_string().as_str()))
            || [instance.id.as_str(), dns_name, host].iter().any(|name| self.empty.contains(name))
            || instance.name_tag().as_ref().is_some_and(has_unique_name)
    }
}

/// Whether a hybrid node was read: one with an address in the networks of hybrid nodes, or,
/// where these are not recorded, any node that EC2 does not list.
fn has_hybrid_node(evidence: &Evidence, nodes: &[Node], machines: &[Vec<Machine>]) -> bool {
    let listed: HashSet<&str> = evidence.node_instances().map(|instance| instance.id.as_str()).collect();
    let networks = &evidence.cluster.remote_node_networks;
    let is_hybrid = |machine: &Machine| {
        if networks.is_empty() {
            return machine.instance.as_deref().is_none_or(|instance| !listed.contains(instance));
        }
        let mut addresses = machine.addresses.iter();
        addresses.any(|address| networks.iter().any(|network| network.contains(address)))
    };
    let mut read = nodes.iter().zip(machines).filter(|(node, _)| node.tally.rows > 0);
    read.any(|(_, machines)| machines.iter().any(is_hybrid))
}
