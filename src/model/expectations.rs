//! The settings that a policy allows for a cluster's endpoint.

use ipnet::IpNet;

use super::access::AccessMode;

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
