//! The tables of nodes: the paths of their connections, and how each node was read.

use std::collections::BTreeMap;
use std::io::{Result, Write};

use super::names::Names;
use crate::model::connection::{Connection, Direction, Path};
use crate::model::facts::Facts;
use crate::model::socket::{Host, State};
use crate::report::style::Style;
use crate::report::text::{cell, lines};

/// What the connections in a row of the table of paths have in common.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct PathRow<'a> {
    node: &'a str,
    component: String,
    direction: Direction,
    path: Path,
    state: State,
}

pub(super) fn write_paths(facts: &Facts, names: &Names, style: Style, out: &mut dyn Write) -> Result<()> {
    let mut rows: BTreeMap<PathRow<'_>, BTreeMap<String, u64>> = BTreeMap::new();
    for (connection, times) in facts.counted_connections().filter(|(connection, _)| is_shown(connection)) {
        let component = match (connection.component, &connection.process) {
            (Some(component), _) => component.as_str().to_owned(),
            (None, Some(process)) => cell(&process.name),
            (None, None) => "(no name)".to_owned(),
        };
        let row = PathRow {
            node: names.name(&connection.node),
            component,
            direction: connection.direction,
            path: connection.attribution.path,
            state: connection.socket.state,
        };
        *rows.entry(row).or_default().entry(peer(connection, facts)).or_default() += times;
    }
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", style.bold("Paths, as the sockets of each node show them"))?;
    let mut table = style.table(["Node", "Component", "Direction", "Path", "Peer"]);
    for (row, peers) in rows {
        let state =
            if row.state == State::Established { String::new() } else { format!("\n{}", row.state.as_str()) };
        let peers: Vec<_> = peers
            .into_iter()
            .map(|(peer, times)| if times == 1 { peer } else { format!("{peer} x{times}") })
            .collect();
        let cells = [
            row.node.to_owned(),
            row.component,
            row.direction.as_str().to_owned(),
            format!("{}{state}", row.path.as_str()),
            lines(&peers),
        ];
        table.add_row(cells);
    }
    writeln!(out, "{}", table.trim_fmt())?;
    let omitted: u64 = facts.connections_omitted.iter().map(|omitted| omitted.count).sum();
    if omitted > 0 {
        let text = format!("{omitted} connections are counted, and not kept one by one.");
        write!(out, "{}", style.prose(&text, "", ""))?;
    }
    Ok(())
}

/// Whether a connection is to or from the API server or the kubelet, and its state shows a path.
fn is_shown(connection: &Connection) -> bool {
    connection.socket.state.may_be_open_or_opening() && connection.direction != Direction::None
}

/// The peer, without the port of a client.
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

pub(super) fn write_nodes(facts: &Facts, names: &Names, style: Style, out: &mut dyn Write) -> Result<()> {
    if facts.nodes.is_empty() {
        if facts.evidence.has_no_nodes() {
            writeln!(out, "\n{}", style.bold("Nodes"))?;
            let text = "none, according to EC2 and Kubernetes: the rules about nodes have nothing to judge";
            write!(out, "{}", style.prose(text, "", ""))?;
        }
        return Ok(());
    }
    writeln!(out, "\n{}", style.bold("Nodes"))?;
    let mut table = style.table(["Node", "Status", "Sockets", "Lines skipped"]);
    for node in &facts.nodes {
        let cells = [
            names.name(&node.name).to_owned(),
            node.status.as_str().to_owned(),
            node.sockets().to_string(),
            node.tally.rejected.to_string(),
        ];
        table.add_row(cells);
    }
    writeln!(out, "{}", table.trim_fmt())?;
    let skipped: u64 = facts.nodes.iter().map(|node| node.tally.rejected).sum();
    if skipped > 0 {
        write!(out, "{}", style.prose("Skipped lines are not sockets; --verbose lists them.", "", ""))?;
    }
    Ok(())
}
