//! The path of each node's traffic to the API server: the main result of an audit.

use super::connection::Component;
use super::name::NodeName;

/// The path of a node's traffic to the API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeTraffic {
    /// The node.
    pub node: NodeName,
    /// The combined path of its components.
    pub path: TrafficPath,
    /// The path of each component: always kubelet; kube-proxy if it runs on any node, or
    /// if the capture may have been filtered.
    pub components: Vec<ComponentTraffic>,
}

impl NodeTraffic {
    /// Makes the path unknown.
    pub fn unsee(&mut self) {
        self.path = TrafficPath::Unknown;
        self.components.iter_mut().for_each(|component| component.path = TrafficPath::Unknown);
    }
}

/// The path of a component's traffic to the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ComponentTraffic {
    /// The component.
    pub component: Component,
    /// Its path, derived from its established connections only.
    pub path: TrafficPath,
}

/// The path of traffic, as proved by established connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrafficPath {
    /// Over the public endpoint.
    Public,
    /// Over EKS-owned ENIs, directly or through the `ClusterIP` of the `kubernetes` Service.
    Private,
    /// Both.
    Mixed,
    /// No established connection, only attempts in SYN-SENT.
    None,
    /// Not known: no connection, or one whose peer could not be attributed.
    Unknown,
}

impl TrafficPath {
    /// Whether established connections show it.
    #[must_use]
    pub fn is_known(self) -> bool {
        matches!(self, Self::Public | Self::Private | Self::Mixed)
    }

    /// Its name in reports.
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
