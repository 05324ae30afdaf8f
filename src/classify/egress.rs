//! Egress addresses of nodes, derived from route tables and NAT gateways.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::block_public_access::{BlockModes, BlockedWay};
use super::route_tables::RouteTables;
use crate::model::egress::{EgressAddress, NodeEgress, PublicBlock, WayOut};
use crate::model::evidence::Evidence;
use crate::model::facts::{ClassifiedInterface, Machine};
use crate::model::gap::{Gap, GapReason, Observed, Subject};
use crate::model::kubernetes::KubernetesNode;
use crate::model::name::NodeName;
use crate::model::net::{Instance, NatGateway, Route, RouteTable, RouteTarget};
use crate::model::node::Node;
use crate::model::ranges::is_public;

/// Returns the egress addresses of each node: those that EC2 lists, those that were
/// captured, and those that run a pod on Fargate. The addresses of the endpoint can have
/// different routes, so each is looked up.
pub(super) fn node_egress(
    evidence: &Evidence,
    interfaces: &[ClassifiedInterface],
    nodes: &[Node],
    machines: &[Vec<Machine>],
) -> Vec<NodeEgress> {
    let mut endpoints: Vec<_> =
        evidence.endpoint_addresses().into_iter().filter(IpAddr::is_ipv4).map(Some).collect();
    if endpoints.is_empty() {
        endpoints.push(None);
    }
    let tables = RouteTables::new(evidence);
    let modes = BlockModes::new(evidence);
    let egress = |host: EgressHost<'_>, name: Option<String>, ipv6: Vec<IpAddr>| {
        let ways = ways_out(evidence, &tables, host, &endpoints);
        let block = modes.on(&BlockedWay {
            host: host.id,
            subnet: host.subnet,
            targets: &targets(&tables, host.subnet, &endpoints),
            elsewhere: may_lead_elsewhere(&ways),
        });
        let observed = |way| match way {
            Ok(way) => Observed::Seen(way),
            Err(gap) => Observed::Unseen(gap),
        };
        let ipv4 = ways.into_iter().map(observed).collect();
        NodeEgress { instance: host.id.to_owned(), name, ipv4, ipv6, block }
    };
    let captured = Captured::new(evidence, nodes, machines);
    let of_instances = evidence.node_instances().chain(captured.untagged.values().copied()).map(|node| {
        let name = node.display_name().map(ToOwned::to_owned);
        let ipv6 = node.addresses.iter().copied().filter(IpAddr::is_ipv6).collect();
        egress(
            EgressHost { id: &node.id, subnet: node.subnet.as_deref(), public_ip: node.public_ip },
            name,
            ipv6,
        )
    });
    let pods = interfaces.iter().filter(|known| known.is_fargate_pod_of(&evidence.cluster)).map(|known| {
        let pod = &known.interface;
        let subnet = (!pod.subnet.is_empty()).then_some(pod.subnet.as_str());
        let ipv6 = pod.addresses.iter().copied().filter(IpAddr::is_ipv6).collect();
        egress(EgressHost { id: &pod.id, subnet, public_ip: None }, Some("a pod on Fargate".to_owned()), ipv6)
    });
    let unknown = |subject: Subject, detail: &str| {
        let name = subject.to_string();
        let gap = evidence.gap(subject, GapReason::NotSupported, detail);
        NodeEgress {
            instance: name,
            name: None,
            ipv4: vec![Observed::Unseen(gap.clone())],
            ipv6: Vec::new(),
            block: PublicBlock::Unknown(gap),
        }
    };
    let unlisted = captured.unlisted.iter().map(|node| {
        let detail = "a kubelet runs on it, EC2 does not list it, and the address with which it leaves its network is not known";
        unknown(Subject::Egress(node.to_string()), detail)
    });
    let of_kubernetes = evidence.nodes_of_kubernetes_alone();
    let of_kubernetes = of_kubernetes.filter(|node| !node.is_fargate() && !captured.has(node)).map(|node| {
        let detail = "Kubernetes lists it as a node, EC2 does not, and the address with which it leaves its network is not known";
        unknown(Subject::Egress(node.name.clone()), detail)
    });
    let may_have_hybrid = evidence.cluster.hybrid_nodes_enabled && evidence.kubernetes.nodes.seen().is_none();
    let hybrid = may_have_hybrid.then(|| {
        let detail = "hybrid nodes are enabled on the cluster, and the addresses with which they reach the public endpoint are not known";
        unknown(Subject::HybridNodes, detail)
    });
    let mut all: Vec<_> =
        of_instances.chain(pods).chain(unlisted).chain(of_kubernetes).chain(hybrid).collect();
    all.sort_by(|a, b| a.instance.cmp(&b.instance));
    all
}

