//! The changes for reasons other than the action, grouped by what they have in common.

use std::collections::BTreeMap;
use std::io::{Result, Write};

use super::words::{address, process};
use crate::model::connection::Direction;
use crate::model::trace::{Change, Role, Trace, TracedConnection};
use crate::report::names::Names;
use crate::report::style::Style;

/// The number of groups of a reason that are listed.
const GROUPS_SHOWN: usize = 20;

/// Writes the changes, those of a reason under a title of their own.
pub(super) fn write_others(trace: &Trace, names: &Names, style: Style, out: &mut dyn Write) -> Result<()> {
    let sections = [
        (Role::Restart, "Restarts of processes"),
        (Role::Pool, "Ended connections that existed before: the API server closes idle ones"),
        (Role::Other, "Other changes: probes, metrics, other programs"),
    ];
    for (role, title) in sections {
        write_section(trace, role, title, names, style, out)?;
    }
    Ok(())
}

fn write_section(
    trace: &Trace,
    role: Role,
    title: &str,
    names: &Names,
    style: Style,
    out: &mut dyn Write,
) -> Result<()> {
    let mut groups: BTreeMap<[String; 5], BTreeMap<Change, usize>> = BTreeMap::new();
    for traced in trace.connections.iter().filter(|traced| traced.role == role) {
        if let Some(change) = traced.presence.change() {
            *groups.entry(group(traced, names)).or_default().entry(change).or_default() += 1;
        }
    }
    if groups.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", style.bold(title))?;
    let more = groups.len().saturating_sub(GROUPS_SHOWN);
    let mut table = style.table(["Node", "Process", "Direction", "Path", "Peer", "Changes"]);
    for (key, changes) in groups.into_iter().take(GROUPS_SHOWN) {
        let changes: Vec<_> =
            changes.iter().map(|(change, number)| format!("{number} {}", change.as_str())).collect();
        table.add_row(key.into_iter().chain([changes.join("\n")]));
    }
    style.write_table(&table, out)?;
    if more > 0 {
        writeln!(out, "and {more} more groups; --format json lists all")?;
    }
    Ok(())
}

/// What the changes of a group have in common.
fn group(traced: &TracedConnection, names: &Names) -> [String; 5] {
    let connection = &traced.connection;
    let is_client = connection.socket.peer.is_ephemeral() || connection.direction == Direction::Inbound;
    let peer = if is_client { address(connection) } else { connection.socket.peer.to_string() };
    let pid = connection.process.as_ref().and_then(|process| process.pid);
    let process = match (traced.role, pid) {
        (Role::Restart, Some(pid)) => format!("{}\npid {pid}", process(connection)),
        _ => process(connection),
    };
    [
        names.name(&connection.node).to_owned(),
        process,
        connection.direction.as_str().to_owned(),
        connection.attribution.path.as_str().to_owned(),
        peer,
    ]
}
