//! Connections: sockets with direction and path.

use super::name::NodeName;
use super::socket::{Process, Socket, State};

/// The port of the kubelet's API, to which the control plane connects.
pub const KUBELET_PORT: u16 = 10250;

/// A socket of a node, with its direction and the attribution of its peer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Connection {
    /// The node.
    pub node: NodeName,
    /// The first process of the row.
    pub process: Option<Process>,
    /// The Kubernetes component among the row's processes.
    pub component: Option<Component>,
    /// The socket.
    pub socket: Socket,
    /// Which side opened the connection.
    pub direction: Direction,
    /// The path, and the evidence for it.
    pub attribution: Attribution,
}

/// The name of a process that its row does not name.
pub const UNNAMED: &str = "a process without a name";

impl Connection {
    /// The name of its process in reports: that of the component, if it is one.
    #[must_use]
    pub fn process_name(&self) -> &str {
        match (self.component, &self.process) {
            (Some(component), _) => component.as_str(),
            (None, Some(process)) => &process.name,
            (None, None) => UNNAMED,
        }
    }
}

/// Connections that are counted and not kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OmittedConnections {
    /// The node.
    pub node: NodeName,
    /// Their state.
    pub state: State,
    /// Their path.
    pub path: Path,
    /// Whether they may decide an outcome.
    pub is_read: bool,
    /// What they have in common with a connection that is kept, with wildcards for the local
    /// port and for the peer's port if that is a client's. `None` for those that differ from
    /// all that are kept: a node has more than the limits allow, which is a gap.
    pub kind: Option<Connection>,
    /// Their number.
    pub count: u64,
}

impl OmittedConnections {
    /// Whether they may decide an outcome, and none of their kind is kept.
    #[must_use]
    pub fn is_unseen(&self) -> bool {
        self.is_read && self.kind.is_none()
    }
}

/// A program on a node that connects to the API server, identified by its `comm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    /// `kubelet`.
    Kubelet,
    /// `kube-proxy`.
    KubeProxy,
    /// `aws-k8s-agent`, the VPC CNI's daemon.
    VpcCni,
    /// `controller`, the VPC CNI's network policy agent.
    NetworkPolicyAgent,
}

impl Component {
    /// The component with this `comm`.
    #[must_use]
    pub fn from_comm(comm: &[u8]) -> Option<Self> {
        match comm {
            b"kubelet" => Some(Self::Kubelet),
            b"kube-proxy" => Some(Self::KubeProxy),
            b"aws-k8s-agent" => Some(Self::VpcCni),
            b"controller" => Some(Self::NetworkPolicyAgent),
            _ => None,
        }
    }

    /// Its `comm`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kubelet => "kubelet",
            Self::KubeProxy => "kube-proxy",
            Self::VpcCni => "aws-k8s-agent",
            Self::NetworkPolicyAgent => "controller",
        }
    }

    /// Whether all its connections are reported, whatever their path.
    #[must_use]
    pub fn is_node_component(self) -> bool {
        matches!(self, Self::Kubelet | Self::KubeProxy)
    }
}

/// Which side opened a connection. It is derived from the ports alone: in private mode,
/// connections in both directions have the addresses of the same ENIs as their peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From the node to the API server: the peer port is 443 or the endpoint's port.
    Outbound,
    /// From the API server to the kubelet: the local port is 10250.
    Inbound,
    /// Neither.
    None,
}

impl Direction {
    /// Its name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Outbound => "outbound",
            Self::Inbound => "inbound",
            Self::None => "none",
        }
    }
}

/// The path of a connection: what its peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Path {
    /// An address of the cluster endpoint that is not one of the cluster's
    /// EKS-owned ENIs.
    PublicEndpoint,
    /// An address of one of this cluster's EKS-owned ENIs.
    PrivateEni,
    /// The `ClusterIP` of the `kubernetes` Service, which is forwarded to an EKS-owned ENI.
    ClusterIp,
    /// Another ENI of the VPC; on inbound connections also an address in the VPC's CIDR
    /// blocks or in the declared remote networks.
    Vpc,
    /// The node itself.
    Loopback,
    /// None of these, on a connection to port 443 from a known [`Component`] or to the
    /// kubelet's port 10250.
    Unattributed,
    /// None of these, on any other connection: traffic unrelated to the API server. Also an
    /// outbound connection to a pod whose address is not one of the VPC.
    Other,
}

impl Path {
    /// Its name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PublicEndpoint => "public-endpoint",
            Self::PrivateEni => "private-eni",
            Self::ClusterIp => "cluster-ip",
            Self::Vpc => "vpc",
            Self::Loopback => "loopback",
            Self::Unattributed => "unattributed",
            Self::Other => "other",
        }
    }

    /// Whether the peer is this cluster's API server.
    #[must_use]
    pub fn is_api_server(self) -> bool {
        matches!(self, Self::PublicEndpoint | Self::PrivateEni | Self::ClusterIp)
    }
}

/// The kind of evidence by which a peer was attributed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum By {
    /// DNS: the endpoint's host name resolved to the address.
    Dns,
    /// A network interface that has the address.
    Eni,
    /// An endpoint slice of the `kubernetes` Service.
    EndpointSlice,
    /// The cluster's service CIDR block.
    ServiceCidr,
    /// A CIDR block of the VPC or of one of its subnets, or a declared remote network.
    VpcCidr,
    /// TLS: the address showed a certificate for the endpoint's name that the cluster's CA
    /// signed.
    Tls,
    /// No evidence.
    None,
}

impl By {
    /// Its name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Eni => "eni",
            Self::EndpointSlice => "endpointslice",
            Self::ServiceCidr => "service-cidr",
            Self::VpcCidr => "vpc-cidr",
            Self::Tls => "tls",
            Self::None => "none",
        }
    }
}

/// The path of a connection and the evidence for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attribution {
    /// The path.
    pub path: Path,
    /// The kind of evidence.
    pub by: By,
    /// The network interface that has the address, as an index into
    /// [`Facts::interfaces`](super::facts::Facts::interfaces).
    pub eni: Option<usize>,
}
