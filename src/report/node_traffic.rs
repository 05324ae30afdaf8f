//! The answer to the tool's question, as the sentence that every format has: which path the
//! nodes' traffic takes, in a cluster and in several.

use super::answer::{PATHS, traffic, why_it_passes};
use super::names::Names;
use super::style::count;
use crate::model::audit::Audited;
use crate::model::facts::Facts;
use crate::model::traffic::TrafficPath;

/// The path of the nodes' traffic in a cluster, below its verdict: `node traffic: private on 2 of 2
/// nodes`.
pub(super) fn sentence(audited: &Audited, paint: impl Fn(TrafficPath, &str) -> String) -> String {
    let facts = &audited.facts;
    let why = why_it_passes(audited).map(|why| format!("; {why}")).unwrap_or_default();
    format!("{SUBJECT}: {}{why}", traffic(facts, &Names::of(facts), paint))
}

/// The path alone. What it is made of was validated.
pub(super) fn words(facts: &Facts) -> String {
    traffic(facts, &Names::of(facts), |_, words| words.to_owned())
}

/// What the sentence is about.
pub(super) const SUBJECT: &str = "node traffic";

/// The nodes of a cluster by the path of their traffic.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct NodeCounts {
    /// Their numbers, in the order of [`PATHS`].
    pub(super) by_path: [usize; PATHS.len()],
    /// The number of known nodes that were not read.
    pub(super) unread: usize,
    /// Whether it is known that there are no nodes.
    pub(super) has_none: bool,
}

impl NodeCounts {
    pub(super) fn of(facts: &Facts) -> Self {
        let of_path = |path| facts.traffic.iter().filter(|traffic| traffic.path == path).count();
        Self {
            by_path: PATHS.map(|(path, _)| of_path(path)),
            unread: facts.unread_nodes(),
            has_none: facts.evidence.has_no_nodes(),
        }
    }

    /// Whether it is not known how many nodes there are, and none was read.
    fn is_unknown(&self) -> bool {
        self.unread == 0 && !self.has_none && self.by_path.iter().all(|number| *number == 0)
    }

    /// The paths of the nodes: `1 public, 2 private, 3 not read`.
    pub(super) fn text(&self, paint: impl Fn(TrafficPath, &str) -> String) -> String {
        let numbers = PATHS.iter().zip(self.by_path).filter(|(_, number)| *number > 0);
        let unread = (self.unread > 0).then(|| format!("{} not read", self.unread));
        let parts: Vec<_> = numbers
            .map(|((path, words), number)| format!("{number} {}", paint(*path, words)))
            .chain(unread)
            .collect();
        match parts.as_slice() {
            [] if self.has_none => "no node".to_owned(),
            [] => "not known".to_owned(),
            parts => parts.join(", "),
        }
    }
}

/// The path of the nodes' traffic in several clusters, as [`sentence`]; `None` if there are no
/// nodes.
pub(super) fn of_all<'a>(
    clusters: impl Iterator<Item = &'a NodeCounts>,
    paint: impl Fn(TrafficPath, &str) -> String,
) -> Option<String> {
    let (mut by_path, mut unread, mut unknown) = ([0; PATHS.len()], 0, 0);
    for cluster in clusters {
        for (sum, number) in by_path.iter_mut().zip(cluster.by_path) {
            *sum += number;
        }
        unread += cluster.unread;
        unknown += usize::from(cluster.is_unknown());
    }
    let all: usize = by_path.iter().sum();
    let parts = PATHS.iter().zip(by_path).filter(|(_, number)| *number > 0);
    let parts = parts.map(|((path, words), number)| {
        format!("{} on {number} of {}", paint(*path, words), count(all, "node"))
    });
    let unread = match (unread, all) {
        (0, _) => None,
        (number, 0) => Some(format!("not known, since none of {} was read", count(number, "node"))),
        (1, _) => Some("not known on 1 more node, which was not read".to_owned()),
        (number, _) => Some(format!("not known on {number} more nodes, which were not read")),
    };
    let unknown = (unknown > 0)
        .then(|| format!("not known in {}, of which no node was read", count(unknown, "cluster")));
    let parts: Vec<_> = parts.chain(unread).chain(unknown).collect();
    (!parts.is_empty()).then(|| format!("{SUBJECT}: {}", parts.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_that_were_not_read_are_counted() {
        let counts = |by_path, unread, has_none| NodeCounts { by_path, unread, has_none };
        let none = [0; PATHS.len()];
        let private = [0, 0, 2, 0, 0];
        for (clusters, cells, expected) in [
            (vec![counts(private, 0, false)], vec!["2 private"], Some("private on 2 of 2 nodes")),
            (
                vec![counts(private, 997, false), counts(none, 1, false)],
                vec!["2 private, 997 not read", "1 not read"],
                Some("private on 2 of 2 nodes, not known on 998 more nodes, which were not read"),
            ),
            (
                vec![counts(none, 3, false)],
                vec!["3 not read"],
                Some("not known, since none of 3 nodes was read"),
            ),
            (
                vec![counts(private, 0, false), counts(none, 0, false)],
                vec!["2 private", "not known"],
                Some("private on 2 of 2 nodes, not known in 1 cluster, of which no node was read"),
            ),
            (vec![counts(none, 0, true)], vec!["no node"], None),
        ] {
            let paint = |_, words: &str| words.to_owned();
            let shown: Vec<_> = clusters.iter().map(|counts| counts.text(paint)).collect();
            assert_eq!(shown, cells);
            let expected = expected.map(|text| format!("node traffic: {text}"));
            assert_eq!(of_all(clusters.iter(), paint), expected);
        }
    }
}
