//! Whether security groups admit the traffic between nodes and EKS-owned ENIs.
//!
//! The control plane connects to port 10250 of the kubelet from the EKS-owned ENIs in every
//! access mode; with private access on, nodes connect to port 443 of the ENIs.
//!
//! <https://docs.aws.amazon.com/eks/latest/userguide/sec-group-reqs.html>

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::eni::ENIS_MAX;
use super::security_groups::{Addresses, Admits, Peer, Rules, admits, preferred};
use crate::model::cluster::Cluster;
use crate::model::connection::{Connection, Direction, KUBELET_PORT, Path};
use crate::model::evidence::Evidence;
use crate::model::facts::{ClassifiedInterface, InterfaceKind};
use crate::model::gap::{Gap, GapReason, Observed};
use crate::model::net::{INTERFACES, Instance, Interface, host_addresses};
use crate::model::reach::{Admission, MissingRule, NodeReach, Reach, RuleSide};
use crate::model::socket::State;

/// Returns what the security groups of each node that EC2 lists and of the EKS-owned ENIs
/// admit, in the order of the instances.
pub(super) fn node_reach(
    evidence: &Evidence,
    interfaces: &[ClassifiedInterface],
    connections: &[Connection],
) -> Observed<Vec<NodeReach>> {
    match of_nodes(evidence, interfaces, connections) {
        Ok(reach) => Observed::Seen(reach),
        Err(gap) => Observed::Unseen(gap),
    }
}

fn of_nodes(
    evidence: &Evidence,
    interfaces: &[ClassifiedInterface],
    connections: &[Connection],
) -> Result<Vec<NodeReach>, Gap> {
    evidence.network.interfaces.as_result()?;
    evidence.network.instances.as_result()?;
    let groups = evidence.network.security_groups.as_result()?;
    let owned = interfaces.iter().filter(|known| known.kind == InterfaceKind::EksOwned);
    let enis: Vec<_> = owned.map(|known| &*known.interface).collect();
    if enis.is_empty() {
        let detail =
            "no EKS-owned ENI is in it, so the security groups between nodes and control plane are not known";
        return Err(evidence.gap(INTERFACES, GapReason::Incomplete, detail));
    }
    let cluster = &evidence.cluster;
    let rules = |side, port| Rules::new(groups, side, port);
    let between = Between {
        cluster,
        enis,
        to_api: [rules(RuleSide::Outbound, cluster.api_port()), rules(RuleSide::Inbound, cluster.api_port())],
        to_kubelet: [rules(RuleSide::Outbound, KUBELET_PORT), rules(RuleSide::Inbound, KUBELET_PORT)],
    };
    let primary = PrimaryInterfaces::new(interfaces);
    let established = Established::new(connections);
    let reach = |node: &Instance| {
        let interface = primary.of(node);
        let is_in = |seen: &HashSet<IpAddr>| node.addresses.iter().any(|address| seen.contains(address));
        NodeReach {
            instance: node.id.clone(),
            name: node.display_name().map(ToOwned::to_owned),
            groups: interface.map(|interface| interface.groups.clone()).unwrap_or_default(),
            api: Reach { admission: between.api(interface), is_established: is_in(&established.outbound) },
            kubelet: Reach {
                admission: between.kubelet(interface),
                is_established: is_in(&established.inbound),
            },
        }
    };
    Ok(evidence.node_instances().map(reach).collect())
}

/// The primary interfaces of instances, which have the instances' primary addresses.
struct PrimaryInterfaces<'a> {
    by_instance: HashMap<&'a str, &'a Interface>,
    by_address: HashMap<IpAddr, &'a Interface>,
}

impl<'a> PrimaryInterfaces<'a> {
    fn new(interfaces: &'a [ClassifiedInterface]) -> Self {
        let (mut by_instance, mut by_address) = (HashMap::new(), HashMap::new());
        for interface in interfaces.iter().map(|known| &*known.interface) {
            let Some(attachment) = &interface.attachment else { continue };
            let Some(instance) = &attachment.instance else { continue };
            if attachment.device_index == Some(0) {
                by_instance.entry(instance.as_str()).or_insert(interface);
            } else if attachment.device_index.is_none() {
                by_address.extend(interface.addresses.first().map(|&address| (address, interface)));
            }
        }
        Self { by_instance, by_address }
    }

    fn of(&self, node: &Instance) -> Option<&'a Interface> {
        let by_address = || self.by_address.get(node.addresses.first()?);
        self.by_instance.get(node.id.as_str()).or_else(by_address).copied()
    }
}

/// The local addresses of established connections with EKS-owned ENIs.
#[derive(Default)]
struct Established {
    outbound: HashSet<IpAddr>,
    inbound: HashSet<IpAddr>,
}

impl Established {
    fn new(connections: &[Connection]) -> Self {
        let mut seen = Self::default();
        for connection in connections.iter().filter(|one| one.socket.state == State::Established) {
            let Some(local) = connection.socket.local.ip() else { continue };
            match (connection.direction, connection.attribution.path) {
                // The ClusterIP is forwarded to an ENI.
                (Direction::Outbound, Path::PrivateEni | Path::ClusterIp) => seen.outbound.insert(local),
                (Direction::Inbound, Path::PrivateEni) => seen.inbound.insert(local),
                _ => false,
            };
        }
        seen
    }
}

