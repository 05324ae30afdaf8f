//! Whether the network ACLs of the subnets on the way let the packets of a connection pass.
//! They keep no state: answers need an entry too. They do not apply within a subnet.
//!
//! <https://docs.aws.amazon.com/vpc/latest/userguide/vpc-network-acls.html>

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

use super::Reachabilities;
use super::groups::common_families;
use crate::model::evidence::Evidence;
use crate::model::gap::{Gap, GapReason};
use crate::model::net::{AclEntry, Interface, NETWORK_ACLS, NetworkAcl};
use crate::model::reachability::{Condition, ConditionKind, Location, Place};
use crate::model::rule::Step;
use crate::model::shell::shell_word;
use crate::steps;

const KIND: ConditionKind = ConditionKind::NetworkAcl;
/// The ports of clients, to which answers go.
const CLIENT_PORTS: (u16, u16) = (1024, u16::MAX);
/// How many entries of a network ACL are evaluated. EC2 permits at most 40 in each direction.
///
/// <https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html>
const ENTRIES_MAX: usize = 400;
/// The number of the last entry of every network ACL, which denies.
const LAST: u32 = 32767;

/// The network ACLs, by subnet.
pub(super) struct Acls<'a> {
    by_subnet: HashMap<&'a str, &'a NetworkAcl>,
    default: Option<&'a NetworkAcl>,
    missing: Option<Gap>,
}

impl<'a> Acls<'a> {
    pub(super) fn new(evidence: &'a Evidence) -> Self {
        let acls = || evidence.network.network_acls.seen().into_iter().flatten();
        let by_subnet = acls().flat_map(|acl| acl.subnets.iter().map(move |subnet| (subnet.as_str(), acl)));
        let is_of_vpc = |acl: &&NetworkAcl| acl.vpc.is_none() || acl.vpc == evidence.cluster.vpc;
        Self {
            by_subnet: by_subnet.collect(),
            default: acls().filter(|acl| acl.is_default).find(is_of_vpc),
            missing: evidence.network.network_acls.as_result().err(),
        }
    }

    /// The network ACL of a subnet: its own, or the default one.
    fn of(&self, subnet: &str) -> Option<&'a NetworkAcl> {
        self.by_subnet.get(subnet).copied().or(self.default)
    }
}

/// The packets of one direction at one subnet.
struct Passage<'a> {
    subnet: &'a str,
    is_outbound: bool,
    /// The other end.
    blocks: Vec<IpNet>,
    ports: (u16, u16),
}

/// Whether an ACL lets packets pass.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Passes {
    /// All of them.
    All,
    /// None of them: the entry with this number denies them.
    None(u32),
    /// Some of them, as this text says.
    Some(String),
}

