use super::blocked::{self, Traffic};
use super::gaps;
use super::text::SECURITY_GROUP_REQUIREMENTS;
use crate::model::cluster::Hosting;
use crate::model::expectations::Expectations;
use crate::model::facts::Facts;
use crate::model::net::{INSTANCES, INTERFACES, SECURITY_GROUPS};
use crate::model::reach::RuleSide;
use crate::model::rule::{Need, Outcome, Rule, Severity, WithoutEvidence};

pub(super) static RULE: Rule = Rule {
    id: "security-group-blocks-kubelet",
    severity: Severity::High,
    summary: "No security group of a node admits TCP 10250 from the EKS-owned ENIs",
    why: "\
In every access mode the control plane connects to port 10250 of the kubelet from the \
EKS-owned ENIs. If the security groups of the node do not admit it, or those of the \
ENIs do not let it out, kubectl exec, logs, attach and port-forward to the pods of the \
node time out, while the node is Ready.",
    remediation: "\
Add the rule that the finding names. GROUP is the group to which it is added, and the \
source is the security group of the EKS-owned ENIs:
    aws ec2 authorize-security-group-ingress --region REGION --group-id GROUP --protocol tcp --port 10250 --source-group SECURITY_GROUP
If an outbound rule is missing, GROUP is a group of the EKS-owned ENIs, and NODE_GROUP \
one of the node:
    aws ec2 authorize-security-group-egress --region REGION --group-id GROUP --ip-permissions 'IpProtocol=tcp,FromPort=10250,ToPort=10250,UserIdGroupPairs=[{GroupId=NODE_GROUP}]'
Terraform, aws_vpc_security_group_ingress_rule: from_port = 10250, to_port = 10250, \
ip_protocol = \"tcp\", security_group_id and referenced_security_group_id",
    reference: SECURITY_GROUP_REQUIREMENTS,
    controls: &[],
    needs: &[Need::File(INTERFACES), Need::File(INSTANCES), Need::File(SECURITY_GROUPS), Need::Nodes],
    without_evidence: WithoutEvidence::NotJudged,
    steps: |facts, _, _| blocked::steps(facts, &TRAFFIC),
    check,
};

/// The traffic that the rule is about.
const TRAFFIC: Traffic = Traffic {
    of: |node| &node.kubelet,
    node_side: RuleSide::Inbound,
    consequence: "kubectl exec, logs and port-forward time out",
};

fn check(facts: &Facts, _: &Expectations) -> Outcome {
    match facts.evidence.cluster.hosting {
        Hosting::Connector => return Outcome::inconclusive(gaps::connector(&facts.evidence)),
        Hosting::Outposts => return Outcome::inconclusive(gaps::outposts(&facts.evidence)),
        Hosting::Region => {}
    }
    blocked::check(facts, &TRAFFIC)
}
