use super::{ENDPOINT_ACCESS, unseen};
use crate::model::cluster::{EndpointAccess, Hosting};
use crate::model::facts::Facts;
use crate::model::verdict::{Gap, GapReason, Outcome, Rule, Severity, shell_word};

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
    check,
};

fn check(facts: &Facts) -> Outcome {
    let required = &facts.expected.access;
    let cluster = &facts.evidence.cluster;
    if required.is_empty() {
        return Outcome::pass();
    }
    if cluster.hosting == Hosting::Connector {
        return Outcome::inconclusive(unseen::connector());
    }
    if matches!(cluster.access, EndpointAccess::Unknown { .. }) {
        return Outcome::inconclusive(Gap {
            what: "cluster.json: endpoint access".to_owned(),
            why: GapReason::NotRecorded,
            detail: "the recording does not say which ways are on".to_owned(),
            hint: format!(
                "record it anew with: aws eks describe-cluster --name {}",
                shell_word(&cluster.name, "CLUSTER")
            ),
        });
    }
    let mode = cluster.access.as_str();
    if required.iter().any(|allowed| allowed == mode) {
        return Outcome::pass();
    }
    Outcome::fail(
        cluster.subject(),
        format!("access is {mode}, and the policy requires {}", required.join(" or ")),
    )
}
