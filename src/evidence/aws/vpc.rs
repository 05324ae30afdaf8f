//! The VPC itself: its blocks and attributes, subnets, DHCP options and security
//! groups.

use ipnet::IpNet;
use serde::Deserialize;

use super::{Group, from_list};
use crate::evidence::json::JsonError;
use crate::model::net::{DhcpOptions, Ingress, SecurityGroup, Subnet, Vpc};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct VpcAndAttributes {
    vpcs: Option<Vec<WireVpc>>,
    enable_dns_support: Option<Flag>,
    enable_dns_hostnames: Option<Flag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireVpc {
    vpc_id: String,
    cidr_block: Option<IpNet>,
    cidr_block_association_set: Option<Vec<CidrAssociation>>,
    ipv6_cidr_block_association_set: Option<Vec<Ipv6CidrAssociation>>,
    dhcp_options_id: Option<String>,
    enable_dns_support: Option<Flag>,
    enable_dns_hostnames: Option<Flag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Flag {
    value: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CidrAssociation {
    cidr_block: Option<IpNet>,
    cidr_block_state: Option<AssociationState>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Ipv6CidrAssociation {
    ipv6_cidr_block: Option<IpNet>,
    ipv6_cidr_block_state: Option<AssociationState>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AssociationState {
    state: Option<String>,
}

impl AssociationState {
    /// Whether addresses of the block can be in use.
    fn in_use(state: Option<&Self>) -> bool {
        let state = state.and_then(|state| state.state.as_deref());
        !matches!(state, Some("disassociated" | "failed" | "failing"))
    }
}

/// Reads `describe-vpcs`, with what `describe-vpc-attribute` printed beside
/// `Vpcs` or inside the VPC. `None` if the VPC is not among them.
///
/// # Errors
/// If it is no such JSON.
pub fn parse_vpc(bytes: &[u8], id: &str) -> Result<Option<Vpc>, JsonError> {
    let wire: VpcAndAttributes = from_list(bytes)?;
    let (support, hostnames) = (wire.enable_dns_support, wire.enable_dns_hostnames);
    let vpc = wire.vpcs.into_iter().flatten().find(|vpc| vpc.vpc_id == id);
    Ok(vpc.map(|vpc| {
        let mut cidrs: Vec<_> = vpc.cidr_block.into_iter().collect();
        for block in vpc.cidr_block_association_set.into_iter().flatten() {
            if AssociationState::in_use(block.cidr_block_state.as_ref()) {
                cidrs.extend(block.cidr_block);
            }
        }
        for block in vpc.ipv6_cidr_block_association_set.into_iter().flatten() {
            if AssociationState::in_use(block.ipv6_cidr_block_state.as_ref()) {
                cidrs.extend(block.ipv6_cidr_block);
            }
        }
        cidrs.sort();
        cidrs.dedup();
        let value =
            |inside: Option<Flag>, beside: Option<Flag>| inside.or(beside).and_then(|flag| flag.value);
        Vpc {
            id: vpc.vpc_id,
            cidrs,
            dhcp_options: vpc.dhcp_options_id,
            dns_support: value(vpc.enable_dns_support, support),
            dns_hostnames: value(vpc.enable_dns_hostnames, hostnames),
        }
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Subnets {
    subnets: Vec<WireSubnet>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireSubnet {
    vpc_id: Option<String>,
    cidr_block: Option<IpNet>,
    ipv6_cidr_block_association_set: Option<Vec<Ipv6CidrAssociation>>,
}

/// Reads `describe-subnets`.
///
/// # Errors
/// If it is no such JSON.
pub fn parse_subnets(bytes: &[u8]) -> Result<Vec<Subnet>, JsonError> {
    let wire: Subnets = from_list(bytes)?;
    let subnet = |wire: WireSubnet| {
        let mut cidrs: Vec<_> = wire.cidr_block.into_iter().collect();
        for block in wire.ipv6_cidr_block_association_set.into_iter().flatten() {
            if AssociationState::in_use(block.ipv6_cidr_block_state.as_ref()) {
                cidrs.extend(block.ipv6_cidr_block);
            }
        }
        Subnet { vpc: wire.vpc_id.unwrap_or_default(), cidrs }
    };
    Ok(wire.subnets.into_iter().map(subnet).collect())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AllDhcpOptions {
    dhcp_options: Vec<WireDhcpOptions>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireDhcpOptions {
    dhcp_options_id: String,
    dhcp_configurations: Option<Vec<DhcpConfiguration>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DhcpConfiguration {
    key: Option<String>,
    values: Option<Vec<DhcpValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DhcpValue {
    value: Option<String>,
}

/// Reads `describe-dhcp-options`.
///
/// # Errors
/// If it is no such JSON.
pub fn parse_dhcp_options(bytes: &[u8]) -> Result<Vec<DhcpOptions>, JsonError> {
    let wire: AllDhcpOptions = from_list(bytes)?;
    let options = |wire: WireDhcpOptions| {
        let servers = wire.dhcp_configurations.into_iter().flatten();
        let servers = servers.filter(|option| option.key.as_deref() == Some("domain-name-servers"));
        let servers = servers.flat_map(|option| option.values.unwrap_or_default());
        DhcpOptions {
            id: wire.dhcp_options_id,
            dns_servers: servers.filter_map(|server| server.value).collect(),
        }
    };
    Ok(wire.dhcp_options.into_iter().map(options).collect())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SecurityGroups {
    security_groups: Vec<WireSecurityGroup>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireSecurityGroup {
    group_id: String,
    ip_permissions: Option<Vec<IpPermission>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct IpPermission {
    ip_protocol: Option<String>,
    from_port: Option<i32>,
    to_port: Option<i32>,
    ip_ranges: Option<Vec<IpRange>>,
    ipv6_ranges: Option<Vec<Ipv6Range>>,
    prefix_list_ids: Option<Vec<PrefixList>>,
    user_id_group_pairs: Option<Vec<Group>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct IpRange {
    cidr_ip: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Ipv6Range {
    cidr_ipv6: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PrefixList {
    prefix_list_id: Option<String>,
}

/// Reads `describe-security-groups`.
///
/// # Errors
/// If it is no such JSON.
pub fn parse_security_groups(bytes: &[u8]) -> Result<Vec<SecurityGroup>, JsonError> {
    let wire: SecurityGroups = from_list(bytes)?;
    let group = |wire: WireSecurityGroup| SecurityGroup {
        id: wire.group_id,
        ingress: wire.ip_permissions.into_iter().flatten().map(ingress).collect(),
    };
    Ok(wire.security_groups.into_iter().map(group).collect())
}

fn ingress(wire: IpPermission) -> Ingress {
    let port = |number: Option<i32>, default: u16| {
        number.and_then(|number| u16::try_from(number).ok()).unwrap_or(default)
    };
    let ports = match wire.ip_protocol.as_deref() {
        Some("-1") => Some((0, u16::MAX)),
        Some("tcp" | "6") => Some((port(wire.from_port, 0), port(wire.to_port, u16::MAX))),
        _ => None,
    };
    let ranges = wire.ip_ranges.into_iter().flatten().filter_map(|range| range.cidr_ip);
    let ranges6 = wire.ipv6_ranges.into_iter().flatten().filter_map(|range| range.cidr_ipv6);
    let lists = wire.prefix_list_ids.into_iter().flatten().filter_map(|list| list.prefix_list_id);
    let groups = wire.user_id_group_pairs.into_iter().flatten().filter_map(|group| group.group_id);
    Ingress { ports, sources: ranges.chain(ranges6).chain(lists).chain(groups).collect() }
}
