//! Groups of nodes that are alike, and of gaps with one cause: reports show a group where it
//! would be long to show each.

use std::collections::HashMap;
use std::hash::Hash;
use std::mem::{Discriminant, discriminant};
use std::net::{IpAddr, Ipv4Addr};

use super::facts::Facts;
use super::gap::{Gap, GapReason, Subject};
use super::judgment::{JudgedGap, NotJudged};
use super::node::{Node, NodeStatus};
use super::traffic::{NodeTraffic, TrafficPath};

/// Nodes that were read with one result and whose traffic takes the same paths.
#[derive(Debug)]
pub struct NodeGroup<'a> {
    /// The result of reading them.
    pub status: NodeStatus,
    /// The paths of the traffic of the first one; those of the others are the same.
    pub traffic: &'a NodeTraffic,
    /// The nodes, sorted by name.
    pub nodes: Vec<&'a Node>,
}

impl NodeGroup<'_> {
    /// Whether nothing is wrong with the nodes: they were read, and all traffic of their
    /// components is known to be private.
    #[must_use]
    pub fn is_private(&self) -> bool {
        let is_private = |path| path == TrafficPath::Private;
        self.status == NodeStatus::Read
            && is_private(self.traffic.path)
            && self.traffic.components.iter().all(|one| is_private(one.path))
    }

    /// How bad the worst that is known of the nodes is, 0 the worst.
    fn rank(&self) -> u8 {
        let of_path = |path| match path {
            // Cut off.
            TrafficPath::None => 0,
            TrafficPath::Public => 1,
            TrafficPath::Mixed => 2,
            TrafficPath::Unknown => 7,
            TrafficPath::Private => 8,
        };
        let of_status = match self.status {
            NodeStatus::Unreachable => 3,
            NodeStatus::Malformed => 4,
            NodeStatus::NotSupported => 5,
            NodeStatus::NoProcessNames => 6,
            NodeStatus::Read => 8,
        };
        let components = self.traffic.components.iter().map(|one| of_path(one.path));
        components.fold(of_status.min(of_path(self.traffic.path)), u8::min)
    }
}

impl Facts {
    /// The nodes that are alike: the worst first, and of those the most nodes first.
    #[must_use]
    pub fn node_groups(&self) -> Vec<NodeGroup<'_>> {
        let nodes = self.nodes.iter().zip(&self.traffic);
        let groups = grouped(nodes, |(node, traffic)| (node.status, traffic.path, &traffic.components));
        let mut groups: Vec<_> = groups
            .into_iter()
            .map(|group| {
                let (first, traffic) = group[0];
                let nodes = group.iter().map(|(node, _)| *node).collect();
                NodeGroup { status: first.status, traffic, nodes }
            })
            .collect();
        groups.sort_by_key(|group| (group.rank(), std::cmp::Reverse(group.nodes.len())));
        groups
    }
}

/// Gaps of one kind and with one cause, and with the same effect on the judgment.
#[derive(Debug)]
pub struct GapGroup<'a> {
    /// The cause. If there are several gaps, it has `the node` or `the place` where that of each
    /// has the name of its subject; if their addresses differ, it is that of the first, and says so.
    pub detail: String,
    /// The gaps, in the order of the judgment.
    pub gaps: Vec<&'a JudgedGap>,
}

/// Rules that were not judged for one cause.
#[derive(Debug)]
pub struct NotJudgedGroup<'a> {
    /// The rules.
    pub rules: Vec<&'static str>,
    /// The cause, as that of a [`GapGroup`].
    pub detail: String,
    /// The missing evidence of each of the rules, in the order of the judgment.
    pub gaps: Vec<&'a Gap>,
}

/// What gaps with one cause have in common.
#[derive(PartialEq, Eq, Hash)]
struct Cause<'a> {
    kind: Discriminant<Subject>,
    /// Of a subject that has no name.
    subject: Option<&'a Subject>,
    why: GapReason,
    detail: String,
}

impl<'a> Cause<'a> {
    fn of(gap: &'a Gap) -> Self {
        Self {
            kind: discriminant(&gap.subject),
            subject: gap.subject.name().is_none().then_some(&gap.subject),
            why: gap.why,
            detail: without_addresses(&without_name(gap)),
        }
    }
}

/// What the gaps of a group have in common.
#[derive(PartialEq, Eq, Hash)]
struct GapKey<'a> {
    cause: Cause<'a>,
    needed: bool,
    rules: Vec<&'static str>,
    /// The line of the policy that accepts it.
    accepted: Option<usize>,
}

/// The gaps that are alike, in the order of the judgment.
#[must_use]
pub fn gap_groups(gaps: &[JudgedGap]) -> Vec<GapGroup<'_>> {
    let groups = grouped(gaps.iter(), |judged| GapKey {
        cause: Cause::of(&judged.gap),
        needed: judged.needed,
        rules: judged.rules.iter().map(|rule| rule.id).collect(),
        accepted: judged.accepted.as_ref().map(|accepted| accepted.line),
    });
    groups.into_iter().map(GapGroup::new).collect()
}

