//! Egress addresses of nodes, derived from route tables and NAT gateways.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::model::egress::{EgressAddress, NodeEgress};
use crate::model::evidence::Evidence;
use crate::model::gap::{Gap, GapReason, Observed, Subject};
use crate::model::net::{Instance, NatGateway, RouteTable, RouteTarget};

/// Returns the egress addresses of each node that EC2 lists. The addresses of the
/// endpoint can have different routes, so each is looked up.
pub(super) fn node_egress(evidence: &Evidence) -> Vec<NodeEgress> {
    let mut endpoints: Vec<_> =
        evidence.endpoint_addresses().into_iter().filter(IpAddr::is_ipv4).map(Some).collect();
    if endpoints.is_empty() {
        endpoints.push(None);
    }
    let tables = Tables::new(evidence);
    let egress = |node: &Instance| NodeEgress {
        instance: node.id.clone(),
        name: node.dns_name.clone().or_else(|| node.name_tag().map(ToOwned::to_owned)),
        ipv4: endpoints
            .iter()
            .map(|endpoint| match egress_addresses(evidence, &tables, node, *endpoint) {
                Ok(addresses) => Observed::Seen(addresses),
                Err(gap) => Observed::Unseen(gap),
            })
            .collect(),
        ipv6: node.addresses.iter().copied().filter(IpAddr::is_ipv6).collect(),
    };
    evidence.node_instances().map(egress).collect()
}

/// The route tables, by subnet.
struct Tables<'a> {
    by_subnet: HashMap<&'a str, &'a RouteTable>,
    main: Option<&'a RouteTable>,
}

impl<'a> Tables<'a> {
    fn new(evidence: &'a Evidence) -> Self {
        let tables = || evidence.network.route_tables.seen().into_iter().flatten();
        let mut by_subnet = HashMap::new();
        for table in tables() {
            for subnet in &table.subnets {
                by_subnet.entry(subnet.as_str()).or_insert(table);
            }
        }
        let is_of_vpc = |table: &&RouteTable| table.vpc.is_none() || table.vpc == evidence.cluster.vpc;
        Self { by_subnet, main: tables().filter(|table| table.main).find(is_of_vpc) }
    }

    /// The target of the most specific route from a node's subnet to an address of the
    /// endpoint, or of the default route if no address is known.
    fn route(&self, node: &Instance, endpoint: Option<IpAddr>) -> Option<&'a RouteTarget> {
        let subnet = node.subnet.as_ref()?;
        let table = self.by_subnet.get(subnet.as_str()).copied().or(self.main)?;
        let matching = table.routes.iter().filter_map(|route| {
            let destination = route.destination?;
            let matches = match endpoint {
                Some(address) => destination.contains(&address),
                None => destination.prefix_len() == 0 && destination.addr().is_ipv4(),
            };
            matches.then_some((destination.prefix_len(), &route.target))
        });
        matching.max_by_key(|(length, _)| *length).map(|(_, target)| target)
    }
}

/// The possible egress addresses of a node for one address of the endpoint.
fn egress_addresses(
    evidence: &Evidence,
    tables: &Tables<'_>,
    node: &Instance,
    endpoint: Option<IpAddr>,
) -> Result<Vec<EgressAddress>, Gap> {
    let gap = |why, detail: &str| evidence.gap(Subject::Egress(node.id.clone()), why, detail);
    evidence.network.route_tables.as_result()?;
    let Some(target) = tables.route(node, endpoint) else {
        return Err(gap(GapReason::Incomplete, "its subnet has no route to the endpoint"));
    };
    match target {
        RouteTarget::InternetGateway => match node.public_ip {
            Some(address) => Ok(vec![EgressAddress { via: node.id.clone(), address }]),
            None => Err(gap(
                GapReason::Incomplete,
                "its subnet routes to an internet gateway, but the instance has no public address",
            )),
        },
        RouteTarget::NatGateway(id) => {
            let addresses = nat_addresses(evidence.network.nat_gateways.as_result()?, id);
            if addresses.is_empty() {
                let detail = format!("its route goes through {id}, whose public address is not known");
                return Err(gap(GapReason::Incomplete, &detail));
            }
            Ok(addresses)
        }
        RouteTarget::Other(id) => {
            let detail = format!(
                "its route goes through {id}, so its egress address is not known from the configuration of the VPC"
            );
            Err(gap(GapReason::NotSupported, &detail))
        }
        RouteTarget::Local | RouteTarget::Blackhole => {
            Err(gap(GapReason::Incomplete, "its route to the endpoint is local or a blackhole"))
        }
    }
}

/// The public addresses of a NAT gateway; it may use any of them.
fn nat_addresses(gateways: &[NatGateway], id: &str) -> Vec<EgressAddress> {
    let gateway = gateways.iter().find(|gateway| gateway.id == id && gateway.available);
    let addresses = gateway.into_iter().flat_map(|gateway| gateway.public_ips.iter().copied());
    addresses.map(|address| EgressAddress { via: id.to_owned(), address }).collect()
}
