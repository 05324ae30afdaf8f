//! The nodes of an evidence directory, from their captures and the manifest. Captures
//! are streamed and never loaded into memory as a whole.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io;
use std::path::Path;

use super::bundle::{Bundle, Sockets};
use super::directory::EvidenceDir;
use super::error::EvidenceError;
use super::next_step;
use super::own_addresses::OwnAddresses;
use crate::capture::filtered::CUT;
use crate::capture::line::Row;
use crate::capture::reading::{CaptureSummary, CombinedCaptureError, read_combined};
use crate::model::cluster::Cluster;
use crate::model::evidence::NextStep;
use crate::model::gap::{Gap, GapReason, Subject};
use crate::model::name::NodeName;
use crate::model::node::{Extent, Node, NodeStatus, Tally, Via, bundle_step};
use crate::model::shell::written_into;

/// Reads every capture of an evidence directory and passes each row to `sink`.
///
/// # Errors
/// If a capture cannot be read, or it is not clear which node a row belongs to.
pub fn read_nodes(
    dir: &EvidenceDir,
    mut sink: impl FnMut(&NodeName, Row<'_>),
) -> Result<Vec<Node>, EvidenceError> {
    let own = OwnAddresses::new(Some(dir));
    let mut sink = |name: &NodeName, row: Row<'_>| {
        if let Some(row) = own.own_row(name, row) {
            sink(name, row);
        }
    };
    let mut summaries = BTreeMap::new();
    let mut left = Node::REJECTED_KEPT_OF_ALL;
    for (name, path) in dir.node_files()? {
        let file = dir.open_node_file(&path)?;
        let mut summary = CaptureSummary::read(&name, file, |row| sink(&name, row))
            .map_err(EvidenceError::io("read", &path))?;
        summary.cut_at = summary.cut_at.filter(|_| !dir.has_complete_captures());
        summary.limit_rejected(&mut left);
        summaries.insert(name, summary);
    }
    if let Some((path, file)) = dir.open_nodes_file()? {
        for (name, summary) in read_combined_file(file, &path, None, &mut sink)? {
            if summaries.contains_key(&name) {
                return Err(EvidenceError::Unusable(format!(
                    "nodes/{name}.txt and {} both contain node {name}; keep one of them",
                    path.display()
                )));
            }
            summaries.insert(name, summary);
        }
    }
    let node = |(name, summary): (NodeName, CaptureSummary)| {
        let via = Some(dir.via(&name));
        let mut node = Node { via, ..own_node(name.clone(), summary, dir.next_step(), &own) };
        if let Some(directory) = dir.directory() {
            for gap in &mut node.gaps {
                gap.hint = written_into(directory, std::mem::take(&mut gap.hint));
            }
        }
        (name, node)
    };
    let mut nodes: BTreeMap<_, _> = summaries.into_iter().map(node).collect();
    for bundle in dir.bundles()? {
        let name = &bundle.name;
        if nodes.contains_key(name) {
            return Err(EvidenceError::Unusable(format!(
                "{} is of node {name}, of which there is a capture too; keep one of them",
                bundle.path.display()
            )));
        }
        nodes.insert(name.clone(), bundle_node(bundle, &own, &mut left, &mut sink)?);
    }
    for (name, gap) in dir.unread_nodes() {
        match nodes.entry(name) {
            Entry::Vacant(entry) => {
                let name = entry.key().clone();
                entry.insert(unread(name, gap));
            }
            Entry::Occupied(entry) if dir.is_added(entry.key()) => {}
            // The manifest has a gap for a node that was captured.
            Entry::Occupied(mut entry) => {
                let gaps = &mut entry.get_mut().gaps;
                // For missing process names, the manifest has the cause.
                gaps.retain(|known| known.why != gap.why || gap.why != GapReason::NoProcessNames);
                // So it has for a capture that was cut.
                gaps.retain(|known| gap.why == GapReason::NoProcessNames || known.detail != CUT);
                gaps.push(gap);
            }
        }
    }
    Ok(nodes.into_values().collect())
}

