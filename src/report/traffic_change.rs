//! The changes of the paths of the nodes' traffic between two recordings, as sentences.

use std::collections::{BTreeMap, BTreeSet};

use super::answer::path_words;
use super::names::Names;
use super::style::count;
use crate::model::connection::Component;
use crate::model::name::NodeName;
use crate::model::text::list;
use crate::model::trace::TrafficChange;
use crate::model::traffic::TrafficPath;

/// How many names a sentence has; of more nodes it has the number.
const NAMED: usize = 5;
/// How many different changes get a sentence; the nodes of the others are counted.
const SENTENCES_MAX: usize = 4;

/// What is said first of recordings of different clusters with the same name.
pub(super) const OTHER_CLUSTER: &str = "the two recordings are of different clusters with the same name, so what differs between them is no change of one cluster; see below.";

/// A change of one component: which paths it left and took.
type Move = (TrafficPath, TrafficPath);

/// The changes, a sentence for all nodes on which the same changed; the most nodes first. What it
/// is made of was validated.
/// `paint` may mark the words of a path.
pub(super) fn sentences(
    changes: &[TrafficChange],
    names: &Names,
    paint: impl Fn(TrafficPath, &str) -> String,
) -> Vec<String> {
    let mut of_nodes: BTreeMap<&NodeName, BTreeMap<Move, BTreeSet<Component>>> = BTreeMap::new();
    for change in changes {
        let moves = of_nodes.entry(&change.node).or_default();
        moves.entry((change.before, change.after)).or_default().insert(change.component);
    }
    let mut groups: BTreeMap<BTreeMap<Move, BTreeSet<Component>>, Vec<&str>> = BTreeMap::new();
    for (node, moves) in of_nodes {
        groups.entry(moves).or_default().push(names.name(node));
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, nodes)| std::cmp::Reverse(nodes.len()));
    let more: usize = groups.iter().skip(SENTENCES_MAX).map(|(_, nodes)| nodes.len()).sum();
    let sentences = groups.iter().take(SENTENCES_MAX).map(|(moves, nodes)| {
        let moves: Vec<_> = moves
            .iter()
            .map(|((before, after), components)| {
                let components: Vec<_> = components.iter().map(|one| one.as_str()).collect();
                let [before, after] = [before, after].map(|path| paint(*path, path_words(*path)));
                format!("{} went from {before} to {after}", components.join(" and "))
            })
            .collect();
        let nodes = if nodes.len() > NAMED { count(nodes.len(), "node") } else { list(nodes, NAMED) };
        format!("{} on {nodes}.", moves.join(", "))
    });
    let others = (more > 0).then(|| format!("The path changed otherwise on {}.", count(more, "more node")));
    sentences.chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::connection::Component::{KubeProxy, Kubelet};
    use crate::model::traffic::TrafficPath::{Mixed, None as Hanging, Private, Public};

    fn of(changes: &[(&str, Component, TrafficPath, TrafficPath)]) -> Vec<String> {
        let changes: Vec<_> = changes
            .iter()
            .map(|(node, component, before, after)| TrafficChange {
                node: node.parse().expect("a name of a node"),
                component: *component,
                before: *before,
                after: *after,
            })
            .collect();
        let names = Names::new(changes.iter().map(|change| &change.node));
        sentences(&changes, &names, |_, words| words.to_owned())
    }

    #[test]
    fn nodes_on_which_the_same_changed_are_one_sentence() {
        assert_eq!(of(&[]), Vec::<String>::new());
        assert_eq!(
            of(&[
                ("a", Kubelet, Private, Hanging),
                ("b", KubeProxy, Private, Public),
                ("b", Kubelet, Private, Public),
                ("c", KubeProxy, Private, Public),
                ("c", Kubelet, Private, Public),
                ("d", KubeProxy, Public, Mixed),
                ("d", Kubelet, Public, Private),
            ]),
            [
                "kubelet and kube-proxy went from private to public on b, c.",
                "kubelet went from public to private, kube-proxy went from public to partly public on d.",
                "kubelet went from private to hanging in SYN-SENT on a.",
            ]
        );
        let many: Vec<_> = (0..998).map(|at| format!("n{at}")).collect();
        let many: Vec<_> = many.iter().map(|node| (node.as_str(), Kubelet, Private, Public)).collect();
        assert_eq!(of(&many), ["kubelet went from private to public on 998 nodes."]);
    }
}
