//! The calls of EC2 that evidence is made of, each a permission of its own.

use serde::Serialize;

/// What a file of the evidence directory takes.
#[derive(Debug)]
pub struct Call {
    /// The file.
    pub file: &'static str,
    /// The aws CLI's command, less `aws ec2`; `VPC` stands for the VPC's id.
    pub command: &'static str,
    /// The IAM actions.
    pub actions: &'static [&'static str],
}

/// The files that are answers of EC2.
pub static CALLS: [Call; 8] =
    [INTERFACES, INSTANCES, VPC, SUBNETS, DHCP_OPTIONS, NAT_GATEWAYS, ROUTE_TABLES, SECURITY_GROUPS];

/// Every network interface of the VPC.
pub const INTERFACES: Call = Call {
    file: "network-interfaces.json",
    command: "describe-network-interfaces --filters Name=vpc-id,Values=VPC --include-managed-resources",
    actions: &["ec2:DescribeNetworkInterfaces"],
};
/// The cluster's nodes.
pub const INSTANCES: Call = Call {
    file: "instances.json",
    command: "describe-instances --filters Name=vpc-id,Values=VPC",
    actions: &["ec2:DescribeInstances"],
};
/// The VPC and its two DNS attributes.
pub const VPC: Call = Call {
    file: "vpc.json",
    command: "describe-vpcs --vpc-ids VPC, and beside Vpcs what describe-vpc-attribute prints for enableDnsSupport and enableDnsHostnames",
    actions: &["ec2:DescribeVpcs", DESCRIBE_VPC_ATTRIBUTE],
};
/// The VPC's subnets.
pub const SUBNETS: Call = Call {
    file: "subnets.json",
    command: "describe-subnets --filters Name=vpc-id,Values=VPC",
    actions: &["ec2:DescribeSubnets"],
};
/// The region's DHCP option sets.
pub const DHCP_OPTIONS: Call = Call {
    file: "dhcp-options.json",
    command: "describe-dhcp-options",
    actions: &["ec2:DescribeDhcpOptions"],
};
/// The VPC's NAT gateways.
pub const NAT_GATEWAYS: Call = Call {
    file: "nat-gateways.json",
    command: "describe-nat-gateways --filter Name=vpc-id,Values=VPC",
    actions: &["ec2:DescribeNatGateways"],
};
/// The VPC's route tables.
pub const ROUTE_TABLES: Call = Call {
    file: "route-tables.json",
    command: "describe-route-tables --filters Name=vpc-id,Values=VPC",
    actions: &["ec2:DescribeRouteTables"],
};
/// The VPC's security groups.
pub const SECURITY_GROUPS: Call = Call {
    file: "security-groups.json",
    command: "describe-security-groups --filters Name=vpc-id,Values=VPC",
    actions: &["ec2:DescribeSecurityGroups"],
};

/// The action of the VPC's two DNS attributes.
pub const DESCRIBE_VPC_ATTRIBUTE: &str = "ec2:DescribeVpcAttribute";
/// The action without which there is nothing to judge.
pub const DESCRIBE_CLUSTER: &str = "eks:DescribeCluster";
/// The action that tells which clusters there are, for all of them and when one
/// is not.
pub const LIST_CLUSTERS: &str = "eks:ListClusters";
/// The action that tells which regions there are, for all of them.
pub const DESCRIBE_REGIONS: &str = "ec2:DescribeRegions";

/// An IAM policy, its keys in the order that AWS's own have.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct IamPolicy {
    version: &'static str,
    statement: [Statement; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    sid: &'static str,
    effect: &'static str,
    action: Vec<&'static str>,
    resource: &'static str,
}

/// The least IAM policy that all calls need. EC2 knows no narrower resource for
/// its Describe actions, and `ListClusters` none either.
///
/// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html>
#[must_use]
pub fn iam_policy() -> IamPolicy {
    let mut action = vec![DESCRIBE_CLUSTER, LIST_CLUSTERS, DESCRIBE_REGIONS];
    action.extend(CALLS.iter().flat_map(|call| call.actions));
    action.sort_unstable();
    let statement = Statement { sid: "EksNetcheck", effect: "Allow", action, resource: "*" };
    IamPolicy { version: "2012-10-17", statement: [statement] }
}
