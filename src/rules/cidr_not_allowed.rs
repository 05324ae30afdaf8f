use super::controls;
use super::text::ENDPOINT_ACCESS;
use super::{gaps, reach};
use crate::model::expectations::Expectations;
use crate::model::facts::Facts;
use crate::model::rule::{Finding, Outcome, Rule, Severity, Step, WithoutEvidence};
use crate::steps;

pub(super) static RULE: Rule = Rule {
    id: "cidr-not-allowed",
    severity: Severity::Medium,
    summary: "publicAccessCidrs contains a block that the policy does not list, or that has expired",
    why: "\
Each block in publicAccessCidrs stays open until someone removes it. With a list \
of allowed blocks in the policy, each with an owner, a reason and an expiry date, \
a block that was opened for an afternoon is reported the next morning. Without \
such a list this rule finds nothing.",
    remediation: "\
Remove the block and keep the others, or list it in eks-netcheck.toml as \
[[allowed-cidr]] with cidr, owner, reason and expires:
    aws eks update-cluster-config --region REGION --name CLUSTER --resources-vpc-config publicAccessCidrs=YOUR_CIDRS
    eksctl utils update-cluster-vpc-config --region REGION --cluster CLUSTER --public-access-cidrs YOUR_CIDRS --approve
Terraform, aws_eks_cluster: vpc_config { public_access_cidrs = [YOUR_CIDRS] }",
    reference: ENDPOINT_ACCESS,
    controls: &controls::ALLOWED_BLOCKS,
    needs: &[],
    without_evidence: WithoutEvidence::Inconclusive,
    steps,
    check,
};

fn check(facts: &Facts, expected: &Expectations) -> Outcome {
    let Some(allowed) = &expected.allowed else { return Outcome::pass() };
    let cluster = &facts.evidence.cluster;
    let cidrs = match gaps::public_cidrs(&facts.evidence) {
        Ok(cidrs) => cidrs,
        Err(gap) => return Outcome::inconclusive(gap),
    };
    let current: Vec<_> = allowed.iter().filter(|entry| !entry.is_expired).map(|entry| entry.cidr).collect();
    let current = reach::union(&current);
    let mut outcome = Outcome::pass();
    for cidr in cidrs.iter().filter(|cidr| !current.iter().any(|block| block.contains(*cidr))) {
        let expired = allowed.iter().find(|entry| entry.is_expired && entry.cidr.contains(cidr));
        let message = match expired {
            Some(entry) => format!(
                "publicAccessCidrs contains it, and the policy allowed it only until {} ({}: {})",
                entry.expires.as_deref().unwrap_or_default(),
                entry.owner,
                entry.reason
            ),
            None => "publicAccessCidrs contains it, and the policy does not list it".to_owned(),
        };
        let message = message + reach::assumed(&cluster.access);
        outcome.findings.push(Finding::new(cidr.to_string(), message));
    }
    outcome
}

fn steps(facts: &Facts, _: &Expectations, findings: &[Finding]) -> Vec<Step> {
    let refused: Vec<_> = findings.iter().map(|finding| finding.subject.as_str()).collect();
    let cidrs = facts.evidence.cluster.public_cidrs();
    let kept: Vec<_> =
        cidrs.iter().map(ToString::to_string).filter(|cidr| !refused.contains(&cidr.as_str())).collect();
    let blocks = if kept.is_empty() { "YOUR_CIDRS".to_owned() } else { kept.join(",") };
    let text = "Remove the block and keep the others, or list it in eks-netcheck.toml as [[allowed-cidr]] with cidr, owner, reason and expires";
    // Nodes may use the public endpoint by way of the block.
    let mut steps = steps::to_private_path(facts);
    steps.push(Step::new(text).command(steps::update(facts, &format!("publicAccessCidrs={blocks}"))));
    steps
}
