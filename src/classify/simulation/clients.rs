//! The clients of the API server: what is known to use it, and from where.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::places::{Places, of_node};
use super::processes::{ProcessSockets, Processes, processes};
use super::socket_evidence::{Sides, SocketEvidence};
use crate::model::connection::{Component, UNNAMED};
use crate::model::evidence::Evidence;
use crate::model::facts::Facts;
use crate::model::gap::{Gap, GapReason, Subject};
use crate::model::kubernetes::KubernetesNode;
use crate::model::name::NodeName;
use crate::model::net::INSTANCES;
use crate::model::node::{Node, NodeStatus, Via, bundle_step};
use crate::model::reachability::{Location, Place};
use crate::model::seen_from::HERE;
use crate::model::simulation::{ClientKind, NamedClient};
use crate::model::text::{id_and_name, list};
use crate::model::traffic::TrafficPath;

/// A place with the clients that run there.
#[derive(Debug)]
pub(super) struct ClientHost {
    /// Where it is.
    pub(super) place: Place,
    /// Its clients.
    pub(super) users: Vec<User>,
}

/// A client at a place.
#[derive(Debug)]
pub(super) struct User {
    /// Its name in reports.
    pub(super) name: String,
    /// What it is.
    pub(super) kind: ClientKind,
    /// The process.
    pub(super) process: Option<String>,
    /// The node that was read.
    pub(super) node: Option<NodeName>,
    /// What its sockets show.
    pub(super) sight: SocketEvidence,
}

/// The known clients, and why others may exist that are not known.
pub(super) struct Known {
    pub(super) hosts: Vec<ClientHost>,
    pub(super) gaps: Vec<Gap>,
    /// Whether connections by the `ClusterIP` were seen.
    pub(super) has_cluster_ip: bool,
}

/// Returns the clients of a cluster.
pub(super) fn known(facts: &Facts, places: &Places<'_>, named: &[NamedClient]) -> Known {
    let processes = processes(facts);
    let mut covered = Covered::default();
    let mut hosts: Vec<_> =
        facts.nodes.iter().map(|node| read_host(facts, places, &processes, node, &mut covered)).collect();
    hosts.extend(unread(facts, places, &covered));
    hosts.extend(fargate(facts, places));
    hosts.extend(hybrid(&facts.evidence, &hosts));
    if named.iter().all(|client| client.name != HERE) {
        hosts.extend(operator(&facts.evidence, places));
    }
    hosts.extend(named.iter().flat_map(|client| of_user(facts, places, client)));
    let has_cluster_ip =
        processes.values().flat_map(BTreeMap::values).any(|sockets| sockets.sides.cluster_ip);
    Known { hosts, gaps: unlisted(&facts.evidence), has_cluster_ip }
}

/// The name of the processes whose rows a capture that is a part may lack.
pub(super) const OTHER_PROCESSES: &str = "other processes";

/// The machines that are among the hosts.
#[derive(Default)]
struct Covered {
    instances: HashSet<String>,
    addresses: HashSet<IpAddr>,
    names: HashSet<String>,
}

/// A node that was read, or that could not be read, with its processes.
fn read_host(
    facts: &Facts,
    places: &Places<'_>,
    processes: &Processes,
    node: &Node,
    covered: &mut Covered,
) -> ClientHost {
    let name = node.name.as_str();
    covered.names.insert(name.to_owned());
    let place = match facts.machines_of(&node.name) {
        [machine] => {
            covered.addresses.extend(&machine.addresses);
            let instance = machine.instance.as_deref().and_then(|id| places.instance(id));
            covered.instances.extend(machine.instance.clone());
            if let Some(instance) = instance {
                places.of_instance(name, instance)
            } else {
                let addresses: Vec<_> = machine.addresses.iter().copied().collect();
                places.of_addresses(name, &addresses)
            }
        }
        [] => {
            if let Some(instance) = places.named_instance(name) {
                covered.instances.insert(instance.id.clone());
                places.of_instance(name, instance)
            } else {
                places.of_addresses(name, &places.listed_addresses(name))
            }
        }
        // Which machine a process runs on is not known.
        _ => Place { name: name.to_owned(), location: Location::Unknown },
    };
    ClientHost { place, users: users(facts, processes, node) }
}

