//! Evaluation of security groups: whether they admit TCP connections to or from a peer.
//!
//! A connection is admitted if any rule of any group of the interface admits it. A rule
//! that refers to a security group admits the interfaces that have that group.
//!
//! <https://docs.aws.amazon.com/vpc/latest/userguide/security-group-rules.html>

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::cluster::Cluster;
use crate::model::net::{GroupRule, RulePeer, SecurityGroup};
use crate::model::reach::RuleSide;

/// How many security groups of an interface are evaluated. EC2 permits at most 16.
///
/// <https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html>
const GROUPS_MAX: usize = 64;

/// The rules of all security groups for one side and one TCP port, by group.
pub(super) struct Rules<'a> {
    side: RuleSide,
    by_group: HashMap<&'a str, GroupAdmits<'a>>,
}

/// What the rules of one group admit.
struct GroupAdmits<'a> {
    groups: HashSet<&'a str>,
    /// CIDR blocks, sorted and disjoint.
    blocks: Vec<IpNet>,
    /// The reason why it may admit more.
    unknown: Option<String>,
}

/// The other end of a connection.
pub(super) struct Peer<'a> {
    /// The security groups of its interface; `None` if they are not known.
    pub(super) groups: Option<&'a [String]>,
    /// Its addresses.
    pub(super) addresses: Addresses<'a>,
}

/// The addresses of the other end; none if they are not known.
pub(super) enum Addresses<'a> {
    /// Rules have to admit one of them.
    Any(Vec<IpAddr>),
    /// Rules have to admit every address of these blocks.
    Every(&'a [IpNet]),
}

/// Whether a connection is admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Admits {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// It is not known, for this reason.
    Unknown(String),
}

impl Admits {
    /// Whether both of two conditions hold.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, other) => other,
            (unknown, _) => unknown,
        }
    }
}

impl<'a> Rules<'a> {
    /// Selects the rules of the groups for a port.
    pub(super) fn new(groups: &'a [SecurityGroup], side: RuleSide, port: u16) -> Self {
        let known: HashSet<&str> = groups.iter().map(|group| group.id.as_str()).collect();
        let by_group = groups.iter().map(|group| {
            let rules = match side {
                RuleSide::Inbound => &group.ingress,
                RuleSide::Outbound => &group.egress,
            };
            let admits = match rules {
                Some(rules) => GroupAdmits::new(group, rules, port, &known),
                None => GroupAdmits {
                    groups: HashSet::new(),
                    blocks: Vec::new(),
                    unknown: Some(format!("the {} rules of {} are not recorded", side.as_str(), group.id)),
                },
            };
            (group.id.as_str(), admits)
        });
        Self { side, by_group: by_group.collect() }
    }

    /// The reason why a group may admit more than its known rules do.
    fn unknown(&self, group: &str) -> Option<String> {
        match self.by_group.get(group) {
            Some(known) => known.unknown.clone(),
            None => Some(format!("the {} rules of {group} are not recorded", self.side.as_str())),
        }
    }
}

impl<'a> GroupAdmits<'a> {
    fn new(group: &SecurityGroup, rules: &'a [GroupRule], port: u16, known: &HashSet<&str>) -> Self {
        let (mut groups, mut blocks, mut unknown) = (HashSet::new(), Vec::new(), None);
        let matching =
            rules.iter().filter(|rule| rule.ports.is_some_and(|(from, to)| (from..=to).contains(&port)));
        for peer in matching.flat_map(|rule| &rule.peers) {
            match peer {
                RulePeer::Block(block) => blocks.push(*block),
                RulePeer::Group { id, account } => {
                    groups.insert(id.as_str());
                    // A group of another account can have interfaces that are not listed. A
                    // group of the same account that is not listed was deleted.
                    let is_own = account.is_some() && *account == group.owner;
                    if !is_own && !known.contains(id.as_str()) {
                        unknown.get_or_insert_with(|| {
                            format!(
                                "{} refers to {id}, which is not among the security groups seen",
                                group.id
                            )
                        });
                    }
                }
                RulePeer::PrefixList(id) => {
                    unknown.get_or_insert_with(|| {
                        format!("{} refers to the prefix list {id}, whose blocks are not recorded", group.id)
                    });
                }
                RulePeer::Other(text) => {
                    unknown.get_or_insert_with(|| format!("{} refers to {text:?}", group.id));
                }
            }
        }
        Self { groups, blocks: IpNet::aggregate(&blocks), unknown }
    }
}

