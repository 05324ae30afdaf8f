//! Ranges of addresses: which are public, and which mean something else than a host of a
//! network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

/// The well-known prefix of NAT64, a /96: its addresses embed an IPv4 address in their last
/// 32 bits.
///
/// <https://www.rfc-editor.org/rfc/rfc6052>
pub const NAT64: Ipv6Addr = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0);

/// The IPv4 address that an IPv6 address of the well-known prefix of NAT64 embeds.
#[must_use]
pub fn of_nat64(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [.., a, b, c, d] = address.octets();
    (address.segments()[..6] == NAT64.segments()[..6]).then_some(Ipv4Addr::new(a, b, c, d))
}

/// Whether an address is an IPv6 address that embeds no IPv4 address of NAT64.
#[must_use]
pub fn is_native_ipv6(address: &IpAddr) -> bool {
    match address {
        IpAddr::V6(ip) => of_nat64(*ip).is_none(),
        IpAddr::V4(_) => false,
    }
}

/// An IPv4 block that is written as an IPv4-mapped IPv6 one, as an IPv4 block; others as
/// they are.
#[must_use]
pub fn canonical_block(block: IpNet) -> IpNet {
    match block {
        IpNet::V6(v6) if v6.prefix_len() >= 96 => {
            let v4 = v6.addr().to_ipv4_mapped();
            let block = v4.and_then(|address| Ipv4Net::new(address, v6.prefix_len() - 96).ok());
            block.map_or(IpNet::V6(v6), IpNet::V4)
        }
        other => other,
    }
}

/// What a range is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeUse {
    /// Networks that are not routed on the internet: private ones, those of carriers, whose
    /// addresses pods have too, and those of benchmarks. A VPC can have blocks of them.
    Private,
    /// A single host or link, a group, services of the host's own network such as the metadata
    /// of instances, or no host at all. No other host has such an address.
    Special,
    /// IPv6 addresses that stand for an IPv4 address of another network.
    Transition,
}

/// The ranges that are not for hosts on the internet. Blocks for documentation are not among
/// them: recordings have them in place of public addresses.
///
/// <https://www.iana.org/assignments/iana-ipv4-special-registry>,
/// <https://www.iana.org/assignments/iana-ipv6-special-registry>
const RANGES: [(RangeUse, IpNet); 23] = [
    (RangeUse::Private, v4([10, 0, 0, 0], 8)),
    (RangeUse::Private, v4([100, 64, 0, 0], 10)),
    (RangeUse::Private, v4([172, 16, 0, 0], 12)),
    (RangeUse::Private, v4([192, 168, 0, 0], 16)),
    (RangeUse::Private, v4([198, 18, 0, 0], 15)),
    (RangeUse::Special, v4([0, 0, 0, 0], 8)),
    (RangeUse::Special, v4([127, 0, 0, 0], 8)),
    (RangeUse::Special, v4([169, 254, 0, 0], 16)),
    (RangeUse::Special, v4([192, 0, 0, 0], 24)),
    (RangeUse::Special, v4([224, 0, 0, 0], 4)),
    (RangeUse::Special, v4([240, 0, 0, 0], 4)),
    // The unspecified address and loopback, and forms of IPv4 addresses that are not in use.
    (RangeUse::Special, v6([0, 0, 0, 0, 0, 0], 96)),
    (RangeUse::Special, v6([0, 0, 0, 0, 0, 0xffff], 96)),
    (RangeUse::Special, v6([0, 0, 0, 0, 0xffff, 0], 96)),
    (RangeUse::Special, v6([0x100, 0, 0, 0, 0, 0], 64)),
    // Services of EC2, within the range of private networks.
    (RangeUse::Special, v6([0xfd00, 0xec2, 0, 0, 0, 0], 32)),
    (RangeUse::Private, v6([0xfc00, 0, 0, 0, 0, 0], 7)),
    (RangeUse::Special, v6([0xfe80, 0, 0, 0, 0, 0], 10)),
    (RangeUse::Special, v6([0xfec0, 0, 0, 0, 0, 0], 10)),
    (RangeUse::Special, v6([0xff00, 0, 0, 0, 0, 0], 8)),
    // NAT64 of a network's own, Teredo and 6to4.
    (RangeUse::Transition, v6([0x64, 0xff9b, 1, 0, 0, 0], 48)),
    (RangeUse::Transition, v6([0x2001, 0, 0, 0, 0, 0], 32)),
    (RangeUse::Transition, v6([0x2002, 0, 0, 0, 0, 0], 16)),
];