/// The clients on a node.
fn users(facts: &Facts, processes: &Processes, node: &Node) -> Vec<User> {
    let nothing = BTreeMap::new();
    let seen = processes.get(&node.name).unwrap_or(&nothing);
    let user = |process: &str, kind, sight| User {
        name: format!("{} {process}", node.name),
        kind,
        process: Some(process.to_owned()),
        node: Some(node.name.clone()),
        sight,
    };
    let mut users = Vec::new();
    // In the order of the nodes, which are sorted.
    let at = facts.traffic.binary_search_by(|traffic| traffic.node.cmp(&node.name)).ok();
    let traffic = at.and_then(|at| facts.traffic.get(at));
    let components = traffic.map(|traffic| traffic.components.as_slice()).unwrap_or_default();
    if node.status == NodeStatus::Read {
        for one in components {
            let kind = match one.component {
                Component::KubeProxy => ClientKind::KubeProxy,
                _ => ClientKind::Kubelet,
            };
            let process = one.component.as_str();
            let sight = match (seen.get(process).map(ProcessSockets::sight), one.path) {
                // The sockets of another machine show nothing of this one.
                (_, TrafficPath::Unknown) if facts.other_machines.contains(&node.name) => {
                    SocketEvidence::Unseen
                }
                // What makes the path of a component unknown is judged where that is.
                (Some(SocketEvidence::Sides(_) | SocketEvidence::Unseen), TrafficPath::Unknown) => {
                    SocketEvidence::Unexplained
                }
                (Some(sight), _) => sight,
                (None, _) => SocketEvidence::Unseen,
            };
            users.push(user(process, kind, sight));
        }
    } else {
        users.push(User {
            name: node.name.to_string(),
            kind: ClientKind::Node,
            process: None,
            node: Some(node.name.clone()),
            sight: SocketEvidence::Unseen,
        });
    }
    let is_listed = |process: &str| users.iter().any(|user| user.process.as_deref() == Some(process));
    let others = seen.iter().filter(|(process, sockets)| {
        let is_seen = sockets.sides != Sides::default() || sockets.is_hanging;
        let may_be_client = sockets.is_unplaced || sockets.is_unexplained && sockets.component.is_some();
        // What has no name on a node whose processes have none is the node's.
        let is_of_node = node.status != NodeStatus::Read && !is_seen && *process == UNNAMED;
        !is_listed(process) && !is_of_node && (is_seen || may_be_client)
    });
    let others: Vec<_> = others
        .map(|(process, sockets)| {
            let kind = match sockets.component {
                Some(Component::Kubelet) => ClientKind::Kubelet,
                Some(Component::KubeProxy) => ClientKind::KubeProxy,
                _ => ClientKind::Agent,
            };
            user(process, kind, sockets.sight())
        })
        .collect();
    users.extend(others);
    if node.status == NodeStatus::Read && !partial(facts, node).is_empty() {
        users.push(user(OTHER_PROCESSES, ClientKind::Agent, SocketEvidence::Unseen));
    }
    users
}

/// Why other processes of a node that was read may use the endpoint as well: its capture is a
/// part, or may be one.
pub(super) fn partial(facts: &Facts, node: &Node) -> Vec<Gap> {
    let mut gaps: Vec<_> =
        node.gaps.iter().filter(|gap| gap.why != GapReason::NoProcessNames).cloned().collect();
    let has_kube_proxy = || {
        let mut own = facts.connections_of(&node.name).iter();
        own.any(|connection| connection.component == Some(Component::KubeProxy))
    };
    if gaps.is_empty() {
        let detail = if node.is_state_filtered {
            "its capture has sockets in one state only: ss or grep selected it, so other processes may use the endpoint as well"
        } else if node.has_only_components && !has_kube_proxy() {
            "its capture has rows of Kubernetes components only, and none of kube-proxy: it was filtered, so other processes may use the endpoint as well"
        } else if !node.has_header {
            "its capture has no column headings: it may have been filtered, so other processes may use the endpoint as well"
        } else {
            return Vec::new();
        };
        let gap = facts.evidence.gap(node.name.clone(), GapReason::Incomplete, detail);
        gaps.push(match node.via {
            Some(Via::Bundle) => Gap { hint: bundle_step(gap.why).to_owned(), ..gap },
            _ => gap,
        });
    }
    gaps
}