/// Whether the security groups of an interface admit connections with a peer. Groups that are
/// `None` are not known.
pub(super) fn admits(groups: Option<&[String]>, rules: &Rules<'_>, peer: &Peer<'_>) -> Admits {
    let Some(groups) = groups.filter(|groups| !groups.is_empty()) else {
        return Admits::Unknown("the security groups of an interface are not recorded".to_owned());
    };
    if groups.len() > GROUPS_MAX || peer.groups.is_some_and(|groups| groups.len() > GROUPS_MAX) {
        return Admits::Unknown(format!("an interface has more than {GROUPS_MAX} security groups"));
    }
    let known: Vec<_> = groups.iter().filter_map(|group| rules.by_group.get(group.as_str())).collect();
    let is_referred = |group: &&GroupAdmits<'_>| {
        peer.groups.into_iter().flatten().any(|of_peer| group.groups.contains(of_peer.as_str()))
    };
    if known.iter().any(is_referred) {
        return Admits::Yes;
    }
    let admitted = peer.addresses.admitted_by(&known);
    if admitted == Admitted::Enough {
        return Admits::Yes;
    }
    if let Some(reason) = groups.iter().find_map(|group| rules.unknown(group)) {
        return Admits::Unknown(reason);
    }
    if peer.groups.is_none() && known.iter().any(|group| !group.groups.is_empty()) {
        let reason = "rules admit security groups, and those of the other end are not known";
        return Admits::Unknown(reason.to_owned());
    }
    match admitted {
        Admitted::NotKnown => Admits::Unknown("the address of the other end is not recorded".to_owned()),
        Admitted::PartOfBlock(part) => Admits::Unknown(format!("rules admit {part} and not the rest of it")),
        Admitted::SomeBlocks => {
            Admits::Unknown("rules admit some of its blocks and not the others".to_owned())
        }
        Admitted::Enough | Admitted::None => Admits::No,
    }
}

/// Which addresses of a peer the blocks of rules admit.
#[derive(Debug, PartialEq, Eq)]
enum Admitted {
    /// Those that have to be.
    Enough,
    /// A part of a block: this one, among others.
    PartOfBlock(IpNet),
    /// Some blocks, and not the others.
    SomeBlocks,
    /// None.
    None,
    /// Rules admit blocks, and the addresses are not known.
    NotKnown,
}

impl Addresses<'_> {
    /// Which of them the blocks of some groups admit together.
    fn admitted_by(&self, groups: &[&GroupAdmits<'_>]) -> Admitted {
        let lists = || groups.iter().map(|group| group.blocks.as_slice());
        match self {
            Self::Any(addresses) if !addresses.is_empty() => {
                let is_in = |address: &IpAddr| coverage(lists(), &IpNet::from(*address)) == Coverage::Whole;
                if addresses.iter().any(is_in) { Admitted::Enough } else { Admitted::None }
            }
            Self::Every(blocks) if !blocks.is_empty() => {
                let covered = || blocks.iter().map(|block| coverage(lists(), block));
                let whole = covered().filter(|one| *one == Coverage::Whole).count();
                let part = |one| if let Coverage::Part(part) = one { Some(part) } else { None };
                if whole == blocks.len() {
                    Admitted::Enough
                } else if let Some(part) = covered().filter_map(part).min() {
                    Admitted::PartOfBlock(part)
                } else if whole > 0 {
                    Admitted::SomeBlocks
                } else {
                    Admitted::None
                }
            }
            _ if lists().any(|list| !list.is_empty()) => Admitted::NotKnown,
            _ => Admitted::None,
        }
    }
}

