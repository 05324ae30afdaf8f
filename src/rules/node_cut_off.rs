use std::collections::BTreeSet;

use super::text::{ENDPOINT_ACCESS, list};
use super::{cause, gaps, unknown_path};
use crate::model::connection::{Component, Connection, Direction};
use crate::model::expectations::Expectations;
use crate::model::facts::Facts;
use crate::model::kubernetes;
use crate::model::name::NodeName;
use crate::model::net::{INSTANCES, INTERFACES, NAT_GATEWAYS, ROUTE_TABLES, SECURITY_GROUPS, SUBNETS, VPC};
use crate::model::node::NodeStatus;
use crate::model::rule::{Finding, Need, Outcome, Rule, Severity, WithoutEvidence};
use crate::model::socket::State;
use crate::model::traffic::TrafficPath;

pub(super) static RULE: Rule = Rule {
    id: "node-cut-off",
    severity: Severity::High,
    summary: "A node's kubelet has no connection to the API server, only attempts that hang",
    why: "\
The kubelet has no established connection to the API server and waits in SYN-SENT. \
It cannot renew its lease: the node becomes NotReady within a minute, and its pods are \
evicted some minutes later. Usually the route to the endpoint, publicAccessCidrs or \
a security group was changed.",
    remediation: "\
Check the route that the packets take: the address that the node connects to, the \
access mode, and the allowed blocks:
    aws eks describe-cluster --region REGION --name CLUSTER --query cluster.resourcesVpcConfig
If the address is public, the node's subnet needs a route to a NAT gateway (or to an \
internet gateway, for a node with a public address), and publicAccessCidrs must \
contain the address with which the node leaves the VPC. Private access removes both \
conditions:
    aws eks update-cluster-config --region REGION --name CLUSTER --resources-vpc-config endpointPrivateAccess=true
If the address is that of an ENI, a security group on the EKS-owned ENIs must admit \
port 443 from the node:
    aws ec2 describe-security-groups --region REGION --group-ids SECURITY_GROUP
Terraform, aws_eks_cluster: vpc_config { endpoint_private_access, public_access_cidrs, \
security_group_ids }",
    reference: ENDPOINT_ACCESS,
    controls: &[],
    needs: &[Need::File(INTERFACES), Need::File(INSTANCES), Need::File(VPC), Need::File(SUBNETS), Need::File(ROUTE_TABLES), Need::File(NAT_GATEWAYS), Need::File(SECURITY_GROUPS), Need::File(kubernetes::NODES), Need::Dns, Need::Nodes],
    without_evidence: WithoutEvidence::Inconclusive,
    steps: |facts, _, findings| cause::steps(facts, findings),
    check,
};

fn check(facts: &Facts, _: &Expectations) -> Outcome {
    let mut outcome = Outcome { gaps: gaps::nodes(facts, true), ..Outcome::pass() };
    if !facts.nodes.is_empty() {
        outcome.gaps.extend(gaps::endpoint_addresses(&facts.evidence));
    }
    for (node, traffic) in facts.nodes.iter().zip(&facts.traffic) {
        let kubelet = traffic.components.iter().find(|traffic| traffic.component == Component::Kubelet);
        let Some(kubelet) = kubelet.filter(|_| node.status == NodeStatus::Read) else { continue };
        if kubelet.path == TrafficPath::None {
            outcome.findings.push(finding(facts, &node.name));
        } else if kubelet.path == TrafficPath::Unknown {
            outcome.gaps.extend(unknown_path::gaps(facts, node, *kubelet));
        }
    }
    outcome
}

fn finding(facts: &Facts, node: &NodeName) -> Finding {
    let attempts: Vec<&Connection> = facts
        .connections_of(node)
        .iter()
        .filter(|connection| {
            connection.component == Some(Component::Kubelet)
                && connection.direction == Direction::Outbound
                && connection.socket.state == State::SynSent
        })
        .collect();
    let peers: BTreeSet<_> = attempts.iter().map(|attempt| attempt.socket.peer.to_string()).collect();
    let peers = list(&Vec::from_iter(peers));
    let cause = cause::likely(facts, attempts.iter().copied());
    let message = format!(
        "its kubelet has no established connection to the API server, only attempts in SYN-SENT to {peers}: it is, or is about to be, NotReady{cause}"
    );
    Finding::new(node.as_str(), message)
}
