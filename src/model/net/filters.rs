//! Security groups and network ACLs.

use std::fmt;

use ipnet::IpNet;

/// A security group with its rules. Its rules for one direction are `None` if they are
/// not recorded; an empty list admits nothing.
#[derive(Debug, Clone)]
pub struct SecurityGroup {
    /// `sg-...`.
    pub id: String,
    /// Its account.
    pub owner: Option<String>,
    /// Its inbound rules.
    pub ingress: Option<Vec<GroupRule>>,
    /// Its outbound rules.
    pub egress: Option<Vec<GroupRule>>,
}

/// A rule of a [`SecurityGroup`].
#[derive(Debug, Clone)]
pub struct GroupRule {
    /// The range of TCP ports; `None` if the rule is for another protocol.
    pub ports: Option<(u16, u16)>,
    /// The sources of an inbound rule, the destinations of an outbound one.
    pub peers: Vec<RulePeer>,
}

/// A source or destination of a [`GroupRule`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RulePeer {
    /// A CIDR block.
    Block(IpNet),
    /// A security group: the interfaces that have it.
    Group {
        /// `sg-...`.
        id: String,
        /// Its account.
        account: Option<String>,
    },
    /// A prefix list, whose blocks `DescribeSecurityGroups` does not return.
    PrefixList(String),
    /// Any other text.
    Other(String),
}

impl fmt::Display for RulePeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block(block) => block.fmt(f),
            Self::Group { id, .. } => f.write_str(id),
            Self::PrefixList(text) | Self::Other(text) => f.write_str(text),
        }
    }
}

/// A network ACL with its entries.
#[derive(Debug, Clone)]
pub struct NetworkAcl {
    /// `acl-...`.
    pub id: String,
    /// Its VPC.
    pub vpc: Option<String>,
    /// The subnets that have it.
    pub subnets: Vec<String>,
    /// Its entries, in the order in which EC2 evaluates them: the first that matches a packet
    /// decides.
    pub entries: Vec<AclEntry>,
}

/// An entry of a [`NetworkAcl`].
#[derive(Debug, Clone)]
pub struct AclEntry {
    /// Its number, which gives the order.
    pub number: u32,
    /// Whether it is for packets that leave the subnet; otherwise for those that enter it.
    pub is_outbound: bool,
    /// Whether it lets packets pass.
    pub allows: bool,
    /// The range of TCP ports; `None` if it is for another protocol.
    pub ports: Option<(u16, u16)>,
    /// The block of the other end; `None` if it is not one.
    pub block: Option<IpNet>,
}
