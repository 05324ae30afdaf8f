//! What reading the nodes would create in the cluster, without creating it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::error::{CollectError, Result};
use super::nodes::{NodesRequest, wanted_nodes};
use super::placing::only_of_cluster;
use super::progress::Progress;
use super::runtime;
use super::signals::interruption;
use super::transport::Transport;
use super::transport::kubectl::{Refusal, Session};
use crate::model::cluster::Cluster;
use crate::model::gap::{Gap, Subject};
use crate::model::net::Instance;

/// What would be created.
#[derive(Debug)]
pub struct Plan {
    /// The Jobs.
    pub jobs: Vec<Value>,
    /// How many nodes would be read without creating anything.
    pub without_job: usize,
}

/// Asks the cluster for its nodes, and plans what reading them by kubectl would create.
///
/// # Errors
/// If the configuration is wrong, or the run is interrupted. The gap is why the nodes are not
/// known.
pub fn plan(
    request: &NodesRequest,
    cluster: &Cluster,
    instances: Option<&[Instance]>,
) -> Result<Result<Plan, Gap>> {
    let config = request.transports.iter().find_map(|transport| match transport {
        Transport::Kubectl(config) => Some(config),
        Transport::Ssh(_) | Transport::Ssm(_) => None,
    });
    let Some(config) = config else {
        return Err(CollectError::Configuration("--dry-run is for --nodes kubectl".to_owned()));
    };
    let runtime = runtime::start(0).map_err(CollectError::Runtime)?;
    let planned = runtime.block_on(async {
        let planning = async {
            let session = match Session::open(config, cluster).await {
                Ok(session) => session,
                Err(Refusal::Usage(message)) => return Err(CollectError::Configuration(message)),
                Err(Refusal::Gap(why)) => return Ok(Err(why.gap(Subject::Nodes))),
            };
            let mut wanted = wanted_nodes(request, instances.unwrap_or_default());
            if request.named.is_empty() {
                let others: Vec<_> = only_of_cluster(&session, &wanted).collect();
                wanted.extend(others);
            }
            let known = wanted.iter().filter_map(|node| {
                session.node(&node.name, node.instance.as_ref().map(|instance| instance.id.as_str()))
            });
            let mut seen = BTreeSet::new();
            let nodes: Vec<_> = known.filter(|node| seen.insert(&node.name)).collect();
            let (jobs, without_job) = session.plan(&nodes).await;
            let jobs = jobs["items"].as_array().cloned().unwrap_or_default();
            Ok(Ok(Plan { jobs, without_job }))
        };
        tokio::select! {
            planned = planning => planned,
            signal = interruption() => Err(Progress::new(true).interrupted(signal)),
        }
    });
    runtime.shutdown_background();
    planned
}