/// The captured nodes that EC2 does not list as nodes of the cluster.
struct Captured<'a> {
    /// Instances that EC2 lists without a tag of the cluster, by id.
    untagged: BTreeMap<&'a str, &'a Instance>,
    /// Nodes on machines that EC2 does not list.
    unlisted: Vec<&'a NodeName>,
    /// The addresses of those machines.
    unlisted_addresses: HashSet<IpAddr>,
}

impl<'a> Captured<'a> {
    fn new(evidence: &'a Evidence, nodes: &'a [Node], machines: &[Vec<Machine>]) -> Self {
        let tagged: HashSet<_> = evidence.node_instances().map(|instance| instance.id.as_str()).collect();
        let listed = evidence.network.instances.seen().into_iter().flatten();
        let listed: HashMap<_, _> = listed.map(|instance| (instance.id.as_str(), instance)).collect();
        let mut captured =
            Self { untagged: BTreeMap::new(), unlisted: Vec::new(), unlisted_addresses: HashSet::new() };
        for (node, machines) in nodes.iter().zip(machines) {
            for machine in machines.iter().filter(|machine| machine.has_kubelet) {
                let instance = machine.instance.as_deref();
                if instance.is_some_and(|id| tagged.contains(id)) {
                    continue;
                }
                if let Some((id, instance)) = instance.and_then(|id| listed.get_key_value(id)) {
                    captured.untagged.insert(id, instance);
                } else {
                    captured.unlisted.push(&node.name);
                    captured.unlisted_addresses.extend(&machine.addresses);
                }
            }
        }
        captured.unlisted.dedup();
        captured
    }

    /// Whether a node that Kubernetes lists is one of them.
    fn has(&self, node: &KubernetesNode) -> bool {
        node.instance_id().is_some_and(|id| self.untagged.contains_key(id))
            || node.addresses.iter().any(|address| self.unlisted_addresses.contains(address))
    }
}

/// A host in the VPC, as far as its routes depend on it.
#[derive(Clone, Copy)]
pub(super) struct EgressHost<'a> {
    /// The id of the instance or network interface.
    pub(super) id: &'a str,
    /// Its subnet.
    pub(super) subnet: Option<&'a str>,
    /// Its public IPv4 address.
    pub(super) public_ip: Option<IpAddr>,
}

/// The ways of a host out of the VPC to each of some addresses of the endpoint.
pub(super) fn ways_out(
    evidence: &Evidence,
    tables: &RouteTables<'_>,
    host: EgressHost<'_>,
    endpoints: &[Option<IpAddr>],
) -> Vec<Result<WayOut, Gap>> {
    endpoints.iter().map(|endpoint| egress_addresses(evidence, tables, host, *endpoint)).collect()
}

/// Why it is not known where one of some ways leads, if it may lead out of the VPC by
/// something else than an internet gateway.
pub(super) fn may_lead_elsewhere(ways: &[Result<WayOut, Gap>]) -> Option<&Gap> {
    ways.iter().filter_map(|way| way.as_ref().err()).find(|gap| gap.why == GapReason::NotSupported)
}

/// The targets of the routes from a subnet to some addresses of the endpoint.
pub(super) fn targets<'a>(
    tables: &RouteTables<'a>,
    subnet: Option<&str>,
    endpoints: &[Option<IpAddr>],
) -> Vec<&'a RouteTarget> {
    let Some(table) = subnet.and_then(|subnet| tables.of(subnet)) else { return Vec::new() };
    endpoints.iter().filter_map(|endpoint| route(table, *endpoint)).collect()
}

/// The target of the most specific route to an address of the endpoint, or of the default
/// route if no address is known.
pub(super) fn route(table: &RouteTable, endpoint: Option<IpAddr>) -> Option<&RouteTarget> {
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

/// A route by a prefix list that may contain an address of the endpoint and leads
/// elsewhere than the route by its CIDR block. The prefix lists of gateway endpoints
/// contain the addresses of S3 and `DynamoDB` only.
fn prefix_list_route<'a>(table: &'a RouteTable, target: Option<&RouteTarget>) -> Option<&'a Route> {
    let is_gateway_endpoint =
        |target: &RouteTarget| matches!(target, RouteTarget::Other(id) if id.starts_with("vpce-"));
    table.routes.iter().find(|route| {
        route.destination.is_none() && Some(&route.target) != target && !is_gateway_endpoint(&route.target)
    })
}

/// A block of public IPv4 addresses that a table routes to another target than the rest of them.
fn divided_at(table: &RouteTable, default: Option<&RouteTarget>) -> Option<IpNet> {
    let differs = |route: &&Route| Some(&route.target) != default && route.target != RouteTarget::Local;
    let others = table.routes.iter().filter(differs).filter_map(|route| route.destination);
    others.filter(|block| block.addr().is_ipv4() && block.prefix_len() > 0).find(is_public)
}

