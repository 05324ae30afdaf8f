use std::collections::{BTreeMap, BTreeSet};

use super::text::{ENDPOINT_ACCESS, list};
use super::{cause, gaps};
use crate::model::connection::{Component, Connection, Direction, Path};
use crate::model::expectations::Expectations;
use crate::model::facts::Facts;
use crate::model::kubernetes;
use crate::model::net::{INSTANCES, INTERFACES, NAT_GATEWAYS, ROUTE_TABLES, SECURITY_GROUPS, SUBNETS, VPC};
use crate::model::rule::{Finding, Need, Outcome, Rule, Severity, WithoutEvidence};
use crate::model::socket::State;

pub(super) static RULE: Rule = Rule {
    id: "endpoint-connection-hanging",
    severity: Severity::Medium,
    summary: "A node's connections to the API server hang in SYN-SENT: the path is cut",
    why: "\
The node sends SYN packets and gets no answer, not even a reset. A public endpoint \
drops packets from addresses that publicAccessCidrs does not contain; so do a \
security group, a route without a target, and an ENI that was deleted. The node \
becomes NotReady within a minute, and its pods are evicted some minutes later.",
    remediation: "\
Check the access mode and the allowed blocks:
    aws eks describe-cluster --region REGION --name CLUSTER --query cluster.resourcesVpcConfig
If the peer is a public address, publicAccessCidrs must contain the node's egress \
address:
    curl -s https://checkip.amazonaws.com
If the peer is an ENI's address, the cluster security group must admit port 443 from \
the node:
    aws ec2 describe-security-groups --region REGION --group-ids SECURITY_GROUP
Terraform, aws_eks_cluster: vpc_config { public_access_cidrs, security_group_ids }",
    reference: ENDPOINT_ACCESS,
    controls: &[],
    needs: &[
        Need::File(INTERFACES),
        Need::File(INSTANCES),
        Need::File(VPC),
        Need::File(SUBNETS),
        Need::File(ROUTE_TABLES),
        Need::File(NAT_GATEWAYS),
        Need::File(SECURITY_GROUPS),
        Need::File(kubernetes::NODES),
        Need::Dns,
        Need::Nodes,
    ],
    without_evidence: WithoutEvidence::Inconclusive,
    steps: |facts, _, findings| cause::steps(facts, findings),
    check,
};

fn check(facts: &Facts, _: &Expectations) -> Outcome {
    let mut outcome = Outcome { gaps: gaps::nodes(facts, false), ..Outcome::pass() };
    outcome.gaps.extend(gaps::other_states(facts));
    let mut hanging: BTreeMap<&str, Vec<(&Connection, u64)>> = BTreeMap::new();
    let mut unexplained = false;
    for (connection, times) in facts.counted_connections() {
        if connection.socket.state != State::SynSent || connection.direction != Direction::Outbound {
            continue;
        }
        // A deleted ENI is still the endpoint while the name resolves to it.
        let is_named =
            connection.socket.peer.ip().is_some_and(|peer| facts.endpoint_addresses.contains_key(&peer));
        if connection.attribution.path.is_api_server() || is_named {
            hanging.entry(connection.node.as_str()).or_default().push((connection, times));
        } else if matches!(connection.attribution.path, Path::Unattributed | Path::Vpc) {
            outcome.gaps.extend(gaps::truncated_address(&facts.evidence, connection));
            unexplained = true;
        }
    }
    if unexplained {
        // It may be the endpoint or something else.
        outcome.gaps.extend(gaps::attribution(&facts.evidence));
    }
    outcome.findings.extend(hanging.into_iter().map(|(node, attempts)| finding(facts, node, &attempts)));
    outcome
}

fn finding(facts: &Facts, node: &str, attempts: &[(&Connection, u64)]) -> Finding {
    let mut components: BTreeMap<&str, u64> = BTreeMap::new();
    for (attempt, times) in attempts {
        *components.entry(attempt.component.map_or("a process", Component::as_str)).or_default() += times;
    }
    let names: Vec<_> = components.keys().copied().collect();
    let components: Vec<_> =
        components.into_iter().map(|(component, times)| format!("{times} of {component}")).collect();
    let peers: BTreeSet<_> = attempts.iter().map(|(attempt, _)| attempt.socket.peer.to_string()).collect();
    let peers = list(&Vec::from_iter(peers));
    let cause = cause::likely(facts, attempts.iter().map(|(attempt, _)| *attempt));
    Finding::new(node, format!("connections in SYN-SENT to {peers}: {}{cause}", components.join(", ")))
        .over(names)
}
