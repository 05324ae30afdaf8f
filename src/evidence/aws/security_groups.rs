//! `describe-security-groups`.

use serde::{Deserialize, Serialize};

use super::list::{Listed, list_or_null, read_list};
use crate::evidence::json::JsonError;
use crate::model::net::{self, GroupRule, RulePeer};

/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_SecurityGroup.html>
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SecurityGroup {
    pub(crate) group_id: String,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) group_name: Option<String>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) vpc_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) owner_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ip_permissions: Option<Vec<IpPermission>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ip_permissions_egress: Option<Vec<IpPermission>>,
}

impl Listed for SecurityGroup {
    const LIST: &'static str = "SecurityGroups";
}

/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_IpPermission.html>
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct IpPermission {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ip_protocol: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) from_port: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) to_port: Option<i32>,
    #[serde(default, deserialize_with = "list_or_null")]
    pub(crate) ip_ranges: Vec<IpRange>,
    #[serde(default, deserialize_with = "list_or_null")]
    pub(crate) ipv6_ranges: Vec<Ipv6Range>,
    #[serde(default, deserialize_with = "list_or_null")]
    pub(crate) prefix_list_ids: Vec<PrefixListId>,
    #[serde(default, deserialize_with = "list_or_null")]
    pub(crate) user_id_group_pairs: Vec<UserIdGroupPair>,
}

/// An IPv4 CIDR block of a rule.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct IpRange {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cidr_ip: Option<String>,
}

/// An IPv6 CIDR block of a rule.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Ipv6Range {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cidr_ipv6: Option<String>,
}

/// A prefix list of a rule.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PrefixListId {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prefix_list_id: Option<String>,
}

/// A security group of a rule, with its account.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UserIdGroupPair {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) group_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user_id: Option<String>,
}

/// Reads `describe-security-groups`.
///
/// # Errors
/// If it is not such JSON.
pub fn parse_security_groups(bytes: &[u8]) -> Result<Vec<net::SecurityGroup>, JsonError> {
    Ok(read_list::<SecurityGroup>(bytes)?.into_iter().map(Into::into).collect())
}

impl From<SecurityGroup> for net::SecurityGroup {
    fn from(wire: SecurityGroup) -> Self {
        let rules = |permissions: Option<Vec<IpPermission>>| {
            permissions.map(|permissions| permissions.into_iter().map(Into::into).collect())
        };
        Self {
            id: wire.group_id,
            owner: wire.owner_id,
            ingress: rules(wire.ip_permissions),
            egress: rules(wire.ip_permissions_egress),
        }
    }
}

impl From<IpPermission> for GroupRule {
    fn from(wire: IpPermission) -> Self {
        let port = |number: Option<i32>, default: u16| {
            number.and_then(|number| u16::try_from(number).ok()).unwrap_or(default)
        };
        let ports = match wire.ip_protocol.as_deref() {
            Some("-1") => Some((0, u16::MAX)),
            Some("tcp" | "6") => Some((port(wire.from_port, 0), port(wire.to_port, u16::MAX))),
            _ => None,
        };
        let ranges = wire.ip_ranges.into_iter().filter_map(|range| range.cidr_ip);
        let ranges6 = wire.ipv6_ranges.into_iter().filter_map(|range| range.cidr_ipv6);
        let blocks = ranges.chain(ranges6).map(|text| match text.parse() {
            Ok(block) => RulePeer::Block(block),
            Err(_) => RulePeer::Other(text),
        });
        let lists = wire.prefix_list_ids.into_iter().filter_map(|list| list.prefix_list_id);
        let lists = lists.map(RulePeer::PrefixList);
        let groups = wire.user_id_group_pairs.into_iter();
        let groups =
            groups.filter_map(|pair| Some(RulePeer::Group { id: pair.group_id?, account: pair.user_id }));
        Self { ports, peers: blocks.chain(lists).chain(groups).collect() }
    }
}