/// The cluster security group if it is one of some groups, otherwise the first.
pub(super) fn preferred<'a>(
    cluster: &Cluster,
    mut groups: impl Iterator<Item = &'a String> + Clone,
) -> String {
    let of_cluster = groups.clone().find(|group| cluster.security_group.as_ref() == Some(*group));
    of_cluster.or_else(|| groups.next()).cloned().unwrap_or_default()
}

/// How much of a block others contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coverage {
    /// All of it.
    Whole,
    /// A part of it: this block, among others.
    Part(IpNet),
    /// None of it.
    None,
}

/// How much of a block some lists contain together. Each is sorted and disjoint.
pub(super) fn coverage<'a>(lists: impl Iterator<Item = &'a [IpNet]> + Clone, block: &IpNet) -> Coverage {
    let mut parts: Vec<IpNet> = Vec::new();
    for list in lists {
        let next = list.partition_point(|known| known.network() <= block.network());
        // The block before may contain this one; those after may be parts of it.
        let before = next.saturating_sub(1);
        if list.get(before).is_some_and(|known| known.contains(block)) {
            return Coverage::Whole;
        }
        parts.extend(
            list[before..]
                .iter()
                .take_while(|known| known.network() <= block.broadcast())
                .filter(|known| block.contains(*known)),
        );
    }
    let Some(&first) = parts.iter().min() else { return Coverage::None };
    if IpNet::aggregate(&parts).iter().any(|known| known.contains(block)) {
        return Coverage::Whole;
    }
    Coverage::Part(first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn block(text: &str) -> RulePeer {
        RulePeer::Block(text.parse().expect("a CIDR block"))
    }

    fn group(id: &str) -> RulePeer {
        RulePeer::Group { id: id.to_owned(), account: Some("1".to_owned()) }
    }

    fn tcp(from: u16, to: u16, peers: Vec<RulePeer>) -> GroupRule {
        GroupRule { ports: Some((from, to)), peers }
    }

    /// Whether `sg-a`, with these inbound rules, admits port 10250 from an interface with
    /// `sg-b` and the address 10.0.0.9 or `2001:db8::9`.
    fn admitted(rules: Vec<GroupRule>) -> Admits {
        let group = |id: &str, ingress| SecurityGroup {
            id: id.to_owned(),
            owner: Some("1".to_owned()),
            ingress,
            egress: None,
        };
        let groups = [group("sg-a", Some(rules)), group("sg-b", Some(Vec::new()))];
        let rules = Rules::new(&groups, RuleSide::Inbound, 10250);
        let addresses = ["10.0.0.9", "2001:db8::9"].map(|address| address.parse().expect("an address"));
        let peer = Peer { groups: Some(&["sg-b".to_owned()]), addresses: Addresses::Any(addresses.to_vec()) };
        admits(Some(&["sg-a".to_owned()]), &rules, &peer)
    }

    #[test]
    fn rules_admit_by_port_and_peer() {
        for (rules, expected) in [
            (vec![], Admits::No),
            (vec![tcp(10250, 10250, vec![group("sg-b")])], Admits::Yes),
            (vec![tcp(10250, 10250, vec![group("sg-a")])], Admits::No),
            (vec![tcp(0, u16::MAX, vec![group("sg-b")])], Admits::Yes),
            (vec![tcp(1025, 65535, vec![group("sg-b")])], Admits::Yes),
            (vec![tcp(443, 443, vec![group("sg-b")])], Admits::No),
            (vec![tcp(10251, 65535, vec![block("0.0.0.0/0")])], Admits::No),
            (vec![GroupRule { ports: None, peers: vec![block("0.0.0.0/0")] }], Admits::No),
            (vec![tcp(10250, 10250, vec![block("10.0.0.0/28")])], Admits::Yes),
            (vec![tcp(10250, 10250, vec![block("10.0.0.9/32")])], Admits::Yes),
            (vec![tcp(10250, 10250, vec![block("10.0.0.8/32"), block("10.0.0.10/32")])], Admits::No),
            (vec![tcp(10250, 10250, vec![block("10.0.0.9/0")])], Admits::Yes),
            (vec![tcp(10250, 10250, vec![block("2001:db8::/32")])], Admits::Yes),
            (vec![tcp(10250, 10250, vec![block("2001:db9::/32")])], Admits::No),
            (vec![tcp(10250, 10250, vec![]), tcp(1, 20000, vec![block("::/0")])], Admits::Yes),
            // The group was deleted.
            (vec![tcp(10250, 10250, vec![group("sg-old")])], Admits::No),
        ] {
            let text = format!("{rules:?}");
            assert_eq!(admitted(rules), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_recorded_is_unknown_unless_another_rule_admits() {
        let list = || RulePeer::PrefixList("pl-1".to_owned());
        let foreign = || RulePeer::Group { id: "sg-z".to_owned(), account: Some("2".to_owned()) };
        for peer in [list(), foreign(), RulePeer::Other("10.0.0".to_owned())] {
            let text = format!("{peer:?}");
            let result = admitted(vec![tcp(10250, 10250, vec![peer.clone()])]);
            // The reason is shown by live runs too, which have no files.
            assert!(
                matches!(&result, Admits::Unknown(reason) if !reason.contains(".json")),
                "{text}: {result:?}"
            );
            assert_eq!(admitted(vec![tcp(443, 443, vec![peer.clone()])]), Admits::No, "{text}");
            let both = vec![tcp(10250, 10250, vec![peer]), tcp(10250, 10250, vec![group("sg-b")])];
            assert_eq!(admitted(both), Admits::Yes, "{text}");
        }
        let rules = Rules::new(&[], RuleSide::Outbound, 443);
        let peer = Peer { groups: Some(&[]), addresses: Addresses::Any(Vec::new()) };
        for groups in [Some(&["sg-a".to_owned()][..]), Some(&[]), None] {
            assert!(matches!(admits(groups, &rules, &peer), Admits::Unknown(_)), "{groups:?}");
        }
    }

    #[test]
    fn a_side_that_blocks_decides() {
        let unknown = || Admits::Unknown("?".to_owned());
        for (a, b, both) in [
            (Admits::Yes, Admits::Yes, Admits::Yes),
            (Admits::Yes, Admits::No, Admits::No),
            (unknown(), Admits::No, Admits::No),
            (unknown(), Admits::Yes, unknown()),
        ] {
            assert_eq!(a.clone().and(b.clone()), both);
            assert_eq!(b.and(a), both);
        }
    }

    /// A rule whose peers and ports are near those of the connection.
    fn any_rule() -> impl Strategy<Value = GroupRule> {
        let port = || prop_oneof![Just(0), Just(443), Just(10249), Just(10250), Just(10251), Just(u16::MAX)];
        let ports = proptest::option::weighted(0.9, (port(), port()));
        let peer = prop_oneof![
            Just(group("sg-a")),
            Just(group("sg-b")),
            Just(RulePeer::PrefixList("pl-1".to_owned())),
            (0..16_u8, 24..=32_u8).prop_map(|(host, length)| block(&format!("10.0.0.{host}/{length}"))),
            (0..16_u8, 120..=128_u8)
                .prop_map(|(host, length)| block(&format!("2001:db8::{host:x}/{length}"))),
        ];
        let peers = proptest::collection::vec(peer, 0..3);
        (ports, peers).prop_map(|(ports, peers)| GroupRule { ports, peers })
    }

    /// An address near those of the rules.
    fn any_address() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            (0..16_u8).prop_map(|host| IpAddr::from([10, 0, 0, host])),
            (0..16_u16).prop_map(|host| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, host])),
        ]
    }

    /// Security groups, of which the rules of the last one are not recorded.
    fn any_groups() -> impl Strategy<Value = Vec<SecurityGroup>> {
        let rules = || proptest::collection::vec(any_rule(), 0..4);
        let group = |(at, rules): (usize, Option<Vec<GroupRule>>)| SecurityGroup {
            id: format!("sg-{}", ["a", "b", "c"][at]),
            owner: Some("1".to_owned()),
            ingress: rules,
            egress: None,
        };
        (rules(), rules(), any::<bool>()).prop_map(move |(a, b, has_more)| {
            let more = has_more.then_some(None);
            [Some(a), Some(b)].into_iter().chain(more).enumerate().map(group).collect()
        })
    }

    proptest! {
        /// Of several addresses, one that is admitted is enough, and of blocks, none that is not
        /// admitted may be among them: both are decided as for each one alone.
        #[test]
        fn one_of_any_and_all_of_every(
            groups in any_groups(),
            addresses in proptest::collection::vec(any_address(), 1..4),
            has_groups in any::<bool>(),
        ) {
            let ids: Vec<_> = groups.iter().map(|group| group.id.clone()).collect();
            let rules = Rules::new(&groups, RuleSide::Inbound, 10250);
            let of_peer = ["sg-b".to_owned()];
            let ask = |addresses| {
                let groups = has_groups.then_some(&of_peer[..]);
                admits(Some(&ids), &rules, &Peer { groups, addresses })
            };
            let blocks: Vec<_> = addresses.iter().copied().map(IpNet::from).collect();
            let each: Vec<_> =
                blocks.iter().map(|block| ask(Addresses::Every(std::slice::from_ref(block)))).collect();
            for (address, alone) in addresses.iter().zip(&each) {
                prop_assert_eq!(&ask(Addresses::Any(vec![*address])), alone);
            }
            let any = ask(Addresses::Any(addresses.clone()));
            prop_assert_eq!(any == Admits::Yes, each.contains(&Admits::Yes));
            prop_assert_eq!(any == Admits::No, each.iter().all(|one| *one == Admits::No));
            let every = ask(Addresses::Every(&blocks));
            prop_assert_eq!(every == Admits::Yes, each.iter().all(|one| *one == Admits::Yes));
            prop_assert_eq!(every == Admits::No, each.iter().all(|one| *one == Admits::No));
        }

        /// The result is that of a check of each rule in turn, in any order of the rules, and
        /// another rule never blocks what was admitted.
        #[test]
        fn rules_are_a_union(rules in proptest::collection::vec(any_rule(), 0..5), other in any_rule()) {
            let own = ["10.0.0.9", "2001:db8::9"].map(|address| address.parse::<IpAddr>().expect("an address"));
            let of_port = rules.iter().filter(|rule| {
                rule.ports.is_some_and(|(from, to)| from <= 10250 && 10250 <= to)
            });
            let peers: Vec<_> = of_port.flat_map(|rule| rule.peers.clone()).collect();
            let is_admitted = peers.iter().any(|peer| match peer {
                RulePeer::Block(block) => own.iter().any(|address| block.contains(address)),
                peer => *peer == group("sg-b"),
            });
            let has_list = peers.iter().any(|peer| matches!(peer, RulePeer::PrefixList(_)));
            let result = admitted(rules.clone());
            prop_assert_eq!(result == Admits::Yes, is_admitted);
            prop_assert_eq!(result == Admits::No, !is_admitted && !has_list);
            let reversed: Vec<_> = rules.iter().rev().cloned().collect();
            prop_assert_eq!(&admitted(reversed), &result);
            let more = admitted([rules, vec![other]].concat());
            prop_assert!(result != Admits::Yes || more == Admits::Yes);
        }
    }
}
