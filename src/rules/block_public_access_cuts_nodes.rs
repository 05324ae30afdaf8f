use std::collections::{BTreeMap, HashMap, HashSet};

use super::gaps;
use super::text::list;
use crate::model::connection::{Connection, Direction, Path};
use crate::model::egress::{EgressAddress, WayOut};
use crate::model::expectations::Expectations;
use crate::model::facts::Facts;
use crate::model::gap::{Gap, GapReason, Observed};
use crate::model::net::{BlockMode, INSTANCES, Instance, NAT_GATEWAYS, ROUTE_TABLES, SUBNETS, VPC};
use crate::model::rule::{Finding, Need, Outcome, Rule, Severity, WithoutEvidence};
use crate::model::socket::State;

pub(super) static RULE: Rule = Rule {
    id: "block-public-access-cuts-nodes",
    severity: Severity::High,
    summary: "Private access is off, and VPC Block Public Access blocks the way out of the nodes' subnets",
    why: "\
With private access off, nodes reach the API server through an internet gateway, \
directly or by way of a NAT gateway. VPC Block Public Access in the mode \
block-bidirectional drops that traffic, except for VPCs and subnets that are excluded, \
and in the mode block-ingress that of nodes with public addresses, which need no NAT \
gateway: nodes become NotReady, and new ones never join. The public endpoint itself is in an \
account of AWS, so the setting does not close it for others.",
    remediation: "\
Turn private access on; nodes then need no internet gateway to reach the API server:
    aws eks update-cluster-config --region REGION --name CLUSTER --resources-vpc-config endpointPrivateAccess=true
    eksctl utils update-cluster-vpc-config --region REGION --cluster CLUSTER --private-access=true --approve
Terraform, aws_eks_cluster: vpc_config { endpoint_private_access = true }
Or exclude the VPC for outbound traffic:
    aws ec2 create-vpc-block-public-access-exclusion --region REGION --vpc-id VPC --internet-gateway-exclusion-mode allow-egress
Where the mode is block-ingress, that excludes nothing: route the nodes' subnets to a NAT gateway, or exclude the VPC with allow-bidirectional.",
    reference: "https://docs.aws.amazon.com/vpc/latest/userguide/security-vpc-bpa.html",
    controls: &[],
    needs: &[
        Need::File(INSTANCES),
        Need::File(VPC),
        Need::File(SUBNETS),
        Need::File(ROUTE_TABLES),
        Need::File(NAT_GATEWAYS),
        Need::Dns,
        Need::Nodes,
    ],
    without_evidence: WithoutEvidence::NotJudged,
    steps: |_, _, _| Vec::new(),
    check,
};

fn check(facts: &Facts, _: &Expectations) -> Outcome {
    let evidence = &facts.evidence;
    match gaps::private_access(evidence) {
        Ok(true) => return Outcome::pass(),
        Ok(false) => {}
        Err(gap) => return Outcome::inconclusive(gap),
    }
    if let Observed::Unseen(gap) = &evidence.network.instances {
        return Outcome::inconclusive(gap.clone());
    }
    let mut nodes: BTreeMap<Option<&str>, Vec<&Instance>> = BTreeMap::new();
    // An established connection shows that there is another way out.
    let established = facts.connections.iter().filter(|connection| is_established(connection));
    let established: HashSet<_> = established.filter_map(|connection| connection.socket.local.ip()).collect();
    let has_way_out = |node: &Instance| node.addresses.iter().any(|address| established.contains(address));
    if evidence.node_instances().next().is_none() {
        let detail = evidence.no_node_instances();
        return Outcome::inconclusive(evidence.gap(INSTANCES, GapReason::Incomplete, detail));
    }
    let mut outcome = Outcome::pass();
    for node in evidence.node_instances().filter(|node| !has_way_out(node)) {
        match leaves_otherwise(facts, node) {
            Some(gap) => outcome.gaps.push(gap.clone()),
            None => nodes.entry(node.subnet.as_deref()).or_default().push(node),
        }
    }
    if nodes.is_empty() {
        return outcome;
    }
    let subnets = match &evidence.network.subnets {
        Observed::Seen(subnets) => subnets,
        Observed::Unseen(gap) => {
            outcome.gaps.push(gap.clone());
            return outcome;
        }
    };
    let modes: HashMap<_, _> =
        subnets.iter().filter_map(|subnet| Some((subnet.id.as_deref()?, subnet.block_mode?))).collect();
    for (subnet, nodes) in nodes {
        // The state of a subnet takes account of exclusions of the VPC.
        let of_subnet = subnet.and_then(|subnet| modes.get(subnet).copied());
        let of_vpc = || evidence.network.vpc.as_result().map(|vpc| vpc.block_mode);
        let mode = match of_subnet {
            Some(mode) => Ok(Some(mode)),
            None => of_vpc(),
        };
        let subject = subnet.or(evidence.cluster.vpc.as_deref()).unwrap_or("the nodes' subnet");
        match mode {
            Ok(Some(BlockMode::Bidirectional)) => {
                let message = format!(
                    "VPC Block Public Access is block-bidirectional here, so {} cannot reach the public endpoint, and private access is off",
                    list(&ids(&nodes))
                );
                outcome.findings.push(Finding::new(subject, message));
            }
            Ok(Some(mode)) => {
                let mut cut = Vec::new();
                for node in nodes {
                    match way_out(facts, node, &modes) {
                        NodeExit::Direct if mode == BlockMode::Ingress => cut.push(node),
                        NodeExit::Unknown(gap) => outcome.gaps.push(gap),
                        NodeExit::Direct | NodeExit::Other => {}
                    }
                }
                if !cut.is_empty() {
                    let message = format!(
                        "VPC Block Public Access is block-ingress here, which lets connections out by NAT gateways alone, so {} cannot reach the public endpoint by an internet gateway, and private access is off",
                        list(&ids(&cut))
                    );
                    outcome.findings.push(Finding::new(subject, message));
                }
            }
            Ok(None) => {
                let subnet = subnet.unwrap_or("the nodes' subnet");
                let detail = format!(
                    "BlockPublicAccessStates of {subnet} and of the VPC are not recorded, so it is not known whether they block the way out"
                );
                outcome.gaps.push(evidence.gap(SUBNETS, GapReason::Incomplete, detail));
            }
            Err(gap) => outcome.gaps.push(gap),
        }
    }
    outcome
}