/// The nodes that EC2 or Kubernetes lists and that were not read.
fn unread<'a>(
    facts: &'a Facts,
    places: &'a Places<'_>,
    covered: &'a Covered,
) -> impl Iterator<Item = ClientHost> + 'a {
    let evidence = &facts.evidence;
    let of_ec2 = evidence.node_instances().filter(|instance| !covered.instances.contains(&instance.id));
    let of_ec2 = of_ec2.map(|instance| {
        let name = instance.dns_name.as_deref().unwrap_or(&instance.id);
        let name = id_and_name(name, instance.name_tag().filter(|tag| *tag != name));
        unread_host(&name, ClientKind::Node, places.of_instance(&name, instance))
    });
    let is_covered = |node: &KubernetesNode| {
        node.instance_id().is_some_and(|id| covered.instances.contains(id))
            || node.addresses.iter().any(|address| covered.addresses.contains(address))
            || covered.names.contains(&node.name)
    };
    let alone = evidence.nodes_of_kubernetes_alone();
    let alone = alone.filter(move |node| !node.is_fargate() && !is_covered(node)).map(|node| {
        let place = places.of_addresses(&node.name, &node.addresses);
        let is_hybrid = node.compute_type.as_deref() == Some("hybrid")
            || matches!(place.location, Location::Outside { .. });
        unread_host(&node.name, if is_hybrid { ClientKind::HybridNode } else { ClientKind::Node }, place)
    });
    of_ec2.chain(alone)
}

fn unread_host(name: &str, kind: ClientKind, place: Place) -> ClientHost {
    let sight = SocketEvidence::Unseen;
    ClientHost { place, users: vec![User { name: name.to_owned(), kind, process: None, node: None, sight }] }
}

/// The pods on Fargate, by their interfaces, and those of which only Kubernetes lists the
/// node.
fn fargate(facts: &Facts, places: &Places<'_>) -> Vec<ClientHost> {
    let evidence = &facts.evidence;
    let host = |name: &str, place: Place| ClientHost {
        place,
        users: vec![User {
            name: name.to_owned(),
            kind: ClientKind::FargatePod,
            process: None,
            node: None,
            sight: SocketEvidence::Unreadable,
        }],
    };
    let pods: Vec<_> =
        facts.interfaces.iter().filter(|known| known.is_fargate_pod_of(&evidence.cluster)).collect();
    let nodes: Vec<_> = evidence.nodes_of_kubernetes_alone().filter(|node| node.is_fargate()).collect();
    let mut first: HashMap<IpAddr, usize> = HashMap::new();
    for (at, node) in nodes.iter().enumerate() {
        for address in &node.addresses {
            first.entry(*address).or_insert(at);
        }
    }
    let of_interfaces = pods.iter().map(|known| {
        let at = known.interface.addresses.iter().filter_map(|address| first.get(address)).min();
        let name = at.map_or(known.interface.id.as_str(), |at| nodes[*at].name.as_str());
        host(name, places.of_addresses(name, &known.interface.addresses))
    });
    let addresses: HashSet<_> = pods.iter().flat_map(|known| &known.interface.addresses).collect();
    let others = nodes.iter().filter(|node| !node.addresses.iter().any(|one| addresses.contains(one)));
    let others = others.map(|node| {
        let location = Location::Vpc {
            id: None,
            subnet: None,
            blocks: node.addresses.iter().copied().map(IpNet::from).collect(),
            public_ip: None,
            groups: None,
        };
        host(&node.name, Place { name: of_node(&node.name), location })
    });
    of_interfaces.chain(others).collect()
}

