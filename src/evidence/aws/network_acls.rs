//! `describe-network-acls`.

use serde::{Deserialize, Serialize};

use super::list::{Listed, list_or_null, read_list};
use crate::evidence::json::JsonError;
use crate::model::net::{self, AclEntry};

/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_NetworkAcl.html>
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NetworkAcl {
    pub(crate) network_acl_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) vpc_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) is_default: Option<bool>,
    #[serde(default, deserialize_with = "list_or_null")]
    pub(crate) associations: Vec<NetworkAclAssociation>,
    #[serde(default, deserialize_with = "list_or_null")]
    pub(crate) entries: Vec<NetworkAclEntry>,
}

impl Listed for NetworkAcl {
    const LIST: &'static str = "NetworkAcls";
}

/// A subnet that has a network ACL.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NetworkAclAssociation {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subnet_id: Option<String>,
}

/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_NetworkAclEntry.html>
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NetworkAclEntry {
    pub(crate) rule_number: u32,
    pub(crate) egress: bool,
    pub(crate) rule_action: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) protocol: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) port_range: Option<PortRange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cidr_block: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ipv6_cidr_block: Option<String>,
}

/// The ports of an entry.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PortRange {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<i32>,
}

/// Reads `describe-network-acls`.
///
/// # Errors
/// If it is not such JSON.
pub fn parse_network_acls(bytes: &[u8]) -> Result<Vec<net::NetworkAcl>, JsonError> {
    Ok(read_list::<NetworkAcl>(bytes)?.into_iter().map(Into::into).collect())
}

impl From<NetworkAcl> for net::NetworkAcl {
    fn from(wire: NetworkAcl) -> Self {
        let mut entries: Vec<AclEntry> = wire.entries.into_iter().map(Into::into).collect();
        entries.sort_by_key(|entry| entry.number);
        Self {
            id: wire.network_acl_id,
            vpc: wire.vpc_id,
            is_default: wire.is_default == Some(true),
            subnets: wire.associations.into_iter().filter_map(|one| one.subnet_id).collect(),
            entries,
        }
    }
}

impl From<NetworkAclEntry> for AclEntry {
    fn from(wire: NetworkAclEntry) -> Self {
        let port = |number: Option<i32>, default: u16| {
            number.and_then(|number| u16::try_from(number).ok()).unwrap_or(default)
        };
        let ports = match wire.protocol.as_deref() {
            Some("-1" | "all") => Some((0, u16::MAX)),
            Some("6" | "tcp") => Some(match wire.port_range {
                Some(range) => (port(range.from, 0), port(range.to, u16::MAX)),
                None => (0, u16::MAX),
            }),
            _ => None,
        };
        let block = wire.cidr_block.or(wire.ipv6_cidr_block);
        Self {
            number: wire.rule_number,
            is_outbound: wire.egress,
            allows: wire.rule_action == "allow",
            ports,
            block: block.and_then(|text| text.parse().ok()),
        }
    }
}
