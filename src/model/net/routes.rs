//! NAT gateways and route tables.

use std::net::IpAddr;

use ipnet::IpNet;

/// A NAT gateway.
#[derive(Debug, Clone)]
pub struct NatGateway {
    /// `nat-...`.
    pub id: String,
    /// Whether it is in service: neither failed nor deleted.
    pub available: bool,
    /// Whether its `ConnectivityType` is `private`: it leads to other networks, not to the
    /// internet.
    pub is_private: bool,
    /// Its subnet; a regional one has none.
    pub subnet: Option<String>,
    /// Its public addresses; a private NAT gateway has none.
    pub public_ips: Vec<IpAddr>,
    /// Whether AWS adds public addresses to it, as it does to a regional one on demand and
    /// in new availability zones.
    pub has_automatic_addresses: bool,
}

/// A route table.
#[derive(Debug, Clone)]
pub struct RouteTable {
    /// `rtb-...`.
    pub id: Option<String>,
    /// Its VPC.
    pub vpc: Option<String>,
    /// Whether it is the main route table, which subnets without an association use.
    pub main: bool,
    /// The subnets that are explicitly associated with it.
    pub subnets: Vec<String>,
    /// Its routes.
    pub routes: Vec<Route>,
}

/// A route of a [`RouteTable`].
#[derive(Debug, Clone)]
pub struct Route {
    /// The destination; `None` for a prefix list, whose addresses `DescribeRouteTables`
    /// does not return.
    pub destination: Option<IpNet>,
    /// The target.
    pub target: RouteTarget,
}

/// The target of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteTarget {
    /// The VPC itself.
    Local,
    /// An internet gateway: the egress address is the instance's own public address.
    InternetGateway,
    /// A NAT gateway, by id.
    NatGateway(String),
    /// Anything else (transit gateway, peering, firewall, NAT instance), by id.
    Other(String),
    /// A target that no longer exists.
    Blackhole,
}