/// Why the way of a node out of the VPC is not known, if it leads neither to an internet nor
/// to a NAT gateway: Block Public Access of this VPC does not decide there.
fn leaves_otherwise<'a>(facts: &'a Facts, node: &Instance) -> Option<&'a Gap> {
    let at = facts.egress.binary_search_by(|egress| egress.instance.cmp(&node.id)).ok()?;
    facts.egress.get(at)?.ipv4.iter().find_map(|way| match way {
        Observed::Unseen(gap) if gap.why == GapReason::NotSupported => Some(gap),
        _ => None,
    })
}

fn ids(nodes: &[&Instance]) -> Vec<String> {
    nodes.iter().map(|node| node.id.clone()).collect()
}

/// The way of a node out of the VPC, as far as Block Public Access decides about it.
enum NodeExit {
    /// By an internet gateway, with a public address of its own.
    Direct,
    /// Whether connections pass is not known.
    Unknown(Gap),
    /// By a NAT gateway, or none.
    Other,
}

/// The way of a node in a subnet that is not block-bidirectional.
fn way_out(facts: &Facts, node: &Instance, modes: &HashMap<&str, BlockMode>) -> NodeExit {
    let evidence = &facts.evidence;
    let at = facts.egress.binary_search_by(|egress| egress.instance.cmp(&node.id)).ok();
    let ways = at.and_then(|at| facts.egress.get(at)).map_or(&[][..], |egress| egress.ipv4.as_slice());
    let mut vias = ways.iter().filter_map(|way| match way {
        Observed::Seen(WayOut::Addresses(addresses)) => addresses.first(),
        _ => None,
    });
    let Some(first) = vias.next() else {
        // Without the NAT gateways, it is not known whether the subnet of one is closed.
        let unseen = evidence.network.nat_gateways.as_result().err();
        let is_closed = |mode: &BlockMode| *mode == BlockMode::Bidirectional;
        let of_vpc = evidence.network.vpc.seen().and_then(|vpc| vpc.block_mode);
        let may_be_closed = modes.values().chain(of_vpc.as_ref()).any(is_closed);
        let unseen = unseen.filter(|gap| {
            may_be_closed && ways.iter().any(|way| matches!(way, Observed::Unseen(why) if why == gap))
        });
        return unseen.map_or(NodeExit::Other, NodeExit::Unknown);
    };
    let is_direct = |address: &EgressAddress| address.via == node.id;
    if is_direct(first) && vias.all(is_direct) {
        return NodeExit::Direct;
    }
    let gateways = evidence.network.nat_gateways.seen().into_iter().flatten();
    let mut used = gateways.filter(|gateway| gateway.id == first.via);
    let closed = used.find_map(|gateway| {
        let subnet = gateway.subnet.as_deref()?;
        (modes.get(subnet) == Some(&BlockMode::Bidirectional)).then_some(subnet)
    });
    closed.map_or(NodeExit::Other, |subnet| {
        let detail = format!(
            "VPC Block Public Access is block-bidirectional for {subnet}, the subnet of {}, and not for that of {}: whether its connections pass is not known",
            first.via, node.id
        );
        NodeExit::Unknown(evidence.gap(SUBNETS, GapReason::NotSupported, detail))
    })
}

/// Whether a connection to the public endpoint is established.
fn is_established(connection: &Connection) -> bool {
    connection.direction == Direction::Outbound
        && connection.socket.state == State::Established
        && connection.attribution.path == Path::PublicEndpoint
}
