//! How the nodes were read, in words.

use std::collections::BTreeMap;

use crate::model::facts::Facts;
use crate::model::node::Via;

/// How the nodes were read, each way with its number of nodes; `None` if there are none.
#[must_use]
pub(super) fn read_by(facts: &Facts) -> Option<String> {
    let mut ways: BTreeMap<Option<Via>, usize> = BTreeMap::new();
    for node in &facts.nodes {
        *ways.entry(node.via).or_default() += 1;
    }
    // Those that were not read are the last.
    let unread = ways.remove(&None).map(|number| format!("{number} not read"));
    let read = ways.into_iter().filter_map(|(via, number)| Some(format!("{number} {}", words(via?))));
    let parts: Vec<_> = read.chain(unread).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn words(via: Via) -> &'static str {
    match via {
        Via::Ssh => "read by ssh",
        Via::Kubectl => "read by kubectl",
        Via::Ssm => "read by ssm",
        Via::Bundle => "from bundles",
        Via::File => "from files",
    }
}
