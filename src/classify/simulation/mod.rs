//! What a change of endpoint access would do to each client of the API server: its path and
//! whether it reaches the endpoint, today and afterwards. The verdict is about the change: a
//! client whose path it does not concern is unchanged, whatever is not known of it.

mod clients;
mod effect;
mod lists;
mod needs;
mod order;
mod places;
mod processes;
mod scenario;
mod socket_evidence;

use std::collections::HashSet;
use std::net::IpAddr;

use ipnet::IpNet;

use self::clients::{ClientHost, Known, OTHER_PROCESSES, known, not_read, partial};
use self::effect::{BY_CLUSTER_IP, ONLY_IPV4, added_addresses};
use self::needs::of_simulate;
use self::places::Places;
use self::scenario::Scenario;
use self::socket_evidence::SocketEvidence;
use super::reachability::Reachabilities;
use crate::model::access::AccessMode;
use crate::model::cluster::{EndpointAccess, Hosting};
use crate::model::connection::UNNAMED;
use crate::model::facts::{Facts, Incomplete, InterfaceKind};
use crate::model::file::Field;
use crate::model::gap::{Gap, GapReason, Subject};
use crate::model::net::NAT_GATEWAYS;
use crate::model::reachability::{Condition, ConditionResult, Reachability, Reaches};
use crate::model::seen_from::HERE;
use crate::model::shell::{shell_word, written_into};
use crate::model::simulation::{
    AccessChange, Client, ClientKind, ClientPath, Effect, NamedClient, Simulation, SimulationVerdict,
};
use crate::model::text::list;
use crate::steps::has_hybrid_nodes;

/// The name of the pods that use the `kubernetes` Service.
const PODS: &str = "pods";
/// How many clients a gap names.
const SHOWN: usize = 5;

/// Why a change cannot be simulated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(pub String);

/// Simulates a change of access for the known clients, and for those that the user names.
///
/// # Errors
/// If the cluster cannot have the access, the change would have no effect, or a client has the
/// name of another one.
pub fn simulate(facts: &Facts, change: &AccessChange, named: &[NamedClient]) -> Result<Simulation, Refused> {
    check_client_names(facts, named)?;
    let scenarios = scenarios(facts, change)?;
    let first = &scenarios[0];
    let Judged { first: Outcome { mut clients, gaps: own, not_judged }, verdict, gaps: incomplete } =
        judge(facts, &scenarios, named);
    let mut gaps = Vec::new();
    if verdict != SimulationVerdict::Safe || scenarios.len() > 1 {
        gaps.extend(unrecorded(facts));
    }
    gaps.extend(incomplete);
    gaps.extend(own);
    gaps.sort();
    gaps.dedup();
    let mut notes = notes(facts, change, first, &clients);
    notes.extend(not_judged.map(|gap| {
        format!("the network ACLs were not seen, and are not judged: the default one of a VPC lets everything pass; {}", gap.hint)
    }));
    // The steps are those of the change with the blocks that clients lack, in one list.
    let needed = lists::needed(first, &clients);
    let steps = if needed.is_empty() {
        order::steps_of(facts, first, &[], &clients, verdict)
    } else {
        let wider: Vec<_> = scenarios.iter().map(|one| lists::with_blocks(one, &needed)).collect();
        let Judged { first: Outcome { clients, .. }, verdict, .. } = judge(facts, &wider, named);
        notes.extend(lists::too_long(&wider[0]));
        order::steps_of(facts, &wider[0], &needed, &clients, verdict)
    };
    lists::merge(facts, first, &needed, &mut clients);
    Ok(Simulation {
        cluster: facts.evidence.cluster.name.clone(),
        from: facts.evidence.cluster.access.clone(),
        to: first.to.clone(),
        steps,
        notes,
        warnings: assumed_list(first).into_iter().collect(),
        clients,
        gaps,
        verdict,
    })
}

