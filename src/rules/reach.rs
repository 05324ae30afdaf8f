//! How much of the internet `publicAccessCidrs` covers, judged as a union.

use std::net::Ipv4Addr;

use ipnet::IpNet;

use crate::model::cluster::EndpointAccess;
use crate::model::expectations::Expectations;

/// The blocks that count as the internet at large.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Open {
    /// The merged blocks.
    pub(super) blocks: Vec<IpNet>,
    /// The number of their addresses, if no block alone is too wide but all together are.
    pub(super) addresses: Option<u128>,
}

/// The number of IPv4 addresses that count as the internet at large, in whatever blocks:
/// four times the widest block that is allowed by default.
const MANY_V4: u128 = 1 << 26;

/// The blocks that count as the internet at large: one of them is wider than allowed, or all
/// of a family together are at least four times the widest block that is allowed. All
/// addresses of a family are, whatever is allowed.
pub(super) fn open_blocks(cidrs: &[IpNet], expected: &Expectations) -> Option<Open> {
    let merged = union(cidrs);
    let is_open = |block: &IpNet| match block {
        _ if block.prefix_len() == 0 => true,
        // It contains all IPv4-mapped addresses.
        IpNet::V6(block) if block.contains(&Ipv4Addr::UNSPECIFIED.to_ipv6_mapped()) => true,
        IpNet::V4(block) => block.prefix_len() < expected.widest_v4,
        IpNet::V6(block) => block.prefix_len() < expected.widest_v6,
    };
    let wide: Vec<_> = merged.iter().copied().filter(is_open).collect();
    if !wide.is_empty() {
        return Some(Open { blocks: wide, addresses: None });
    }
    let four = |bits: u8| size(bits).saturating_mul(4);
    let (v4, v6): (Vec<_>, Vec<_>) = merged.into_iter().partition(|block| block.network().is_ipv4());
    let families = [(v4, MANY_V4.max(four(32 - expected.widest_v4))), (v6, four(128 - expected.widest_v6))];
    families.into_iter().find_map(|(blocks, many)| {
        let sizes = blocks.iter().map(|block| size(block.max_prefix_len() - block.prefix_len()));
        let addresses = sizes.fold(0, u128::saturating_add);
        (addresses >= many).then_some(Open { blocks, addresses: Some(addresses) })
    })
}

/// The number of addresses with this many free bits.
fn size(bits: u8) -> u128 {
    1u128.checked_shl(bits.into()).unwrap_or(u128::MAX)
}

/// What a finding adds where the public endpoint is only assumed to be on.
pub(super) fn assumed(access: &EndpointAccess) -> &'static str {
    match access.public() {
        Some(_) => "",
        None => "; endpointPublicAccess is not recorded and is assumed to be on",
    }
}

