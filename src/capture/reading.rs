//! Reading of whole captures: each socket row is passed to a callback, and everything
//! else about the capture is summarised.

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::filtered::Comments;
use super::line::Row;
use super::parser::{Event, Parser};
use super::proc_join::Joined;
use super::variety::Variety;
use crate::model::name::{NodeName, NotANodeName};
use crate::model::node::{Extent, LeftOut, Node, NodeStatus, RejectReason, RejectedLine, Tally};
use crate::model::socket::State;

/// How many bytes of a rejected line are kept.
const TEXT_KEPT: usize = 200;

/// A summary of a node's capture: everything except its sockets.
#[derive(Debug, Default)]
pub struct CaptureSummary {
    /// The numbers of lines by kind.
    pub tally: Tally,
    /// The first rejected lines.
    pub rejected: Vec<RejectedLine>,
    /// How many rejected lines were, or may have been, TCP sockets.
    pub broken: u64,
    /// How many marker lines `>> node NAME <<` name another node.
    pub other_nodes: u64,
    /// How many marker lines name this node.
    own_markers: u64,
    /// The number of the first line that says that lines were left out.
    pub left_out: Option<u64>,
    /// The limit at which the capture ends: that of a service that cuts output.
    pub(crate) cut_at: Option<u64>,
    /// What is known of a capture of `/proc`, if it is one.
    pub joined: Option<Joined>,
    /// How many rows are entries of `conntrack`.
    tracked: u64,
    /// How many rows lack the column of the state, as with `ss state X`.
    stateless: u64,
    /// How many rows are established.
    established: u64,
    /// Whether any row lists a process.
    has_process_names: bool,
    /// Of which processes its rows are.
    variety: Variety,
    /// The comment lines of a capture that was filtered on the node.
    comments: Comments,
    /// Whether a row was read.
    has_rows: bool,
}

