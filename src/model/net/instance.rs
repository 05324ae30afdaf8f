//! EC2 instances.

use std::net::IpAddr;

use crate::model::cluster::Cluster;
use crate::model::name::is_reserved;

/// An EC2 instance.
#[derive(Debug, Clone)]
pub struct Instance {
    /// `i-...`.
    pub id: String,
    /// `PrivateDnsName`.
    pub dns_name: Option<String>,
    /// Its VPC.
    pub vpc: Option<String>,
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

    /// The first label of its private DNS name.
    #[must_use]
    pub fn host_name(&self) -> Option<&str> {
        self.dns_name.as_deref()?.split('.').next()
    }

    /// What names it: its id, its private DNS name, the first label of that, and its `Name` tag, which
    /// other instances may have too.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names = [Some(self.id.as_str()), self.dns_name.as_deref(), self.host_name(), self.name_tag()];
        names.into_iter().flatten()
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
