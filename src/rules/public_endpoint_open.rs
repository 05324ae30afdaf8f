use super::controls;
use super::gaps;
use super::reach::{self, Open};
use super::text::{ENDPOINT_ACCESS, list};
use crate::model::expectations::Expectations;
use crate::model::facts::Facts;
use crate::model::rule::{Finding, Outcome, Rule, Severity, Step, WithoutEvidence};
use crate::steps;

pub(super) static RULE: Rule = Rule {
    id: "public-endpoint-open",
    severity: Severity::High,
    summary: "The public endpoint is on, and the internet at large may reach it",
    why: "\
Anyone on the internet can open a connection to the API server. Authentication is \
then the only protection: a flaw in it, a leaked token, or an API that admits \
anonymous requests is enough. The CIDR blocks are judged as a union: 0.0.0.0/1 and \
128.0.0.0/1 together are 0.0.0.0/0, and an empty list means 0.0.0.0/0. A block \
wider than /8 (IPv6: /32), or than the policy allows, counts as the internet; so do \
blocks that together have four times as many addresses, and for IPv4 at least 2^26.",
    remediation: concat!(
        "\
Keep this order, or the nodes are locked out. If private access is off, turn it on, \
and wait until the update has ended, as eksctl does by itself:
    ",
        steps::update_and_wait!(" --region REGION", "CLUSTER", "endpointPrivateAccess=true"),
        "
    eksctl utils update-cluster-vpc-config --region REGION --cluster CLUSTER --private-access=true --approve
Wait until the endpoint's name answers with private addresses on every node, some \
8 to 15 minutes, and restart kubelet and kube-proxy there (node-on-public-path). Then \
limit the public endpoint to the addresses that need it, such as an office and a VPN:
    aws eks update-cluster-config --region REGION --name CLUSTER --resources-vpc-config publicAccessCidrs=YOUR_CIDRS
    eksctl utils update-cluster-vpc-config --region REGION --cluster CLUSTER --public-access-cidrs YOUR_CIDRS --approve
Terraform, aws_eks_cluster: vpc_config { endpoint_private_access = true }, and in a \
later apply public_access_cidrs = [YOUR_CIDRS]."
    ),
    reference: ENDPOINT_ACCESS,
    controls: &controls::OPEN_ACCESS,
    needs: &[],
    without_evidence: WithoutEvidence::Inconclusive,
    steps,
    check,
};

fn check(facts: &Facts, expected: &Expectations) -> Outcome {
    let cluster = &facts.evidence.cluster;
    let cidrs = match gaps::public_cidrs(&facts.evidence) {
        Ok(cidrs) => cidrs,
        Err(gap) => return Outcome::inconclusive(gap),
    };
    let Some(Open { blocks: open, addresses }) = reach::open_blocks(&cidrs, expected) else {
        return Outcome::pass();
    };
    let given = cluster.access.cidrs();
    let blocks = list(&open.iter().map(ToString::to_string).collect::<Vec<_>>());
    let message = if given.is_empty() {
        "anyone on the internet can reach the endpoint: publicAccessCidrs has no block, which means 0.0.0.0/0"
            .to_owned()
    } else if let Some(addresses) = addresses {
        format!(
            "anyone in {blocks} can reach the endpoint: the {} blocks of publicAccessCidrs together have {} addresses",
            open.len(),
            grouped(addresses)
        )
    } else if open.iter().all(|block| given.contains(block)) {
        format!("anyone in {blocks} can reach the endpoint")
    } else {
        format!(
            "anyone in {blocks} can reach the endpoint: that is the union of the {} blocks of publicAccessCidrs",
            given.len()
        )
    };
    // Narrower blocks are a part of it: no other rule has a finding about them.
    Finding::new(cluster.subject(), message + reach::assumed(&cluster.access)).over(cidrs).into()
}

/// A number with its digits in groups of three.
fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn steps(facts: &Facts, expected: &Expectations, _: &[Finding]) -> Vec<Step> {
    let mut steps = steps::to_private_path(facts);
    // Narrower blocks would still be a finding.
    steps.push(if expected.private_only { steps::close(facts) } else { steps::narrow(facts) });
    steps
}
