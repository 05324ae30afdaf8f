//! Parts of the text of steps.

use crate::model::name::NodeName;
use crate::model::text::list;

/// How many nodes a step names.
pub(super) const NODES_SHOWN: usize = 10;

/// Some names of nodes as text.
pub(crate) fn names_of(nodes: &[&NodeName]) -> String {
    list(&nodes.iter().map(|node| node.as_str()).collect::<Vec<_>>(), NODES_SHOWN)
}
