//! The three ways of a cluster: operator to API server, nodes to API server, API server to
//! kubelets. What the access mode makes expected, what was observed, and what differs.
//!
//! Every observation is of sockets, DNS answers or probes; none is concluded from settings.

mod expected;
mod observed;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use self::observed::{Alike, Groups, KEPT, Legs, NAMES_SHOWN};
use crate::model::architecture::{
    Difference, DifferenceKind, ExpectedPath, Leg, LegKind, Names, Observation, SightResult,
};
use crate::model::connection::{Direction, KUBELET_PORT, Path};
use crate::model::facts::Facts;
use crate::model::node::{Node, NodeStatus};
use crate::model::seen_from::{HERE, PlaceKind, SeenBy};

/// Derives the legs from all other facts.
pub(super) fn architecture(facts: &Facts) -> Vec<Leg> {
    let seen = Legs::new(facts);
    vec![seen.operator(), seen.nodes(), seen.kubelets()]
}

impl Legs<'_> {
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

/// The difference for a far end that nothing explains.
fn unexplained(what: &str) -> Difference {
    let text = format!("{what}, which neither the public endpoint nor an EKS-owned ENI explains");
    Difference { kind: DifferenceKind::Unattributed, text }
}
