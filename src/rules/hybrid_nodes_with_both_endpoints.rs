use super::gaps;
use super::text::list;
use crate::model::cluster::Hosting;
use crate::model::expectations::Expectations;
use crate::model::facts::Facts;
use crate::model::file::Field;
use crate::model::gap::GapReason;
use crate::model::rule::{Finding, Outcome, Rule, Severity, Step, WithoutEvidence};
use crate::steps;

pub(super) static RULE: Rule = Rule {
    id: "hybrid-nodes-with-both-endpoints",
    severity: Severity::Medium,
    summary: "Remote networks of hybrid nodes are declared, and both endpoints are on",
    why: "\
Outside the VPC the endpoint's name resolves to its public addresses while both \
endpoints are on. Hybrid nodes then leave the private connection to the VPC, or fail to \
join if publicAccessCidrs does not contain them. AWS requires either public or private \
access for clusters with hybrid nodes, not both.",
    remediation: "\
Choose one endpoint. Private only, if the network of the hybrid nodes resolves the name \
by the VPC (a Route 53 Resolver inbound endpoint) and no one needs the public one:
    aws eks update-cluster-config --region REGION --name CLUSTER --resources-vpc-config endpointPublicAccess=false,endpointPrivateAccess=true
    eksctl utils update-cluster-vpc-config --region REGION --cluster CLUSTER --public-access=false --private-access=true --approve
Or public only, if publicAccessCidrs contains the egress addresses of all nodes.
Terraform, aws_eks_cluster: vpc_config { endpoint_public_access = false, endpoint_private_access = true }",
    reference: "https://docs.aws.amazon.com/eks/latest/userguide/hybrid-nodes-networking.html",
    controls: &[],
    needs: &[],
    without_evidence: WithoutEvidence::NotJudged,
    steps,
    check,
};

fn check(facts: &Facts, _: &Expectations) -> Outcome {
    let evidence = &facts.evidence;
    let cluster = &evidence.cluster;
    let networks = cluster.remote_node_networks.iter().chain(&cluster.remote_pod_networks);
    let networks: Vec<_> = networks.map(ToString::to_string).collect();
    if !cluster.hybrid_nodes_enabled && networks.is_empty() {
        return Outcome::pass();
    }
    if cluster.hosting == Hosting::Connector {
        return Outcome::inconclusive(gaps::connector(evidence));
    }
    match (cluster.access.public(), cluster.access.private()) {
        (Some(true), Some(true)) => {
            let networks = if networks.is_empty() { "declared".to_owned() } else { list(&networks) };
            let message = format!(
                "public and private access are on, and the remote networks of hybrid nodes are {networks}: there the endpoint resolves to its public addresses"
            );
            Outcome::fail(cluster.subject(), message)
        }
        (Some(false), _) | (_, Some(false)) => Outcome::pass(),
        _ => {
            let detail = "whether both endpoints are on is not recorded";
            Outcome::inconclusive(evidence.gap(Field::EndpointAccess, GapReason::NotRecorded, detail))
        }
    }
}

fn steps(facts: &Facts, _: &Expectations, _: &[Finding]) -> Vec<Step> {
    steps::after_private_access(facts).into_iter().chain([steps::close(facts)]).collect()
}
