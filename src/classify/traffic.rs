//! The path of each node's traffic to the API server.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use crate::model::connection::{Component, Connection, Direction, OmittedConnections, Path};
use crate::model::facts::{Machine, connections_of, has_ambiguous_peer};
use crate::model::node::Node;
use crate::model::socket::State;
use crate::model::traffic::{ComponentTraffic, NodeTraffic, TrafficPath};

/// Derives the traffic of each node from its outbound connections. `connections` must be
/// sorted by node; `omitted` are those that are counted only; `endpoint_addresses` are those that the endpoint's name resolves to.
pub(super) fn node_traffic(
    nodes: &[Node],
    machines: &[Vec<Machine>],
    connections: &[Connection],
    omitted: &[OmittedConnections],
    endpoint_addresses: &BTreeMap<IpAddr, Path>,
) -> Vec<NodeTraffic> {
    // Connections that are counted only may be over any path.
    let unlisted = omitted.iter().filter(|omitted| omitted.is_unseen());
    let unlisted: HashSet<_> = unlisted.map(|omitted| &omitted.node).collect();
    // Some clusters run without kube-proxy: it is expected if any node runs it.
    let runs_kube_proxy =
        connections.iter().any(|connection| connection.component == Some(Component::KubeProxy))
            || nodes.iter().any(|node| node.left_out.is_some_and(|left_out| left_out.runs_kube_proxy));
    let traffic = |(node, machines): (&Node, &Vec<Machine>)| {
        let own = connections_of(connections, &node.name);
        let component = |component| {
            let own = own.iter().filter(|connection| connection.component == Some(component));
            let path = match machines.as_slice() {
                [] | [_] => component_path(own, endpoint_addresses),
                several => combined(&paths_of_machines(own, several, endpoint_addresses)),
            };
            let path = match path {
                TrafficPath::Private | TrafficPath::None if unlisted.contains(&node.name) => {
                    TrafficPath::Unknown
                }
                path => path,
            };
            ComponentTraffic { component, path }
        };
        let mut components = vec![component(Component::Kubelet)];
        // A capture without column headings, or with rows of Kubernetes components alone, may have been
        // filtered.
        if runs_kube_proxy || !node.has_header || node.has_only_components {
            components.push(component(Component::KubeProxy));
        }
        let paths: Vec<_> = components.iter().map(|component| component.path).collect();
        NodeTraffic { node: node.name.clone(), path: combined(&paths), components }
    };
    nodes.iter().zip(machines).map(traffic).collect()
}

/// Returns the path of a component on each of several machines, given its connections.
fn paths_of_machines<'a>(
    connections: impl Iterator<Item = &'a Connection>,
    machines: &[Machine],
    endpoint_addresses: &BTreeMap<IpAddr, Path>,
) -> Vec<TrafficPath> {
    let by_address: HashMap<_, _> = machines
        .iter()
        .enumerate()
        .flat_map(|(at, machine)| machine.addresses.iter().map(move |address| (*address, at)))
        .collect();
    let mut own = vec![Vec::new(); machines.len()];
    for connection in connections {
        let machine = connection.socket.local.ip().and_then(|local| by_address.get(&local));
        if let Some(of_machine) = machine.and_then(|at| own.get_mut(*at)) {
            of_machine.push(connection);
        }
    }
    own.into_iter().map(|own| component_path(own.into_iter(), endpoint_addresses)).collect()
}

/// Returns the path of a component, given its connections.
fn component_path<'a>(
    connections: impl Iterator<Item = &'a Connection>,
    endpoint_addresses: &BTreeMap<IpAddr, Path>,
) -> TrafficPath {
    let (mut public, mut private) = (false, false);
    let (mut ambiguous, mut attempts, mut stateless) = (false, false, false);
    for connection in connections.filter(|connection| connection.direction == Direction::Outbound) {
        match (connection.socket.state, connection.attribution.path) {
            (State::SynSent, _) => attempts = true,
            (State::Established, Path::PublicEndpoint) => public = true,
            (State::Established, Path::PrivateEni | Path::ClusterIp) => private = true,
            (State::Established, _) => ambiguous |= has_ambiguous_peer(connection, endpoint_addresses),
            (State::NotShown, path) => {
                stateless = true;
                ambiguous |=
                    path == Path::PublicEndpoint || has_ambiguous_peer(connection, endpoint_addresses);
            }
            _ => {}
        }
    }
    match (public, private) {
        (true, true) => TrafficPath::Mixed,
        (true, false) => TrafficPath::Public,
        (false, true) if !ambiguous => TrafficPath::Private,
        (false, false) if attempts && !ambiguous && !stateless => TrafficPath::None,
        _ => TrafficPath::Unknown,
    }
}

/// Returns the path of a node, given those of its components; or of a component, given
/// those on several machines.
fn combined(components: &[TrafficPath]) -> TrafficPath {
    use TrafficPath::{Mixed, None, Private, Public, Unknown};
    let any = |path| components.contains(&path);
    let all = |path| components.iter().all(|component| *component == path);
    if any(Mixed) || (any(Public) && any(Private)) {
        Mixed
    } else if any(Public) {
        Public
    } else if all(Private) {
        Private
    } else if all(None) {
        None
    } else {
        Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_private_only_if_every_component_is() {
        use TrafficPath::{Mixed, None, Private, Public, Unknown};
        for (kubelet, kube_proxy, node) in [
            (Private, Private, Private),
            (Public, Public, Public),
            (Public, Private, Mixed),
            (Mixed, Private, Mixed),
            (Mixed, Unknown, Mixed),
            (Public, Unknown, Public),
            (Public, None, Public),
            (Private, Unknown, Unknown),
            (Private, None, Unknown),
            (None, Unknown, Unknown),
            (None, None, None),
            (Unknown, Unknown, Unknown),
        ] {
            assert_eq!(combined(&[kubelet, kube_proxy]), node, "{kubelet:?} {kube_proxy:?}");
            assert_eq!(combined(&[kube_proxy, kubelet]), node, "{kube_proxy:?} {kubelet:?}");
            assert_eq!(combined(&[kubelet]), kubelet);
        }
    }
}
