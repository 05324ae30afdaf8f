//! The connections that changed between samples, and whether the action may be the reason.

use std::collections::{HashMap, HashSet};

use super::Classifier;
use crate::classify::history::{History, KnownSocket};
use crate::model::connection::{Component, Connection, Direction, Path};
use crate::model::name::NodeName;
use crate::model::socket::SocketAddress;
use crate::model::trace::{EniRef, Phase, TracedConnection};

/// Container runtimes: the kubelet passes the stream of an exec, an attach or a
/// port-forward to one of them over loopback.
const RUNTIMES: [&str; 4] = ["containerd", "crio", "dockerd", "cri-dockerd"];

/// The connections that changed, and those between API server and nodes that did not;
/// sorted. Each is classified by the evidence of the time at which it last existed.
#[must_use]
pub fn connections(history: &History, before: &Classifier, after: &Classifier) -> Vec<TracedConnection> {
    let mut by_node: HashMap<&NodeName, Vec<(KnownSocket, Connection)>> = HashMap::new();
    for (node, known) in history.sockets().filter(|(node, _)| history.is_comparable(node)) {
        let classifier = if existed_only_before(&known) { before } else { after };
        let connection =
            classifier.connection(node, known.socket.clone(), known.component, known.process.clone());
        // The other end of a stream that changed need not have changed.
        let is_wanted = is_shown(&known, &connection) || connection.attribution.path == Path::Loopback;
        if is_wanted {
            by_node.entry(node).or_default().push((known, connection));
        }
    }
    let mut traced = Vec::new();
    for all in by_node.into_values() {
        let streams = streams(&all);
        for (known, connection) in all {
            if !is_shown(&known, &connection) {
                continue;
            }
            let change = known.presence.change();
            let is_late = known.first_phase == Phase::After;
            let is_stream =
                streams.contains(&(connection.socket.local.clone(), connection.socket.peer.clone()));
            let is_background = change.is_some() && (is_late || !(shows_path(&connection) || is_stream));
            let classifier = if existed_only_before(&known) { before } else { after };
            let eni = connection.attribution.eni.and_then(|index| classifier.interface(index));
            traced.push(TracedConnection {
                eni: eni.map(|eni| EniRef { id: eni.interface.id.clone(), kind: eni.kind }),
                presence: known.presence,
                is_background,
                samples: known.samples,
                seen: known.seen,
                connection,
            });
        }
    }
    traced.sort_by(|a, b| a.connection.cmp(&b.connection));
    traced
}

/// Whether it existed before the action only.
fn existed_only_before(known: &KnownSocket) -> bool {
    known.presence.before && !known.presence.during && !known.presence.after
}

fn is_shown(known: &KnownSocket, connection: &Connection) -> bool {
    known.presence.change().is_some() || (shows_path(connection) && known.presence.before)
}

/// Whether a connection shows the path between a node and the API server.
fn shows_path(connection: &Connection) -> bool {
    let path = connection.attribution.path;
    connection.direction != Direction::None && (path.is_api_server() || path == Path::Unattributed)
}

/// Both ends of the loopback connections between kubelet and container runtime.
fn streams(all: &[(KnownSocket, Connection)]) -> HashSet<(SocketAddress, SocketAddress)> {
    let loopback = all.iter().filter(|(_, connection)| connection.attribution.path == Path::Loopback);
    let names: HashMap<_, _> = loopback
        .map(|(_, connection)| {
            let socket = &connection.socket;
            ((&socket.local, &socket.peer), connection.process.as_ref().map(|process| process.name.as_str()))
        })
        .collect();
    let is_runtime = |name: Option<&str>| name.is_some_and(|name| RUNTIMES.contains(&name));
    // A socket of which only the close was reported has no process.
    let is_kubelet = |name: Option<&str>| name.is_none_or(|name| name == Component::Kubelet.as_str());
    let mut streams = HashSet::new();
    for (&(local, peer), &name) in &names {
        let Some(&other) = names.get(&(peer, local)) else { continue };
        if is_runtime(name) && is_kubelet(other) {
            streams.insert((local.clone(), peer.clone()));
            streams.insert((peer.clone(), local.clone()));
        }
    }
    streams
}
