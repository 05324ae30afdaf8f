//! Nodes and what reading one of them gave.

use std::ops::{AddAssign, Sub};

use super::gap::Gap;
use super::name::NodeName;

/// A node that was read, or that could not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// What reading it gave.
    pub status: NodeStatus,
    /// How the lines of its capture ended.
    pub tally: Tally,
    /// Whether its capture has the column heads, so that nobody filtered it.
    pub has_header: bool,
    /// The first lines that were no row; [`Tally::rejected`] counts them all.
    pub rejected: Vec<RejectedLine>,
    /// What is not known of it, and why.
    pub gaps: Vec<Gap>,
}

impl Node {
    /// How many rejected lines are kept for display.
    pub const REJECTED_KEPT: usize = 1000;
}

/// What reading a node gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeStatus {
    /// Its sockets, with process names.
    Read,
    /// Its sockets, but no row named a process: not run as root.
    NoProcessNames,
    /// Nothing: the node did not answer.
    Unreachable,
    /// Nothing: this kind of node has no `ss` to run.
    NotSupported,
    /// Text in which no line is a socket.
    Malformed,
}

impl NodeStatus {
    /// The word for it in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::NoProcessNames => "no-process-names",
            Self::Unreachable => "unreachable",
            Self::NotSupported => "not-supported",
            Self::Malformed => "malformed",
        }
    }
}

/// How the lines of a capture ended; every line ends in exactly one way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Column heads, `netstat`'s title and `>> node NAME <<` lines.
    pub headers: u64,
    /// Sockets.
    pub rows: u64,
    /// Lines that belong to the row above them.
    pub continuations: u64,
    /// Everything else.
    pub rejected: u64,
}

impl Tally {
    /// All lines read.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.headers + self.rows + self.continuations + self.rejected
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, more: Self) {
        self.headers += more.headers;
        self.rows += more.rows;
        self.continuations += more.continuations;
        self.rejected += more.rejected;
    }
}

impl Sub for Tally {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            headers: self.headers - before.headers,
            rows: self.rows - before.rows,
            continuations: self.continuations - before.continuations,
            rejected: self.rejected - before.rejected,
        }
    }
}

/// A line that is no socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedLine {
    /// Its number in the file, from 1.
    pub number: u64,
    /// Why it is none.
    pub reason: RejectReason,
    /// Its beginning, as it stood there.
    pub text: String,
}

/// Why a line is no socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RejectReason {
    /// Nothing on it.
    Blank,
    /// None of the forms of `ss` and `netstat`: prompts, banners, dates.
    NotARow,
    /// A UDP, raw, unix or other socket that is not TCP.
    NotTcp,
    /// A TCP socket of which something is missing or wrong.
    BrokenRow,
    /// A host name where an address should stand: captured without `-n`.
    NameForAddress,
    /// Longer than any line of `ss`.
    TooLong,
    /// A `>> node NAME <<` line of another node in a single node's capture.
    OtherNode,
}

impl RejectReason {
    /// Whether a line so rejected was, or may have been, a TCP socket.
    #[must_use]
    pub fn may_be_socket(self) -> bool {
        matches!(self, Self::BrokenRow | Self::NameForAddress | Self::TooLong)
    }

    /// The reason in words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blank => "blank",
            Self::NotARow => "not a socket row",
            Self::NotTcp => "not a TCP socket",
            Self::BrokenRow => "a socket row that is cut short or wrong",
            Self::NameForAddress => "a host name instead of an address: capture with -n",
            Self::TooLong => "longer than any row of ss",
            Self::OtherNode => "names another node than the file: put looped output into nodes.txt",
        }
    }
}
