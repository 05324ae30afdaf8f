//! The cluster, its DNS answers and its network interfaces in JSON.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Serialize;

use super::words::{Access, Kind};
use crate::model::facts::{ClassifiedInterface, Facts, InterfaceKind};

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Cluster {
    name: String,
    arn: Option<String>,
    region: Option<String>,
    /// As EKS reports it: ACTIVE, CREATING, ...
    status: Option<String>,
    endpoint: Option<String>,
    /// public, public-and-private, private or unknown.
    access: Access,
    /// The CIDR blocks that may reach the public endpoint; 0.0.0.0/0 where none is recorded.
    public_access_cidrs: Vec<String>,
    /// The sources that may reach port 443 of the EKS-owned ENIs, by their security groups; null if not seen.
    private_access_sources: Option<Vec<String>>,
    vpc: Option<String>,
    control_plane_egress_mode: Option<String>,
    /// Subnets of the EKS-owned ENIs from which nothing leads out of the VPC, where the control plane's traffic is routed
    /// through it (`CUSTOMER_ROUTED`); null if it is not, or the routes were not seen.
    control_plane_subnets_without_egress: Option<Vec<String>>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Dns {
    /// `here`, or a node's name.
    vantage: String,
    addresses: Vec<IpAddr>,
    /// Lines of the answer that are not addresses: CNAMEs and comments.
    aside: Vec<String>,
    /// The TTL in seconds, where it was recorded.
    ttl: Option<u32>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Eni {
    id: String,
    addresses: Vec<IpAddr>,
    /// Whether it belongs to this cluster's control plane.
    eks_owned: bool,
    kind: Kind,
    /// Why it belongs to the control plane, or why it does not although it resembles one that does.
    why: Option<String>,
    description: String,
    zone: Option<String>,
    owner: String,
    requester: Option<String>,
    instance_owner: Option<String>,
}

impl Cluster {
    pub(super) fn new(facts: &Facts) -> Self {
        let cluster = &facts.evidence.cluster;
        Self {
            name: cluster.name.clone(),
            arn: cluster.arn.clone(),
            region: cluster.region().map(str::to_owned),
            status: cluster.status.clone(),
            endpoint: cluster.endpoint.as_ref().map(|endpoint| endpoint.url.clone()),
            access: Access::from(&cluster.access),
            public_access_cidrs: cluster.public_cidrs().iter().map(ToString::to_string).collect(),
            private_access_sources: facts.private_access_sources(),
            vpc: cluster.vpc.clone(),
            control_plane_egress_mode: cluster.egress_mode.clone(),
            control_plane_subnets_without_egress: facts.subnets_without_egress.clone(),
        }
    }
}

impl Cluster {
    /// A cluster that could not be described.
    pub(super) fn unknown(name: Option<&str>) -> Self {
        Self {
            name: name.unwrap_or("unknown").to_owned(),
            arn: None,
            region: None,
            status: None,
            endpoint: None,
            access: Access::Unknown,
            public_access_cidrs: Vec::new(),
            private_access_sources: None,
            vpc: None,
            control_plane_egress_mode: None,
            control_plane_subnets_without_egress: None,
        }
    }
}

pub(super) fn dns(facts: &Facts) -> Vec<Dns> {
    let seen = facts.evidence.dns.iter().filter_map(|vantage| Some((&vantage.name, vantage.answer.seen()?)));
    seen.map(|(name, answer)| Dns {
        vantage: name.clone(),
        addresses: answer.addresses.clone(),
        aside: answer.aside.clone(),
        ttl: answer.ttl,
    })
    .collect()
}

impl From<&ClassifiedInterface> for Eni {
    fn from(known: &ClassifiedInterface) -> Self {
        let interface = &known.interface;
        let attachment = interface.attachment.as_ref();
        Self {
            id: interface.id.clone(),
            addresses: interface.addresses.clone(),
            eks_owned: known.kind == InterfaceKind::EksOwned,
            kind: known.kind.into(),
            why: Some(known.why.clone()).filter(|why| !why.is_empty()),
            description: interface.description.clone(),
            zone: Some(interface.zone.clone()).filter(|zone| !zone.is_empty()),
            owner: interface.owner.clone(),
            requester: interface.requester.clone(),
            instance_owner: attachment.and_then(|attachment| attachment.instance_owner.clone()),
        }
    }
}
