use std::net::IpAddr;

use ipnet::IpNet;

use super::{ENDPOINT_ACCESS, unseen};
use crate::model::evidence::{Evidence, Observed};
use crate::model::facts::Facts;
use crate::model::gap::{Gap, GapReason};
use crate::model::net::Vpc;
use crate::model::rule::{Finding, Outcome, Rule, Severity};
use crate::model::shell::shell_word;

pub(super) static RULE: Rule = Rule {
    id: "private-dns-unavailable",
    severity: Severity::High,
    summary: "Private access is on, but the VPC's DNS cannot answer with the private addresses",
    why: "\
EKS publishes the private addresses in a private hosted zone that only the VPC's \
own resolver knows. Without enableDnsSupport and enableDnsHostnames, or with DHCP \
options that hand out other name servers, nodes resolve the endpoint to its public \
addresses and take the public path, or lose the API server once that is closed.",
    remediation: "\
Turn on what is off:
    aws ec2 modify-vpc-attribute --region REGION --vpc-id VPC --enable-dns-support
    aws ec2 modify-vpc-attribute --region REGION --vpc-id VPC --enable-dns-hostnames
Give the VPC a DHCP option set with its own resolver:
    aws ec2 create-dhcp-options --region REGION --dhcp-configurations Key=domain-name-servers,Values=AmazonProvidedDNS
    aws ec2 associate-dhcp-options --region REGION --vpc-id VPC --dhcp-options-id DHCP_OPTIONS
Terraform, aws_vpc: enable_dns_support = true, enable_dns_hostnames = true; \
aws_vpc_dhcp_options: domain_name_servers = [\"AmazonProvidedDNS\"]
Own name servers may stay if they forward the endpoint's name to the VPC's \
resolver, or through a Route 53 Resolver inbound endpoint.",
    reference: ENDPOINT_ACCESS,
    check,
};

fn check(facts: &Facts) -> Outcome {
    let evidence = &facts.evidence;
    match unseen::private_access(&evidence.cluster) {
        Ok(true) => {}
        Ok(false) => return Outcome::pass(),
        Err(gap) => return Outcome::inconclusive(gap),
    }
    match &evidence.vpc {
        Observed::Seen(vpc) => check_vpc(evidence, vpc),
        Observed::Unseen(gap) => Outcome::inconclusive(gap.clone()),
    }
}

/// Why an attribute is not known, as whoever asked for it says.
fn unseen_attribute(evidence: &Evidence, vpc: &Vpc, attribute: &str) -> Gap {
    let what = format!("vpc.json: {attribute}");
    let told = evidence.gaps.iter().find(|gap| gap.what == what).cloned();
    told.unwrap_or_else(|| Gap {
        what,
        why: GapReason::NotRecorded,
        detail: format!("whether {attribute} is on is not in the evidence directory"),
        hint: format!(
            "record it with: aws ec2 describe-vpc-attribute --vpc-id {} --attribute {attribute}",
            shell_word(&vpc.id, "VPC")
        ),
    })
}

fn check_vpc(evidence: &Evidence, vpc: &Vpc) -> Outcome {
    let mut outcome = Outcome::pass();
    for (attribute, value) in
        [("enableDnsSupport", vpc.dns_support), ("enableDnsHostnames", vpc.dns_hostnames)]
    {
        match value {
            Some(true) => {}
            Some(false) => {
                outcome.findings.push(Finding::new(&vpc.id, format!("{attribute} is off")).of(attribute));
            }
            None => outcome.gaps.push(unseen_attribute(evidence, vpc, attribute)),
        }
    }
    match name_servers(evidence, vpc) {
        Ok(servers) if servers.iter().any(|server| is_amazons(server, vpc)) => {}
        Ok(servers) => {
            let servers = if servers.is_empty() { "none".to_owned() } else { super::list(&servers) };
            let message = format!(
                "its DHCP options lack AmazonProvidedDNS and name {servers}: unless these forward the endpoint's name to the VPC's resolver, nodes get public addresses"
            );
            outcome.findings.push(Finding::new(&vpc.id, message).of("DHCP options"));
        }
        Err(gap) => outcome.gaps.push(gap),
    }
    outcome
}

/// Whether a name server is the VPC's own resolver, by name or by one of its
/// addresses: two fixed ones, and the VPC's base address plus two.
///
/// <https://docs.aws.amazon.com/vpc/latest/userguide/AmazonDNS-concepts.html>
fn is_amazons(server: &str, vpc: &Vpc) -> bool {
    let base_plus_two = |block: &IpNet| match block.network() {
        IpAddr::V4(base) => Some(IpAddr::V4((u32::from(base).checked_add(2)?).into())),
        IpAddr::V6(_) => None,
    };
    match server.parse::<IpAddr>() {
        Ok(address) => {
            server == "169.254.169.253"
                || server == "fd00:ec2::253"
                || vpc.cidrs.iter().filter_map(base_plus_two).any(|own| own == address)
        }
        Err(_) => server == "AmazonProvidedDNS",
    }
}

/// The name servers that the VPC's DHCP options hand out.
fn name_servers(evidence: &Evidence, vpc: &Vpc) -> Result<Vec<String>, Gap> {
    let id = vpc.dhcp_options.as_deref();
    // `default` stands for no option set at all.
    if id == Some("default") {
        return Ok(Vec::new());
    }
    let all = evidence.dhcp_options.as_result()?;
    let options = match (id, all.as_slice()) {
        (Some(id), all) => all.iter().find(|options| options.id == id),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    options.map(|options| options.dns_servers.clone()).ok_or_else(|| Gap {
        what: "dhcp-options.json".to_owned(),
        why: GapReason::Incomplete,
        detail: format!(
            "the VPC's DHCP option set {} is not in it",
            id.unwrap_or("(not recorded in vpc.json)")
        ),
        hint: "record it with: aws ec2 describe-dhcp-options".to_owned(),
    })
}