/// The rules that were not judged, those that lack the same evidence for one cause together, in
/// the order of the judgment.
#[must_use]
pub fn not_judged_groups<'a>(not_judged: &'a [NotJudged]) -> Vec<NotJudgedGroup<'a>> {
    let causes = grouped(not_judged.iter(), |one| (one.rule.id, Cause::of(&one.gap)));
    let causes: Vec<(&'static str, Vec<&Gap>)> = causes
        .into_iter()
        .map(|same| (same[0].rule.id, same.into_iter().map(|one| &one.gap).collect()))
        .collect();
    let groups = grouped(causes.iter(), |(_, gaps)| gaps);
    let group = |same: Vec<&(&'static str, Vec<&'a Gap>)>| {
        let gaps = same[0].1.clone();
        NotJudgedGroup { rules: same.iter().map(|(rule, _)| *rule).collect(), detail: detail(&gaps), gaps }
    };
    groups.into_iter().map(group).collect()
}

/// The cause of gaps: of a single one as it is.
fn detail(gaps: &[&Gap]) -> String {
    match gaps {
        [only] => only.detail.clone(),
        several => {
            let details: Vec<_> = several.iter().map(|gap| without_name(gap)).collect();
            match details.as_slice() {
                [first, others @ ..] if others.iter().any(|other| other != first) => {
                    format!("for the first: {}", several[0].detail)
                }
                details => details.first().cloned().unwrap_or_default(),
            }
        }
    }
}

impl<'a> GapGroup<'a> {
    fn new(gaps: Vec<&'a JudgedGap>) -> Self {
        let detail = detail(&gaps.iter().map(|judged| &judged.gap).collect::<Vec<_>>());
        Self { detail, gaps }
    }
}

fn without_name(gap: &Gap) -> String {
    let Gap { subject, detail, .. } = gap;
    let instead = match subject {
        Subject::Vantage(_) | Subject::Probe(_) => "the place",
        _ => "the node",
    };
    subject.name().map_or_else(|| detail.clone(), |name| replace_word(detail, name, instead))
}

/// The text with `ADDRESS` for each address of a host, by which the details of nodes with one
/// cause differ: to compare texts, not to be shown.
fn without_addresses(text: &str) -> String {
    let is_of_address = |char: char| char.is_ascii_hexdigit() || char == '.' || char == ':';
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_of_address) {
        let (before, from) = rest.split_at(start);
        replaced.push_str(before);
        let (piece, behind) = from.split_at(from.find(|char| !is_of_address(char)).unwrap_or(from.len()));
        // A port, a colon or the end of a sentence may follow.
        let word = piece.trim_end_matches(['.', ':']);
        let (host, port) = match word.rsplit_once(':') {
            Some((host, _)) if host.parse::<Ipv4Addr>().is_ok() => (host, &piece[host.len()..]),
            _ => (word, &piece[word.len()..]),
        };
        let is_part = before.ends_with(|char: char| char.is_alphanumeric() || "-_".contains(char))
            || behind.starts_with(|char: char| char.is_alphanumeric() || "-_/".contains(char));
        if !is_part && host.len() > 2 && host.parse::<IpAddr>().is_ok() {
            replaced.push_str("ADDRESS");
            replaced.push_str(port);
        } else {
            replaced.push_str(piece);
        }
        rest = behind;
    }
    replaced.push_str(rest);
    replaced
}

/// The text with another text for a word. What follows a hyphen, an underscore, or a dot that
/// ends no sentence belongs to a word.
fn replace_word(text: &str, word: &str, instead: &str) -> String {
    let is_of_word = |char: char| char.is_alphanumeric() || char == '-' || char == '_';
    let continues = |chars: &mut dyn Iterator<Item = char>| match chars.next() {
        Some('.') => chars.next().is_some_and(is_of_word),
        next => next.is_some_and(is_of_word),
    };
    let mut replaced = String::with_capacity(text.len());
    let mut from = 0;
    for (at, found) in text.match_indices(word) {
        let end = at + found.len();
        let is_whole = !continues(&mut text[..at].chars().rev()) && !continues(&mut text[end..].chars());
        if is_whole && !found.is_empty() {
            replaced.push_str(&text[from..at]);
            replaced.push_str(instead);
            from = end;
        }
    }
    replaced.push_str(&text[from..]);
    replaced
}

