//! To which side the name resolves, and the way there: out of the VPC, and through the list.

use std::net::IpAddr;
use std::sync::Arc;

use eks_netcheck::classify::reachability::reachability;
use eks_netcheck::model::cluster::EndpointAccess;
use eks_netcheck::model::gap::{Gap, GapReason, Observed};
use eks_netcheck::model::net::{
    AclEntry, BlockMode, INTERFACES, NatGateway, Route, RouteTable, RouteTarget, SecurityGroup, VPC,
};
use eks_netcheck::model::reachability::{ConditionKind, ConditionResult, EndpointSide, Location, Reaches};

use super::{
    BASTION, PEERED, add_entry, allow, ask, block, both, evidence, facts, obstacle, place, public,
    resolve_here, result, today,
};

#[test]
fn with_both_endpoints_the_place_decides_to_which_the_name_resolves() {
    let mut evidence = evidence();
    evidence.cluster.access = both(&["203.0.113.0/24"]);
    evidence.dns.clear();
    let facts = facts(evidence.clone());
    for (from, side) in [
        (BASTION, Some(EndpointSide::Private)),
        (PEERED, Some(EndpointSide::Public)),
        ("203.0.113.7", Some(EndpointSide::Public)),
        ("here", None),
    ] {
        assert_eq!(today(&facts, from).side, side, "{from}");
    }
    assert_eq!(today(&facts, "203.0.113.7").reaches(), Reaches::Yes);
    assert_eq!(today(&facts, PEERED).reaches(), Reaches::Unknown);
    assert_eq!(today(&facts, "here").reaches(), Reaches::Unknown);
    // Without DNS host names, the VPC's own hosts get public addresses.
    for (support, hostnames) in [(Some(true), Some(false)), (None, Some(true)), (Some(true), None)] {
        let mut evidence = evidence.clone();
        let Observed::Seen(vpc) = &mut evidence.network.vpc else { unreachable!() };
        (vpc.dns_support, vpc.dns_hostnames) = (support, hostnames);
        let expected = (hostnames == Some(false)).then_some(EndpointSide::Public);
        assert_eq!(today(&super::facts(evidence), BASTION).side, expected, "{support:?} {hostnames:?}");
    }
    // Own name servers may forward the name, or not.
    let Observed::Seen(options) = &mut evidence.network.dhcp_options else { unreachable!() };
    options[0].dns_servers = vec!["192.168.1.53".to_owned()];
    let unknown = today(&super::facts(evidence.clone()), BASTION);
    assert_eq!(unknown.side, None);
    assert_eq!(unknown.reaches(), Reaches::Unknown);
    // With private access alone, public DNS has the private addresses too.
    let private = ask(&super::facts(evidence), &EndpointAccess::Private, BASTION);
    assert_eq!((private.side, private.reaches()), (Some(EndpointSide::Private), Reaches::Yes));
}

#[test]
fn a_public_address_needs_the_list_and_cannot_reach_the_private_endpoint() {
    let facts = facts(evidence());
    let (kind, text) = obstacle(&today(&facts, "203.0.113.7"));
    assert_eq!(kind, ConditionKind::Route);
    assert!(text.contains("a public address cannot reach the private endpoint"), "{text}");
    let list = public(&["203.0.113.0/25", "203.0.113.128/26", "192.0.2.0/24"]);
    for (from, expected) in [
        ("203.0.113.7", Reaches::Yes),
        ("203.0.113.0/25", Reaches::Yes),
        ("203.0.113.0/24", Reaches::Unknown),
        ("203.0.113.192/26", Reaches::No),
        ("2001:db8::7", Reaches::No),
    ] {
        let reachability = ask(&facts, &list, from);
        assert_eq!(reachability.reaches(), expected, "{from}: {reachability:#?}");
    }
    let halves = public(&["203.0.113.0/25", "203.0.113.128/25"]);
    assert_eq!(ask(&facts, &halves, "203.0.113.0/24").reaches(), Reaches::Yes);
    assert_eq!(ask(&facts, &public(&["0.0.0.0/0"]), "2001:db8::7").reaches(), Reaches::No);
    let (_, text) = obstacle(&ask(&facts, &list, "198.51.100.9"));
    assert!(
        text.contains("publicAccessCidrs=203.0.113.0/25,203.0.113.128/26,192.0.2.0/24,198.51.100.9/32"),
        "{text}"
    );
}

