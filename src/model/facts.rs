//! Facts: what the evidence amounts to once it is classified. Rules judge them and
//! reports show them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::connection::{Connection, Path};
use super::egress::NodeEgress;
use super::evidence::Evidence;
use super::gap::Gap;
use super::name::NodeName;
use super::net::Interface;
use super::node::Node;
use super::traffic::NodeTraffic;

/// All that is known of a cluster.
#[derive(Debug)]
pub struct Facts {
    /// The evidence itself.
    pub evidence: Evidence,
    /// The network interfaces with their kinds, in the evidence's order;
    /// empty where they were not seen.
    pub interfaces: Vec<ClassifiedInterface>,
    /// What each address is that the endpoint's name resolved to.
    pub endpoint_addresses: BTreeMap<IpAddr, Path>,
    /// The nodes, sorted by name.
    pub nodes: Vec<Node>,
    /// Nodes that should have been read and were not.
    pub missing_nodes: Vec<Gap>,
    /// The connections that matter, sorted.
    pub connections: Vec<Connection>,
    /// How many others there are.
    pub other_connections: u64,
    /// The path of each node's traffic to the API server, in the nodes' order.
    pub traffic: Vec<NodeTraffic>,
    /// How each node that EC2 lists leaves the VPC, sorted by instance id.
    pub egress: Vec<NodeEgress>,
}

impl Facts {
    /// This cluster's EKS-owned ENIs.
    pub fn eks_owned(&self) -> impl Iterator<Item = &ClassifiedInterface> {
        self.interfaces.iter().filter(|known| known.kind == InterfaceKind::EksOwned)
    }

    /// Who may reach the private endpoint, by the security groups of the
    /// EKS-owned ENIs, sorted. `None` where it is off or they were not seen.
    #[must_use]
    pub fn private_access_sources(&self) -> Option<Vec<String>> {
        let groups = self.evidence.network.security_groups.seen()?;
        let port = self.evidence.cluster.api_port();
        let on_enis: BTreeSet<_> = self.eks_owned().flat_map(|known| &known.interface.groups).collect();
        if self.evidence.cluster.access.private() != Some(true) || on_enis.is_empty() {
            return None;
        }
        let mut sources = BTreeSet::new();
        for id in on_enis {
            let group = groups.iter().find(|group| group.id == *id)?;
            let opens = group
                .ingress
                .iter()
                .filter(|rule| rule.ports.is_some_and(|(from, to)| (from..=to).contains(&port)));
            sources.extend(opens.flat_map(|rule| rule.sources.iter().cloned()));
        }
        Some(sources.into_iter().collect())
    }

    /// The connections of a node.
    #[must_use]
    pub fn connections_of(&self, node: &NodeName) -> &[Connection] {
        connections_of(&self.connections, node)
    }

    /// The traffic of a node.
    #[must_use]
    pub fn traffic_of(&self, node: &NodeName) -> Option<&NodeTraffic> {
        self.traffic.iter().find(|traffic| traffic.node == *node)
    }
}

/// The connections of a node, of connections that are sorted by node first.
#[must_use]
pub fn connections_of<'a>(connections: &'a [Connection], node: &NodeName) -> &'a [Connection] {
    let begin = connections.partition_point(|connection| connection.node < *node);
    let rest = &connections[begin..];
    &rest[..rest.partition_point(|connection| connection.node == *node)]
}

/// Whether the peer of a connection may be the API server and may be something else:
/// nothing explains it, or the endpoint's name resolves to it although no EKS-owned
/// ENI in the VPC was seen to have it.
#[must_use]
pub fn has_ambiguous_peer(connection: &Connection, endpoint_addresses: &BTreeMap<IpAddr, Path>) -> bool {
    let is_endpoint =
        || connection.socket.peer.ip().is_some_and(|peer| endpoint_addresses.contains_key(&peer));
    match connection.attribution.path {
        Path::Unattributed => true,
        Path::Vpc => is_endpoint(),
        _ => false,
    }
}

/// A network interface whose kind is known.
#[derive(Debug, Clone)]
pub struct ClassifiedInterface {
    /// The interface.
    pub interface: Interface,
    /// What it belongs to.
    pub kind: InterfaceKind,
    /// Why it is of that kind, in words.
    pub why: String,
}

/// Whose a network interface is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InterfaceKind {
    /// The control plane of this cluster.
    EksOwned,
    /// The control plane of another cluster.
    OtherCluster,
    /// A node of this cluster.
    Node,
    /// An EC2 instance that is no known node of this cluster.
    Instance,
    /// Pod addresses of the VPC CNI on an instance.
    VpcCni,
    /// The trunk that carries branch interfaces.
    Trunk,
    /// A pod with security groups of its own.
    Branch,
    /// A NAT gateway.
    NatGateway,
    /// A load balancer of any generation.
    LoadBalancer,
    /// A VPC endpoint of any type.
    VpcEndpoint,
    /// A transit gateway attachment.
    TransitGateway,
    /// An RDS database.
    Rds,
    /// A Lambda function.
    Lambda,
    /// An EFS mount target.
    Efs,
    /// A task or pod on Fargate, of ECS or EKS.
    Fargate,
    /// A directory of Directory Service.
    DirectoryService,
    /// None of these.
    Unknown,
}

impl InterfaceKind {
    /// The word for it in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EksOwned => "eks-owned",
            Self::OtherCluster => "other-cluster",
            Self::Node => "node",
            Self::Instance => "instance",
            Self::VpcCni => "vpc-cni",
            Self::Trunk => "trunk",
            Self::Branch => "branch",
            Self::NatGateway => "nat-gateway",
            Self::LoadBalancer => "load-balancer",
            Self::VpcEndpoint => "vpc-endpoint",
            Self::TransitGateway => "transit-gateway",
            Self::Rds => "rds",
            Self::Lambda => "lambda",
            Self::Efs => "efs",
            Self::Fargate => "fargate",
            Self::DirectoryService => "directory-service",
            Self::Unknown => "unknown",
        }
    }
}
