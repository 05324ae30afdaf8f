//! "Seen from": place by address, whether the endpoint's name resolves to it there and whether
//! the place reaches it.
//!
//! A place reaches an address if a process there has an established connection to it, or a
//! probe from there connected: at an EKS-owned ENI, from a node, or to what showed a certificate
//! of the cluster. It does not if all probes failed for reasons that decide, or all
//! its connections hang in SYN-SENT. Everything else is unknown.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use super::path::Index;
use crate::model::connection::{Attribution, By, Connection, Direction, OmittedConnections, Path};
use crate::model::evidence::{Evidence, Vantage};
use crate::model::gap::Subject;
use crate::model::name::NodeName;
use crate::model::node::{Node, NodeStatus};
use crate::model::probe::{Probe, ProbeTarget};
use crate::model::reaches::Reaches;
use crate::model::seen_from::{HERE, PlaceKind, Resolves, SeenBy, SeenFrom, Sight, VantagePoint, View};
use crate::model::socket::State;

/// How many addresses of the endpoint are listed for each place besides those that the place
/// itself resolves or reaches: those that the most vantage points resolve.
const ADDRESSES_OF_ALL: usize = 16;
/// The largest number of sights that are kept.
const SIGHTS_MAX: usize = 100_000;

/// What the sockets and probes of a place show of an address.
#[derive(Debug, Default)]
struct Contacts {
    attribution: Option<Attribution>,
    /// The states of sockets.
    sockets: BTreeSet<State>,
    /// Whether probes reached it; `None` if one failed for a reason that decides nothing.
    probes: BTreeSet<Option<bool>>,
    /// Whether something answered TCP of which it was not checked what it is.
    is_answered: bool,
}

/// What is known of a place.
#[derive(Debug, Default)]
struct VantageEvidence<'a> {
    /// It has sockets, as nodes do.
    is_node: bool,
    vantage: Option<&'a Vantage>,
    /// The DNS answer there may be a part of the whole.
    is_answer_part: bool,
    contacts: BTreeMap<IpAddr, Contacts>,
    /// Not all of its sockets are known, so that one which is not seen may exist.
    are_sockets_part: bool,
}

/// Derives what each place sees. `omitted` are connections that are counted only.
pub(super) fn seen_from(
    evidence: &Evidence,
    index: &Index,
    nodes: &[Node],
    connections: &[Connection],
    omitted: &[OmittedConnections],
) -> SeenFrom {
    let common = addresses_of_all(evidence);
    if common.is_empty() && evidence.probes.is_empty() && connections.is_empty() {
        return SeenFrom::default();
    }
    let kinds = Kinds::new(evidence, nodes);
    let places = places(evidence, index, nodes, connections, omitted, &kinds);
    let mut sorted: Vec<_> = places
        .into_iter()
        .map(|(name, place)| (VantagePoint { kind: kinds.of(name, &place), name: name.to_owned() }, place))
        .collect();
    sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut seen = SeenFrom::default();
    for (at, (point, place)) in sorted.into_iter().enumerate() {
        seen.places.push(point);
        let answer = place.vantage.and_then(|vantage| vantage.answer.seen());
        let answered: BTreeSet<_> =
            answer.into_iter().flat_map(|answer| &answer.addresses).copied().collect();
        let all: BTreeSet<_> = answered.iter().chain(place.contacts.keys()).chain(&common).copied().collect();
        for address in all {
            if seen.sights.len() == SIGHTS_MAX {
                seen.omitted += 1;
                continue;
            }
            let resolves = match answer {
                Some(_) if answered.contains(&address) => Resolves::Yes,
                Some(_) if !place.is_answer_part => Resolves::No,
                _ => Resolves::Unknown,
            };
            let contacts = place.contacts.get(&address);
            let (reaches, mut by) = reached(contacts, place.are_sockets_part);
            let tcp_answered =
                reaches == Reaches::Unknown && contacts.is_some_and(|contacts| contacts.is_answered);
            if tcp_answered {
                by.push(SeenBy::Probe);
            }
            if resolves != Resolves::Unknown {
                by.insert(0, SeenBy::Dns);
            }
            let of_contact = contacts.and_then(|contacts| contacts.attribution.clone());
            let Attribution { path, eni, .. } = of_contact.unwrap_or_else(|| attribution(index, address));
            seen.sights.push(Sight {
                place: at,
                address,
                eni,
                view: View { resolves, reaches, tcp_answered, path, by },
            });
        }
    }
    seen
}

/// Whether an address was reached, and by what this is known.
fn reached(contacts: Option<&Contacts>, are_sockets_part: bool) -> (Reaches, Vec<SeenBy>) {
    let Some(contacts) = contacts else { return (Reaches::Unknown, Vec::new()) };
    let Contacts { sockets, probes, .. } = contacts;
    let by_socket = (!sockets.is_empty()).then_some(SeenBy::Socket);
    let probed = if probes.contains(&Some(true)) {
        Some(true)
    } else {
        (!probes.is_empty() && !probes.contains(&None)).then_some(false)
    };
    let by = by_socket.into_iter().chain(probed.map(|_| SeenBy::Probe)).collect();
    let reaches = if sockets.contains(&State::Established) || probed == Some(true) {
        Reaches::Yes
    } else if probed == Some(false) || !sockets.is_empty() && !are_sockets_part {
        Reaches::No
    } else {
        Reaches::Unknown
    };
    (reaches, by)
}

fn attribution(index: &Index, address: IpAddr) -> Attribution {
    let unattributed = Attribution { path: Path::Unattributed, by: By::None, eni: None };
    index.lookup(address).unwrap_or(unattributed)
}