/// The clients under the first scenario, and the verdict on all.
struct Judged {
    first: Outcome,
    verdict: SimulationVerdict,
    /// What makes the verdict unknown, besides what is not known of clients.
    gaps: Vec<Gap>,
}

fn judge(facts: &Facts, scenarios: &[Scenario], named: &[NamedClient]) -> Judged {
    let of = |facts: &Facts| -> (Option<Outcome>, SimulationVerdict) {
        let outcomes: Vec<_> = scenarios.iter().map(|scenario| outcome(facts, scenario, named)).collect();
        let verdicts: Vec<_> = outcomes.iter().map(|(_, verdict)| *verdict).collect();
        (outcomes.into_iter().map(|(outcome, _)| outcome).next(), combined(&verdicts))
    };
    let (first, mut verdict) = of(facts);
    let mut gaps = Vec::new();
    // What is safe only by evidence that is a part of what it should be is not known.
    if let Some(Incomplete { gaps: incomplete, without }) = facts.incomplete.as_deref()
        && verdict == SimulationVerdict::Safe
        && of(without).1 != SimulationVerdict::Safe
    {
        verdict = SimulationVerdict::Unknown;
        gaps.clone_from(incomplete);
    }
    Judged { first: first.unwrap_or_default(), verdict, gaps }
}

/// The access today and afterwards, for each mode that the cluster may have.
fn scenarios(facts: &Facts, change: &AccessChange) -> Result<Vec<Scenario>, Refused> {
    let cluster = &facts.evidence.cluster;
    match cluster.hosting {
        Hosting::Region => {}
        Hosting::Connector => {
            return Err(Refused(format!(
                "the cluster {} is registered through EKS Connector: EKS does not run its endpoint, so its access cannot be changed",
                cluster.name
            )));
        }
        Hosting::Outposts => {
            return Err(Refused(format!(
                "the cluster {} is a local cluster on Outposts, whose control plane is in your own account: a change of its access cannot be simulated",
                cluster.name
            )));
        }
    }
    let cidrs = cluster.access.cidrs();
    let modes = AccessMode::possible(&cluster.access).into_iter();
    let scenarios: Vec<_> = modes
        .filter_map(|mode| {
            let to = change.apply(mode, cidrs).ok()?;
            let is_list_assumed = to.public() == Some(true) && to.cidrs().is_empty();
            Some(Scenario { from: mode.with(cidrs), to, is_list_assumed })
        })
        .collect();
    if scenarios.is_empty() {
        return Err(Refused(
            "--public-cidrs: the public endpoint is off, so that publicAccessCidrs has no effect; pass --access public-and-private to turn it on as well"
                .to_owned(),
        ));
    }
    Ok(scenarios)
}

/// Refuses clients that have the name of a node, or of another client: a report would not say
/// which of them it is about.
fn check_client_names(facts: &Facts, named: &[NamedClient]) -> Result<(), Refused> {
    if named.is_empty() {
        return Ok(());
    }
    let reachabilities = Reachabilities::new(facts);
    let places = Places::new(facts, &reachabilities);
    let hosts = known(facts, &places, &[]).hosts;
    let of_hosts = hosts.iter().flat_map(|host| {
        let users = host.users.iter().map(|user| user.name.as_str());
        users.chain([host.place.name.as_str()])
    });
    let of_instances = facts.evidence.node_instances().flat_map(|node| {
        [Some(node.id.as_str()), node.dns_name.as_deref(), node.name_tag()].into_iter().flatten()
    });
    let of_kubernetes = facts.evidence.kubernetes.nodes.seen().into_iter().flatten();
    let of_kubernetes = of_kubernetes.map(|node| node.name.as_str());
    let mut taken: HashSet<_> = of_hosts
        .chain(of_instances)
        .chain(of_kubernetes)
        .chain([PODS])
        .filter(|name| *name != HERE)
        .collect();
    match named.iter().find(|client| !taken.insert(client.name.as_str())) {
        Some(NamedClient { name, .. }) => Err(Refused(format!(
            "--client {name}: this is the name of a node or of another client of the cluster, which is judged anyway; name the client otherwise"
        ))),
        None => Ok(()),
    }
}

