use super::controls;
use super::text::{ENDPOINT_ACCESS, list};
use super::{gaps, reach};
use crate::model::expectations::Expectations;
use crate::model::facts::Facts;
use crate::model::rule::{Finding, Outcome, Rule, Severity, Step, WithoutEvidence};
use crate::steps;

pub(super) static RULE: Rule = Rule {
    id: "public-endpoint-enabled",
    severity: Severity::Medium,
    summary: "The public endpoint is on, limited to some CIDR blocks",
    why: "\
The API server is reachable from outside the VPC, though not from everywhere. Each \
allowed block stays open until someone removes it: offices move, and an address \
that was opened for one CI run is rarely closed again.",
    remediation: "\
Nodes and CI jobs that still use the public endpoint lose the API server when it is \
closed. First make sure that no node uses it (node-on-public-path). Then, if everyone \
who needs the API server can reach the VPC (VPN, Direct Connect, a bastion, Session \
Manager), close it:
    aws eks update-cluster-config --region REGION --name CLUSTER --resources-vpc-config endpointPublicAccess=false,endpointPrivateAccess=true
    eksctl utils update-cluster-vpc-config --region REGION --cluster CLUSTER --public-access=false --private-access=true --approve
Terraform, aws_eks_cluster: vpc_config { endpoint_public_access = false, endpoint_private_access = true }",
    reference: ENDPOINT_ACCESS,
    controls: controls::PUBLIC_ACCESS,
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
    if cidrs.is_empty() || reach::open_blocks(&cidrs, expected).is_some() {
        return Outcome::pass();
    }
    let blocks: Vec<_> = cidrs.iter().map(ToString::to_string).collect();
    let message = format!("{} can reach the endpoint over the internet", list(&blocks));
    Finding::new(cluster.subject(), message + reach::assumed(&cluster.access)).over(blocks).into()
}

fn steps(facts: &Facts, _: &Expectations, _: &[Finding]) -> Vec<Step> {
    let mut steps = steps::to_private_path(facts);
    steps.push(steps::close(facts));
    steps
}