/// The blocks, with adjacent and overlapping ones merged.
pub(super) fn union(cidrs: &[IpNet]) -> Vec<IpNet> {
    IpNet::aggregate(&cidrs.to_vec())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn blocks(cidrs: &[&str]) -> Vec<IpNet> {
        cidrs.iter().map(|cidr| cidr.parse().expect("a CIDR")).collect()
    }

    fn open(cidrs: &[&str]) -> Vec<String> {
        let open = open_blocks(&blocks(cidrs), &Expectations::default());
        open.map(|open| open.blocks.iter().map(ToString::to_string).collect()).unwrap_or_default()
    }

    #[test]
    fn blocks_are_judged_together() {
        assert_eq!(open(&["0.0.0.0/0"]), ["0.0.0.0/0"]);
        assert_eq!(open(&["203.0.113.0/24", "::/0"]), ["::/0"]);
        assert_eq!(open(&["0.0.0.0/1", "128.0.0.0/1"]), ["0.0.0.0/0"]);
        assert_eq!(open(&["16.0.0.0/7"]), ["16.0.0.0/7"]);
        assert_eq!(open(&["17.0.0.0/8", "16.0.0.0/8"]), ["16.0.0.0/7"]);
        assert_eq!(open(&["2600::/31"]), ["2600::/31"]);
        let quarters: Vec<_> = (0..256).map(|first| format!("{first}.0.0.0/8")).collect();
        assert_eq!(open(&quarters.iter().map(String::as_str).collect::<Vec<_>>()), ["0.0.0.0/0"]);
        assert!(open(&["16.0.0.0/8", "203.0.113.7/32", "2600::/32"]).is_empty());
    }

    /// Many blocks that are each narrow enough.
    #[test]
    fn addresses_are_counted_over_all_blocks() {
        let every_second = |from: u32, to: u32| {
            let cidrs = (from..to).step_by(2).map(|first| format!("{first}.0.0.0/8"));
            cidrs.map(|cidr| cidr.parse().expect("a CIDR")).collect::<Vec<IpNet>>()
        };
        let default = Expectations::default();
        assert_eq!(open_blocks(&every_second(2, 8), &default), None);
        let four = open_blocks(&every_second(2, 10), &default).expect("open");
        assert_eq!(four.addresses, Some(1 << 26));
        let forty = open_blocks(&every_second(2, 82), &default).expect("open");
        assert_eq!(forty.addresses, Some(671_088_640));
        // Blocks within others count once.
        let nested = [every_second(2, 8), blocks(&["2.0.0.0/9", "4.1.0.0/16"])].concat();
        assert_eq!(open_blocks(&nested, &default), None);
        // A policy that allows wider blocks allows more of them.
        let wide = Expectations { widest_v4: 6, ..Expectations::default() };
        assert_eq!(open_blocks(&every_second(2, 10), &wide), None);
        assert!(open_blocks(&every_second(2, 34), &wide).is_some());
        // One that allows narrow blocks only does not make a list of them the internet.
        let narrow = Expectations { widest_v4: 24, ..Expectations::default() };
        assert_eq!(open_blocks(&blocks(&["198.51.100.0/24", "203.0.113.0/24"]), &narrow), None);
        let v6 = blocks(&["2600::/32", "2602::/32", "2604::/32", "2606::/32"]);
        assert_eq!(open_blocks(&v6[..3], &default), None);
        assert_eq!(open_blocks(&v6, &default).expect("open").addresses, Some(1 << 98));
    }

    /// A list like those that providers of CI publish: thousands of blocks of different
    /// sizes, most of them small.
    #[test]
    fn a_long_list_of_small_blocks_is_not_the_internet() {
        let list: Vec<IpNet> = (0..4000u32)
            .map(|number| {
                let address = std::net::Ipv4Addr::from(0x0400_0000 + number * 0x0002_0000);
                let prefix = 20 + u8::try_from(number % 13).expect("small");
                IpNet::new(address.into(), prefix).expect("a CIDR").trunc()
            })
            .collect();
        assert_eq!(open_blocks(&list, &Expectations::default()), None);
        // The same with a block of /14 in every place.
        let wide: Vec<_> =
            list.iter().map(|block| IpNet::new(block.addr(), 15).expect("a CIDR").trunc()).collect();
        assert!(open_blocks(&wide, &Expectations::default()).is_some());
    }

    #[test]
    fn all_addresses_are_open_whatever_is_allowed() {
        let any = Expectations { widest_v4: 0, widest_v6: 0, ..Expectations::default() };
        for all in ["0.0.0.0/0", "::/0"] {
            assert_eq!(open_blocks(&blocks(&[all]), &any).expect("open").blocks, blocks(&[all]));
        }
        assert_eq!(open_blocks(&blocks(&["0.0.0.0/1", "8000::/1"]), &any), None);
        assert_eq!(open(&["::/80"]), ["::/80"]);
    }

    /// Blocks in a small part of the address space, so that they overlap.
    fn any_block() -> impl Strategy<Value = IpNet> {
        (0u32..1 << 12, 20u8..=32).prop_map(|(low, prefix)| {
            IpNet::new(std::net::Ipv4Addr::from(low).into(), prefix).expect("a prefix")
        })
    }

    proptest! {
        /// The union holds each address of the blocks once, and no other.
        #[test]
        fn the_union_has_each_address_once(cidrs in prop::collection::vec(any_block(), 0..12)) {
            let addresses: HashSet<_> = cidrs
                .iter()
                .flat_map(|block| match block {
                    IpNet::V4(block) => u32::from(block.network())..=u32::from(block.broadcast()),
                    IpNet::V6(_) => unreachable!(),
                })
                .collect();
            let sum: u128 = union(&cidrs).iter().map(|block| size(32 - block.prefix_len())).sum();
            prop_assert_eq!(sum, addresses.len() as u128);
        }

        /// More blocks never make a list less open, and neither order nor repetition
        /// matters.
        #[test]
        fn a_longer_list_is_never_less_open(
            blocks in prop::collection::vec((any::<u32>(), 6u8..=32), 1..50),
            widest_v4 in 0u8..=32,
        ) {
            let expected = Expectations { widest_v4, ..Expectations::default() };
            let cidrs: Vec<_> = blocks
                .iter()
                .map(|(address, prefix)| {
                    IpNet::new(std::net::Ipv4Addr::from(*address).into(), *prefix).expect("a prefix")
                })
                .collect();
            let whole = open_blocks(&cidrs, &expected);
            let part = open_blocks(&cidrs[..cidrs.len() - 1], &expected);
            prop_assert!(part.is_none() || whole.is_some());
            let backwards: Vec<_> = cidrs.iter().rev().chain(&cidrs).copied().collect();
            prop_assert_eq!(open_blocks(&backwards, &expected), whole);
        }
    }
}
