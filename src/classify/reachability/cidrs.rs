//! Whether `publicAccessCidrs` contains the address with which a place leaves its network.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::super::security_groups::{Coverage, coverage};
use super::gaps;
use super::index::Reachabilities;
use super::route::Out;
use crate::model::cluster::{AllowedBlocks, EndpointAccess};
use crate::model::egress::WayOut;
use crate::model::ranges::{is_native_ipv6, is_public};
use crate::model::reachability::{Condition, ConditionKind, ConditionResult, EndpointSide, Location, Place};
use crate::model::rule::Step;
use crate::model::text::list;
use crate::steps;

const KIND: ConditionKind = ConditionKind::Cidrs;
/// How many addresses a condition names.
const SHOWN: usize = 10;

impl Reachabilities<'_> {
    /// Whether the list of the given settings contains the source address of a place.
    pub(super) fn cidrs(&self, access: &EndpointAccess, place: &Place) -> Condition {
        let allowed = access.allowed();
        if allowed.contains_ipv4() && !is_ipv6_only(place) {
            return Condition::met(KIND, "publicAccessCidrs contains every IPv4 address");
        }
        // What the list of today admitted, a list that contains it admits.
        let today = self.facts.evidence.cluster.access.public_cidrs();
        // A connection to an endpoint that is off was made when it was on, with another list.
        let contains_today = !today.is_empty() && allowed.contains_all(&today);
        let as_seen = |why: String| Condition::met(KIND, format!("as seen: {why}"));
        let seen = Some(&self.seen).filter(|_| contains_today);
        if let Some(why) = seen.and_then(|seen| seen.answered(place, EndpointSide::Public)) {
            return as_seen(why);
        }
        let condition = self.by_list(access, place, &allowed);
        // An established connection outlives a change of the list, and decides only where
        // nothing else does; what hangs is newer.
        // With one of several addresses it shows nothing of the others.
        let is_part = self
            .listed_egress(place, &allowed)
            .is_some_and(|(admitted, refused)| !admitted.is_empty() && !refused.is_empty());
        let is_decisive = condition.result == ConditionResult::Unknown
            && !is_part
            && self.seen.hanging(place, EndpointSide::Public).is_none();
        let established = seen.filter(|_| is_decisive && !self.is_stale(place));
        let established = established.and_then(|seen| seen.reached(place, EndpointSide::Public));
        established.map_or(condition, as_seen)
    }

    /// Whether a place's connections with the public endpoint are older than private access, and
    /// perhaps than the list: its new ones end on the ENIs.
    fn is_stale(&self, place: &Place) -> bool {
        let today = &self.facts.evidence.cluster.access;
        today.private() == Some(true) && self.name(today, place).side.known() == Some(EndpointSide::Private)
    }

    fn by_list(&self, access: &EndpointAccess, place: &Place, allowed: &AllowedBlocks) -> Condition {
        match &place.location {
            Location::Vpc { .. } => self.of_egress(access, place, allowed),
            Location::Outside { blocks } if blocks.iter().all(is_public) => {
                self.of_blocks(access, place, blocks, allowed)
            }
            Location::Outside { .. } | Location::Unknown => {
                Condition::unknown(KIND, self.unknown_address(place))
            }
        }
    }

    /// The addresses with which a place may leave the VPC over IPv4: those that the list
    /// contains, and those that it does not. `None` if they are not known.
    fn listed_egress(&self, place: &Place, allowed: &AllowedBlocks) -> Option<(Vec<IpAddr>, Vec<IpAddr>)> {
        let addresses: BTreeSet<IpAddr> = match self.way_out(place, &self.public) {
            Out::Addresses(addresses) => addresses.into_iter().map(|egress| egress.address).collect(),
            Out::Ipv6 => BTreeSet::new(),
            Out::None(_) | Out::Unknown(_) => return None,
        };
        Some(allowed.partition(addresses))
    }

    /// The addresses of a NAT gateway, or the place's own public address.
    fn of_egress(&self, access: &EndpointAccess, place: &Place, allowed: &AllowedBlocks) -> Condition {
        let Some((admitted, refused)) = self.listed_egress(place, allowed) else {
            return Condition::unknown(KIND, self.unknown_address(place));
        };
        let texts = |addresses: &[IpAddr]| {
            list(&addresses.iter().map(ToString::to_string).collect::<Vec<_>>(), SHOWN)
        };
        let own_v6 = self.own_ipv6(place);
        if refused.is_empty() && !admitted.is_empty() {
            let why = format!("publicAccessCidrs contains its egress address {}", texts(&admitted));
            return Condition::met(KIND, why);
        }
        if !refused.is_empty() && !admitted.is_empty() {
            let detail = format!(
                "it leaves with one of several addresses: publicAccessCidrs contains {}, and not {}",
                texts(&admitted),
                texts(&refused)
            );
            let mut condition = Condition::unknown(KIND, gaps::at(place, detail));
            let blocks: Vec<_> = refused.into_iter().map(IpNet::from).collect();
            condition.fix.push(self.add_blocks(access, &blocks, place));
            return condition;
        }
        if own_v6.iter().any(|address| allowed.contains(*address)) {
            if refused.is_empty() {
                let why = format!("publicAccessCidrs contains its own address {}", texts(&own_v6));
                return Condition::met(KIND, why);
            }
            let gap = gaps::at(
                place,
                "publicAccessCidrs contains its IPv6 address and not its IPv4 address; which of them it uses is not known",
            );
            return Condition::unknown(KIND, gap);
        }
        let refused = if refused.is_empty() { own_v6 } else { refused };
        if refused.is_empty() {
            return Condition::unknown(KIND, self.unknown_address(place));
        }
        let why = format!("publicAccessCidrs does not contain its egress address {}", texts(&refused));
        let blocks: Vec<_> = refused.into_iter().map(IpNet::from).collect();
        Condition::not_met(KIND, why, vec![self.add_blocks(access, &blocks, place)])
    }

    /// Public addresses, as the endpoint sees them.
    fn of_blocks(
        &self,
        access: &EndpointAccess,
        place: &Place,
        blocks: &[IpNet],
        allowed: &AllowedBlocks,
    ) -> Condition {
        let texts =
            |blocks: &[IpNet]| list(&blocks.iter().map(ToString::to_string).collect::<Vec<_>>(), SHOWN);
        let (mut parts, mut missing) = (Vec::new(), Vec::new());
        for block in blocks {
            match coverage([allowed.blocks()].into_iter(), block) {
                Coverage::Whole => {}
                Coverage::Part(part) => {
                    parts.push(part);
                    missing.push(*block);
                }
                Coverage::None => missing.push(*block),
            }
        }
        if missing.is_empty() {
            let whose = self.whose(place);
            return Condition::met(KIND, format!("publicAccessCidrs contains {}{whose}", texts(blocks)));
        }
        if parts.is_empty() && missing.len() == blocks.len() {
            let whose = self.whose(place);
            let why = format!("publicAccessCidrs does not contain {}{whose}", texts(&missing));
            return Condition::not_met(KIND, why, vec![self.add_blocks(access, &missing, place)]);
        }
        let detail = if parts.is_empty() {
            format!("publicAccessCidrs does not contain {}, and contains the other blocks", texts(&missing))
        } else {
            format!("publicAccessCidrs contains only a part of {}: {}", texts(&missing), texts(&parts))
        };
        let gap = gaps::about(
            place,
            detail,
            "pass a smaller block with --from, or add the whole block to the list",
        );
        let mut condition = Condition::unknown(KIND, gap);
        condition.fix.push(self.add_blocks(access, &missing, place));
        condition
    }

    /// The place's IPv6 addresses, with which it reaches a dual-stack endpoint.
    pub(super) fn own_ipv6(&self, place: &Place) -> Vec<IpAddr> {
        if !self.facts.has_ipv6_public_endpoint() {
            return Vec::new();
        }
        let Location::Vpc { blocks, .. } = &place.location else { return Vec::new() };
        let hosts = blocks.iter().filter(|block| block.prefix_len() == block.max_prefix_len());
        hosts.map(IpNet::addr).filter(is_native_ipv6).collect()
    }

    /// The step that adds blocks to the list of the given settings. A command replaces the whole
    /// list: the one for a host of the VPC has the addresses of all nodes.
    pub(super) fn add_blocks(&self, access: &EndpointAccess, blocks: &[IpNet], place: &Place) -> Step {
        let of_nodes = if matches!(place.location, Location::Vpc { .. }) {
            self.refused_nodes(access, blocks)
        } else {
            Vec::new()
        };
        let given = access.public_cidrs();
        let all = given.iter().chain(blocks).chain(&of_nodes).map(ToString::to_string);
        let added: Vec<_> = blocks.iter().map(ToString::to_string).collect();
        let others = if of_nodes.is_empty() {
            "the command replaces the list, so it has the present blocks too, and those of other places belong into the same command"
        } else {
            "the command replaces the list, so it has the present blocks and the addresses of the other nodes too"
        };
        let text = format!("Add {} to publicAccessCidrs; {others}", list(&added, SHOWN));
        let setting = format!("publicAccessCidrs={}", all.collect::<Vec<_>>().join(","));
        Step::new(text).command(steps::update(self.facts, &setting)).admits(blocks)
    }

    /// The addresses of nodes that the list lacks, besides some blocks.
    fn refused_nodes(&self, access: &EndpointAccess, besides: &[IpNet]) -> Vec<IpNet> {
        let ways = self.facts.egress.iter().flat_map(|node| &node.ipv4).filter_map(|way| way.seen());
        let addresses = ways.filter_map(|way| match way {
            WayOut::Addresses(addresses) => Some(addresses),
            WayOut::None(_) => None,
        });
        let addresses: BTreeSet<_> = addresses.flatten().map(|egress| egress.address).collect();
        let (_, refused) = access.allowed().partition(addresses);
        refused.into_iter().map(IpNet::from).filter(|block| !besides.contains(block)).collect()
    }

    /// The steps for a place whose address is not known.
    pub(super) fn find_and_add_address(&self, access: &EndpointAccess) -> Vec<Step> {
        let all: Vec<_> = access.public_cidrs().iter().map(ToString::to_string).collect();
        vec![
            Step::new("Print the address with which the place leaves its network, there")
                .command("curl -s https://checkip.amazonaws.com"),
            Step::new(
                "Add it to publicAccessCidrs as ADDRESS/32; the command's list has the other blocks too",
            )
            .command(steps::update(self.facts, &format!("publicAccessCidrs={},ADDRESS/32", all.join(",")))),
        ]
    }
}

/// Whether a place has IPv6 addresses alone.
fn is_ipv6_only(place: &Place) -> bool {
    let blocks = match &place.location {
        Location::Vpc { blocks, .. } | Location::Outside { blocks } => blocks,
        Location::Unknown => return false,
    };
    !blocks.is_empty() && blocks.iter().all(|block| block.addr().is_ipv6())
}
