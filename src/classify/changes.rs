//! What changed between looks at the nodes, and whether the action may be why.

use std::collections::{HashMap, HashSet};

use super::Classifier;
use crate::classify::history::{History, Seen};
use crate::model::connection::{Component, Connection, Direction, Path};
use crate::model::name::NodeName;
use crate::model::socket::SocketAddress;
use crate::model::trace::{EniRef, Phase, TracedConnection};

/// The programs that run containers: the kubelet hands the stream of an exec, an
/// attach or a port-forward on to one of them, over loopback.
const RUNTIMES: [&str; 4] = ["containerd", "crio", "dockerd", "cri-dockerd"];

/// What changed, and the API server's connections that did not; sorted. Each is
/// classified by what was known when it was last seen.
#[must_use]
pub fn connections(history: &History, before: &Classifier, after: &Classifier) -> Vec<TracedConnection> {
    let mut by_node: HashMap<&NodeName, Vec<(Seen, Connection)>> = HashMap::new();
    for (node, seen) in history.seen().filter(|(node, _)| history.is_comparable(node)) {
        let classifier = if is_of_before(&seen) { before } else { after };
        let connection =
            classifier.connection(node, seen.socket.clone(), seen.component, seen.process.clone());
        // The other end of a stream that changed may itself not have.
        let is_wanted = is_shown(&seen, &connection) || connection.attribution.path == Path::Loopback;
        if is_wanted {
            by_node.entry(node).or_default().push((seen, connection));
        }
    }
    let mut traced = Vec::new();
    for all in by_node.into_values() {
        let streams = streams(&all);
        for (seen, connection) in all {
            if !is_shown(&seen, &connection) {
                continue;
            }
            let change = seen.presence.change();
            let is_late = seen.first_phase == Phase::After;
            let is_stream =
                streams.contains(&(connection.socket.local.clone(), connection.socket.peer.clone()));
            let is_background = change.is_some() && (is_late || !(tells_way(&connection) || is_stream));
            let classifier = if is_of_before(&seen) { before } else { after };
            let eni = connection.attribution.eni.and_then(|index| classifier.interface(index));
            traced.push(TracedConnection {
                eni: eni.map(|known| EniRef { id: known.interface.id.clone(), kind: known.kind }),
                presence: seen.presence,
                is_background,
                samples: seen.samples,
                seen: seen.seen,
                connection,
            });
        }
    }
    traced.sort_by(|a, b| a.connection.cmp(&b.connection));
    traced
}

/// Whether it is told by what was known before alone.
fn is_of_before(seen: &Seen) -> bool {
    seen.presence.before && !seen.presence.during && !seen.presence.after
}

fn is_shown(seen: &Seen, connection: &Connection) -> bool {
    seen.presence.change().is_some() || (tells_way(connection) && seen.presence.before)
}

/// Whether a connection tells how node and API server reach each other.
fn tells_way(connection: &Connection) -> bool {
    let path = connection.attribution.path;
    connection.direction != Direction::None && (path.is_api_server() || path == Path::Unattributed)
}

/// Both ends of the loopback connections between kubelet and container runtime.
fn streams(all: &[(Seen, Connection)]) -> HashSet<(SocketAddress, SocketAddress)> {
    let loopback = all.iter().filter(|(_, connection)| connection.attribution.path == Path::Loopback);
    let names: HashMap<_, _> = loopback
        .map(|(_, connection)| {
            let socket = &connection.socket;
            ((&socket.local, &socket.peer), connection.process.as_ref().map(|process| process.name.as_str()))
        })
        .collect();
    let is_runtime = |name: Option<&str>| name.is_some_and(|name| RUNTIMES.contains(&name));
    // Where only its end was told, the kubelet's own side has no name.
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
