//! What a policy expects of a cluster's endpoint.

use ipnet::IpNet;

use super::cluster::EndpointAccess;

/// What is expected. Without a policy: any access mode, and no block as wide as the
/// internet at large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectations {
    /// The access modes that are allowed; `None` allows any.
    pub access: Option<Vec<AccessMode>>,
    /// An IPv4 block with a shorter prefix reaches the internet at large.
    pub widest_v4: u8,
    /// An IPv6 block with a shorter prefix reaches the internet at large.
    pub widest_v6: u8,
    /// The blocks that `publicAccessCidrs` may contain; `None` allows any.
    pub allowed: Option<Vec<AllowedCidr>>,
}

impl Default for Expectations {
    fn default() -> Self {
        Self { access: None, widest_v4: 8, widest_v6: 32, allowed: None }
    }
}

/// A block that may reach the public endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedCidr {
    /// The block.
    pub cidr: IpNet,
    /// Its owner.
    pub owner: String,
    /// Its purpose.
    pub reason: String,
    /// When it expires, as written in the policy.
    pub expires: Option<String>,
    /// Whether it has expired.
    pub is_expired: bool,
}

/// An access mode of an endpoint.
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

    /// Whether the access may be of this mode, as far as it is known.
    #[must_use]
    pub fn may_be(self, access: &EndpointAccess) -> bool {
        let (public, private) = (self != Self::Private, self != Self::Public);
        access.public().is_none_or(|on| on == public) && access.private().is_none_or(|on| on == private)
    }
}
