//! The tables of nodes: the paths of their connections, and how each node was read.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Result, Write};

use crate::model::connection::{Component, Connection, Direction, Path};
use crate::model::facts::Facts;
use crate::model::groups::NodeGroup;
use crate::model::socket::{Host, State};
use crate::model::text::list;
use crate::report::alike;
use crate::report::names::Names;
use crate::report::style::{Style, Tone, count};
use crate::report::text::{cell, lines};

/// How many groups of nodes, names and rows the short form has.
const GROUPS: usize = 10;
const NAMED: usize = 5;
const ROWS: usize = 12;
const PEERS: usize = 4;

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
        let component = component(connection);
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
        let peers: Vec<_> = peers
            .into_iter()
            .map(|(peer, times)| if times == 1 { peer } else { format!("{peer} x{times}") })
            .collect();
        let cells = [
            row.node.to_owned(),
            row.component,
            row.direction.as_str().to_owned(),
            path_cell(row.path, row.state, style),
            lines(&peers),
        ];
        table.add_row(cells);
    }
    style.write_table(&table, out)?;
    let omitted: u64 = facts.connections_omitted.iter().map(|omitted| omitted.count).sum();
    if omitted > 0 {
        let text = format!("{omitted} connections are counted, and not kept one by one.");
        write!(out, "{}", style.prose(&text, "", ""))?;
    }
    Ok(())
}

fn component(connection: &Connection) -> String {
    match (connection.component, &connection.process) {
        (Some(component), _) => component.as_str().to_owned(),
        (None, Some(process)) => cell(&process.name),
        (None, None) => "(no name)".to_owned(),
    }
}

/// A path, and the state of its sockets unless they are established.
fn path_cell(path: Path, state: State, style: Style) -> String {
    let path = style.tone(Tone::of_path(path), path.as_str());
    match (state, Tone::of_state(state)) {
        (State::Established, _) => path,
        (state, Some(tone)) => format!("{path}\n{}", style.tone(tone, state.as_str())),
        (state, None) => format!("{path}\n{}", state.as_str()),
    }
}

/// Writes the nodes that are alike as one, and the connections that are not as they should be.
pub(super) fn write_node_groups(
    facts: &Facts,
    names: &Names,
    style: Style,
    out: &mut dyn Write,
) -> Result<()> {
    let groups = facts.node_groups();
    if groups.is_empty() {
        return write_nodes(facts, names, style, out);
    }
    writeln!(out, "\n{}", style.bold("Nodes"))?;
    for group in groups.iter().take(GROUPS) {
        write!(out, "{}", style.prose(&group_text(group, names, style), "  ", "    "))?;
    }
    if groups.len() > GROUPS {
        let more: usize = groups[GROUPS..].iter().map(|group| group.nodes.len()).sum();
        writeln!(
            out,
            "  {} of {} other kinds; --all lists them",
            count(more, "node"),
            groups.len() - GROUPS
        )?;
    }
    write_troubled(facts, names, style, out)
}

fn group_text(group: &NodeGroup<'_>, names: &Names, style: Style) -> String {
    alike::node_text(
        group,
        names,
        |path, words| style.tone(Tone::of_traffic(path), words),
        |status, words| style.tone(Tone::of_status(status), words),
    )
}

/// Whether a connection is one that the operator has to know of.
fn is_troubled(connection: &Connection) -> bool {
    let path = connection.attribution.path;
    is_shown(connection)
        && (connection.socket.state == State::SynSent
            || matches!(path, Path::PublicEndpoint | Path::Unattributed))
}

/// What the connections in a row of the short table have in common, after whether it is neither
/// kubelet's nor kube-proxy's.
type TroubledRow = (bool, String, Direction, Path, State);

/// Writes the connections that are public, unattributed or hanging, with their nodes.
fn write_troubled(facts: &Facts, names: &Names, style: Style, out: &mut dyn Write) -> Result<()> {
    let mut rows: BTreeMap<TroubledRow, (BTreeSet<&str>, BTreeSet<String>)> = BTreeMap::new();
    for (connection, _) in facts.counted_connections().filter(|(connection, _)| is_troubled(connection)) {
        let is_of_node = connection.component.is_some_and(Component::is_node_component);
        let key = (
            !is_of_node,
            component(connection),
            connection.direction,
            connection.attribution.path,
            connection.socket.state,
        );
        let (nodes, peers) = rows.entry(key).or_default();
        nodes.insert(names.name(&connection.node));
        peers.insert(peer(connection, facts));
    }
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let more = rows.len().saturating_sub(ROWS);
    let mut table = style.table(["Node", "Component", "Direction", "Path", "Peer"]);
    let mut rows: Vec<_> = rows.into_iter().collect();
    // What hangs first; then the rows of the same nodes together.
    rows.sort_by(|(a, (in_a, _)), (b, (in_b, _))| {
        let rank = |row: &TroubledRow| (row.0, row.4 != State::SynSent);
        rank(a).cmp(&rank(b)).then_with(|| in_a.first().cmp(&in_b.first()))
    });
    for ((_, component, direction, path, state), (nodes, peers)) in rows.into_iter().take(ROWS) {
        let (nodes, peers) = (Vec::from_iter(nodes), Vec::from_iter(peers));
        table.add_row([
            list(&nodes, NAMED),
            component,
            direction.as_str().to_owned(),
            path_cell(path, state, style),
            list(&peers, PEERS),
        ]);
    }
    style.write_table(&table, out)?;
    if more > 0 {
        writeln!(out, "and {more} more rows; --all lists them")?;
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
            style.tone(Tone::of_status(node.status), node.status.as_str()),
            node.sockets().to_string(),
            node.tally.rejected.to_string(),
        ];
        table.add_row(cells);
    }
    style.write_table(&table, out)?;
    let skipped: u64 = facts.nodes.iter().map(|node| node.tally.rejected).sum();
    if skipped > 0 {
        write!(out, "{}", style.prose("Skipped lines are not sockets; --verbose lists them.", "", ""))?;
    }
    Ok(())
}
