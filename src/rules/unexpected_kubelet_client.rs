use std::collections::{BTreeMap, BTreeSet};

use super::controls;
use super::gaps;
use super::text::{NETWORK_REQUIREMENTS, list};
use crate::model::connection::{Direction, Path};
use crate::model::expectations::Expectations;
use crate::model::facts::Facts;
use crate::model::gap::GapReason;
use crate::model::kubernetes;
use crate::model::net::{INSTANCES, INTERFACES, SUBNETS, VPC};
use crate::model::rule::{Finding, Need, Outcome, Rule, Severity, WithoutEvidence};
use crate::model::socket::State;

pub(super) static RULE: Rule = Rule {
    id: "unexpected-kubelet-client",
    severity: Severity::Medium,
    summary: "A peer outside the VPC is connected to port 10250 of a kubelet",
    why: "\
Port 10250 of the kubelet serves exec, attach and logs for every pod on the node. \
The control plane connects to it through the EKS-owned ENIs; metrics-server, \
Prometheus and similar clients connect from inside the VPC. Any other peer means \
that a network is open too wide, or that an unauthorized client is connected.",
    remediation: "\
Find the owner of the address, then the security group that admits it:
    aws ec2 describe-security-groups --region REGION --filters Name=vpc-id,Values=VPC --query 'SecurityGroups[].[GroupId,IpPermissions[?IpProtocol==`-1` || (FromPort<=`10250` && ToPort>=`10250`)]]'
Admit port 10250 only from the cluster security group and from the monitoring in the \
VPC. A peered or on-premises network that should have access can be waived in the \
policy.",
    reference: NETWORK_REQUIREMENTS,
    controls: &controls::BOUNDARY,
    needs: &[Need::File(INTERFACES), Need::File(INSTANCES), Need::File(VPC), Need::File(SUBNETS), Need::File(kubernetes::NODES), Need::Nodes],
    without_evidence: WithoutEvidence::Inconclusive,
    steps: |_, _, _| Vec::new(),
    check,
};

fn check(facts: &Facts, _: &Expectations) -> Outcome {
    let mut outcome = Outcome { gaps: gaps::nodes(facts, false), ..Outcome::pass() };
    let mut peers: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    let mut stateless = BTreeSet::new();
    for connection in &facts.connections {
        let is_known = matches!(connection.attribution.path, Path::PrivateEni | Path::Vpc | Path::Loopback);
        if connection.direction != Direction::Inbound
            || !connection.socket.state.may_be_open_or_opening()
            || is_known
        {
            continue;
        }
        match connection.socket.peer.ip() {
            Some(_) if connection.socket.state == State::NotShown => {
                stateless.insert(&connection.node);
            }
            Some(peer) => {
                peers.entry(peer).or_default().insert(connection.node.to_string());
            }
            None => outcome.gaps.extend(gaps::truncated_address(&facts.evidence, connection)),
        }
    }
    outcome.gaps.extend(facts.nodes.iter().filter(|node| stateless.contains(&node.name)).map(|node| {
        let detail = "peers of its port 10250 are neither an EKS-owned ENI nor in the VPC; whether they are connected is not known, since its capture has no column of the state";
        gaps::of_node(facts, node, GapReason::Incomplete, detail)
    }));
    if peers.is_empty() {
        return outcome;
    }
    // Every ENI is in the VPC's blocks, so only these must be known.
    if let Err(gap) = facts.evidence.network.vpc.as_result() {
        outcome.gaps.push(gap);
        return outcome;
    }
    outcome.findings.extend(peers.into_iter().map(|(peer, nodes)| {
        let nodes: Vec<_> = nodes.into_iter().collect();
        let message = format!(
            "connected to port 10250 of {}; the peer is neither an EKS-owned ENI nor in the VPC",
            list(&nodes)
        );
        Finding::new(peer.to_string(), message)
    }));
    outcome
}
