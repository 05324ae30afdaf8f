//! The VPC: `describe-vpcs`, `describe-vpc-attribute`, `describe-subnets` and
//! `describe-dhcp-options`.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::list::{Listed, list_or_null, read_list};
use crate::evidence::json::{JsonError, from_json};
use crate::model::net::{self, BlockMode};

/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Vpc.html>
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Vpc {
    pub(crate) vpc_id: String,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) owner_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cidr_block: Option<IpNet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dhcp_options_id: Option<String>,
    #[serde(default, deserialize_with = "list_or_null")]
    pub(crate) cidr_block_association_set: Vec<CidrBlockAssociation>,
    #[serde(default, deserialize_with = "list_or_null")]
    pub(crate) ipv6_cidr_block_association_set: Vec<Ipv6CidrBlockAssociation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) block_public_access_states: Option<BlockPublicAccessStates>,
    /// Put here by hand; `collect` writes it beside `Vpcs`.
    #[serde(skip_serializing)]
    pub(crate) enable_dns_support: Option<AttributeBooleanValue>,
    /// Put here by hand; `collect` writes it beside `Vpcs`.
    #[serde(skip_serializing)]
    pub(crate) enable_dns_hostnames: Option<AttributeBooleanValue>,
}

impl Listed for Vpc {
    const LIST: &'static str = "Vpcs";
    // A file may hold the attributes alone.
    const IS_REQUIRED: bool = false;
}

/// The DNS attributes of a VPC, of which each is an answer of its own.
///
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeVpcAttribute.html>
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct VpcAttributes {
    /// The VPC that they are of; absent where only `Vpcs` names it.
    #[serde(default, skip_serializing)]
    pub(crate) vpc_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) enable_dns_support: Option<AttributeBooleanValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) enable_dns_hostnames: Option<AttributeBooleanValue>,
}

/// Whether an attribute is on.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AttributeBooleanValue {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<bool>,
}

/// An IPv4 block of a VPC.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CidrBlockAssociation {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cidr_block: Option<IpNet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cidr_block_state: Option<CidrBlockState>,
}

/// An IPv6 block of a VPC or subnet.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Ipv6CidrBlockAssociation {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ipv6_cidr_block: Option<IpNet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ipv6_cidr_block_state: Option<CidrBlockState>,
}

/// Whether a block is associated.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CidrBlockState {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<String>,
}

/// The state of Block Public Access of a VPC or subnet.
///
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_BlockPublicAccessStates.html>
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BlockPublicAccessStates {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) internet_gateway_block_mode: Option<String>,
}

impl BlockPublicAccessStates {
    fn mode(self) -> Option<BlockMode> {
        match self.internet_gateway_block_mode.as_deref() {
            Some("off") => Some(BlockMode::Off),
            Some("block-ingress") => Some(BlockMode::Ingress),
            Some("block-bidirectional") => Some(BlockMode::Bidirectional),
            _ => None,
        }
    }
}

impl CidrBlockState {
    /// Whether addresses of the block can be in use.
    fn in_use(state: Option<&Self>) -> bool {
        let state = state.and_then(|state| state.state.as_deref());
        !matches!(state, Some("disassociated" | "failed" | "failing"))
    }
}

impl CidrBlockAssociation {
    fn in_use(self) -> Option<IpNet> {
        self.cidr_block.filter(|_| CidrBlockState::in_use(self.cidr_block_state.as_ref()))
    }
}

impl Ipv6CidrBlockAssociation {
    fn in_use(self) -> Option<IpNet> {
        self.ipv6_cidr_block.filter(|_| CidrBlockState::in_use(self.ipv6_cidr_block_state.as_ref()))
    }
}

/// Reads `describe-vpcs`, with what `describe-vpc-attribute` printed beside
/// `Vpcs` or inside the VPC. `None` if the VPC is not among them. The attributes of another
/// VPC do not count.
///
/// # Errors
/// If it is not such JSON.
pub fn parse_vpc(bytes: &[u8], id: &str) -> Result<Option<net::Vpc>, JsonError> {
    let vpcs = read_list::<Vpc>(bytes)?;
    let mut beside: VpcAttributes = from_json(bytes)?;
    if beside.vpc_id.as_ref().is_some_and(|of| of != id) {
        beside = VpcAttributes::default();
    }
    let vpc = vpcs.into_iter().find(|vpc| vpc.vpc_id == id);
    Ok(vpc.map(|mut vpc| {
        vpc.enable_dns_support = vpc.enable_dns_support.or(beside.enable_dns_support);
        vpc.enable_dns_hostnames = vpc.enable_dns_hostnames.or(beside.enable_dns_hostnames);
        vpc.into()
    }))
}

