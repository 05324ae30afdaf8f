//! The cluster as `DescribeCluster` gives it.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

/// An EKS cluster.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Its name, case-sensitive.
    pub name: String,
    /// Its ARN; some recordings lack it.
    pub arn: Option<String>,
    /// `ACTIVE`, `CREATING`, ... as EKS says it.
    pub status: Option<String>,
    /// Where the control plane runs.
    pub hosting: Hosting,
    /// The API server endpoint; absent while the cluster is being created, and
    /// for clusters that EKS Connector registered.
    pub endpoint: Option<ApiEndpoint>,
    /// Who may reach the endpoint, and by which way.
    pub access: EndpointAccess,
    /// The VPC of the cluster's subnets.
    pub vpc: Option<String>,
    /// The subnets in which EKS places its network interfaces.
    pub subnets: Vec<String>,
    /// The security group that EKS made for control plane and nodes.
    pub security_group: Option<String>,
    /// The `ClusterIP` of the `kubernetes` Service: the first address of each
    /// service range.
    pub cluster_ips: Vec<IpAddr>,
    /// `controlPlaneEgressMode`, shown and not judged.
    pub egress_mode: Option<String>,
    /// EKS Auto Mode: its nodes take no ssh.
    pub auto_mode: bool,
    /// Whether it takes hybrid nodes, which EC2 knows nothing of.
    pub hybrid_nodes_enabled: bool,
}

impl Cluster {
    /// A cluster of which nothing is known.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            name: String::new(),
            arn: None,
            status: None,
            hosting: Hosting::Region,
            endpoint: None,
            access: EndpointAccess::Unknown { public: None, private: None, cidrs: Vec::new() },
            vpc: None,
            subnets: Vec::new(),
            security_group: None,
            cluster_ips: Vec::new(),
            egress_mode: None,
            auto_mode: false,
            hybrid_nodes_enabled: false,
        }
    }

    /// The region, read from the ARN.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.arn.as_deref()?.split(':').nth(3).filter(|part| !part.is_empty())
    }

    /// The account, read from the ARN.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        self.arn.as_deref()?.split(':').nth(4).filter(|part| !part.is_empty())
    }

    /// What findings name as their subject: the ARN, or the name without one.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.arn.as_deref().unwrap_or(&self.name)
    }

    /// The blocks that may reach the public endpoint: 0.0.0.0/0 where none is
    /// given, nobody where it is off or not EKS's.
    #[must_use]
    pub fn public_cidrs(&self) -> Vec<IpNet> {
        match (&self.hosting, self.access.public(), self.access.cidrs()) {
            (Hosting::Connector, ..) | (_, Some(false), _) => Vec::new(),
            (_, _, []) => vec![IpNet::V4(Ipv4Net::default())],
            (_, _, cidrs) => cidrs.to_vec(),
        }
    }

    /// The port on which the API server answers.
    #[must_use]
    pub fn api_port(&self) -> u16 {
        self.endpoint.as_ref().map_or(443, |endpoint| endpoint.port)
    }
}

/// Where a cluster's control plane runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hosting {
    /// In the region, in AWS's account: the usual case.
    Region,
    /// A local cluster on Outposts: the control plane's instances and network
    /// interfaces are in the customer's own account.
    Outposts,
    /// Registered through EKS Connector: the control plane is not EKS's.
    Connector,
}

/// `cluster.endpoint`, taken as it is given: its form follows no pattern that
/// could be relied on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiEndpoint {
    /// The whole URL.
    pub url: String,
    /// Its host name.
    pub host: String,
    /// Its port, 443 unless the URL says another.
    pub port: u16,
}

/// Endpoint access. EKS refuses a cluster with neither way, so it is not here.
///
/// <https://docs.aws.amazon.com/eks/latest/userguide/cluster-endpoint.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointAccess {
    /// Public only.
    Public {
        /// `publicAccessCidrs` as recorded; none means everyone.
        cidrs: Vec<IpNet>,
    },
    /// Public and private.
    PublicAndPrivate {
        /// `publicAccessCidrs` as recorded; none means everyone.
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
    /// Whether the public endpoint is on, where that was recorded.
    #[must_use]
    pub fn public(&self) -> Option<bool> {
        match self {
            Self::Public { .. } | Self::PublicAndPrivate { .. } => Some(true),
            Self::Private => Some(false),
            Self::Unknown { public, .. } => *public,
        }
    }

    /// Whether the private endpoint is on, where that was recorded.
    #[must_use]
    pub fn private(&self) -> Option<bool> {
        match self {
            Self::Public { .. } => Some(false),
            Self::PublicAndPrivate { .. } | Self::Private => Some(true),
            Self::Unknown { private, .. } => *private,
        }
    }

    /// The CIDR blocks that may reach the public endpoint, as recorded. They
    /// limit the public endpoint only.
    #[must_use]
    pub fn cidrs(&self) -> &[IpNet] {
        match self {
            Self::Public { cidrs } | Self::PublicAndPrivate { cidrs } | Self::Unknown { cidrs, .. } => cidrs,
            Self::Private => &[],
        }
    }

    /// The word for it in reports.
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
