//! Attribution of peers: an address is looked up in the evidence, never guessed from
//! well-known address ranges.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::model::cluster::EndpointAccess;
use crate::model::connection::{Attribution, By, Component, Direction, KUBELET_PORT, Path};
use crate::model::evidence::Evidence;
use crate::model::facts::{ClassifiedInterface, InterfaceKind};
use crate::model::probe::Probe;
use crate::model::ranges::{NAT64, is_public, range_use};
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
    /// The networks of hybrid nodes and their pods.
    remote: Vec<IpNet>,
    /// The networks of the pods on all nodes, for clusters whose pods have no addresses of
    /// the VPC. They do not overlap, and are sorted.
    pods: Vec<IpNet>,
    /// The prefixes by which IPv6 addresses embed IPv4 addresses (NAT64): their upper 96
    /// bits.
    nat64: HashSet<u128>,
    api_port: u16,
}

impl Index {
    /// Builds the index. `interfaces` are the classified interfaces of the evidence, `is_of_one_vpc`
    /// says whether nothing in it is of another VPC than the cluster's.
    #[must_use]
    pub fn new(evidence: &Evidence, interfaces: &[ClassifiedInterface], is_of_one_vpc: bool) -> Self {
        let cluster = &evidence.cluster;
        let in_vpc = |eni: &ClassifiedInterface| cluster.vpc.as_deref() == Some(&eni.interface.vpc);
        let in_vpc = || interfaces.iter().enumerate().filter(|(_, eni)| in_vpc(eni));
        let blocks = vpc_blocks(evidence);
        let nat64 = nat64_prefixes(evidence, interfaces);
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
        for address in evidence.endpoint_addresses().into_iter().map(|address| embedded(address, &nat64)) {
            let is_inside =
                addresses.contains_key(&bits(address)) || blocks.iter().any(|block| block.contains(&address));
            let is_public_only = matches!(cluster.access, EndpointAccess::Public { .. });
            // Outside the VPC, a name that resolves to a private or reserved address leads to something
            // else than the public endpoint: a load balancer of the operator, a filter of names. Where
            // there is no other endpoint, it leads there in the end, as by a tunnel or a proxy. An answer
            // that may be about another cluster shows nothing of the kind.
            let may_be_public = range_use(address).is_none();
            let is_only_endpoint = is_public_only && (may_be_public || is_of_one_vpc);
            if is_only_endpoint || (may_be_public && !is_inside && outside_vpc_is_public) {
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
        // A second witness of the EKS-owned ENIs' addresses, which are not listed.
        if evidence.network.interfaces.seen().is_none() {
            let by_slice = Attribution { path: Path::PrivateEni, by: By::EndpointSlice, eni: None };
            let slices = evidence.kubernetes.api_addresses.seen().into_iter().flatten();
            addresses.extend(slices.map(|&address| (bits(address), by_slice.clone())));
        }
        for (index, eni) in in_vpc().filter(|(_, eni)| eni.kind == InterfaceKind::EksOwned) {
            for &address in &eni.interface.addresses {
                addresses.insert(
                    bits(address),
                    Attribution { path: Path::PrivateEni, by: By::Eni, eni: Some(index) },
                );
            }
        }
        let remote = [cluster.remote_node_networks.as_slice(), &cluster.remote_pod_networks].concat();
        // A peer that nothing else explains and that proved to be the API server. In the VPC, and
        // among addresses of private networks, it may be a load balancer of the operator before
        // the ENIs: there it stays unattributed.
        let is_known_outside = evidence.network.vpc.seen().is_some();
        let peers = evidence.probes.iter().flat_map(Probe::peers).filter(|_| is_known_outside);
        for peer in peers.map(|peer| embedded(peer, &nat64)) {
            let is_inside = blocks.iter().chain(&remote).any(|block| block.contains(&peer));
            if !is_inside && is_public(&peer.into()) {
                let by_tls = Attribution { path: Path::PublicEndpoint, by: By::Tls, eni: None };
                addresses.entry(bits(peer)).or_insert(by_tls);
            }
        }
        let nodes = evidence.kubernetes.nodes.seen().into_iter().flatten();
        let mut pods = IpNet::aggregate(&nodes.flat_map(|node| node.pod_cidrs.iter().copied()).collect());
        pods.sort_by_key(|pods| bits(pods.network()));
        Self { addresses, prefixes, blocks, remote, pods, nat64, api_port: cluster.api_port() }
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
        // A client of the kubelet may be any address of the VPC or of the declared remote
        // networks. A peer of an outbound connection may not: addresses that no interface
        // has are former ones of the control plane, among others.
        let by_block = || match direction {
            Direction::Inbound => self.block(peer),
            Direction::Outbound if self.is_pod(peer) => {
                Some(Attribution { path: Path::Other, by: By::None, eni: None })
            }
            Direction::Outbound | Direction::None => None,
        };
        self.interface(peer).or_else(by_block).unwrap_or_else(unknown)
    }

    /// Whether a socket is or may be an established connection to the port of an API server at a public
    /// address that nothing explains, `path` being that of its peer.
    #[must_use]
    pub fn is_unplaced(&self, socket: &Socket, direction: Direction, path: Path) -> bool {
        path == Path::Other
            && direction == Direction::Outbound
            && socket.state.may_be_established()
            && socket
                .peer
                .ip()
                .is_some_and(|peer| is_public(&embedded(peer, &self.nat64).into()) && !self.is_pod(peer))
    }

    /// Attributes an address; `None` if no evidence explains it.
    #[must_use]
    pub fn lookup(&self, address: IpAddr) -> Option<Attribution> {
        self.interface(address).or_else(|| self.block(address))
    }

    /// Whether an address is in the network of the pods on a node.
    fn is_pod(&self, address: IpAddr) -> bool {
        let after = self.pods.partition_point(|pods| bits(pods.network()) <= bits(address));
        after > 0 && self.pods[after - 1].contains(&address)
    }

    /// Whether an address is in the VPC or in the declared remote networks.
    fn block(&self, address: IpAddr) -> Option<Attribution> {
        let address = embedded(address, &self.nat64);
        let is_inside = self.blocks.iter().chain(&self.remote).any(|block| block.contains(&address));
        is_inside.then_some(Attribution { path: Path::Vpc, by: By::VpcCidr, eni: None })
    }

    /// Attributes an address to an interface, the endpoint or a `ClusterIP`.
    fn interface(&self, address: IpAddr) -> Option<Attribution> {
        let address = embedded(address, &self.nat64);
        if let Some(attribution) = self.addresses.get(&bits(address)) {
            return Some(attribution.clone());
        }
        let prefix = self
            .prefixes
            .range(..=bits(address))
            .next_back()
            .filter(|(_, (prefix, _))| prefix.contains(&address));
        prefix.map(|(_, (_, eni))| Attribution { path: Path::Vpc, by: By::Eni, eni: Some(*eni) })
    }
}

/// The IPv4 address that an IPv6 address of NAT64 embeds in its last 32 bits; other
/// addresses as they are.
fn embedded(address: IpAddr, nat64: &HashSet<u128>) -> IpAddr {
    match address {
        // Nearly always, the well-known prefix is the only one.
        IpAddr::V6(ip)
            if upper_96_bits(ip) == upper_96_bits(NAT64)
                || nat64.len() > 1 && nat64.contains(&upper_96_bits(ip)) =>
        {
            IpAddr::V4(last_32_bits(ip))
        }
        _ => address,
    }
}

fn upper_96_bits(ip: Ipv6Addr) -> u128 {
    ip.to_bits() >> 32
}

fn last_32_bits(ip: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = ip.octets();
    Ipv4Addr::new(a, b, c, d)
}

/// The prefixes of NAT64: the well-known one, which DNS64 of the VPC resolver uses, and
/// those that answers show: all IPv6 addresses of an answer embed, behind one prefix, IPv4
/// addresses of the endpoint, of this answer, of another one or of an EKS-owned ENI.
///
/// <https://www.rfc-editor.org/rfc/rfc6052>
fn nat64_prefixes(evidence: &Evidence, interfaces: &[ClassifiedInterface]) -> HashSet<u128> {
    let owned = interfaces.iter().filter(|eni| eni.kind == InterfaceKind::EksOwned);
    let owned = owned.flat_map(|eni| eni.interface.addresses.iter().copied());
    let known = evidence.endpoint_addresses().into_iter().chain(owned);
    let known: HashSet<_> = known
        .filter_map(|address| match address {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        })
        .collect();
    let mut prefixes = HashSet::from([upper_96_bits(NAT64)]);
    for answer in evidence.dns.iter().filter_map(|vantage| vantage.answer.seen()) {
        let v6 = answer.addresses.iter().filter_map(|address| match address {
            IpAddr::V6(ip) => Some(*ip),
            IpAddr::V4(_) => None,
        });
        let Some(prefix) = v6.clone().next().map(upper_96_bits) else { continue };
        if { v6 }.all(|ip| upper_96_bits(ip) == prefix && known.contains(&last_32_bits(ip))) {
            prefixes.insert(prefix);
        }
    }
    prefixes
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
