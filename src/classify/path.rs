//! Attribution of peers: an address is looked up in the evidence, never guessed from
//! well-known address ranges.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::cluster::EndpointAccess;
use crate::model::connection::{Attribution, By, Component, Direction, KUBELET_PORT, Path};
use crate::model::evidence::Evidence;
use crate::model::facts::{ClassifiedInterface, InterfaceKind};
use crate::model::socket::{Port, Socket};

/// An index of the evidence by address.
#[derive(Debug)]
pub struct Index {
    addresses: BTreeMap<u128, Attribution>,
    /// Prefixes delegated to interfaces, by their first address. Prefixes in one VPC do
    /// not overlap.
    prefixes: BTreeMap<u128, (IpNet, usize)>,
    /// The CIDR blocks of the VPC.
    blocks: Vec<IpNet>,
    api_port: u16,
}

impl Index {
    /// Builds the index. `interfaces` are the classified interfaces of the evidence.
    #[must_use]
    pub fn new(evidence: &Evidence, interfaces: &[ClassifiedInterface]) -> Self {
        let cluster = &evidence.cluster;
        let in_vpc = |eni: &ClassifiedInterface| cluster.vpc.as_deref() == Some(&eni.interface.vpc);
        let in_vpc = || interfaces.iter().enumerate().filter(|(_, eni)| in_vpc(eni));
        let blocks = vpc_blocks(evidence);
        // In ascending precedence: later entries replace earlier ones.
        let mut addresses = BTreeMap::new();
        let mut prefixes = BTreeMap::new();
        for (index, eni) in in_vpc() {
            let attribution = Attribution { path: Path::Vpc, by: By::Eni, eni: Some(index) };
            for &address in &eni.interface.addresses {
                // If several ENIs have the address, the first one is used.
                addresses.entry(bits(address)).or_insert_with(|| attribution.clone());
            }
            prefixes.extend(
                eni.interface.prefixes.iter().map(|&prefix| (bits(prefix.network()), (prefix, index))),
            );
        }
        let outside_vpc_is_public = outside_vpc_is_public(evidence, interfaces);
        for address in evidence.endpoint_addresses() {
            let is_inside =
                addresses.contains_key(&bits(address)) || blocks.iter().any(|block| block.contains(&address));
            let is_public_only = matches!(cluster.access, EndpointAccess::Public { .. });
            if is_public_only || (!is_inside && outside_vpc_is_public) {
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
        for (index, eni) in in_vpc().filter(|(_, eni)| eni.kind == InterfaceKind::EksOwned) {
            for &address in &eni.interface.addresses {
                addresses.insert(
                    bits(address),
                    Attribution { path: Path::PrivateEni, by: By::Eni, eni: Some(index) },
                );
            }
        }
        Self { addresses, prefixes, blocks, api_port: cluster.api_port() }
    }

    /// Returns the direction of a socket.
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

    /// Attributes the peer of a socket.
    #[must_use]
    pub fn attribute(
        &self,
        socket: &Socket,
        direction: Direction,
        component: Option<Component>,
    ) -> Attribution {
        let unknown = || {
            // Port 10250 belongs to the kubelet, whether or not the row lists it.
            let may_be_api_traffic = match direction {
                Direction::Outbound => component.is_some(),
                Direction::Inbound => true,
                Direction::None => false,
            };
            Attribution {
                path: if may_be_api_traffic { Path::Unattributed } else { Path::Other },
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

    /// Attributes an address; `None` if no evidence explains it.
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

/// Converts an address to one integer, IPv4 as IPv4-mapped IPv6, so that the lookup for
/// each row compares integers.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

/// The CIDR blocks of the VPC and its subnets, as far as they are known.
fn vpc_blocks(evidence: &Evidence) -> Vec<IpNet> {
    let mut blocks: Vec<IpNet> = evidence.network.vpc.seen().map(|vpc| vpc.cidrs.clone()).unwrap_or_default();
    let subnets = evidence.network.subnets.seen().into_iter().flatten();
    let subnets = subnets.filter(|subnet| evidence.cluster.vpc.as_deref() == Some(&subnet.vpc));
    blocks.extend(subnets.flat_map(|subnet| &subnet.cidrs));
    IpNet::aggregate(&blocks)
}

/// Whether an address of the endpoint outside the known CIDR blocks of the VPC can be
/// treated as one of the public endpoint.
///
/// This matters only if private access is on or unknown; otherwise the name never
/// resolves to an ENI. The address could belong to an EKS-owned ENI that is missing from
/// the evidence: EKS replaces them on upgrades, and permissions may hide them. The VPC's
/// CIDR blocks decide. Without them, public access must be on and at least two
/// EKS-owned ENIs known, the minimum that EKS keeps.
fn outside_vpc_is_public(evidence: &Evidence, interfaces: &[ClassifiedInterface]) -> bool {
    let owned = interfaces.iter().filter(|eni| eni.kind == InterfaceKind::EksOwned).count();
    evidence.network.vpc.seen().is_some() || (owned >= 2 && evidence.cluster.access.public() == Some(true))
}
