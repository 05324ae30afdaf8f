//! Short names of nodes.

use std::collections::HashSet;
use std::net::IpAddr;

use crate::model::facts::Facts;
use crate::model::name::NodeName;

/// The names of nodes in tables: the first label of a DNS name, if no two nodes share one.
pub(super) struct Names {
    are_short: bool,
}

impl Names {
    pub(super) fn of(facts: &Facts) -> Self {
        Self::new(facts.nodes.iter().map(|node| &node.name))
    }

    pub(super) fn new<'a>(mut names: impl Iterator<Item = &'a NodeName>) -> Self {
        let mut seen = HashSet::new();
        Self { are_short: names.all(|name| seen.insert(first_label(name.as_str()))) }
    }

    pub(super) fn name<'a>(&self, node: &'a NodeName) -> &'a str {
        self.short(node.as_str())
    }

    /// The same for the name of a place, which may be a node.
    pub(super) fn short<'a>(&self, place: &'a str) -> &'a str {
        if self.are_short { first_label(place) } else { place }
    }
}

fn first_label(name: &str) -> &str {
    // user@10.0.0.1 has no labels.
    let host = name.rsplit('@').next().unwrap_or(name);
    if host.parse::<IpAddr>().is_ok() { name } else { name.split('.').next().unwrap_or(name) }
}
