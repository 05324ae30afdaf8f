//! Processes that were restarted while their nodes were sampled.

use std::collections::HashMap;

use super::history::KnownSocket;
use crate::model::connection::Direction;
use crate::model::name::NodeName;
use crate::model::trace::{Change, Sighting};

/// The restarted processes by node and name, each with its ids.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    processes: HashMap<NodeName, HashMap<String, HashMap<u32, Lifetime>>>,
}

/// What the connections of a process show of it.
#[derive(Debug, Default)]
struct Lifetime {
    /// Whether it had one before the action.
    is_old: bool,
    /// Whether it has one that did not end.
    is_alive: bool,
    /// Whether one appeared.
    has_new: bool,
}

impl Lifetime {
    /// Whether it was seen before the action, and all its connections ended.
    fn has_ended(&self) -> bool {
        self.is_old && !self.is_alive
    }

    /// Whether it was seen since the action alone.
    fn has_begun(&self) -> bool {
        !self.is_old && self.has_new
    }
}

impl Restarts {
    /// The restarts among the processes of these sockets: all connections of a process
    /// ended, and others appeared of a process with the same name and another id.
    pub(super) fn new<'a>(sockets: impl Iterator<Item = (&'a NodeName, KnownSocket)>) -> Self {
        let mut processes: HashMap<NodeName, HashMap<String, HashMap<u32, Lifetime>>> = HashMap::new();
        for (node, known) in sockets {
            let Some((name, pid)) = process(&known) else { continue };
            // Without a lookup first, each socket would clone the names.
            let of_node = match processes.get_mut(node) {
                Some(of_node) => of_node,
                None => processes.entry(node.clone()).or_default(),
            };
            let ids = match of_node.get_mut(name) {
                Some(ids) => ids,
                None => of_node.entry(name.to_owned()).or_default(),
            };
            let lifetime = ids.entry(pid).or_default();
            lifetime.is_old |= known.presence.before == Sighting::Present;
            lifetime.is_alive |= !known.presence.has_ended;
            lifetime.has_new |= matches!(known.presence.change(), Some(Change::Appeared | Change::Transient));
        }
        for of_node in processes.values_mut() {
            of_node.retain(|_, ids| {
                ids.values().any(Lifetime::has_ended) && ids.values().any(Lifetime::has_begun)
            });
        }
        Self { processes }
    }

    /// Whether a connection changed because its process was restarted. An inbound one that
    /// appeared has another reason.
    pub(super) fn contain(&self, node: &NodeName, known: &KnownSocket, direction: Direction) -> bool {
        let Some((name, pid)) = process(known) else { return false };
        let ids = self.processes.get(node).and_then(|of_node| of_node.get(name));
        let Some(own) = ids.and_then(|ids| ids.get(&pid)) else { return false };
        match known.presence.change() {
            Some(Change::Gone) => own.has_ended(),
            Some(Change::Appeared | Change::Transient) => own.has_begun() && direction != Direction::Inbound,
            None => false,
        }
    }
}

fn process(known: &KnownSocket) -> Option<(&str, u32)> {
    let process = known.process.as_ref()?;
    Some((&process.name, process.pid?))
}