impl CaptureSummary {
    /// Reads the capture of one node, and passes each row to `sink`.
    ///
    /// # Errors
    /// If `reader` fails.
    pub fn read(name: &NodeName, reader: impl Read, mut sink: impl FnMut(Row<'_>)) -> io::Result<Self> {
        let mut summary = Self::default();
        let mut reader = Counted::new(reader);
        let tally = parse(&mut reader, |event| match event {
            Event::Row(row) => {
                summary.add_row(&row);
                sink(row);
            }
            Event::Rejected { number, reason, text } => summary.add_rejected(number, reason, text),
            Event::Joined(joined) => summary.add_joined(joined),
            // A process name can contain a line feed and so forge a marker line, which
            // must not assign the rows below it to another node.
            Event::Node { number, name: marked, .. } if marked != name.as_str().as_bytes() => {
                summary.other_nodes += 1;
                summary.keep_rejected(number, RejectReason::OtherNode, marked);
            }
            Event::Node { .. } => summary.own_markers += 1,
        })?;
        let characters = [reader.characters, reader.characters - reader.returns];
        summary.cut_at = characters.into_iter().find_map(|characters| limit(characters, reader.last));
        summary.set_tally(tally);
        summary.tally.headers -= summary.other_nodes;
        summary.tally.rejected += summary.other_nodes;
        Ok(summary)
    }

    /// Whether the capture has column headings, which shows that it was not filtered.
    #[must_use]
    pub fn has_header(&self) -> bool {
        self.tally.headers > self.own_markers + self.comments.count
    }

    /// The status of the node that the capture implies.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        match (self.tally.rows, self.has_process_names) {
            (0, _) if !self.has_header() || self.broken > 0 => NodeStatus::Malformed,
            (0, false) if self.left_out().is_some_and(|left_out| left_out.sockets > 0) => {
                NodeStatus::NoProcessNames
            }
            (0, _) | (_, true) => NodeStatus::Read,
            (_, false) => NodeStatus::NoProcessNames,
        }
    }

    /// Explains why no line of the capture is a socket.
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

    /// Whether every row that lists a process is of a Kubernetes component, as after `grep
    /// kubelet`. In a complete capture, rows of other processes of the host occur.
    #[must_use]
    pub fn has_only_components(&self) -> bool {
        self.sockets() > 0 && !self.variety.has_host_process() && self.left_out().is_none()
    }

    /// What a whole capture that was filtered on the node does not contain.
    #[must_use]
    pub fn left_out(&self) -> Option<LeftOut> {
        let end = self.comments.whole(self.lines())?;
        Some(LeftOut { sockets: end.left_out(), runs_kube_proxy: end.runs_kube_proxy.unwrap_or(false) })
    }

    /// What is missing of a capture that was filtered on the node.
    #[must_use]
    pub fn filtered_problem(&self) -> Option<String> {
        self.comments.problem(self.lines())
    }

    /// The number of lines that are or may be rows, or belong to one.
    fn lines(&self) -> u64 {
        self.tally.rows + self.tally.continuations + self.broken
    }

    /// Sets the counts of all lines, with comment lines among the headings.
    fn set_tally(&mut self, tally: Tally) {
        self.tally = tally;
        self.tally.rejected -= self.comments.count;
        self.tally.headers += self.comments.count;
        if let Some(end) = self.comments.whole(self.lines()) {
            self.has_process_names |= end.named > 0;
        }
        if self.comments.is_filtered() {
            // Its last line shows whether it was cut.
            self.cut_at = None;
        }
    }

    /// Whether the capture is limited to sockets in one state: `ss` selected a state and
    /// omitted its column, or neither headings nor a row in another state is left, as after
    /// `grep ESTAB`.
    #[must_use]
    pub fn is_state_filtered(&self) -> bool {
        let is_one_state = self.sockets() > 0 && self.established == self.sockets();
        self.stateless > 0 || is_one_state && !self.has_header()
    }

    /// How much of a complete capture it is.
    #[must_use]
    pub fn extent(&self) -> Extent {
        if self.comments.is_filtered() {
            return match self.comments.whole(self.lines()) {
                None => Extent::Unknown,
                // By the same rows as without a filter, which keeps one of each process.
                Some(end) if end.runs_kube_proxy.is_none() && !self.variety.is_unfiltered() => {
                    Extent::Unknown
                }
                Some(end) if end.nameless > 0 => Extent::Whole,
                Some(_) => Extent::WholeWithProcesses,
            };
        }
        if !self.has_header() || self.is_state_filtered() || !self.variety.is_unfiltered() {
            Extent::Unknown
        } else if self.variety.has_nameless {
            Extent::Whole
        } else {
            Extent::WholeWithProcesses
        }
    }

    /// The limit at which the capture was cut, by its length.
    #[must_use]
    pub fn cut_at(&self) -> Option<u64> {
        let is_whole = |joined: &Joined| joined.has_marks && joined.rows == self.tally.rows;
        self.cut_at.filter(|_| !self.joined.as_ref().is_some_and(is_whole))
    }

    /// Whether it has no sockets, only connections that `conntrack` lists.
    #[must_use]
    pub fn is_conntrack(&self) -> bool {
        self.tracked > 0 && self.sockets() == 0
    }

    /// The number of sockets.
    fn sockets(&self) -> u64 {
        self.tally.rows - self.tracked
    }

    fn add_joined(&mut self, joined: Joined) {
        match &mut self.joined {
            Some(known) => known.merge(joined),
            None => self.joined = Some(joined),
        }
    }

    fn add_row(&mut self, row: &Row<'_>) {
        self.has_rows = true;
        self.comments.row();
        if row.is_conntrack() {
            self.tracked += 1;
            return;
        }
        self.variety.add_row(row);
        self.has_process_names |= !row.processes.is_empty();
        self.stateless += u64::from(!row.has_state());
        self.established += u64::from(row.socket.state == State::Established);
    }

    fn add_rejected(&mut self, number: u64, reason: RejectReason, text: &[u8]) {
        let is_first = !self.has_rows && self.rejected.is_empty();
        if self.comments.read(text, is_first) {
            return;
        }
        self.keep_rejected(number, reason, text);
    }

    fn keep_rejected(&mut self, number: u64, reason: RejectReason, text: &[u8]) {
        self.broken += u64::from(reason.may_be_socket());
        if reason == RejectReason::LeftOut {
            self.left_out.get_or_insert(number);
        }
        if self.rejected.len() < Node::REJECTED_KEPT {
            self.rejected.push(RejectedLine { number, reason, text: truncated(text) });
        }
    }

    /// Keeps no more rejected lines than `left`, and subtracts their number from it.
    pub(crate) fn limit_rejected(&mut self, left: &mut usize) {
        self.rejected.truncate(*left);
        self.rejected.shrink_to_fit();
        *left -= self.rejected.len();
    }

    /// Adds the summary of another part of the same capture.
    pub(crate) fn merge(&mut self, other: Self) {
        self.tally += other.tally;
        self.own_markers += other.own_markers;
        self.broken += other.broken;
        self.left_out = self.left_out.or(other.left_out);
        self.cut_at = self.cut_at.or(other.cut_at);
        if let Some(joined) = other.joined {
            self.add_joined(joined);
        }
        self.tracked += other.tracked;
        self.stateless += other.stateless;
        self.established += other.established;
        self.has_process_names |= other.has_process_names;
        self.variety.merge(other.variety);
        self.comments.merge(other.comments);
        self.has_rows |= other.has_rows;
        self.rejected.extend(other.rejected);
        self.rejected.truncate(Node::REJECTED_KEPT);
    }
}

/// A reader that counts bytes, and characters as long as they are few.
struct Counted<R> {
    reader: R,
    bytes: u64,
    characters: u64,
    /// The carriage returns among them, which may have been added when the text was saved.
    returns: u64,
    last: u8,
}

/// The lengths, in characters, at which Systems Manager cuts the output of a command:
/// that of `GetCommandInvocation` and that of `ListCommandInvocations`.
///
/// <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetCommandInvocation.html>
const LIMITS: [u64; 2] = [24_000, 2_500];

