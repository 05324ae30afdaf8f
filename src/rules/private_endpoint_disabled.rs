use super::controls;
use super::gaps;
use super::text::ENDPOINT_ACCESS;
use crate::model::expectations::Expectations;
use crate::model::facts::Facts;
use crate::model::rule::{Finding, Outcome, Rule, Severity, Step, WithoutEvidence};
use crate::steps;

pub(super) static RULE: Rule = Rule {
    id: "private-endpoint-disabled",
    severity: Severity::Medium,
    summary: "The private endpoint is off: node traffic to the API server leaves the VPC",
    why: "\
Without the private endpoint, the cluster's name resolves to public addresses \
everywhere, so kubelet and kube-proxy leave the VPC through an internet gateway or \
a NAT gateway to reach their own control plane. That costs NAT traffic, makes node \
health depend on a gateway, and lets a change of publicAccessCidrs lock the nodes \
out.",
    remediation: "\
Turn it on. The update takes some minutes and interrupts no connection:
    aws eks update-cluster-config --region REGION --name CLUSTER --resources-vpc-config endpointPrivateAccess=true
    eksctl utils update-cluster-vpc-config --region REGION --cluster CLUSTER --private-access=true --approve
Terraform, aws_eks_cluster: vpc_config { endpoint_private_access = true }
Running kubelets and kube-proxies keep their old connections until they are \
restarted; the endpoint's name resolves to private addresses some minutes later.",
    reference: ENDPOINT_ACCESS,
    controls: &controls::PRIVATE_ACCESS,
    needs: &[],
    without_evidence: WithoutEvidence::Inconclusive,
    steps,
    check,
};

fn check(facts: &Facts, _: &Expectations) -> Outcome {
    let cluster = &facts.evidence.cluster;
    match gaps::private_access(&facts.evidence) {
        Ok(true) => Outcome::pass(),
        Ok(false) => Outcome::fail(
            cluster.subject(),
            "private access is off, so nodes reach the API server over the public endpoint",
        ),
        Err(gap) => Outcome::inconclusive(gap),
    }
}

fn steps(facts: &Facts, _: &Expectations, _: &[Finding]) -> Vec<Step> {
    let mut steps = steps::to_private_path(facts);
    if steps::has_hybrid_nodes(facts) {
        steps.push(steps::close(facts));
    }
    steps
}
