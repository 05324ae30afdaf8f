//! What a team's policy wants of a cluster's endpoint.

use ipnet::IpNet;

use super::cluster::EndpointAccess;

/// What is wanted; what a policy does not say is anything but the internet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The modes of which it has to be one; `None`: any will do.
    pub access: Option<Vec<AccessMode>>,
    /// An IPv4 block with a shorter prefix reaches the internet at large.
    pub widest_v4: u8,
    /// An IPv6 block with a shorter prefix reaches the internet at large.
    pub widest_v6: u8,
    /// The blocks that may be in `publicAccessCidrs`; `None`: nobody listed any.
    pub allowed: Option<Vec<AllowedCidr>>,
}

impl Default for Expected {
    fn default() -> Self {
        Self { access: None, widest_v4: 8, widest_v6: 32, allowed: None }
    }
}

/// A block that may reach the public endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedCidr {
    /// The block.
    pub cidr: IpNet,
    /// Who answers for it.
    pub owner: String,
    /// What it is for.
    pub reason: String,
    /// Until when, as it was written.
    pub expires: Option<String>,
    /// Whether that is over.
    pub is_over: bool,
}

/// A way in which an endpoint may be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessMode {
    /// Public only.
    Public,
    /// Both.
    PublicAndPrivate,
    /// Private only.
    Private,
}

impl AccessMode {
    /// Every mode that EKS has.
    pub const ALL: [Self; 3] = [Self::Public, Self::PublicAndPrivate, Self::Private];

    /// The word for it in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::PublicAndPrivate => "public-and-private",
            Self::Private => "private",
        }
    }

    /// Whether it may be this one, as far as is known.
    #[must_use]
    pub fn may_be(self, access: &EndpointAccess) -> bool {
        let (public, private) = (self != Self::Private, self != Self::Public);
        access.public().is_none_or(|on| on == public) && access.private().is_none_or(|on| on == private)
    }
}
