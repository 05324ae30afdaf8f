//! The answers of AWS, in the shapes that the aws CLI prints. Keys that are not named
//! here are ignored; keys that are absent stay unknown.
//!
//! <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/>

pub mod eks;
pub mod iam;
mod interfaces;
mod routes;
mod vpc;

pub use interfaces::{parse_instances, parse_interfaces};
pub use routes::{parse_nat_gateways, parse_route_tables};
pub use vpc::{parse_dhcp_options, parse_security_groups, parse_subnets, parse_vpc};

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::json::{JsonError, from_json};
use crate::model::file::File;
use crate::model::gap::{Gap, Observed};
use crate::model::net::{
    DHCP_OPTIONS, INSTANCES, INTERFACES, NAT_GATEWAYS, Network, ROUTE_TABLES, SECURITY_GROUPS, SUBNETS, VPC,
};

/// The calls of EC2 that make a file of the evidence directory.
#[derive(Debug)]
pub struct Call {
    /// The file.
    pub file: File,
    /// The aws CLI's command without `aws ec2`; `VPC` stands for the VPC's id.
    pub command: &'static str,
    /// The IAM actions.
    pub actions: &'static [&'static str],
}

/// The files that are answers of EC2, and the calls that make them.
pub static CALLS: [Call; 8] = [
    Call {
        file: INTERFACES,
        command: "describe-network-interfaces --filters Name=vpc-id,Values=VPC --include-managed-resources",
        actions: &["ec2:DescribeNetworkInterfaces"],
    },
    Call {
        file: INSTANCES,
        command: "describe-instances --filters Name=vpc-id,Values=VPC",
        actions: &["ec2:DescribeInstances"],
    },
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
];

/// The action of the VPC's two DNS attributes.
pub const DESCRIBE_VPC_ATTRIBUTE: &str = "ec2:DescribeVpcAttribute";
/// The action without which nothing can be judged.
pub const DESCRIBE_CLUSTER: &str = "eks:DescribeCluster";
/// The action that lists the clusters.
pub const LIST_CLUSTERS: &str = "eks:ListClusters";
/// The action that lists the regions.
pub const DESCRIBE_REGIONS: &str = "ec2:DescribeRegions";

/// Reads the answers of EC2. `read` gives the bytes of a file, `malformed` the error for
/// one that cannot be parsed, and `absent` the gap for one that lacks what it should have.
pub(super) fn read_network<E>(
    vpc: &str,
    read: impl Fn(File) -> Result<Observed<Vec<u8>>, E>,
    malformed: impl Fn(File, JsonError) -> E,
    absent: impl Fn(File, String) -> Gap,
) -> Result<Network, E> {
    fn parsed<T, E>(
        file: File,
        bytes: Observed<Vec<u8>>,
        malformed: impl Fn(File, JsonError) -> E,
        parse: impl FnOnce(&[u8]) -> Result<T, JsonError>,
    ) -> Result<Observed<T>, E> {
        match bytes {
            Observed::Seen(bytes) => {
                parse(&bytes).map(Observed::Seen).map_err(|error| malformed(file, error))
            }
            Observed::Unseen(gap) => Ok(Observed::Unseen(gap)),
        }
    }
    let vpc_itself = parsed(VPC, read(VPC)?, &malformed, |bytes| parse_vpc(bytes, vpc))?;
    Ok(Network {
        interfaces: parsed(INTERFACES, read(INTERFACES)?, &malformed, parse_interfaces)?,
        instances: parsed(INSTANCES, read(INSTANCES)?, &malformed, parse_instances)?,
        vpc: match vpc_itself {
            Observed::Seen(Some(vpc)) => Observed::Seen(vpc),
            Observed::Seen(None) => {
                Observed::Unseen(absent(VPC, format!("the cluster's VPC {vpc} is not in it")))
            }
            Observed::Unseen(gap) => Observed::Unseen(gap),
        },
        subnets: parsed(SUBNETS, read(SUBNETS)?, &malformed, parse_subnets)?,
        dhcp_options: parsed(DHCP_OPTIONS, read(DHCP_OPTIONS)?, &malformed, parse_dhcp_options)?,
        nat_gateways: parsed(NAT_GATEWAYS, read(NAT_GATEWAYS)?, &malformed, parse_nat_gateways)?,
        route_tables: parsed(ROUTE_TABLES, read(ROUTE_TABLES)?, &malformed, parse_route_tables)?,
        security_groups: parsed(SECURITY_GROUPS, read(SECURITY_GROUPS)?, &malformed, parse_security_groups)?,
    })
}

/// Reads a list, which must be the whole of it.
fn from_list<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, JsonError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Page {
        next_token: Option<IgnoredAny>,
    }
    let list = from_json(bytes)?;
    match from_json::<Page>(bytes)?.next_token {
        None => Ok(list),
        Some(IgnoredAny) => Err(JsonError::of_whole(
            "NextToken: this is a part of the list; leave out --max-items and --no-paginate",
        )),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Group {
    group_id: Option<String>,
}
