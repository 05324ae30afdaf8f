//! Parts of the text and of the commands of steps.

use crate::model::facts::Facts;
use crate::model::name::NodeName;
use crate::model::shell::shell_word;
use crate::model::text::list;

/// How many nodes a step names.
pub(super) const NODES_SHOWN: usize = 10;

/// Some names of nodes as text.
pub(crate) fn names_of(nodes: &[&NodeName]) -> String {
    list(&nodes.iter().map(|node| node.as_str()).collect::<Vec<_>>(), NODES_SHOWN)
}

/// The option of the aws CLI with the cluster's region.
pub(crate) fn region(facts: &Facts) -> String {
    let region = facts.evidence.cluster.region();
    region.map(|region| format!(" --region {}", shell_word(region, "REGION"))).unwrap_or_default()
}
