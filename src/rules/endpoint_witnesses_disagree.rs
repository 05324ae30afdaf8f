use std::collections::HashMap;
use std::net::IpAddr;

use super::gaps;
use super::text::{NETWORK_REQUIREMENTS, list};
use crate::model::cluster::Hosting;
use crate::model::expectations::Expectations;
use crate::model::facts::{ClassifiedInterface, Facts, InterfaceKind};
use crate::model::gap::Subject;
use crate::model::kubernetes::ENDPOINT_SLICES;
use crate::model::net::INTERFACES;
use crate::model::rule::{Finding, Need, Outcome, Rule, Severity, WithoutEvidence};

pub(super) static RULE: Rule = Rule {
    id: "endpoint-witnesses-disagree",
    severity: Severity::Medium,
    summary: "The EndpointSlice of the Service `kubernetes` holds an address that no EKS-owned ENI has",
    why: "\
EKS keeps the endpoints of the `kubernetes` Service equal to the addresses of the \
EKS-owned ENIs. An address that only the EndpointSlice holds means that pods are sent \
to a peer that is not known to be the control plane: an ENI that was deleted, one that \
is hidden from the caller, or an EndpointSlice that someone else wrote. ENIs that the \
EndpointSlice lacks are normal.",
    remediation: "\
Compare both again, since EKS replaces ENIs on upgrades:
    kubectl get endpointslices -n default -l kubernetes.io/service-name=kubernetes -o yaml
    aws ec2 describe-network-interfaces --region REGION --filters \"Name=description,Values=Amazon EKS CLUSTER\" --include-managed-resources
If they still differ, find in the audit log who wrote the EndpointSlice.",
    reference: NETWORK_REQUIREMENTS,
    controls: &[],
    needs: &[Need::File(INTERFACES), Need::File(ENDPOINT_SLICES)],
    without_evidence: WithoutEvidence::NotJudged,
    steps: |_, _, _| Vec::new(),
    check,
};

fn check(facts: &Facts, _: &Expectations) -> Outcome {
    let evidence = &facts.evidence;
    match evidence.cluster.hosting {
        Hosting::Connector => return Outcome::inconclusive(gaps::connector(evidence)),
        Hosting::Outposts => return Outcome::inconclusive(gaps::outposts(evidence)),
        Hosting::Region => {}
    }
    let addresses = match evidence.kubernetes.api_addresses.as_result() {
        Ok(addresses) => addresses,
        Err(gap) => return Outcome::inconclusive(gap),
    };
    if let Err(gap) = evidence.network.interfaces.as_result() {
        return Outcome::inconclusive(gap);
    }
    // A part of the list proves nothing about an address that is not in it.
    if let Some(gap) = evidence.gaps.iter().find(|gap| gap.subject == Subject::File(INTERFACES)) {
        return Outcome::inconclusive(gap.clone());
    }
    let mut by_address: HashMap<IpAddr, &ClassifiedInterface> = HashMap::new();
    for known in &facts.interfaces {
        for &address in &known.interface.addresses {
            let entry = by_address.entry(address).or_insert(known);
            if known.kind == InterfaceKind::EksOwned {
                *entry = known;
            }
        }
    }
    let (others, texts): (Vec<IpAddr>, Vec<String>) = addresses
        .iter()
        .filter_map(|address| match by_address.get(address) {
            Some(known) if known.kind == InterfaceKind::EksOwned => None,
            Some(known) => {
                Some((*address, format!("{address} of {} ({})", known.interface.id, known.kind.as_str())))
            }
            None => Some((*address, format!("{address}, which no interface has"))),
        })
        .unzip();
    if others.is_empty() {
        return Outcome::pass();
    }
    let message = format!(
        "the EndpointSlice of the Service `kubernetes` holds addresses of no EKS-owned ENI: {}",
        list(&texts)
    );
    Finding::new(evidence.cluster.subject(), message).over(others).into()
}
