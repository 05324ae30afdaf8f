//! Whether a place reaches the endpoint: what was seen outranks the settings, what was not is
//! neither yes nor no, and more permissions never take access away.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use eks_netcheck::classify::Classifier;
use eks_netcheck::classify::reachability::{Reachabilities, reachability};
use eks_netcheck::evidence::directory::EvidenceDir;
use eks_netcheck::evidence::nodes::read_nodes;
use eks_netcheck::model::cluster::EndpointAccess;
use eks_netcheck::model::evidence::{Answer, Evidence, Vantage};
use eks_netcheck::model::facts::Facts;
use eks_netcheck::model::file::File;
use eks_netcheck::model::gap::{Gap, GapReason, Observed, Subject};
use eks_netcheck::model::net::{
    AclEntry, DHCP_OPTIONS, GroupRule, INTERFACES, NAT_GATEWAYS, NETWORK_ACLS, NatGateway, NetworkAcl,
    ROUTE_TABLES, Route, RouteTable, RouteTarget, RulePeer, SECURITY_GROUPS, SUBNETS, SecurityGroup, VPC,
};
use eks_netcheck::model::probe::{
    AddressProbe, Attempt, Certificate, Probe, ProbeCause, ProbeFailure, ProbeTarget, ProbeWay, TlsAttempt,
    Trust,
};
use eks_netcheck::model::reachability::{
    ConditionKind, ConditionResult, EndpointSide, Location, Place, Reachability, Reaches,
};
use ipnet::IpNet;
use proptest::prelude::*;

use crate::common::story;

/// The ENIs' own group, the nodes' and the bastion's in the story `private-only`.
const CLUSTER_GROUP: &str = "sg-043c307828ef68129";
const BASTION: &str = "192.168.11.10";
/// The subnets of the two EKS-owned ENIs.
const ENI_SUBNETS: [&str; 2] = ["subnet-0993b13121ebf97f3", "subnet-0875582ab6c7b0518"];
const PEERED: &str = "10.50.0.0/16";

fn block(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn blocks(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| block(text)).collect()
}

/// The evidence of a private-only cluster, with network ACLs that let everything pass.
fn evidence() -> Evidence {
    let mut evidence = EvidenceDir::open(&story("private-only")).unwrap().read("myeks").unwrap();
    let entries = [false, true].map(|is_outbound| allow(is_outbound, "0.0.0.0/0", (0, u16::MAX)));
    evidence.network.network_acls = Observed::Seen(vec![NetworkAcl {
        id: "acl-1".to_owned(),
        vpc: evidence.cluster.vpc.clone(),
        is_default: true,
        subnets: Vec::new(),
        entries: entries.to_vec(),
    }]);
    evidence
}

fn allow(is_outbound: bool, cidr: &str, ports: (u16, u16)) -> AclEntry {
    AclEntry { number: 100, is_outbound, allows: true, ports: Some(ports), block: Some(block(cidr)) }
}

/// Facts without the sockets of nodes.
fn facts(evidence: Evidence) -> Facts {
    Classifier::new(evidence).finish(Vec::new())
}

/// Facts with the sockets of the story's nodes.
fn facts_with_nodes(evidence: Evidence) -> Facts {
    let mut classifier = Classifier::new(evidence);
    let dir = EvidenceDir::open(&story("private-only")).unwrap();
    let nodes = read_nodes(&dir, |node, row| {
        classifier.add(node, row.socket, row.processes.map(|process| (process.comm, process.pid())));
    });
    classifier.finish(nodes.unwrap())
}

/// The place with an address, a block or a node's name.
fn place(facts: &Facts, text: &str) -> Place {
    let known = Reachabilities::new(facts);
    match (text.parse::<IpAddr>(), text.parse::<IpNet>()) {
        (Ok(address), _) => known.address(address),
        (_, Ok(block)) => known.block(block),
        _ if text == "here" => known.here(),
        _ => known.node(text).unwrap().unwrap(),
    }
}

