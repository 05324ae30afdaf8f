//! Gaps that several rules report.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::cluster::{Cluster, Hosting};
use crate::model::connection::{Component, Connection};
use crate::model::evidence::{Evidence, Vantage};
use crate::model::facts::Facts;
use crate::model::file::{Field, File};
use crate::model::gap::{Gap, GapReason, Subject};
use crate::model::net::INTERFACES;
use crate::model::node::{Extent, Node, NodeStatus, Via, bundle_step};
use crate::model::ranges::of_nat64;
use crate::model::socket::Host;

/// Whether private access is on, or why that is not known.
pub(super) fn private_access(evidence: &Evidence) -> Result<bool, Gap> {
    let cluster = &evidence.cluster;
    if cluster.hosting == Hosting::Connector {
        return Err(connector(evidence));
    }
    cluster.access.private().ok_or_else(|| {
        evidence.gap(
            Field::EndpointPrivateAccess,
            GapReason::NotRecorded,
            "whether private access is on is not recorded",
        )
    })
}

/// The blocks that the public endpoint admits, or why they are not known.
pub(super) fn public_cidrs(evidence: &Evidence) -> Result<Vec<IpNet>, Gap> {
    match evidence.cluster.hosting {
        Hosting::Connector => Err(connector(evidence)),
        _ => Ok(evidence.cluster.public_cidrs()),
    }
}

/// A cluster whose control plane EKS does not run.
pub(super) fn connector(evidence: &Evidence) -> Gap {
    let detail = "the cluster is registered through EKS Connector: EKS does not run its control plane and has no endpoint of it";
    evidence.gap(File::CLUSTER, GapReason::NotSupported, detail)
}

/// A local cluster on Outposts: its control plane's interfaces cannot be identified.
pub(super) fn outposts(evidence: &Evidence) -> Gap {
    let detail = "a local cluster on Outposts has its control plane's interfaces in your own account, where they cannot be identified";
    evidence.gap(INTERFACES, GapReason::NotSupported, detail)
}

/// Why it is not known that every node was read. A capture without process names
/// still shows addresses and ports.
pub(super) fn nodes(facts: &Facts, names_needed: bool) -> Vec<Gap> {
    // Where all nodes were left out on request, nothing else is missing.
    if let Some(gap) = facts.missing_nodes.iter().find(|gap| gap.is_left_out()) {
        return vec![gap.clone()];
    }
    let unread = facts.nodes.iter().flat_map(|node| &node.gaps);
    let unread = unread.filter(|gap| names_needed || gap.why != GapReason::NoProcessNames);
    // Kubernetes lists all nodes too.
    let is_listed = facts.evidence.kubernetes.nodes.seen().is_some();
    let instances = facts.evidence.network.instances.as_result().err().filter(|_| !is_listed);
    // Sockets of another machine are no sockets of the node, and its gap says so.
    let is_nameless = |node: &&Node| !facts.other_machines.contains(&node.name) && is_nameless(facts, node);
    let nameless = facts.nodes.iter().filter(|node| names_needed && is_nameless(node));
    let nameless = nameless.map(|node| {
        if node.extent == Extent::WholeWithProcesses {
            return not_running(
                node,
                "no socket of kubelet or kube-proxy is among those of its other processes: both are not running or not connected, or it is not a node",
                Component::Kubelet,
            );
        }
        let detail =
            "no row of its capture is of kubelet or kube-proxy: not run as root, filtered, or not a node";
        of_node(facts, node, GapReason::NoProcessNames, detail)
    });
    facts.missing_nodes.iter().chain(unread).cloned().chain(instances).chain(nameless).collect()
}

/// A gap about the capture of a node, with the next step where it came from.
pub(super) fn of_node(facts: &Facts, node: &Node, why: GapReason, detail: impl Into<String>) -> Gap {
    let gap = facts.evidence.gap(node.name.clone(), why, detail);
    match node.via {
        Some(Via::Bundle) => Gap { hint: bundle_step(why).to_owned(), ..gap },
        _ => gap,
    }
}

/// A component without a socket in the capture of a node that is complete: another capture
/// would not have one either.
pub(super) fn not_running(node: &Node, detail: &str, component: Component) -> Gap {
    let hint = match component {
        Component::Kubelet => "find out why on the node: systemctl status kubelet; journalctl -u kubelet",
        _ => "find out why: kubectl -n kube-system get pods -o wide",
    };
    // Of one that somebody made, nothing proves that it is whole.
    let part = if node.via == Some(Via::File) { ", or the capture is only a part" } else { "" };
    Gap {
        subject: Subject::Node(node.name.clone()),
        why: GapReason::Incomplete,
        detail: format!("{detail}{part}"),
        hint: hint.to_owned(),
    }
}

