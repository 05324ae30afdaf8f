//! The connections that changed between samples, and whether the action may be the reason.

use std::collections::{HashMap, HashSet};

use super::Classifier;
use super::restarts::Restarts;
use crate::classify::history::{History, KnownSocket};
use crate::model::connection::{Component, Connection, Direction, Path};
use crate::model::name::NodeName;
use crate::model::socket::SocketAddress;
use crate::model::trace::{Change, EniRef, Phase, Role, Sighting, TracedConnection};

/// Container runtimes: the kubelet passes the stream of an exec, an attach or a
/// port-forward to one of them over loopback.
const RUNTIMES: [&str; 4] = ["containerd", "crio", "dockerd", "cri-dockerd"];

/// The connections that changed, and those between API server and nodes that did not, or
/// of which that is not known; sorted. Each is classified by the evidence of the time at
/// which it last existed. `has_action` if something was run between the samples.
#[must_use]
pub fn connections(
    history: &History,
    before: &Classifier,
    after: &Classifier,
    has_action: bool,
) -> Vec<TracedConnection> {
    let restarts = if has_action { Restarts::new(history.sockets()) } else { Restarts::default() };
    let mut by_node: HashMap<&NodeName, Vec<(KnownSocket, Connection)>> = HashMap::new();
    for (node, known) in history.sockets() {
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
    for (node, all) in by_node {
        let streams = streams(&all);
        for (known, connection) in all {
            if !is_shown(&known, &connection) {
                continue;
            }
            let is_stream =
                streams.contains(&(connection.socket.local.clone(), connection.socket.peer.clone()));
            let is_restart = shows_path(&connection) && restarts.contain(node, &known, connection.direction);
            let role =
                if is_restart { Role::Restart } else { role(&known, &connection, is_stream, has_action) };
            let classifier = if existed_only_before(&known) { before } else { after };
            let eni = connection.attribution.eni.and_then(|index| classifier.interface(index));
            traced.push(TracedConnection {
                eni: eni.map(|eni| EniRef { id: eni.interface.id.clone(), kind: eni.kind }),
                presence: known.presence,
                role,
                samples: known.samples,
                seen: known.seen,
                connection,
            });
        }
    }
    traced.sort_by(|a, b| a.connection.cmp(&b.connection));
    traced
}

/// The role of a connection that no restart explains.
fn role(known: &KnownSocket, connection: &Connection, is_stream: bool, has_action: bool) -> Role {
    let change = known.presence.change();
    let is_late = change.is_some() && known.first_phase == Phase::After;
    if is_late || !(is_stream || shows_path(connection)) {
        return Role::Other;
    }
    let is_old = has_action && change == Some(Change::Gone);
    match connection.direction {
        Direction::Inbound | Direction::None if is_old => Role::Pool,
        Direction::Inbound => Role::Inbound,
        _ if is_stream => Role::Stream,
        Direction::Outbound | Direction::None => Role::Outbound,
    }
}

/// Whether it existed before the action only.
fn existed_only_before(known: &KnownSocket) -> bool {
    let presence = known.presence;
    presence.before == Sighting::Present
        && presence.during != Sighting::Present
        && presence.after != Sighting::Present
}

fn is_shown(known: &KnownSocket, connection: &Connection) -> bool {
    let presence = known.presence;
    let existed = presence.before == Sighting::Present || presence.is_undetermined();
    presence.change().is_some() || (shows_path(connection) && existed)
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
