//! Gaps that several rules share.

use ipnet::IpNet;

use crate::model::cluster::{Cluster, Hosting};
use crate::model::connection::{Component, Connection};
use crate::model::facts::Facts;
use crate::model::gap::{Gap, GapReason};
use crate::model::node::NodeStatus;
use crate::model::shell::shell_word;
use crate::model::socket::Host;

/// Whether private access is on, or why that is not known.
pub(super) fn private_access(cluster: &Cluster) -> Result<bool, Gap> {
    if cluster.hosting == Hosting::Connector {
        return Err(connector());
    }
    cluster.access.private().ok_or_else(|| Gap {
        what: "cluster.json: endpointPrivateAccess".to_owned(),
        why: GapReason::NotRecorded,
        detail: "the recording does not say whether private access is on".to_owned(),
        hint: format!(
            "record it anew with: aws eks describe-cluster --name {}",
            shell_word(&cluster.name, "CLUSTER")
        ),
    })
}

/// Who may reach the public endpoint, or why that is nothing EKS knows.
pub(super) fn public_cidrs(cluster: &Cluster) -> Result<Vec<IpNet>, Gap> {
    if cluster.hosting == Hosting::Connector { Err(connector()) } else { Ok(cluster.public_cidrs()) }
}

/// A cluster whose control plane is not EKS's.
pub(super) fn connector() -> Gap {
    Gap {
        what: "cluster.json".to_owned(),
        why: GapReason::NotSupported,
        detail: "the cluster is registered through EKS Connector: EKS does not run its control plane and knows no endpoint of it".to_owned(),
        hint: "ask whoever runs that control plane".to_owned(),
    }
}

/// A local cluster on Outposts: nothing tells its control plane's interfaces.
pub(super) fn outposts() -> Gap {
    Gap {
        what: "network-interfaces.json".to_owned(),
        why: GapReason::NotSupported,
        detail: "a local cluster on Outposts has its control plane's interfaces in your own account, where nothing tells them apart".to_owned(),
        hint: "look for the control plane's instances in the Outpost".to_owned(),
    }
}

/// What keeps it from being known that every node was read. A capture without
/// process names still tells addresses and ports.
pub(super) fn nodes(facts: &Facts, names_needed: bool) -> Vec<Gap> {
    // Of nodes that were left out on purpose nothing else is missed.
    if let Some(gap) = facts.missing_nodes.iter().find(|gap| gap.is_left_out()) {
        return vec![gap.clone()];
    }
    let unread = facts.nodes.iter().flat_map(|node| &node.gaps);
    let unread = unread.filter(|gap| names_needed || gap.why != GapReason::NoProcessNames);
    let all = facts.evidence.instances.as_result().err();
    // Without root, ss names the caller's own processes and no others.
    let nameless = facts.nodes.iter().filter(|node| names_needed && node.status == NodeStatus::Read);
    let nameless = nameless.filter(|node| {
        let mut connections = facts.connections_of(&node.name).iter();
        !connections.any(|connection| connection.component.is_some_and(Component::is_node_component))
    });
    let nameless = nameless.map(|node| Gap {
        what: format!("node {}", node.name),
        why: GapReason::NoProcessNames,
        detail: "no row of its capture is of kubelet or kube-proxy: not run as root, filtered, or no node"
            .to_owned(),
        hint: format!("capture it with root rights: ssh {} sudo ss -tnp", node.name),
    });
    facts.missing_nodes.iter().chain(unread).cloned().chain(all).chain(nameless).collect()
}

/// Vantage points that gave no answer, or that there are none.
pub(super) fn answers(facts: &Facts) -> Vec<Gap> {
    let unanswered = facts.evidence.dns.iter().filter_map(|vantage| vantage.answer.as_result().err());
    unanswered.chain(endpoint_addresses(facts)).collect()
}

/// Why the endpoint's addresses are not known, if they are not.
pub(super) fn endpoint_addresses(facts: &Facts) -> Option<Gap> {
    let evidence = &facts.evidence;
    let cluster = &evidence.cluster;
    let Some(endpoint) = &cluster.endpoint else {
        if cluster.hosting == Hosting::Connector {
            return Some(connector());
        }
        let status = cluster.status.as_deref().unwrap_or("unknown");
        return Some(Gap {
            what: "cluster.json: endpoint".to_owned(),
            why: GapReason::NotRecorded,
            detail: format!("the cluster has no endpoint yet; its status is {status}"),
            hint: "ask again when it is ACTIVE".to_owned(),
        });
    };
    if evidence.dns.iter().any(|vantage| vantage.answer.seen().is_some()) {
        return None;
    }
    let unanswered = evidence.dns.iter().find_map(|vantage| vantage.answer.as_result().err());
    Some(unanswered.unwrap_or_else(|| Gap {
        what: "dns".to_owned(),
        why: GapReason::NotRecorded,
        detail: format!("what {} resolves to is not in the evidence directory", endpoint.host),
        hint: format!("record it with: dig +short {} > dns/here.txt", shell_word(&endpoint.host, "ENDPOINT")),
    }))
}

/// What is missing to say that nothing explains an address.
pub(super) fn attribution(facts: &Facts) -> Vec<Gap> {
    let evidence = &facts.evidence;
    let interfaces = evidence.interfaces.as_result().err();
    let vpc = evidence.vpc.as_result().err();
    endpoint_addresses(facts).into_iter().chain(interfaces).chain(vpc).collect()
}

/// A peer of which only a part is known.
pub(super) fn cut_address(connection: &Connection) -> Option<Gap> {
    let Host::Cut(_) = connection.socket.peer.host else { return None };
    Some(Gap {
        what: format!("node {}", connection.node),
        why: GapReason::Incomplete,
        detail: format!("netstat cut the address {}", connection.socket.peer),
        hint: format!("capture it with ss, or netstat --wide: ssh {} sudo ss -tnp", connection.node),
    })
}
