use super::{ENDPOINT_ACCESS, unseen};
use crate::model::cluster::Hosting;
use crate::model::connection::{Component, Connection, Direction, Path};
use crate::model::facts::Facts;
use crate::model::gap::{Gap, GapReason};
use crate::model::node::{Node, NodeStatus};
use crate::model::rule::{Finding, Outcome, Rule, Severity};
use crate::model::socket::State;

pub(super) static RULE: Rule = Rule {
    id: "node-on-public-path",
    severity: Severity::High,
    summary: "Private access is on, yet a node's kubelet or kube-proxy uses the public endpoint",
    why: "\
Traffic that was meant to stay in the VPC leaves it, and closing the public \
endpoint would cut the node off. Either the connection is older than private \
access: TCP connections outlive a change of mode, and stay where they are until \
the process is restarted. Or the node's DNS answers with public addresses: the \
VPC lacks DNS support or hostnames, or uses a resolver that does not know the \
private hosted zone.",
    remediation: "\
On the node, see what the name resolves to:
    getent ahosts ENDPOINT
If it answers with private addresses, the connection is stale; restart the process:
    sudo systemctl restart kubelet
    kubectl -n kube-system rollout restart daemonset kube-proxy
If it answers with public addresses, mend the VPC's DNS first (see \
private-dns-unavailable), then restart both.",
    reference: ENDPOINT_ACCESS,
    check,
};

fn check(facts: &Facts) -> Outcome {
    let cluster = &facts.evidence.cluster;
    match unseen::private_access(cluster) {
        Ok(true) => {}
        Ok(false) => return Outcome::pass(),
        Err(gap) => return Outcome::inconclusive(gap),
    }
    if cluster.hosting == Hosting::Outposts {
        return Outcome::inconclusive(unseen::outposts());
    }
    let mut outcome = Outcome { findings: Vec::new(), gaps: unseen::nodes(facts, true) };
    outcome.gaps.extend(unseen::answers(facts));
    let runs_kube_proxy =
        facts.connections.iter().any(|connection| connection.component == Some(Component::KubeProxy));
    for node in facts.nodes.iter().filter(|node| node.status == NodeStatus::Read) {
        let connections = facts.connections_of(&node.name);
        let api: Vec<_> = connections.iter().filter(|connection| is_of_node(connection)).collect();
        let public: Vec<_> = api
            .iter()
            .copied()
            .filter(|connection| connection.attribution.path == Path::PublicEndpoint)
            .collect();
        if !public.is_empty() {
            outcome.findings.push(finding(facts, node, &public));
        }
        let mut details: Vec<_> = api.iter().filter_map(|connection| unplaced(facts, connection)).collect();
        details.extend(connections.iter().filter_map(nameless));
        let has = |component| connections.iter().any(|connection| connection.component == Some(component));
        if !api.iter().any(|connection| is_kubelets_way(connection)) {
            details.push("no established connection of its kubelet to the API server was seen".to_owned());
        }
        // There are clusters without kube-proxy; but `grep kubelet` leaves it out too.
        if !has(Component::KubeProxy) && (runs_kube_proxy || !node.has_head) {
            details.push("no socket of kube-proxy was seen".to_owned());
        }
        outcome.gaps.extend(details.into_iter().map(|detail| Gap {
            what: format!("node {}", node.name),
            why: GapReason::Incomplete,
            detail,
            hint: format!(
                "capture it whole: ssh {0} sudo ss -tnp; and its DNS: ssh {0} getent ahosts ENDPOINT",
                node.name
            ),
        }));
    }
    outcome
}

/// Whether a socket shows where kubelet or kube-proxy reach the API server.
fn is_of_node(connection: &Connection) -> bool {
    connection.component.is_some_and(Component::is_node_component)
        && connection.direction == Direction::Outbound
        && connection.socket.state.tells_path()
}

/// A kubelet whose way to the API server was not seen proves nothing.
fn is_kubelets_way(connection: &Connection) -> bool {
    connection.component == Some(Component::Kubelet)
        && connection.socket.state == State::Established
        && connection.attribution.path.is_api_server()
}

/// A peer that may be the API server, or may not.
fn unplaced(facts: &Facts, connection: &Connection) -> Option<String> {
    let peer = &connection.socket.peer;
    let is_named = || peer.ip().is_some_and(|peer| facts.endpoint_addresses.contains_key(&peer));
    let why = match connection.attribution.path {
        Path::Unattributed => "it is not known whether that is the API server",
        Path::Vpc if is_named() => {
            "the endpoint's name resolves to it, it lies in the VPC, and no EKS-owned ENI was seen to have it"
        }
        _ => return None,
    };
    Some(format!(
        "{} is connected to {peer}, and {why}",
        connection.component.map_or("a process", Component::as_str)
    ))
}

/// A connection to the public endpoint of a process that cannot be told.
fn nameless(connection: &Connection) -> Option<String> {
    let is_told = connection.process.as_ref().is_some_and(|process| process.pid.is_some());
    let is_public =
        connection.attribution.path == Path::PublicEndpoint && connection.socket.state.tells_path();
    (connection.component.is_none() && !is_told && is_public).then(|| {
        format!(
            "a process that its capture does not tell is connected to {}, the public endpoint",
            connection.socket.peer
        )
    })
}

fn finding(facts: &Facts, node: &Node, public: &[&Connection]) -> Finding {
    let sockets: Vec<_> = public
        .iter()
        .map(|connection| {
            let component = connection.component.map_or("a process", Component::as_str);
            format!("{component} on {}", connection.socket.peer)
        })
        .collect();
    let vantage = facts.evidence.dns.iter().find(|vantage| vantage.name == node.name.as_str());
    let is_public = |address| facts.endpoint_addresses.get(address) == Some(&Path::PublicEndpoint);
    let cause = match vantage.and_then(|vantage| vantage.answer.seen()) {
        Some(answer) if !answer.addresses.iter().any(is_public) => {
            "stale, since the node's DNS answers with private addresses, and a connection outlives a change of mode; restart the process"
        }
        Some(_) => "the node's DNS answers with public addresses; mend its DNS, then restart the process",
        None => {
            "stale, or its DNS is wrong: what the node's DNS answers was not recorded; run `getent ahosts` for the endpoint on it"
        }
    };
    Finding::new(node.name.as_str(), format!("{} over the public endpoint; {cause}", super::list(&sockets)))
}
