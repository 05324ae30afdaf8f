//! The cluster, as described by `DescribeCluster`.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

/// An EKS cluster.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Its name, case-sensitive.
    pub name: String,
    /// Its ARN; missing in some recordings.
    pub arn: Option<String>,
    /// Its status as EKS reports it: `ACTIVE`, `CREATING`, ...
    pub status: Option<String>,
    /// Where the control plane runs.
    pub hosting: Hosting,
    /// The API server endpoint; absent while the cluster is being created, and for
    /// clusters that are registered through EKS Connector.
    pub endpoint: Option<ApiEndpoint>,
    /// Its certificate authority, in PEM and Base64 as EKS returns it.
    pub certificate_authority: Option<String>,
    /// Endpoint access: whether the public and the private endpoint are on, and the CIDR
    /// blocks that may reach the public one.
    pub access: EndpointAccess,
    /// The VPC of the cluster's subnets.
    pub vpc: Option<String>,
    /// The subnets in which EKS places its network interfaces.
    pub subnets: Vec<String>,
    /// The cluster security group, which EKS creates for control plane and nodes.
    pub security_group: Option<String>,
    /// The `ClusterIP`s of the `kubernetes` Service: the first address of each service
    /// CIDR block.
    pub cluster_ips: Vec<IpAddr>,
    /// The service CIDR blocks, of which no host has an address.
    pub service_blocks: Vec<IpNet>,
    /// `controlPlaneEgressMode`, which is reported but not judged by any rule.
    pub egress_mode: Option<String>,
    /// Whether EKS Auto Mode is on. Its nodes do not accept ssh.
    pub auto_mode: bool,
    /// Whether hybrid nodes are enabled (`remoteNetworkConfig`). EC2 does not list them.
    pub hybrid_nodes_enabled: bool,
    /// The networks of hybrid nodes (`remoteNodeNetworks`), outside the VPC.
    pub remote_node_networks: Vec<IpNet>,
    /// The networks of pods on hybrid nodes (`remotePodNetworks`), outside the VPC.
    pub remote_pod_networks: Vec<IpNet>,
}

impl Cluster {
    /// A cluster about which nothing is known.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            name: String::new(),
            arn: None,
            status: None,
            hosting: Hosting::Region,
            endpoint: None,
            certificate_authority: None,
            access: EndpointAccess::Unknown { public: None, private: None, cidrs: Vec::new() },
            vpc: None,
            subnets: Vec::new(),
            security_group: None,
            cluster_ips: Vec::new(),
            service_blocks: Vec::new(),
            egress_mode: None,
            auto_mode: false,
            hybrid_nodes_enabled: false,
            remote_node_networks: Vec::new(),
            remote_pod_networks: Vec::new(),
        }
    }

    /// The region, read from the ARN.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.arn.as_deref()?.split(':').nth(3).filter(|part| !part.is_empty())
    }

    /// The account, read from the ARN; `None` if the ARN is not recorded or redacted.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        let is_account = |part: &&str| part.len() == 12 && part.bytes().all(|byte| byte.is_ascii_digit());
        self.arn.as_deref()?.split(':').nth(4).filter(is_account)
    }

    /// The subject of findings about the cluster: its ARN, or its name if the ARN is not
    /// known.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.arn.as_deref().unwrap_or(&self.name)
    }

    /// The CIDR blocks that may reach the public endpoint: 0.0.0.0/0 if no list is
    /// recorded, and none if the endpoint is off or not run by EKS.
    #[must_use]
    pub fn public_cidrs(&self) -> Vec<IpNet> {
        match &self.hosting {
            Hosting::Connector => Vec::new(),
            _ => self.access.public_cidrs(),
        }
    }

    /// The same, merged.
    #[must_use]
    pub fn allowed(&self) -> AllowedBlocks {
        AllowedBlocks::new(&self.public_cidrs())
    }

    /// The port of the API server.
    #[must_use]
    pub fn api_port(&self) -> u16 {
        self.endpoint.as_ref().map_or(443, |endpoint| endpoint.port)
    }
}

/// The union of the CIDR blocks that may reach the public endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedBlocks(Vec<IpNet>);

impl AllowedBlocks {
    fn new(cidrs: &Vec<IpNet>) -> Self {
        Self(IpNet::aggregate(cidrs))
    }