fn ask(facts: &Facts, access: &EndpointAccess, from: &str) -> Reachability {
    reachability(facts, access, &place(facts, from))
}

fn today(facts: &Facts, from: &str) -> Reachability {
    ask(facts, &facts.evidence.cluster.access, from)
}

fn public(cidrs: &[&str]) -> EndpointAccess {
    EndpointAccess::Public { cidrs: blocks(cidrs) }
}

fn both(cidrs: &[&str]) -> EndpointAccess {
    EndpointAccess::PublicAndPrivate { cidrs: blocks(cidrs) }
}

fn result(reachability: &Reachability, kind: ConditionKind) -> Option<ConditionResult> {
    reachability.conditions.iter().find(|one| one.kind == kind).map(|one| one.result)
}

/// The obstacle, with its reason and the commands.
fn obstacle(reachability: &Reachability) -> (ConditionKind, String) {
    let obstacle = reachability.obstacle().unwrap_or_else(|| panic!("{reachability:#?}"));
    let fix = obstacle
        .fix
        .iter()
        .map(|step| format!("{} {}", step.text, step.command.as_deref().unwrap_or_default()));
    (obstacle.kind, format!("{} | {}", obstacle.why, fix.collect::<Vec<_>>().join(" | ")))
}

/// Removes the rules that admit the bastion.
fn without_bastion(evidence: &mut Evidence) {
    let Observed::Seen(groups) = &mut evidence.network.security_groups else { unreachable!() };
    let group = groups.iter_mut().find(|group| group.id == CLUSTER_GROUP).unwrap();
    group.ingress.as_mut().unwrap().retain(|rule| rule.ports != Some((443, 443)));
}

/// Adds a route to the tables of the ENIs' subnets.
fn add_route(evidence: &mut Evidence, cidr: &str, target: &RouteTarget) {
    let Observed::Seen(tables) = &mut evidence.network.route_tables else { unreachable!() };
    for table in
        tables.iter_mut().filter(|table| table.subnets.iter().any(|one| ENI_SUBNETS.contains(&one.as_str())))
    {
        table.routes.push(Route { destination: Some(block(cidr)), target: target.clone() });
    }
}

fn add_rule(evidence: &mut Evidence, ports: (u16, u16), peer: RulePeer) {
    let Observed::Seen(groups) = &mut evidence.network.security_groups else { unreachable!() };
    let group = groups.iter_mut().find(|group| group.id == CLUSTER_GROUP).unwrap();
    group.ingress.as_mut().unwrap().push(GroupRule { ports: Some(ports), peers: vec![peer] });
}

fn add_entry(evidence: &mut Evidence, entry: AclEntry) {
    let Observed::Seen(acls) = &mut evidence.network.network_acls else { unreachable!() };
    acls[0].entries.insert(0, entry);
    acls[0].entries.sort_by_key(|entry| entry.number);
}

/// What an address answers to a probe.
fn answer(address: &str, target: ProbeTarget, cause: Option<ProbeCause>) -> AddressProbe {
    let failure =
        |cause| Attempt::Failed(ProbeFailure { cause, detail: "nothing answered within 5 s".to_owned() });
    AddressProbe {
        address: SocketAddr::new(address.parse().unwrap(), 443),
        target,
        way: ProbeWay::Direct,
        tcp: cause.map_or(Attempt::Done, failure),
        tls: cause.is_none().then_some(TlsAttempt {
            certificate: None,
            trust: Trust::Signed { position: 1, of: 1 },
            handshake: Attempt::Done,
        }),
        http: Vec::new(),
    }
}

fn probe(evidence: &mut Evidence, answers: Vec<AddressProbe>) {
    evidence.probes = vec![Probe {
        vantage: "here".to_owned(),
        host: "host".to_owned(),
        tool: eks_netcheck::model::probe::ProbeTool::Own,
        answers,
    }];
}