impl Reachabilities<'_> {
    /// The network ACL of a place's subnet, on its way to the public endpoint.
    pub(super) fn acl_out(&self, place: &Place) -> Condition {
        let Location::Vpc { subnet, .. } = &place.location else {
            return Condition::not_applicable(KIND, "the public endpoint has no network ACL");
        };
        let Some(subnet) = subnet.as_deref() else { return self.unknown_acl("its subnet is not known") };
        let port = self.facts.evidence.cluster.api_port();
        let any = vec![IpNet::V4(Ipv4Net::default())];
        let known: Vec<_> = self.public.iter().copied().map(IpNet::from).collect();
        let ends: Vec<_> =
            if known.is_empty() { vec![any] } else { known.into_iter().map(|end| vec![end]).collect() };
        // A client tries every address: one is enough.
        let ways = ends.into_iter().map(|end| {
            vec![
                Passage { subnet, is_outbound: true, blocks: end.clone(), ports: (port, port) },
                Passage { subnet, is_outbound: false, blocks: end, ports: CLIENT_PORTS },
            ]
        });
        self.any_passes(ways.collect())
    }

    /// The network ACLs of a place's subnet and of that of an EKS-owned ENI.
    pub(super) fn acl_in(&self, place: &Place, eni: Option<&Interface>) -> Condition {
        let (own, blocks) = match &place.location {
            Location::Vpc { subnet, blocks, .. } => (subnet.as_deref(), blocks),
            Location::Outside { blocks } => (None, blocks),
            Location::Unknown => return Condition::unknown(KIND, self.unknown_place(place)),
        };
        let is_in_vpc = Self::is_in_vpc(place);
        if let Some(gap) = &self.acls.missing {
            return Condition::unknown(KIND, gap.clone());
        }
        let Some(eni) = eni else { return Condition::unknown(KIND, self.no_enis()) };
        if own == Some(eni.subnet.as_str()) {
            return Condition::met(
                KIND,
                "it is in the subnet of an EKS-owned ENI, within which network ACLs do not apply",
            );
        }
        if is_in_vpc && own.is_none() {
            return self.unknown_acl("its subnet is not known");
        }
        let port = self.facts.evidence.cluster.api_port();
        let ways = common_families(blocks, eni).map(|(blocks, of_eni)| {
            let passage = |subnet, is_outbound, blocks: &[IpNet], ports| Passage {
                subnet,
                is_outbound,
                blocks: blocks.to_vec(),
                ports,
            };
            let to = (port, port);
            let at_place =
                own.map(|own| [passage(own, true, &of_eni, to), passage(own, false, &of_eni, CLIENT_PORTS)]);
            let at_eni =
                [passage(&eni.subnet, false, &blocks, to), passage(&eni.subnet, true, &blocks, CLIENT_PORTS)];
            at_place.into_iter().flatten().chain(at_eni).collect()
        });
        self.any_passes(ways.collect())
    }

    /// Judges several ways, of which one is enough.
    fn any_passes(&self, ways: Vec<Vec<Passage<'_>>>) -> Condition {
        if let Some(gap) = &self.acls.missing {
            return Condition::unknown(KIND, gap.clone());
        }
        let mut worst: Option<Condition> = None;
        for way in &ways {
            let condition = self.all_pass(way);
            match condition.result {
                crate::model::reachability::ConditionResult::Met => return condition,
                crate::model::reachability::ConditionResult::Unknown => worst = Some(condition),
                _ => worst = worst.or(Some(condition)),
            }
        }
        worst.unwrap_or_else(|| self.unknown_acl("both ends have no address of the same family"))
    }

    fn all_pass(&self, way: &[Passage<'_>]) -> Condition {
        let mut partly = None;
        for passage in way {
            let Some(acl) = self.acls.of(passage.subnet) else {
                let detail = format!("the network ACL of {} is not in it", passage.subnet);
                partly.get_or_insert_with(|| self.unknown_acl(&detail));
                continue;
            };
            let end = passage.blocks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let (direction, preposition) =
                if passage.is_outbound { ("outbound", "to") } else { ("inbound", "from") };
            match passes(acl, passage) {
                Passes::All => {}
                Passes::None(number) => {
                    let (first, last) = passage.ports;
                    let ports = if first == last {
                        format!("port {first}")
                    } else {
                        format!("ports {first}-{last}, to which answers go,")
                    };
                    let entry = if number >= LAST {
                        "its last entry, which denies what no other allows".to_owned()
                    } else {
                        format!("its entry {number}")
                    };
                    let why = format!(
                        "the network ACL {} of {} denies {direction} TCP {ports} {preposition} {end}, by {entry}",
                        acl.id, passage.subnet
                    );
                    return Condition::not_met(KIND, why, self.allow(acl, passage, number));
                }
                Passes::Some(text) => {
                    let detail =
                        format!("{} of {}, {direction} {preposition} {end}: {text}", acl.id, passage.subnet);
                    partly.get_or_insert_with(|| self.unknown_acl(&detail));
                }
            }
        }
        partly.unwrap_or_else(|| {
            Condition::met(KIND, "the network ACLs let the connection and its answers pass")
        })
    }

    fn unknown_acl(&self, detail: &str) -> Condition {
        Condition::unknown(KIND, self.facts.evidence.gap(NETWORK_ACLS, GapReason::NotSupported, detail))
    }

    /// The steps that add an entry before the one that denies.
    fn allow(&self, acl: &NetworkAcl, passage: &Passage<'_>, denies: u32) -> Vec<Step> {
        let of_direction = acl.entries.iter().filter(|entry| entry.is_outbound == passage.is_outbound);
        let taken: BTreeSet<u32> = of_direction.map(|entry| entry.number).collect();
        let mut free = (1..denies.min(LAST)).rev().filter(|number| !taken.contains(number));
        let (first, last) = passage.ports;
        let direction = if passage.is_outbound { "egress" } else { "ingress" };
        let word = if passage.is_outbound { "outbound" } else { "inbound" };
        let region = steps::region(self.facts);
        let steps = passage.blocks.iter().map(|block| {
            let number = free.next().map_or_else(|| "NUMBER".to_owned(), |number| number.to_string());
            let option = if block.addr().is_ipv4() { "cidr-block" } else { "ipv6-cidr-block" };
            let id = shell_word(&acl.id, "NETWORK_ACL");
            let text = format!("Allow {word} TCP {first}-{last} with {block} in {}, by an entry before the one that denies", acl.id);
            Step::new(text).command(format!(
                "aws ec2 create-network-acl-entry{region} --network-acl-id {id} --{direction} --rule-number {number} --protocol tcp --port-range From={first},To={last} --{option} {block} --rule-action allow"
            ))
        });
        steps.collect()
    }
}

