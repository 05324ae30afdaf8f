//! Facts: the classified evidence, which rules judge and reports show.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::architecture::Leg;
use super::cluster::Cluster;
use super::connection::{Component, Connection, Direction, OmittedConnections, Path};
use super::egress::NodeEgress;
use super::evidence::Evidence;
use super::gap::{Gap, Observed, Subject};
use super::name::NodeName;
use super::net::Interface;
use super::node::Node;
use super::ranges::is_native_ipv6;
use super::reach::NodeReach;
use super::seen_from::SeenFrom;
use super::traffic::NodeTraffic;

/// The facts about a cluster.
#[derive(Debug)]
pub struct Facts {
    /// The evidence from which they were derived.
    pub evidence: Evidence,
    /// The network interfaces with their kinds, in the order of the evidence; empty if
    /// they were not obtained.
    pub interfaces: Vec<ClassifiedInterface>,
    /// The path of each address that the endpoint's name resolved to.
    pub endpoint_addresses: BTreeMap<IpAddr, Path>,
    /// The nodes, sorted by name.
    pub nodes: Vec<Node>,
    /// The gaps for known nodes that were not read.
    pub missing_nodes: Vec<Gap>,
    /// The reported connections, sorted: those of kubelet and kube-proxy, those with the
    /// API server, and unattributed ones.
    pub connections: Vec<Connection>,
    /// The numbers of reported connections that are not kept, sorted by node. Rules that
    /// count connections add them; others lose nothing without them.
    pub connections_omitted: Vec<OmittedConnections>,
    /// By node, the processes with an established connection to port 443 of a public address
    /// that nothing explains; the first ones by name. Without a name: one that its row does not
    /// list. A peer may be the public endpoint only if its addresses are not known.
    pub unplaced: BTreeMap<NodeName, BTreeSet<Option<String>>>,
    /// The number of all other sockets.
    pub other_connections: u64,
    /// The path of each node's traffic to the API server, in the order of `nodes`.
    pub traffic: Vec<NodeTraffic>,
    /// The machines whose sockets the capture of each node holds, in the order of `nodes`:
    /// one, unless the output of several was put into one capture.
    pub machines: Vec<Vec<Machine>>,
    /// The nodes whose captures are of other machines than their names say, or of one of which there
    /// is another capture. They have a gap, and their paths are not known.
    pub other_machines: BTreeSet<NodeName>,
    /// The egress addresses of each node that EC2 lists, sorted by instance id.
    pub egress: Vec<NodeEgress>,
    /// What the security groups admit between the EKS-owned ENIs and each node that EC2
    /// lists, sorted by instance id.
    pub reach: Observed<Vec<NodeReach>>,
    /// The subnets of the EKS-owned ENIs from which nothing leads out of the VPC, if the
    /// control plane's traffic is routed through it (`CUSTOMER_ROUTED`). `None` if it is
    /// not, or the routes are not known.
    pub subnets_without_egress: Option<Vec<String>>,
    /// What each place sees of the API server.
    pub seen_from: SeenFrom,
    /// The ways between operator, nodes and API server: what is expected and what was
    /// observed.
    pub architecture: Vec<Leg>,
    /// What changes if evidence that is recorded as incomplete counts as missing; `None` if
    /// none is.
    pub incomplete: Option<Box<Incomplete>>,
}

/// Evidence that is there and of which its source says that it is a part.
#[derive(Debug)]
pub struct Incomplete {
    /// What the source says.
    pub gaps: Vec<Gap>,
    /// The facts without this evidence.
    pub without: Facts,
}

impl Facts {
    /// The cluster's EKS-owned ENIs.
    pub fn eks_owned(&self) -> impl Iterator<Item = &ClassifiedInterface> {
        self.interfaces.iter().filter(|eni| eni.kind == InterfaceKind::EksOwned)
    }

    /// The sources (CIDR blocks, security groups, prefix lists) that the security groups
    /// of the EKS-owned ENIs admit to the private endpoint, sorted. `None` if private
    /// access is not on, or the groups are not known.
    #[must_use]
    pub fn private_access_sources(&self) -> Option<Vec<String>> {
        let groups = self.evidence.network.security_groups.seen()?;
        let port = self.evidence.cluster.api_port();
        let on_enis: BTreeSet<_> = self.eks_owned().flat_map(|eni| &eni.interface.groups).collect();
        if self.evidence.cluster.access.private() != Some(true) || on_enis.is_empty() {
            return None;
        }
        let mut sources = BTreeSet::new();
        for id in on_enis {
            let group = groups.iter().find(|group| group.id == *id)?;
            let admitting = group
                .ingress
                .as_ref()?
                .iter()
                .filter(|rule| rule.ports.is_some_and(|(from, to)| (from..=to).contains(&port)));
            sources.extend(admitting.flat_map(|rule| rule.peers.iter().map(ToString::to_string)));
        }
        Some(sources.into_iter().collect())
    }

