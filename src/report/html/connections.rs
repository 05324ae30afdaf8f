//! The connections with the API server and the kubelets, those of a node that are alike in one
//! row.

use std::collections::BTreeMap;

use serde::Serialize;

use super::list::{self, List};
use super::words::path_class;
use crate::model::connection::{Connection, Direction, Path};
use crate::model::facts::Facts;
use crate::model::socket::{Host, State};
use crate::report::text::cell;

/// The number of rows.
const ROWS_MAX: usize = 2_000;
/// The number of peers in a row.
const PEERS_MAX: usize = 5;

/// What the connections in a row have in common. Those that are not private come first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a> {
    is_private: bool,
    node: &'a str,
    component: String,
    direction: Direction,
    path: Path,
    state: State,
}

/// A row of the table.
#[derive(Debug, Serialize)]
pub(super) struct ConnectionRow {
    node: String,
    component: String,
    direction: &'static str,
    class: &'static str,
    path: &'static str,
    /// Of connections that are not established.
    state: &'static str,
    peers: Vec<String>,
    more: usize,
    sockets: u64,
}

/// The rows.
pub(super) fn rows(facts: &Facts) -> List<ConnectionRow> {
    let mut rows: BTreeMap<Key<'_>, BTreeMap<String, u64>> = BTreeMap::new();
    let is_shown = |connection: &Connection| {
        connection.socket.state.may_be_open_or_opening() && connection.direction != Direction::None
    };
    for (connection, times) in facts.counted_connections().filter(|(connection, _)| is_shown(connection)) {
        let component = match (connection.component, &connection.process) {
            (Some(component), _) => component.as_str().to_owned(),
            (None, Some(process)) => cell(&process.name),
            (None, None) => "(no name)".to_owned(),
        };
        let (path, state) = (connection.attribution.path, connection.socket.state);
        let is_private =
            state == State::Established && path_class(path) != "public" && path != Path::Unattributed;
        let key = Key {
            is_private,
            node: connection.node.as_str(),
            component,
            direction: connection.direction,
            path,
            state,
        };
        *rows.entry(key).or_default().entry(peer(connection, facts)).or_default() += times;
    }
    let rows: Vec<_> = rows.into_iter().collect();
    list::of(&rows, ROWS_MAX, |(key, peers)| {
        let shown = peers.iter().take(PEERS_MAX);
        let shown =
            shown.map(|(peer, times)| if *times == 1 { peer.clone() } else { format!("{peer} ×{times}") });
        ConnectionRow {
            node: cell(key.node),
            component: key.component.clone(),
            direction: key.direction.as_str(),
            class: path_class(key.path),
            path: key.path.as_str(),
            state: if key.state == State::Established { "" } else { key.state.as_str() },
            peers: shown.collect(),
            more: peers.len().saturating_sub(PEERS_MAX),
            sockets: peers.values().sum(),
        }
    })
}

/// The peer, without the port of a client.
fn peer(connection: &Connection, facts: &Facts) -> String {
    let peer = &connection.socket.peer;
    let address = match (connection.direction, &peer.host) {
        (Direction::Inbound, Host::Ip(ip)) => ip.to_string(),
        _ => cell(&peer.to_string()),
    };
    match connection.attribution.eni {
        Some(index) if connection.attribution.path == Path::Vpc => {
            format!("{address} ({})", facts.interfaces[index].kind.as_str())
        }
        _ => address,
    }
}
