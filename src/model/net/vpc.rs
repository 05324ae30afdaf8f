//! VPCs, subnets and DHCP option sets.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

/// A VPC.
#[derive(Debug, Clone, Default)]
pub struct Vpc {
    /// `vpc-...`.
    pub id: String,
    /// All its CIDR blocks, of both families.
    pub cidrs: Vec<IpNet>,
    /// Its primary IPv4 block.
    pub primary: Option<Ipv4Net>,
    /// Its DHCP option set.
    pub dhcp_options: Option<String>,
    /// `enableDnsSupport`; `None` if not obtained.
    pub dns_support: Option<bool>,
    /// `enableDnsHostnames`; `None` if not obtained.
    pub dns_hostnames: Option<bool>,
    /// Its state of Block Public Access; `None` if not recorded.
    pub block_mode: Option<BlockMode>,
}

impl Vpc {
    /// Whether a name server is the VPC's own resolver, by name or by one of its addresses:
    /// two fixed ones, and the base address of the VPC's primary block plus two.
    ///
    /// <https://docs.aws.amazon.com/vpc/latest/userguide/AmazonDNS-concepts.html>
    #[must_use]
    pub fn is_own_resolver(&self, server: &str) -> bool {
        let base_plus_two =
            |block: Ipv4Net| u32::from(block.network()).checked_add(2).map(|bits| IpAddr::V4(bits.into()));
        match server.parse::<IpAddr>() {
            Ok(address) => {
                server == "169.254.169.253"
                    || server == "fd00:ec2::253"
                    || self.primary.and_then(base_plus_two) == Some(address)
            }
            Err(_) => server == "AmazonProvidedDNS",
        }
    }
}

/// The traffic of internet gateways that VPC Block Public Access blocks. It applies to
/// the way through a NAT gateway as well.
///
/// <https://docs.aws.amazon.com/vpc/latest/userguide/security-vpc-bpa.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BlockMode {
    /// `off`: none.
    Off,
    /// `block-ingress`: connections from the internet.
    Ingress,
    /// `block-bidirectional`: all.
    Bidirectional,
}

impl BlockMode {
    /// Its name in the answers of EC2.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Ingress => "block-ingress",
            Self::Bidirectional => "block-bidirectional",
        }
    }
}

/// A subnet.
#[derive(Debug, Clone)]
pub struct Subnet {
    /// `subnet-...`; missing in some recordings.
    pub id: Option<String>,
    /// Its VPC.
    pub vpc: String,
    /// Its CIDR blocks, of both families.
    pub cidrs: Vec<IpNet>,
    /// Its state of Block Public Access, which takes precedence over that of the VPC;
    /// `None` if not recorded.
    pub block_mode: Option<BlockMode>,
}

/// A DHCP option set.
#[derive(Debug, Clone)]
pub struct DhcpOptions {
    /// `dopt-...`.
    pub id: String,
    /// `domain-name-servers`.
    pub dns_servers: Vec<String>,
}
