//! Why the path of a component of a node to the API server is not known.

use std::collections::BTreeSet;

use super::gaps::{is_nameless, not_running, of_node};
use super::text::list;
use crate::model::connection::{Component, Connection, Direction, Path};
use crate::model::facts::{Facts, has_ambiguous_peer};
use crate::model::gap::{Gap, GapReason, Observed, Subject};
use crate::model::node::{Extent, Node};
use crate::model::socket::State;
use crate::model::traffic::{ComponentTraffic, TrafficPath};

/// The reasons, as gaps; none if the path is known, or if the node has a gap of another
/// kind that explains it: missing process names, the sockets of several machines, or those of another
/// one.
pub(super) fn gaps(facts: &Facts, node: &Node, traffic: ComponentTraffic) -> Vec<Gap> {
    let component = traffic.component;
    let own = || {
        let connections = facts.connections_of(&node.name).iter();
        connections.filter(move |connection| connection.component == Some(component))
    };
    let established = || own().filter(|connection| connection.socket.state == State::Established);
    let unknown: BTreeSet<_> = own()
        .filter(|connection| {
            connection.direction == Direction::Outbound && connection.socket.state.may_be_open_or_opening()
        })
        .filter_map(|connection| unknown_peer(facts, connection))
        .collect();
    let is_explained = is_nameless(facts, node)
        || facts.machines_of(&node.name).len() > 1
        || facts.other_machines.contains(&node.name);
    let is_missing = match traffic.path {
        TrafficPath::Unknown => unknown.is_empty() && !is_explained,
        // node-cut-off has a finding for kubelet.
        TrafficPath::None => component != Component::Kubelet,
        TrafficPath::Public | TrafficPath::Private | TrafficPath::Mixed => false,
    };
    let not_seen = |detail: String| of_node(facts, node, GapReason::Incomplete, detail);
    let missing = is_missing.then(|| match traffic.path {
        TrafficPath::None => {
            let detail = format!(
                "its {} has no established connection to the API server, only attempts in SYN-SENT",
                component.as_str()
            );
            explained(
                node,
                detail,
                "find out why they hang: eks-netcheck explain endpoint-connection-hanging",
            )
        }
        _ if own().next().is_none() => {
            let name = component.as_str();
            let detail = format!("no socket of {name} was seen");
            if node.extent == Extent::Unknown {
                not_seen(detail)
            } else {
                let detail = format!(
                    "{detail} among those of its other processes: {name} is not running or not connected"
                );
                not_running(node, &detail, component)
            }
        }
        _ if own().any(|connection| connection.socket.state == State::NotShown) => {
            not_seen(format!(
                "its capture has no column of the state, so whether {} is connected is not known: ss selected a state",
                component.as_str()
            ))
        }
        _ => {
            let mut others: BTreeSet<_> = established().filter_map(|other| other_way(facts, other)).collect();
            if others.is_empty() {
                // A proxy may listen on any port.
                let elsewhere = established().filter(|other| {
                    other.direction != Direction::Inbound && other.attribution.path != Path::Loopback
                });
                others.extend(elsewhere.map(|other| other.socket.peer.to_string()));
            }
            let detail = no_connection(component, &others.iter().cloned().collect::<Vec<_>>());
            if node.extent != Extent::Unknown && others.is_empty() {
                not_running(node, &format!("{detail}: it is not connected"), component)
            } else {
                not_seen(detail)
            }
        }
    });
    let unknown = unknown.into_iter().map(|(detail, hint)| explained(node, detail, &hint));
    unknown.chain(missing).collect()
}

/// A gap of a node whose capture is complete, with a next step of its own.
fn explained(node: &Node, detail: String, hint: &str) -> Gap {
    Gap {
        subject: Subject::Node(node.name.clone()),
        why: GapReason::Incomplete,
        detail,
        hint: hint.to_owned(),
    }
}

/// The detail for a component that has no connection to the API server, only to `others`,
/// by way of which it may reach it.
fn no_connection(component: Component, others: &[String]) -> String {
    let seen = format!("no established connection of its {} to the API server was seen", component.as_str());
    if others.is_empty() { seen } else { format!("{seen}, only to {}", list(others)) }
}

/// The usual ports of HTTP proxies.
const PROXY_PORTS: [u16; 5] = [1080, 3128, 8080, 8118, 8888];

/// The peer of a connection that may lead to the API server by way of another host: a
/// proxy, a load balancer, an interface of the VPC.
fn other_way(facts: &Facts, connection: &Connection) -> Option<String> {
    let peer = &connection.socket.peer;
    // The server side of a connection has a well-known port, the client side does not.
    if connection.direction == Direction::Inbound || peer.is_ephemeral() {
        return None;
    }
    let are_known = facts.evidence.network.interfaces.seen().is_some();
    let interface = connection.attribution.eni.and_then(|index| facts.interfaces.get(index));
    let what = if PROXY_PORTS.iter().any(|port| peer.is_port(*port)) {
        "probably an HTTP proxy".to_owned()
    } else if connection.attribution.path == Path::Loopback {
        "a proxy or load balancer on the node itself".to_owned()
    } else if let Some(known) = interface {
        format!("{}, {}", known.interface.id, known.kind.as_str())
    } else if connection.direction == Direction::Outbound && are_known {
        "no interface has it".to_owned()
    } else {
        return Some(peer.to_string());
    };
    Some(format!("{peer} ({what})"))
}

/// A peer that may be the API server, and may be something else, and the next step.
fn unknown_peer(facts: &Facts, connection: &Connection) -> Option<(String, String)> {
    if !has_ambiguous_peer(connection, &facts.endpoint_addresses) {
        return None;
    }
    // That rule has the commands, and a finding for such a peer.
    let find_out = match connection.attribution.path {
        Path::Unattributed => "find out what the peer is, by the steps of unattributed-connection",
        _ => "find out what the peer is: eks-netcheck explain unattributed-connection",
    };
    let find_out = find_out.to_owned();
    let peer = connection.socket.peer.ip();
    let is_answer = peer.is_some_and(|peer| facts.endpoint_addresses.contains_key(&peer));
    let (why, hint) = match (connection.attribution.path, &facts.evidence.network.interfaces) {
        (Path::Vpc, _) => {
            let why = "the endpoint's name resolves to it, it is in the VPC, and no EKS-owned ENI was seen to have it";
            (why.to_owned(), find_out)
        }
        (_, Observed::Unseen(gap)) if is_answer => {
            let subject = &gap.subject;
            let why = format!(
                "the endpoint's name resolves to it: whether it is public or of an EKS-owned ENI is not known without {subject}"
            );
            (why, format!("the next step is that of {subject}"))
        }
        (_, Observed::Seen(_)) if facts.is_in_vpc(connection) => {
            let why = "it is in the VPC and no interface has it; whether that is the API server is not known";
            (why.to_owned(), find_out)
        }
        _ => ("whether that is the API server is not known".to_owned(), find_out),
    };
    let verb = match connection.socket.state {
        State::SynSent => "is trying to connect to",
        State::NotShown => "has a socket with",
        _ => "is connected to",
    };
    Some((format!("{} {verb} {}, and {why}", name(connection), connection.socket.peer), hint))
}

fn name(connection: &Connection) -> &'static str {
    connection.component.map_or("a process", Component::as_str)
}
