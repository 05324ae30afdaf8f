//! Egress addresses: the source addresses of node traffic outside the VPC.

use std::net::IpAddr;

use super::gap::{Gap, Observed};
use super::net::BlockMode;

/// The egress addresses of a node's traffic to the endpoint.
#[derive(Debug, Clone)]
pub struct NodeEgress {
    /// The instance id; of a node without one, the id of its interface or its name.
    pub instance: String,
    /// Its private DNS name, or its `Name` tag if it has none.
    pub name: Option<String>,
    /// The way out for each IPv4 address of the endpoint. If no such address is known, one
    /// element: that of the default route.
    pub ipv4: Vec<Observed<WayOut>>,
    /// Its own IPv6 addresses, which are also its egress addresses.
    pub ipv6: Vec<IpAddr>,
    /// What VPC Block Public Access does with its IPv4 connections to the endpoint.
    pub block: PublicBlock,
}

/// What VPC Block Public Access does with connections out of the VPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicBlock {
    /// It lets them pass.
    Passes,
    /// It drops them, in this mode.
    Blocked(BlockMode),
    /// They leave neither by an internet nor by a NAT gateway of this VPC, and it does not
    /// decide about them.
    Elsewhere,
    /// It is not known.
    Unknown(Gap),
}

/// The way of a node's traffic out of the VPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WayOut {
    /// It leaves with one of these addresses.
    Addresses(Vec<EgressAddress>),
    /// It cannot leave, for this reason.
    None(String),
}

/// A source address of traffic outside the VPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EgressAddress {
    /// The id of the NAT gateway or instance that has the address.
    pub via: String,
    /// The address.
    pub address: IpAddr,
}
