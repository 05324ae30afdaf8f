//! A socket with its direction and path.

use super::name::NodeName;
use super::socket::{Process, Socket};

/// The kubelet's own port, on which the control plane reaches it.
pub const KUBELET_PORT: u16 = 10250;

/// A socket of a node, attributed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Connection {
    /// The node it was seen on.
    pub node: NodeName,
    /// The first process that the row names.
    pub process: Option<Process>,
    /// The Kubernetes component among the row's processes.
    pub component: Option<Component>,
    /// The socket.
    pub socket: Socket,
    /// Who dialled whom.
    pub direction: Direction,
    /// What the peer is.
    pub attribution: Attribution,
}

/// Programs on a node that talk to the API server, by their `comm`.
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
    /// The component of this `comm`.
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

    /// Whether every row of it is reported, whatever its path.
    #[must_use]
    pub fn is_node_component(self) -> bool {
        matches!(self, Self::Kubelet | Self::KubeProxy)
    }
}

/// Who dialled whom, told by ports alone: in private mode both ways have the
/// same peer address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Node to API server: the peer's port is 443 or the endpoint's.
    Outbound,
    /// To the kubelet: the local port is 10250.
    Inbound,
    /// Neither.
    None,
}

impl Direction {
    /// The word for it in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Outbound => "outbound",
            Self::Inbound => "inbound",
            Self::None => "none",
        }
    }
}

/// What the peer of a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Path {
    /// An address of the cluster endpoint that is not one of the cluster's
    /// EKS-owned ENIs.
    PublicEndpoint,
    /// An address of one of this cluster's EKS-owned ENIs.
    PrivateEni,
    /// The `kubernetes` Service's `ClusterIP`; it ends on an ENI.
    ClusterIp,
    /// Another ENI of the VPC, or an address in the VPC's CIDRs.
    Vpc,
    /// This host.
    Loopback,
    /// None of these, on port 443 from, or on :10250 to, a component that
    /// talks to the API server.
    Unattributed,
    /// Traffic that has nothing to do with the API server.
    Other,
}

impl Path {
    /// The word for it in reports.
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

/// The evidence that attributed a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum By {
    /// An answer for the endpoint's host name.
    Dns,
    /// A network interface that has the address.
    Eni,
    /// The cluster's service range.
    ServiceCidr,
    /// A CIDR block of the VPC or of one of its subnets.
    VpcCidr,
    /// Nothing.
    None,
}

impl By {
    /// The word for it in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Eni => "eni",
            Self::ServiceCidr => "service-cidr",
            Self::VpcCidr => "vpc-cidr",
            Self::None => "none",
        }
    }
}

/// What a peer is, and how that is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attribution {
    /// What the peer is.
    pub path: Path,
    /// What told it.
    pub by: By,
    /// The network interface that has the address, as an index into
    /// [`Facts::interfaces`](super::facts::Facts::interfaces).
    pub eni: Option<usize>,
}
