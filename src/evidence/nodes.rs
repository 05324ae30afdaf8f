//! Nodes: the text of `ss -tnp` and its relatives, from bytes to sockets.
//!
//! Captures are read in pieces and never held whole: each row is handed on and
//! forgotten.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::directory::{EvidenceDir, open_file};
use crate::capture::line::Row;
use crate::capture::parser::{Event, Parser};
use crate::model::gap::{Gap, GapReason};
use crate::model::name::{NodeName, NotANodeName};
use crate::model::node::{Node, NodeStatus, RejectReason, RejectedLine, Tally};

/// How much of a rejected line is kept.
const TEXT_KEPT: usize = 200;

/// Reads every capture of an evidence directory and hands each row to `sink`.
///
/// # Errors
/// If a capture cannot be read, or it is not clear which node a row is of.
pub fn read_nodes(dir: &EvidenceDir, mut sink: impl FnMut(&NodeName, Row<'_>)) -> Result<Vec<Node>> {
    let mut readings = BTreeMap::new();
    for (name, path) in dir.node_files()? {
        let reading = read_single(&name, &path, &mut sink)?;
        readings.insert(name, reading);
    }
    if let Some(path) = dir.nodes_file()? {
        for (name, reading) in read_looped(open_file(&path)?, &path, None, &mut sink)? {
            if readings.contains_key(&name) {
                bail!("nodes/{name}.txt and {} both hold node {name}; keep one of them", path.display());
            }
            readings.insert(name, reading);
        }
    }
    let mut nodes: BTreeMap<_, _> =
        readings.into_iter().map(|(name, reading)| (name.clone(), reading.into_node(name))).collect();
    for (name, gap) in dir.unread_nodes()? {
        match nodes.entry(name) {
            Entry::Vacant(entry) => {
                let name = entry.key().clone();
                entry.insert(unread(name, gap));
            }
            // It was captured, but not as it should have been.
            Entry::Occupied(mut entry) => {
                let gaps = &mut entry.get_mut().gaps;
                // Who recorded it knows better why it has no names.
                gaps.retain(|known| known.why != gap.why || gap.why != GapReason::NoProcessNames);
                gaps.push(gap);
            }
        }
    }
    Ok(nodes.into_values().collect())
}

fn unread(name: NodeName, gap: Gap) -> Node {
    let status = match gap.why {
        GapReason::NotSupported => NodeStatus::NotSupported,
        GapReason::Malformed => NodeStatus::Malformed,
        _ => NodeStatus::Unreachable,
    };
    Node { name, status, tally: Tally::default(), has_head: false, rejected: Vec::new(), gaps: vec![gap] }
}

/// Reads one file, once, so that it may be a pipe, or standard input where it is
/// called `-`: the capture of a node, which is called `node` then, or of several,
/// each below a line `>> node NAME <<`.
///
/// # Errors
/// If it cannot be read, or it is not clear which node a row is of.
pub fn read_file(path: &Path, mut sink: impl FnMut(&NodeName, Row<'_>)) -> Result<Vec<Node>> {
    let unmarked: NodeName = "node".parse()?;
    let readings = if path.as_os_str() == "-" {
        read_looped(io::stdin().lock(), path, Some(&unmarked), &mut sink)?
    } else {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        read_looped(file, path, Some(&unmarked), &mut sink)?
    };
    Ok(readings.into_iter().map(|(name, reading)| reading.into_node(name)).collect())
}

/// Reads a capture that is held whole.
pub fn read_bytes(name: &NodeName, mut bytes: &[u8], mut sink: impl FnMut(Row<'_>)) -> Node {
    let mut reading = Reading::default();
    let mut parser = Parser::new();
    let mut take = |event: Event<'_>| match event {
        Event::Row(row) => {
            reading.row(&row);
            sink(row);
        }
        Event::Rejected { number, reason, text } => reading.reject(number, reason, text),
        Event::Node { number, name: marked, .. } => {
            reading.other_node += 1;
            reading.reject(number, RejectReason::OtherNode, marked);
        }
    };
    // A slice gives all it has.
    while matches!(parser.read_from(&mut bytes, &mut take), Ok(1..)) {}
    let tally = parser.finish(&mut take);
    reading.tally = tally;
    reading.tally.headers -= reading.other_node;
    reading.tally.rejected += reading.other_node;
    reading.into_node(name.clone())
}

/// What a capture gave so far.
#[derive(Debug, Default)]
struct Reading {
    tally: Tally,
    /// How many of the headers are `>> node NAME <<` lines.
    markers: u64,
    /// How many such lines name another node than the file does.
    other_node: u64,
    /// How many sockets stand there in a way that cannot be read.
    broken: u64,
    /// Whether any row names a process.
    named: bool,
    rejected: Vec<RejectedLine>,
}

impl Reading {
    fn row(&mut self, row: &Row<'_>) {
        self.named |= !row.processes.is_empty();
    }

    fn reject(&mut self, number: u64, reason: RejectReason, text: &[u8]) {
        self.broken += u64::from(reason.hides_a_socket());
        if self.rejected.len() < Node::REJECTED_KEPT {
            let text = String::from_utf8_lossy(&text[..text.len().min(TEXT_KEPT)]).into_owned();
            self.rejected.push(RejectedLine { number, reason, text });
        }
    }

    fn merge(&mut self, more: Self) {
        self.tally += more.tally;
        self.markers += more.markers;
        self.broken += more.broken;
        self.named |= more.named;
        self.rejected.extend(more.rejected);
        self.rejected.truncate(Node::REJECTED_KEPT);
    }

    fn into_node(self, name: NodeName) -> Node {
        let has_head = self.tally.headers > self.markers;
        let status = match (self.tally.rows, self.named) {
            (0, _) if !has_head => NodeStatus::Malformed,
            (0, _) | (_, true) => NodeStatus::Read,
            (_, false) => NodeStatus::NoProcessNames,
        };
        let gap = |why, detail: String, hint: String| Gap { what: format!("node {name}"), why, detail, hint };
        let mut gaps = Vec::new();
        if status == NodeStatus::Malformed {
            gaps.push(self.no_sockets(&name));
        }
        if status == NodeStatus::NoProcessNames {
            gaps.push(gap(
                GapReason::NoProcessNames,
                "no row of its capture names a process: not run as root".to_owned(),
                format!("capture it with root rights: ssh {name} sudo ss -tnp"),
            ));
        }
        if self.other_node > 0 {
            gaps.push(gap(
                GapReason::Incomplete,
                "its capture holds the marker of another node, so some rows may be of that one".to_owned(),
                "put looped output into nodes.txt".to_owned(),
            ));
        }
        if self.broken > 0 {
            let sockets =
                if self.broken == 1 { "1 socket".to_owned() } else { format!("{} sockets", self.broken) };
            gaps.push(gap(
                GapReason::Incomplete,
                format!("{sockets} of its capture cannot be read"),
                format!("see which with --verbose, then capture it anew: ssh {name} sudo ss -tnp"),
            ));
        }
        Node { name, status, tally: self.tally, has_head, rejected: self.rejected, gaps }
    }

    fn no_sockets(&self, name: &NodeName) -> Gap {
        let says = self.rejected.iter().find(|line| line.reason != RejectReason::Blank);
        let detail = match says {
            Some(line) if is_utf16(&line.text) => {
                "its capture is UTF-16, as PowerShell's `>` writes it; save it as UTF-8".to_owned()
            }
            Some(line) if line.text.contains(is_of_no_text) => {
                "its capture is no text; if it is packed, unpack it".to_owned()
            }
            Some(line) => format!(
                "no line of its capture is a socket; line {} says {:?}",
                line.number,
                line.text.trim()
            ),
            None => "its capture is empty".to_owned(),
        };
        Gap {
            what: format!("node {name}"),
            why: GapReason::Malformed,
            detail,
            hint: format!("capture it anew: ssh {name} sudo ss -tnp"),
        }
    }
}

/// ASCII text in UTF-16 has a NUL after each character.
fn is_utf16(text: &str) -> bool {
    let is_text = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    text.as_bytes().windows(4).any(|four| matches!(four, [a, 0, b, 0] if is_text(*a) && is_text(*b)))
}

/// Tabs, and what colours a terminal's text, may be in text.
fn is_of_no_text(char: char) -> bool {
    char.is_control() && !matches!(char, '\t' | '\r' | '\x1b')
}

/// Reads `nodes/NODE.txt`.
fn read_single(name: &NodeName, path: &Path, sink: &mut impl FnMut(&NodeName, Row<'_>)) -> Result<Reading> {
    let mut reading = Reading::default();
    let tally = read_events(open_file(path)?, path, |event| match event {
        Event::Row(row) => {
            reading.row(&row);
            sink(name, row);
        }
        Event::Rejected { number, reason, text } => reading.reject(number, reason, text),
        // Whoever runs a process can put a line feed into its name, so a marker
        // must not hand the rows below it to another node.
        Event::Node { number, name: marked, .. } if marked != name.as_str().as_bytes() => {
            reading.other_node += 1;
            reading.reject(number, RejectReason::OtherNode, marked);
        }
        Event::Node { .. } => reading.markers += 1,
    })?;
    reading.tally = tally;
    reading.tally.headers -= reading.other_node;
    reading.tally.rejected += reading.other_node;
    Ok(reading)
}

/// Reads captures of several nodes. Lines above the first marker are counted with
/// the first node; rows there are `unmarked`'s if there is no marker at all.
fn read_looped(
    file: impl Read,
    path: &Path,
    unmarked: Option<&NodeName>,
    sink: &mut impl FnMut(&NodeName, Row<'_>),
) -> Result<BTreeMap<NodeName, Reading>> {
    let mut readings: BTreeMap<NodeName, Reading> = BTreeMap::new();
    let mut name: Option<NodeName> = None;
    let mut reading = Reading::default();
    let mut counted = Tally::default();
    let mut has_unmarked = false;
    let mut trouble = None;
    let above_all = || "a socket row stands above the first `>> node NAME <<` line".to_owned();
    let tally = read_events(file, path, |event| match event {
        Event::Row(row) => {
            has_unmarked |= name.is_none();
            match name.as_ref().or(unmarked) {
                Some(name) => {
                    reading.row(&row);
                    sink(name, row);
                }
                None => {
                    trouble.get_or_insert_with(above_all);
                }
            }
        }
        Event::Rejected { number, reason, text } => reading.reject(number, reason, text),
        Event::Node { number, name: marked, above } => {
            if has_unmarked {
                trouble.get_or_insert_with(above_all);
            }
            let Some(next) = std::str::from_utf8(marked).ok().and_then(|text| text.parse().ok()) else {
                let text = String::from_utf8_lossy(&marked[..marked.len().min(TEXT_KEPT)]);
                trouble
                    .get_or_insert_with(|| format!("line {number}: {text:?} names no node: {NotANodeName}"));
                return;
            };
            if let Some(name) = name.replace(next) {
                reading.tally = above - counted;
                counted = above;
                readings.entry(name).or_default().merge(std::mem::take(&mut reading));
            }
            reading.markers += 1;
        }
    })?;
    let name = name.or_else(|| unmarked.cloned());
    let trouble = trouble.or_else(|| name.is_none().then(|| "it has no `>> node NAME <<` line".to_owned()));
    if let Some(trouble) = trouble {
        bail!("{}: {trouble}; write `>> node NAME <<` above each node's rows", path.display());
    }
    if let Some(name) = name {
        reading.tally = tally - counted;
        readings.entry(name).or_default().merge(reading);
    }
    Ok(readings)
}

fn read_events(mut file: impl Read, path: &Path, mut sink: impl FnMut(Event<'_>)) -> Result<Tally> {
    let mut parser = Parser::new();
    while parser.read_from(&mut file, &mut sink).with_context(|| format!("cannot read {}", path.display()))?
        > 0
    {}
    Ok(parser.finish(&mut sink))
}