impl From<Vpc> for net::Vpc {
    fn from(wire: Vpc) -> Self {
        let blocks = wire.cidr_block_association_set.into_iter();
        let blocks6 = wire.ipv6_cidr_block_association_set.into_iter();
        let primary = match wire.cidr_block {
            Some(IpNet::V4(block)) => Some(block),
            _ => None,
        };
        let mut cidrs: Vec<_> = wire.cidr_block.into_iter().collect();
        cidrs.extend(blocks.filter_map(CidrBlockAssociation::in_use));
        cidrs.extend(blocks6.filter_map(Ipv6CidrBlockAssociation::in_use));
        cidrs.sort();
        cidrs.dedup();
        Self {
            id: wire.vpc_id,
            cidrs,
            primary,
            dhcp_options: wire.dhcp_options_id,
            dns_support: wire.enable_dns_support.and_then(|attribute| attribute.value),
            dns_hostnames: wire.enable_dns_hostnames.and_then(|attribute| attribute.value),
            block_mode: wire.block_public_access_states.and_then(BlockPublicAccessStates::mode),
        }
    }
}

/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Subnet.html>
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Subnet {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subnet_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) vpc_id: Option<String>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) availability_zone: Option<String>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) available_ip_address_count: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cidr_block: Option<IpNet>,
    #[serde(default, deserialize_with = "list_or_null")]
    pub(crate) ipv6_cidr_block_association_set: Vec<Ipv6CidrBlockAssociation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) block_public_access_states: Option<BlockPublicAccessStates>,
}

impl Listed for Subnet {
    const LIST: &'static str = "Subnets";
}

/// Reads `describe-subnets`.
///
/// # Errors
/// If it is not such JSON.
pub fn parse_subnets(bytes: &[u8]) -> Result<Vec<net::Subnet>, JsonError> {
    Ok(read_list::<Subnet>(bytes)?.into_iter().map(Into::into).collect())
}

impl From<Subnet> for net::Subnet {
    fn from(wire: Subnet) -> Self {
        let blocks6 = wire.ipv6_cidr_block_association_set.into_iter();
        let blocks6 = blocks6.filter_map(Ipv6CidrBlockAssociation::in_use);
        Self {
            id: wire.subnet_id,
            vpc: wire.vpc_id.unwrap_or_default(),
            cidrs: wire.cidr_block.into_iter().chain(blocks6).collect(),
            block_mode: wire.block_public_access_states.and_then(BlockPublicAccessStates::mode),
        }
    }
}

/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DhcpOptions.html>
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DhcpOptions {
    pub(crate) dhcp_options_id: String,
    #[serde(default, deserialize_with = "list_or_null")]
    pub(crate) dhcp_configurations: Vec<DhcpConfiguration>,
}

impl Listed for DhcpOptions {
    const LIST: &'static str = "DhcpOptions";
}

/// A DHCP option.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DhcpConfiguration {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    #[serde(default, deserialize_with = "list_or_null")]
    pub(crate) values: Vec<AttributeValue>,
}

/// A value of a DHCP option.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AttributeValue {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<String>,
}

/// Reads `describe-dhcp-options`.
///
/// # Errors
/// If it is not such JSON.
pub fn parse_dhcp_options(bytes: &[u8]) -> Result<Vec<net::DhcpOptions>, JsonError> {
    Ok(read_list::<DhcpOptions>(bytes)?.into_iter().map(Into::into).collect())
}

impl From<DhcpOptions> for net::DhcpOptions {
    fn from(wire: DhcpOptions) -> Self {
        let options = wire.dhcp_configurations.into_iter();
        let servers = options.filter(|option| option.key.as_deref() == Some("domain-name-servers"));
        let servers = servers.flat_map(|option| option.values);
        Self { id: wire.dhcp_options_id, dns_servers: servers.filter_map(|server| server.value).collect() }
    }
}
