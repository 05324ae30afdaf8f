//! The tables of nodes: the paths of their connections, and what reading them
//! gave.

use std::collections::{BTreeMap, HashSet};
use std::io::{Result, Write};
use std::net::IpAddr;

use super::super::text::escape;
use super::{Look, prose, table};
use crate::model::connection::{Connection, Direction, Path};
use crate::model::facts::Facts;
use crate::model::name::NodeName;
use crate::model::socket::{Host, State};

/// How tables call nodes: by the first label of a DNS name, where that is enough
/// to tell them apart.
pub(super) struct Names {
    are_short: bool,
}

impl Names {
    pub(super) fn of(facts: &Facts) -> Self {
        Self::new(facts.nodes.iter().map(|node| &node.name))
    }

    pub(super) fn new<'a>(mut names: impl Iterator<Item = &'a NodeName>) -> Self {
        let mut seen = HashSet::new();
        Self { are_short: names.all(|name| seen.insert(first_label(name.as_str()))) }
    }

    pub(super) fn name<'a>(&self, node: &'a NodeName) -> &'a str {
        if self.are_short { first_label(node.as_str()) } else { node.as_str() }
    }
}

fn first_label(name: &str) -> &str {
    // user@10.0.0.1 is no name of labels either.
    let host = name.rsplit('@').next().unwrap_or(name);
    if host.parse::<IpAddr>().is_ok() { name } else { name.split('.').next().unwrap_or(name) }
}

/// What a row of the table of paths has in common.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct PathRow<'a> {
    node: &'a str,
    who: String,
    direction: Direction,
    path: Path,
    state: State,
}

pub(super) fn write_paths(facts: &Facts, names: &Names, look: Look, out: &mut impl Write) -> Result<()> {
    let mut rows: BTreeMap<PathRow<'_>, BTreeMap<String, u32>> = BTreeMap::new();
    for connection in facts.connections.iter().filter(|connection| is_shown(connection)) {
        let who = match (connection.component, &connection.process) {
            (Some(component), _) => component.as_str().to_owned(),
            (None, Some(process)) => escape(&process.name).into_owned(),
            (None, None) => "(no name)".to_owned(),
        };
        let row = PathRow {
            node: names.name(&connection.node),
            who,
            direction: connection.direction,
            path: connection.attribution.path,
            state: connection.socket.state,
        };
        *rows.entry(row).or_default().entry(peer(connection, facts)).or_default() += 1;
    }
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", look.bold("Paths, as the sockets of each node show them"))?;
    let mut table = table(look, ["Node", "Component", "Direction", "Path", "Peer"]);
    for (row, peers) in rows {
        let state =
            if row.state == State::Established { String::new() } else { format!("\n{}", row.state.as_str()) };
        let peers: Vec<_> = peers
            .into_iter()
            .map(|(peer, times)| if times == 1 { peer } else { format!("{peer} x{times}") })
            .collect();
        let cells = [
            row.node.to_owned(),
            row.who,
            row.direction.as_str().to_owned(),
            format!("{}{state}", row.path.as_str()),
            peers.join("\n"),
        ];
        table.add_row(cells);
    }
    writeln!(out, "{}", table.trim_fmt())
}

/// The sockets that tell a path, and pods and others on the kubelet's port.
fn is_shown(connection: &Connection) -> bool {
    connection.socket.state.shows_path() && connection.direction != Direction::None
}

/// The peer; a client's port means nothing.
fn peer(connection: &Connection, facts: &Facts) -> String {
    let peer = &connection.socket.peer;
    let address = match (connection.direction, &peer.host) {
        (Direction::Inbound, Host::Ip(ip)) => ip.to_string(),
        _ => peer.to_string(),
    };
    match connection.attribution.eni {
        Some(index) if connection.attribution.path == Path::Vpc => {
            format!("{address} ({})", facts.interfaces[index].kind.as_str())
        }
        _ => address,
    }
}

pub(super) fn write_nodes(facts: &Facts, names: &Names, look: Look, out: &mut impl Write) -> Result<()> {
    if facts.nodes.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", look.bold("Nodes"))?;
    let mut table = table(look, ["Node", "Status", "Sockets", "Lines skipped"]);
    for node in &facts.nodes {
        let cells = [
            names.name(&node.name).to_owned(),
            node.status.as_str().to_owned(),
            node.tally.rows.to_string(),
            node.tally.rejected.to_string(),
        ];
        table.add_row(cells);
    }
    writeln!(out, "{}", table.trim_fmt())?;
    let skipped: u64 = facts.nodes.iter().map(|node| node.tally.rejected).sum();
    if skipped > 0 {
        write!(out, "{}", prose("Skipped lines are no sockets; --verbose lists them.", "", "", look))?;
    }
    Ok(())
}
