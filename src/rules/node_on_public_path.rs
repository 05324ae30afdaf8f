use std::collections::BTreeSet;

use super::controls;
use super::text::{ENDPOINT_ACCESS, list};
use super::{gaps, unknown_path};
use crate::model::cluster::Hosting;
use crate::model::connection::{Component, Connection, Direction, Path};
use crate::model::expectations::Expectations;
use crate::model::facts::Facts;
use crate::model::gap::GapReason;
use crate::model::kubernetes;
use crate::model::net::{INSTANCES, INTERFACES, VPC};
use crate::model::node::{Node, NodeStatus};
use crate::model::rule::{Finding, Need, Outcome, Rule, Severity, Step, WithoutEvidence};
use crate::model::socket::State;
use crate::steps;

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
If the answer is private addresses, the connection is stale. Restart the process on \
that node:
    sudo systemctl restart kubelet
(Windows: Restart-Service kubelet. Bottlerocket and EKS Auto Mode, whose hosts have no \
shell: reboot or replace the node.)
    kubectl -n kube-system rollout restart daemonset kube-proxy
If the answer is public addresses, fix the VPC's DNS first (see \
private-dns-unavailable), then restart both.",
    reference: ENDPOINT_ACCESS,
    controls: &controls::INFORMATION_FLOW,
    needs: &[
        Need::File(INTERFACES),
        Need::File(INSTANCES),
        Need::File(VPC),
        Need::File(kubernetes::NODES),
        Need::Dns,
        Need::Nodes,
    ],
    without_evidence: WithoutEvidence::Inconclusive,
    steps,
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
    let mut outcome = Outcome { gaps: gaps::nodes(facts, true), ..Outcome::pass() };
    // Without nodes there are no connections to attribute.
    if !facts.nodes.is_empty() {
        outcome.gaps.extend(gaps::endpoint_addresses(&facts.evidence));
        outcome.gaps.extend(gaps::malformed_answers(facts));
    }
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
        let gap = |detail: String| gaps::of_node(facts, node, GapReason::Incomplete, detail);
        let connections = facts.connections_of(&node.name);
        outcome.gaps.extend(outbound(facts, node).filter_map(public_attempt).map(gap));
        outcome.gaps.extend(connections.iter().filter_map(unnamed_on_public_endpoint).map(gap));
        let components = traffic.components.iter();
        outcome.gaps.extend(components.flat_map(|traffic| unknown_path::gaps(facts, node, *traffic)));
    }
    outcome
}

/// The connections, and attempts to connect, that show by which path kubelet and
/// kube-proxy reach the API server.
fn outbound<'a>(facts: &'a Facts, node: &Node) -> impl Iterator<Item = &'a Connection> {
    facts.connections_of(&node.name).iter().filter(|connection| {
        connection.component.is_some_and(Component::is_node_component)
            && connection.direction == Direction::Outbound
            && connection.socket.state.may_be_open_or_opening()
    })
}

/// An attempt to connect to the public endpoint: not a path in use, but one that may be
/// used next.
fn public_attempt(connection: &Connection) -> Option<String> {
    if connection.attribution.path != Path::PublicEndpoint {
        return None;
    }
    let (component, peer) = (component(connection), &connection.socket.peer);
    match connection.socket.state {
        State::SynSent => Some(format!(
            "{component} is trying to connect to {peer}, the public endpoint (SYN-SENT); whether it will is not known"
        )),
        State::NotShown => Some(format!(
            "{component} has a socket with {peer}, the public endpoint; in which state is not known, since the capture has no column of it"
        )),
        _ => None,
    }
}

/// A connection to the public endpoint of a process that the capture does not name.
fn unnamed_on_public_endpoint(connection: &Connection) -> Option<String> {
    let is_named = connection.process.as_ref().is_some_and(|process| process.pid.is_some());
    let is_public = connection.attribution.path == Path::PublicEndpoint
        && connection.socket.state.may_be_open_or_opening();
    (connection.component.is_none() && !is_named && is_public).then(|| {
        format!(
            "a process that the capture does not name {} {}, the public endpoint",
            if connection.socket.state == State::NotShown { "has a socket with" } else { "is connected to" },
            connection.socket.peer
        )
    })
}

fn component(connection: &Connection) -> &'static str {
    connection.component.map_or("a process", Component::as_str)
}

fn finding(facts: &Facts, node: &Node, public: &[&Connection]) -> Finding {
    let sockets: BTreeSet<_> = public
        .iter()
        .map(|connection| format!("{} on {}", component(connection), connection.socket.peer))
        .collect();
    let vantage = facts.evidence.vantage(node.name.as_str());
    let is_public = |address| facts.endpoint_addresses.get(address) == Some(&Path::PublicEndpoint);
    let cause = match vantage.and_then(|vantage| vantage.answer.seen()) {
        _ if facts.is_hybrid(&node.name) => {
            "it is a hybrid node: outside the VPC, the name resolves to the public addresses while both endpoints are on; for a cluster with hybrid nodes, turn one of them off"
        }
        Some(answer) if !answer.addresses.iter().any(is_public) => {
            "stale: the node's DNS answers with private addresses, and a connection outlives a change of mode; restart the process"
        }
        Some(_) => "the node's DNS answers with public addresses; fix its DNS, then restart the process",
        None => {
            "stale, or its DNS is wrong: the node's DNS answer is not known; run `getent ahosts` for the endpoint on it"
        }
    };
    let sockets = Vec::from_iter(sockets);
    let components: BTreeSet<_> = public.iter().map(|connection| component(connection)).collect();
    Finding::new(node.name.as_str(), format!("{} over the public endpoint; {cause}", list(&sockets)))
        .over(components)
}

fn steps(facts: &Facts, _: &Expectations, _: &[Finding]) -> Vec<Step> {
    let mut steps = steps::after_private_access(facts);
    if steps::has_hybrid_nodes(facts) {
        steps.push(steps::close(facts));
    }
    steps
}