/// The note on IPv6 blocks for a cluster whose endpoint has no IPv6 address.
///
/// <https://docs.aws.amazon.com/eks/latest/APIReference/API_VpcConfigRequest.html>
fn ipv6_blocks(facts: &Facts, change: &AccessChange) -> Option<String> {
    let cluster = &facts.evidence.cluster;
    let is_v6 = |block: &&IpNet| block.addr().is_ipv6();
    let block = change.cidrs.iter().flatten().find(is_v6)?;
    let is_ipv4_cluster = !cluster.cluster_ips.is_empty() && cluster.cluster_ips.iter().all(IpAddr::is_ipv4);
    is_ipv4_cluster.then(|| {
        format!(
            "EKS accepts IPv6 blocks, such as {block}, only for IPv6 clusters, and this is an IPv4 cluster"
        )
    })
}

/// The clients under one scenario.
#[derive(Default)]
struct Outcome {
    clients: Vec<Client>,
    gaps: Vec<Gap>,
    /// What is not judged of a client that the change concerns, for want of evidence.
    not_judged: Option<Gap>,
}

fn outcome(facts: &Facts, scenario: &Scenario, named: &[NamedClient]) -> (Outcome, SimulationVerdict) {
    let reachabilities = Reachabilities::new(facts);
    let places = Places::new(facts, &reachabilities);
    let Known { hosts, gaps: unlisted, has_cluster_ip } = known(facts, &places, named);
    let mut clients: Vec<Client> = Vec::new();
    let mut gaps = Vec::new();
    let mut not_judged = None;
    for host in &hosts {
        let ways = [&scenario.from, &scenario.to].map(|access| reachabilities.of(access, &host.place));
        let [now, then] = [&ways[0], &ways[1]];
        for user in &host.users {
            let client = scenario.judge(facts, host, user, [now, then]);
            if client.effect != Effect::Unchanged {
                let is_left_out = |one: &&Condition| one.result == ConditionResult::NotApplicable;
                let mut left_out = then.conditions.iter().filter(is_left_out);
                let gap = || left_out.find_map(|condition| condition.gap.clone());
                not_judged = not_judged.or_else(gap);
            }
            if client.effect == Effect::Unknown {
                if user.sight == (SocketEvidence::OtherFamily { has_ipv4: false }) {
                    gaps.push(Gap {
                        subject: Subject::Other(client.name.clone()),
                        why: GapReason::NotRecorded,
                        detail: ONLY_IPV4.to_owned(),
                        hint: "pass its IPv4 address with --client NAME=CIDR".to_owned(),
                    });
                }
                gaps.extend(automatic_addresses(facts, scenario, host, then));
                let missing = then.conditions.iter().filter(|one| one.result == ConditionResult::Unknown);
                let missing = missing.filter_map(|condition| condition.gap.as_ref());
                gaps.extend(
                    missing.map(|gap| Gap { hint: of_simulate(&gap.hint, client.kind), ..gap.clone() }),
                );
            }
            clients.push(client);
        }
    }
    clients.push(pods(has_cluster_ip));
    clients.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    if !scenario.is_monotone() {
        gaps.extend(unread(facts, &clients));
        gaps.extend(unlisted.iter().cloned());
    }
    let has = |effects: &[Effect]| clients.iter().any(|client| effects.contains(&client.effect));
    let verdict = if has(&[Effect::Breaks, Effect::Interrupted]) {
        SimulationVerdict::Breaks
    } else if has(&[Effect::Unknown]) || !unlisted.is_empty() && !scenario.is_monotone() {
        SimulationVerdict::Unknown
    } else {
        SimulationVerdict::Safe
    };
    (Outcome { clients, gaps, not_judged }, verdict)
}

