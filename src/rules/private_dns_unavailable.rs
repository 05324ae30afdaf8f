use std::net::IpAddr;

use super::gaps;
use super::text::{ENDPOINT_ACCESS, list};
use crate::model::connection::Path;
use crate::model::expectations::Expectations;
use crate::model::facts::Facts;
use crate::model::file::Field;
use crate::model::gap::{GapReason, Observed};
use crate::model::kubernetes;
use crate::model::net::{DHCP_OPTIONS, INSTANCES, INTERFACES, VPC, Vpc};
use crate::model::node::Node;
use crate::model::rule::{Finding, Need, Outcome, Rule, Severity, Step, WithoutEvidence};
use crate::steps;

/// What findings about the DHCP options are about.
const DHCP: &str = "DHCP options";

pub(super) static RULE: Rule = Rule {
    id: "private-dns-unavailable",
    severity: Severity::High,
    summary: "Private access is on, but the VPC's DNS does not resolve the endpoint to private addresses",
    why: "\
EKS publishes the private addresses in a private hosted zone that only the VPC's \
own resolver can answer from. Without enableDnsSupport and enableDnsHostnames, or \
with DHCP options that name other name servers, nodes resolve the endpoint to its \
public addresses: they use the public path, or lose the API server once the public \
endpoint is closed.",
    remediation: "\
Turn on the attribute that is off:
    aws ec2 modify-vpc-attribute --region REGION --vpc-id VPC --enable-dns-support
    aws ec2 modify-vpc-attribute --region REGION --vpc-id VPC --enable-dns-hostnames
Or give the VPC a DHCP option set with the Amazon resolver:
    aws ec2 create-dhcp-options --region REGION --dhcp-configurations Key=domain-name-servers,Values=AmazonProvidedDNS
    aws ec2 associate-dhcp-options --region REGION --vpc-id VPC --dhcp-options-id DHCP_OPTIONS
Terraform, aws_vpc: enable_dns_support = true, enable_dns_hostnames = true; \
aws_vpc_dhcp_options: domain_name_servers = [\"AmazonProvidedDNS\"]
Your own name servers can stay if they forward the endpoint's name to the VPC's \
resolver, or to a Route 53 Resolver inbound endpoint.",
    reference: ENDPOINT_ACCESS,
    controls: &[],
    needs: &[Need::File(INTERFACES), Need::File(INSTANCES), Need::File(VPC), Need::File(DHCP_OPTIONS), Need::File(kubernetes::NODES), Need::Dns, Need::Nodes],
    without_evidence: WithoutEvidence::Inconclusive,
    steps,
    check,
};

fn check(facts: &Facts, _: &Expectations) -> Outcome {
    let evidence = &facts.evidence;
    match gaps::private_access(evidence) {
        Ok(true) => {}
        Ok(false) => return Outcome::pass(),
        Err(gap) => return Outcome::inconclusive(gap),
    }
    match &evidence.network.vpc {
        Observed::Seen(vpc) => check_vpc(facts, vpc),
        Observed::Unseen(gap) => Outcome::inconclusive(gap.clone()),
    }
}

fn check_vpc(facts: &Facts, vpc: &Vpc) -> Outcome {
    let evidence = &facts.evidence;
    let mut outcome = Outcome::pass();
    for (attribute, value) in
        [(Field::EnableDnsSupport, vpc.dns_support), (Field::EnableDnsHostnames, vpc.dns_hostnames)]
    {
        match value {
            Some(true) => {}
            Some(false) => {
                let message = format!("{} is off", attribute.name());
                outcome.findings.push(Finding::new(&vpc.id, message).of(attribute.name()));
            }
            None => {
                let detail = format!("whether {} is on is not recorded", attribute.name());
                outcome.gaps.push(evidence.gap(attribute, GapReason::NotRecorded, detail));
            }
        }
    }
    outcome.findings.extend(public_answers(facts));
    // What was observed outranks the setting: own name servers work where they forward to
    // the VPC's resolver.
    if facts.all_nodes_resolve_to_enis() {
        return outcome;
    }
    match evidence.name_servers(vpc) {
        Ok(servers) if servers.iter().any(|server| vpc.is_own_resolver(server)) => {}
        Ok(servers) => {
            let servers = if servers.is_empty() { "none".to_owned() } else { list(&servers) };
            let options = format!("its DHCP options lack AmazonProvidedDNS and name {servers}");
            let elsewhere = facts.nodes_that_resolve_elsewhere();
            let message = if elsewhere.is_empty() {
                format!(
                    "{options}: unless these forward the endpoint's name to the VPC's resolver, nodes resolve it to public addresses; this is a setting only: what every node resolves the name to was not seen"
                )
            } else {
                format!(
                    "{options}, and not every node resolves the name to EKS-owned ENIs: {}",
                    list(&elsewhere)
                )
            };
            let finding = Finding::new(&vpc.id, message).of(DHCP);
            outcome.findings.push(finding.at(Severity::Medium));
        }
        Err(gap) => outcome.gaps.push(gap),
    }
    outcome
}

/// The nodes in the VPC whose own answers have addresses of the public endpoint, whatever
/// the settings are.
fn public_answers(facts: &Facts) -> Vec<Finding> {
    let answer = |node: &Node| {
        let answer = facts.evidence.vantage(node.name.as_str())?.answer.seen()?;
        let is_public =
            |address: &&IpAddr| facts.endpoint_addresses.get(address) == Some(&Path::PublicEndpoint);
        let public: Vec<_> = answer.addresses.iter().filter(is_public).map(ToString::to_string).collect();
        (!public.is_empty()).then(|| list(&public))
    };
    let nodes = facts.nodes.iter().filter(|node| !facts.is_hybrid(&node.name));
    let findings = nodes.filter_map(|node| {
        let message = format!(
            "it resolves the endpoint's name to public addresses, {}, although private access is on: its next connection takes the public path, or fails if public access is off",
            answer(node)?
        );
        Some(Finding::new(node.name.as_str(), message).of("DNS answer").at(Severity::Medium))
    });
    findings.collect()
}

fn steps(facts: &Facts, _: &Expectations, findings: &[Finding]) -> Vec<Step> {
    let mut steps = steps::dns_attributes(facts);
    if findings.iter().any(|finding| finding.about.as_deref() == Some(DHCP)) {
        let text = "Make the name servers in the VPC's DHCP options forward the endpoint's name to the VPC's resolver or to a Route 53 Resolver inbound endpoint, or use AmazonProvidedDNS";
        steps.push(Step::new(text));
    }
    let is_changed = !steps.is_empty();
    steps.extend(steps::after_dns(facts, is_changed));
    steps
}
