//! Whether a place reaches the endpoint: what was seen outranks the settings, what was not is
//! neither yes nor no, and more permissions never take access away.

mod groups;
mod observed;
mod properties;
mod scale;
mod ways;

use std::net::{IpAddr, SocketAddr};

use eks_netcheck::classify::Classifier;
use eks_netcheck::classify::reachability::{Reachabilities, reachability};
use eks_netcheck::evidence::directory::EvidenceDir;
use eks_netcheck::model::cluster::EndpointAccess;
use eks_netcheck::model::evidence::{Answer, Evidence, Vantage};
use eks_netcheck::model::facts::Facts;
use eks_netcheck::model::gap::Observed;
use eks_netcheck::model::net::{AclEntry, GroupRule, NetworkAcl, Route, RouteTarget, RulePeer};
use eks_netcheck::model::probe::{
    AddressProbe, Attempt, Probe, ProbeCause, ProbeFailure, ProbeTarget, ProbeTool, ProbeWay, TlsAttempt,
    Trust,
};
use eks_netcheck::model::reachability::{ConditionKind, ConditionResult, Place, Reachability};
use ipnet::IpNet;

use crate::common::{story, with_nodes};

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
    let subnets = evidence.network.subnets.seen().into_iter().flatten();
    let subnets = subnets.filter_map(|subnet| subnet.id.clone());
    evidence.network.network_acls = Observed::Seen(vec![NetworkAcl {
        id: "acl-1".to_owned(),
        vpc: evidence.cluster.vpc.clone(),
        subnets: subnets.collect(),
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
    with_nodes(evidence, &EvidenceDir::open(&story("private-only")).unwrap()).unwrap()
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
        source: None,
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
    let (vantage, host) = ("here".to_owned(), "host".to_owned());
    evidence.probes = vec![Probe { vantage, host, tool: ProbeTool::Own, answers }];
}

fn resolve_here(evidence: &mut Evidence, addresses: &[&str]) {
    evidence.dns.retain(|vantage| vantage.name != "here");
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    let answer = Observed::Seen(Answer { addresses, ..Answer::default() });
    evidence.dns.insert(0, Vantage { name: "here".to_owned(), answer });
}