#[test]
fn nodes_leave_with_the_address_of_their_nat_gateway() {
    let mut evidence = evidence();
    evidence.cluster.access = public(&["203.0.113.0/24"]);
    evidence.dns.clear();
    let facts = facts(evidence.clone());
    let (kind, text) = obstacle(&today(&facts, "n1"));
    assert_eq!(kind, ConditionKind::Cidrs);
    assert!(text.contains("198.51.100.210") && text.contains("198.51.100.210/32"), "{text}");
    assert_eq!(ask(&facts, &public(&["198.51.100.210/32"]), "n1").reaches(), Reaches::Yes);
    assert_eq!(ask(&facts, &public(&["198.51.100.210/32"]), "n2").reaches(), Reaches::No);
    // The bastion has a public address of its own.
    assert_eq!(ask(&facts, &public(&["198.51.100.100/32"]), BASTION).reaches(), Reaches::Yes);
    assert_eq!(ask(&facts, &EndpointAccess::Private, "n1").reaches(), Reaches::Yes);
}

/// An internet gateway drops what a private NAT gateway sends; a transit gateway may lead on.
#[test]
fn a_private_nat_gateway_does_not_lead_to_the_public_endpoint() {
    let with = |onward: &RouteTarget| {
        let mut evidence = evidence();
        evidence.cluster.access = public(&["0.0.0.0/0"]);
        let Observed::Seen(gateways) = &mut evidence.network.nat_gateways else { unreachable!() };
        gateways.push(NatGateway {
            id: "nat-private".to_owned(),
            available: true,
            is_private: true,
            subnet: Some("subnet-of-nat".to_owned()),
            public_ips: Vec::new(),
            has_automatic_addresses: false,
        });
        let route = |target| Route { destination: Some(block("0.0.0.0/0")), target };
        let table = |subnet: &str, target| RouteTable {
            id: None,
            vpc: None,
            main: false,
            subnets: vec![subnet.to_owned()],
            routes: vec![route(target)],
        };
        let Observed::Seen(tables) = &mut evidence.network.route_tables else { unreachable!() };
        for known in tables.iter_mut() {
            known.subnets.retain(|subnet| subnet != "subnet-0b570066cb4c28a4d");
        }
        tables.push(table("subnet-0b570066cb4c28a4d", RouteTarget::NatGateway("nat-private".to_owned())));
        tables.push(table("subnet-of-nat", onward.clone()));
        ask(&facts(evidence), &public(&["0.0.0.0/0"]), BASTION)
    };
    let lost = with(&RouteTarget::InternetGateway);
    let (kind, text) = obstacle(&lost);
    assert_eq!(kind, ConditionKind::Route, "{lost:#?}");
    assert!(
        text.contains("nat-private") && text.contains("an internet gateway drops what it sends"),
        "{text}"
    );
    assert_eq!(obstacle(&with(&RouteTarget::Blackhole)).0, ConditionKind::Route);
    let onward = with(&RouteTarget::Other("tgw-1".to_owned()));
    assert_eq!(result(&onward, ConditionKind::Route), Some(ConditionResult::Unknown), "{onward:#?}");
}

#[test]
fn block_public_access_closes_the_way_out_and_not_the_endpoint() {
    let mut evidence = evidence();
    evidence.cluster.access = public(&["0.0.0.0/0"]);
    evidence.dns.clear();
    let Observed::Seen(subnets) = &mut evidence.network.subnets else { unreachable!() };
    for subnet in subnets.iter_mut() {
        subnet.block_mode = Some(BlockMode::Bidirectional);
    }
    let facts = facts(evidence);
    assert_eq!(obstacle(&today(&facts, "n1")).0, ConditionKind::BlockPublicAccess);
    assert_eq!(today(&facts, "203.0.113.7").reaches(), Reaches::Yes);
    assert_eq!(ask(&facts, &EndpointAccess::Private, "n1").reaches(), Reaches::Yes);
}

/// The addresses of the endpoint may be routed to several targets: in the mode `block-ingress` an
/// internet gateway lets nothing out, whatever the other target is.
#[test]
fn block_public_access_closes_each_way_by_its_own_target() {
    const ENDS: [&str; 2] = ["3.39.55.189", "43.200.81.78"];
    let with = |targets: [&RouteTarget; 2], denied: Option<&str>| {
        let mut evidence = evidence();
        evidence.cluster.access = public(&["0.0.0.0/0"]);
        evidence.dns.clear();
        resolve_here(&mut evidence, &ENDS);
        let Observed::Seen(subnets) = &mut evidence.network.subnets else { unreachable!() };
        for subnet in subnets.iter_mut() {
            subnet.block_mode = Some(BlockMode::Ingress);
        }
        let Observed::Seen(instances) = &mut evidence.network.instances else { unreachable!() };
        for instance in instances.iter_mut() {
            instance.public_ip = "198.51.100.20".parse().ok();
        }
        let Observed::Seen(tables) = &mut evidence.network.route_tables else { unreachable!() };
        for table in tables.iter_mut() {
            for (end, target) in ENDS.iter().zip(targets) {
                let destination = Some(block(&format!("{end}/32")));
                table.routes.push(Route { destination, target: target.clone() });
            }
        }
        if let Some(end) = denied {
            let cidr = format!("{end}/32");
            let entry = AclEntry { number: 1, allows: false, ..allow(true, &cidr, (0, u16::MAX)) };
            add_entry(&mut evidence, entry);
        }
        today(&facts(evidence), "n1")
    };
    let known = evidence();
    let gateway = &known.network.nat_gateways.seen().unwrap()[0];
    let (direct, nat) = (&RouteTarget::InternetGateway, &RouteTarget::NatGateway(gateway.id.clone()));
    let other = &RouteTarget::Other("tgw-1".to_owned());
    assert_eq!(obstacle(&with([direct, direct], None)).0, ConditionKind::BlockPublicAccess);
    assert_eq!(with([nat, direct], None).reaches(), Reaches::Yes);
    assert_eq!(with([direct, nat], Some(ENDS[0])).reaches(), Reaches::Yes);
    // The way that Block Public Access leaves open is closed by something else, or not known.
    assert_eq!(with([direct, nat], Some(ENDS[1])).reaches(), Reaches::No);
    assert_eq!(with([nat, direct], Some(ENDS[0])).reaches(), Reaches::No);
    for targets in [[direct, other], [other, direct]] {
        assert_eq!(with(targets, None).reaches(), Reaches::Unknown, "{targets:?}");
    }
}