/// Pods that use the `kubernetes` Service: their path is the same in every access mode.
fn pods(is_seen: bool) -> Client {
    Client {
        name: PODS.to_owned(),
        kind: ClientKind::Pods,
        node: None,
        process: None,
        today: ClientPath::ClusterIp,
        after: ClientPath::ClusterIp,
        reaches_today: if is_seen { Reaches::Yes } else { Reaches::Unknown },
        reaches: if is_seen { Reaches::Yes } else { Reaches::Unknown },
        is_stale: false,
        effect: Effect::Unchanged,
        why: BY_CLUSTER_IP.to_owned(),
        needs: Vec::new(),
    }
}

/// The gaps for the clients whose path is not known and which the change concerns.
fn unread(facts: &Facts, clients: &[Client]) -> Vec<Gap> {
    let unknown: Vec<_> = clients.iter().filter(|client| client.effect == Effect::Unknown).collect();
    let is_of_node = |client: &&&Client| {
        client.today == ClientPath::Unknown
            && !matches!(client.kind, ClientKind::Operator | ClientKind::Named | ClientKind::FargatePod)
    };
    let mut gaps = Vec::new();
    if unknown.iter().any(|client| client.kind == ClientKind::FargatePod) {
        gaps.extend(facts.missing_nodes.iter().filter(|gap| gap.subject == Subject::FargatePods).cloned());
    }
    gaps.extend(endpoint_addresses(facts, &unknown));
    gaps.extend(unexplained(facts, &unknown));
    let names: Vec<_> = unknown.iter().filter(is_of_node).map(|client| client.name.clone()).collect();
    if names.is_empty() {
        return gaps;
    }
    let of_parts = unknown.iter().filter(|client| client.process.as_deref() == Some(OTHER_PROCESSES));
    let parts: HashSet<_> = of_parts.filter_map(|client| client.node.as_ref()).collect();
    let partial =
        facts.nodes.iter().filter(|node| parts.contains(&node.name)).flat_map(|node| partial(facts, node));
    let of_nodes = facts.nodes.iter().flat_map(|node| &node.gaps);
    let others = facts.missing_nodes.iter().filter(|gap| gap.subject != Subject::FargatePods);
    gaps.extend(others.chain(of_nodes).cloned().chain(partial));
    if gaps.is_empty() { vec![not_read(facts, &names)] } else { gaps }
}

/// The gap for processes that may be connected to the public endpoint, since none of its
/// addresses is known.
fn endpoint_addresses(facts: &Facts, unknown: &[&Client]) -> Option<Gap> {
    let names: Vec<_> = unknown
        .iter()
        .filter(|client| is_unplaced(facts, client))
        .map(|client| client.name.clone())
        .collect();
    if names.is_empty() {
        return None;
    }
    let cluster = &facts.evidence.cluster;
    let host = cluster.endpoint.as_ref().map_or("", |endpoint| endpoint.host.as_str());
    let host = shell_word(host, "ENDPOINT");
    let hint = format!(
        "resolve the name outside the VPC, and record the answer, as by: dig +short @1.1.1.1 {host} > dns/outside.txt"
    );
    let hint = match &facts.evidence.directory {
        Some(directory) => written_into(directory, hint),
        None => hint,
    };
    Some(Gap {
        subject: Subject::Vantages,
        why: GapReason::NotRecorded,
        detail: format!(
            "no answer has an address of the public endpoint, so it is not known whether these are connected to it: {}",
            list(&names, SHOWN)
        ),
        hint,
    })
}

/// Whether a client is a process with connections to public addresses that nothing explains.
fn is_unplaced(facts: &Facts, client: &Client) -> bool {
    let names = client.node.as_ref().and_then(|node| facts.unplaced.get(node));
    let name = client.process.clone().filter(|name| name != UNNAMED);
    client.process.is_some() && names.is_some_and(|names| names.contains(&name))
}

