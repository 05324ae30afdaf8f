//! EC2 objects of a cluster's VPC and nodes, with the fields that rules and reports use,
//! and the files of the evidence directory that record them.

mod filters;
mod instance;
mod interface;
mod routes;
mod vpc;

use std::sync::Arc;

pub use self::filters::{AclEntry, GroupRule, NetworkAcl, RulePeer, SecurityGroup};
pub use self::instance::{
    AUTO_MODE_TAG, CLUSTER_NAME_TAGS, CLUSTER_TAG_PREFIX, Instance, NodeAddress, cluster_of_tag,
};
pub use self::interface::{Attachment, EKS_DESCRIPTION, Interface, host_addresses};
pub use self::routes::{NatGateway, Route, RouteTable, RouteTarget};
pub use self::vpc::{BlockMode, DhcpOptions, Subnet, Vpc};
use crate::model::file::File;
use crate::model::gap::{Gap, Observed};

/// `describe-network-interfaces`.
pub const INTERFACES: File = File::INTERFACES;
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
