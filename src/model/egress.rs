//! The addresses with which nodes leave the VPC.

use std::net::IpAddr;

use super::gap::Observed;

/// How an instance's traffic to the endpoint leaves the VPC.
#[derive(Debug, Clone)]
pub struct NodeEgress {
    /// The instance's id.
    pub instance: String,
    /// Its private DNS name, or else its `Name` tag.
    pub name: Option<String>,
    /// The possible exits to each IPv4 address of the endpoint; by the default route
    /// where no such address is known.
    pub ipv4: Vec<Observed<Vec<EgressAddress>>>,
    /// Its own IPv6 addresses, with which it reaches an IPv6 address of the endpoint.
    pub ipv6: Vec<IpAddr>,
}

/// An address with which traffic leaves the VPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EgressAddress {
    /// What has the address: a NAT gateway's id, or the instance's own.
    pub via: String,
    /// The address.
    pub address: IpAddr,
}