    /// The number of nodes that EC2 or Kubernetes lists and of which there is no capture. A pod on
    /// Fargate is none.
    #[must_use]
    pub fn unread_nodes(&self) -> usize {
        if self.nodes.is_empty() {
            let others = self.evidence.nodes_of_kubernetes_alone().filter(|node| !node.is_fargate());
            return self.evidence.node_instances().count() + others.count();
        }
        let is_node = |subject: &Subject| matches!(subject, Subject::Node(_) | Subject::Instance(_));
        self.missing_nodes.iter().filter(|gap| is_node(&gap.subject)).count()
    }

    /// Whether every known node was read and resolves the endpoint's name to EKS-owned ENIs
    /// alone.
    #[must_use]
    pub fn all_nodes_resolve_to_enis(&self) -> bool {
        let is_private = |address| self.endpoint_addresses.get(address) == Some(&Path::PrivateEni);
        let resolves = |node: &Node| {
            let own = self.evidence.vantage(node.name.as_str());
            let answer = own.and_then(|vantage| vantage.answer.seen());
            answer.is_some_and(|answer| answer.addresses.iter().all(is_private))
        };
        let is_read = |node: &Node| node.gaps.is_empty() && node.sockets() > 0;
        let are_all_known = self.evidence.network.instances.seen().is_some() && self.missing_nodes.is_empty();
        are_all_known
            && !self.nodes.is_empty()
            && self.nodes.iter().all(|node| is_read(node) && resolves(node))
    }

    /// The nodes that resolve the endpoint's name to an address that no EKS-owned ENI has,
    /// each with that address.
    #[must_use]
    pub fn nodes_that_resolve_elsewhere(&self) -> Vec<String> {
        let is_private = |address: &&IpAddr| self.endpoint_addresses.get(address) == Some(&Path::PrivateEni);
        let of_nodes = self.evidence.dns.iter().filter(|vantage| {
            let is_named = |node: &Node| node.name.as_str().cmp(&vantage.name);
            self.nodes.binary_search_by(is_named).is_ok()
        });
        let elsewhere = of_nodes.filter_map(|vantage| {
            let address = vantage.answer.seen()?.addresses.iter().find(|address| !is_private(address))?;
            Some(format!("{} to {address}", vantage.name))
        });
        elsewhere.collect()
    }

    /// The connections of kubelet and kube-proxy to port 443 of addresses that nothing explains,
    /// with attempts to connect.
    pub fn unexplained(&self) -> impl Iterator<Item = &Connection> {
        self.connections.iter().filter(|connection| {
            connection.component.is_some_and(Component::is_node_component)
                && connection.direction == Direction::Outbound
                && connection.socket.state.may_be_open_or_opening()
                && connection.attribution.path == Path::Unattributed
        })
    }

    /// Whether the peer of a connection is in a CIDR block of the VPC.
    #[must_use]
    pub fn is_in_vpc(&self, connection: &Connection) -> bool {
        let vpc = self.evidence.network.vpc.seen();
        let peer = connection.socket.peer.ip();
        peer.zip(vpc).is_some_and(|(peer, vpc)| vpc.cidrs.iter().any(|block| block.contains(&peer)))
    }

    /// The known addresses of the public endpoint.
    pub fn public_addresses(&self) -> impl Iterator<Item = IpAddr> {
        let public = self.endpoint_addresses.iter().filter(|(_, path)| **path == Path::PublicEndpoint);
        public.map(|(address, _)| *address)
    }

    /// Whether the public endpoint is known to have IPv6 addresses of its own: that of an IPv4
    /// cluster has none, and what DNS64 answers for it is an IPv4 address.
    ///
    /// <https://docs.aws.amazon.com/eks/latest/userguide/cluster-endpoint.html>
    #[must_use]
    pub fn has_ipv6_public_endpoint(&self) -> bool {
        self.public_addresses().any(|address| is_native_ipv6(&address))
    }

    /// The egress of the node with an instance id.
    #[must_use]
    pub fn egress_of(&self, instance: &str) -> Option<&NodeEgress> {
        let at = self.egress.binary_search_by(|egress| egress.instance.as_str().cmp(instance)).ok();
        self.egress.get(at?)
    }

    /// Whether a captured node is in one of the networks of hybrid nodes.
    #[must_use]
    pub fn is_hybrid(&self, node: &NodeName) -> bool {
        let remote = &self.evidence.cluster.remote_node_networks;
        let mut addresses = self.machines_of(node).iter().flat_map(|machine| &machine.addresses);
        addresses.any(|address| remote.iter().any(|network| network.contains(address)))
    }