/// Answers that exist and cannot be parsed: they may contain addresses of the endpoint
/// that no other answer has. A query without an answer counts as one that was not made.
pub(super) fn malformed_answers(facts: &Facts) -> impl Iterator<Item = Gap> {
    let unanswered = facts.evidence.dns.iter().filter_map(|vantage| vantage.answer.as_result().err());
    unanswered.filter(|gap| gap.why == GapReason::Malformed)
}

/// Nodes whose captures were limited to sockets in one state.
pub(super) fn other_states(facts: &Facts) -> impl Iterator<Item = Gap> {
    facts.nodes.iter().filter(|node| node.is_state_filtered).map(|node| {
        let detail = "its capture has no column of the state, or neither headings nor a second state: ss or grep selected a state, so whether connections hang in SYN-SENT is not known";
        of_node(facts, node, GapReason::Incomplete, detail)
    })
}

/// Whether a node was read and its capture names neither kubelet nor kube-proxy. Without
/// root, ss names the caller's own processes and no others.
pub(super) fn is_nameless(facts: &Facts, node: &Node) -> bool {
    let is_named = |connection: &Connection| connection.component.is_some_and(Component::is_node_component);
    node.status == NodeStatus::Read
        && !facts.connections_of(&node.name).iter().any(is_named)
        // Those that are only counted may be.
        && !facts.has_unlisted(&node.name)
}

/// Why the endpoint's addresses are not known, if they are not.
pub(super) fn endpoint_addresses(evidence: &Evidence) -> Option<Gap> {
    let cluster = &evidence.cluster;
    let Some(endpoint) = &cluster.endpoint else {
        return Some(no_endpoint(evidence, cluster));
    };
    let is_answered = |vantage: &&Vantage| vantage.answer.seen().is_some();
    if let Some(first) = evidence.dns.iter().find(is_answered) {
        return no_v4_addresses(evidence, first);
    }
    let unanswered = evidence.dns.iter().find_map(|vantage| vantage.answer.as_result().err());
    Some(unanswered.unwrap_or_else(|| {
        let detail = format!("what {} resolves to is not known", endpoint.host);
        evidence.gap(Subject::Vantages, GapReason::NotRecorded, detail)
    }))
}

/// Why the IPv4 addresses of the endpoint are not known, if no answer has one. Every endpoint
/// of EKS has some, also those of IPv6 clusters.
fn no_v4_addresses(evidence: &Evidence, vantage: &Vantage) -> Option<Gap> {
    let is_v4 = |address: &IpAddr| match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(address) => of_nat64(*address).is_some(),
    };
    let mut answers = evidence.dns.iter().filter_map(|vantage| vantage.answer.seen());
    if answers.any(|answer| answer.addresses.iter().any(is_v4)) {
        return None;
    }
    let failed = evidence.gaps.iter().find(|gap| matches!(gap.subject, Subject::Records { kind: "A", .. }));
    Some(failed.cloned().unwrap_or_else(|| {
        let subject = Subject::Records { kind: "A", vantage: vantage.name.clone() };
        evidence.gap(
            subject,
            GapReason::NotRecorded,
            "no answer has an IPv4 address, and every endpoint has some",
        )
    }))
}

fn no_endpoint(evidence: &Evidence, cluster: &Cluster) -> Gap {
    if cluster.hosting == Hosting::Connector {
        return connector(evidence);
    }
    let status = cluster.status.as_deref().unwrap_or("unknown");
    let detail = format!("the cluster has no endpoint yet; its status is {status}");
    evidence.gap(Field::Endpoint, GapReason::NotRecorded, detail)
}

/// What is missing to conclude that nothing explains an address.
pub(super) fn attribution(evidence: &Evidence) -> Vec<Gap> {
    let interfaces = evidence.network.interfaces.as_result().err();
    let vpc = evidence.network.vpc.as_result().err();
    endpoint_addresses(evidence).into_iter().chain(interfaces).chain(vpc).collect()
}

/// A peer of which only a part is known.
pub(super) fn truncated_address(evidence: &Evidence, connection: &Connection) -> Option<Gap> {
    let Host::Truncated(_) = connection.socket.peer.host else { return None };
    let detail = format!("netstat truncated the address {} to fit its column", connection.socket.peer);
    Some(evidence.gap(connection.node.clone(), GapReason::Incomplete, detail))
}
