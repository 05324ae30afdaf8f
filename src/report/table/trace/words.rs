//! Nodes, processes and peers in words.

use std::collections::BTreeSet;

use crate::model::connection::Connection;
use crate::model::name::NodeName;
use crate::model::socket::Host;
use crate::report::names::Names;
use crate::report::style::count;
use crate::report::text::cell;

/// The number of nodes that a sentence names; of more it has the number.
const NODES_NAMED: usize = 5;

/// The names of some nodes, or their number.
pub(super) fn name_nodes(nodes: &BTreeSet<&NodeName>, names: &Names) -> String {
    if nodes.len() > NODES_NAMED {
        return count(nodes.len(), "node");
    }
    nodes.iter().map(|node| names.name(node)).collect::<Vec<_>>().join(", ")
}

/// The name of the process of a connection.
pub(super) fn process(connection: &Connection) -> String {
    match (connection.component, &connection.process) {
        (Some(component), _) => component.as_str().to_owned(),
        (None, Some(process)) => cell(&process.name),
        (None, None) => "(no name)".to_owned(),
    }
}

/// The peer without its port, which is arbitrary for a client.
pub(super) fn address(connection: &Connection) -> String {
    match connection.socket.peer.host {
        Host::Ip(ip) => ip.to_string(),
        _ => connection.socket.peer.to_string(),
    }
}
