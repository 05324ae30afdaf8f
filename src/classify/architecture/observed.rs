//! What was observed: sockets, DNS answers and probes, by what is alike.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use crate::model::architecture::{Difference, DifferenceKind, Names, SightResult};
use crate::model::connection::{Component, Connection, Direction, Path};
use crate::model::facts::{Facts, InterfaceKind, has_ambiguous_peer};
use crate::model::probe::{ProbeTarget, ProbeWay};
use crate::model::seen_from::{PlaceKind, SeenBy};
use crate::model::socket::State;

/// How many observations of a leg, and differences of a kind, are kept.
pub(super) const KEPT: usize = 20;
/// How many names a text has.
pub(super) const NAMES_SHOWN: usize = 5;

/// The facts, and the EKS-owned ENIs by address.
pub(super) struct Legs<'a> {
    pub(super) facts: &'a Facts,
    owned: HashMap<IpAddr, usize>,
}

/// What observations that are shown as one have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Alike {
    pub(super) by: SeenBy,
    pub(super) result: SightResult,
    pub(super) path: Path,
    pub(super) processes: BTreeSet<String>,
}

/// Observations that are alike: the places and the far ends.
pub(super) type Groups<'a> = BTreeMap<Alike, (BTreeSet<&'a str>, BTreeSet<String>)>;

/// What the probes that reached nothing say.
pub(super) struct Probed {
    /// The addresses that were not reached.
    pub(super) failed: Vec<Difference>,
    /// The addresses for which the probe could not be made, which shows nothing about them.
    pub(super) not_made: Vec<String>,
}

impl<'a> Legs<'a> {
    pub(super) fn new(facts: &'a Facts) -> Self {
        let mut owned = HashMap::new();
        for (index, known) in facts.interfaces.iter().enumerate() {
            if known.kind == InterfaceKind::EksOwned {
                owned.extend(known.interface.addresses.iter().map(|address| (*address, index)));
            }
        }
        Self { facts, owned }
    }

