//! Connections in JSON.

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::words::{By, Direction, Path};
use crate::model::connection::{Connection, OmittedConnections};
use crate::model::facts::Facts;

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ConnectionReport {
    node: String,
    /// The first process that the row names.
    process: Option<String>,
    pid: Option<u32>,
    /// As `ss` prints it.
    state: String,
    local: String,
    peer: String,
    direction: Direction,
    path: Path,
    /// What attributed the peer.
    by: By,
    eni: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct OmittedReport {
    node: String,
    /// The first process that their rows name; null where `peer` is.
    process: Option<String>,
    /// With `*` for the port of a client; null for peers and processes of which none is in `connections`, since the node
    /// has too many.
    peer: Option<String>,
    /// As `ss` prints it.
    state: String,
    path: Path,
    count: u64,
}

/// The connections, each converted when it is written: there may be many. None of a cluster that was
/// not judged.
#[derive(Debug)]
pub(super) struct Connections<'a>(pub(super) Option<&'a Facts>);

impl Serialize for Connections<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let connections = self.0.into_iter().flat_map(|facts| {
            facts.connections.iter().map(move |connection| ConnectionReport::new(connection, facts))
        });
        serializer.collect_seq(connections)
    }
}

impl ConnectionReport {
    fn new(connection: &Connection, facts: &Facts) -> Self {
        let process = connection.process.as_ref();
        Self {
            node: connection.node.to_string(),
            process: process.map(|process| process.name.clone()),
            pid: process.and_then(|process| process.pid),
            state: connection.socket.state.as_str().to_owned(),
            local: connection.socket.local.to_string(),
            peer: connection.socket.peer.to_string(),
            direction: connection.direction.into(),
            path: connection.attribution.path.into(),
            by: connection.attribution.by.into(),
            eni: connection.attribution.eni.map(|index| facts.interfaces[index].interface.id.clone()),
        }
    }
}

impl From<&OmittedConnections> for OmittedReport {
    fn from(omitted: &OmittedConnections) -> Self {
        let kind = omitted.kind.as_ref();
        Self {
            node: omitted.node.to_string(),
            process: kind.and_then(|kind| Some(kind.process.as_ref()?.name.clone())),
            peer: kind.map(|kind| kind.socket.peer.to_string()),
            state: omitted.state.as_str().to_owned(),
            path: omitted.path.into(),
            count: omitted.count,
        }
    }
}
