//! Whether security groups admit the traffic between the nodes and the EKS-owned ENIs.

/// Whether security groups admit the traffic between a node and the EKS-owned ENIs.
#[derive(Debug, Clone)]
pub struct NodeReach {
    /// The node's instance id.
    pub instance: String,
    /// The node's private DNS name or `Name` tag.
    pub name: Option<String>,
    /// The security groups of its primary interface.
    pub groups: Vec<String>,
    /// From the node to the API server's port of the ENIs.
    pub api: Reach,
    /// From the ENIs to the port of the node's kubelet.
    pub kubelet: Reach,
}

/// What the security groups and the sockets show about one direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// What the security groups admit.
    pub admission: Admission,
    /// Whether an established connection was seen, which proves that packets pass.
    pub is_established: bool,
}

/// Whether security groups admit a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// They admit it with at least one of the ENIs.
    Admitted,
    /// They admit it with none of the ENIs; these rules would admit it.
    Blocked(Vec<MissingRule>),
    /// It is not known, for this reason.
    Unknown(String),
}

/// A rule of a security group that would admit a connection.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MissingRule {
    /// The group to which the rule would be added.
    pub group: String,
    /// Whether it is an inbound or an outbound rule.
    pub side: RuleSide,
    /// The TCP port.
    pub port: u16,
    /// The group or block that is its source or destination.
    pub peer: String,
}

/// The direction of the packets for which a rule of a security group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuleSide {
    /// Packets to the interface.
    Inbound,
    /// Packets from the interface.
    Outbound,
}

impl RuleSide {
    /// The word before the other end: packets come from it or go to it.
    #[must_use]
    pub fn preposition(self) -> &'static str {
        match self {
            Self::Inbound => "from",
            Self::Outbound => "to",
        }
    }

    /// Its name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}
