//! The nodes of an evidence directory: their captures, and what the manifest says of
//! them. Captures are read in pieces and never held whole.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io;
use std::path::Path;

use super::directory::{EvidenceDir, open_file};
use super::error::EvidenceError;
use super::next_step;
use crate::capture::line::Row;
use crate::capture::reading::{CaptureSummary, CombinedCaptureError, read_combined};
use crate::model::cluster::Cluster;
use crate::model::evidence::NextStep;
use crate::model::gap::{Gap, GapReason, Subject};
use crate::model::name::NodeName;
use crate::model::node::{Node, NodeStatus, Tally};

/// Reads every capture of an evidence directory and passes each row to `sink`.
///
/// # Errors
/// If a capture cannot be read, or it is not clear which node a row belongs to.
pub fn read_nodes(
    dir: &EvidenceDir,
    mut sink: impl FnMut(&NodeName, Row<'_>),
) -> Result<Vec<Node>, EvidenceError> {
    let mut readings = BTreeMap::new();
    for (name, path) in dir.node_files()? {
        let file = open_file(&path)?;
        let reading = CaptureSummary::read(&name, file, |row| sink(&name, row))
            .map_err(EvidenceError::io("read", &path))?;
        readings.insert(name, reading);
    }
    if let Some(path) = dir.nodes_file()? {
        for (name, reading) in read_looped(open_file(&path)?, &path, None, &mut sink)? {
            if readings.contains_key(&name) {
                return Err(EvidenceError::Unusable(format!(
                    "nodes/{name}.txt and {} both hold node {name}; keep one of them",
                    path.display()
                )));
            }
            readings.insert(name, reading);
        }
    }
    let node =
        |(name, reading): (NodeName, CaptureSummary)| (name.clone(), node(name, reading, dir.next_step()));
    let mut nodes: BTreeMap<_, _> = readings.into_iter().map(node).collect();
    for (name, gap) in dir.unread_nodes() {
        match nodes.entry(name) {
            Entry::Vacant(entry) => {
                let name = entry.key().clone();
                entry.insert(unread(name, gap));
            }
            // It was captured, but not as it should have been.
            Entry::Occupied(mut entry) => {
                let gaps = &mut entry.get_mut().gaps;
                // The recording has the cause of missing process names.
                gaps.retain(|known| known.why != gap.why || gap.why != GapReason::NoProcessNames);
                gaps.push(gap);
            }
        }
    }
    Ok(nodes.into_values().collect())
}

/// Reads one file, once, so that it may be a pipe, or standard input where it is named
/// `-`: the capture of a node, which is then named `node`, or of several, each below a
/// line `>> node NAME <<`.
///
/// # Errors
/// If it cannot be read, or it is not clear which node a row belongs to.
pub fn read_file(path: &Path, mut sink: impl FnMut(&NodeName, Row<'_>)) -> Result<Vec<Node>, EvidenceError> {
    let unmarked = NodeName::unnamed();
    let readings = if path.as_os_str() == "-" {
        read_looped(io::stdin().lock(), path, Some(&unmarked), &mut sink)?
    } else {
        let file = File::open(path).map_err(EvidenceError::io("read", path))?;
        read_looped(file, path, Some(&unmarked), &mut sink)?
    };
    Ok(readings.into_iter().map(|(name, reading)| node(name, reading, next_step::capture)).collect())
}

fn read_looped(
    reader: impl io::Read,
    path: &Path,
    unmarked: Option<&NodeName>,
    sink: &mut impl FnMut(&NodeName, Row<'_>),
) -> Result<BTreeMap<NodeName, CaptureSummary>, EvidenceError> {
    read_combined(reader, unmarked, sink).map_err(|error| match error {
        CombinedCaptureError::Io(error) => EvidenceError::io("read", path)(error),
        error @ CombinedCaptureError::Unassigned(_) => {
            EvidenceError::Unusable(format!("{}: {error}", path.display()))
        }
    })
}

/// A node that could not be read.
fn unread(name: NodeName, gap: Gap) -> Node {
    let status = match gap.why {
        GapReason::NotSupported => NodeStatus::NotSupported,
        GapReason::Malformed => NodeStatus::Malformed,
        _ => NodeStatus::Unreachable,
    };
    Node { name, status, tally: Tally::default(), has_header: false, rejected: Vec::new(), gaps: vec![gap] }
}

/// A node that was read, with the gaps of its capture.
#[must_use]
pub fn node(name: NodeName, reading: CaptureSummary, next_step: NextStep) -> Node {
    let cluster = Cluster::unknown();
    let gap = |why, detail: String| {
        let subject = Subject::Node(name.clone());
        let hint = next_step(&cluster, &subject, why);
        Gap { subject, why, detail, hint }
    };
    let mut gaps = Vec::new();
    let status = reading.status();
    match status {
        NodeStatus::Malformed => gaps.push(gap(GapReason::Malformed, reading.malformed())),
        NodeStatus::NoProcessNames => gaps.push(gap(
            GapReason::NoProcessNames,
            "no row of its capture names a process: not run as root".to_owned(),
        )),
        _ => {}
    }
    if reading.other_nodes > 0 {
        let detail = "its capture contains the marker of another node, so some rows may be of that one; put looped output into nodes.txt";
        gaps.push(gap(GapReason::Incomplete, detail.to_owned()));
    }
    match reading.broken {
        0 => {}
        broken => {
            let sockets = if broken == 1 { "1 socket".to_owned() } else { format!("{broken} sockets") };
            let detail = format!("{sockets} of its capture cannot be parsed; --verbose lists them");
            gaps.push(gap(GapReason::Incomplete, detail));
        }
    }
    let has_header = reading.has_header();
    Node { name, status, tally: reading.tally, has_header, rejected: reading.rejected, gaps }
}