/// Reads the sockets of a bundle.
fn bundle_node(
    bundle: &Bundle,
    own: &OwnAddresses<'_>,
    left: &mut usize,
    sink: &mut impl FnMut(&NodeName, Row<'_>),
) -> Result<Node, EvidenceError> {
    let name = &bundle.name;
    let gap = |why, detail: String| {
        let hint = bundle_step(why).to_owned();
        Gap { subject: Subject::Node(name.clone()), why, detail, hint }
    };
    let contents = match &bundle.contents {
        Ok(contents) => contents,
        Err(problem) => {
            let detail = format!("its bundle of logs cannot be read: {problem}");
            return Ok(unread(name.clone(), gap(GapReason::Malformed, detail)));
        }
    };
    own.add(name, contents.instance.as_deref(), contents.address);
    let sockets = bundle.read_sockets(contents, |row| sink(name, row))?;
    let Some(Sockets { mut summary, has_second }) = sockets else {
        let detail = "its bundle of logs contains neither system/netstat.txt nor networking/conntrack.txt";
        return Ok(unread(name.clone(), gap(GapReason::NotSupported, detail.to_owned())));
    };
    summary.cut_at = None;
    summary.limit_rejected(left);
    let of_bundle = |_: &Cluster, _: &Subject, why| bundle_step(why).to_owned();
    let mut node = own_node(name.clone(), summary, of_bundle, own);
    node.via = Some(Via::Bundle);
    if has_second {
        let detail = "its bundle of logs has two lists of sockets, system/netstat.txt and networking/netstat.txt; only the first one is judged";
        node.gaps.push(gap(GapReason::Incomplete, detail.to_owned()));
        node.extent = Extent::Unknown;
    }
    Ok(node)
}

/// Reads one file: the capture of a single node, which is named `node`, or a combined
/// capture with a marker line `>> node NAME <<` above the rows of each node. The file is
/// read once, so it can be a pipe; `-` is standard input.
///
/// # Errors
/// If it cannot be read, or it is not clear which node a row belongs to.
pub fn read_file(path: &Path, mut sink: impl FnMut(&NodeName, Row<'_>)) -> Result<Vec<Node>, EvidenceError> {
    let unmarked = NodeName::unnamed();
    let own = OwnAddresses::new(None);
    let mut sink = |name: &NodeName, row: Row<'_>| {
        if let Some(row) = own.own_row(name, row) {
            sink(name, row);
        }
    };
    let summaries = if path.as_os_str() == "-" {
        read_combined_file(io::stdin().lock(), path, Some(&unmarked), &mut sink)?
    } else {
        let file = File::open(path).map_err(EvidenceError::io("read", path))?;
        read_combined_file(file, path, Some(&unmarked), &mut sink)?
    };
    let node = |(name, summary)| own_node(name, summary, next_step::capture, &own);
    Ok(summaries.into_iter().map(node).collect())
}

fn read_combined_file(
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

/// The node for a capture that could not be made.
#[must_use]
pub fn unread(name: NodeName, gap: Gap) -> Node {
    let status = match gap.why {
        GapReason::NotSupported => NodeStatus::NotSupported,
        GapReason::Malformed => NodeStatus::Malformed,
        _ => NodeStatus::Unreachable,
    };
    Node {
        name,
        status,
        via: None,
        tally: Tally::default(),
        has_header: false,
        has_only_components: false,
        is_state_filtered: false,
        extent: Extent::Unknown,
        left_out: None,
        rejected: Vec::new(),
        gaps: vec![gap],
    }
}

/// The node for a capture. If the capture is of `conntrack`, only the connections of the
/// node's own addresses are its sockets.
fn own_node(name: NodeName, summary: CaptureSummary, next_step: NextStep, own: &OwnAddresses<'_>) -> Node {
    let is_conntrack = summary.is_conntrack();
    let mut node = node(name, summary, next_step);
    if is_conntrack && !own.are_known(&node.name) {
        let subject = Subject::Node(node.name.clone());
        let detail = "which of the addresses in its capture is its own is not known, since neither EC2 nor Kubernetes lists a node of this name, so none of the connections counts as its own";
        let hint = "name the file after the node's instance id, DNS name or private address".to_owned();
        node.gaps.push(Gap { subject, why: GapReason::Incomplete, detail: detail.to_owned(), hint });
    }
    node
}

/// The node for a capture, with the gaps that the capture implies.
#[must_use]
pub fn node(name: NodeName, summary: CaptureSummary, next_step: NextStep) -> Node {
    let cluster = Cluster::unknown();
    let gap = |why, detail: String| {
        let subject = Subject::Node(name.clone());
        let hint = next_step(&cluster, &subject, why);
        Gap { subject, why, detail, hint }
    };
    let mut gaps = Vec::new();
    let status = summary.status();
    match status {
        NodeStatus::Malformed => gaps.push(gap(GapReason::Malformed, summary.malformed())),
        NodeStatus::NoProcessNames => {
            let detail = if summary.is_conntrack() {
                "its capture is of conntrack, which lists connections and no processes: which ones are those of kubelet is not known"
            } else if summary.joined.is_some() {
                "no row of its capture lists a process: the descriptors were not read as root with the capability SYS_PTRACE"
            } else {
                "no row of its capture lists a process: it was not run as root"
            };
            gaps.push(gap(GapReason::NoProcessNames, detail.to_owned()));
        }
        _ => {}
    }
    if summary.is_conntrack() {
        let detail = "its capture is of conntrack, which is no list of sockets: connections that it does not track are not in it, and entries outlive their connections";
        gaps.push(gap(GapReason::Incomplete, detail.to_owned()));
    }
    if let Some(detail) = summary.joined.as_ref().and_then(|joined| joined.problem.as_ref()) {
        gaps.push(gap(GapReason::Incomplete, detail.clone()));
    }
    if summary.other_nodes > 0 {
        let detail =
            "its capture contains the marker line of another node, so some rows may belong to that node";
        gaps.push(gap(GapReason::Incomplete, detail.to_owned()));
    }
    if let Some(line) = summary.left_out {
        let detail = format!("line {line} of its capture says that lines were left out");
        gaps.push(gap(GapReason::Incomplete, detail));
    }
    if let Some(detail) = summary.filtered_problem() {
        gaps.push(gap(GapReason::Incomplete, detail));
    }
    if let Some(limit) = summary.cut_at() {
        let detail = format!(
            "its capture is exactly {limit} characters long, the limit at which Systems Manager cuts the output of a command"
        );
        gaps.push(gap(GapReason::Incomplete, detail));
    }
    match summary.broken {
        0 => {}
        broken => {
            let sockets = if broken == 1 { "1 socket".to_owned() } else { format!("{broken} sockets") };
            let detail = format!("{sockets} of its capture cannot be parsed; --verbose lists them");
            gaps.push(gap(GapReason::Incomplete, detail));
        }
    }
    Node {
        has_header: summary.has_header(),
        has_only_components: summary.has_only_components(),
        is_state_filtered: summary.is_state_filtered(),
        extent: if gaps.is_empty() { summary.extent() } else { Extent::Unknown },
        left_out: summary.left_out(),
        tally: summary.tally,
        rejected: summary.rejected,
        name,
        status,
        via: Some(Via::File),
        gaps,
    }
}
