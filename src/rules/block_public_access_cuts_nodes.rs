use std::collections::{BTreeMap, HashMap, HashSet};

use super::gaps;
use super::text::list;
use crate::model::connection::{Connection, Direction, Path};
use crate::model::expectations::Expectations;
use crate::model::facts::Facts;
use crate::model::gap::{GapReason, Observed};
use crate::model::net::{BlockMode, INSTANCES, Instance, SUBNETS, VPC};
use crate::model::rule::{Finding, Need, Outcome, Rule, Severity, WithoutEvidence};
use crate::model::socket::State;

pub(super) static RULE: Rule = Rule {
    id: "block-public-access-cuts-nodes",
    severity: Severity::High,
    summary: "Private access is off, and VPC Block Public Access blocks the way out of the nodes' subnets",
    why: "\
With private access off, nodes reach the API server through an internet gateway, \
directly or by way of a NAT gateway. VPC Block Public Access in the mode \
block-bidirectional drops that traffic, except for VPCs and subnets that are excluded: \
nodes become NotReady, and new ones never join. The public endpoint itself is in an \
account of AWS, so the setting does not close it for others.",
    remediation: "\
Turn private access on; nodes then need no internet gateway to reach the API server:
    aws eks update-cluster-config --region REGION --name CLUSTER --resources-vpc-config endpointPrivateAccess=true
    eksctl utils update-cluster-vpc-config --region REGION --cluster CLUSTER --private-access=true --approve
Terraform, aws_eks_cluster: vpc_config { endpoint_private_access = true }
Or exclude the VPC for outbound traffic:
    aws ec2 create-vpc-block-public-access-exclusion --region REGION --vpc-id VPC --internet-gateway-exclusion-mode allow-egress",
    reference: "https://docs.aws.amazon.com/vpc/latest/userguide/security-vpc-bpa.html",
    needs: &[Need::File(INSTANCES), Need::File(VPC), Need::File(SUBNETS), Need::Dns, Need::Nodes],
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
    let mut nodes: BTreeMap<Option<&str>, Vec<String>> = BTreeMap::new();
    // An established connection shows that there is another way out.
    let established = facts.connections.iter().filter(|connection| is_established(connection));
    let established: HashSet<_> = established.filter_map(|connection| connection.socket.local.ip()).collect();
    let has_way_out = |node: &Instance| node.addresses.iter().any(|address| established.contains(address));
    if evidence.node_instances().next().is_none() {
        let detail = evidence.no_node_instances();
        return Outcome::inconclusive(evidence.gap(INSTANCES, GapReason::Incomplete, detail));
    }
    for node in evidence.node_instances().filter(|node| !has_way_out(node)) {
        nodes.entry(node.subnet.as_deref()).or_default().push(node.id.clone());
    }
    if nodes.is_empty() {
        return Outcome::pass();
    }
    let subnets = match evidence.network.subnets.as_result() {
        Ok(subnets) => subnets,
        Err(gap) => return Outcome::inconclusive(gap),
    };
    let modes: HashMap<_, _> =
        subnets.iter().filter_map(|subnet| Some((subnet.id.as_deref()?, subnet.block_mode?))).collect();
    let mut outcome = Outcome::pass();
    for (subnet, nodes) in nodes {
        // The state of a subnet takes account of exclusions of the VPC.
        let of_subnet = subnet.and_then(|subnet| modes.get(subnet).copied());
        let of_vpc = || evidence.network.vpc.as_result().map(|vpc| vpc.block_mode);
        let mode = match of_subnet {
            Some(mode) => Ok(Some(mode)),
            None => of_vpc(),
        };
        match mode {
            Ok(Some(BlockMode::Bidirectional)) => {
                let message = format!(
                    "VPC Block Public Access is block-bidirectional here, so {} cannot reach the public endpoint, and private access is off",
                    list(&nodes)
                );
                let subject = subnet.or(evidence.cluster.vpc.as_deref()).unwrap_or("the nodes' subnet");
                outcome.findings.push(Finding::new(subject, message));
            }
            Ok(Some(BlockMode::Off | BlockMode::Ingress)) => {}
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

/// Whether a connection to the public endpoint is established.
fn is_established(connection: &Connection) -> bool {
    connection.direction == Direction::Outbound
        && connection.socket.state == State::Established
        && connection.attribution.path == Path::PublicEndpoint
}
