use std::collections::BTreeSet;

use super::gaps;
use super::text::{ENDPOINT_ACCESS, list};
use crate::model::cluster::Hosting;
use crate::model::connection::{Component, Connection, Direction, Path};
use crate::model::expectations::Expectations;
use crate::model::facts::{Facts, has_ambiguous_peer};
use crate::model::gap::GapReason;
use crate::model::net::{INSTANCES, INTERFACES, VPC};
use crate::model::node::{Node, NodeStatus};
use crate::model::rule::{Finding, Need, Outcome, Rule, Severity, WithoutEvidence};
use crate::model::socket::State;
use crate::model::traffic::{NodeTraffic, TrafficPath};

pub(super) static RULE: Rule = Rule {
    id: "node-on-public-path",
    severity: Severity::High,
    summary: "Private access is on, yet a node's kubelet or kube-proxy uses the public endpoint",
    why: "\
Traffic that should stay in the VPC leaves it, and closing the public endpoint \
would cut the node off. There are two causes. The connection is older than private \
access: TCP connections outlive a change of the access mode, and the process keeps \
them until it is restarted. Or the node's DNS answers with public addresses: the \
VPC lacks DNS support or DNS hostnames, or the node uses a name server that does \
not know the private hosted zone.",
    remediation: "\
On the node, check what the endpoint's name resolves to:
    getent ahosts ENDPOINT
If the answer is private addresses, the connection is stale. Restart the process:
    sudo systemctl restart kubelet
    kubectl -n kube-system rollout restart daemonset kube-proxy
If the answer is public addresses, fix the VPC's DNS first (see \
private-dns-unavailable), then restart both.",
    reference: ENDPOINT_ACCESS,
    needs: &[Need::File(INTERFACES), Need::File(INSTANCES), Need::File(VPC), Need::Dns, Need::Nodes],
    without_evidence: WithoutEvidence::Inconclusive,
    check,
};

fn check(facts: &Facts, _: &Expectations) -> Outcome {
    let cluster = &facts.evidence.cluster;
    match gaps::private_access(&facts.evidence) {
        Ok(true) => {}
        Ok(false) => return Outcome::pass(),
        Err(gap) => return Outcome::inconclusive(gap),
    }
    if cluster.hosting == Hosting::Outposts {
        return Outcome::inconclusive(gaps::outposts(&facts.evidence));
    }
    let mut outcome = Outcome { findings: Vec::new(), gaps: gaps::nodes(facts, true) };
    outcome.gaps.extend(gaps::endpoint_addresses(&facts.evidence));
    for (node, traffic) in facts.nodes.iter().zip(&facts.traffic) {
        if node.status != NodeStatus::Read {
            continue;
        }
        let public: Vec<_> = outbound(facts, node)
            .filter(|connection| connection.socket.state == State::Established)
            .filter(|connection| connection.attribution.path == Path::PublicEndpoint)
            .collect();
        if !public.is_empty() {
            outcome.findings.push(finding(facts, node, &public));
        }
        let gap = |detail| facts.evidence.gap(node.name.clone(), GapReason::Incomplete, detail);
        outcome.gaps.extend(unknown_paths(facts, node, traffic).into_iter().map(gap));
    }
    outcome
}

/// The connections, and attempts to connect, that show by which path kubelet and
/// kube-proxy reach the API server.
fn outbound<'a>(facts: &'a Facts, node: &Node) -> impl Iterator<Item = &'a Connection> {
    facts.connections_of(&node.name).iter().filter(|connection| {
        connection.component.is_some_and(Component::is_node_component)
            && connection.direction == Direction::Outbound
            && connection.socket.state.is_open_or_opening()
    })
}

/// The reasons why the path of a node's components is not known, as text.
fn unknown_paths(facts: &Facts, node: &Node, traffic: &NodeTraffic) -> Vec<String> {
    let connections = facts.connections_of(&node.name);
    let mut details: Vec<_> = outbound(facts, node)
        .filter_map(|connection| unknown_peer(facts, connection).or_else(|| public_attempt(connection)))
        .collect();
    details.extend(connections.iter().filter_map(unnamed_on_public_endpoint));
    let is_kubelets = |connection: &Connection| {
        connection.component == Some(Component::Kubelet)
            && connection.socket.state == State::Established
            && connection.attribution.path.is_api_server()
    };
    if !outbound(facts, node).any(is_kubelets) {
        details.push(no_connection(facts, node, Component::Kubelet));
    }
    // Some clusters run without kube-proxy; but `grep kubelet` leaves it out too.
    if let Some(proxy) = traffic.components.iter().find(|traffic| traffic.component == Component::KubeProxy) {
        let is_seen = connections.iter().any(|connection| connection.component == Some(Component::KubeProxy));
        let mut own = outbound(facts, node).filter(|connection| {
            connection.component == Some(Component::KubeProxy)
                && connection.socket.state == State::Established
        });
        let has_unknown = own.any(|connection| has_ambiguous_peer(connection, &facts.endpoint_addresses));
        match proxy.path {
            _ if !is_seen => details.push("no socket of kube-proxy was seen".to_owned()),
            TrafficPath::None => details.push(
                "its kube-proxy has no established connection to the API server, only attempts in SYN-SENT"
                    .to_owned(),
            ),
            TrafficPath::Unknown if !has_unknown => {
                details.push(no_connection(facts, node, Component::KubeProxy));
            }
            _ => {}
        }
    }
    details
}

