//! What was seen, and what was not.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::cluster::Cluster;
use super::gap::Gap;
use super::net::{DhcpOptions, Instance, Interface, NatGateway, RouteTable, SecurityGroup, Subnet, Vpc};

/// A thing that was seen, or the reason why it was not. "Could not see" is a
/// value of its own and never passes for an empty one.
#[derive(Debug, Clone)]
pub enum Observed<T> {
    /// It was seen.
    Seen(T),
    /// It was not.
    Unseen(Gap),
}

impl<T> Observed<T> {
    /// The thing, if it was seen.
    pub fn seen(&self) -> Option<&T> {
        match self {
            Self::Seen(value) => Some(value),
            Self::Unseen(_) => None,
        }
    }

    /// The thing, or a copy of the gap.
    ///
    /// # Errors
    /// The gap, if the thing was not seen.
    pub fn as_result(&self) -> Result<&T, Gap> {
        match self {
            Self::Seen(value) => Ok(value),
            Self::Unseen(gap) => Err(gap.clone()),
        }
    }
}

/// Everything about a cluster but its nodes' sockets.
#[derive(Debug)]
pub struct Evidence {
    /// `DescribeCluster`.
    pub cluster: Cluster,
    /// `DescribeNetworkInterfaces`, sorted by id.
    pub interfaces: Observed<Vec<Interface>>,
    /// `DescribeInstances`, sorted by id.
    pub instances: Observed<Vec<Instance>>,
    /// `DescribeVpcs` and `DescribeVpcAttribute`: the cluster's VPC.
    pub vpc: Observed<Vpc>,
    /// `DescribeSubnets`.
    pub subnets: Observed<Vec<Subnet>>,
    /// `DescribeDhcpOptions`.
    pub dhcp_options: Observed<Vec<DhcpOptions>>,
    /// `DescribeNatGateways`.
    pub nat_gateways: Observed<Vec<NatGateway>>,
    /// `DescribeRouteTables`.
    pub route_tables: Observed<Vec<RouteTable>>,
    /// `DescribeSecurityGroups`.
    pub security_groups: Observed<Vec<SecurityGroup>>,
    /// The endpoint's addresses by vantage point, sorted by its name.
    pub dns: Vec<Vantage>,
    /// What was asked for and not got, beyond the above.
    pub gaps: Vec<Gap>,
}

impl Evidence {
    /// Nothing seen, for one reason.
    #[must_use]
    pub fn none(gap: Gap) -> Self {
        Self {
            cluster: Cluster::unknown(),
            interfaces: Observed::Unseen(gap.clone()),
            instances: Observed::Unseen(gap.clone()),
            vpc: Observed::Unseen(gap.clone()),
            subnets: Observed::Unseen(gap.clone()),
            dhcp_options: Observed::Unseen(gap.clone()),
            nat_gateways: Observed::Unseen(gap.clone()),
            route_tables: Observed::Unseen(gap.clone()),
            security_groups: Observed::Unseen(gap.clone()),
            dns: Vec::new(),
            gaps: vec![gap],
        }
    }

    /// What the endpoint's name resolved to, from anywhere, each address once.
    #[must_use]
    pub fn endpoint_addresses(&self) -> BTreeSet<IpAddr> {
        let answers = self.dns.iter().filter_map(|vantage| vantage.answer.seen());
        answers.flat_map(|answer| answer.addresses.iter().copied()).collect()
    }

    /// The instances that are running nodes of the cluster.
    pub fn node_instances(&self) -> impl Iterator<Item = &Instance> {
        let instances = self.instances.seen().into_iter().flatten();
        instances.filter(|instance| instance.running && instance.is_node_of(&self.cluster.name))
    }

    /// What was not seen and would tell a path.
    #[must_use]
    pub fn unseen_of_paths(&self) -> Vec<Gap> {
        let files = [self.interfaces.as_result().err(), self.vpc.as_result().err()];
        let vantages = self.dns.iter().map(|vantage| vantage.answer.as_result().err());
        // Without a cluster, all is unseen for one reason.
        let rest = files.into_iter().chain(vantages).flatten().filter(|gap| !self.gaps.contains(gap));
        self.gaps.iter().cloned().chain(rest).collect()
    }

    /// Everything that was not seen, whether or not a rule asks for it.
    #[must_use]
    pub fn unseen(&self) -> Vec<Gap> {
        let files = [
            self.interfaces.as_result().err(),
            self.instances.as_result().err(),
            self.vpc.as_result().err(),
            self.subnets.as_result().err(),
            self.dhcp_options.as_result().err(),
            self.nat_gateways.as_result().err(),
            self.route_tables.as_result().err(),
            self.security_groups.as_result().err(),
        ];
        let vantages = self.dns.iter().map(|vantage| vantage.answer.as_result().err());
        files.into_iter().chain(vantages).flatten().chain(self.gaps.iter().cloned()).collect()
    }
}

/// What the endpoint's host name resolves to, seen from one place.
#[derive(Debug, Clone)]
pub struct Vantage {
    /// `here`, or a node's name.
    pub name: String,
    /// The answer.
    pub answer: Observed<Answer>,
}

/// Addresses in the order in which they were given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The addresses.
    pub addresses: Vec<IpAddr>,
    /// Lines that are no address: CNAMEs and comments.
    pub aside: Vec<String>,
    /// For how many seconds the answer may be kept, where that was recorded.
    pub ttl: Option<u32>,
}
