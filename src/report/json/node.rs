//! Nodes and their traffic in JSON.

use schemars::JsonSchema;
use serde::Serialize;

use super::words::{Status, TrafficPath};
use crate::model::node::Node;
use crate::model::traffic;

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct NodeReport {
    name: String,
    status: Status,
    /// How its sockets were read: ssh, kubectl, ssm, bundle or file; null if they were not.
    via: Option<String>,
    /// The number of sockets.
    sockets: u64,
    /// The number of lines that are not sockets.
    skipped_lines: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct NodeTraffic {
    node: String,
    path: TrafficPath,
    /// kubelet, and kube-proxy where it was seen or is required.
    components: Vec<ComponentTraffic>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ComponentTraffic {
    component: String,
    /// By established connections alone: none where there are only attempts.
    path: TrafficPath,
}

impl From<&Node> for NodeReport {
    fn from(node: &Node) -> Self {
        Self {
            name: node.name.to_string(),
            status: node.status.into(),
            via: node.via.map(|via| via.as_str().to_owned()),
            sockets: node.sockets(),
            skipped_lines: node.tally.rejected,
        }
    }
}

impl From<&traffic::NodeTraffic> for NodeTraffic {
    fn from(traffic: &traffic::NodeTraffic) -> Self {
        let component = |traffic: &traffic::ComponentTraffic| ComponentTraffic {
            component: traffic.component.as_str().to_owned(),
            path: traffic.path.into(),
        };
        Self {
            node: traffic.node.to_string(),
            path: traffic.path.into(),
            components: traffic.components.iter().map(component).collect(),
        }
    }
}