/// A range of IPv4 addresses.
const fn v4([a, b, c, d]: [u8; 4], length: u8) -> IpNet {
    IpNet::new_assert(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), length)
}

/// A range of IPv6 addresses, of which the first 96 bits are given.
const fn v6(of: [u16; 6], length: u8) -> IpNet {
    IpNet::new_assert(IpAddr::V6(Ipv6Addr::new(of[0], of[1], of[2], of[3], of[4], of[5], 0, 0)), length)
}

/// The use of the range that contains a block, and that range.
fn range(block: &IpNet) -> Option<(RangeUse, IpNet)> {
    RANGES.into_iter().find(|(_, range)| range.contains(block))
}

/// The use of the range that contains an address; `None` for hosts on the internet.
#[must_use]
pub fn range_use(address: IpAddr) -> Option<RangeUse> {
    range(&address.into()).map(|(range_use, _)| range_use)
}

/// The private or reserved range that contains a block: no packet with such a source reaches
/// the public endpoint, and EKS refuses blocks within them in `publicAccessCidrs`.
///
/// <https://docs.aws.amazon.com/eks/latest/userguide/config-cluster-endpoint.html>
#[must_use]
pub fn reserved_range(block: &IpNet) -> Option<IpNet> {
    let reserved = range(block).filter(|(range_use, _)| *range_use != RangeUse::Transition);
    reserved.map(|(_, range)| range)
}

/// Whether a block is in no private or reserved range.
#[must_use]
pub fn is_public(block: &IpNet) -> bool {
    reserved_range(block).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_public_up_to_the_ends_of_the_ranges() {
        let public = [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "191.255.255.255",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "203.0.113.7",
            "223.255.255.255",
            "64:ff9b::1",
            "2000::",
            "2001:db8::1",
            "2002::1",
            "2600::1",
        ];
        for address in public {
            assert!(is_public(&address.parse::<IpAddr>().expect("an address").into()), "{address}");
        }
        let reserved = [
            "0.0.0.0",
            "0.255.255.255",
            "10.0.0.0",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.255",
            "192.168.0.0",
            "192.168.255.255",
            "198.18.0.0",
            "198.19.255.255",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:8.8.8.8",
            "100::1",
            "fc00::",
            "fd00:ec2::254",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
        ];
        for address in reserved {
            assert!(!is_public(&address.parse::<IpAddr>().expect("an address").into()), "{address}");
        }
    }

    /// A block is in a range only with all its addresses.
    #[test]
    fn a_block_that_is_wider_than_a_range_is_public() {
        for block in ["0.0.0.0/0", "::/0", "8.0.0.0/6", "172.0.0.0/8", "128.0.0.0/1"] {
            assert!(is_public(&block.parse().expect("a block")), "{block}");
        }
        assert_eq!(reserved_range(&"172.20.0.0/16".parse().expect("a block")), "172.16.0.0/12".parse().ok());
    }

    #[test]
    fn services_of_ec2_are_not_a_private_network() {
        let uses =
            ["fd00:ec2::254", "fd00:ec3::1"].map(|address| range_use(address.parse().expect("an address")));
        assert_eq!(uses, [Some(RangeUse::Special), Some(RangeUse::Private)]);
    }
}
