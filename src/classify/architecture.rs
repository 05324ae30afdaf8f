//! The three ways of a cluster: operator to API server, nodes to API server, API server to
//! kubelets. What the access mode makes expected, what was observed, and what differs.
//!
//! Every observation is of sockets, DNS answers or probes; none is concluded from settings.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use crate::model::architecture::{
    Difference, DifferenceKind, ExpectedPath, Leg, LegKind, Names, Observation, SightResult,
};
use crate::model::cluster::Hosting;
use crate::model::connection::{Component, Connection, Direction, KUBELET_PORT, Path};
use crate::model::egress::WayOut;
use crate::model::facts::{Facts, InterfaceKind, has_ambiguous_peer};
use crate::model::node::{Node, NodeStatus};
use crate::model::probe::{ProbeTarget, ProbeWay};
use crate::model::seen_from::{HERE, PlaceKind, SeenBy};
use crate::model::socket::State;

/// How many details of a hop are listed.
const DETAILS_SHOWN: usize = 3;
/// How many observations of a leg, and differences of a kind, are kept.
const KEPT: usize = 20;
/// How many names a text has.
const NAMES_SHOWN: usize = 5;

/// Derives the legs from all other facts.
pub(super) fn architecture(facts: &Facts) -> Vec<Leg> {
    let mut owned = HashMap::new();
    for (index, known) in facts.interfaces.iter().enumerate() {
        if known.kind == InterfaceKind::EksOwned {
            owned.extend(known.interface.addresses.iter().map(|address| (*address, index)));
        }
    }
    let seen = Legs { facts, owned };
    vec![seen.operator(), seen.nodes(), seen.kubelets()]
}

/// What observations that are shown as one have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Alike {
    by: SeenBy,
    result: SightResult,
    path: Path,
    processes: BTreeSet<String>,
}

/// Observations that are alike: the places and the far ends.
type Groups<'a> = BTreeMap<Alike, (BTreeSet<&'a str>, BTreeSet<String>)>;

/// What the probes that reached nothing say.
struct Probed {
    /// The addresses that were not reached.
    failed: Vec<Difference>,
    /// The addresses for which the probe could not be made, which shows nothing about them.
    not_made: Vec<String>,
}

/// The facts, and the EKS-owned ENIs by address.
struct Legs<'a> {
    facts: &'a Facts,
    owned: HashMap<IpAddr, usize>,
}

impl<'a> Legs<'a> {
    fn operator(&self) -> Leg {
        let mut groups = Groups::new();
        let (mut differs, mut not_seen) = (Vec::new(), Vec::new());
        let evidence = &self.facts.evidence;
        match evidence.vantage(HERE).map(|vantage| vantage.answer.as_result()) {
            Some(Ok(_)) => self.add_answer(HERE, &mut groups),
            Some(Err(gap)) => not_seen.push(gap.problem()),
            None => not_seen.push("what the name resolves to here".to_owned()),
        }
        let probed = self.add_probes(|vantage| vantage == HERE, &mut groups);
        if !evidence.probes.iter().any(|probe| probe.vantage == HERE) {
            not_seen.push("whether the API server can be reached from here: it was not probed".to_owned());
        }
        for (alike, (_, peers)) in groups.iter().filter(|(alike, _)| alike.result == SightResult::Resolves) {
            let peers = Names::new(peers).shown(NAMES_SHOWN);
            match alike.path {
                Path::PublicEndpoint if evidence.cluster.access.public() == Some(false) => {
                    let text = format!("public access is off, and the name still resolves here to {peers}");
                    differs.push(Difference { kind: DifferenceKind::Dns, text });
                }
                Path::PublicEndpoint | Path::PrivateEni => {}
                _ => differs.push(unexplained(&format!("the name resolves here to {peers}"))),
            }
        }
        differs.extend(probed.failed);
        not_seen.extend(probed.not_made);
        leg(LegKind::OperatorToApi, self.expected_of_operator(), groups, differs, not_seen)
    }

