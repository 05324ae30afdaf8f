//! Nodes, and the result of reading their sockets.

use std::ops::{AddAssign, Sub};

use serde::{Deserialize, Serialize};

use super::connection::Component;
use super::gap::{Gap, GapReason};
use super::name::NodeName;
use super::socket::SocketAddress;

/// A node that was read, or that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// The result of reading it.
    pub status: NodeStatus,
    /// By which way its sockets came; `None` if none did.
    pub via: Option<Via>,
    /// The numbers of lines in its capture, by kind.
    pub tally: Tally,
    /// Whether its capture has column headings, which shows that it was not filtered.
    pub has_header: bool,
    /// Whether every row of its capture that lists a process is of a Kubernetes component, as in
    /// no complete capture.
    pub has_only_components: bool,
    /// Whether its capture is limited to sockets in one state, by `ss` or by `grep`. Sockets
    /// in other states are not in it.
    pub is_state_filtered: bool,
    /// How much of a complete capture its capture is.
    pub extent: Extent,
    /// What its capture does not contain, if that was filtered on the node.
    pub left_out: Option<LeftOut>,
    /// The first rejected lines; [`Tally::rejected`] is the number of all.
    pub rejected: Vec<RejectedLine>,
    /// What is missing about it.
    pub gaps: Vec<Gap>,
}

impl Node {
    /// How many rejected lines are kept for display.
    pub const REJECTED_KEPT: usize = 1000;
    /// How many rejected lines of all nodes together are kept.
    pub const REJECTED_KEPT_OF_ALL: usize = 100_000;

    /// The number of its sockets, those included that were left out of its capture.
    #[must_use]
    pub fn sockets(&self) -> u64 {
        self.tally.rows.saturating_add(self.left_out.map_or(0, |left_out| left_out.sockets))
    }
}

/// What a capture does not contain that was filtered on the node. It contains every socket
/// of kubelet and kube-proxy, and every other to port 443 or at port 10250; maybe others too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeftOut {
    /// The number of the other sockets.
    pub sockets: u64,
    /// Whether a process named kube-proxy is known to exist.
    pub runs_kube_proxy: bool,
}

impl LeftOut {
    /// Whether a capture that was filtered contains a socket, `component` being one of its
    /// processes.
    #[must_use]
    pub fn contains(component: Option<Component>, local: &SocketAddress, peer: &SocketAddress) -> bool {
        component.is_some_and(Component::is_node_component) || peer.is_port(443) || local.is_port(10250)
    }
}

/// The way by which the sockets of a node came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// A login with ssh.
    Ssh,
    /// A pod, by kubectl.
    Kubectl,
    /// A command of Systems Manager.
    Ssm,
    /// A bundle of logs.
    Bundle,
    /// A capture that was made by other means.
    File,
}

impl Via {
    /// The way as text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ssh => "ssh",
            Self::Kubectl => "kubectl",
            Self::Ssm => "ssm",
            Self::Bundle => "bundle",
            Self::File => "file",
        }
    }
}

/// The next step for what is missing of a node whose evidence is a bundle of logs.
#[must_use]
pub fn bundle_step(why: GapReason) -> &'static str {
    match why {
        GapReason::NoProcessNames => {
            "make a bundle as root with eks-log-collector where netstat is installed: its system/netstat.txt has the processes; on Bottlerocket and EKS Auto Mode, which have none, read the node with --nodes kubectl"
        }
        GapReason::Malformed => "copy the bundle again, or make a new one with eks-log-collector as root",
        _ => {
            "make a new bundle with eks-log-collector as root, which adds system/netstat.txt where netstat is installed, or read the node with --nodes kubectl"
        }
    }
}

/// How much of a complete capture a capture is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extent {
    /// It may be a part.
    Unknown,
    /// Nothing suggests that it is a part: it has column headings and rows of several
    /// processes, one of which is no Kubernetes component. Some established sockets list no
    /// process.
    Whole,
    /// The same, and all list one.
    WholeWithProcesses,
}

/// The result of reading a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeStatus {
    /// Its sockets were read, with process names.
    Read,
    /// Its sockets were read without process names: the capture was not run as root, or is
    /// of `conntrack`.
    NoProcessNames,
    /// It could not be read for any other reason.
    Unreachable,
    /// This kind of node has no `ss` to run.
    NotSupported,
    /// Its capture contains neither a socket nor column headings.
    Malformed,
}

impl NodeStatus {
    /// Its name in reports.
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

/// The numbers of lines in a capture, by kind. Every line has exactly one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Column headings, the title line of `netstat`, marker lines `>> node NAME <<`, and the
    /// lines above the parts of a capture of `/proc`.
    pub headers: u64,
    /// Socket rows.
    pub rows: u64,
    /// Continuation lines of the row above them, and the lines of a capture of `/proc` with
    /// the owners of its sockets.
    pub continuations: u64,
    /// Rejected lines: everything else.
    pub rejected: u64,
}

impl Tally {
    /// The number of all lines.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.headers + self.rows + self.continuations + self.rejected
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.headers += other.headers;
        self.rows += other.rows;
        self.continuations += other.continuations;
        self.rejected += other.rejected;
    }
}

impl Sub for Tally {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            headers: self.headers - other.headers,
            rows: self.rows - other.rows,
            continuations: self.continuations - other.continuations,
            rejected: self.rejected - other.rejected,
        }
    }
}

/// A rejected line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedLine {
    /// Its line number in the file, from 1.
    pub number: u64,
    /// Why it was rejected.
    pub reason: RejectReason,
    /// The beginning of its text.
    pub text: String,
}

/// The reason why a line was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RejectReason {
    /// It is blank.
    Blank,
    /// It is not output of a tool that lists sockets: a prompt, a banner, a date.
    NotARow,
    /// It is a UDP, raw, unix or other socket that is not TCP.
    NotTcp,
    /// It is a row of a TCP socket that is truncated or invalid.
    BrokenRow,
    /// It has a host name instead of an address: the capture was made without `-n`.
    NameForAddress,
    /// It says that lines were left out: `...`, `[snip]`, the marker of a pager or of the
    /// SSM agent.
    LeftOut,
    /// It is longer than any row of `ss`.
    TooLong,
    /// It is the marker line of another node, in the capture of a single node.
    OtherNode,
}

impl RejectReason {
    /// Whether a line rejected for this reason was, or may have been, a TCP socket.
    #[must_use]
    pub fn may_be_socket(self) -> bool {
        matches!(self, Self::BrokenRow | Self::NameForAddress | Self::TooLong)
    }

    /// The reason as text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blank => "blank",
            Self::NotARow => "not a socket row",
            Self::NotTcp => "not a TCP socket",
            Self::BrokenRow => "a truncated or invalid socket row",
            Self::NameForAddress => "a host name instead of an address",
            Self::LeftOut => "a marker of lines that were left out",
            Self::TooLong => "longer than any row of ss",
            Self::OtherNode => "the marker line of another node",
        }
    }
}
