//! The ways out of the VPC: `describe-nat-gateways` and `describe-route-tables`.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::list::{Listed, list_or_null, read_list};
use crate::evidence::json::JsonError;
use crate::model::net;
use crate::model::net::RouteTarget;

/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_NatGateway.html>
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NatGateway {
    pub(crate) nat_gateway_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) connectivity_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) availability_mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) auto_scaling_ips: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) auto_provision_zones: Option<String>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) vpc_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subnet_id: Option<String>,
    #[serde(default, deserialize_with = "list_or_null")]
    pub(crate) nat_gateway_addresses: Vec<NatGatewayAddress>,
}

impl Listed for NatGateway {
    const LIST: &'static str = "NatGateways";
}

/// The addresses of a NAT gateway.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NatGatewayAddress {
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) allocation_id: Option<String>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) private_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) public_ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<String>,
}

impl NatGatewayAddress {
    /// The public address, if traffic may leave with it.
    fn in_use(self) -> Option<IpAddr> {
        let is_out = matches!(self.status.as_deref(), Some("failed" | "disassociating" | "unassigning"));
        self.public_ip.filter(|_| !is_out)
    }
}

/// Reads `describe-nat-gateways`: sorted by id.
///
/// # Errors
/// If it is not such JSON.
pub fn parse_nat_gateways(bytes: &[u8]) -> Result<Vec<net::NatGateway>, JsonError> {
    let gateways = read_list::<NatGateway>(bytes)?;
    let mut gateways: Vec<net::NatGateway> = gateways.into_iter().map(Into::into).collect();
    gateways.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(gateways)
}

impl From<NatGateway> for net::NatGateway {
    fn from(wire: NatGateway) -> Self {
        let addresses = wire.nat_gateway_addresses.into_iter();
        let is_enabled = |state: Option<String>| state.as_deref() == Some("enabled");
        let is_regional = wire.availability_mode.as_deref() == Some("regional");
        Self {
            id: wire.nat_gateway_id,
            available: !matches!(wire.state.as_deref(), Some("failed" | "deleting" | "deleted")),
            is_private: wire.connectivity_type.as_deref() == Some("private"),
            subnet: wire.subnet_id,
            public_ips: addresses.filter_map(NatGatewayAddress::in_use).collect(),
            has_automatic_addresses: is_regional
                && (is_enabled(wire.auto_scaling_ips) || is_enabled(wire.auto_provision_zones)),
        }
    }
}

/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RouteTable.html>
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RouteTable {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) route_table_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) vpc_id: Option<String>,
    #[serde(default, deserialize_with = "list_or_null")]
    pub(crate) associations: Vec<RouteTableAssociation>,
    #[serde(default, deserialize_with = "list_or_null")]
    pub(crate) routes: Vec<Route>,
}

impl Listed for RouteTable {
    const LIST: &'static str = "RouteTables";
}

/// A subnet or gateway that uses a route table.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RouteTableAssociation {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) main: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subnet_id: Option<String>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) gateway_id: Option<String>,
}

/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Route.html>
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Route {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) destination_cidr_block: Option<IpNet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) destination_ipv6_cidr_block: Option<IpNet>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) destination_prefix_list_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gateway_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nat_gateway_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) egress_only_internet_gateway_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) transit_gateway_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) vpc_peering_connection_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) network_interface_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) local_gateway_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) carrier_gateway_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) core_network_arn: Option<String>,
}

/// Reads `describe-route-tables`.
///
/// # Errors
/// If it is not such JSON.
pub fn parse_route_tables(bytes: &[u8]) -> Result<Vec<net::RouteTable>, JsonError> {
    Ok(read_list::<RouteTable>(bytes)?.into_iter().map(Into::into).collect())
}

impl From<RouteTable> for net::RouteTable {
    fn from(wire: RouteTable) -> Self {
        let associations = wire.associations;
        Self {
            id: wire.route_table_id,
            vpc: wire.vpc_id,
            main: associations.iter().any(|association| association.main == Some(true)),
            subnets: associations.into_iter().filter_map(|association| association.subnet_id).collect(),
            routes: wire.routes.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Route> for net::Route {
    fn from(wire: Route) -> Self {
        let others = [
            wire.egress_only_internet_gateway_id,
            wire.transit_gateway_id,
            wire.vpc_peering_connection_id,
            wire.network_interface_id,
            wire.local_gateway_id,
            wire.carrier_gateway_id,
            wire.core_network_arn,
        ];
        let target = if wire.state.as_deref() == Some("blackhole") {
            RouteTarget::Blackhole
        } else if let Some(id) = wire.nat_gateway_id {
            RouteTarget::NatGateway(id)
        } else {
            match wire.gateway_id {
                Some(id) if id == "local" => RouteTarget::Local,
                Some(id) if id.starts_with("igw-") => RouteTarget::InternetGateway,
                Some(id) => RouteTarget::Other(id),
                None => RouteTarget::Other(others.into_iter().flatten().next().unwrap_or_default()),
            }
        };
        Self { destination: wire.destination_cidr_block.or(wire.destination_ipv6_cidr_block), target }
    }
}
