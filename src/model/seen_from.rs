//! What each place sees of the API server: whether the endpoint's name resolves there to an
//! address, and whether the place reaches it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;

use super::connection::Path;
pub use super::name::HERE;
use super::reaches::Reaches;

/// What each place sees of the API server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeenFrom {
    /// The places, the operator's first, then sorted by name.
    pub places: Vec<VantagePoint>,
    /// What they see, in the order of the places, then by address.
    pub sights: Vec<Sight>,
    /// The number of sights that are not kept.
    pub omitted: u64,
}

/// A place from which the API server was seen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct VantagePoint {
    /// Its kind.
    pub kind: PlaceKind,
    /// Its name: `here`, a node, or the name of another vantage point.
    pub name: String,
}

/// The kind of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PlaceKind {
    /// The host of the operator.
    Operator,
    /// A node.
    Node,
    /// Another vantage point, such as a name server.
    Other,
}

/// What a place sees of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// The place, as an index into [`SeenFrom::places`].
    pub place: usize,
    /// The address.
    pub address: IpAddr,
    /// The network interface that has the address, as an index into
    /// [`Facts::interfaces`](super::facts::Facts::interfaces).
    pub eni: Option<usize>,
    /// What is known of it.
    pub view: View,
}

/// What is known of an address at a place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct View {
    /// Whether the endpoint's name resolves to it there.
    pub resolves: Resolves,
    /// Whether the place reaches it.
    pub reaches: Reaches,
    /// Whether something answered TCP there, of which it was not checked what it is, so that it
    /// is not known whether the place reaches the API server.
    pub tcp_answered: bool,
    /// The path to it.
    pub path: Path,
    /// The kinds of evidence, sorted.
    pub by: Vec<SeenBy>,
}

impl View {
    /// Whether it says more than that the name does not resolve to the address there.
    fn is_telling(&self) -> bool {
        self.resolves == Resolves::Yes || self.reaches != Reaches::Unknown || self.tcp_answered
    }
}

/// Whether the endpoint's name resolves to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resolves {
    /// It does.
    Yes,
    /// It does not: the answer has other addresses.
    No,
    /// It is not known: no answer was seen, or a part of one.
    Unknown,
}

impl Resolves {
    /// Its name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown => "unknown",
        }
    }
}

/// A kind of evidence by which something is known of an address at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SeenBy {
    /// The DNS answer there.
    Dns,
    /// A socket there.
    Socket,
    /// A probe from there.
    Probe,
}

impl SeenBy {
    /// Its name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Socket => "socket",
            Self::Probe => "probe",
        }
    }
}

/// Places that see the same of the same addresses.
#[derive(Debug, PartialEq, Eq)]
pub struct SightGroup<'a> {
    /// Their kind.
    pub kind: PlaceKind,
    /// The places.
    pub places: Vec<&'a str>,
    /// The addresses.
    pub addresses: Vec<IpAddr>,
    /// What is known of them.
    pub view: &'a View,
}

impl SeenFrom {
    /// The places that see the same, for text: those of one kind, the most places first. What
    /// says no more than that a name does not resolve to an address is left out.
    #[must_use]
    pub fn groups(&self) -> Vec<SightGroup<'_>> {
        let mut groups: BTreeMap<(PlaceKind, &View, Vec<IpAddr>), Vec<&str>> = BTreeMap::new();
        for of_place in self.sights.chunk_by(|a, b| a.place == b.place) {
            let mut views: BTreeMap<&View, Vec<IpAddr>> = BTreeMap::new();
            for sight in of_place.iter().filter(|sight| sight.view.is_telling()) {
                views.entry(&sight.view).or_default().push(sight.address);
            }
            let Some(place) = of_place.first().and_then(|first| self.places.get(first.place)) else {
                continue;
            };
            for (view, addresses) in views {
                groups.entry((place.kind, view, addresses)).or_default().push(&place.name);
            }
        }
        let group = |((kind, view, addresses), places)| SightGroup { kind, places, addresses, view };
        let mut groups: Vec<_> = groups.into_iter().map(group).collect();
        groups.sort_by_key(|group| (group.kind, Reverse(group.places.len())));
        groups
    }
}

impl PlaceKind {
    /// Its name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Node => "node",
            Self::Other => "other",
        }
    }
}