/// The possible egress addresses of a host for one address of the endpoint.
pub(super) fn egress_addresses(
    evidence: &Evidence,
    tables: &RouteTables<'_>,
    host: EgressHost<'_>,
    endpoint: Option<IpAddr>,
) -> Result<WayOut, Gap> {
    let gap = |why, detail: &str| evidence.gap(Subject::Egress(host.id.to_owned()), why, detail);
    evidence.network.route_tables.as_result()?;
    let table = host.subnet.and_then(|subnet| tables.of(subnet));
    let target = table.and_then(|table| route(table, endpoint));
    if table.and_then(|table| prefix_list_route(table, target)).is_some() {
        let detail =
            "its subnet has a route by a prefix list, and whether that contains the endpoint is not known";
        return Err(gap(GapReason::NotSupported, detail));
    }
    if endpoint.is_none()
        && let Some(part) = table.and_then(|table| divided_at(table, target))
    {
        let detail = format!(
            "its subnet routes {part} to another target than other public addresses, and those of the endpoint are not known"
        );
        return Err(gap(GapReason::Incomplete, &detail));
    }
    let target = match (table, target) {
        (Some(_), Some(target)) => target,
        (Some(_), None) if endpoint.is_some() => {
            return Ok(WayOut::None("the subnet has no route to the endpoint".to_owned()));
        }
        _ => return Err(gap(GapReason::Incomplete, "the route of its subnet to the endpoint is not known")),
    };
    match target {
        RouteTarget::InternetGateway => match host.public_ip {
            Some(address) => Ok(WayOut::Addresses(vec![EgressAddress { via: host.id.to_owned(), address }])),
            // An internet gateway drops packets from private addresses.
            None => Ok(WayOut::None(
                "the subnet routes to an internet gateway, and the node has no public address to leave with"
                    .to_owned(),
            )),
        },
        RouteTarget::NatGateway(id) => {
            let gateways = evidence.network.nat_gateways.as_result()?;
            if gateways.iter().any(|gateway| gateway.id == *id && !gateway.available) {
                return Ok(WayOut::None(format!(
                    "the subnet routes to {id}, a NAT gateway that was deleted or has failed"
                )));
            }
            if let Some(gateway) = gateways.iter().find(|gateway| gateway.id == *id && gateway.is_private) {
                return through_private_nat(tables, gateway, endpoint)
                    .map_err(|detail| gap(GapReason::NotSupported, &detail));
            }
            let addresses = nat_addresses(gateways, id);
            if addresses.is_empty() {
                let detail = format!("its route goes through {id}, whose public address is not known");
                return Err(gap(GapReason::Incomplete, &detail));
            }
            Ok(WayOut::Addresses(addresses))
        }
        RouteTarget::Other(id) => {
            let detail = format!(
                "its route goes through {id}, so its egress address is not known from the configuration of the VPC"
            );
            Err(gap(GapReason::NotSupported, &detail))
        }
        RouteTarget::Blackhole => {
            Ok(WayOut::None("the route to the endpoint is a blackhole: its target was deleted".to_owned()))
        }
        RouteTarget::Local => Err(gap(GapReason::Incomplete, "its route to the endpoint is local")),
    }
}

/// The way out through a private NAT gateway, which has no public address: none, unless its
/// subnet routes on to another network, which may lead out elsewhere.
///
/// <https://docs.aws.amazon.com/vpc/latest/userguide/vpc-nat-gateway.html>
fn through_private_nat(
    tables: &RouteTables<'_>,
    gateway: &NatGateway,
    endpoint: Option<IpAddr>,
) -> Result<WayOut, String> {
    let NatGateway { id, subnet, .. } = gateway;
    let table = subnet.as_deref().and_then(|subnet| tables.of(subnet));
    let target = table.and_then(|table| route(table, endpoint));
    match target {
        Some(RouteTarget::Other(next)) => Err(format!(
            "its route goes through the private NAT gateway {id} and on through {next}, so its egress address is not known from the configuration of the VPC"
        )),
        Some(RouteTarget::NatGateway(next)) if next != id => {
            Err(format!("its route goes through the private NAT gateway {id} and on through {next}"))
        }
        _ => Ok(WayOut::None(format!(
            "the subnet routes to {id}, a private NAT gateway: it has no public address, and an internet gateway drops what it sends"
        ))),
    }
}

/// The public addresses of a NAT gateway; it may use any of them.
fn nat_addresses(gateways: &[NatGateway], id: &str) -> Vec<EgressAddress> {
    let gateway = gateways.iter().find(|gateway| gateway.id == id && gateway.available);
    let addresses = gateway.into_iter().flat_map(|gateway| gateway.public_ips.iter().copied());
    addresses.map(|address| EgressAddress { via: id.to_owned(), address }).collect()
}