/// The items with equal keys, in the order of the first of each.
fn grouped<T: Copy, K: Eq + Hash>(items: impl Iterator<Item = T>, key: impl Fn(T) -> K) -> Vec<Vec<T>> {
    let (mut groups, mut known) = (Vec::new(), HashMap::new());
    for item in items {
        let at = *known.entry(key(item)).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[at].push(item);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node_gap(name: &str, detail: &str) -> JudgedGap {
        let subject = Subject::Node(name.parse().expect("a name"));
        let gap = Gap { subject, why: GapReason::Failed, detail: detail.to_owned(), hint: String::new() };
        JudgedGap { gap, rules: Vec::new(), needed: true, accepted: None }
    }

    #[test]
    fn gaps_with_one_cause_are_a_group_whatever_the_name_in_it() {
        let gaps = [
            node_gap("n1", "ssh: n1: no route"),
            node_gap("n2", "ssh: n2: no route"),
            node_gap("n3", "ssh: n3: timed out"),
        ];
        let groups = gap_groups(&gaps);
        let shown: Vec<_> = groups.iter().map(|group| (group.gaps.len(), group.detail.as_str())).collect();
        assert_eq!(shown, [(2, "ssh: the node: no route"), (1, "ssh: n3: timed out")]);
    }

    #[test]
    fn the_worst_nodes_come_first_however_few() {
        use super::super::connection::Component;
        use super::super::traffic::ComponentTraffic;
        use TrafficPath::{Mixed, None, Private, Public, Unknown};
        let rank = |status, path, components: &[TrafficPath]| {
            let component =
                |path: &TrafficPath| ComponentTraffic { component: Component::Kubelet, path: *path };
            let components = components.iter().map(component).collect();
            let traffic = NodeTraffic { node: "n1".parse().expect("a name"), path, components };
            let group = NodeGroup { status, traffic: &traffic, nodes: Vec::new() };
            (group.rank(), group.is_private())
        };
        let ranks = [
            rank(NodeStatus::Read, Private, &[Private, None]),
            rank(NodeStatus::Read, Public, &[Public]),
            rank(NodeStatus::NoProcessNames, Mixed, &[Mixed]),
            rank(NodeStatus::Unreachable, Unknown, &[Unknown]),
            rank(NodeStatus::Malformed, Unknown, &[Unknown]),
            rank(NodeStatus::NotSupported, Unknown, &[Unknown]),
            rank(NodeStatus::NoProcessNames, Private, &[Private]),
            rank(NodeStatus::Read, Private, &[Private, Unknown]),
            rank(NodeStatus::Read, Private, &[Private]),
        ];
        assert!(ranks.windows(2).all(|pair| pair[0].0 < pair[1].0), "{ranks:?}");
        assert!(ranks.iter().all(|(rank, is_private)| *is_private == (*rank == 8)), "{ranks:?}");
    }

    #[test]
    fn a_name_is_replaced_where_it_is_a_whole_word() {
        for (text, name, expected) in [
            ("exit code e: e.", "e", "exit code the node: the node."),
            ("e.g. e-1, 1-e, e_2 and a.e", "e", "e.g. e-1, 1-e, e_2 and a.e"),
            ("ssh ec2-user@n1, [n1]:22 (n1)", "n1", "ssh ec2-user@the node, [the node]:22 (the node)"),
            ("10.0.0.1 is not 10.0.0.12 or 110.0.0.1", "10.0.0.1", "the node is not 10.0.0.12 or 110.0.0.1"),
            ("the é of né", "é", "the the node of né"),
            ("", "e", ""),
        ] {
            assert_eq!(replace_word(text, name, "the node"), expected);
        }
    }

    #[test]
    fn gaps_that_differ_by_addresses_are_a_group() {
        let gaps = [
            node_gap("n1", "connected to 10.9.0.1:443, open"),
            node_gap("n2", "connected to 10.9.0.2:443, open"),
            node_gap("n3", "not from 10.9.0.3"),
            node_gap("n4", "not from 10.9.0.3"),
        ];
        let groups = gap_groups(&gaps);
        let shown: Vec<_> = groups.iter().map(|group| (group.gaps.len(), group.detail.as_str())).collect();
        assert_eq!(shown, [(2, "for the first: connected to 10.9.0.1:443, open"), (2, "not from 10.9.0.3")]);
    }

    #[test]
    fn addresses_are_those_of_hosts() {
        for (text, expected) in [
            ("[2001:db8::1]:443 and 10.0.0.1.", "[ADDRESS]:443 and ADDRESS."),
            ("connect to host 10.0.0.1 port 22: refused", "connect to host ADDRESS port 22: refused"),
            ("10.0.0.0/8, ip-10.0.0.1, 10.0.0.1x, v1.2.3.4", "10.0.0.0/8, ip-10.0.0.1, 10.0.0.1x, v1.2.3.4"),
            ("a: bad, 12:30:00, 1.5 s, :: and :", "a: bad, 12:30:00, 1.5 s, :: and :"),
        ] {
            assert_eq!(without_addresses(text), expected);
        }
    }

    #[test]
    fn gaps_with_another_effect_are_another_group() {
        let mut gaps = [node_gap("n1", "x"), node_gap("n2", "x")];
        gaps[1].needed = false;
        assert_eq!(gap_groups(&gaps).len(), 2);
        gaps[1].needed = true;
        assert_eq!(gap_groups(&gaps).len(), 1);
    }
}
