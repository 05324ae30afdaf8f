use super::controls;
use super::gaps;
use super::text::ENDPOINT_ACCESS;
use crate::model::access::AccessMode;
use crate::model::cluster::Hosting;
use crate::model::expectations::Expectations;
use crate::model::facts::Facts;
use crate::model::file::Field;
use crate::model::gap::GapReason;
use crate::model::rule::{Finding, Outcome, Rule, Severity, Step, WithoutEvidence};
use crate::steps;

pub(super) static RULE: Rule = Rule {
    id: "access-mode-not-allowed",
    severity: Severity::High,
    summary: "The endpoint's access mode is not one that the policy allows",
    why: "\
An EKS endpoint is public, public-and-private or private, and the owners of a \
cluster decide which of these modes it may have. Without endpoint.access in the \
policy this rule finds nothing.",
    remediation: "\
If private access is off, turn it on first (private-endpoint-disabled). Turn public \
access off only when no node uses the public endpoint (node-on-public-path):
    aws eks update-cluster-config --region REGION --name CLUSTER --resources-vpc-config endpointPublicAccess=false,endpointPrivateAccess=true
    eksctl utils update-cluster-vpc-config --region REGION --cluster CLUSTER --public-access=false --private-access=true --approve
Terraform, aws_eks_cluster: vpc_config { endpoint_public_access = false, endpoint_private_access = true }",
    reference: ENDPOINT_ACCESS,
    controls: &controls::SETTINGS,
    needs: &[],
    without_evidence: WithoutEvidence::Inconclusive,
    steps,
    check,
};

fn check(facts: &Facts, expected: &Expectations) -> Outcome {
    let Some(required) = &expected.access else { return Outcome::pass() };
    let cluster = &facts.evidence.cluster;
    if cluster.hosting == Hosting::Connector {
        return Outcome::inconclusive(gaps::connector(&facts.evidence));
    }
    // One flag that is known may be enough to decide.
    let possible = AccessMode::possible(&cluster.access).into_iter();
    let (allowed, others): (Vec<_>, Vec<_>) = possible.partition(|mode| required.contains(mode));
    if !others.is_empty() && allowed.is_empty() {
        let mode: Vec<_> = others.iter().map(|mode| mode.as_str()).collect();
        let required: Vec<_> = required.iter().map(|mode| mode.as_str()).collect();
        let message = format!(
            "the access mode is {}, and the policy allows {}",
            mode.join(" or "),
            required.join(" or ")
        );
        return Finding::new(cluster.subject(), message).over(mode).into();
    }
    if !allowed.is_empty() && others.is_empty() {
        return Outcome::pass();
    }
    let detail = "which access modes are on is not recorded";
    Outcome::inconclusive(facts.evidence.gap(Field::EndpointAccess, GapReason::NotRecorded, detail))
}

/// The steps to the allowed mode that is nearest to the present one. The owners of the
/// cluster decide on a mode that is less private.
fn steps(facts: &Facts, expected: &Expectations, _: &[Finding]) -> Vec<Step> {
    let access = &facts.evidence.cluster.access;
    let allows = |mode| expected.access.as_ref().is_some_and(|modes| modes.contains(&mode));
    let is_public_only = access.public() == Some(true) && access.private() == Some(false);
    if is_public_only && allows(AccessMode::PublicAndPrivate) {
        return steps::to_private_path(facts);
    }
    if access.public() == Some(false) || !allows(AccessMode::Private) {
        let modes: Vec<_> = expected.access.iter().flatten().map(|mode| mode.as_str()).collect();
        let text = format!(
            "Decide between the access mode that the cluster has and the policy: change the mode to {}, or add the present one to endpoint.access in eks-netcheck.toml",
            modes.join(" or ")
        );
        return vec![Step::new(text)];
    }
    steps::to_private_path(facts).into_iter().chain([steps::close(facts)]).collect()
}
