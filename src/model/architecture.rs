//! The ways between operator, nodes and API server: what the access mode makes expected, what
//! was observed, and what differs.

use super::connection::Path;
use super::seen_from::SeenBy;

/// A leg: the ways from one party to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    /// From whom to whom.
    pub kind: LegKind,
    /// The expected ways.
    pub expected: Vec<ExpectedPath>,
    /// What was observed: sockets, probes and DNS answers, those that are alike as one.
    pub observed: Vec<Observation>,
    /// The number of observations that are not kept.
    pub omitted: usize,
    /// What differs from what is expected.
    pub differs: Vec<Difference>,
    /// What was not seen.
    pub not_seen: Vec<String>,
}

/// From whom to whom a leg leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LegKind {
    /// From the operator to the API server.
    OperatorToApi,
    /// From the nodes to the API server.
    NodeToApi,
    /// From the API server to the kubelets.
    ApiToKubelet,
}

impl LegKind {
    /// Its name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OperatorToApi => "operator-to-api",
            Self::NodeToApi => "node-to-api",
            Self::ApiToKubelet => "api-to-kubelet",
        }
    }

    /// Its title in text.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::OperatorToApi => "Operator -> API server",
            Self::NodeToApi => "Nodes -> API server",
            Self::ApiToKubelet => "API server -> kubelets (exec, attach, logs, port-forward)",
        }
    }
}

/// An expected way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedPath {
    /// For whom it is; may be empty.
    pub whose: String,
    /// Its hops. Of each the name, then its addresses and ids.
    pub hops: Vec<Vec<String>>,
}

/// Observations that are alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// The kind of evidence.
    pub by: SeenBy,
    /// What it shows.
    pub result: SightResult,
    /// The path.
    pub path: Path,
    /// The processes, if sockets show it.
    pub processes: Names,
    /// The places: `here`, or nodes.
    pub places: Names,
    /// The far ends: addresses, with the ids of their network interfaces.
    pub peers: Names,
}

/// What an observation shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SightResult {
    /// An established connection, or a probe that connected.
    Connected,
    /// A probe that something answered by TCP, of which it was not checked what it is.
    Answered,
    /// Attempts that are not answered.
    Hanging,
    /// A probe that failed.
    Failed,
    /// The name resolves to the far ends.
    Resolves,
}

impl SightResult {
    /// Its name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Answered => "answered",
            Self::Hanging => "hanging",
            Self::Failed => "failed",
            Self::Resolves => "resolves",
        }
    }
}

/// Names, of which some are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Names {
    /// The first ones, sorted.
    pub kept: Vec<String>,
    /// The number of all.
    pub total: usize,
}

impl Names {
    /// How many are kept.
    const KEPT: usize = 50;

    /// Keeps the first of these.
    pub fn new(names: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let (mut kept, mut total) = (Vec::new(), 0);
        for name in names {
            if total < Self::KEPT {
                kept.push(name.as_ref().to_owned());
            }
            total += 1;
        }
        Self { kept, total }
    }

    /// The first ones, and the number of the others.
    #[must_use]
    pub fn shown(&self, shown: usize) -> String {
        let kept = &self.kept[..self.kept.len().min(shown)];
        match self.total.saturating_sub(kept.len()) {
            0 => kept.join(", "),
            more => format!("{} and {more} more", kept.join(", ")),
        }
    }
}

/// Something that differs from what is expected.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// Its kind.
    pub kind: DifferenceKind,
    /// What differs, as a sentence without a full stop.
    pub text: String,
}

/// The kind of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DifferenceKind {
    /// Connections of before a change of mode.
    Stale,
    /// Connections on another path than the expected one; it is not known why.
    OtherPath,
    /// The name resolves to addresses of another path than the expected one.
    Dns,
    /// Attempts to connect are not answered.
    Hanging,
    /// A probe failed.
    Unreached,
    /// Nothing explains the far end.
    Unattributed,
}

impl DifferenceKind {
    /// Its name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::OtherPath => "other-path",
            Self::Dns => "dns",
            Self::Hanging => "hanging",
            Self::Unreached => "unreached",
            Self::Unattributed => "unattributed",
        }
    }
}

impl ExpectedPath {
    /// The way as a line of text.
    #[must_use]
    pub fn text(&self) -> String {
        let hop = |hop: &Vec<String>| match hop.as_slice() {
            [] => String::new(),
            [name] => name.clone(),
            [name, details @ ..] => format!("{name} ({})", details.join(", ")),
        };
        let hops = self.hops.iter().map(hop).collect::<Vec<_>>().join(" -> ");
        if self.whose.is_empty() { hops } else { format!("{}: {hops}", self.whose) }
    }
}

impl Observation {
    /// How many names a text has.
    pub const SHOWN: usize = 4;

    /// The places and processes as a line of text.
    #[must_use]
    pub fn who(&self) -> String {
        let places = self.places.shown(Self::SHOWN);
        if self.processes.total == 0 {
            places
        } else {
            format!("{} on {places}", self.processes.shown(Self::SHOWN))
        }
    }

    /// The observation as a line of text.
    #[must_use]
    pub fn text(&self) -> String {
        let does = match (self.by, self.result) {
            (_, SightResult::Resolves) => "the name resolves to",
            (SeenBy::Probe, SightResult::Connected) => "a probe connected to",
            (_, SightResult::Answered) => "TCP answered, not checked by what, at",
            (_, SightResult::Failed) => "a probe did not connect to",
            (_, SightResult::Hanging) => "not answered (SYN-SENT) by",
            (_, SightResult::Connected) => "connected with",
        };
        format!("{}: {does} {} ({})", self.who(), self.peers.shown(Self::SHOWN), self.path.as_str())
    }
}