fn resolve_here(evidence: &mut Evidence, addresses: &[&str]) {
    evidence.dns.retain(|vantage| vantage.name != "here");
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    let answer = Observed::Seen(Answer { addresses, ..Answer::default() });
    evidence.dns.insert(0, Vantage { name: "here".to_owned(), answer });
}

#[test]
fn nodes_that_are_connected_reach_it_whatever_the_rules_are() {
    let mut with_rules = evidence();
    let reached = today(&facts_with_nodes(with_rules.clone()), "n1");
    assert_eq!(reached.reaches(), Reaches::Yes);
    assert_eq!(reached.side, Some(EndpointSide::Private));
    assert!(
        reached.conditions.iter().any(|one| one.why.contains("has an established connection")),
        "{reached:#?}"
    );
    let Observed::Seen(groups) = &mut with_rules.network.security_groups else { unreachable!() };
    for group in groups.iter_mut() {
        group.ingress = Some(Vec::new());
    }
    assert_eq!(today(&facts_with_nodes(with_rules.clone()), "n1").reaches(), Reaches::Yes);
    // Without a connection, the rules decide.
    assert_eq!(obstacle(&today(&facts(with_rules), "n1")).0, ConditionKind::SecurityGroups);
}

#[test]
fn a_bastion_needs_a_rule_for_its_group() {
    let mut evidence = evidence();
    assert_eq!(today(&facts(evidence.clone()), BASTION).reaches(), Reaches::Yes);
    without_bastion(&mut evidence);
    let (kind, text) = obstacle(&today(&facts(evidence.clone()), BASTION));
    assert_eq!(kind, ConditionKind::SecurityGroups);
    assert!(
        text.contains(
            "aws ec2 authorize-security-group-ingress --region ap-northeast-2 --group-id sg-043c307828ef68129"
        ),
        "{text}"
    );
    assert!(text.contains("GroupId=sg-051dadfda260b0305"), "{text}");
    // One for another port is none.
    add_rule(&mut evidence, (80, 442), RulePeer::Block(block("192.168.11.0/24")));
    assert_eq!(today(&facts(evidence.clone()), BASTION).reaches(), Reaches::No);
    add_rule(&mut evidence, (443, 443), RulePeer::Block(block("192.168.11.0/24")));
    assert_eq!(today(&facts(evidence), BASTION).reaches(), Reaches::Yes);
}

#[test]
fn a_bastion_hangs_once_the_name_resolves_to_enis_that_do_not_admit_it() {
    let mut evidence = evidence();
    without_bastion(&mut evidence);
    evidence.cluster.access = public(&["0.0.0.0/0"]);
    evidence.dns.clear();
    let facts = facts(evidence);
    assert_eq!(today(&facts, BASTION).reaches(), Reaches::Yes);
    assert_eq!(obstacle(&ask(&facts, &both(&["0.0.0.0/0"]), BASTION)).0, ConditionKind::SecurityGroups);
}

#[test]
fn an_address_without_an_interface_has_unknown_groups() {
    let facts = facts(evidence());
    let reachability = today(&facts, "192.168.11.77");
    assert_eq!(reachability.reaches(), Reaches::Unknown);
    assert_eq!(result(&reachability, ConditionKind::SecurityGroups), Some(ConditionResult::Unknown));
    assert_eq!(result(&reachability, ConditionKind::Route), Some(ConditionResult::Met));
    // If the groups of the ENIs admit nothing at all, its own do not matter.
    let mut closed = evidence();
    let Observed::Seen(groups) = &mut closed.network.security_groups else { unreachable!() };
    for group in groups.iter_mut() {
        group.ingress = Some(Vec::new());
    }
    assert_eq!(today(&self::facts(closed), "192.168.11.77").reaches(), Reaches::No);
}

