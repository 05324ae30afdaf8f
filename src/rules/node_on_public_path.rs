use super::{ENDPOINT_ACCESS, unseen};
use crate::model::connection::{Component, Connection, Direction, Path};
use crate::model::facts::Facts;
use crate::model::node::{Node, NodeStatus};
use crate::model::verdict::{Finding, Gap, GapReason, Outcome, Rule, Severity};

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
    match cluster.access.private() {
        Some(false) => return Outcome::pass(),
        None => return Outcome::inconclusive(unseen::access_flag(cluster, "endpointPrivateAccess")),
        Some(true) => {}
    }
    let mut outcome = Outcome { findings: Vec::new(), gaps: unseen::nodes(facts, true) };
    outcome.gaps.extend(unseen::answers(facts));
    for node in facts.nodes.iter().filter(|node| node.status == NodeStatus::Read) {
        let api: Vec<_> =
            facts.connections_of(&node.name).iter().filter(|connection| is_of_node(connection)).collect();
        let public: Vec<_> = api
            .iter()
            .copied()
            .filter(|connection| connection.attribution.path == Path::PublicEndpoint)
            .collect();
        if !public.is_empty() {
            outcome.findings.push(finding(facts, node, &public));
        }
        outcome.gaps.extend(unplaced(node, &api));
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
fn unplaced(node: &Node, api: &[&Connection]) -> Option<Gap> {
    let kubelet = || api.iter().filter(|connection| connection.component == Some(Component::Kubelet));
    let is_placed = |connection: &&&Connection| connection.attribution.path.is_api_server();
    let unplaced = api.iter().find(|connection| connection.attribution.path == Path::Unattributed);
    let detail = match (kubelet().find(is_placed), unplaced) {
        (Some(_), None) => return None,
        (_, Some(connection)) => format!(
            "{} is connected to {}, and it is not known whether that is the API server",
            connection.component.map_or("a process", Component::as_str),
            connection.socket.peer
        ),
        (None, None) => "no connection of its kubelet to the API server was seen".to_owned(),
    };
    Some(Gap {
        what: format!("node {}", node.name),
        why: GapReason::Incomplete,
        detail,
        hint: format!(
            "capture it while the kubelet runs: ssh {} sudo ss -tnp; and record dns/{0}.txt there",
            node.name
        ),
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