/// The addresses of the endpoint that are listed for every place.
fn addresses_of_all(evidence: &Evidence) -> Vec<IpAddr> {
    let mut counts: BTreeMap<IpAddr, usize> = BTreeMap::new();
    for answer in evidence.dns.iter().filter_map(|vantage| vantage.answer.seen()) {
        for address in answer.addresses.iter().collect::<BTreeSet<_>>() {
            *counts.entry(*address).or_default() += 1;
        }
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(address, count)| (Reverse(*count), *address));
    counts.into_iter().take(ADDRESSES_OF_ALL).map(|(address, _)| address).collect()
}

/// The places with what is known of each: the operator's, the nodes that were read, and all
/// vantage points.
fn places<'a>(
    evidence: &'a Evidence,
    index: &Index,
    nodes: &'a [Node],
    connections: &'a [Connection],
    omitted: &'a [OmittedConnections],
    kinds: &Kinds<'_>,
) -> BTreeMap<&'a str, VantageEvidence<'a>> {
    let mut places: BTreeMap<&str, VantageEvidence<'_>> = BTreeMap::new();
    places.entry(HERE).or_default();
    let unlisted = omitted.iter().filter(|omitted| omitted.kind.is_none());
    let unlisted: HashSet<&NodeName> = unlisted.map(|omitted| &omitted.node).collect();
    let hanging = hanging(connections, omitted);
    let is_read = |node: &&Node| matches!(node.status, NodeStatus::Read | NodeStatus::NoProcessNames);
    for node in nodes.iter().filter(is_read) {
        let place = places.entry(node.name.as_str()).or_default();
        place.is_node = true;
        // As after grep: a node that has nothing but attempts is improbable.
        let has_only_attempts =
            !node.has_header && hanging.get(&node.name).is_some_and(|number| *number >= node.sockets());
        place.are_sockets_part = has_only_attempts || node.is_state_filtered || unlisted.contains(&node.name);
    }
    for vantage in &evidence.dns {
        places.entry(&vantage.name).or_default().vantage = Some(vantage);
    }
    for gap in &evidence.gaps {
        if let Subject::Vantage(name) | Subject::Records { vantage: name, .. } = &gap.subject
            && let Some(place) = places.get_mut(name.as_str())
        {
            place.is_answer_part = true;
        }
    }
    let endpoint = evidence.endpoint_addresses();
    let counted = omitted.iter().filter_map(|omitted| omitted.kind.as_ref());
    for connection in connections.iter().chain(counted) {
        let Connection { socket, attribution, direction, .. } = connection;
        let Some(peer) = socket.peer.ip().filter(|_| *direction == Direction::Outbound) else { continue };
        let is_relevant = attribution.path.is_api_server() || endpoint.contains(&peer);
        if !is_relevant || !socket.state.may_be_open_or_opening() {
            continue;
        }
        let place = places.entry(connection.node.as_str()).or_default();
        place.is_node = true;
        let contacts = place.contacts.entry(peer).or_default();
        contacts.sockets.insert(socket.state);
        // Of an address of the endpoint it depends on the process whether it is listed as
        // unattributed.
        if attribution.path.is_api_server() {
            contacts.attribution = Some(attribution.clone());
        }
    }
    for Probe { vantage, answers, .. } in &evidence.probes {
        let place = places.entry(vantage).or_default();
        let is_node = kinds.of(vantage, place) == PlaceKind::Node;
        for answer in answers {
            let is_listed = match answer.target {
                ProbeTarget::Endpoint => true,
                ProbeTarget::Eni => answer.is_reached(),
                ProbeTarget::Peer => false,
            };
            if is_listed {
                let contacts = place.contacts.entry(answer.address.ip()).or_default();
                let attribution = self::attribution(index, answer.address.ip());
                if answer.is_unchecked(attribution.path, is_node) {
                    contacts.is_answered = true;
                    contacts.attribution.get_or_insert(attribution);
                    continue;
                }
                let shows = match answer.failure() {
                    None => Some(true),
                    Some(failure) => failure.cause.is_decisive().then_some(false),
                };
                contacts.probes.insert(shows);
                contacts.attribution.get_or_insert(attribution);
            }
        }
    }
    places
}

/// The number of attempts to connect of each node.
fn hanging<'a>(
    connections: &'a [Connection],
    omitted: &'a [OmittedConnections],
) -> HashMap<&'a NodeName, u64> {
    let kept = connections.iter().map(|connection| (&connection.node, connection.socket.state, 1));
    let counted = omitted.iter().map(|omitted| (&omitted.node, omitted.state, omitted.count));
    let mut hanging = HashMap::new();
    for (node, _, count) in kept.chain(counted).filter(|(_, state, _)| *state == State::SynSent) {
        *hanging.entry(node).or_default() += count;
    }
    hanging
}

/// The names by which EC2 and Kubernetes list nodes.
struct Kinds<'a>(HashSet<&'a str>);

impl<'a> Kinds<'a> {
    fn new(evidence: &'a Evidence, nodes: &'a [Node]) -> Self {
        let known = nodes.iter().map(|node| node.name.as_str());
        let of_ec2 = evidence
            .node_instances()
            .flat_map(|instance| [Some(instance.id.as_str()), instance.display_name()])
            .flatten();
        let of_kubernetes = evidence.kubernetes.nodes.seen().into_iter().flatten();
        Self(known.chain(of_ec2).chain(of_kubernetes.map(|node| node.name.as_str())).collect())
    }

    fn of(&self, name: &str, place: &VantageEvidence<'_>) -> PlaceKind {
        if place.is_node || self.0.contains(name) {
            PlaceKind::Node
        } else if name == HERE {
            PlaceKind::Operator
        } else {
            PlaceKind::Other
        }
    }
}
