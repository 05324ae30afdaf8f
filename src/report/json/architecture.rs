//! The ways between operator, nodes and API server in JSON.

use schemars::JsonSchema;
use serde::Serialize;

use super::words::{DifferenceKind, LegKind, Path, SeenBy, SightResult};
use crate::model::architecture;

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct LegReport {
    leg: LegKind,
    /// The ways that the access mode makes expected, hop by hop.
    expected: Vec<String>,
    /// What sockets, probes and DNS answers show, those that are alike as one.
    observed: Vec<ObservationReport>,
    /// The number of observations that are not in `observed`.
    observed_omitted: usize,
    differs: Vec<DifferenceReport>,
    not_seen: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ObservationReport {
    text: String,
    by: SeenBy,
    result: SightResult,
    path: Path,
    /// The processes that have the connections, at most 50.
    processes: Vec<String>,
    /// `here`, or at most 50 nodes.
    places: Vec<String>,
    /// The number of all places.
    places_total: usize,
    /// The far ends, at most 50: addresses, with the ids of EKS-owned ENIs or the kinds of other interfaces.
    peers: Vec<String>,
    /// The number of all far ends.
    peers_total: usize,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct DifferenceReport {
    kind: DifferenceKind,
    text: String,
}

impl From<&architecture::Leg> for LegReport {
    fn from(leg: &architecture::Leg) -> Self {
        let difference = |difference: &architecture::Difference| DifferenceReport {
            kind: difference.kind.into(),
            text: difference.text.clone(),
        };
        Self {
            leg: leg.kind.into(),
            expected: leg.expected.iter().map(architecture::ExpectedPath::text).collect(),
            observed: leg.observed.iter().map(ObservationReport::from).collect(),
            observed_omitted: leg.omitted,
            differs: leg.differs.iter().map(difference).collect(),
            not_seen: leg.not_seen.clone(),
        }
    }
}

impl From<&architecture::Observation> for ObservationReport {
    fn from(observation: &architecture::Observation) -> Self {
        Self {
            text: observation.text(),
            by: observation.by.into(),
            result: observation.result.into(),
            path: observation.path.into(),
            processes: observation.processes.kept.clone(),
            places: observation.places.kept.clone(),
            places_total: observation.places.total,
            peers: observation.peers.kept.clone(),
            peers_total: observation.peers.total,
        }
    }
}
