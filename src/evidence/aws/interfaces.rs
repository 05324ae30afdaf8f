//! `describe-network-interfaces`.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::list::{Listed, list_or_null, read_list_as};
use crate::evidence::json::JsonError;
use crate::model::net::{Attachment, Interface};

/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_NetworkInterface.html>
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NetworkInterface {
    pub(crate) network_interface_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) interface_type: Option<String>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) vpc_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subnet_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) availability_zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) owner_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) requester_id: Option<String>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) requester_managed: Option<bool>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) operator: Option<Operator>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) attachment: Option<NetworkInterfaceAttachment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) association: Option<NetworkInterfaceAssociation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) private_ip_address: Option<IpAddr>,
    #[serde(default, deserialize_with = "list_or_null")]
    pub(crate) private_ip_addresses: Vec<PrivateIpAddress>,
    #[serde(default, deserialize_with = "list_or_null")]
    pub(crate) ipv6_addresses: Vec<Ipv6Address>,
    #[serde(default, deserialize_with = "list_or_null")]
    pub(crate) ipv4_prefixes: Vec<Ipv4Prefix>,
    #[serde(default, deserialize_with = "list_or_null")]
    pub(crate) ipv6_prefixes: Vec<Ipv6Prefix>,
    #[serde(default, deserialize_with = "list_or_null")]
    pub(crate) groups: Vec<GroupIdentifier>,
    #[serde(skip_deserializing)]
    pub(crate) tag_set: Vec<Tag>,
}

impl Listed for NetworkInterface {
    const LIST: &'static str = "NetworkInterfaces";
}

/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_NetworkInterfaceAttachment.html>
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NetworkInterfaceAttachment {
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) attachment_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) device_index: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) instance_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) instance_owner_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<String>,
}

/// The public address of a network interface.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NetworkInterfaceAssociation {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) public_ip: Option<IpAddr>,
}

/// A private IPv4 address of a network interface.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PrivateIpAddress {
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) primary: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) private_ip_address: Option<IpAddr>,
}

/// An IPv6 address of a network interface.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Ipv6Address {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ipv6_address: Option<IpAddr>,
}

/// An IPv4 prefix that is delegated to a network interface.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Ipv4Prefix {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ipv4_prefix: Option<IpNet>,
}

/// An IPv6 prefix that is delegated to a network interface.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Ipv6Prefix {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ipv6_prefix: Option<IpNet>,
}

/// A security group of a network interface.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GroupIdentifier {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) group_id: Option<String>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) group_name: Option<String>,
}

/// A tag.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Tag {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<String>,
}

/// The AWS service that manages a resource in the customer's account.
///
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/amazon-ec2-managed-instances.html>
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Operator {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) managed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) principal: Option<String>,
}

/// Reads `describe-network-interfaces`: sorted by id, each once.
///
/// # Errors
/// If it is not such JSON.
pub fn parse_interfaces(bytes: &[u8]) -> Result<Vec<Arc<Interface>>, JsonError> {
    let mut interfaces: Vec<Arc<Interface>> = read_list_as::<NetworkInterface, _>(bytes)?;
    interfaces.sort_by(|a, b| a.id.cmp(&b.id));
    interfaces.dedup_by(|a, b| a.id == b.id);
    Ok(interfaces)
}

impl From<NetworkInterface> for Arc<Interface> {
    fn from(wire: NetworkInterface) -> Self {
        Self::new(wire.into())
    }
}

impl From<NetworkInterface> for Interface {
    fn from(wire: NetworkInterface) -> Self {
        let prefixes4 = wire.ipv4_prefixes.into_iter().filter_map(|prefix| prefix.ipv4_prefix);
        let prefixes6 = wire.ipv6_prefixes.into_iter().filter_map(|prefix| prefix.ipv6_prefix);
        Self {
            id: wire.network_interface_id,
            description: wire.description.unwrap_or_default(),
            interface_type: wire.interface_type.unwrap_or_default(),
            vpc: wire.vpc_id.unwrap_or_default(),
            subnet: wire.subnet_id.unwrap_or_default(),
            zone: wire.availability_zone.unwrap_or_default(),
            owner: wire.owner_id.unwrap_or_default(),
            requester: wire.requester_id,
            attachment: wire.attachment.map(|attachment| Attachment {
                instance: attachment.instance_id,
                instance_owner: attachment.instance_owner_id,
                device_index: attachment.device_index,
                status: attachment.status,
            }),
            addresses: unique(
                wire.private_ip_address
                    .into_iter()
                    .chain(addresses(wire.private_ip_addresses, wire.ipv6_addresses)),
            ),
            prefixes: prefixes4.chain(prefixes6).collect(),
            groups: wire.groups.into_iter().filter_map(|group| group.group_id).collect(),
            public_ip: wire.association.and_then(|association| association.public_ip),
        }
    }
}

/// The addresses of an interface, of both families.
pub(super) fn addresses(
    private: Vec<PrivateIpAddress>,
    ipv6: Vec<Ipv6Address>,
) -> impl Iterator<Item = IpAddr> {
    let private = private.into_iter().filter_map(|ip| ip.private_ip_address);
    private.chain(ipv6.into_iter().filter_map(|ip| ip.ipv6_address))
}

/// The same values in the same order, each once.
pub(super) fn unique(addresses: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut seen = HashSet::new();
    addresses.filter(|&address| seen.insert(address)).collect()
}
