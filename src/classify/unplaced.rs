//! The processes with connections to public addresses that nothing explains, by node.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::name::NodeName;
use crate::model::socket::Process;

/// How many processes of a node are kept: the first ones by name.
const KEPT: usize = 20;

/// The `comm` of programs that a node runs and that are no clients of an API server: the SSM
/// agent, and what pulls images.
const OTHERS: [&str; 8] = [
    "amazon-ssm-agen",
    "ssm-agent-worke",
    "ssm-document-wo",
    "ssm-session-wor",
    "containerd",
    "dockerd",
    "ecr-credential-",
    "crio",
];

/// The processes so far.
#[derive(Debug, Default)]
pub(super) struct Unplaced(BTreeMap<NodeName, BTreeSet<Option<String>>>);

impl Unplaced {
    /// Adds the process of a connection; `None` if its row lists none.
    pub(super) fn add(&mut self, node: &NodeName, process: Option<&Process>) {
        let name = process.map(|process| process.name.as_str());
        if name.is_some_and(|name| OTHERS.contains(&name)) {
            return;
        }
        let own = match self.0.get_mut(node) {
            Some(own) => own,
            None => self.0.entry(node.clone()).or_default(),
        };
        own.insert(name.map(str::to_owned));
        if own.len() > KEPT {
            own.pop_last();
        }
    }

    /// The processes.
    pub(super) fn finish(self) -> BTreeMap<NodeName, BTreeSet<Option<String>>> {
        self.0
    }
}