    fn nodes(&self) -> Leg {
        let Self { facts, .. } = self;
        let evidence = &facts.evidence;
        let mut groups = self.sockets(Direction::Outbound);
        let mut differs = Vec::new();
        let private = evidence.cluster.access.private();
        for (alike, (places, peers)) in &groups {
            differs.extend(self.differences_of_sockets(alike, places, peers, private));
        }
        let with_sockets: BTreeSet<_> = groups.values().flat_map(|(places, _)| places).copied().collect();
        let read = facts.nodes.iter().filter(|node| is_read(node)).map(|node| node.name.as_str());
        let without_sockets: BTreeSet<_> = read.filter(|name| !with_sockets.contains(name)).collect();
        let places = facts.seen_from.places.iter().filter(|place| place.kind == PlaceKind::Node);
        let places: BTreeSet<_> = places.map(|place| place.name.as_str()).collect();
        let has_answer =
            |name: &str| evidence.vantage(name).is_some_and(|vantage| vantage.answer.seen().is_some());
        let (with_answer, without_answer): (Vec<_>, Vec<_>) =
            places.iter().copied().partition(|name| has_answer(name));
        for name in with_answer {
            self.add_answer(name, &mut groups);
        }
        for (alike, (places, peers)) in groups.iter().filter(|(alike, _)| alike.by == SeenBy::Dns) {
            let nodes = Names::new(places).shown(NAMES_SHOWN);
            let peers = Names::new(peers).shown(NAMES_SHOWN);
            match alike.path {
                Path::PrivateEni => {}
                Path::PublicEndpoint if private != Some(true) => {}
                Path::PublicEndpoint => {
                    let text =
                        format!("private access is on, and the name still resolves on {nodes} to {peers}");
                    differs.push(Difference { kind: DifferenceKind::Dns, text });
                }
                _ => differs.push(unexplained(&format!("the name resolves on {nodes} to {peers}"))),
            }
        }
        let probed = self.add_probes(|vantage| places.contains(vantage), &mut groups);
        differs.extend(probed.failed);
        let mut not_seen = self.unread_nodes();
        if !without_sockets.is_empty() {
            let nodes = Names::new(&without_sockets).shown(NAMES_SHOWN);
            not_seen.push(format!("any connection to the API server on {nodes}"));
        }
        if !without_answer.is_empty() {
            let nodes = Names::new(&without_answer).shown(NAMES_SHOWN);
            not_seen.push(format!("what the name resolves to on {nodes}"));
        }
        not_seen.extend(probed.not_made);
        leg(LegKind::NodeToApi, self.expected_of_nodes(), groups, differs, not_seen)
    }

    fn kubelets(&self) -> Leg {
        let groups = self.sockets(Direction::Inbound);
        let mut differs = Vec::new();
        for (alike, (places, peers)) in &groups {
            if alike.path == Path::Unattributed {
                let nodes = Names::new(places).shown(NAMES_SHOWN);
                let peers = Names::new(peers).shown(NAMES_SHOWN);
                differs.push(unexplained(&format!("{peers} is connected to the kubelet of {nodes}")));
            }
        }
        let mut not_seen = self.unread_nodes();
        if !groups.keys().any(|alike| alike.path == Path::PrivateEni) {
            not_seen.push(format!(
                "any connection from an EKS-owned ENI to port {KUBELET_PORT}: there is one while exec, attach, logs or port-forward runs"
            ));
        }
        if let Err(gap) = self.facts.evidence.network.interfaces.as_result() {
            not_seen.push(gap.problem());
        }
        leg(LegKind::ApiToKubelet, self.expected_of_kubelets(), groups, differs, not_seen)
    }

    /// The differences that connections of nodes show.
    fn differences_of_sockets(
        &self,
        alike: &Alike,
        places: &BTreeSet<&str>,
        peers: &BTreeSet<String>,
        private: Option<bool>,
    ) -> Vec<Difference> {
        let processes = Names::new(&alike.processes).shown(NAMES_SHOWN);
        let far_ends = Names::new(peers).shown(NAMES_SHOWN);
        let of =
            |places: &BTreeSet<&str>| format!("{processes} on {}", Names::new(places).shown(NAMES_SHOWN));
        if alike.result == SightResult::Hanging {
            let text = format!("{}: {far_ends} does not answer (SYN-SENT)", of(places));
            return vec![Difference { kind: DifferenceKind::Hanging, text }];
        }
        match alike.path {
            Path::PublicEndpoint if private == Some(true) => self.public_connections(places, &of),
            Path::PrivateEni if private == Some(false) => {
                let text = format!(
                    "{}: connected with an EKS-owned ENI, and private access is off: opened before it was turned off, or by a name of its own",
                    of(places)
                );
                vec![Difference { kind: DifferenceKind::OtherPath, text }]
            }
            Path::PublicEndpoint | Path::PrivateEni | Path::ClusterIp => Vec::new(),
            _ => vec![unexplained(&format!("{}: connected with {far_ends}", of(places)))],
        }
    }

