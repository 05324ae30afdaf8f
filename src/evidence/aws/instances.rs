//! `describe-instances`.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::interfaces::{Ipv6Address, Operator, PrivateIpAddress, Tag, addresses, unique};
use super::list::{Listed, list_or_null, read_list};
use crate::evidence::json::JsonError;
use crate::model::net;

/// Instances that were launched together.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Reservation {
    #[serde(default, deserialize_with = "list_or_null")]
    pub(crate) instances: Vec<Instance>,
}

impl Listed for Reservation {
    const LIST: &'static str = "Reservations";
}

/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Instance.html>
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Instance {
    pub(crate) instance_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<InstanceState>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) platform_details: Option<String>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) image_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) private_dns_name: Option<String>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) public_dns_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) vpc_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subnet_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) private_ip_address: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) public_ip_address: Option<IpAddr>,
    #[serde(default, deserialize_with = "list_or_null")]
    pub(crate) network_interfaces: Vec<InstanceNetworkInterface>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) operator: Option<Operator>,
    #[serde(default, deserialize_with = "list_or_null")]
    pub(crate) tags: Vec<Tag>,
}

/// The state of an instance.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct InstanceState {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
}

/// A network interface as its instance lists it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct InstanceNetworkInterface {
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) network_interface_id: Option<String>,
    #[serde(default, deserialize_with = "list_or_null")]
    pub(crate) private_ip_addresses: Vec<PrivateIpAddress>,
    #[serde(default, deserialize_with = "list_or_null")]
    pub(crate) ipv6_addresses: Vec<Ipv6Address>,
}

/// Reads `describe-instances`: sorted by id, each once.
///
/// # Errors
/// If it is not such JSON.
pub fn parse_instances(bytes: &[u8]) -> Result<Vec<net::Instance>, JsonError> {
    let reservations = read_list::<Reservation>(bytes)?.into_iter();
    let instances = reservations.flat_map(|reservation| reservation.instances);
    let mut instances: Vec<net::Instance> = instances.map(Into::into).collect();
    instances.sort_by(|a, b| a.id.cmp(&b.id));
    instances.dedup_by(|a, b| a.id == b.id);
    Ok(instances)
}

impl From<Instance> for net::Instance {
    fn from(wire: Instance) -> Self {
        let interfaces = wire.network_interfaces.into_iter();
        let of_interfaces = interfaces
            .flat_map(|interface| addresses(interface.private_ip_addresses, interface.ipv6_addresses));
        let state = wire.state.and_then(|state| state.name);
        let tags = wire.tags.into_iter();
        let tags: Vec<_> =
            tags.map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default())).collect();
        let has_tag_of_auto_mode = tags.iter().any(|(key, _)| key == net::AUTO_MODE_TAG);
        Self {
            id: wire.instance_id,
            dns_name: wire.private_dns_name.filter(|name| !name.is_empty()),
            vpc: wire.vpc_id.filter(|id| !id.is_empty()),
            subnet: wire.subnet_id,
            running: state.is_none_or(|state| state == "running"),
            addresses: unique(wire.private_ip_address.into_iter().chain(of_interfaces)),
            public_ip: wire.public_ip_address,
            auto_mode: has_tag_of_auto_mode || wire.operator.is_some_and(|operator| is_eks(&operator)),
            tags,
        }
    }
}

/// The beginning of the principal of EKS, whose end is the domain of the partition.
pub(crate) const EKS_PRINCIPAL_PREFIX: &str = "eks.";

/// Whether EKS manages an instance, as Auto Mode does.
fn is_eks(operator: &Operator) -> bool {
    operator.managed == Some(true)
        && operator.principal.as_deref().is_some_and(|name| name.starts_with(EKS_PRINCIPAL_PREFIX))
}