/// Whether an ACL lets packets pass. Each part of the other end that entries distinguish is
/// judged by its first address.
fn passes(acl: &NetworkAcl, passage: &Passage<'_>) -> Passes {
    if acl.entries.len() > ENTRIES_MAX {
        return Passes::Some(format!("it has more than {ENTRIES_MAX} entries"));
    }
    let entries: Vec<&AclEntry> = acl
        .entries
        .iter()
        .filter(|entry| entry.is_outbound == passage.is_outbound && entry.ports.is_some())
        .collect();
    if entries.iter().any(|entry| entry.block.is_none()) {
        return Passes::Some("the block of an entry is not recorded".to_owned());
    }
    let (mut allowed, mut denied) = (false, None);
    let mut text = None;
    for block in &passage.blocks {
        for address in representatives(block, &entries) {
            let (allows, denies) = at_address(&entries, address, passage.ports);
            allowed |= !allows.is_empty();
            if let Some(number) = denies {
                denied = denied.or(Some(number));
                let ports = allows.first().map(|(first, last)| format!(", which allows {first}-{last} only"));
                let ports = ports.unwrap_or_default();
                text.get_or_insert_with(|| {
                    format!("entry {number} denies a part of it, at {address}{ports}")
                });
            }
        }
    }
    match (allowed, denied) {
        (_, None) => Passes::All,
        (false, Some(number)) => Passes::None(number),
        (true, Some(_)) => Passes::Some(text.unwrap_or_default()),
    }
}

/// The first address of each part of a block that entries distinguish.
fn representatives(block: &IpNet, entries: &[&AclEntry]) -> BTreeSet<IpAddr> {
    let mut first = BTreeSet::from([block.network()]);
    for other in entries.iter().filter_map(|entry| entry.block) {
        let after = match other.broadcast() {
            IpAddr::V4(ip) => u32::from(ip).checked_add(1).map(|bits| IpAddr::V4(Ipv4Addr::from(bits))),
            IpAddr::V6(ip) => u128::from(ip).checked_add(1).map(|bits| IpAddr::V6(Ipv6Addr::from(bits))),
        };
        first.extend(
            [Some(other.network()), after].into_iter().flatten().filter(|address| block.contains(address)),
        );
    }
    first
}

/// The ranges of ports that entries allow with an address, and the number of the entry that
/// denies others; without one, the last.
fn at_address(
    entries: &[&AclEntry],
    address: IpAddr,
    (first, last): (u16, u16),
) -> (Vec<(u16, u16)>, Option<u32>) {
    let mut open = vec![(first, last)];
    let (mut allowed, mut denied) = (Vec::new(), None);
    for entry in entries {
        let Some((from, to)) = entry.ports else { continue };
        if from > to || !entry.block.is_some_and(|block| block.contains(&address)) {
            continue;
        }
        let mut rest = Vec::new();
        for (first, last) in open {
            if to < first || last < from {
                rest.push((first, last));
                continue;
            }
            let matched = (first.max(from), last.min(to));
            if entry.allows {
                allowed.push(matched);
            } else {
                denied = denied.or(Some(entry.number));
            }
            rest.extend((first < matched.0).then(|| (first, matched.0 - 1)));
            rest.extend((matched.1 < last).then(|| (matched.1 + 1, last)));
        }
        open = rest;
    }
    if !open.is_empty() {
        denied = denied.or(Some(LAST));
    }
    (allowed, denied)
}