    /// The differences for connections over the public endpoint while private access is on: by
    /// what the name resolves to on their nodes.
    fn public_connections(
        &self,
        places: &BTreeSet<&str>,
        of: &dyn Fn(&BTreeSet<&str>) -> String,
    ) -> Vec<Difference> {
        let mut by_answer: BTreeMap<(DifferenceKind, &str), BTreeSet<&str>> = BTreeMap::new();
        for place in places {
            let answer = self.facts.evidence.vantage(place).and_then(|vantage| vantage.answer.seen());
            let is_private = |address| self.facts.endpoint_addresses.get(address) == Some(&Path::PrivateEni);
            let why = match answer {
                Some(answer) if answer.addresses.iter().all(is_private) => (
                    DifferenceKind::Stale,
                    "the name resolves there to EKS-owned ENIs, so they were opened before; restart the processes",
                ),
                Some(_) => (DifferenceKind::OtherPath, "the name resolves there to other addresses"),
                None => (
                    DifferenceKind::OtherPath,
                    "what the name resolves to there was not seen: stale, or by DNS",
                ),
            };
            by_answer.entry(why).or_default().insert(place);
        }
        let difference = |((kind, why), places): ((DifferenceKind, &str), BTreeSet<&str>)| Difference {
            kind,
            text: format!("{}: on the public endpoint although private access is on; {why}", of(&places)),
        };
        by_answer.into_iter().map(difference).collect()
    }

