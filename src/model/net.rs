//! EC2 objects of a cluster's VPC and nodes, with the fields that rules and reports use,
//! and the files of the evidence directory that record them.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net};

use super::cluster::{Cluster, Hosting};
use super::file::File;
use super::gap::{Gap, Observed};
use super::name::is_reserved;

/// `describe-network-interfaces`.
pub const INTERFACES: File = File::INTERFACES;
/// The description of an EKS-owned ENI, up to the cluster's name.
pub const EKS_DESCRIPTION: &str = "Amazon EKS ";
/// `describe-instances`.
pub const INSTANCES: File = File::new("instances.json");
/// `describe-vpcs`, and `describe-vpc-attribute` for the two DNS attributes.
pub const VPC: File = File::VPC;
/// `describe-subnets`.
pub const SUBNETS: File = File::new("subnets.json");
/// `describe-dhcp-options`.
pub const DHCP_OPTIONS: File = File::new("dhcp-options.json");
/// `describe-nat-gateways`.
pub const NAT_GATEWAYS: File = File::new("nat-gateways.json");
/// `describe-route-tables`.
pub const ROUTE_TABLES: File = File::new("route-tables.json");
/// `describe-security-groups`.
pub const SECURITY_GROUPS: File = File::new("security-groups.json");

/// `describe-network-acls`.
pub const NETWORK_ACLS: File = File::NETWORK_ACLS;

/// The EC2 objects of a cluster, each kind obtained or missing on its own.
#[derive(Debug, Clone)]
pub struct Network {
    /// The network interfaces of the VPC, sorted by id.
    pub interfaces: Observed<Vec<Arc<Interface>>>,
    /// The instances, sorted by id.
    pub instances: Observed<Vec<Instance>>,
    /// The cluster's VPC.
    pub vpc: Observed<Vpc>,
    /// The subnets.
    pub subnets: Observed<Vec<Subnet>>,
    /// The DHCP option sets.
    pub dhcp_options: Observed<Vec<DhcpOptions>>,
    /// The NAT gateways, sorted by id.
    pub nat_gateways: Observed<Vec<NatGateway>>,
    /// The route tables.
    pub route_tables: Observed<Vec<RouteTable>>,
    /// The security groups.
    pub security_groups: Observed<Vec<SecurityGroup>>,
    /// The network ACLs. No rule needs them: they are read where it is asked whether a place
    /// reaches the endpoint.
    pub network_acls: Observed<Vec<NetworkAcl>>,
}

impl Network {
    /// Nothing obtained, with one gap as the reason.
    #[must_use]
    pub fn unseen(gap: &Gap) -> Self {
        Self {
            interfaces: Observed::Unseen(gap.clone()),
            instances: Observed::Unseen(gap.clone()),
            vpc: Observed::Unseen(gap.clone()),
            subnets: Observed::Unseen(gap.clone()),
            dhcp_options: Observed::Unseen(gap.clone()),
            nat_gateways: Observed::Unseen(gap.clone()),
            route_tables: Observed::Unseen(gap.clone()),
            security_groups: Observed::Unseen(gap.clone()),
            network_acls: Observed::Unseen(gap.clone()),
        }
    }

    /// Whether an answer is missing.
    #[must_use]
    pub fn lacks(&self, file: File) -> bool {
        match file {
            INTERFACES => self.interfaces.seen().is_none(),
            INSTANCES => self.instances.seen().is_none(),
            VPC => self.vpc.seen().is_none(),
            SUBNETS => self.subnets.seen().is_none(),
            DHCP_OPTIONS => self.dhcp_options.seen().is_none(),
            NAT_GATEWAYS => self.nat_gateways.seen().is_none(),
            ROUTE_TABLES => self.route_tables.seen().is_none(),
            SECURITY_GROUPS => self.security_groups.seen().is_none(),
            NETWORK_ACLS => self.network_acls.seen().is_none(),
            _ => false,
        }
    }

    /// Takes an answer away, with a gap as the reason.
    pub fn take_away(&mut self, file: File, gap: &Gap) {
        match file {
            INTERFACES => self.interfaces = Observed::Unseen(gap.clone()),
            INSTANCES => self.instances = Observed::Unseen(gap.clone()),
            VPC => self.vpc = Observed::Unseen(gap.clone()),
            SUBNETS => self.subnets = Observed::Unseen(gap.clone()),
            DHCP_OPTIONS => self.dhcp_options = Observed::Unseen(gap.clone()),
            NAT_GATEWAYS => self.nat_gateways = Observed::Unseen(gap.clone()),
            ROUTE_TABLES => self.route_tables = Observed::Unseen(gap.clone()),
            SECURITY_GROUPS => self.security_groups = Observed::Unseen(gap.clone()),
            NETWORK_ACLS => self.network_acls = Observed::Unseen(gap.clone()),
            _ => {}
        }
    }

