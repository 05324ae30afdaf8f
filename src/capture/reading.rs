//! A capture read to its end: its sockets are passed on one by one, and the rest is
//! summed up.

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::line::Row;
use super::parser::{Event, Parser};
use crate::model::name::{NodeName, NotANodeName};
use crate::model::node::{Node, NodeStatus, RejectReason, RejectedLine, Tally};

/// How much of a rejected line is kept.
const TEXT_KEPT: usize = 200;

/// Everything about a node's capture except its sockets.
#[derive(Debug, Default)]
pub struct CaptureSummary {
    /// How many lines there were, by kind.
    pub tally: Tally,
    /// The first lines that were not a row.
    pub rejected: Vec<RejectedLine>,
    /// How many lines were sockets that could not be parsed.
    pub broken: u64,
    /// How many `>> node NAME <<` lines name another node.
    pub other_nodes: u64,
    /// How many such lines name this node.
    own_markers: u64,
    /// Whether any row names a process.
    is_named: bool,
}

impl CaptureSummary {
    /// Reads the capture of one node, and passes each row to `sink`.
    ///
    /// # Errors
    /// If `reader` fails.
    pub fn read(name: &NodeName, reader: impl Read, mut sink: impl FnMut(Row<'_>)) -> io::Result<Self> {
        let mut reading = Self::default();
        let tally = parse(reader, |event| match event {
            Event::Row(row) => {
                reading.row(&row);
                sink(row);
            }
            Event::Rejected { number, reason, text } => reading.reject(number, reason, text),
            // A process's name can contain a line feed, so a marker must not assign the
            // rows below it to another node.
            Event::Node { number, name: marked, .. } if marked != name.as_str().as_bytes() => {
                reading.other_nodes += 1;
                reading.reject(number, RejectReason::OtherNode, marked);
            }
            Event::Node { .. } => reading.own_markers += 1,
        })?;
        reading.tally = tally;
        reading.tally.headers -= reading.other_nodes;
        reading.tally.rejected += reading.other_nodes;
        Ok(reading)
    }

    /// Whether it has the column headings, so that it was not filtered.
    #[must_use]
    pub fn has_header(&self) -> bool {
        self.tally.headers > self.own_markers
    }

    /// Whether sockets are missing from it.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.broken > 0 || self.other_nodes > 0 || self.status() == NodeStatus::Malformed
    }

    /// What it amounts to.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        match (self.tally.rows, self.is_named) {
            (0, _) if !self.has_header() => NodeStatus::Malformed,
            (0, _) | (_, true) => NodeStatus::Read,
            (_, false) => NodeStatus::NoProcessNames,
        }
    }

    /// Why no line of it is a socket, in words.
    #[must_use]
    pub fn malformed(&self) -> String {
        let first = self.rejected.iter().find(|line| line.reason != RejectReason::Blank);
        match first {
            Some(line) if is_utf16(&line.text) => {
                "its capture is UTF-16, as PowerShell's `>` writes it; save it as UTF-8".to_owned()
            }
            Some(line) if line.text.contains(is_binary) => {
                "its capture is not text; if it is compressed, decompress it".to_owned()
            }
            Some(line) => {
                format!("no line of its capture is a socket; line {} is {:?}", line.number, line.text.trim())
            }
            None => "its capture is empty".to_owned(),
        }
    }

    fn row(&mut self, row: &Row<'_>) {
        self.is_named |= !row.processes.is_empty();
    }

    fn reject(&mut self, number: u64, reason: RejectReason, text: &[u8]) {
        self.broken += u64::from(reason.may_be_socket());
        if self.rejected.len() < Node::REJECTED_KEPT {
            self.rejected.push(RejectedLine { number, reason, text: kept(text) });
        }
    }

    fn merge(&mut self, more: Self) {
        self.tally += more.tally;
        self.own_markers += more.own_markers;
        self.broken += more.broken;
        self.is_named |= more.is_named;
        self.rejected.extend(more.rejected);
        self.rejected.truncate(Node::REJECTED_KEPT);
    }
}

fn kept(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(TEXT_KEPT)]).into_owned()
}

/// ASCII text in UTF-16 has a NUL after each character.
fn is_utf16(text: &str) -> bool {
    let is_text = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    text.as_bytes().windows(4).any(|four| matches!(four, [a, 0, b, 0] if is_text(*a) && is_text(*b)))
}

/// TABs and the escape codes of a terminal's colours occur in text.
fn is_binary(char: char) -> bool {
    char.is_control() && !matches!(char, '\t' | '\r' | '\x1b')
}

/// Why a capture of several nodes cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CombinedCaptureError {
    /// The reader failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not clear which node a row belongs to.
    #[error("{0}; write `>> node NAME <<` above each node's rows")]
    Unassigned(String),
}

/// Reads a capture of several nodes, each below a line `>> node NAME <<`, and passes
/// each row to `sink`. Lines above the first such line count for the first node; rows
/// there belong to the node `unmarked` if there is no such line at all.
///
/// # Errors
/// If `reader` fails, or it is not clear which node a row belongs to.
pub fn read_combined(
    reader: impl Read,
    unmarked: Option<&NodeName>,
    mut sink: impl FnMut(&NodeName, Row<'_>),
) -> Result<BTreeMap<NodeName, CaptureSummary>, CombinedCaptureError> {
    let mut readings: BTreeMap<NodeName, CaptureSummary> = BTreeMap::new();
    let mut name: Option<NodeName> = None;
    let mut reading = CaptureSummary::default();
    let mut counted = Tally::default();
    let mut has_unmarked = false;
    let mut problem = None;
    let above_all = || "a socket row stands above the first `>> node NAME <<` line".to_owned();
    let tally = parse(reader, |event| match event {
        Event::Row(row) => {
            has_unmarked |= name.is_none();
            match name.as_ref().or(unmarked) {
                Some(name) => {
                    reading.row(&row);
                    sink(name, row);
                }
                None => {
                    problem.get_or_insert_with(above_all);
                }
            }
        }
        Event::Rejected { number, reason, text } => reading.reject(number, reason, text),
        Event::Node { number, name: marked, above } => {
            if has_unmarked {
                problem.get_or_insert_with(above_all);
            }
            let Some(next) = std::str::from_utf8(marked).ok().and_then(|text| text.parse().ok()) else {
                problem.get_or_insert_with(|| {
                    format!("line {number}: {:?} is not a node name: {NotANodeName}", kept(marked))
                });
                return;
            };
            if let Some(name) = name.replace(next) {
                reading.tally = above - counted;
                counted = above;
                readings.entry(name).or_default().merge(std::mem::take(&mut reading));
            }
            reading.own_markers += 1;
        }
    })?;
    let name = name.or_else(|| unmarked.cloned());
    let problem = problem.or_else(|| name.is_none().then(|| "it has no `>> node NAME <<` line".to_owned()));
    if let Some(problem) = problem {
        return Err(CombinedCaptureError::Unassigned(problem));
    }
    if let Some(name) = name {
        reading.tally = tally - counted;
        readings.entry(name).or_default().merge(reading);
    }
    Ok(readings)
}

fn parse(mut reader: impl Read, mut sink: impl FnMut(Event<'_>)) -> io::Result<Tally> {
    let mut parser = Parser::new();
    while parser.read_from(&mut reader, &mut sink)? > 0 {}
    Ok(parser.finish(&mut sink))
}