    /// The blocks, merged.
    #[must_use]
    pub fn blocks(&self) -> &[IpNet] {
        &self.0
    }

    /// Whether an address may reach it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|block| block.contains(&address))
    }

    /// Whether every address of some blocks may reach it.
    #[must_use]
    pub fn contains_all(&self, blocks: &[IpNet]) -> bool {
        blocks.iter().all(|block| self.0.iter().any(|known| known.contains(block)))
    }

    /// Whether every IPv4 address may reach it.
    #[must_use]
    pub fn contains_ipv4(&self) -> bool {
        self.0.iter().any(|block| block.prefix_len() == 0 && block.addr().is_ipv4())
    }

    /// The addresses that may reach it, and those that may not.
    pub fn partition(&self, addresses: impl IntoIterator<Item = IpAddr>) -> (Vec<IpAddr>, Vec<IpAddr>) {
        addresses.into_iter().partition(|address| self.contains(*address))
    }
}

/// Where a cluster's control plane runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hosting {
    /// In the region, in an account of AWS: the default.
    Region,
    /// On Outposts (a local cluster): the control plane's instances and network
    /// interfaces are in the customer's own account.
    Outposts,
    /// Outside EKS: the cluster is registered through EKS Connector.
    Connector,
}

/// `cluster.endpoint`, taken as `DescribeCluster` returns it: the host name has no
/// documented pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiEndpoint {
    /// The whole URL.
    pub url: String,
    /// Its host name.
    pub host: String,
    /// Its port; 443 unless the URL has another.
    pub port: u16,
}

/// Endpoint access mode with its settings. EKS rejects a cluster with both endpoints
/// off, so there is no variant for it.
///
/// <https://docs.aws.amazon.com/eks/latest/userguide/cluster-endpoint.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointAccess {
    /// Public only.
    Public {
        /// `publicAccessCidrs` as recorded; an empty list means 0.0.0.0/0.
        cidrs: Vec<IpNet>,
    },
    /// Public and private.
    PublicAndPrivate {
        /// `publicAccessCidrs` as recorded; an empty list means 0.0.0.0/0.
        cidrs: Vec<IpNet>,
    },
    /// Private only.
    Private,
    /// At least one of the two flags was not recorded.
    Unknown {
        /// `endpointPublicAccess`.
        public: Option<bool>,
        /// `endpointPrivateAccess`.
        private: Option<bool>,
        /// `publicAccessCidrs` as recorded.
        cidrs: Vec<IpNet>,
    },
}

impl EndpointAccess {
    /// Whether the public endpoint is on; `None` if not recorded.
    #[must_use]
    pub fn public(&self) -> Option<bool> {
        match self {
            Self::Public { .. } | Self::PublicAndPrivate { .. } => Some(true),
            Self::Private => Some(false),
            Self::Unknown { public, .. } => *public,
        }
    }

    /// Whether the private endpoint is on; `None` if not recorded.
    #[must_use]
    pub fn private(&self) -> Option<bool> {
        match self {
            Self::Public { .. } => Some(false),
            Self::PublicAndPrivate { .. } | Self::Private => Some(true),
            Self::Unknown { private, .. } => *private,
        }
    }

    /// `publicAccessCidrs` as recorded. They restrict the public endpoint only.
    #[must_use]
    pub fn cidrs(&self) -> &[IpNet] {
        match self {
            Self::Public { cidrs } | Self::PublicAndPrivate { cidrs } | Self::Unknown { cidrs, .. } => cidrs,
            Self::Private => &[],
        }
    }

    /// The CIDR blocks that may reach the public endpoint: 0.0.0.0/0 if no list is recorded,
    /// and none if the endpoint is off.
    #[must_use]
    pub fn public_cidrs(&self) -> Vec<IpNet> {
        match (self.public(), self.cidrs()) {
            (Some(false), _) => Vec::new(),
            (_, []) => vec![IpNet::V4(Ipv4Net::default())],
            (_, cidrs) => cidrs.to_vec(),
        }
    }

    /// The same, merged.
    #[must_use]
    pub fn allowed(&self) -> AllowedBlocks {
        AllowedBlocks::new(&self.public_cidrs())
    }

    /// Its name in reports.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Public { .. } => "public",
            Self::PublicAndPrivate { .. } => "public-and-private",
            Self::Private => "private",
            Self::Unknown { .. } => "unknown",
        }
    }
}
