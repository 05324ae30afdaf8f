//! The table of the connections between the API server and the nodes, and the notes on it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Result, Write};

use super::head::{has_inbound_change, pooled};
use super::words::{name_nodes, process};
use crate::model::connection::{Direction, Path};
use crate::model::facts::InterfaceKind;
use crate::model::name::NodeName;
use crate::model::socket::State;
use crate::model::trace::{Change, Phase, Role, Sighting, Trace, TracedConnection};
use crate::report::names::Names;
use crate::report::style::Style;
use crate::report::text::cell;

/// The least width at which every value has its own column.
const WIDE: u16 = 160;
/// The number of connections that are listed; further ones are counted only.
const CONNECTIONS_SHOWN: usize = 500;

/// The nodes on which something changed.
fn touched(trace: &Trace) -> BTreeSet<&NodeName> {
    let changes = trace.connections.iter().filter(|traced| traced.is_change());
    changes.map(|traced| &traced.connection.node).collect()
}

/// Writes the connections of the nodes on which something changed, or of all nodes if
/// nothing did: these are the answer then.
pub(super) fn write_connections(
    trace: &Trace,
    names: &Names,
    style: Style,
    out: &mut dyn Write,
) -> Result<()> {
    let touched = touched(trace);
    let shown = trace.connections.iter().filter(|traced| !traced.role.is_background());
    let mut shown: Vec<_> =
        shown.filter(|traced| touched.is_empty() || touched.contains(&traced.connection.node)).collect();
    if shown.is_empty() {
        return Ok(());
    }
    shown.sort_by_key(|traced| (&traced.connection.node, rank(traced)));
    let columns = Columns::new(trace, style);
    writeln!(out)?;
    let mut table = style.table(columns.heads());
    for traced in shown.iter().take(CONNECTIONS_SHOWN) {
        table.add_row(columns.cells(traced, names));
    }
    style.write_table(&table, out)?;
    if shown.len() > CONNECTIONS_SHOWN {
        writeln!(out, "and {} more; --format json lists what changed", shown.len() - CONNECTIONS_SHOWN)?;
    }
    match columns.legend(&shown) {
        Some(legend) => writeln!(out, "{legend}"),
        None => Ok(()),
    }
}

/// The place of a connection among those of its node: the changes first, those that an exec
/// makes before those of the node's own processes.
fn rank(traced: &TracedConnection) -> u8 {
    match (traced.presence.change(), traced.role) {
        (Some(_), Role::Inbound) => 0,
        (Some(_), Role::Stream) => 1,
        (Some(_), _) => 2,
        (None, _) if traced.presence.is_undetermined() => 3,
        (None, _) => 4,
    }
}

/// The columns of the table, which depend on the width.
struct Columns {
    phases: &'static [Phase],
    is_wide: bool,
}

impl Columns {
    fn new(trace: &Trace, style: Style) -> Self {
        let phases: &[Phase] = if trace.began.is_some() {
            &[Phase::Before, Phase::During, Phase::After]
        } else {
            &[Phase::Before, Phase::After]
        };
        Self { phases, is_wide: style.width >= WIDE }
    }

