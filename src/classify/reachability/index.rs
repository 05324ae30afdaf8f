//! The facts, indexed for questions about many places.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::net::IpAddr;

use super::super::block_public_access::BlockModes;
use super::super::eni::ENIS_MAX;
use super::super::network_acls::Acls;
use super::super::route_tables::RouteTables;
use super::super::security_groups::Rules;
use super::seen::ObservedIndex;
use crate::model::cluster::Hosting;
use crate::model::facts::Facts;
use crate::model::gap::{Gap, GapReason};
use crate::model::name::NodeName;
use crate::model::net::{INTERFACES, Interface};
use crate::model::reach::RuleSide;
use crate::model::reachability::{Location, Place};

/// An index of the facts, to ask about many places and settings.
pub struct Reachabilities<'a> {
    /// The facts.
    pub(super) facts: &'a Facts,
    /// The EKS-owned ENIs, sorted by id.
    pub(super) enis: Vec<&'a Interface>,
    /// The route tables.
    pub(super) tables: RouteTables<'a>,
    /// The modes of Block Public Access.
    pub(super) block_modes: BlockModes<'a>,
    /// The network interfaces, by address.
    pub(super) interfaces: HashMap<IpAddr, &'a Interface>,
    /// The network ACLs.
    pub(super) acls: Acls<'a>,
    /// The outbound and the inbound rules of all security groups for the API server's port.
    pub(super) rules: [Rules<'a>; 2],
    /// What was seen.
    pub(super) seen: ObservedIndex<'a>,
    /// The known addresses of the public endpoint.
    pub(super) public: Vec<IpAddr>,
    /// A node in the VPC that resolves the name to EKS-owned ENIs, and one that resolves it to
    /// public addresses.
    pub(super) resolved_by_nodes: OnceCell<(Option<&'a NodeName>, Option<&'a NodeName>)>,
}

impl<'a> Reachabilities<'a> {
    /// Builds the index.
    #[must_use]
    pub fn new(facts: &'a Facts) -> Self {
        let evidence = &facts.evidence;
        let network = &evidence.network;
        let groups = network.security_groups.seen().map_or(&[][..], Vec::as_slice);
        let port = evidence.cluster.api_port();
        let mut interfaces = HashMap::new();
        for interface in facts.interfaces.iter().map(|known| &*known.interface) {
            for &address in &interface.addresses {
                interfaces.entry(address).or_insert(interface);
            }
        }
        Self {
            facts,
            enis: facts.eks_owned().take(ENIS_MAX).map(|known| &*known.interface).collect(),
            tables: RouteTables::new(evidence),
            block_modes: BlockModes::new(evidence),
            interfaces,
            acls: Acls::new(evidence),
            rules: [
                Rules::new(groups, RuleSide::Outbound, port),
                Rules::new(groups, RuleSide::Inbound, port),
            ],
            seen: ObservedIndex::new(facts),
            public: facts.public_addresses().collect(),
            resolved_by_nodes: OnceCell::new(),
        }
    }

    /// Why the EKS-owned ENIs are not known.
    pub(super) fn no_enis(&self) -> Gap {
        let evidence = &self.facts.evidence;
        if evidence.cluster.hosting == Hosting::Outposts {
            let detail = "a local cluster on Outposts has its control plane's interfaces in your own account, where they cannot be identified";
            return evidence.gap(INTERFACES, GapReason::NotSupported, detail);
        }
        evidence
            .network
            .interfaces
            .as_result()
            .err()
            .unwrap_or_else(|| evidence.gap(INTERFACES, GapReason::Incomplete, "no EKS-owned ENI is in it"))
    }

    /// Whether a place is, or may be, in the VPC.
    pub(super) fn is_in_vpc(place: &Place) -> bool {
        matches!(place.location, Location::Vpc { .. })
    }
}