/// The two ends between which connections are judged.
struct Between<'a> {
    cluster: &'a Cluster,
    enis: Vec<&'a Interface>,
    /// The outbound rules of the node and the inbound rules of the ENIs.
    to_api: [Rules<'a>; 2],
    /// The outbound rules of the ENIs and the inbound rules of the node.
    to_kubelet: [Rules<'a>; 2],
}

/// What the groups at both ends of a connection admit.
struct Ends {
    outbound: Admits,
    inbound: Admits,
}

impl Between<'_> {
    fn api(&self, node: Option<&Interface>) -> Admission {
        // The private endpoint of an IPv6 cluster has addresses of both families.
        let (_, ipv6) = self.families();
        let [outbound, inbound] = &self.to_api;
        self.admission(node, self.cluster.api_port(), RuleSide::Inbound, |eni, node| {
            let (eni_end, node_end) = (peer(eni, (true, ipv6)), peer(node, (true, ipv6)));
            Ends {
                outbound: admits(Some(&node.groups), outbound, &eni_end),
                inbound: admits(Some(&eni.groups), inbound, &node_end),
            }
        })
    }

    fn kubelet(&self, node: Option<&Interface>) -> Admission {
        let families = self.families();
        let [outbound, inbound] = &self.to_kubelet;
        self.admission(node, KUBELET_PORT, RuleSide::Outbound, |eni, node| {
            let (eni_end, node_end) = (peer(eni, families), peer(node, families));
            Ends {
                outbound: admits(Some(&eni.groups), outbound, &node_end),
                inbound: admits(Some(&node.groups), inbound, &eni_end),
            }
        })
    }

    /// Whether nodes have IPv4 and whether they have IPv6 addresses in the cluster; both if
    /// its service CIDR blocks are not recorded, or no ENI has an address of the family.
    fn families(&self) -> (bool, bool) {
        let ips = &self.cluster.cluster_ips;
        let of_enis = |is: fn(&IpAddr) -> bool| self.enis.iter().any(|eni| eni.addresses.iter().any(is));
        let any = |is: fn(&IpAddr) -> bool| ips.iter().any(is) && of_enis(is);
        let (ipv4, ipv6) = (any(IpAddr::is_ipv4), any(IpAddr::is_ipv6));
        if ipv4 || ipv6 { (ipv4, ipv6) } else { (true, true) }
    }

    /// Judges the connections between a node and each ENI. `eni_side` is the side of the
    /// rules that the groups of the ENIs contribute.
    fn admission(
        &self,
        node: Option<&Interface>,
        port: u16,
        eni_side: RuleSide,
        ends: impl Fn(&Interface, &Interface) -> Ends,
    ) -> Admission {
        let Some(node) = node else {
            let reason = "its primary interface is not among the network interfaces seen";
            return Admission::Unknown(reason.to_owned());
        };
        let (mut blocks_inbound, mut blocks_outbound) = (true, true);
        let mut unknown = None;
        for eni in self.enis.iter().take(ENIS_MAX) {
            let Ends { outbound, inbound } = ends(eni, node);
            blocks_inbound &= inbound == Admits::No;
            blocks_outbound &= outbound == Admits::No;
            match outbound.and(inbound) {
                Admits::Yes => return Admission::Admitted,
                Admits::No => {}
                Admits::Unknown(reason) => {
                    unknown.get_or_insert(reason);
                }
            }
        }
        if self.enis.len() > ENIS_MAX {
            unknown = unknown.or_else(|| Some(format!("there are more than {ENIS_MAX} EKS-owned ENIs")));
        }
        if let Some(reason) = unknown {
            return Admission::Unknown(reason);
        }
        if !blocks_inbound && !blocks_outbound {
            // Some ENIs are blocked at one end, the others at the other end.
            (blocks_inbound, blocks_outbound) = (true, true);
        }
        let of_enis = preferred(self.cluster, self.enis.iter().flat_map(|eni| &eni.groups));
        let of_node = preferred(self.cluster, node.groups.iter());
        let missing = [(RuleSide::Outbound, blocks_outbound), (RuleSide::Inbound, blocks_inbound)];
        let missing = missing.into_iter().filter(|(_, is_blocked)| *is_blocked).map(|(side, _)| {
            let (group, peer) = if side == eni_side { (&of_enis, &of_node) } else { (&of_node, &of_enis) };
            MissingRule { group: group.clone(), side, port, peer: peer.clone() }
        });
        Admission::Blocked(missing.collect())
    }
}

/// An interface as the other end of a connection, by the addresses of its host in some families.
fn peer(interface: &Interface, (ipv4, ipv6): (bool, bool)) -> Peer<'_> {
    let is_of_family = |address: &IpAddr| if address.is_ipv4() { ipv4 } else { ipv6 };
    let addresses = host_addresses(&interface.addresses).filter(is_of_family).collect();
    Peer { groups: Some(&interface.groups), addresses: Addresses::Any(addresses) }
}