    /// The gaps for the kinds that are missing. Network ACLs are not among them.
    #[must_use]
    pub fn gaps(&self) -> Vec<Gap> {
        let gaps = [
            self.interfaces.as_result().err(),
            self.instances.as_result().err(),
            self.vpc.as_result().err(),
            self.subnets.as_result().err(),
            self.dhcp_options.as_result().err(),
            self.nat_gateways.as_result().err(),
            self.route_tables.as_result().err(),
            self.security_groups.as_result().err(),
        ];
        gaps.into_iter().flatten().collect()
    }
}

/// How many blocks `publicAccessCidrs` can have.
///
/// <https://docs.aws.amazon.com/eks/latest/userguide/service-quotas.html>
pub const PUBLIC_BLOCKS_MAX: usize = 40;

/// An elastic network interface (ENI).
#[derive(Debug, Clone, Default)]
pub struct Interface {
    /// `eni-...`.
    pub id: String,
    /// `Description`: free text. EKS sets it to `Amazon EKS <cluster>`.
    pub description: String,
    /// `InterfaceType`: `interface`, `nat_gateway`, ...
    pub interface_type: String,
    /// Its VPC.
    pub vpc: String,
    /// Its subnet.
    pub subnet: String,
    /// Its availability zone.
    pub zone: String,
    /// `OwnerId`: the account that owns it.
    pub owner: String,
    /// `RequesterId`: the principal or service that created it on behalf of the owner.
    pub requester: Option<String>,
    /// What it is attached to.
    pub attachment: Option<Attachment>,
    /// Its addresses in the VPC, primary first.
    pub addresses: Vec<IpAddr>,
    /// Prefixes delegated to it.
    pub prefixes: Vec<IpNet>,
    /// Its security groups.
    pub groups: Vec<String>,
    /// The public IPv4 address that is associated with its primary address.
    pub public_ip: Option<IpAddr>,
}

impl Interface {
    /// Whether the interface has the structure of an EKS-owned ENI: attached to an instance
    /// that another AWS account owns and that is not visible to the owner of the interface.
    #[must_use]
    pub fn has_eks_owned_structure(&self) -> bool {
        self.interface_type == "interface"
            && self.attachment.as_ref().is_some_and(|attachment| {
                attachment.is_attached()
                    && attachment.instance.is_none()
                    && self.foreign_account(attachment).is_some()
            })
    }

    /// The instance owner, if it is an AWS account other than the owner of the interface.
    #[must_use]
    pub fn foreign_account<'a>(&self, attachment: &'a Attachment) -> Option<&'a str> {
        let account = attachment.instance_owner.as_deref()?;
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        (is_account && !self.owner.is_empty() && account != self.owner).then_some(account)
    }

    /// Whether it is an EKS-owned ENI of this cluster, by its structure and its description.
    #[must_use]
    pub fn is_eks_owned(&self, cluster: &Cluster) -> bool {
        // In a shared VPC, another account may have a cluster of the same name. A local cluster
        // on Outposts has its control plane in the customer's account.
        self.has_eks_owned_structure()
            && cluster.hosting != Hosting::Outposts
            && self.description.strip_prefix(EKS_DESCRIPTION) == Some(&cluster.name)
            && cluster.vpc.as_deref() == Some(&self.vpc)
            && cluster.account().is_none_or(|account| account == self.owner)
    }
}

/// `Attachment` of a network interface.
#[derive(Debug, Clone, Default)]
pub struct Attachment {
    /// `InstanceId`; absent if the instance is not visible to the owner of the interface.
    pub instance: Option<String>,
    /// `InstanceOwnerId`: the account or AWS service that owns the instance.
    pub instance_owner: Option<String>,
    /// `DeviceIndex`: 0 for the primary interface of an instance.
    pub device_index: Option<u32>,
    /// `Status`: `attached`, `attaching`, `detaching` or `detached`.
    pub status: Option<String>,
}

impl Attachment {
    /// Whether it is not being ended.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        !matches!(self.status.as_deref(), Some("detached" | "detaching"))
    }
}

/// An EC2 instance.
#[derive(Debug, Clone)]
pub struct Instance {
    /// `i-...`.
    pub id: String,
    /// `PrivateDnsName`.
    pub dns_name: Option<String>,
    /// Its subnet.
    pub subnet: Option<String>,
    /// Whether it is running.
    pub running: bool,
    /// Its private addresses, primary first.
    pub addresses: Vec<IpAddr>,
    /// Its public IPv4 address.
    pub public_ip: Option<IpAddr>,
    /// Whether EKS Auto Mode manages it. Such nodes do not accept ssh.
    pub auto_mode: bool,
    /// Tags, as key and value.
    pub tags: Vec<(String, String)>,
}

