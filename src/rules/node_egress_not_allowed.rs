use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::gaps;
use super::text::{ENDPOINT_ACCESS, list};
use crate::model::cluster::AllowedBlocks;
use crate::model::connection::{Connection, Path};
use crate::model::egress::{NodeEgress, WayOut};
use crate::model::evidence::Evidence;
use crate::model::expectations::Expectations;
use crate::model::facts::Facts;
use crate::model::gap::{Gap, GapReason, Observed, Subject};
use crate::model::kubernetes;
use crate::model::net::{INSTANCES, INTERFACES, NAT_GATEWAYS, ROUTE_TABLES};
use crate::model::rule::{Finding, Need, Outcome, Rule, Severity, Step, WithoutEvidence};
use crate::model::socket::State;
use crate::model::text::id_and_name;
use crate::steps;

pub(super) static RULE: Rule = Rule {
    id: "node-egress-not-allowed",
    severity: Severity::High,
    summary: "Private access is off, and publicAccessCidrs does not contain a node's egress address",
    why: "\
With private access off, nodes reach the API server from outside the VPC, with the \
address of their NAT gateway or their own public address. If publicAccessCidrs \
does not contain that address, the endpoint drops their packets: running nodes \
become NotReady and new nodes never join. This is the best-known outage after a \
list was narrowed, and it shows only when connections are re-established.",
    remediation: "\
Turn private access on; nodes then no longer depend on the list:
    aws eks update-cluster-config --region REGION --name CLUSTER --resources-vpc-config endpointPrivateAccess=true
    eksctl utils update-cluster-vpc-config --region REGION --cluster CLUSTER --private-access=true --approve
Terraform, aws_eks_cluster: vpc_config { endpoint_private_access = true }
Or add the address in the finding to publicAccessCidrs as ADDRESS/32 (Terraform: \
public_access_cidrs).",
    reference: ENDPOINT_ACCESS,
    controls: &[],
    needs: &[Need::File(INTERFACES), Need::File(INSTANCES), Need::File(ROUTE_TABLES), Need::File(NAT_GATEWAYS), Need::File(kubernetes::NODES), Need::Dns, Need::Nodes],
    without_evidence: WithoutEvidence::Inconclusive,
    steps,
    check,
};

fn check(facts: &Facts, _: &Expectations) -> Outcome {
    let evidence = &facts.evidence;
    let cluster = &evidence.cluster;
    if cluster.access.private() == Some(true) || cluster.access.public() == Some(false) {
        return Outcome::pass();
    }
    // Every IPv4 address is allowed, so the nodes are.
    let allowed = cluster.allowed();
    if allowed.contains_ipv4() {
        return Outcome::pass();
    }
    if let Err(gap) = gaps::private_access(&facts.evidence) {
        return Outcome::inconclusive(gap);
    }
    if let Observed::Unseen(gap) = &evidence.network.instances {
        return Outcome::inconclusive(gap.clone());
    }
    let mut outcome = judge(facts, &allowed);
    if facts.egress.is_empty() && !evidence.has_no_nodes() {
        let detail = evidence.no_node_instances();
        outcome.gaps.push(evidence.gap(INSTANCES, GapReason::Incomplete, detail));
    }
    // Which route is taken depends on the endpoint's addresses.
    outcome.gaps.extend(gaps::endpoint_addresses(evidence));
    outcome
}

