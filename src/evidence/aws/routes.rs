//! The ways out of the VPC: NAT gateways and route tables.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;

use super::from_list;
use crate::evidence::json::JsonError;
use crate::model::net::{NatGateway, Route, RouteTable, RouteTarget};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NatGateways {
    nat_gateways: Vec<WireNatGateway>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireNatGateway {
    nat_gateway_id: String,
    state: Option<String>,
    nat_gateway_addresses: Option<Vec<NatAddress>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NatAddress {
    public_ip: Option<IpAddr>,
}

/// Reads `describe-nat-gateways`: sorted by id.
///
/// # Errors
/// If it is no such JSON.
pub fn parse_nat_gateways(bytes: &[u8]) -> Result<Vec<NatGateway>, JsonError> {
    let wire: NatGateways = from_list(bytes)?;
    let gateway = |wire: WireNatGateway| {
        let addresses = wire.nat_gateway_addresses.into_iter().flatten();
        NatGateway {
            id: wire.nat_gateway_id,
            available: !matches!(wire.state.as_deref(), Some("failed" | "deleting" | "deleted")),
            public_ips: addresses.filter_map(|address| address.public_ip).collect(),
        }
    };
    let mut gateways: Vec<_> = wire.nat_gateways.into_iter().map(gateway).collect();
    gateways.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(gateways)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RouteTables {
    route_tables: Vec<WireRouteTable>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireRouteTable {
    vpc_id: Option<String>,
    associations: Option<Vec<RouteTableAssociation>>,
    routes: Option<Vec<WireRoute>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RouteTableAssociation {
    main: Option<bool>,
    subnet_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireRoute {
    destination_cidr_block: Option<IpNet>,
    destination_ipv6_cidr_block: Option<IpNet>,
    state: Option<String>,
    gateway_id: Option<String>,
    nat_gateway_id: Option<String>,
    egress_only_internet_gateway_id: Option<String>,
    transit_gateway_id: Option<String>,
    vpc_peering_connection_id: Option<String>,
    network_interface_id: Option<String>,
    local_gateway_id: Option<String>,
    carrier_gateway_id: Option<String>,
    core_network_arn: Option<String>,
}

/// Reads `describe-route-tables`.
///
/// # Errors
/// If it is no such JSON.
pub fn parse_route_tables(bytes: &[u8]) -> Result<Vec<RouteTable>, JsonError> {
    let wire: RouteTables = from_list(bytes)?;
    let table = |wire: WireRouteTable| {
        let associations = wire.associations.unwrap_or_default();
        RouteTable {
            vpc: wire.vpc_id,
            main: associations.iter().any(|association| association.main == Some(true)),
            subnets: associations.into_iter().filter_map(|association| association.subnet_id).collect(),
            routes: wire.routes.into_iter().flatten().map(route).collect(),
        }
    };
    Ok(wire.route_tables.into_iter().map(table).collect())
}

fn route(wire: WireRoute) -> Route {
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
    Route { destination: wire.destination_cidr_block.or(wire.destination_ipv6_cidr_block), target }
}