/// The limit at which a text of this many characters ends, with or without a line feed
/// added to it.
fn limit(characters: u64, last: u8) -> Option<u64> {
    let without_line_feed = characters.saturating_sub(u64::from(last == b'\n'));
    LIMITS.into_iter().find(|limit| characters == *limit || without_line_feed == *limit)
}

impl<R> Counted<R> {
    fn new(reader: R) -> Self {
        Self { reader, bytes: 0, characters: 0, returns: 0, last: 0 }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.bytes += read as u64;
        // Text near the limits is short; do not examine the bytes of longer ones.
        if self.characters <= LIMITS[0] + 1 {
            let is_character = |byte: &&u8| **byte & 0xc0 != 0x80;
            self.returns += memchr::memchr_iter(b'\r', &buffer[..read]).count() as u64;
            self.characters += buffer[..read].iter().filter(is_character).count() as u64;
        }
        self.last = buffer[..read].last().copied().unwrap_or(self.last);
        Ok(read)
    }
}

fn truncated(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(TEXT_KEPT)]).into_owned()
}

/// Whether a text is UTF-16: ASCII characters then have a NUL after each of them.
fn is_utf16(text: &str) -> bool {
    let is_text = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    text.as_bytes().windows(4).any(|four| matches!(four, [a, 0, b, 0] if is_text(*a) && is_text(*b)))
}

/// Whether a character does not occur in text. TABs and terminal colour codes do.
fn is_binary(char: char) -> bool {
    char.is_control() && !matches!(char, '\t' | '\r' | '\x1b')
}

/// Why a combined capture cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CombinedCaptureError {
    /// The reader failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not clear which node a row belongs to.
    #[error("{0}; write `>> node NAME <<` above each node's rows")]
    Unassigned(String),
}

/// Reads a combined capture, in which the rows of each node follow a marker line
/// `>> node NAME <<`, and passes each row to `sink`. Above the first marker line, rows are
/// an error, and other lines count for the first node. Without any marker line, all rows
/// belong to the node `unmarked`, if one is passed.
///
/// # Errors
/// If `reader` fails, or it is not clear which node a row belongs to.
pub fn read_combined(
    reader: impl Read,
    unmarked: Option<&NodeName>,
    mut sink: impl FnMut(&NodeName, Row<'_>),
) -> Result<BTreeMap<NodeName, CaptureSummary>, CombinedCaptureError> {
    let mut summaries: BTreeMap<NodeName, CaptureSummary> = BTreeMap::new();
    let mut name: Option<NodeName> = None;
    let mut summary = CaptureSummary::default();
    let mut counted = Tally::default();
    let mut has_unmarked = false;
    let mut problem = None;
    let mut section = 0;
    let mut left = Node::REJECTED_KEPT_OF_ALL;
    let mut reader = Counted::new(reader);
    let row_above_markers = || "a socket row precedes the first `>> node NAME <<` line".to_owned();
    let tally = parse(&mut reader, |event| match event {
        Event::Row(row) => {
            has_unmarked |= name.is_none();
            match name.as_ref().or(unmarked) {
                Some(name) => {
                    summary.add_row(&row);
                    sink(name, row);
                }
                None => {
                    problem.get_or_insert_with(row_above_markers);
                }
            }
        }
        Event::Rejected { number, reason, text } => summary.add_rejected(number, reason, text),
        Event::Joined(joined) => summary.add_joined(joined),
        Event::Node { number, name: marked, above, range: (begin, end) } => {
            if has_unmarked {
                problem.get_or_insert_with(row_above_markers);
            }
            let text = std::str::from_utf8(marked).map_err(|_| NotANodeName::Malformed);
            let next = match text.and_then(str::parse) {
                Ok(next) => next,
                Err(error) => {
                    problem.get_or_insert_with(|| {
                        format!("line {number}: {:?} is not a node name: {error}", truncated(marked))
                    });
                    return;
                }
            };
            let start = std::mem::replace(&mut section, end);
            if let Some(name) = name.replace(next) {
                summary.cut_at = limit(begin - start, b'\n');
                summary.set_tally(above - counted);
                counted = above;
                summary.limit_rejected(&mut left);
                summaries.entry(name).or_default().merge(std::mem::take(&mut summary));
            }
            summary.own_markers += 1;
        }
    })?;
    let name = name.or_else(|| unmarked.cloned());
    let problem = problem.or_else(|| name.is_none().then(|| "it has no `>> node NAME <<` line".to_owned()));
    if let Some(problem) = problem {
        return Err(CombinedCaptureError::Unassigned(problem));
    }
    if let Some(name) = name {
        summary.cut_at = limit(reader.bytes - section, reader.last);
        summary.set_tally(tally - counted);
        summary.limit_rejected(&mut left);
        summaries.entry(name).or_default().merge(summary);
    }
    Ok(summaries)
}

fn parse(mut reader: impl Read, mut sink: impl FnMut(Event<'_>)) -> io::Result<Tally> {
    let mut parser = Parser::new();
    while parser.read_from(&mut reader, &mut sink)? > 0 {}
    Ok(parser.finish(&mut sink))
}
