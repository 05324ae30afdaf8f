use std::collections::BTreeSet;

use super::gaps;
use super::text::NETWORK_REQUIREMENTS;
use crate::model::cluster::Hosting;
use crate::model::expectations::Expectations;
use crate::model::facts::Facts;
use crate::model::file::Field;
use crate::model::gap::{GapReason, Observed};
use crate::model::net::INTERFACES;
use crate::model::rule::{Finding, Need, Outcome, Rule, Severity, WithoutEvidence};

pub(super) static RULE: Rule = Rule {
    id: "control-plane-enis-missing",
    severity: Severity::Medium,
    summary: "Fewer than two EKS-owned ENIs were seen, or all in one availability zone",
    why: "\
EKS keeps two to four network interfaces in the cluster's subnets, in at least two \
availability zones, in every access mode. The control plane reaches the nodes \
through them, and nodes reach a private endpoint through them. With fewer, the \
loss of one zone takes exec, logs and webhooks with it, and an upgrade can fail \
for lack of free addresses. If none was seen, they are hidden or the recording is \
of another VPC; it does not mean that there are none.",
    remediation: "\
List the interfaces, and the free addresses of the subnets (at least 6, better 16):
    aws ec2 describe-network-interfaces --region REGION --filters \"Name=description,Values=Amazon EKS CLUSTER\" --include-managed-resources
    aws ec2 describe-subnets --region REGION --filters Name=vpc-id,Values=VPC --query 'Subnets[].[SubnetId,AvailabilityZone,AvailableIpAddressCount]'
Add subnets in a second zone to the cluster:
    aws eks update-cluster-config --region REGION --name CLUSTER --resources-vpc-config subnetIds=SUBNET_A,SUBNET_B
Terraform, aws_eks_cluster: vpc_config { subnet_ids = [...] }",
    reference: NETWORK_REQUIREMENTS,
    controls: &[],
    needs: &[Need::File(INTERFACES)],
    without_evidence: WithoutEvidence::Inconclusive,
    steps: |_, _, _| Vec::new(),
    check,
};

/// What can be lacking, each with what comes before it.
const LACKING: [&str; 3] = ["a second zone", "a second ENI", "any ENI"];

fn check(facts: &Facts, _: &Expectations) -> Outcome {
    let cluster = &facts.evidence.cluster;
    match cluster.hosting {
        Hosting::Connector => return Outcome::inconclusive(gaps::connector(&facts.evidence)),
        Hosting::Outposts => return Outcome::inconclusive(gaps::outposts(&facts.evidence)),
        Hosting::Region => {}
    }
    if cluster.endpoint.is_none() {
        // EKS creates the interfaces together with the endpoint.
        return Outcome {
            gaps: gaps::endpoint_addresses(&facts.evidence).into_iter().collect(),
            ..Outcome::pass()
        };
    }
    if let Observed::Unseen(gap) = &facts.evidence.network.interfaces {
        return Outcome::inconclusive(gap.clone());
    }
    let owned: Vec<_> = facts.eks_owned().map(|known| &known.interface).collect();
    let zones: BTreeSet<_> = owned.iter().map(|interface| interface.zone.as_str()).collect();
    let zones: Vec<_> = zones.into_iter().collect();
    match (owned.as_slice(), zones.as_slice()) {
        ([], _) => Finding::new(
            cluster.subject(),
            "no EKS-owned ENI was seen: they are hidden, the recording is of another VPC, or a permission was missing",
        )
        .over(LACKING)
        .into(),
        ([only], _) => {
            Finding::new(cluster.subject(), format!("only one EKS-owned ENI was seen, {}", only.id))
                .over(&LACKING[..2])
                .into()
        }
        (_, zones) if zones.contains(&"") => {
            let detail = "the zone of an EKS-owned ENI is not recorded";
            Outcome::inconclusive(facts.evidence.gap(Field::AvailabilityZone, GapReason::Incomplete, detail))
        }
        (all, [zone]) => {
            Finding::new(cluster.subject(), format!("all {} EKS-owned ENIs are in {zone}", all.len()))
                .over(&LACKING[..1])
                .into()
        }
        _ => Outcome::pass(),
    }
}