    /// A captured node.
    #[must_use]
    pub fn node(&self, name: &NodeName) -> Option<&Node> {
        self.nodes.get(self.position(name)?)
    }

    /// The machines of a node's capture.
    #[must_use]
    pub fn machines_of(&self, node: &NodeName) -> &[Machine] {
        self.position(node).and_then(|at| self.machines.get(at)).map_or(&[], Vec::as_slice)
    }

    /// The place of a captured node among all, which are sorted.
    fn position(&self, node: &NodeName) -> Option<usize> {
        self.nodes.binary_search_by(|known| known.name.cmp(node)).ok()
    }

    /// Connections with the number of those that each stands for: one for one that is kept,
    /// more for the kind of those that are not.
    pub fn counted_connections(&self) -> impl Iterator<Item = (&Connection, u64)> {
        let kept = self.connections.iter().map(|connection| (connection, 1));
        let omitted = self.connections_omitted.iter();
        kept.chain(omitted.filter_map(|omitted| Some((omitted.kind.as_ref()?, omitted.count))))
    }

    /// Whether any connection of a node is counted of whose kind none is kept.
    #[must_use]
    pub fn has_unlisted(&self, node: &NodeName) -> bool {
        let begin = self.connections_omitted.partition_point(|omitted| omitted.node < *node);
        let own = self.connections_omitted[begin..].iter().take_while(|omitted| omitted.node == *node);
        { own }.any(|omitted| omitted.kind.is_none())
    }

    /// The connections of a node.
    #[must_use]
    pub fn connections_of(&self, node: &NodeName) -> &[Connection] {
        connections_of(&self.connections, node)
    }
}

/// The connections of a node, from a slice that is sorted by node.
#[must_use]
pub fn connections_of<'a>(connections: &'a [Connection], node: &NodeName) -> &'a [Connection] {
    let begin = connections.partition_point(|connection| connection.node < *node);
    let rest = &connections[begin..];
    &rest[..rest.partition_point(|connection| connection.node == *node)]
}

/// Whether the peer of a connection may or may not be the API server: it is
/// unattributed, or it is an address in the VPC to which the endpoint's name resolves and
/// that is not known to belong to an EKS-owned ENI.
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

/// A machine whose sockets a capture holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// The instance that has its addresses, if EC2 lists one.
    pub instance: Option<String>,
    /// Its local addresses that identify it.
    pub addresses: BTreeSet<IpAddr>,
    /// Whether a socket of its kubelet was seen.
    pub has_kubelet: bool,
}

/// A network interface with its kind.
#[derive(Debug, Clone)]
pub struct ClassifiedInterface {
    /// The interface.
    pub interface: Arc<Interface>,
    /// Its kind.
    pub kind: InterfaceKind,
    /// The explanation for an interface that has the description of an EKS-owned ENI;
    /// empty for others.
    pub why: String,
}

impl ClassifiedInterface {
    /// Whether it belongs, or may belong, to a pod of this cluster on Fargate, which has the
    /// cluster security group. What is not recorded decides nothing.
    #[must_use]
    pub fn is_fargate_pod_of(&self, cluster: &Cluster) -> bool {
        let Interface { vpc, groups, description, attachment, .. } = &*self.interface;
        let is_on_foreign_host = || {
            let attachment = attachment.as_ref().filter(|attachment| attachment.instance.is_none());
            let owner = attachment.and_then(|attachment| attachment.instance_owner.as_deref());
            owner.is_some_and(|owner| owner.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let may_be_fargate = match self.kind {
            InterfaceKind::Fargate => true,
            InterfaceKind::Unknown => description.is_empty() && is_on_foreign_host(),
            _ => false,
        };
        let group = cluster.security_group.as_ref().filter(|id| !id.is_empty());
        let has_group = groups.iter().all(String::is_empty) || group.is_none_or(|id| groups.contains(id));
        let is_in_vpc = vpc.is_empty() || cluster.vpc.as_ref().is_none_or(|id| id == vpc);
        may_be_fargate && has_group && is_in_vpc
    }
}

/// The kind of a network interface: what it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InterfaceKind {
    /// The control plane of this cluster.
    EksOwned,
    /// The control plane of another cluster.
    OtherCluster,
    /// A node of this cluster.
    Node,
    /// An EC2 instance that is not known to be a node of this cluster.
    Instance,
    /// The pods of an instance: a secondary interface that the VPC CNI manages.
    VpcCni,
    /// A trunk interface, which carries branch interfaces.
    Trunk,
    /// A branch interface: a pod with its own security groups.
    Branch,
    /// A NAT gateway.
    NatGateway,
    /// A load balancer of any type.
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
    /// An ECS task or EKS pod on Fargate.
    Fargate,
    /// A directory of Directory Service.
    DirectoryService,
    /// None of these.
    Unknown,
}

impl InterfaceKind {
    /// Its name in reports.
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
