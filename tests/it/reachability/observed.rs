//! What was seen outranks what is configured: sockets, probes and answers of DNS.

use std::net::IpAddr;

use eks_netcheck::classify::reachability::{Reachabilities, reachability};
use eks_netcheck::classify::simulation::simulate;
use eks_netcheck::evidence::directory::EvidenceDir;
use eks_netcheck::model::access::AccessMode;
use eks_netcheck::model::cluster::EndpointAccess;
use eks_netcheck::model::evidence::{Evidence, Vantage};
use eks_netcheck::model::facts::Facts;
use eks_netcheck::model::gap::{Gap, GapReason, Observed, Subject};
use eks_netcheck::model::kubernetes::KubernetesNode;
use eks_netcheck::model::net::RouteTarget;
use eks_netcheck::model::probe::{
    AddressProbe, Attempt, Certificate, ProbeCause, ProbeTarget, ProbeWay, TlsAttempt, Trust,
};
use eks_netcheck::model::reachability::{
    ConditionKind, ConditionResult, EndpointSide, Location, Place, Reaches,
};
use eks_netcheck::model::simulation::{AccessChange, ClientKind};

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

/// Facts with the sockets that the node n1 lists alone.
fn connected(evidence: &Evidence, rows: &str) -> Facts {
    let copy = crate::common::copy_of("private-only");
    std::fs::remove_file(copy.path().join("nodes/n2.txt")).unwrap();
    std::fs::write(copy.path().join("nodes/n1.txt"), rows).unwrap();
    let dir = EvidenceDir::open(copy.path()).unwrap();
    crate::common::with_nodes(evidence.clone(), &dir).unwrap()
}

/// A node may list connections with any local address: only those that are listed for it are
/// evidence of a place, and none is of this host.
#[test]
fn a_node_does_not_speak_for_other_hosts() {
    const OTHER: &str = "203.0.113.7";
    let mut evidence = evidence();
    evidence.dns.clear();
    resolve_here(&mut evidence, &["3.39.55.189"]);
    evidence.cluster.access = public(&["198.51.100.210/32"]);
    let Observed::Seen(instances) = &evidence.network.instances else { unreachable!() };
    let of_node = |address: &IpAddr| instances.iter().find(|one| one.addresses.contains(address));
    let (own, others) = ("192.168.1.20".parse().unwrap(), BASTION.parse().unwrap());
    let id = &of_node(&own).unwrap().id;
    assert!(of_node(&others).is_none_or(|one| one.id != *id));
    let row = |local: &str, process: &str| {
        format!("ESTAB 0 0 {local}:42778 3.39.55.189:443 users:((\"{process}\",pid=1,fd=2))\n")
    };
    let is_seen = |facts: &Facts, place: &Place| {
        let judged = reachability(facts, &facts.evidence.cluster.access, place);
        judged.conditions.iter().any(|one| one.why.contains("has an established connection"))
    };
    let here = |location: &Location| Place { name: "here".to_owned(), location: location.clone() };
    for process in ["kubelet", "curl"] {
        // Control: its own address, and a probe of the node at it.
        let facts = connected(&evidence, &row("192.168.1.20", process));
        let node = place(&facts, "192.168.1.20");
        assert!(is_seen(&facts, &node), "{process}");
        assert!(!is_seen(&facts, &here(&node.location)), "{process}");
        // Another host's, also next to its own.
        for claimed in [OTHER, BASTION] {
            for rows in [row(claimed, process), row("192.168.1.20", process) + &row(claimed, process)] {
                let facts = connected(&evidence, &rows);
                let place = place(&facts, claimed);
                assert!(!is_seen(&facts, &place), "{rows}");
                assert!(!is_seen(&facts, &here(&place.location)), "{rows}");
            }
        }
    }
    // Its answers to probes, and of its resolver, are not those of the other host either.
    let mut answers = evidence.clone();
    probe(&mut answers, vec![answer("3.39.55.189", ProbeTarget::Endpoint, None)]);
    answers.probes[0].vantage = "n1".to_owned();
    let facts = connected(&answers, &row(OTHER, "kubelet"));
    let today = |place: &Place| reachability(&facts, &facts.evidence.cluster.access, place).reaches();
    let other = place(&facts, OTHER);
    assert_eq!((today(&other), today(&here(&other.location))), (Reaches::No, Reaches::No));
}

