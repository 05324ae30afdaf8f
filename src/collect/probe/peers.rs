//! Peers of nodes that nothing explains: which of them may be dialled, and their probes.
//!
//! The addresses come from the nodes, so they are not trusted: a user who controls a node
//! must not be able to make this machine connect to services that only it reaches.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use ipnet::IpNet;
use tracing::debug;

use super::{ADDRESSES_MAX, ProbeRequest, Prober};
use crate::model::cluster::Cluster;
use crate::model::probe::{Probe, ProbeTarget};
use crate::model::ranges::{RangeUse, of_nat64, range_use};

/// The only port of peers that is dialled.
pub const PEER_PORT: u16 = 443;

/// Peers of nodes that nothing explains, and what is needed to probe them.
#[derive(Debug)]
pub struct UnexplainedPeers {
    /// The cluster whose API server they may be.
    pub cluster: Cluster,
    /// The CIDR blocks of its VPC; outside of them only public addresses are dialled.
    pub blocks: Vec<IpNet>,
    /// The addresses, each with a connection of a node to [`PEER_PORT`].
    pub addresses: BTreeSet<IpAddr>,
    /// The answers to the probes that were made before.
    pub probe: Probe,
}

/// Probes the peers that may be dialled, at most eight of them, directly. Returns all answers;
/// `None` if there is no such peer.
pub(in crate::collect) async fn probe_peers(
    request: &ProbeRequest,
    peers: UnexplainedPeers,
) -> Option<Probe> {
    let UnexplainedPeers { cluster, blocks, addresses, mut probe } = peers;
    let prober = Prober::new(request, &cluster)?;
    let known: BTreeSet<_> = probe.answers.iter().map(|answer| answer.address).collect();
    let (dialled, others): (BTreeSet<_>, BTreeSet<_>) =
        addresses.into_iter().map(|address| address.to_canonical()).partition(|address| {
            !known.contains(&SocketAddr::new(*address, PEER_PORT)) && may_dial(*address, &blocks, is_own)
        });
    debug!(?dialled, not_dialled = ?others, "peers of nodes that nothing explains");
    if dialled.is_empty() {
        return None;
    }
    let dialled = dialled.into_iter().take(ADDRESSES_MAX);
    let dialled = dialled.map(|address| (SocketAddr::new(address, PEER_PORT), None));
    probe.answers.extend(prober.probe_all(dialled, ProbeTarget::Peer).await);
    Some(probe)
}

/// Whether an address is never dialled, whatever the blocks of the VPC are.
pub(in crate::collect) fn is_special(address: IpAddr) -> bool {
    let all = [IpAddr::from(Ipv4Addr::UNSPECIFIED), IpAddr::from(Ipv6Addr::UNSPECIFIED)];
    let all = all.map(|address| IpNet::new_assert(address, 0));
    !may_dial(address, &all, |_| false)
}

