use std::collections::{BTreeMap, BTreeSet};

use super::{NETWORK_REQUIREMENTS, gaps};
use crate::model::connection::{Direction, Path};
use crate::model::expectations::Expectations;
use crate::model::facts::Facts;
use crate::model::net::{INSTANCES, INTERFACES, VPC};
use crate::model::rule::{Finding, Need, Outcome, Rule, Severity};

pub(super) static RULE: Rule = Rule {
    id: "unexpected-kubelet-client",
    severity: Severity::Medium,
    summary: "Something outside the VPC is connected to a kubelet's port 10250",
    why: "\
The kubelet's port serves exec, attach and logs of every pod on the node. The \
control plane reaches it through the EKS-owned ENIs; metrics-server, Prometheus \
and the like reach it from inside the VPC. A peer that is neither is a network \
opened too far, or somebody who should not be there.",
    remediation: "\
Find out whose the address is, then see which security group lets it in:
    aws ec2 describe-security-groups --region REGION --filters Name=vpc-id,Values=VPC --query 'SecurityGroups[].[GroupId,IpPermissions[?IpProtocol==`-1` || (FromPort<=`10250` && ToPort>=`10250`)]]'
Let port 10250 in from the cluster security group and from the VPC's own \
monitoring only. If it is a peered or on-premises network that you mean to let \
in, say so in writing.",
    reference: NETWORK_REQUIREMENTS,
    needs: &[Need::File(INTERFACES), Need::File(INSTANCES), Need::File(VPC), Need::Nodes],
    check,
};

fn check(facts: &Facts, _: &Expectations) -> Outcome {
    let mut outcome = Outcome { findings: Vec::new(), gaps: gaps::nodes(facts, false) };
    let mut peers: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for connection in &facts.connections {
        let is_known = matches!(connection.attribution.path, Path::PrivateEni | Path::Vpc | Path::Loopback);
        if connection.direction != Direction::Inbound || !connection.socket.state.shows_path() || is_known {
            continue;
        }
        match connection.socket.peer.ip() {
            Some(peer) => {
                peers.entry(peer).or_default().insert(connection.node.to_string());
            }
            None => outcome.gaps.extend(gaps::cut_address(&facts.evidence, connection)),
        }
    }
    if peers.is_empty() {
        return outcome;
    }
    // Every ENI lies in the VPC's blocks, so these alone must be known.
    if let Err(gap) = facts.evidence.network.vpc.as_result() {
        outcome.gaps.push(gap);
        return outcome;
    }
    outcome.findings.extend(peers.into_iter().map(|(peer, nodes)| {
        let nodes: Vec<_> = nodes.into_iter().collect();
        let message = format!(
            "connected to the kubelet of {}; neither an EKS-owned ENI nor in the VPC",
            super::list(&nodes)
        );
        Finding::new(peer.to_string(), message)
    }));
    outcome
}