#[test]
fn a_peered_network_needs_a_route_back_and_a_rule() {
    let mut evidence = evidence();
    let (kind, text) = obstacle(&today(&facts(evidence.clone()), PEERED));
    assert_eq!(kind, ConditionKind::Route);
    assert!(text.contains("no route back to 10.50.0.0/16") && text.contains("create-route"), "{text}");
    for (target, expected) in [
        (RouteTarget::Blackhole, Some(ConditionResult::NotMet)),
        (RouteTarget::NatGateway("nat-1".to_owned()), Some(ConditionResult::NotMet)),
        (RouteTarget::InternetGateway, Some(ConditionResult::NotMet)),
        (RouteTarget::Other("pcx-1".to_owned()), Some(ConditionResult::Met)),
        (RouteTarget::Other("tgw-1".to_owned()), Some(ConditionResult::Met)),
        (RouteTarget::Other("vgw-1".to_owned()), Some(ConditionResult::Met)),
    ] {
        let mut evidence = evidence.clone();
        add_route(&mut evidence, "10.50.0.0/16", &target);
        let reachability = today(&facts(evidence), PEERED);
        assert_eq!(result(&reachability, ConditionKind::Route), expected, "{target:?}: {reachability:#?}");
        if target == RouteTarget::Blackhole {
            let (_, text) = obstacle(&reachability);
            assert!(text.contains("replace-route --region ap-northeast-2 --route-table-id rtb-"), "{text}");
        }
    }
    add_route(&mut evidence, "10.0.0.0/8", &RouteTarget::Other("pcx-1".to_owned()));
    let (kind, text) = obstacle(&today(&facts(evidence.clone()), PEERED));
    assert_eq!(kind, ConditionKind::SecurityGroups);
    assert!(text.contains("CidrIp=10.50.0.0/16"), "{text}");
    // A rule for a part of it: not known which address is used.
    let mut half = evidence.clone();
    add_rule(&mut half, (443, 443), RulePeer::Block(block("10.50.0.0/17")));
    let reachability = today(&facts(half.clone()), PEERED);
    assert_eq!(reachability.reaches(), Reaches::Unknown);
    let groups =
        reachability.conditions.iter().find(|one| one.kind == ConditionKind::SecurityGroups).unwrap();
    assert!(groups.why.contains("10.50.0.0/17"), "{groups:?}");
    add_rule(&mut half, (0, 65535), RulePeer::Block(block("10.50.128.0/17")));
    assert_eq!(today(&facts(half), PEERED).reaches(), Reaches::Yes);
    // A route for a part of it, which is a blackhole.
    add_route(&mut evidence, "10.50.7.0/24", &RouteTarget::Blackhole);
    let reachability = today(&facts(evidence), PEERED);
    assert_eq!(result(&reachability, ConditionKind::Route), Some(ConditionResult::Unknown));
}

#[test]
fn a_route_by_a_prefix_list_may_lead_back() {
    let mut evidence = evidence();
    let Observed::Seen(tables) = &mut evidence.network.route_tables else { unreachable!() };
    for table in tables {
        table.routes.push(Route { destination: None, target: RouteTarget::Other("tgw-1".to_owned()) });
    }
    let reachability = today(&facts(evidence), PEERED);
    assert_eq!(result(&reachability, ConditionKind::Route), Some(ConditionResult::Unknown));
}

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
        assert_eq!(today(&self::facts(evidence), BASTION).side, expected, "{support:?} {hostnames:?}");
    }
    // Own name servers may forward the name, or not.
    let Observed::Seen(options) = &mut evidence.network.dhcp_options else { unreachable!() };
    options[0].dns_servers = vec!["192.168.1.53".to_owned()];
    let unknown = today(&self::facts(evidence.clone()), BASTION);
    assert_eq!(unknown.side, None);
    assert_eq!(unknown.reaches(), Reaches::Unknown);
    // With private access alone, public DNS has the private addresses too.
    let private = ask(&self::facts(evidence), &EndpointAccess::Private, BASTION);
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

