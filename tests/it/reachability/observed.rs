//! What was seen outranks what is configured: sockets, probes and answers of DNS.

use std::net::IpAddr;

use eks_netcheck::classify::Classifier;
use eks_netcheck::evidence::directory::EvidenceDir;
use eks_netcheck::evidence::nodes::read_nodes;
use eks_netcheck::model::cluster::EndpointAccess;
use eks_netcheck::model::evidence::{Evidence, Vantage};
use eks_netcheck::model::gap::{Gap, GapReason, Observed, Subject};
use eks_netcheck::model::net::RouteTarget;
use eks_netcheck::model::probe::{
    AddressProbe, Attempt, Certificate, ProbeCause, ProbeTarget, ProbeWay, TlsAttempt, Trust,
};
use eks_netcheck::model::reachability::{ConditionKind, ConditionResult, EndpointSide, Location, Reaches};

use super::{
    BASTION, answer, ask, both, evidence, facts, facts_with_nodes, obstacle, place, probe, public,
    resolve_here, result, today,
};

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

const ENI: &str = "192.168.1.55";

/// An answer to a probe from this host: the address, why it was not reached, and the host's own
/// address, or that it used a proxy.
type Probed = (&'static str, Option<ProbeCause>, &'static str);

fn probed((address, cause, own): Probed, target: ProbeTarget) -> AddressProbe {
    let way = match own {
        "proxy" => ProbeWay::Proxy("proxy.example:3128".to_owned()),
        _ => ProbeWay::Direct,
    };
    AddressProbe { way, source: own.parse().ok(), ..answer(address, target, cause) }
}

/// Its own address shows where this host is only if the public endpoint sees that one.
#[test]
fn the_own_address_of_this_host_is_known_only_if_nothing_translates_it() {
    const PUBLIC: &str = "3.39.55.189";
    const PUBLIC_V6: &str = "2600:1f13::9";
    let (timed_out, failed) = (Some(ProbeCause::TimedOut), Some(ProbeCause::Failed));
    let open = &["0.0.0.0/0"][..];
    let list = &["203.0.113.0/24"][..];
    let (in_list, other) = ("203.0.113.7", "198.51.100.7");
    let (home, v6) = ("192.168.0.23", "2001:db8::7");
    let cases: [(&[&str], &[Probed], &[&str]); 16] = [
        (open, &[(PUBLIC, None, in_list), (ENI, timed_out, in_list)], &[in_list]),
        // A VPN may lead to the ENIs.
        (open, &[(PUBLIC, None, in_list)], &[]),
        (open, &[(PUBLIC, None, in_list), (ENI, failed, in_list)], &[]),
        (open, &[(PUBLIC, None, in_list), (ENI, None, "10.8.0.5")], &[in_list]),
        (open, &[(PUBLIC, None, home), (ENI, timed_out, home)], &[]),
        (open, &[(PUBLIC, None, "100.64.0.7"), (ENI, timed_out, "100.64.0.7")], &[]),
        (open, &[(PUBLIC, None, ""), (ENI, timed_out, "")], &[]),
        (open, &[(PUBLIC, None, in_list), (PUBLIC, None, "proxy"), (ENI, timed_out, in_list)], &[]),
        // The list of today tells which address the endpoint sees.
        (list, &[(PUBLIC, None, in_list), (ENI, timed_out, in_list)], &[in_list]),
        (list, &[(PUBLIC, None, other), (ENI, timed_out, other)], &[]),
        (list, &[(PUBLIC, timed_out, in_list), (ENI, timed_out, in_list)], &[]),
        (list, &[(PUBLIC, timed_out, other), (ENI, timed_out, other)], &[other]),
        (open, &[(PUBLIC, timed_out, in_list), (ENI, timed_out, in_list)], &[in_list]),
        // The addresses of both families matter.
        (open, &[(PUBLIC_V6, None, v6), (PUBLIC, None, home), (ENI, timed_out, home)], &[]),
        (open, &[("64:ff9b::327:37bd", None, v6), (ENI, timed_out, v6)], &[]),
        // An address of the VPC may be that of a host elsewhere.
        (open, &[(PUBLIC, None, BASTION), (ENI, timed_out, BASTION)], &[]),
    ];
    for (list, answers, own) in cases {
        let mut evidence = evidence();
        evidence.cluster.access = public(list);
        let addresses: Vec<_> = answers.iter().map(|one| one.0).filter(|one| *one != ENI).collect();
        resolve_here(&mut evidence, &addresses);
        let target = |one: &Probed| if one.0 == ENI { ProbeTarget::Eni } else { ProbeTarget::Endpoint };
        probe(&mut evidence, answers.iter().map(|one| probed(*one, target(one))).collect());
        let blocks: Vec<_> = own.iter().map(|own| own.parse::<IpAddr>().unwrap().into()).collect();
        let expected = if own.is_empty() { Location::Unknown } else { Location::Outside { blocks } };
        assert_eq!(place(&facts(evidence), "here").location, expected, "{list:?} {answers:?}");
    }
}

/// With private access alone the name has no public address; the certificate of an ENI shows that
/// this host is in the VPC, or has a way into it.
#[test]
fn the_own_address_of_this_host_may_be_one_of_the_vpc() {
    let timed_out = Some(ProbeCause::TimedOut);
    let here = |cause, own| {
        let mut evidence = evidence();
        probe(&mut evidence, vec![probed((ENI, cause, own), ProbeTarget::Endpoint)]);
        place(&facts(evidence), "here").location
    };
    assert!(matches!(here(timed_out, "203.0.113.7"), Location::Outside { .. }));
    // The way over the internet is another one than this.
    assert_eq!(here(None, "203.0.113.7"), Location::Unknown);
    assert!(matches!(here(None, BASTION), Location::Vpc { id: Some(_), .. }));
    assert_eq!(here(timed_out, BASTION), Location::Unknown);
}
