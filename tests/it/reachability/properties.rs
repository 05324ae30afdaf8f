//! Properties of the answers, with any rules, routes, entries and settings.

use eks_netcheck::classify::reachability::reachability;
use eks_netcheck::model::cluster::EndpointAccess;
use eks_netcheck::model::evidence::Evidence;
use eks_netcheck::model::file::File;
use eks_netcheck::model::gap::{Gap, GapReason, Observed};
use eks_netcheck::model::net::{
    AclEntry, DHCP_OPTIONS, GroupRule, INTERFACES, NAT_GATEWAYS, NETWORK_ACLS, ROUTE_TABLES, RouteTarget,
    RulePeer, SECURITY_GROUPS, SUBNETS, VPC,
};
use eks_netcheck::model::reachability::{ConditionKind, ConditionResult, Reaches};
use ipnet::IpNet;
use proptest::prelude::*;

use super::{
    BASTION, CLUSTER_GROUP, PEERED, add_entry, add_route, add_rule, ask, block, evidence, facts, place,
    without_bastion,
};

const FILES: [File; 8] =
    [INTERFACES, VPC, SUBNETS, DHCP_OPTIONS, NAT_GATEWAYS, ROUTE_TABLES, SECURITY_GROUPS, NETWORK_ACLS];

const FROM: [&str; 11] = [
    "here",
    "n1",
    "n2",
    BASTION,
    "192.168.11.77",
    "192.168.1.0/25",
    PEERED,
    "10.50.3.7",
    "203.0.113.7",
    "203.0.113.0/24",
    "2001:db8::7",
];

fn any_block() -> impl Strategy<Value = IpNet> {
    prop::sample::select(vec![
        "0.0.0.0/0",
        "10.50.0.0/16",
        "10.50.0.0/17",
        "10.50.3.7/32",
        "192.168.0.0/16",
        "192.168.1.0/24",
        "192.168.11.0/24",
        "192.168.11.10/32",
        "203.0.113.0/24",
        "203.0.113.0/25",
        "198.51.100.210/32",
        "::/0",
    ])
    .prop_map(block)
}

fn any_ports() -> impl Strategy<Value = (u16, u16)> {
    prop::sample::select(vec![
        (0, 65535),
        (443, 443),
        (1024, 65535),
        (1024, 32767),
        (32768, 65535),
        (80, 442),
    ])
}

fn any_entry() -> impl Strategy<Value = AclEntry> {
    (1u32..100, any::<bool>(), any::<bool>(), any_ports(), any_block()).prop_map(
        |(number, is_outbound, allows, ports, block)| AclEntry {
            number,
            is_outbound,
            allows,
            ports: Some(ports),
            block: Some(block),
        },
    )
}

fn any_peer() -> impl Strategy<Value = RulePeer> {
    prop_oneof![
        any_block().prop_map(RulePeer::Block),
        prop::sample::select(vec![CLUSTER_GROUP, "sg-051dadfda260b0305", "sg-foreign"])
            .prop_map(|id| { RulePeer::Group { id: id.to_owned(), account: None } }),
        Just(RulePeer::PrefixList("pl-1".to_owned())),
    ]
}

fn any_rule() -> impl Strategy<Value = GroupRule> {
    (any_ports(), any_peer()).prop_map(|(ports, peer)| GroupRule { ports: Some(ports), peers: vec![peer] })
}

fn any_access() -> impl Strategy<Value = EndpointAccess> {
    let cidrs = || prop::collection::vec(any_block(), 1..4);
    prop_oneof![
        cidrs().prop_map(|cidrs| EndpointAccess::Public { cidrs }),
        cidrs().prop_map(|cidrs| EndpointAccess::PublicAndPrivate { cidrs }),
        Just(EndpointAccess::Private),
    ]
}

fn any_target() -> impl Strategy<Value = RouteTarget> {
    prop_oneof![
        Just(RouteTarget::Blackhole),
        Just(RouteTarget::Other("pcx-1".to_owned())),
        Just(RouteTarget::NatGateway("nat-02cc454ef874b97c9".to_owned())),
    ]
}

/// Evidence with other entries, rules, routes and DNS attributes.
fn any_evidence() -> impl Strategy<Value = Evidence> {
    (
        prop::collection::vec(any_entry(), 0..4),
        prop::collection::vec(any_rule(), 0..3),
        prop::collection::vec((any_block(), any_target()), 0..2),
        any_access(),
        any::<[bool; 4]>(),
    )
        .prop_map(|(entries, rules, routes, access, [support, hostnames, has_dns, has_bastion])| {
            let mut evidence = evidence();
            for entry in entries {
                add_entry(&mut evidence, entry);
            }
            if !has_bastion {
                without_bastion(&mut evidence);
            }
            for rule in rules {
                let [peer] = rule.peers.try_into().unwrap();
                add_rule(&mut evidence, rule.ports.unwrap(), peer);
            }
            for (block, target) in routes {
                add_route(&mut evidence, &block.to_string(), &target);
            }
            if !has_dns {
                evidence.dns.clear();
            }
            let Observed::Seen(vpc) = &mut evidence.network.vpc else { unreachable!() };
            (vpc.dns_support, vpc.dns_hostnames) = (Some(support), Some(hostnames));
            evidence.cluster.access = access;
            evidence
        })
}

