//! Egress addresses: the source addresses of node traffic outside the VPC.

use std::net::IpAddr;

use super::gap::Observed;

/// The egress addresses of a node's traffic to the endpoint.
#[derive(Debug, Clone)]
pub struct NodeEgress {
    /// The instance id.
    pub instance: String,
    /// Its private DNS name, or its `Name` tag if it has none.
    pub name: Option<String>,
    /// The possible egress addresses for each IPv4 address of the endpoint. If no such
    /// address is known, one element: those of the default route.
    pub ipv4: Vec<Observed<Vec<EgressAddress>>>,
    /// Its own IPv6 addresses, which are also its egress addresses.
    pub ipv6: Vec<IpAddr>,
}

/// A source address of traffic outside the VPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EgressAddress {
    /// The id of the NAT gateway or instance that has the address.
    pub via: String,
    /// The address.
    pub address: IpAddr,
}