/// The hybrid nodes of a cluster whose nodes Kubernetes did not list: at least one.
fn hybrid(evidence: &Evidence, hosts: &[ClientHost]) -> Option<ClientHost> {
    let may_have = evidence.cluster.hybrid_nodes_enabled || !evidence.cluster.remote_node_networks.is_empty();
    let is_known = evidence.kubernetes.nodes.seen().is_some()
        || hosts.iter().any(|host| matches!(host.place.location, Location::Outside { .. }));
    if !may_have || is_known {
        return None;
    }
    let blocks = evidence.cluster.remote_node_networks.clone();
    let location = if blocks.is_empty() { Location::Unknown } else { Location::Outside { blocks } };
    let name = "hybrid nodes";
    Some(unread_host(name, ClientKind::HybridNode, Place { name: name.to_owned(), location }))
}

/// The machine on which the evidence was collected.
fn operator(evidence: &Evidence, places: &Places<'_>) -> Option<ClientHost> {
    let is_recorded =
        evidence.vantage(HERE).is_some() || evidence.probes.iter().any(|probe| probe.vantage == HERE);
    let user = User {
        name: HERE.to_owned(),
        kind: ClientKind::Operator,
        process: None,
        node: None,
        sight: SocketEvidence::Configured,
    };
    is_recorded.then(|| ClientHost { place: places.here(), users: vec![user] })
}

/// A client that the user names: one host for each of its blocks.
fn of_user<'a>(
    facts: &'a Facts,
    places: &'a Places<'_>,
    client: &'a NamedClient,
) -> impl Iterator<Item = ClientHost> + 'a {
    let has_ipv4 = client.blocks.iter().any(|block| block.addr().is_ipv4());
    client.blocks.iter().map(move |&block| {
        let name = match client.blocks.as_slice() {
            [_] => client.name.clone(),
            _ => format!("{} ({block})", client.name),
        };
        let place = places.of_block(&client.name, block);
        let is_outside = matches!(place.location, Location::Outside { .. });
        let sight = if block.addr().is_ipv6() && is_outside && is_ipv4_endpoint(facts) {
            SocketEvidence::OtherFamily { has_ipv4 }
        } else {
            SocketEvidence::Configured
        };
        // The user says where this machine is.
        let kind = if client.name == HERE { ClientKind::Operator } else { ClientKind::Named };
        let user = User { name, kind, process: None, node: None, sight };
        ClientHost { place, users: vec![user] }
    })
}

/// Whether the endpoint has IPv4 addresses only.
///
/// <https://docs.aws.amazon.com/eks/latest/userguide/cni-ipv6.html>
fn is_ipv4_endpoint(facts: &Facts) -> bool {
    let ips = &facts.evidence.cluster.cluster_ips;
    !ips.is_empty() && ips.iter().all(IpAddr::is_ipv4) && !facts.has_ipv6_public_endpoint()
}

/// Why nodes may exist that nothing lists.
fn unlisted(evidence: &Evidence) -> Vec<Gap> {
    // Kubernetes lists every node that has joined.
    if evidence.kubernetes.nodes.seen().is_some() {
        return Vec::new();
    }
    match evidence.network.instances.as_result() {
        Err(gap) => vec![gap],
        Ok(_) if evidence.node_instances().next().is_some() => Vec::new(),
        Ok(_) => vec![evidence.gap(INSTANCES, GapReason::Incomplete, evidence.no_node_instances())],
    }
}

/// The gap for nodes that were not read and that the change concerns.
pub(super) fn not_read(facts: &Facts, names: &[String]) -> Gap {
    const SHOWN: usize = 5;
    let detail = format!(
        "whether their processes would follow the change is not known, since their sockets were not read: {}",
        list(names, SHOWN)
    );
    facts.evidence.gap(Subject::Nodes, GapReason::NotRecorded, detail)
}
