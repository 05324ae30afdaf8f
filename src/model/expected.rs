//! What a team's policy wants of a cluster's endpoint.

use ipnet::IpNet;

/// What is wanted; what a policy does not say is anything but the internet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Words of [`EndpointAccess`](super::cluster::EndpointAccess) of which it
    /// has to be one; none: any will do.
    pub access: Vec<String>,
    /// An IPv4 block with a shorter prefix reaches the internet at large.
    pub widest_v4: u8,
    /// An IPv6 block with a shorter prefix reaches the internet at large.
    pub widest_v6: u8,
    /// The blocks that may be in `publicAccessCidrs`; `None`: nobody listed any.
    pub allowed: Option<Vec<AllowedCidr>>,
}

impl Default for Expected {
    fn default() -> Self {
        Self { access: Vec::new(), widest_v4: 8, widest_v6: 32, allowed: None }
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