    /// The connections of a direction that concern the API server, by what is alike.
    pub(super) fn sockets(&self, direction: Direction) -> Groups<'a> {
        /// By result and path, and whether the processes are other ones than kubelet and
        /// kube-proxy, which many others would hide.
        type OfNode = BTreeMap<(SightResult, Path, bool), (BTreeSet<String>, BTreeSet<String>)>;
        let mut by_node: BTreeMap<&str, OfNode> = BTreeMap::new();
        for (connection, _) in self.facts.counted_connections() {
            let Connection { node, attribution, socket, .. } = connection;
            if connection.direction != direction || !self.concerns_api(connection) {
                continue;
            }
            let result = match socket.state {
                State::Established => SightResult::Connected,
                State::SynSent if direction == Direction::Outbound => SightResult::Hanging,
                _ => continue,
            };
            let is_other = !connection.component.is_some_and(Component::is_node_component);
            let of_node = by_node.entry(node.as_str()).or_default();
            let (processes, peers) = of_node.entry((result, attribution.path, is_other)).or_default();
            processes.insert(connection.process_name().to_owned());
            let address = match (direction, socket.peer.ip()) {
                // The port of a client says nothing.
                (Direction::Inbound, Some(ip)) => ip.to_string(),
                _ => socket.peer.to_string(),
            };
            peers.insert(self.far_end(address, attribution.eni));
        }
        let mut groups = Groups::new();
        for (node, of_node) in by_node {
            for ((result, path, _), (processes, peers)) in of_node {
                let alike = Alike { by: SeenBy::Socket, result, path, processes };
                let (places, all_peers) = groups.entry(alike).or_default();
                places.insert(node);
                all_peers.extend(peers);
            }
        }
        groups
    }

    /// Whether the far end of a connection is the API server, a client of the kubelet, or may
    /// be one.
    fn concerns_api(&self, connection: &Connection) -> bool {
        let path = connection.attribution.path;
        match connection.direction {
            Direction::Outbound => {
                path.is_api_server() || has_ambiguous_peer(connection, &self.facts.endpoint_addresses)
            }
            Direction::Inbound => path != Path::Loopback && path != Path::Other,
            Direction::None => false,
        }
    }

    /// Adds the DNS answer at a vantage point.
    pub(super) fn add_answer<'b>(&self, place: &'b str, groups: &mut Groups<'b>) {
        let answer = self.facts.evidence.vantage(place).and_then(|vantage| vantage.answer.seen());
        for address in answer.into_iter().flat_map(|answer| &answer.addresses) {
            let path = self.facts.endpoint_addresses.get(address).copied().unwrap_or(Path::Unattributed);
            let (by, result) = (SeenBy::Dns, SightResult::Resolves);
            let (places, peers) =
                groups.entry(Alike { by, result, path, processes: BTreeSet::new() }).or_default();
            places.insert(place);
            peers.insert(self.far_end(address.to_string(), self.owned.get(address).copied()));
        }
    }

    /// Adds the probes from some vantage points that were made, and returns what the others
    /// leave open.
    pub(super) fn add_probes(&self, is_place: impl Fn(&str) -> bool, groups: &mut Groups<'a>) -> Probed {
        type Places<'a> = BTreeMap<(&'a str, String), BTreeSet<&'a str>>;
        let (mut failed, mut not_made) = (Places::new(), Places::new());
        let places = self.facts.seen_from.places.iter();
        let nodes: HashSet<_> =
            places.filter(|place| place.kind == PlaceKind::Node).map(|place| place.name.as_str()).collect();
        for probe in self.facts.evidence.probes.iter().filter(|probe| is_place(&probe.vantage)) {
            let is_node = nodes.contains(probe.vantage.as_str());
            for answer in &probe.answers {
                // Outside the VPC, ENIs are not expected to answer.
                let is_reached = answer.is_reached();
                if answer.target == ProbeTarget::Peer || answer.target == ProbeTarget::Eni && !is_reached {
                    continue;
                }
                let by_proxy = match &answer.way {
                    ProbeWay::Direct => String::new(),
                    ProbeWay::Proxy(proxy) => format!(" by the proxy {proxy}"),
                };
                if let Some(failure) = answer.failure() {
                    let by_result = if failure.cause.is_decisive() { &mut failed } else { &mut not_made };
                    let of_address =
                        by_result.entry((&failure.detail, format!("{}{by_proxy}", answer.address)));
                    of_address.or_default().insert(&probe.vantage);
                    if !failure.cause.is_decisive() {
                        continue;
                    }
                }
                let address = answer.address.ip();
                let eni = self.owned.get(&address).copied();
                let path = eni.map_or(Path::Unattributed, |_| Path::PrivateEni);
                let path = self.facts.endpoint_addresses.get(&address).copied().unwrap_or(path);
                let result = match is_reached {
                    _ if answer.is_unchecked(path, is_node) => SightResult::Answered,
                    true => SightResult::Connected,
                    false => SightResult::Failed,
                };
                let alike = Alike { by: SeenBy::Probe, result, path, processes: BTreeSet::new() };
                let (places, peers) = groups.entry(alike).or_default();
                places.insert(&probe.vantage);
                peers.insert(self.far_end(answer.address.to_string(), eni) + &by_proxy);
            }
        }
        let difference = |((detail, address), places): ((&str, String), BTreeSet<&str>)| {
            let places = Names::new(places).shown(NAMES_SHOWN);
            let text = format!("{address} was not reached from {places}: {detail}");
            Difference { kind: DifferenceKind::Unreached, text }
        };
        let open = |((detail, address), places): ((&str, String), BTreeSet<&str>)| {
            let places = Names::new(places).shown(NAMES_SHOWN);
            format!("whether {address} can be reached from {places}: the probe could not be made: {detail}")
        };
        Probed {
            failed: failed.into_iter().map(difference).collect(),
            not_made: not_made.into_iter().map(open).take(KEPT).collect(),
        }
    }

    /// The text for a far end: its address, and the id of its network interface.
    fn far_end(&self, address: String, eni: Option<usize>) -> String {
        match eni.and_then(|eni| self.facts.interfaces.get(eni)) {
            Some(known) if known.kind == InterfaceKind::EksOwned => {
                format!("{address} {}", known.interface.id)
            }
            Some(known) => format!("{address} {}", known.kind.as_str()),
            None => address,
        }
    }
}