/// The gap for processes of nodes that were read, whose path their sockets do not show.
fn unexplained(facts: &Facts, unknown: &[&Client]) -> Option<Gap> {
    let is_unexplained = |client: &&&Client| {
        client.today == ClientPath::Unknown
            && client.process.as_deref().is_some_and(|name| name != OTHER_PROCESSES)
            && !is_unplaced(facts, client)
    };
    let names: Vec<_> = unknown.iter().filter(is_unexplained).map(|client| client.name.clone()).collect();
    (!names.is_empty()).then(|| Gap {
        subject: Subject::Sockets,
        why: GapReason::Incomplete,
        detail: format!(
            "no connection of these is known to be with the API server, so how they reach it is not known: {}",
            list(&names, SHOWN)
        ),
        hint: "find out to what they connect, and whether by a proxy: that has to reach the endpoint as well, with its own address".to_owned(),
    })
}

/// The gap for access that is not recorded.
fn unrecorded(facts: &Facts) -> Option<Gap> {
    let access = &facts.evidence.cluster.access;
    let detail = "whether the public and the private endpoint are on is not recorded; a public endpoint is assumed to be on, a private one off";
    matches!(access, EndpointAccess::Unknown { .. })
        .then(|| facts.evidence.gap(Field::EndpointAccess, GapReason::NotRecorded, detail))
}

/// The verdict on several scenarios, of which the first is the one that the rules assume too: what
/// breaks there breaks, and what is safe only there is not known.
fn combined(verdicts: &[SimulationVerdict]) -> SimulationVerdict {
    let first = verdicts.first().copied().unwrap_or(SimulationVerdict::Unknown);
    if first == SimulationVerdict::Breaks || verdicts.iter().all(|verdict| *verdict == first) {
        first
    } else {
        SimulationVerdict::Unknown
    }
}

/// The gap for a regional NAT gateway to which AWS adds addresses by itself.
fn automatic_addresses(
    facts: &Facts,
    scenario: &Scenario,
    host: &ClientHost,
    then: &Reachability,
) -> Option<Gap> {
    let gateway = scenario.automatic_gateway(facts, &host.place, then)?;
    Some(Gap {
        subject: Subject::File(NAT_GATEWAYS),
        why: GapReason::NotSupported,
        detail: added_addresses(gateway),
        hint: "use private access, or a NAT gateway with addresses of your own".to_owned(),
    })
}

/// The warning that the change is judged with the default list, since none was given.
fn assumed_list(scenario: &Scenario) -> Option<String> {
    let is_opened = scenario.from.public() == Some(false) && scenario.to.public() == Some(true);
    (is_opened && scenario.is_list_assumed).then(|| {
        "no list is given for the public endpoint, which is off today: AWS's default is 0.0.0.0/0, and the clients are judged with that; the steps have YOUR_CIDRS in its place; name your blocks with --public-cidrs".to_owned()
    })
}

/// What readers should know and the verdict does not depend on.
fn notes(facts: &Facts, change: &AccessChange, scenario: &Scenario, clients: &[Client]) -> Vec<String> {
    let mut notes = Vec::new();
    let (from, to) = (&scenario.from, &scenario.to);
    if !scenario.is_monotone() && !clients.iter().any(|client| client.kind == ClientKind::Named) {
        notes.push("clients that nothing here records, such as CI runners, VPNs and bastions, are not judged: name them with --client NAME=CIDR".to_owned());
    }
    if !scenario.is_monotone() && !clients.iter().any(|client| client.kind == ClientKind::Operator) {
        notes.push(
            "whether you can still reach the API server from here is not judged: what the name resolves to here is not recorded"
                .to_owned(),
        );
    }
    notes.extend(ipv6_blocks(facts, change));
    if !scenario.is_identity() && facts.interfaces.iter().any(|known| known.kind == InterfaceKind::Branch) {
        notes.push("pods with security groups of their own (branch interfaces) are not judged: whether those groups let them reach the API server is the same before and after the change".to_owned());
    }
    if to.public() == Some(true) && to.private() == Some(true) && from != to && has_hybrid_nodes(facts) {
        notes.push("AWS supports one endpoint for clusters with hybrid nodes, public or private, not both: outside the VPC the name resolves to public addresses while public access is on".to_owned());
    }
    notes
}
