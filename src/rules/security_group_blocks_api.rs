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
    id: "security-group-blocks-api",
    severity: Severity::High,
    summary: "Private access is on, and no security group of the EKS-owned ENIs admits TCP 443 from a node",
    why: "\
With private access on, the endpoint's name resolves to the EKS-owned ENIs inside the \
VPC. If their security groups do not admit port 443 from the node, or those of the \
node do not let it out, the connections of kubelet and kube-proxy hang, and the node \
becomes NotReady or never joins.",
    remediation: "\
Add the rule that the finding names. GROUP is the group to which it is added, most \
often the cluster security group, and NODE_GROUP a group of the node:
    aws ec2 authorize-security-group-ingress --region REGION --group-id GROUP --protocol tcp --port 443 --source-group NODE_GROUP
If an outbound rule is missing, GROUP is a group of the node, and the destination the \
security group of the EKS-owned ENIs:
    aws ec2 authorize-security-group-egress --region REGION --group-id GROUP --ip-permissions 'IpProtocol=tcp,FromPort=443,ToPort=443,UserIdGroupPairs=[{GroupId=SECURITY_GROUP}]'
Terraform, aws_vpc_security_group_ingress_rule: from_port = 443, to_port = 443, \
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
    of: |node| &node.api,
    node_side: RuleSide::Outbound,
    consequence: "connections to the API server hang",
};

fn check(facts: &Facts, _: &Expectations) -> Outcome {
    match gaps::private_access(&facts.evidence) {
        Ok(true) => {}
        Ok(false) => return Outcome::pass(),
        Err(gap) => return Outcome::inconclusive(gap),
    }
    if facts.evidence.cluster.hosting == Hosting::Outposts {
        return Outcome::inconclusive(gaps::outposts(&facts.evidence));
    }
    blocked::check(facts, &TRAFFIC)
}