/// An established connection outlives the list, and the endpoint, with which it was made.
#[test]
fn established_connections_do_not_outrank_the_list() {
    let mut evidence = evidence();
    evidence.dns.clear();
    resolve_here(&mut evidence, &["3.39.55.189"]);
    evidence.cluster.access = public(&["198.51.100.210/32"]);
    let connected = |evidence: &Evidence| {
        connected(evidence, "ESTAB 0 0 192.168.1.20:42778 3.39.55.189:443 users:((\"kubelet\",pid=1,fd=2))\n")
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
    let halves = &["0.0.0.0/1", "128.0.0.0/1"][..];
    let list = &["203.0.113.0/24"][..];
    let both = &["203.0.113.0/24", "2001:db8::/32"][..];
    let (in_list, other) = ("203.0.113.7", "198.51.100.7");
    let (home, v6) = ("192.168.0.23", "2001:db8::7");
    let cases: [(&[&str], &[Probed], &[&str]); 20] = [
        // The list of today tells which address the endpoint sees, if it does not admit all.
        (list, &[(PUBLIC, None, in_list), (ENI, timed_out, in_list)], &[in_list]),
        (list, &[(PUBLIC, None, in_list), (ENI, None, "10.8.0.5")], &[in_list]),
        (open, &[(PUBLIC, None, in_list), (ENI, timed_out, in_list)], &[]),
        (halves, &[(PUBLIC, None, in_list), (ENI, timed_out, in_list)], &[]),
        (list, &[(PUBLIC, None, other), (ENI, timed_out, other)], &[]),
        (list, &[(PUBLIC, timed_out, in_list), (ENI, timed_out, in_list)], &[]),
        (list, &[(PUBLIC, timed_out, other), (ENI, timed_out, other)], &[]),
        (open, &[(PUBLIC, timed_out, in_list), (ENI, timed_out, in_list)], &[]),
        (&[], &[(ENI, timed_out, in_list)], &[]),
        // A VPN may lead to the ENIs.
        (list, &[(PUBLIC, None, in_list)], &[]),
        (list, &[(PUBLIC, None, in_list), (ENI, failed, in_list)], &[]),
        (list, &[(PUBLIC, None, home), (ENI, timed_out, home)], &[]),
        (list, &[(PUBLIC, None, "100.64.0.7"), (ENI, timed_out, "100.64.0.7")], &[]),
        (list, &[(PUBLIC, None, ""), (ENI, timed_out, "")], &[]),
        (list, &[(PUBLIC, None, in_list), (PUBLIC, None, "proxy"), (ENI, timed_out, in_list)], &[]),
        // The addresses of both families matter.
        (both, &[(PUBLIC_V6, None, v6), (PUBLIC, None, in_list), (ENI, timed_out, in_list)], &[in_list, v6]),
        (both, &[(PUBLIC_V6, timed_out, v6), (PUBLIC, None, in_list), (ENI, timed_out, in_list)], &[]),
        (both, &[(PUBLIC_V6, None, v6), (PUBLIC, None, home), (ENI, timed_out, home)], &[]),
        (both, &[("64:ff9b::327:37bd", None, v6), (ENI, timed_out, v6)], &[]),
        // An address of the VPC may be that of a host elsewhere.
        (open, &[(PUBLIC, None, BASTION), (ENI, timed_out, BASTION)], &[]),
    ];
    for (list, answers, own) in cases {
        let mut evidence = evidence();
        if !list.is_empty() {
            evidence.cluster.access = public(list);
        }
        let addresses: Vec<_> = answers.iter().map(|one| one.0).filter(|one| *one != ENI).collect();
        resolve_here(&mut evidence, &addresses);
        let target = |one: &Probed| if one.0 == ENI { ProbeTarget::Eni } else { ProbeTarget::Endpoint };
        probe(&mut evidence, answers.iter().map(|one| probed(*one, target(one))).collect());
        let blocks: Vec<_> = own.iter().map(|own| own.parse::<IpAddr>().unwrap().into()).collect();
        let expected = if own.is_empty() { Location::Unknown } else { Location::Outside { blocks } };
        assert_eq!(place(&facts(evidence), "here").location, expected, "{list:?} {answers:?}");
    }
}

/// What was seen from this machine is not what a node sees that has its name.
#[test]
fn a_node_named_like_this_machine_is_another_place() {
    let mut evidence = evidence();
    evidence.cluster.access = public(&["0.0.0.0/0"]);
    resolve_here(&mut evidence, &["3.39.55.189"]);
    probe(&mut evidence, vec![answer("3.39.55.189", ProbeTarget::Endpoint, None)]);
    let Observed::Seen(instances) = &mut evidence.network.instances else { unreachable!() };
    instances[0].dns_name = None;
    instances[0].tags = vec![("Name".to_owned(), "here".to_owned())];
    let instance = instances[0].clone();
    let hybrid = KubernetesNode {
        name: "here".to_owned(),
        addresses: vec!["10.80.0.5".parse().unwrap()],
        provider_id: None,
        compute_type: Some("hybrid".to_owned()),
        os_image: None,
        is_windows: false,
        pod_cidrs: Vec::new(),
    };
    evidence.kubernetes.nodes = Observed::Seen(vec![hybrid]);
    let facts = facts(evidence);
    assert_eq!(Reachabilities::new(&facts).instance(&instance).name, instance.id);
    let change = AccessChange { mode: Some(AccessMode::Public), cidrs: None };
    let simulation = simulate(&facts, &change, &[]).unwrap();
    let of = |kind: ClientKind| {
        let clients = simulation.clients.iter().filter(|one| one.kind == kind && one.name == "here");
        clients.map(|one| one.reaches).collect::<Vec<_>>()
    };
    assert_eq!(of(ClientKind::Operator), [Reaches::Yes]);
    assert_eq!(of(ClientKind::HybridNode), [Reaches::Unknown]);
}

/// What answers on behalf of the endpoint does not show which address that sees.
#[test]
fn an_answer_without_the_certificate_does_not_show_the_address_of_this_host() {
    let here = |is_signed: bool| {
        let mut evidence = evidence();
        evidence.cluster.access = public(&["203.0.113.0/24"]);
        resolve_here(&mut evidence, &["3.39.55.189"]);
        let mut answer = probed(("3.39.55.189", None, "203.0.113.7"), ProbeTarget::Endpoint);
        answer.tls = answer.tls.filter(|_| is_signed);
        let eni = probed((ENI, Some(ProbeCause::TimedOut), "203.0.113.7"), ProbeTarget::Eni);
        probe(&mut evidence, vec![answer, eni]);
        place(&facts(evidence), "here").location
    };
    assert!(matches!(here(true), Location::Outside { .. }));
    assert_eq!(here(false), Location::Unknown);
}

/// A host with a public address may be behind a translation: its prediction is not known, and
/// tells which address was not taken, and what to pass.
#[test]
fn an_own_address_that_nothing_confirms_predicts_nothing() {
    let timed_out = Some(ProbeCause::TimedOut);
    let to = public(&["203.0.113.0/24"]);
    for today in [None, Some("0.0.0.0/0"), Some("203.0.113.0/24")] {
        let mut evidence = evidence();
        let mut answers = vec![probed((ENI, timed_out, "203.0.113.7"), ProbeTarget::Eni)];
        if let Some(today) = today {
            evidence.cluster.access = public(&[today]);
            resolve_here(&mut evidence, &["3.39.55.189"]);
            answers.push(probed(("3.39.55.189", None, "203.0.113.7"), ProbeTarget::Endpoint));
        }
        probe(&mut evidence, answers);
        let predicted = ask(&facts(evidence), &to, "here");
        if today == Some("203.0.113.0/24") {
            assert_eq!(predicted.reaches(), Reaches::Yes, "{predicted:#?}");
            continue;
        }
        assert_eq!(predicted.reaches(), Reaches::Unknown, "{today:?} {predicted:#?}");
        let mut gaps = predicted.conditions.iter().filter_map(|one| one.gap.as_ref());
        assert!(
            gaps.any(|gap| gap.detail.contains("203.0.113.7")
                && gap.hint.contains("--client here=ADDRESS/32")
                && gap.hint.contains("checkip")),
            "{today:?} {predicted:#?}"
        );
    }
}

/// With private access alone the name has no public address; the certificate of an ENI shows that
/// this host is in the VPC, or has a way into it.
#[test]
fn the_own_address_of_this_host_may_be_one_of_the_vpc() {
    let timed_out = Some(ProbeCause::TimedOut);
    let here = |answers: &[Probed]| {
        let mut evidence = evidence();
        probe(&mut evidence, answers.iter().map(|one| probed(*one, ProbeTarget::Endpoint)).collect());
        place(&facts(evidence), "here").location
    };
    let is_in_vpc = |location| matches!(location, Location::Vpc { id: Some(_), .. });
    assert!(is_in_vpc(here(&[(ENI, None, BASTION)])));
    for unknown in [
        &[(ENI, timed_out, "203.0.113.7")][..],
        &[(ENI, timed_out, BASTION)],
        // The way over the internet is another one than this.
        &[(ENI, None, "203.0.113.7")],
        &[(ENI, None, "10.8.0.5"), ("192.168.11.114", timed_out, "203.0.113.7")],
        // The endpoint sees the address of the proxy.
        &[(ENI, None, BASTION), ("3.39.55.189", None, "proxy")],
    ] {
        assert_eq!(here(unknown), Location::Unknown, "{unknown:?}");
    }
}