/// The detail for a component without a connection to the API server: its other
/// connections may be the way by which it reaches it.
fn no_connection(facts: &Facts, node: &Node, component: Component) -> String {
    let seen = format!("no established connection of its {} to the API server was seen", component.as_str());
    let own = facts.connections_of(&node.name).iter().filter(|connection| {
        connection.component == Some(component) && connection.socket.state == State::Established
    });
    let others: BTreeSet<_> = own.filter_map(|connection| other_way(facts, connection)).collect();
    match others.into_iter().collect::<Vec<_>>().as_slice() {
        [] => seen,
        others => format!("{seen}, only to {}", list(others)),
    }
}

/// The usual ports of HTTP proxies.
const PROXY_PORTS: [u16; 5] = [1080, 3128, 8080, 8118, 8888];

/// The peer of a connection that may lead to the API server by way of another host: a
/// proxy, a load balancer, an interface of the VPC.
fn other_way(facts: &Facts, connection: &Connection) -> Option<String> {
    let peer = &connection.socket.peer;
    // The server side of a connection has a well-known port, the client side does not.
    if connection.direction == Direction::Inbound || peer.is_ephemeral() {
        return None;
    }
    let interface = connection.attribution.eni.and_then(|index| facts.interfaces.get(index));
    let what = if PROXY_PORTS.iter().any(|port| peer.is_port(*port)) {
        "probably an HTTP proxy".to_owned()
    } else if connection.attribution.path == Path::Loopback {
        "a proxy or load balancer on the node itself".to_owned()
    } else if let Some(known) = interface {
        format!("{}, {}", known.interface.id, known.kind.as_str())
    } else if connection.direction == Direction::Outbound {
        "no interface has it".to_owned()
    } else {
        return Some(peer.to_string());
    };
    Some(format!("{peer} ({what})"))
}

/// A peer that may be the API server, and may be something else.
fn unknown_peer(facts: &Facts, connection: &Connection) -> Option<String> {
    if !has_ambiguous_peer(connection, &facts.endpoint_addresses) {
        return None;
    }
    let why = match connection.attribution.path {
        Path::Vpc => {
            "the endpoint's name resolves to it, it is in the VPC, and no EKS-owned ENI was seen to have it"
        }
        _ if facts.is_in_vpc(connection) => {
            "it is in the VPC and no interface has it; whether that is the API server is not known"
        }
        _ => "whether that is the API server is not known",
    };
    Some(format!("{} is connected to {}, and {why}", component(connection), connection.socket.peer))
}

/// An attempt to connect to the public endpoint: not a path in use, but one that may be
/// used next.
fn public_attempt(connection: &Connection) -> Option<String> {
    let is_attempt =
        connection.socket.state == State::SynSent && connection.attribution.path == Path::PublicEndpoint;
    is_attempt.then(|| {
        format!(
            "{} is trying to connect to {}, the public endpoint (SYN-SENT); whether it will is not known",
            component(connection),
            connection.socket.peer
        )
    })
}

/// A connection to the public endpoint of a process that the capture does not name.
fn unnamed_on_public_endpoint(connection: &Connection) -> Option<String> {
    let is_named = connection.process.as_ref().is_some_and(|process| process.pid.is_some());
    let is_public =
        connection.attribution.path == Path::PublicEndpoint && connection.socket.state.is_open_or_opening();
    (connection.component.is_none() && !is_named && is_public).then(|| {
        format!(
            "a process that the capture does not name is connected to {}, the public endpoint",
            connection.socket.peer
        )
    })
}

fn component(connection: &Connection) -> &'static str {
    connection.component.map_or("a process", Component::as_str)
}

fn finding(facts: &Facts, node: &Node, public: &[&Connection]) -> Finding {
    let sockets: Vec<_> = public
        .iter()
        .map(|connection| format!("{} on {}", component(connection), connection.socket.peer))
        .collect();
    let vantage = facts.evidence.dns.iter().find(|vantage| vantage.name == node.name.as_str());
    let is_public = |address| facts.endpoint_addresses.get(address) == Some(&Path::PublicEndpoint);
    let cause = match vantage.and_then(|vantage| vantage.answer.seen()) {
        Some(answer) if !answer.addresses.iter().any(is_public) => {
            "stale: the node's DNS answers with private addresses, and a connection outlives a change of mode; restart the process"
        }
        Some(_) => "the node's DNS answers with public addresses; fix its DNS, then restart the process",
        None => {
            "stale, or its DNS is wrong: the node's DNS answer is not known; run `getent ahosts` for the endpoint on it"
        }
    };
    Finding::new(node.name.as_str(), format!("{} over the public endpoint; {cause}", list(&sockets)))
}
