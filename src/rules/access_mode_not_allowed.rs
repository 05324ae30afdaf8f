use super::{ENDPOINT_ACCESS, gaps};
use crate::model::cluster::Hosting;
use crate::model::expectations::{AccessMode, Expectations};
use crate::model::facts::Facts;
use crate::model::file::Field;
use crate::model::gap::GapReason;
use crate::model::rule::{Outcome, Rule, Severity};

pub(super) static RULE: Rule = Rule {
    id: "access-mode-not-allowed",
    severity: Severity::High,
    summary: "The endpoint's access is not of a mode that the policy requires",
    why: "\
Public, public-and-private and private are the three ways to reach an EKS \
endpoint, and which of them a cluster may have is for its owners to say. Without \
endpoint.access in the policy nothing is judged.",
    remediation: "\
Turn private access on before public access goes off, and see first that no node \
uses the public endpoint (node-on-public-path):
    aws eks update-cluster-config --region REGION --name CLUSTER --resources-vpc-config endpointPublicAccess=false,endpointPrivateAccess=true
    eksctl utils update-cluster-vpc-config --region REGION --cluster CLUSTER --public-access=false --private-access=true --approve
Terraform, aws_eks_cluster: vpc_config { endpoint_public_access = false, endpoint_private_access = true }",
    reference: ENDPOINT_ACCESS,
    needs: &[],
    check,
};

fn check(facts: &Facts, expected: &Expectations) -> Outcome {
    let Some(required) = &expected.access else { return Outcome::pass() };
    let cluster = &facts.evidence.cluster;
    if cluster.hosting == Hosting::Connector {
        return Outcome::inconclusive(gaps::connector(&facts.evidence));
    }
    // One way that is known may be enough to tell.
    let possible = AccessMode::ALL.into_iter().filter(|mode| mode.may_be(&cluster.access));
    let (allowed, others): (Vec<_>, Vec<_>) = possible.partition(|mode| required.contains(mode));
    if !others.is_empty() && allowed.is_empty() {
        let mode: Vec<_> = others.iter().map(|mode| mode.as_str()).collect();
        let required: Vec<_> = required.iter().map(|mode| mode.as_str()).collect();
        let message =
            format!("access is {}, and the policy requires {}", mode.join(" or "), required.join(" or "));
        return Outcome::fail(cluster.subject(), message);
    }
    if !allowed.is_empty() && others.is_empty() {
        return Outcome::pass();
    }
    let detail = "which access modes are on is not recorded";
    Outcome::inconclusive(facts.evidence.gap(Field::EndpointAccess, GapReason::NotRecorded, detail))
}