fn judge(facts: &Facts, allowed: &AllowedBlocks) -> Outcome {
    // A node may reach a dual-stack endpoint over IPv6, with its own address. The addresses of
    // EKS-owned ENIs say nothing about the public endpoint.
    let is_dual_stack = facts.has_ipv6_public_endpoint();
    let over_ipv6 =
        |node: &NodeEgress| is_dual_stack && node.ipv6.iter().any(|&address| allowed.contains(address));
    let mut outcome = Outcome::pass();
    // Many nodes share a NAT gateway: there is one finding for each egress address.
    let mut refused: BTreeMap<(&str, IpAddr), BTreeSet<String>> = BTreeMap::new();
    let mut enclosed: BTreeMap<&str, BTreeMap<&str, &NodeEgress>> = BTreeMap::new();
    for (node, addresses) in
        facts.egress.iter().flat_map(|node| node.ipv4.iter().map(move |addresses| (node, addresses)))
    {
        let addresses = match addresses {
            Observed::Seen(WayOut::Addresses(addresses)) => addresses,
            Observed::Seen(WayOut::None(_)) if over_ipv6(node) => continue,
            Observed::Seen(WayOut::None(reason)) => {
                enclosed.entry(reason).or_default().insert(&node.instance, node);
                continue;
            }
            Observed::Unseen(gap) => {
                outcome.gaps.push(gap.clone());
                continue;
            }
        };
        let mut not_allowed = addresses.iter().filter(|egress| !allowed.contains(egress.address)).peekable();
        if not_allowed.peek().is_some() && over_ipv6(node) {
            outcome.gaps.push(either_family(&facts.evidence, node));
            continue;
        }
        for egress in not_allowed {
            refused.entry((&egress.via, egress.address)).or_default().insert(label(node));
        }
    }
    outcome.findings = refused
        .into_iter()
        .map(|((by, address), nodes)| finding(by, address, &Vec::from_iter(nodes)))
        .collect();
    let connected = connected(facts);
    outcome.findings.extend(enclosed.into_iter().map(|(reason, nodes)| {
        let (connected, others): (Vec<_>, Vec<_>) =
            nodes.into_values().partition(|node| connected.contains(node.instance.as_str()));
        let labels = |nodes: &[&NodeEgress]| list(&nodes.iter().map(|node| label(node)).collect::<Vec<_>>());
        let message = match (connected.as_slice(), others.as_slice()) {
            ([], others) => format!("{} cannot reach the public endpoint: {reason}", labels(others)),
            (connected, []) => format!(
                "{} cannot open new connections to the public endpoint, though some are established: {reason}",
                labels(connected)
            ),
            (connected, others) => format!(
                "{} cannot reach the public endpoint, nor can {} open new connections: {reason}",
                labels(others),
                labels(connected)
            ),
        };
        Finding::new(facts.evidence.cluster.subject(), message).of(reason)
    }));
    outcome
}

/// The instances of captured nodes that have an established connection to the public
/// endpoint.
fn connected(facts: &Facts) -> HashSet<&str> {
    let is_public = |connection: &Connection| {
        connection.socket.state == State::Established && connection.attribution.path == Path::PublicEndpoint
    };
    let nodes = facts.nodes.iter().zip(&facts.machines);
    let connected = nodes.filter(|(node, _)| facts.connections_of(&node.name).iter().any(is_public));
    connected.flat_map(|(_, machines)| machines).filter_map(|machine| machine.instance.as_deref()).collect()
}

fn either_family(evidence: &Evidence, node: &NodeEgress) -> Gap {
    let detail =
        "its IPv4 address is not allowed and its IPv6 address is; which of them it uses is not known";
    evidence.gap(Subject::Egress(node.instance.clone()), GapReason::NotSupported, detail)
}

fn finding(by: &str, address: IpAddr, nodes: &[String]) -> Finding {
    let (who, will) = match nodes {
        [only] if only.starts_with(by) => ("it has".to_owned(), "it"),
        [only] => (format!("{only} has"), "it"),
        all => (format!("{} have", list(all)), "they"),
    };
    let message = format!(
        "{who} the egress address {address}, which publicAccessCidrs does not contain: {will} will lose access to the API server"
    );
    Finding::new(by, message).of(address.to_string())
}

fn label(node: &NodeEgress) -> String {
    id_and_name(&node.instance, node.name.as_deref())
}

fn steps(facts: &Facts, _: &Expectations, findings: &[Finding]) -> Vec<Step> {
    let addresses = findings.iter().filter_map(|finding| finding.about.as_ref()?.parse::<IpAddr>().ok());
    let added: BTreeSet<_> = addresses.map(IpNet::from).collect();
    let mut steps = Vec::new();
    if !added.is_empty() {
        steps.push(steps::add_blocks(facts, added));
    }
    steps.extend(steps::to_private_path(facts));
    steps
}
