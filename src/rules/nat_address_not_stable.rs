use std::collections::{BTreeMap, BTreeSet};

use super::gaps;
use super::text::list;
use crate::model::egress::WayOut;
use crate::model::expectations::Expectations;
use crate::model::facts::Facts;
use crate::model::gap::{GapReason, Observed};
use crate::model::kubernetes;
use crate::model::net::{INSTANCES, INTERFACES, NAT_GATEWAYS, ROUTE_TABLES};
use crate::model::rule::{Finding, Need, Outcome, Rule, Severity, WithoutEvidence};

pub(super) static RULE: Rule = Rule {
    id: "nat-address-not-stable",
    severity: Severity::Medium,
    summary: "Private access is off, and nodes leave by a NAT gateway to which AWS adds addresses that publicAccessCidrs may lack",
    why: "\
A regional NAT gateway with automatic addresses gets further public addresses when it \
needs more ports or extends to another availability zone. With private access off and \
restricted publicAccessCidrs, a list that contains all its addresses today need not \
contain them tomorrow: connections from a new address are dropped.",
    remediation: "\
Turn private access on; nodes then no longer depend on the list:
    aws eks update-cluster-config --region REGION --name CLUSTER --resources-vpc-config endpointPrivateAccess=true
    eksctl utils update-cluster-vpc-config --region REGION --cluster CLUSTER --private-access=true --approve
Terraform, aws_eks_cluster: vpc_config { endpoint_private_access = true }
Or route the nodes through a NAT gateway whose addresses you allocate: a zonal one, or a \
regional one with availability zone addresses given.",
    reference: "https://docs.aws.amazon.com/vpc/latest/userguide/nat-gateways-regional.html",
    controls: &[],
    needs: &[Need::File(INTERFACES), Need::File(INSTANCES), Need::File(ROUTE_TABLES), Need::File(NAT_GATEWAYS), Need::File(kubernetes::NODES), Need::Dns, Need::Nodes],
    without_evidence: WithoutEvidence::NotJudged,
    steps: |_, _, _| Vec::new(),
    check,
};

fn check(facts: &Facts, _: &Expectations) -> Outcome {
    let evidence = &facts.evidence;
    let cluster = &evidence.cluster;
    match gaps::private_access(evidence) {
        Ok(true) => return Outcome::pass(),
        Ok(false) => {}
        Err(gap) => return Outcome::inconclusive(gap),
    }
    if cluster.allowed().contains_ipv4() {
        return Outcome::pass();
    }
    if let Observed::Unseen(gap) = &evidence.network.instances {
        return Outcome::inconclusive(gap.clone());
    }
    if facts.egress.is_empty() {
        let detail = evidence.no_node_instances();
        return Outcome::inconclusive(evidence.gap(INSTANCES, GapReason::Incomplete, detail));
    }
    let gateways = evidence.network.nat_gateways.seen().into_iter().flatten();
    let automatic: BTreeSet<_> = gateways
        .filter(|gateway| gateway.has_automatic_addresses)
        .map(|gateway| gateway.id.as_str())
        .collect();
    let mut outcome = Outcome::pass();
    let mut by_gateway: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for node in &facts.egress {
        for way in &node.ipv4 {
            match way {
                Observed::Seen(WayOut::Addresses(addresses)) => {
                    for egress in addresses.iter().filter(|egress| automatic.contains(egress.via.as_str())) {
                        by_gateway.entry(&egress.via).or_default().insert(node.instance.clone());
                    }
                }
                // node-egress-not-allowed finds it.
                Observed::Seen(WayOut::None(_)) => {}
                Observed::Unseen(gap) => outcome.gaps.push(gap.clone()),
            }
        }
    }
    outcome.findings.extend(by_gateway.into_iter().map(|(gateway, nodes)| {
        let message = format!(
            "it is a regional NAT gateway to which AWS adds addresses, {} leave by it, and publicAccessCidrs contains given blocks only",
            list(&Vec::from_iter(nodes))
        );
        Finding::new(gateway, message)
    }));
    outcome
}
