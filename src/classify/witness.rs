//! The inbound connections that no sample shows: the kernel counts all that are opened.

use std::collections::{BTreeMap, HashSet};

use super::Key;
use crate::model::name::NodeName;
use crate::model::socket::{Host, Port, Socket, State};

/// The largest number of connections of a node that are kept.
const CONNECTIONS_MAX: usize = 200_000;

/// The connections of all nodes, as of the baseline of each and since.
#[derive(Debug, Default)]
pub struct Witness {
    nodes: BTreeMap<NodeName, NodeWitness>,
}

/// The connections of a node.
#[derive(Debug, Default)]
struct NodeWitness {
    /// The ports on which a process listens.
    listening: HashSet<u16>,
    /// Whether there was a baseline.
    has_baseline: bool,
    /// The connections of the baseline.
    before: HashSet<Key>,
    /// Further ones.
    opened: HashSet<Key>,
    /// Whether there were more than are kept.
    is_full: bool,
}

impl Witness {
    /// Begins the baseline of a node. The connections that are opened are counted from it
    /// on.
    pub fn begin_baseline(&mut self, node: &NodeName) {
        let known = self.nodes.entry(node.clone()).or_default();
        let listening = std::mem::take(&mut known.listening);
        *known = NodeWitness { listening, has_baseline: true, ..NodeWitness::default() };
    }

    /// Adds a socket of a sample, or one that was closed.
    pub fn add(&mut self, node: &NodeName, socket: &Socket, is_baseline: bool) {
        let Port::Number(port) = socket.local.port else { return };
        if !self.nodes.contains_key(node) {
            self.nodes.insert(node.clone(), NodeWitness::default());
        }
        let Some(known) = self.nodes.get_mut(node) else { return };
        if socket.state == State::Listen {
            known.listening.insert(port);
            return;
        }
        let is_connection = matches!((&socket.peer.host, &socket.peer.port), (Host::Ip(_), Port::Number(_)));
        // A connection that is still being opened is not counted by the kernel yet.
        let is_opened = socket.state != State::SynRecv;
        if !known.has_baseline || !is_connection || !is_opened || !known.listening.contains(&port) {
            return;
        }
        if known.before.len() + known.opened.len() >= CONNECTIONS_MAX {
            known.is_full = true;
            return;
        }
        let key = (socket.local.clone(), socket.peer.clone());
        if is_baseline {
            known.before.insert(key);
        } else if !known.before.contains(&key) {
            known.opened.insert(key);
        }
    }

    /// The largest number of inbound connections of a node that were not seen; `opened` is
    /// the number that its kernel counted. A connection that opened just before the
    /// baseline, or from the same port as an earlier one, makes it too large. `None` if it is
    /// not known, or more were seen than were counted, as if the end of an earlier one was
    /// reported late.
    #[must_use]
    pub fn unseen(&self, node: &NodeName, opened: u64) -> Option<u64> {
        let known = self.nodes.get(node).filter(|known| known.has_baseline && !known.is_full)?;
        opened.checked_sub(known.opened.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::testing::at;

    #[test]
    fn connections_that_no_sample_shows_are_counted() {
        let node: NodeName = "n1".parse().expect("a name");
        let mut witness = Witness::default();
        let row = |state, local: &str, peer: &str| Socket { state, local: at(local), peer: at(peer) };
        // Before the baseline nothing is counted.
        witness.add(&node, &row(State::Established, "10.0.0.1:10250", "10.0.0.9:1"), false);
        assert_eq!(witness.unseen(&node, 3), None);
        witness.add(&node, &row(State::Listen, "*:10250", "*:*"), false);
        witness.begin_baseline(&node);
        let mut add = |local: &str, peer: &str, is_baseline| {
            witness.add(&node, &row(State::Established, local, peer), is_baseline);
        };
        add("10.0.0.1:10250", "10.0.0.9:1", true);
        for _ in 0..2 {
            add("10.0.0.1:10250", "10.0.0.9:1", false);
            add("10.0.0.1:10250", "10.0.0.9:2", false);
            // Outbound.
            add("10.0.0.1:40000", "10.0.0.9:443", false);
        }
        assert_eq!(witness.unseen(&node, 3), Some(2));
        assert_eq!(witness.unseen(&node, 1), Some(0));
        assert_eq!(witness.unseen(&node, 0), None);
    }
}