fn with_block(access: &EndpointAccess, block: IpNet) -> EndpointAccess {
    let add = |cidrs: &[IpNet]| cidrs.iter().copied().chain([block]).collect();
    match access {
        EndpointAccess::Public { cidrs } => EndpointAccess::Public { cidrs: add(cidrs) },
        EndpointAccess::PublicAndPrivate { cidrs } => EndpointAccess::PublicAndPrivate { cidrs: add(cidrs) },
        other => other.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// A block in the list, a rule of a group or an entry that allows never takes access away.
    #[test]
    fn permissions_never_take_access_away(
        evidence in any_evidence(),
        access in any_access(),
        cidr in any_block(),
        rule in any_rule(),
        (is_outbound, of_entry, ports) in (any::<bool>(), any_block(), any_ports()),
    ) {
        let before = facts(evidence.clone());
        let mut more = evidence.clone();
        let [peer] = rule.peers.try_into().unwrap();
        add_rule(&mut more, rule.ports.unwrap(), peer);
        let with_rule = facts(more);
        let mut more = evidence;
        add_entry(&mut more, AclEntry {
            number: 0, is_outbound, allows: true, ports: Some(ports), block: Some(of_entry),
        });
        let with_entry = facts(more);
        for from in FROM {
            let place = place(&before, from);
            let old = reachability(&before, &access, &place);
            prop_assert_eq!(&reachability(&before, &access, &place), &old, "not the same twice");
            if old.reaches() != Reaches::Yes {
                continue;
            }
            let longer = reachability(&before, &with_block(&access, cidr), &place);
            prop_assert_eq!(longer.reaches(), Reaches::Yes, "{} with {}: {:#?}", from, cidr, longer);
            for more in [&with_rule, &with_entry] {
                let now = reachability(more, &access, &place);
                prop_assert_eq!(now.reaches(), Reaches::Yes, "{}: {:#?}\n{:#?}", from, old, now);
            }
        }
    }

    /// Without evidence, what was not a yes is none, and what was one is no no.
    #[test]
    fn missing_answers_of_aws_make_neither_yes_nor_no(
        evidence in any_evidence(),
        access in any_access(),
        file in prop::sample::select(FILES.to_vec()),
    ) {
        let whole = facts(evidence.clone());
        let mut part = evidence;
        let gap = Gap {
            subject: file.into(),
            why: GapReason::NotRecorded,
            detail: "taken away".to_owned(),
            hint: String::new(),
        };
        part.network.take_away(file, &gap);
        let part = facts(part);
        for from in FROM {
            let place = place(&whole, from);
            let (old, new) = (reachability(&whole, &access, &place), reachability(&part, &access, &place));
            // Network ACLs that were not seen decide nothing.
            let is_more = file != NETWORK_ACLS
                && matches!((old.reaches(), new.reaches()), (Reaches::No | Reaches::Unknown, Reaches::Yes));
            let is_less = file == NETWORK_ACLS && old.reaches() == Reaches::Yes && new.reaches() != Reaches::Yes;
            prop_assert!(
                !is_more && !is_less && (old.reaches(), new.reaches()) != (Reaches::Yes, Reaches::No),
                "{from} without {file}: {:#?}\n{:#?}", old, new
            );
        }
    }

    /// The conditions are in order, each once, and none comes after one that is not met.
    #[test]
    fn the_first_condition_that_is_not_met_is_the_last(evidence in any_evidence(), access in any_access()) {
        let facts = facts(evidence);
        for from in FROM {
            let reachability = ask(&facts, &access, from);
            let kinds: Vec<_> = reachability.conditions.iter().map(|one| one.kind).collect();
            prop_assert!(kinds.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", kinds);
            let not_met = reachability.conditions.iter().position(|one| one.result == ConditionResult::NotMet);
            prop_assert!(not_met.is_none_or(|at| at + 1 == kinds.len()));
            for one in &reachability.conditions {
                prop_assert!(!one.why.is_empty());
                let is_not_judged =
                    one.kind == ConditionKind::NetworkAcl && one.result == ConditionResult::NotApplicable;
                prop_assert!(one.gap.is_none() || one.result == ConditionResult::Unknown || is_not_judged);
                prop_assert!(one.gap.is_some() || one.result != ConditionResult::Unknown);
                prop_assert!(one.result != ConditionResult::NotMet || !one.fix.is_empty(), "{:#?}", one);
            }
        }
    }
}
