use std::collections::{BTreeMap, HashSet};

use super::gaps;
use super::text::list;
use crate::model::connection::{Connection, Direction, Path};
use crate::model::egress::PublicBlock;
use crate::model::expectations::Expectations;
use crate::model::facts::Facts;
use crate::model::gap::{GapReason, Observed};
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
    // An established connection shows that there is another way out.
    let established = facts.connections.iter().filter(|connection| is_established(connection));
    let established: HashSet<_> = established.filter_map(|connection| connection.socket.local.ip()).collect();
    let has_way_out = |node: &Instance| node.addresses.iter().any(|address| established.contains(address));
    if evidence.node_instances().next().is_none() {
        let detail = evidence.no_node_instances();
        return Outcome::inconclusive(evidence.gap(INSTANCES, GapReason::Incomplete, detail));
    }
    let mut outcome = Outcome::pass();
    let mut blocked: BTreeMap<(&str, BlockMode), Vec<String>> = BTreeMap::new();
    let of_vpc = evidence.cluster.vpc.as_deref();
    // In the order of the subnets: nodes of one subnet have a gap in common.
    let mut nodes: Vec<_> = evidence.node_instances().filter(|node| !has_way_out(node)).collect();
    nodes.sort_by_key(|node| node.subnet.as_deref());
    for node in nodes {
        let Some(egress) = facts.egress_of(&node.id) else { continue };
        let gap = match &egress.block {
            PublicBlock::Passes => continue,
            PublicBlock::Blocked(mode) => {
                let subject = node.subnet.as_deref().or(of_vpc).unwrap_or("the nodes' subnet");
                blocked.entry((subject, *mode)).or_default().push(node.id.clone());
                continue;
            }
            // Block Public Access of this VPC does not decide there.
            PublicBlock::Elsewhere => egress.ipv4.iter().find_map(|way| way.as_result().err()),
            PublicBlock::Unknown(gap) => Some(gap.clone()),
        };
        outcome.gaps.extend(gap.filter(|gap| outcome.gaps.last() != Some(gap)));
    }
    outcome.findings.extend(blocked.into_iter().map(|((subject, mode), nodes)| {
        let nodes = list(&nodes);
        let message = match mode {
            BlockMode::Ingress => format!(
                "VPC Block Public Access is block-ingress here, which lets connections out by NAT gateways alone, so {nodes} cannot reach the public endpoint by an internet gateway, and private access is off"
            ),
            _ => format!(
                "VPC Block Public Access is {} here, so {nodes} cannot reach the public endpoint, and private access is off", mode.as_str()
            ),
        };
        Finding::new(subject, message)
    }));
    outcome
}

/// Whether a connection to the public endpoint is established.
fn is_established(connection: &Connection) -> bool {
    connection.direction == Direction::Outbound
        && connection.socket.state == State::Established
        && connection.attribution.path == Path::PublicEndpoint
}
