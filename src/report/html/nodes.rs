//! The nodes: groups of those that are alike, and a table of all.

use serde::Serialize;

use super::list::{self, List};
use super::words::{count, traffic_class};
use crate::model::connection::Component;
use crate::model::facts::Facts;
use crate::model::groups::NodeGroup;
use crate::model::node::{Node, NodeStatus};
use crate::model::traffic::NodeTraffic;
use crate::report::text::cell;

/// The number of rows of the table.
const ROWS_MAX: usize = 10_000;
/// The number of names that a group lists.
const NAMES_MAX: usize = 2_000;

/// All nodes of a cluster.
#[derive(Debug, Serialize)]
pub(super) struct NodesView {
    total: usize,
    /// Whether none exists.
    is_none: bool,
    groups: Vec<GroupView>,
    rows: List<NodeRow>,
    has_skipped: bool,
}

/// Nodes that are alike.
#[derive(Debug, Serialize)]
struct GroupView {
    class: &'static str,
    title: String,
    names: String,
}

/// A row of the table.
#[derive(Debug, Serialize)]
struct NodeRow {
    name: String,
    class: &'static str,
    path: &'static str,
    kubelet: &'static str,
    kube_proxy: &'static str,
    status: &'static str,
    via: &'static str,
    sockets: u64,
    skipped: u64,
}

impl NodesView {
    pub(super) fn new(facts: &Facts) -> Self {
        let groups = facts.node_groups();
        // In the order of the groups: trouble comes first.
        let all: Vec<_> =
            groups.iter().flat_map(|group| group.nodes.iter().map(|node| (*node, group.traffic))).collect();
        Self {
            total: facts.nodes.len(),
            is_none: facts.evidence.has_no_nodes(),
            groups: groups.iter().map(GroupView::new).collect(),
            rows: list::of(&all, ROWS_MAX, |(node, traffic)| NodeRow::new(node, traffic)),
            has_skipped: facts.nodes.iter().any(|node| node.tally.rejected > 0),
        }
    }
}

impl GroupView {
    fn new(group: &NodeGroup<'_>) -> Self {
        let NodeGroup { status, traffic, nodes } = group;
        let components = traffic.components.iter();
        let paths: Vec<_> = if traffic.components.iter().all(|one| one.path == traffic.path) {
            let names: Vec<_> = components.map(|one| one.component.as_str()).collect();
            vec![format!("{} {}", names.join(" and "), traffic.path.as_str())]
        } else {
            components.map(|one| format!("{} {}", one.component.as_str(), one.path.as_str())).collect()
        };
        let read = match status {
            NodeStatus::Read => String::new(),
            NodeStatus::NoProcessNames => "read without process names; ".to_owned(),
            NodeStatus::Unreachable => "not read; ".to_owned(),
            NodeStatus::NotSupported => "not supported; ".to_owned(),
            NodeStatus::Malformed => "capture malformed; ".to_owned(),
        };
        Self {
            class: traffic_class(traffic.path),
            title: format!("{}: {read}{}", count(nodes.len(), "node"), paths.join(", ")),
            names: list::names(nodes.iter().map(|node| node.name.as_str()), NAMES_MAX),
        }
    }
}

impl NodeRow {
    fn new(node: &Node, traffic: &NodeTraffic) -> Self {
        let of = |component| {
            let path = traffic.components.iter().find(|one| one.component == component);
            path.map_or("–", |one| one.path.as_str())
        };
        Self {
            name: cell(node.name.as_str()),
            class: traffic_class(traffic.path),
            path: traffic.path.as_str(),
            kubelet: of(Component::Kubelet),
            kube_proxy: of(Component::KubeProxy),
            status: node.status.as_str(),
            via: node.via.map_or("–", |via| via.as_str()),
            sockets: node.sockets(),
            skipped: node.tally.rejected,
        }
    }
}
