//! Groups of nodes that are alike, and of gaps with one cause: reports show a group where it
//! would be long to show each.

use std::collections::HashMap;
use std::hash::Hash;
use std::mem::{Discriminant, discriminant};

use super::facts::Facts;
use super::gap::{GapReason, Subject};
use super::judgment::JudgedGap;
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
}

impl Facts {
    /// The nodes that are alike: those that are private last, otherwise the most nodes first.
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
        groups.sort_by_key(|group| (group.is_private(), std::cmp::Reverse(group.nodes.len())));
        groups
    }
}

/// Gaps of one kind and with one cause, and with the same effect on the judgment.
#[derive(Debug)]
pub struct GapGroup<'a> {
    /// The cause. If there are several gaps, what the subject of each is named is `NAME` in it.
    pub detail: String,
    /// The gaps, in the order of the judgment.
    pub gaps: Vec<&'a JudgedGap>,
}

/// What the gaps of a group have in common.
#[derive(PartialEq, Eq, Hash)]
struct GapKey<'a> {
    kind: Discriminant<Subject>,
    /// Of a subject that has no name.
    subject: Option<&'a Subject>,
    why: GapReason,
    detail: String,
    needed: bool,
    rules: Vec<&'static str>,
    /// The line of the policy that accepts it.
    accepted: Option<usize>,
}

/// The gaps that are alike, in the order of the judgment.
#[must_use]
pub fn gap_groups(gaps: &[JudgedGap]) -> Vec<GapGroup<'_>> {
    let groups = grouped(gaps.iter(), |judged| {
        let subject = &judged.gap.subject;
        GapKey {
            kind: discriminant(subject),
            subject: subject.name().is_none().then_some(subject),
            why: judged.gap.why,
            detail: without_name(judged),
            needed: judged.needed,
            rules: judged.rules.iter().map(|rule| rule.id).collect(),
            accepted: judged.accepted.as_ref().map(|accepted| accepted.line),
        }
    });
    groups.into_iter().map(GapGroup::new).collect()
}

impl<'a> GapGroup<'a> {
    fn new(gaps: Vec<&'a JudgedGap>) -> Self {
        let detail = match gaps.as_slice() {
            [only] => only.gap.detail.clone(),
            several => without_name(several[0]),
        };
        Self { detail, gaps }
    }
}

fn without_name(judged: &JudgedGap) -> String {
    let detail = &judged.gap.detail;
    judged.gap.subject.name().map_or_else(|| detail.clone(), |name| detail.replace(name, "NAME"))
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
    use crate::model::gap::Gap;

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
        assert_eq!(shown, [(2, "ssh: NAME: no route"), (1, "ssh: n3: timed out")]);
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