impl Instance {
    /// Its `Name` tag.
    #[must_use]
    pub fn name_tag(&self) -> Option<&str> {
        let tag = self.tags.iter().find(|(key, value)| key == "Name" && !value.is_empty());
        tag.map(|(_, value)| value.as_str())
    }

    /// Its private DNS name, or its `Name` tag if it has none; not the name of the operator's
    /// own vantage point.
    #[must_use]
    pub fn display_name(&self) -> Option<&str> {
        let is_own = |name: &&str| !is_reserved(name);
        self.dns_name.as_deref().filter(is_own).or_else(|| self.name_tag().filter(is_own))
    }

    /// Whether it is a node of this cluster: by its tags, or, for an instance of EKS Auto
    /// Mode in one of the cluster's subnets whose tags name no cluster, by its operator.
    #[must_use]
    pub fn is_node_of(&self, cluster: &Cluster) -> bool {
        let named: Vec<_> = self.tags.iter().filter_map(|(key, value)| cluster_of_tag(key, value)).collect();
        if named.is_empty() {
            return self.auto_mode && self.subnet.as_ref().is_some_and(|id| cluster.subnets.contains(id));
        }
        named.contains(&cluster.name.as_str())
    }
}

/// The prefix of the tag whose key contains the cluster's name. Its value is `owned` or
/// `shared` by convention, but the cloud provider only reads the key.
///
/// <https://docs.aws.amazon.com/eks/latest/userguide/launch-templates.html>
pub const CLUSTER_TAG_PREFIX: &str = "kubernetes.io/cluster/";
/// The keys of the tags whose value is the cluster's name.
pub const CLUSTER_NAME_TAGS: [&str; 3] = ["eks:cluster-name", "aws:eks:cluster-name", AUTO_MODE_TAG];
/// The key of the tag that EKS Auto Mode sets.
pub const AUTO_MODE_TAG: &str = "eks:eks-cluster-name";

/// The name of the cluster to which a tag of an instance assigns it.
#[must_use]
pub fn cluster_of_tag<'a>(key: &'a str, value: &'a str) -> Option<&'a str> {
    match key.strip_prefix(CLUSTER_TAG_PREFIX) {
        Some(name) => Some(name),
        None => (CLUSTER_NAME_TAGS.contains(&key) && !value.is_empty()).then_some(value),
    }
}

/// Which address of an instance a client connects to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeAddress {
    /// Its primary private address.
    Private,
    /// Its public address.
    Public,
    /// Its private DNS name.
    Name,
    /// Its instance id, for a client that goes through Session Manager.
    Id,
}

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

/// A NAT gateway.
#[derive(Debug, Clone)]
pub struct NatGateway {
    /// `nat-...`.
    pub id: String,
    /// Whether it is in service: neither failed nor deleted.
    pub available: bool,
    /// Whether its `ConnectivityType` is `private`: it leads to other networks, not to the
    /// internet.
    pub is_private: bool,
    /// Its subnet; a regional one has none.
    pub subnet: Option<String>,
    /// Its public addresses; a private NAT gateway has none.
    pub public_ips: Vec<IpAddr>,
    /// Whether AWS adds public addresses to it, as it does to a regional one on demand and
    /// in new availability zones.
    pub has_automatic_addresses: bool,
}

/// A route table.
#[derive(Debug, Clone)]
pub struct RouteTable {
    /// `rtb-...`.
    pub id: Option<String>,
    /// Its VPC.
    pub vpc: Option<String>,
    /// Whether it is the main route table, which subnets without an association use.
    pub main: bool,
    /// The subnets that are explicitly associated with it.
    pub subnets: Vec<String>,
    /// Its routes.
    pub routes: Vec<Route>,
}

/// A route of a [`RouteTable`].
#[derive(Debug, Clone)]
pub struct Route {
    /// The destination; `None` for a prefix list, whose addresses `DescribeRouteTables`
    /// does not return.
    pub destination: Option<IpNet>,
    /// The target.
    pub target: RouteTarget,
}

/// The target of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteTarget {
    /// The VPC itself.
    Local,
    /// An internet gateway: the egress address is the instance's own public address.
    InternetGateway,
    /// A NAT gateway, by id.
    NatGateway(String),
    /// Anything else (transit gateway, peering, firewall, NAT instance), by id.
    Other(String),
    /// A target that no longer exists.
    Blackhole,
}

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

impl fmt::Display for RulePeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block(block) => block.fmt(f),
            Self::Group { id, .. } => f.write_str(id),
            Self::PrefixList(text) | Self::Other(text) => f.write_str(text),
        }
    }
}
