use std::collections::{BTreeMap, BTreeSet};

use super::{ENDPOINT_ACCESS, gaps};
use crate::model::connection::{Component, Direction, Path};
use crate::model::expectations::Expectations;
use crate::model::facts::Facts;
use crate::model::net::{INSTANCES, INTERFACES, VPC};
use crate::model::rule::{Finding, Need, Outcome, Rule, Severity};
use crate::model::socket::State;

pub(super) static RULE: Rule = Rule {
    id: "endpoint-connection-hanging",
    severity: Severity::Medium,
    summary: "A node's connections to the API server hang in SYN-SENT: the path is cut",
    why: "\
The node sends and nothing answers, not even a refusal. A public endpoint that \
does not list the node's address drops packets just so; so does a security group, \
a route that leads nowhere, or an ENI that is gone. The node turns NotReady within \
a minute, and its pods are moved away some minutes later.",
    remediation: "\
See what the cluster lets in, and by which way:
    aws eks describe-cluster --region REGION --name CLUSTER --query cluster.resourcesVpcConfig
If the peer is a public address, publicAccessCidrs must hold the one that the node \
leaves with:
    curl -s https://checkip.amazonaws.com
If it is an ENI's, the cluster security group must let the node in on port 443:
    aws ec2 describe-security-groups --region REGION --group-ids SECURITY_GROUP
Terraform, aws_eks_cluster: vpc_config { public_access_cidrs, security_group_ids }",
    reference: ENDPOINT_ACCESS,
    needs: &[Need::File(INTERFACES), Need::File(INSTANCES), Need::File(VPC), Need::Dns, Need::Nodes],
    check,
};

fn check(facts: &Facts, _: &Expectations) -> Outcome {
    let mut outcome = Outcome { findings: Vec::new(), gaps: gaps::nodes(facts, false) };
    let mut hanging: BTreeMap<&str, (BTreeMap<&str, u32>, BTreeSet<String>)> = BTreeMap::new();
    let mut unexplained = false;
    for connection in &facts.connections {
        if connection.socket.state != State::SynSent || connection.direction != Direction::Outbound {
            continue;
        }
        // An ENI that is gone is still the endpoint while its name says so.
        let is_named =
            connection.socket.peer.ip().is_some_and(|peer| facts.endpoint_addresses.contains_key(&peer));
        if connection.attribution.path.is_api_server() || is_named {
            let (who, peers) = hanging.entry(connection.node.as_str()).or_default();
            *who.entry(connection.component.map_or("a process", Component::as_str)).or_default() += 1;
            peers.insert(connection.socket.peer.to_string());
        } else if matches!(connection.attribution.path, Path::Unattributed | Path::Vpc) {
            outcome.gaps.extend(gaps::cut_address(&facts.evidence, connection));
            unexplained = true;
        }
    }
    if unexplained {
        // It may be the endpoint, or something else: what would tell?
        outcome.gaps.extend(gaps::attribution(&facts.evidence));
    }
    for (node, (who, peers)) in hanging {
        let who: Vec<_> =
            who.into_iter().map(|(component, times)| format!("{times} of {component}")).collect();
        let peers: Vec<_> = peers.into_iter().collect();
        let message = format!("connections in SYN-SENT to {}: {}", super::list(&peers), who.join(", "));
        outcome.findings.push(Finding::new(node, message));
    }
    outcome
}
