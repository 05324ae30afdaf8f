//! The answers of AWS, in the shapes that the aws CLI prints. Each shape is one struct,
//! which `collect` writes and the evidence directory is read with. Fields that are
//! recorded for people alone are not deserialized. Other keys are ignored; keys that are
//! absent stay unknown.
//!
//! <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/>

#![expect(clippy::struct_field_names, reason = "the fields have AWS's names")]

pub mod eks;
pub mod iam;
pub(crate) mod instances;
pub(crate) mod interfaces;
pub(crate) mod list;
pub(crate) mod network_acls;
pub(crate) mod routes;
pub(crate) mod security_groups;
pub mod ssm;
pub(crate) mod vpc;

pub use instances::parse_instances;
pub use interfaces::parse_interfaces;
pub use network_acls::parse_network_acls;
pub use routes::{parse_nat_gateways, parse_route_tables};
pub use security_groups::parse_security_groups;
pub use vpc::{parse_dhcp_options, parse_subnets, parse_vpc};

use std::borrow::Cow;

use super::json::JsonError;
use crate::model::file::File;
use crate::model::gap::{Gap, Observed};
use crate::model::net::{
    DHCP_OPTIONS, INSTANCES, INTERFACES, NAT_GATEWAYS, NETWORK_ACLS, Network, ROUTE_TABLES, SECURITY_GROUPS,
    SUBNETS, VPC,
};

/// A call of EC2 that makes a file of the evidence directory.
#[derive(Debug)]
pub struct Call {
    /// The file.
    pub file: File,
    /// The aws CLI's command without `aws ec2`; `VPC` stands for the VPC's id.
    pub command: &'static str,
    /// The IAM actions.
    pub actions: &'static [&'static str],
}

/// The calls of EC2, one for each file.
pub static CALLS: [Call; 9] = [
    Call {
        file: INTERFACES,
        command: "describe-network-interfaces --filters Name=vpc-id,Values=VPC --include-managed-resources",
        actions: &["ec2:DescribeNetworkInterfaces"],
    },
    DESCRIBE_INSTANCES,
    Call {
        file: VPC,
        command: "describe-vpcs --vpc-ids VPC, and beside Vpcs what describe-vpc-attribute prints for enableDnsSupport and enableDnsHostnames",
        actions: &["ec2:DescribeVpcs", DESCRIBE_VPC_ATTRIBUTE],
    },
    Call {
        file: SUBNETS,
        command: "describe-subnets --filters Name=vpc-id,Values=VPC",
        actions: &["ec2:DescribeSubnets"],
    },
    Call { file: DHCP_OPTIONS, command: "describe-dhcp-options", actions: &["ec2:DescribeDhcpOptions"] },
    Call {
        file: NAT_GATEWAYS,
        command: "describe-nat-gateways --filter Name=vpc-id,Values=VPC",
        actions: &["ec2:DescribeNatGateways"],
    },
    Call {
        file: ROUTE_TABLES,
        command: "describe-route-tables --filters Name=vpc-id,Values=VPC",
        actions: &["ec2:DescribeRouteTables"],
    },
    Call {
        file: SECURITY_GROUPS,
        command: "describe-security-groups --filters Name=vpc-id,Values=VPC",
        actions: &["ec2:DescribeSecurityGroups"],
    },
    Call {
        file: NETWORK_ACLS,
        command: "describe-network-acls --filters Name=vpc-id,Values=VPC",
        actions: &["ec2:DescribeNetworkAcls"],
    },
];

/// The call that lists the instances, the only one that can do without the VPC's id.
pub const DESCRIBE_INSTANCES: Call = Call {
    file: INSTANCES,
    command: "describe-instances --filters Name=vpc-id,Values=VPC --include-managed-resources",
    actions: &["ec2:DescribeInstances"],
};

/// The action of the VPC's two DNS attributes.
pub const DESCRIBE_VPC_ATTRIBUTE: &str = "ec2:DescribeVpcAttribute";
/// The action that describes a cluster, without which nothing can be judged.
pub const DESCRIBE_CLUSTER: &str = "eks:DescribeCluster";
/// The action that lists the clusters.
pub const LIST_CLUSTERS: &str = "eks:ListClusters";
/// The action that lists the regions.
pub const DESCRIBE_REGIONS: &str = "ec2:DescribeRegions";

/// Reads the answers of EC2. `read` gives the bytes of a file, `malformed` the error for
/// one that cannot be parsed, and `absent` the gap for one that lacks what it should have.
pub(super) fn read_network<'b, E>(
    vpc: &str,
    read: impl Fn(File) -> Result<Observed<Cow<'b, [u8]>>, E>,
    malformed: impl Fn(File, JsonError) -> E,
    absent: impl Fn(File, String) -> Gap,
) -> Result<Network, E> {
    let files = Files { read, malformed };
    Ok(Network {
        interfaces: files.parse(INTERFACES, parse_interfaces)?,
        instances: files.parse(INSTANCES, parse_instances)?,
        vpc: match files.parse(VPC, |bytes| parse_vpc(bytes, vpc))? {
            Observed::Seen(Some(vpc)) => Observed::Seen(vpc),
            Observed::Seen(None) => {
                Observed::Unseen(absent(VPC, format!("the cluster's VPC {vpc} is not in it")))
            }
            Observed::Unseen(gap) => Observed::Unseen(gap),
        },
        subnets: files.parse(SUBNETS, parse_subnets)?,
        dhcp_options: files.parse(DHCP_OPTIONS, parse_dhcp_options)?,
        nat_gateways: files.parse(NAT_GATEWAYS, parse_nat_gateways)?,
        route_tables: files.parse(ROUTE_TABLES, parse_route_tables)?,
        security_groups: files.parse(SECURITY_GROUPS, parse_security_groups)?,
        network_acls: files.parse(NETWORK_ACLS, parse_network_acls)?,
    })
}

/// Files to parse.
struct Files<Read, Malformed> {
    read: Read,
    malformed: Malformed,
}

impl<'b, E, Read, Malformed> Files<Read, Malformed>
where
    Read: Fn(File) -> Result<Observed<Cow<'b, [u8]>>, E>,
    Malformed: Fn(File, JsonError) -> E,
{
    fn parse<T>(
        &self,
        file: File,
        parse: impl FnOnce(&[u8]) -> Result<T, JsonError>,
    ) -> Result<Observed<T>, E> {
        match (self.read)(file)? {
            Observed::Seen(bytes) => {
                parse(&bytes).map(Observed::Seen).map_err(|error| (self.malformed)(file, error))
            }
            Observed::Unseen(gap) => Ok(Observed::Unseen(gap)),
        }
    }
}