#[test]
fn network_acls_are_stateless() {
    let deny = |is_outbound, cidr: &str, ports| AclEntry {
        number: 50,
        allows: false,
        ..allow(is_outbound, cidr, ports)
    };
    let at = |subnets: &[&str], entries: &[AclEntry], from: &str| {
        let mut evidence = evidence();
        let Observed::Seen(acls) = &mut evidence.network.network_acls else { unreachable!() };
        let mut own = acls[0].clone();
        own.id = "acl-2".to_owned();
        own.is_default = false;
        own.subnets = subnets.iter().map(|&subnet| subnet.to_owned()).collect();
        own.entries.extend(entries.iter().cloned());
        own.entries.sort_by_key(|entry| entry.number);
        acls.push(own);
        today(&facts(evidence), from)
    };
    let bastion_subnet = ["subnet-0b570066cb4c28a4d"];
    for (subnets, entry, expected) in [
        (&ENI_SUBNETS[..], deny(false, "192.168.11.0/24", (443, 443)), Reaches::No),
        (&ENI_SUBNETS, deny(true, "192.168.11.10/32", (1024, 65535)), Reaches::No),
        (&ENI_SUBNETS, deny(true, "192.168.11.10/32", (0, 1023)), Reaches::Yes),
        // Linux sends from 32768-60999.
        (&ENI_SUBNETS, deny(true, "192.168.11.10/32", (1024, 32767)), Reaches::Yes),
        (&ENI_SUBNETS, deny(true, "192.168.11.10/32", (61000, 65535)), Reaches::Yes),
        (&ENI_SUBNETS, deny(true, "192.168.11.10/32", (32768, 60999)), Reaches::No),
        (&ENI_SUBNETS, deny(true, "192.168.11.10/32", (32768, 32768)), Reaches::Unknown),
        (&ENI_SUBNETS, deny(true, "192.168.11.10/32", (49152, 65535)), Reaches::Unknown),
        (&ENI_SUBNETS, deny(false, "192.168.11.10/32", (444, 65535)), Reaches::Yes),
        (&ENI_SUBNETS, deny(false, "192.168.12.0/24", (443, 443)), Reaches::Yes),
        // The other ENI is enough.
        (&ENI_SUBNETS[..1], deny(false, "0.0.0.0/0", (443, 443)), Reaches::Yes),
        (&bastion_subnet, deny(true, "0.0.0.0/0", (443, 443)), Reaches::No),
        (&bastion_subnet, deny(false, "192.168.0.0/16", (1024, 65535)), Reaches::No),
        (&bastion_subnet, deny(false, "0.0.0.0/0", (443, 443)), Reaches::Yes),
    ] {
        let reachability = at(subnets, std::slice::from_ref(&entry), BASTION);
        assert_eq!(reachability.reaches(), expected, "{subnets:?} {entry:?}: {reachability:#?}");
    }
    let (kind, text) = obstacle(&at(&ENI_SUBNETS, &[deny(false, "192.168.11.0/24", (443, 443))], BASTION));
    assert_eq!(kind, ConditionKind::NetworkAcl);
    assert!(text.contains("create-network-acl-entry") && text.contains("--rule-number 49"), "{text}");
    // What AWS recommends is admitted, not what Linux alone uses.
    let (_, text) = obstacle(&at(&ENI_SUBNETS, &[deny(true, "192.168.11.10/32", (32768, 60999))], BASTION));
    assert!(text.contains("denies outbound TCP ports 32768-60999, to which answers go,"), "{text}");
    assert!(text.contains("From=1024,To=65535") && text.contains("that AWS recommends"), "{text}");
    // A port that no answer goes to is all that it admits.
    let kubelet = [
        deny(true, "0.0.0.0/0", (0, 65535)),
        AclEntry { number: 10, ..allow(true, "0.0.0.0/0", (10250, 10250)) },
    ];
    assert_eq!(obstacle(&at(&ENI_SUBNETS, &kubelet, BASTION)).0, ConditionKind::NetworkAcl);
    // Within a subnet, none applies; n1 is beside an ENI.
    assert_eq!(at(&ENI_SUBNETS, &[deny(false, "0.0.0.0/0", (0, 65535))], "n1").reaches(), Reaches::Yes);
    // Ranges that allow it together.
    let halves = [
        deny(true, "0.0.0.0/0", (0, 65535)),
        AclEntry { number: 10, ..allow(true, "0.0.0.0/0", (1024, 40000)) },
        AclEntry { number: 20, ..allow(true, "0.0.0.0/0", (40001, 65535)) },
    ];
    assert_eq!(at(&ENI_SUBNETS, &halves, BASTION).reaches(), Reaches::Yes);
    // Blocks that allow it together.
    let mut peered = evidence();
    add_route(&mut peered, PEERED, &RouteTarget::Other("pcx-1".to_owned()));
    add_rule(&mut peered, (443, 443), RulePeer::Block(block(PEERED)));
    add_entry(&mut peered, deny(false, PEERED, (443, 443)));
    assert_eq!(obstacle(&today(&facts(peered.clone()), PEERED)).0, ConditionKind::NetworkAcl);
    add_entry(&mut peered, AclEntry { number: 1, ..allow(false, "10.50.0.0/17", (443, 443)) });
    assert_eq!(today(&facts(peered.clone()), PEERED).reaches(), Reaches::Unknown);
    add_entry(&mut peered, AclEntry { number: 2, ..allow(false, "10.50.128.0/17", (443, 443)) });
    assert_eq!(today(&facts(peered), PEERED).reaches(), Reaches::Yes);
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
    use eks_netcheck::model::net::BlockMode;
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

#[test]
fn a_probe_from_here_outranks_the_settings_both_ways() {
    let mut reached = evidence();
    probe(&mut reached, vec![answer("192.168.1.55", ProbeTarget::Endpoint, None)]);
    let reachability = today(&facts(reached.clone()), "here");
    assert_eq!(reachability.reaches(), Reaches::Yes, "{reachability:#?}");
    assert_eq!(result(&reachability, ConditionKind::Tls), Some(ConditionResult::Met));
    // The way to the ENIs does not depend on the mode.
    let mut of_public = evidence();
    of_public.cluster.access = public(&["0.0.0.0/0"]);
    resolve_here(&mut of_public, &["3.39.55.189"]);
    probe(
        &mut of_public,
        vec![
            answer("3.39.55.189", ProbeTarget::Endpoint, None),
            answer("192.168.1.55", ProbeTarget::Eni, None),
        ],
    );
    assert_eq!(ask(&facts(of_public.clone()), &EndpointAccess::Private, "here").reaches(), Reaches::Yes);
    assert_eq!(ask(&facts(of_public.clone()), &both(&["0.0.0.0/0"]), "here").reaches(), Reaches::Yes);
    // What reached it with an open list may not with another.
    assert_eq!(
        ask(&facts(of_public.clone()), &public(&["203.0.113.0/24"]), "here").reaches(),
        Reaches::Unknown
    );
    let timed_out = Some(ProbeCause::TimedOut);
    probe(
        &mut of_public,
        vec![
            answer("3.39.55.189", ProbeTarget::Endpoint, None),
            answer("192.168.1.55", ProbeTarget::Eni, timed_out),
        ],
    );
    let facts_of_public = facts(of_public.clone());
    assert_eq!(today(&facts_of_public, "here").reaches(), Reaches::Yes);
    let (kind, text) = obstacle(&ask(&facts_of_public, &EndpointAccess::Private, "here"));
    assert_eq!(kind, ConditionKind::Route);
    assert!(
        text.contains("192.168.1.55:443 cannot be reached from there: nothing answered within 5 s"),
        "{text}"
    );
    // A restricted endpoint drops the packets of others.
    of_public.cluster.access = public(&["203.0.113.0/24"]);
    probe(&mut of_public, vec![answer("3.39.55.189", ProbeTarget::Endpoint, timed_out)]);
    let facts_of_public = facts(of_public);
    let (kind, text) = obstacle(&today(&facts_of_public, "here"));
    assert_eq!(kind, ConditionKind::Cidrs);
    assert!(text.contains("checkip.amazonaws.com"), "{text}");
    // A longer list may admit it.
    assert_eq!(
        ask(&facts_of_public, &public(&["203.0.113.0/24", "192.0.2.0/24"]), "here").reaches(),
        Reaches::Unknown
    );
}

/// An established connection outlives the list, and the endpoint, with which it was made.
#[test]
fn established_connections_do_not_outrank_the_list() {
    let mut evidence = evidence();
    evidence.dns.clear();
    resolve_here(&mut evidence, &["3.39.55.189"]);
    evidence.cluster.access = public(&["198.51.100.210/32"]);
    let connected = |evidence: &Evidence| {
        let mut classifier = Classifier::new(evidence.clone());
        let row = "ESTAB 0 0 192.168.1.20:42778 3.39.55.189:443 users:((\"kubelet\",pid=1,fd=2))\n";
        let copy = crate::common::copy_of("private-only");
        std::fs::remove_file(copy.path().join("nodes/n2.txt")).unwrap();
        std::fs::write(copy.path().join("nodes/n1.txt"), row).unwrap();
        let dir = EvidenceDir::open(copy.path()).unwrap();
        let nodes = read_nodes(&dir, |node, row| {
            classifier.add(node, row.socket, row.processes.map(|process| (process.comm, process.pid())));
        });
        classifier.finish(nodes.unwrap())
    };
    let facts = connected(&evidence);
    let open = public(&["198.51.100.210/32", "192.0.2.0/24"]);
    let narrow = public(&["192.0.2.0/24"]);
    assert_eq!(ask(&facts, &open, "n1").reaches(), Reaches::Yes);
    assert_eq!(obstacle(&ask(&facts, &narrow, "n1")).0, ConditionKind::Cidrs);
    // If the address with which it leaves is not known, the list of today admits it.
    let Observed::Seen(tables) = &mut evidence.network.route_tables else { unreachable!() };
    for route in tables.iter_mut().flat_map(|table| &mut table.routes) {
        if matches!(route.target, RouteTarget::NatGateway(_)) {
            route.target = RouteTarget::Other("tgw-1".to_owned());
        }
    }
    let facts = connected(&evidence);
    assert_eq!(ask(&facts, &open, "n1").reaches(), Reaches::Yes);
    assert_eq!(ask(&facts, &narrow, "n1").reaches(), Reaches::Unknown);
    // With the endpoint off, the connection was made under another list.
    evidence.cluster.access = EndpointAccess::Private;
    assert_eq!(ask(&connected(&evidence), &open, "n1").reaches(), Reaches::Unknown);
}

#[test]
fn a_certificate_of_another_ca_is_the_answer() {
    let mut evidence = evidence();
    let mut intercepted = answer("192.168.1.55", ProbeTarget::Endpoint, None);
    let certificate = Certificate {
        subject: "CN=proxy".to_owned(),
        issuer: "CN=Corporate Proxy".to_owned(),
        names: Vec::new(),
        not_before: 0,
        not_after: 0,
        fingerprint: String::new(),
    };
    intercepted.tls =
        Some(TlsAttempt { certificate: Some(certificate), trust: Trust::Unsigned, handshake: Attempt::Done });
    probe(&mut evidence, vec![intercepted]);
    let (kind, text) = obstacle(&today(&facts(evidence), "here"));
    assert_eq!(kind, ConditionKind::Tls);
    assert!(text.contains("CN=Corporate Proxy"), "{text}");
}

#[test]
fn a_name_that_does_not_resolve_is_the_answer_where_that_was_seen() {
    let mut evidence = evidence();
    evidence.dns.retain(|vantage| vantage.name != "here");
    let gap = Gap {
        subject: Subject::Vantage("here".to_owned()),
        why: GapReason::NoAnswer,
        detail: "NXDOMAIN".to_owned(),
        hint: String::new(),
    };
    evidence.dns.insert(0, Vantage { name: "here".to_owned(), answer: Observed::Unseen(gap) });
    let (kind, text) = obstacle(&today(&facts(evidence), "here"));
    assert_eq!(kind, ConditionKind::Name);
    assert!(text.contains("NXDOMAIN") && text.contains("inbound endpoint"), "{text}");
}

#[test]
fn pods_reach_it_by_the_cluster_ip_in_every_mode() {
    let facts = facts(evidence());
    let known = Reachabilities::new(&facts);
    let by_ip = known.by_cluster_ip(&place(&facts, "n1"));
    assert_eq!((by_ip.side, by_ip.reaches()), (Some(EndpointSide::ClusterIp), Reaches::Yes));
}

/// A client of the `ClusterIP` has one address, and tries no other one.
#[test]
fn an_eni_that_is_not_reached_delays_clients_by_their_way_to_it() {
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
    let why = |one: &Reachability| {
        assert_eq!(one.reaches(), Reaches::Yes);
        one.conditions.iter().map(|one| one.why.as_str()).collect::<Vec<_>>().join("; ")
    };
    let by_name = why(&today(&facts, BASTION));
    let by_ip = why(&Reachabilities::new(&facts).by_cluster_ip(&place(&facts, BASTION)));
    for text in [&by_name, &by_ip] {
        assert!(text.contains(&format!("{address} is not reached")), "{text}");
    }
    assert!(by_name.contains("try another one") && by_name.contains("up to 15 s"), "{by_name}");
    assert!(by_ip.contains("kube-proxy sends") && by_ip.contains("about 1 of 2"), "{by_ip}");
    assert!(!by_ip.contains("another one"), "{by_ip}");
}

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

/// The answers about many nodes take time in proportion to their number.
#[test]
fn many_nodes_are_judged_in_linear_time() {
    let mut evidence = evidence();
    let Observed::Seen(instances) = &mut evidence.network.instances else { unreachable!() };
    let model = instances.iter().find(|instance| instance.name_tag() == Some("n1")).unwrap().clone();
    let Observed::Seen(interfaces) = &mut evidence.network.interfaces else { unreachable!() };
    let eni = interfaces.iter().find(|eni| eni.addresses[0].to_string() == "192.168.1.20").unwrap().clone();
    for number in 0..5_000u32 {
        let address = IpAddr::from((0x0a63_0000 + number).to_be_bytes());
        let mut instance = model.clone();
        instance.id = format!("i-{number:017x}");
        instance.addresses = vec![address];
        let mut own = (*eni).clone();
        own.id = format!("eni-{number:017x}");
        own.addresses = vec![address];
        own.attachment.as_mut().unwrap().instance = Some(instance.id.clone());
        instances.push(instance);
        interfaces.push(Arc::new(own));
    }
    let facts = facts(evidence);
    let known = Reachabilities::new(&facts);
    let began = std::time::Instant::now();
    let mut reached = 0;
    for instance in facts.evidence.node_instances() {
        let place = known.instance(instance);
        assert!(matches!(place.location, Location::Vpc { .. }));
        for access in [EndpointAccess::Private, public(&["198.51.100.210/32"])] {
            reached += usize::from(known.of(&access, &place).reaches() == Reaches::Yes);
        }
    }
    // n2 has another NAT gateway.
    assert_eq!(reached, 2 * 5_002 - 1);
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
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
