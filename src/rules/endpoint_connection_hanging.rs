use std::collections::{BTreeMap, BTreeSet};

use super::{ENDPOINT_ACCESS, unseen};
use crate::model::connection::{Component, Direction, Path};
use crate::model::facts::Facts;
use crate::model::socket::State;
use crate::model::verdict::{Finding, Outcome, Rule, Severity};

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
Find out as whom the node leaves, and whether publicAccessCidrs has it:
    curl -s https://checkip.amazonaws.com
    aws eks describe-cluster --region REGION --name CLUSTER --query cluster.resourcesVpcConfig
If the peer is an ENI, see that the cluster security group lets the node in on 443:
    aws ec2 describe-security-groups --region REGION --group-ids SECURITY_GROUP
Terraform, aws_eks_cluster: vpc_config { public_access_cidrs, security_group_ids }",
    reference: ENDPOINT_ACCESS,
    check,
};

fn check(facts: &Facts) -> Outcome {
    let mut outcome = Outcome { findings: Vec::new(), gaps: unseen::nodes(facts, false) };
    let mut hanging: BTreeMap<&str, (BTreeMap<&str, u32>, BTreeSet<String>)> = BTreeMap::new();
    let mut unexplained = false;
    for connection in &facts.connections {
        if connection.socket.state != State::SynSent || connection.direction != Direction::Outbound {
            continue;
        }
        let path = connection.attribution.path;
        if path.is_api_server() {
            let (who, peers) = hanging.entry(connection.node.as_str()).or_default();
            *who.entry(connection.component.map_or("a process", Component::as_str)).or_default() += 1;
            peers.insert(connection.socket.peer.to_string());
        } else if path == Path::Unattributed {
            unexplained = true;
        }
    }
    if unexplained {
        // It may be the endpoint, or something else: what would tell?
        outcome.gaps.extend(unseen::attribution(facts));
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
