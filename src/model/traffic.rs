//! The path of each node's own traffic to the API server: the answer to the
//! question that this tool exists for.

use super::connection::Component;
use super::name::NodeName;

/// The path of a node's traffic to the API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeTraffic {
    /// The node.
    pub node: NodeName,
    /// The path of all its components together.
    pub path: TrafficPath,
    /// The path of each component: kubelet always, kube-proxy where it was seen or is
    /// required.
    pub components: Vec<ComponentTraffic>,
}

/// The path of a component's traffic to the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ComponentTraffic {
    /// The component.
    pub component: Component,
    /// Its path, from its established connections alone.
    pub path: TrafficPath,
}

/// A path as far as established connections prove it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrafficPath {
    /// Over the public endpoint.
    Public,
    /// Over EKS-owned ENIs, directly or by the `kubernetes` Service's `ClusterIP`.
    Private,
    /// Both.
    Mixed,
    /// Attempts only: connections in SYN-SENT and none that is established.
    None,
    /// Not known: no connection, or one whose peer could not be attributed.
    Unknown,
}

impl TrafficPath {
    /// The word for it in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
            Self::Mixed => "mixed",
            Self::None => "none",
            Self::Unknown => "unknown",
        }
    }
}