    fn heads(&self) -> Vec<&'static str> {
        if !self.is_wide {
            return vec!["Node", "Process", "Path", "Peer, ENI", self.mark()];
        }
        let all = ["Node", "Process", "Direction", "Path", "Local", "Peer", "ENI"].into_iter();
        all.chain(self.phases.iter().map(|phase| head(*phase))).chain(["Change"]).collect()
    }

    /// The heading of the column with all phases.
    fn mark(&self) -> &'static str {
        if self.phases.len() > 2 { "B/D/A" } else { "B/A" }
    }

    /// What the marks of the rows mean, if words do not say it.
    fn legend(&self, shown: &[&TracedConnection]) -> Option<String> {
        let is_unknown =
            |traced: &&TracedConnection| self.sightings(traced).any(|sighting| sighting == Sighting::Unknown);
        let unknown = if shown.iter().any(is_unknown) { "? the node was not seen" } else { "" };
        if self.is_wide {
            return (!unknown.is_empty()).then(|| unknown.to_owned());
        }
        let heads: Vec<_> = self.phases.iter().map(|phase| head(*phase).to_lowercase()).collect();
        let comma = if unknown.is_empty() { "" } else { ", " };
        Some(format!("{}: present {} (+ yes, - no{comma}{unknown})", self.mark(), heads.join(", ")))
    }

    fn sightings(&self, traced: &TracedConnection) -> impl Iterator<Item = Sighting> {
        let presence = traced.presence;
        self.phases.iter().map(move |phase| presence.of(*phase))
    }

    fn cells(&self, traced: &TracedConnection, names: &Names) -> Vec<String> {
        let connection = &traced.connection;
        let direction = connection.direction.as_str();
        let state = match connection.socket.state {
            State::Established => String::new(),
            state => format!("\n{}", state.as_str()),
        };
        let path = format!("{}{state}", connection.attribution.path.as_str());
        let change = match traced.presence.change() {
            None if traced.presence.is_undetermined() => "not known",
            change => change.map_or("", Change::as_str),
        };
        let eni = eni(traced);
        let node = names.name(&connection.node).to_owned();
        let socket = &connection.socket;
        if self.is_wide {
            let eni = eni.unwrap_or_else(|| "-".to_owned());
            let path = [direction.to_owned(), path, socket.local.to_string(), socket.peer.to_string(), eni];
            let phases = self.sightings(traced).map(|sighting| mark(sighting, "yes").to_owned());
            let cells = [node, process(connection)].into_iter().chain(path).chain(phases);
            return cells.chain([change.to_owned()]).collect();
        }
        let process = match connection.direction {
            Direction::None => process(connection),
            _ => format!("{}\n{direction}", process(connection)),
        };
        let peer = format!("{}{}", socket.peer, eni.map(|eni| format!("\n{eni}")).unwrap_or_default());
        let marks: Vec<_> = self.sightings(traced).map(|sighting| mark(sighting, "+")).collect();
        vec![node, process, path, peer, format!("{}\n{change}", marks.join(" "))]
    }
}

fn mark(sighting: Sighting, present: &'static str) -> &'static str {
    match sighting {
        Sighting::Present => present,
        Sighting::Absent => "-",
        Sighting::Unknown => "?",
    }
}

fn head(phase: Phase) -> &'static str {
    match phase {
        Phase::Before => "Before",
        Phase::During => "During",
        Phase::After => "After",
    }
}

fn eni(traced: &TracedConnection) -> Option<String> {
    let eni = traced.eni.as_ref()?;
    let kind = if eni.kind == InterfaceKind::EksOwned { "" } else { eni.kind.as_str() };
    Some(if kind.is_empty() { cell(&eni.id) } else { format!("{} ({kind})", cell(&eni.id)) })
}

/// Writes what the rows mean, and what is known of the nodes without rows.
pub(super) fn write_notes(trace: &Trace, names: &Names, style: Style, out: &mut dyn Write) -> Result<()> {
    let touched = touched(trace);
    let mut write = |text: &str| write!(out, "{}", style.prose(text, "", ""));
    let by_control_plane = |traced: &TracedConnection| {
        traced.is_change()
            && traced.role == Role::Inbound
            && traced.connection.attribution.path == Path::PrivateEni
    };
    if trace.connections.iter().any(by_control_plane) {
        write(
            "The control plane reaches the kubelet's port 10250 through EKS-owned ENIs in every access \
            mode, for exec, attach, port-forward, logs and node proxy, whichever client requests them.",
        )?;
    }
    let is_outbound = |traced: &TracedConnection| traced.is_change() && traced.role == Role::Outbound;
    if trace.command.is_some() && trace.connections.iter().any(is_outbound) {
        write(
            "Outbound connections are opened and closed by processes of the node: the command need not be \
            the reason.",
        )?;
    }
    if let Some(pooled) = pooled(trace, names).filter(|_| has_inbound_change(trace)) {
        write(&pooled)?;
    }
    let elsewhere = trace.connections.iter().filter(|traced| traced.presence.change().is_none());
    let elsewhere: Vec<_> = elsewhere
        .filter(|traced| !touched.is_empty() && !touched.contains(&traced.connection.node))
        .collect();
    let (unknown, still): (Vec<&TracedConnection>, Vec<&TracedConnection>) =
        elsewhere.into_iter().partition(|traced| traced.presence.is_undetermined());
    for (words, connections) in
        [("Unchanged on", still), ("Not known for the whole trace: last seen on", unknown)]
    {
        if !connections.is_empty() {
            let nodes: BTreeSet<_> = connections.iter().map(|traced| &traced.connection.node).collect();
            let mut paths: BTreeMap<Path, usize> = BTreeMap::new();
            for traced in &connections {
                *paths.entry(traced.connection.attribution.path).or_default() += 1;
            }
            let paths: Vec<_> =
                paths.iter().map(|(path, number)| format!("{number} {}", path.as_str())).collect();
            write(&format!("{words} {}: {}.", name_nodes(&nodes, names), paths.join(", ")))?;
        }
    }
    Ok(())
}
