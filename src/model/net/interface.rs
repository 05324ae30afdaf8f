//! Elastic network interfaces.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::cluster::{Cluster, Hosting};

/// The description of an EKS-owned ENI, up to the cluster's name.
pub const EKS_DESCRIPTION: &str = "Amazon EKS ";

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

/// The addresses of a host among those of its interface: of the IPv4 addresses the primary one,
/// since the others are for pods.
pub fn host_addresses(all: &[IpAddr]) -> impl Iterator<Item = IpAddr> {
    let primary = all.iter().find(|address| address.is_ipv4());
    primary.into_iter().chain(all.iter().filter(|address| address.is_ipv6())).copied()
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