/// A client has the addresses of all ENIs, and tries them one after the other.
#[test]
fn an_eni_that_is_not_reached_delays_clients() {
    let mut evidence = evidence();
    let Observed::Seen(interfaces) = &mut evidence.network.interfaces else { unreachable!() };
    let eni = interfaces.iter_mut().find(|one| one.description.starts_with("Amazon EKS")).unwrap();
    let eni = Arc::make_mut(eni);
    eni.groups = vec!["sg-closed".to_owned()];
    let address = eni.addresses[0].to_string();
    let Observed::Seen(groups) = &mut evidence.network.security_groups else { unreachable!() };
    let closed = SecurityGroup {
        id: "sg-closed".to_owned(),
        owner: None,
        ingress: Some(Vec::new()),
        egress: Some(Vec::new()),
    };
    groups.push(closed);
    let facts = facts(evidence);
    let found = today(&facts, BASTION);
    assert_eq!(found.reaches(), Reaches::Yes);
    let why = found.conditions.iter().map(|one| one.why.as_str()).collect::<Vec<_>>().join("; ");
    for part in [&format!("{address} is not reached"), "try another one", "up to 15 s"] {
        assert!(why.contains(part), "no {part} in {why}");
    }
}

/// An ENI with an IPv6 address does not make the public endpoint dual-stack.
#[test]
fn the_ipv6_addresses_of_enis_are_not_those_of_the_public_endpoint() {
    let mut evidence = evidence();
    let eni: IpAddr = "2001:db8::e1".parse().unwrap();
    let Observed::Seen(interfaces) = &mut evidence.network.interfaces else { unreachable!() };
    let owned = interfaces.iter_mut().find(|one| one.description.starts_with("Amazon EKS ")).unwrap();
    Arc::make_mut(owned).addresses.push(eni);
    let public_v4 = "3.39.55.189";
    let list = |v6: Option<&str>| {
        let mut evidence = evidence.clone();
        let eni = eni.to_string();
        let addresses: Vec<_> = [public_v4, &eni].into_iter().chain(v6).collect();
        resolve_here(&mut evidence, &addresses);
        let facts = facts(evidence);
        let mut place = place(&facts, "n1");
        let Location::Vpc { blocks, .. } = &mut place.location else { unreachable!() };
        blocks.push(block("2001:db8::7/128"));
        let reachability = reachability(&facts, &public(&["2001:db8::7/128"]), &place);
        result(&reachability, ConditionKind::Cidrs)
    };
    assert_eq!(list(None), Some(ConditionResult::NotMet));
    assert_eq!(list(Some("2600:1f13::9")), Some(ConditionResult::Unknown));
}

/// Without the list of interfaces, an address in the VPC to which the name resolves is not known
/// to be public.
#[test]
fn an_address_of_the_vpc_is_not_public_because_no_interface_was_seen() {
    let mut evidence = evidence();
    evidence.cluster.access = public(&["0.0.0.0/0"]);
    let gap = Gap {
        subject: INTERFACES.into(),
        why: GapReason::NotRecorded,
        detail: "taken away".to_owned(),
        hint: String::new(),
    };
    let place = place(&facts(evidence.clone()), "n1");
    for takes_vpc in [false, true] {
        evidence.network.take_away(INTERFACES, &gap);
        if takes_vpc {
            evidence.network.take_away(VPC, &gap);
        }
        let facts = facts(evidence.clone());
        let reachability = reachability(&facts, &facts.evidence.cluster.access, &place);
        assert_eq!(
            result(&reachability, ConditionKind::Name),
            Some(ConditionResult::Unknown),
            "{reachability:#?}"
        );
        assert_eq!(reachability.reaches(), Reaches::Unknown);
    }
}
