//! What the peer of a socket is: a lookup in what was seen, never a guess by
//! address range.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::cluster::EndpointAccess;
use crate::model::connection::{Attribution, By, Component, Direction, KUBELET_PORT, Path};
use crate::model::evidence::Evidence;
use crate::model::facts::{ClassifiedInterface, InterfaceKind};
use crate::model::socket::{Port, Socket};

/// Everything that can attribute an address, looked up at once.
#[derive(Debug)]
pub struct Index {
    addresses: BTreeMap<u128, Attribution>,
    /// Prefixes delegated to interfaces, by their first address. Those of one
    /// VPC do not overlap.
    prefixes: BTreeMap<u128, (IpNet, usize)>,
    /// The VPC's own blocks.
    blocks: Vec<IpNet>,
    api_port: u16,
}

impl Index {
    /// The index of the evidence.
    #[must_use]
    pub fn new(evidence: &Evidence, interfaces: &[ClassifiedInterface]) -> Self {
        let cluster = &evidence.cluster;
        let in_vpc = |known: &ClassifiedInterface| cluster.vpc.as_deref() == Some(&known.interface.vpc);
        let in_vpc = || interfaces.iter().enumerate().filter(|(_, known)| in_vpc(known));
        let blocks = vpc_blocks(evidence);
        // What weighs less comes first and is overwritten.
        let mut addresses = BTreeMap::new();
        let mut prefixes = BTreeMap::new();
        for (index, known) in in_vpc() {
            let attribution = Attribution { path: Path::Vpc, by: By::Eni, eni: Some(index) };
            for &address in &known.interface.addresses {
                // Of several ENIs that claim an address, the first keeps it.
                addresses.entry(bits(address)).or_insert_with(|| attribution.clone());
            }
            prefixes.extend(
                known.interface.prefixes.iter().map(|&prefix| (bits(prefix.network()), (prefix, index))),
            );
        }
        let outside_is_public = outside_is_public(evidence, interfaces);
        for address in evidence.endpoint_addresses() {
            let is_inside =
                addresses.contains_key(&bits(address)) || blocks.iter().any(|block| block.contains(&address));
            let never_private = matches!(cluster.access, EndpointAccess::Public { .. });
            if never_private || (!is_inside && outside_is_public) {
                addresses.insert(
                    bits(address),
                    Attribution { path: Path::PublicEndpoint, by: By::Dns, eni: None },
                );
            }
        }
        for &address in &cluster.cluster_ips {
            addresses
                .insert(bits(address), Attribution { path: Path::ClusterIp, by: By::ServiceCidr, eni: None });
        }
        for (index, known) in in_vpc().filter(|(_, known)| known.kind == InterfaceKind::EksOwned) {
            for &address in &known.interface.addresses {
                addresses.insert(
                    bits(address),
                    Attribution { path: Path::PrivateEni, by: By::Eni, eni: Some(index) },
                );
            }
        }
        Self { addresses, prefixes, blocks, api_port: cluster.api_port() }
    }

    /// Who dialled whom.
    #[must_use]
    pub fn direction(&self, socket: &Socket) -> Direction {
        if socket.peer.port == Port::Any {
            Direction::None
        } else if socket.local.is_port(KUBELET_PORT) {
            Direction::Inbound
        } else if socket.peer.is_port(443) || socket.peer.is_port(self.api_port) {
            Direction::Outbound
        } else {
            Direction::None
        }
    }

    /// What the peer is.
    #[must_use]
    pub fn attribute(
        &self,
        socket: &Socket,
        direction: Direction,
        component: Option<Component>,
    ) -> Attribution {
        let unknown = || {
            // On :10250 the kubelet is meant, whether or not the row names it.
            let matters = match direction {
                Direction::Outbound => component.is_some(),
                Direction::Inbound => true,
                Direction::None => false,
            };
            Attribution {
                path: if matters { Path::Unattributed } else { Path::Other },
                by: By::None,
                eni: None,
            }
        };
        let Some(peer) = socket.peer.ip() else { return unknown() };
        if peer.is_loopback() || socket.local.ip() == Some(peer) {
            return Attribution { path: Path::Loopback, by: By::None, eni: None };
        }
        self.lookup(peer).unwrap_or_else(unknown)
    }

    /// What an address is, if anything tells.
    #[must_use]
    pub fn lookup(&self, address: IpAddr) -> Option<Attribution> {
        if let Some(attribution) = self.addresses.get(&bits(address)) {
            return Some(attribution.clone());
        }
        let prefix = self
            .prefixes
            .range(..=bits(address))
            .next_back()
            .filter(|(_, (prefix, _))| prefix.contains(&address));
        if let Some((_, (_, eni))) = prefix {
            return Some(Attribution { path: Path::Vpc, by: By::Eni, eni: Some(*eni) });
        }
        let in_block = self.blocks.iter().any(|block| block.contains(&address));
        in_block.then_some(Attribution { path: Path::Vpc, by: By::VpcCidr, eni: None })
    }
}

/// An address as one number, IPv4 as it is mapped into IPv6: compared at once,
/// for each row of a capture.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

/// The CIDR blocks that are the VPC's, as far as they were seen.
fn vpc_blocks(evidence: &Evidence) -> Vec<IpNet> {
    let mut blocks: Vec<IpNet> = evidence.network.vpc.seen().map(|vpc| vpc.cidrs.clone()).unwrap_or_default();
    let subnets = evidence.network.subnets.seen().into_iter().flatten();
    let subnets = subnets.filter(|subnet| evidence.cluster.vpc.as_deref() == Some(&subnet.vpc));
    blocks.extend(subnets.flat_map(|subnet| &subnet.cidrs));
    IpNet::aggregate(&blocks)
}

/// Whether an answer that lies in no known block of the VPC is a public one.
///
/// With private access off, the name never resolves to an ENI, and this is not
/// asked. With it on, an answer may be an ENI that was not seen: they are
/// replaced on upgrades, and may be hidden. The VPC's blocks tell; without them,
/// both of the ENIs that EKS keeps at least must have been seen, and public
/// access must be on.
fn outside_is_public(evidence: &Evidence, interfaces: &[ClassifiedInterface]) -> bool {
    let owned = interfaces.iter().filter(|known| known.kind == InterfaceKind::EksOwned).count();
    evidence.network.vpc.seen().is_some() || (owned >= 2 && evidence.cluster.access.public() == Some(true))
}
