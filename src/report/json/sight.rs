//! What each place sees of the endpoint, in JSON.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::words::{Path, PlaceKind, Reaches, Resolves, SeenBy};
use crate::model::facts::Facts;

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SightReport {
    /// `here`, a node, or another vantage point.
    place: String,
    kind: PlaceKind,
    address: IpAddr,
    /// Whether the endpoint's name resolves to the address there; unknown without an answer.
    resolves: Resolves,
    /// Whether a process there has an established connection to it, or a probe connected; no if a probe failed, or all
    /// connections hang in SYN-SENT.
    reaches: Reaches,
    /// Whether something at the address of an EKS-owned ENI answered TCP, of which it was not checked what it is;
    /// `reaches` is unknown then.
    tcp_answered: bool,
    path: Path,
    eni: Option<String>,
    /// The evidence: dns, socket, probe.
    by: Vec<SeenBy>,
}

/// What each place sees, each row converted when it is written.
#[derive(Debug)]
pub(super) struct Sights<'a>(pub(super) Option<&'a Facts>);

impl Serialize for Sights<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sights = self
            .0
            .into_iter()
            .flat_map(|facts| facts.seen_from.sights.iter().map(move |sight| (facts, sight)));
        let rows = sights.filter_map(|(facts, sight)| {
            let place = facts.seen_from.places.get(sight.place)?;
            let view = &sight.view;
            Some(SightReport {
                place: place.name.clone(),
                kind: place.kind.into(),
                address: sight.address,
                resolves: view.resolves.into(),
                reaches: view.reaches.into(),
                tcp_answered: view.tcp_answered,
                path: view.path.into(),
                eni: sight.eni.map(|index| facts.interfaces[index].interface.id.clone()),
                by: view.by.iter().map(|by| SeenBy::from(*by)).collect(),
            })
        });
        serializer.collect_seq(rows)
    }
}
