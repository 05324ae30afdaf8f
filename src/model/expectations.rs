//! The settings that a policy allows for a cluster's endpoint.

use ipnet::IpNet;

use super::cluster::EndpointAccess;

/// The allowed settings. Without a policy: any access mode, and any CIDR block that is
/// not so wide that it counts as the whole internet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectations {
    /// The access modes that are allowed; `None` allows any.
    pub access: Option<Vec<AccessMode>>,
    /// Whether no public access is allowed, whatever its blocks.
    pub private_only: bool,
    /// The shortest allowed prefix of an IPv4 block; a wider block counts as the whole
    /// internet, and so do blocks that together hold four times as many addresses.
    pub widest_v4: u8,
    /// The same for IPv6.
    pub widest_v6: u8,
    /// The blocks that `publicAccessCidrs` may contain; `None` allows any.
    pub allowed: Option<Vec<AllowedCidr>>,
}

impl Default for Expectations {
    fn default() -> Self {
        Self { access: None, private_only: false, widest_v4: 8, widest_v6: 32, allowed: None }
    }
}

/// A CIDR block that may be in `publicAccessCidrs`.
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
    /// Public and private.
    PublicAndPrivate,
    /// Private only.
    Private,
}

impl AccessMode {
    /// All modes that EKS supports.
    pub const ALL: [Self; 3] = [Self::Public, Self::PublicAndPrivate, Self::Private];

    /// Its name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::PublicAndPrivate => "public-and-private",
            Self::Private => "private",
        }
    }

    /// Whether `access` has this mode, or may have it if a setting is unknown.
    #[must_use]
    pub fn may_be(self, access: &EndpointAccess) -> bool {
        let (public, private) = (self != Self::Private, self != Self::Public);
        access.public().is_none_or(|on| on == public) && access.private().is_none_or(|on| on == private)
    }
}