    /// The connections of a direction that concern the API server, by what is alike.
    fn sockets(&self, direction: Direction) -> Groups<'a> {
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
    fn add_answer<'b>(&self, place: &'b str, groups: &mut Groups<'b>) {
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
    fn add_probes(&self, is_place: impl Fn(&str) -> bool, groups: &mut Groups<'a>) -> Probed {
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

    /// The nodes that were not read.
    fn unread_nodes(&self) -> Vec<String> {
        let nodes = self.facts.nodes.iter();
        let unread = nodes.filter(|node| !is_read(node));
        let unread = Names::new(unread.map(|node| node.name.as_str()));
        let mut texts = Vec::new();
        if unread.total > 0 {
            texts.push(format!("the sockets of {}", unread.shown(NAMES_SHOWN)));
        }
        let missing = Names::new(self.facts.missing_nodes.iter().map(|gap| gap.subject.to_string()));
        if missing.total > 0 {
            texts.push(format!("the sockets of {}", missing.shown(NAMES_SHOWN)));
        }
        texts
    }

    fn expected_of_operator(&self) -> Vec<ExpectedPath> {
        let cluster = &self.facts.evidence.cluster;
        let mut ways = Vec::new();
        if cluster.hosting == Hosting::Connector {
            return ways;
        }
        let (public, private) = (cluster.access.public(), cluster.access.private());
        let is_recorded = public.is_some() && private.is_some();
        if public != Some(false) {
            let admitted = Names::new(cluster.public_cidrs().iter().map(ToString::to_string));
            let endpoint = format!("admits {}", admitted.shown(DETAILS_SHOWN));
            ways.push(ExpectedPath {
                whose: if_recorded(is_recorded, if private == Some(false) { "" } else { "outside the VPC" }),
                hops: vec![
                    hop(HERE, []),
                    hop("internet", []),
                    hop("public endpoint", [endpoint]),
                    hop("API server", []),
                ],
            });
        }
        if private != Some(false) {
            ways.push(ExpectedPath {
                whose: if_recorded(is_recorded, "in the VPC, or a connected network that uses its DNS"),
                hops: vec![hop(HERE, []), self.eni_hop(), hop("API server", [])],
            });
        }
        ways
    }

    fn expected_of_nodes(&self) -> Vec<ExpectedPath> {
        let cluster = &self.facts.evidence.cluster;
        if cluster.hosting == Hosting::Connector {
            return Vec::new();
        }
        let private = cluster.access.private();
        let mut ways = Vec::new();
        if private != Some(true) {
            ways.push(ExpectedPath {
                whose: if_recorded(private.is_some(), "kubelet, kube-proxy"),
                hops: vec![
                    hop("node", []),
                    self.way_out(),
                    hop("public endpoint", []),
                    hop("API server", []),
                ],
            });
        }
        if private != Some(false) {
            ways.push(ExpectedPath {
                whose: if_recorded(private.is_some(), "kubelet, kube-proxy"),
                hops: vec![hop("node", []), self.eni_hop(), hop("API server", [])],
            });
        }
        let cluster_ips = cluster.cluster_ips.iter().map(ToString::to_string);
        ways.push(ExpectedPath {
            whose: "pods".to_owned(),
            hops: vec![hop("pod", []), hop("ClusterIP", cluster_ips), self.eni_hop(), hop("API server", [])],
        });
        ways
    }

    fn expected_of_kubelets(&self) -> Vec<ExpectedPath> {
        if self.facts.evidence.cluster.hosting == Hosting::Connector {
            return Vec::new();
        }
        let kubelet = hop(&format!("kubelet:{KUBELET_PORT}"), []);
        vec![ExpectedPath {
            whose: "in every access mode".to_owned(),
            hops: vec![hop("API server", []), self.eni_hop(), kubelet],
        }]
    }

    /// The hop over the EKS-owned ENIs.
    fn eni_hop(&self) -> Vec<String> {
        if self.facts.evidence.cluster.hosting == Hosting::Outposts {
            return hop("ENI of the local cluster", []);
        }
        let owned = self.facts.eks_owned().map(|known| {
            let address = known.interface.addresses.first().map(|address| format!("{address} "));
            format!("{}{}", address.unwrap_or_default(), known.interface.id)
        });
        let mut details: Vec<_> = owned.take(DETAILS_SHOWN).collect();
        let more = self.facts.eks_owned().count().saturating_sub(DETAILS_SHOWN);
        if more > 0 {
            details.push(format!("and {more} more"));
        }
        hop("EKS-owned ENI", details)
    }

    /// The hop out of the VPC: NAT gateways, or the nodes' own public addresses.
    fn way_out(&self) -> Vec<String> {
        let ways = self.facts.egress.iter().flat_map(|node| &node.ipv4);
        let mut via = BTreeSet::new();
        for way in ways.filter_map(|way| way.seen()) {
            if let WayOut::Addresses(addresses) = way {
                via.extend(addresses.iter().map(|address| (address.via.as_str(), address.address)));
            }
        }
        let (gateways, own): (Vec<_>, Vec<_>) = via.into_iter().partition(|(via, _)| via.starts_with("nat-"));
        let name = match (gateways.is_empty(), own.is_empty()) {
            (false, true) => "NAT gateway",
            (true, false) => "internet gateway",
            _ => "NAT or internet gateway",
        };
        let all = gateways.iter().chain(&own);
        let mut addresses: Vec<_> = all.map(|(_, address)| address.to_string()).collect();
        let more = addresses.len().saturating_sub(DETAILS_SHOWN);
        addresses.truncate(DETAILS_SHOWN);
        if more > 0 {
            addresses.push(format!("and {more} more"));
        }
        hop(name, addresses)
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

/// A leg with the observations that are kept: the largest groups.
fn leg(
    kind: LegKind,
    expected: Vec<ExpectedPath>,
    groups: Groups<'_>,
    mut differs: Vec<Difference>,
    mut not_seen: Vec<String>,
) -> Leg {
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, (places, _))| Reverse(places.len()));
    let omitted = groups.len().saturating_sub(KEPT);
    groups.truncate(KEPT);
    // Sockets first: they prove a path.
    groups.sort_by(|(a, _), (b, _)| b.by.cmp(&a.by).then_with(|| a.cmp(b)));
    let observed = groups.into_iter().map(|(alike, (places, peers))| Observation {
        by: alike.by,
        result: alike.result,
        path: alike.path,
        processes: Names::new(alike.processes),
        places: Names::new(places),
        peers: Names::new(peers),
    });
    let observed = observed.collect();
    differs.sort();
    differs.dedup();
    let more = differs.len().saturating_sub(2 * KEPT);
    differs.truncate(2 * KEPT);
    if more > 0 {
        not_seen.push(format!("{more} more differences: they are not listed"));
    }
    Leg { kind, expected, observed, omitted, differs, not_seen }
}

/// Whether the sockets of a node were read.
fn is_read(node: &Node) -> bool {
    matches!(node.status, NodeStatus::Read | NodeStatus::NoProcessNames)
}

/// A hop with its details.
fn hop(name: &str, details: impl IntoIterator<Item = String>) -> Vec<String> {
    [name.to_owned()].into_iter().chain(details).collect()
}

/// For whom a way is; if the access mode is not recorded, it is one that is possible.
fn if_recorded(is_recorded: bool, whose: &str) -> String {
    let possibly = if is_recorded { "" } else { "possibly (the access mode is not recorded)" };
    let parts = [whose, possibly].into_iter().filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(", ")
}

/// The difference for a far end that nothing explains.
fn unexplained(what: &str) -> Difference {
    let text = format!("{what}, which neither the public endpoint nor an EKS-owned ENI explains");
    Difference { kind: DifferenceKind::Unattributed, text }
}
