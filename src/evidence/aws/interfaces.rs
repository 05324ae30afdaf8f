//! What has addresses: network interfaces and instances.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;

use super::{Group, from_list};
use crate::evidence::json::JsonError;
use crate::model::net::{Attachment, Instance, Interface};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkInterfaces {
    network_interfaces: Vec<WireInterface>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireInterface {
    network_interface_id: String,
    description: Option<String>,
    interface_type: Option<String>,
    vpc_id: Option<String>,
    subnet_id: Option<String>,
    availability_zone: Option<String>,
    owner_id: Option<String>,
    requester_id: Option<String>,
    attachment: Option<WireAttachment>,
    private_ip_address: Option<IpAddr>,
    private_ip_addresses: Option<Vec<PrivateIp>>,
    ipv6_addresses: Option<Vec<Ipv6>>,
    ipv4_prefixes: Option<Vec<Ipv4Prefix>>,
    ipv6_prefixes: Option<Vec<Ipv6Prefix>>,
    groups: Option<Vec<Group>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireAttachment {
    instance_id: Option<String>,
    instance_owner_id: Option<String>,
    device_index: Option<u32>,
    status: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PrivateIp {
    private_ip_address: Option<IpAddr>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Ipv6 {
    ipv6_address: Option<IpAddr>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Ipv4Prefix {
    ipv4_prefix: Option<IpNet>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Ipv6Prefix {
    ipv6_prefix: Option<IpNet>,
}

/// Reads `describe-network-interfaces`: sorted by id, each once.
///
/// # Errors
/// If it is no such JSON.
pub fn parse_interfaces(bytes: &[u8]) -> Result<Vec<Interface>, JsonError> {
    let wire: NetworkInterfaces = from_list(bytes)?;
    let mut interfaces: Vec<_> = wire.network_interfaces.into_iter().map(interface).collect();
    interfaces.sort_by(|a, b| a.id.cmp(&b.id));
    interfaces.dedup_by(|a, b| a.id == b.id);
    Ok(interfaces)
}

fn interface(wire: WireInterface) -> Interface {
    let mut addresses: Vec<IpAddr> = wire.private_ip_address.into_iter().collect();
    addresses.extend(wire.private_ip_addresses.into_iter().flatten().filter_map(|ip| ip.private_ip_address));
    addresses.extend(wire.ipv6_addresses.into_iter().flatten().filter_map(|ip| ip.ipv6_address));
    let prefixes4 = wire.ipv4_prefixes.into_iter().flatten().filter_map(|prefix| prefix.ipv4_prefix);
    let prefixes6 = wire.ipv6_prefixes.into_iter().flatten().filter_map(|prefix| prefix.ipv6_prefix);
    Interface {
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
        addresses: unique(addresses),
        prefixes: prefixes4.chain(prefixes6).collect(),
        groups: wire.groups.into_iter().flatten().filter_map(|group| group.group_id).collect(),
    }
}

/// The same values in the same order, each once.
fn unique(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut seen = std::collections::HashSet::with_capacity(addresses.len());
    addresses.into_iter().filter(|&address| seen.insert(address)).collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Instances {
    reservations: Vec<Reservation>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Reservation {
    instances: Option<Vec<WireInstance>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireInstance {
    instance_id: String,
    private_dns_name: Option<String>,
    subnet_id: Option<String>,
    state: Option<InstanceState>,
    private_ip_address: Option<IpAddr>,
    public_ip_address: Option<IpAddr>,
    network_interfaces: Option<Vec<InstanceInterface>>,
    operator: Option<Operator>,
    tags: Option<Vec<Tag>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InstanceState {
    name: Option<String>,
}

/// Who runs an instance in the customer's account.
///
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/amazon-ec2-managed-instances.html>
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Operator {
    managed: Option<bool>,
    principal: Option<String>,
}

impl Operator {
    fn is_eks(&self) -> bool {
        self.managed == Some(true) && self.principal.as_deref().is_some_and(|name| name.starts_with("eks."))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InstanceInterface {
    private_ip_addresses: Option<Vec<PrivateIp>>,
    ipv6_addresses: Option<Vec<Ipv6>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: Option<String>,
    value: Option<String>,
}

/// Reads `describe-instances`: sorted by id, each once.
///
/// # Errors
/// If it is no such JSON.
pub fn parse_instances(bytes: &[u8]) -> Result<Vec<Instance>, JsonError> {
    let wire: Instances = from_list(bytes)?;
    let instances =
        wire.reservations.into_iter().flat_map(|reservation| reservation.instances.unwrap_or_default());
    let mut instances: Vec<_> = instances.map(instance).collect();
    instances.sort_by(|a, b| a.id.cmp(&b.id));
    instances.dedup_by(|a, b| a.id == b.id);
    Ok(instances)
}

fn instance(wire: WireInstance) -> Instance {
    let mut addresses: Vec<IpAddr> = wire.private_ip_address.into_iter().collect();
    for interface in wire.network_interfaces.into_iter().flatten() {
        addresses.extend(
            interface.private_ip_addresses.into_iter().flatten().filter_map(|ip| ip.private_ip_address),
        );
        addresses.extend(interface.ipv6_addresses.into_iter().flatten().filter_map(|ip| ip.ipv6_address));
    }
    let tags = wire.tags.into_iter().flatten();
    let state = wire.state.and_then(|state| state.name);
    Instance {
        id: wire.instance_id,
        dns_name: wire.private_dns_name.filter(|name| !name.is_empty()),
        subnet: wire.subnet_id,
        running: state.is_none_or(|state| state == "running"),
        addresses: unique(addresses),
        public_ip: wire.public_ip_address,
        auto_mode: wire.operator.is_some_and(|operator| operator.is_eks()),
        tags: tags.map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default())).collect(),
    }
}