/// Whether this host has an address: only then can a socket be bound to it. Where the kernel
/// lets sockets be bound to any address, every address counts as its own.
fn is_own(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

/// Whether a peer of a node may be dialled: an address in the CIDR blocks of the VPC, or a public
/// one. Never one of this host, of a single host or link, of a group, or one that has a special
/// meaning, in whatever form it is written.
#[must_use]
pub fn may_dial(address: IpAddr, blocks: &[IpNet], is_own: impl Fn(IpAddr) -> bool) -> bool {
    let address = address.to_canonical();
    // NAT64 forwards packets to the IPv4 address, so that is what is dialled.
    let reached = match address {
        IpAddr::V6(ip) => of_nat64(ip).map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    };
    let range = range_use(reached);
    let is_never = matches!(range, Some(RangeUse::Special | RangeUse::Transition));
    let is_private = range == Some(RangeUse::Private);
    let is_assigned = match reached {
        IpAddr::V4(_) => true,
        // Global unicast and unique-local addresses; the rest is not given to hosts.
        IpAddr::V6(ip) => is_private || ip.segments()[0] & 0xe000 == 0x2000,
    };
    let is_admitted = || !is_private || blocks.iter().any(|block| block.contains(&reached));
    !is_never && is_assigned && is_admitted() && !is_own(address) && !is_own(reached)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    /// Whether an address may be dialled from a host that has 192.168.0.7, 8.8.8.7 and
    /// `2600::7`, in a VPC with these blocks.
    fn may(address: &str) -> bool {
        let blocks = ["192.168.0.0/16", "100.64.0.0/24", "2600:1f16::/56", "fd00:aa::/32"];
        let blocks: Vec<IpNet> = blocks.iter().map(|block| block.parse().expect("a block")).collect();
        may_in(address, &blocks)
    }

    fn may_in(address: &str, blocks: &[IpNet]) -> bool {
        let own = ["192.168.0.7", "8.8.8.7", "2600::7"].map(|own| own.parse::<IpAddr>().expect("an address"));
        may_dial(address.parse().expect("an address"), blocks, |address| own.contains(&address))
    }

    /// An IPv4 address as it is, mapped to IPv6, and behind NAT64.
    fn forms(address: &str) -> [String; 3] {
        [address.to_owned(), format!("::ffff:{address}"), format!("64:ff9b::{address}")]
    }

    const NEVER: [&str; 19] = [
        "0.0.0.0",
        "0.1.2.3",
        "127.0.0.1",
        "127.0.0.53",
        "127.255.255.255",
        "169.254.0.1",
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "192.0.0.1",
        "192.0.0.170",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.254",
        "255.255.255.255",
        // This host's own.
        "192.168.0.7",
        "8.8.8.7",
        "127.0.1.1",
    ];

    const NEVER_V6: [&str; 17] = [
        "::",
        "::1",
        // Forms of IPv4 addresses that are not in use.
        "::127.0.0.1",
        "::8.8.4.4",
        "::ffff:0:127.0.0.1",
        "64:ff9b:1::127.0.0.1",
        "64:ff9b:1::8.8.4.4",
        "2002:7f00:1::1",
        "2002:808:404::1",
        "2001:0:7f00:1::1",
        "100::1",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "fd00:ec2::254",
        "2600::7",
    ];

    #[test]
    fn addresses_that_mean_this_host_its_link_or_a_group_are_never_dialled() {
        for address in NEVER.iter().flat_map(|address| forms(address)) {
            assert!(!may(&address), "{address}");
        }
        for address in NEVER_V6 {
            assert!(!may(address), "{address}");
        }
    }

    /// Whatever AWS answers about the VPC.
    #[test]
    fn blocks_of_the_vpc_do_not_admit_them() {
        let all = ["0.0.0.0/0".parse().expect("a block"), "::/0".parse().expect("a block")];
        for address in NEVER.iter().flat_map(|address| forms(address)) {
            assert!(!may_in(&address, &all), "{address}");
        }
        for address in NEVER_V6 {
            assert!(!may_in(address, &all), "{address}");
        }
        assert!(may_in("10.0.0.1", &all) && may_in("fd00::1", &all));
    }

    #[test]
    fn private_addresses_outside_the_vpc_are_not_dialled() {
        let outside = ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.167.255.255", "192.169.0.0"];
        let admitted = [false, false, false, true, true];
        for (address, admitted) in outside.into_iter().zip(admitted) {
            for form in forms(address) {
                assert_eq!(may(&form), admitted, "{form}");
            }
        }
        for address in ["100.64.1.0", "100.127.255.255", "198.18.0.1", "198.19.255.255"] {
            for form in forms(address) {
                assert!(!may(&form), "{form}");
            }
        }
        for address in ["fc00::1", "fd00::1", "fdff::1", "4000::1", "200::1"] {
            assert!(!may(address), "{address}");
        }
        // Without the VPC's blocks nothing private is.
        assert!(!may_in("192.168.1.55", &[]) && may_in("8.8.4.4", &[]));
    }

    #[test]
    fn addresses_of_the_vpc_and_public_ones_are_dialled() {
        for address in ["192.168.1.55", "100.64.0.9", "8.8.4.4", "100.63.0.1", "100.128.0.1", "223.255.255.1"]
        {
            for form in forms(address) {
                assert!(may(&form), "{form}");
            }
        }
        for address in ["2600:1f16::1", "fd00:aa::1", "2600::8", "2001:4860::8888", "3fff::1"] {
            assert!(may(address), "{address}");
        }
    }

    #[test]
    fn this_hosts_addresses_are_its_own() {
        assert!(is_own(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        // For documentation: no host should have it.
        assert!(!is_own("192.0.2.77".parse().expect("an address")));
        // The address of this host towards others, where it has a route to them.
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        if socket.connect("8.8.8.8:53").is_ok() {
            assert!(is_own(socket.local_addr().expect("an address").ip()));
        }
    }
}
