//! The nodes of a cluster: the target of each, and their sockets and DNS answers.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufWriter;
use std::sync::Arc;
use std::time::Duration;

use tempfile::NamedTempFile;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::error::Result;
use super::progress::Progress;
use super::transport::diagnosis::Diagnosis;
use super::transport::failure;
use super::transport::read::read;
use super::transport::{Target, Transport};
use crate::cleanup::Temporary;
use crate::evidence::write::{EvidenceWriter, TempDir};
use crate::model::gap::{Gap, GapReason, Subject};
use crate::model::name::NodeName;
use crate::model::net::Instance;

/// How nodes are read.
#[derive(Debug, Clone)]
pub struct NodesRequest {
    /// The nodes that the user named; if there are none, those that EC2 lists.
    pub named: Vec<(NodeName, Option<Target>)>,
    pub(super) transport: Transport,
    /// How long a node may take.
    pub(super) timeout: Duration,
    /// A permit for each node that may be read at a time.
    pub(super) permits: Arc<Semaphore>,
}

impl NodesRequest {
    /// A request to read `concurrency` nodes at a time, or fewer if the transport limits
    /// it. As many `clusters` are audited at a time.
    #[must_use]
    pub fn new(
        transport: Transport,
        named: Vec<(NodeName, Option<Target>)>,
        timeout: Duration,
        concurrency: usize,
        clusters: usize,
    ) -> Self {
        let permits = concurrency.min(transport.sessions_max(clusters));
        Self { named, transport, timeout, permits: Arc::new(Semaphore::new(permits)) }
    }
}

/// Reads all nodes and records their evidence. The endpoint's host name may become known
/// after the logins.
///
/// # Errors
/// If the evidence cannot be written.
pub(super) async fn record_nodes(
    request: &NodesRequest,
    instances: Option<&[Instance]>,
    host: &watch::Receiver<Option<String>>,
    writer: &EvidenceWriter,
    progress: &Progress,
) -> Result<()> {
    let targets = targets(request, instances.unwrap_or_default());
    if targets.is_empty() {
        writer.gap(no_nodes(instances.is_some()));
    }
    for (name, _) in &targets {
        writer.expect(name.clone());
    }
    progress.expect(targets.len() as u64);
    // In the order in which they are read: the first ones are those that take long.
    let mut pending = BTreeMap::new();
    let mut readings = JoinSet::new();
    for (number, (name, target)) in targets.into_iter().enumerate() {
        let target = match target {
            Ok(target) => target,
            Err(gap) => {
                writer.gap(gap);
                progress.answered();
                continue;
            }
        };
        let (host, permits) = (host.clone(), Arc::clone(&request.permits));
        let (timeout, captures) = (request.timeout, writer.temp_dir());
        pending.insert(number, name.clone());
        readings.spawn(async move {
            let _permit = permits.acquire_owned().await;
            (number, read_node(&target, name, timeout, host, &captures).await)
        });
    }
    progress.set_pending("nodes", pending.values());
    while let Some(answer) = readings.join_next().await {
        let (number, node) = answer?;
        progress.answered();
        pending.remove(&number);
        progress.set_pending("nodes", pending.values());
        if let Some(capture) = node.capture {
            writer.keep_capture(&node.name, capture)?;
        }
        match node.answer {
            Some(Ok(answer)) => writer.write(Subject::Vantage(node.name.to_string()), answer)?,
            Some(Err(gap)) => writer.gap(gap),
            None => {}
        }
        if let Some(gap) = node.gap {
            writer.gap(gap);
        }
    }
    Ok(())
}

/// What was read of a node.
struct NodeRead {
    name: NodeName,
    /// Its sockets, if any were read.
    capture: Option<Temporary<NamedTempFile>>,
    /// The answer of its resolver; `None` if that was not queried, or `ss` did not end.
    answer: Option<Result<Vec<u8>, Gap>>,
    gap: Option<Gap>,
}

async fn read_node(
    target: &Target,
    name: NodeName,
    timeout: Duration,
    host: watch::Receiver<Option<String>>,
    captures: &TempDir,
) -> NodeRead {
    let known_host = host.clone();
    let mut capture = None;
    let new_capture = || capture.insert(captures.temp_file()?).value.reopen().map(BufWriter::new);
    let run = match read(target, timeout, host, new_capture).await {
        Ok(run) => run,
        Err(error) => {
            let gap = Diagnosis::from(error).gap(name.clone());
            return NodeRead { name, capture: None, answer: None, gap: Some(gap) };
        }
    };
    let gap = failure::sockets(target, &run).map(|diagnosis| diagnosis.gap(name.clone()));
    let has_ended = !run.transcript.ended.is_empty();
    let has_host = known_host.borrow().as_deref().is_some_and(|host| !host.is_empty());
    let answer = (has_ended && has_host).then(|| failure::answer(&name, &run));
    let has_sockets = run.transcript.captured > 0;
    NodeRead { capture: capture.filter(|_| has_sockets), answer, gap, name }
}

/// The target of each node, or why it has none: of the nodes that the user named, or else
/// of those that EC2 lists.
pub(super) fn targets(
    request: &NodesRequest,
    instances: &[Instance],
) -> Vec<(NodeName, Result<Target, Gap>)> {
    let transport = &request.transport;
    if request.named.is_empty() {
        let mut taken = BTreeSet::new();
        // Every instance id of EC2 is a valid name. One that is not would be reported as
        // not read.
        let listed = instances.iter().filter_map(|instance| {
            // Instances with the same DNS name are named by their ids.
            let name = node_name(instance).filter(|name| taken.insert(name.clone()));
            let name = name.or_else(|| instance.id.parse().ok())?;
            let target = transport.listed_target(instance);
            Some((name.clone(), target.map_err(|diagnosis| diagnosis.gap(name))))
        });
        return listed.collect();
    }
    let named = request.named.iter().map(|(name, target)| {
        if let Some(target) = target {
            return (name.clone(), Ok(target.clone()));
        }
        let instance = instances.iter().find(|instance| is_named(instance, name.as_str()));
        let target = transport.named_target(name, instance);
        (name.clone(), target.map_err(|diagnosis| diagnosis.gap(name.clone())))
    });
    named.collect()
}

/// The name of an instance's node in Kubernetes: its private DNS name.
fn node_name(instance: &Instance) -> Option<NodeName> {
    instance.dns_name.as_deref()?.parse().ok()
}

/// Whether a name is one of an instance's: its id, DNS name, host name, Name tag, or address.
pub(super) fn is_named(instance: &Instance, name: &str) -> bool {
    let dns_name = instance.dns_name.as_deref().unwrap_or_default();
    instance.id == name
        || dns_name == name
        || dns_name.split('.').next() == Some(name)
        || instance.name_tag() == Some(name)
        || instance.addresses.iter().any(|address| address.to_string() == name)
}

/// The gap that `--nodes none` leaves.
#[must_use]
pub(super) fn nodes_left_out() -> Gap {
    Gap {
        subject: Subject::Nodes,
        why: GapReason::NotAsked,
        detail: "no node was read (--nodes none)".to_owned(),
        hint: "omit --nodes none to have their connections judged".to_owned(),
    }
}

/// The gap of a cluster without nodes; `is_listed`: EC2 listed its instances.
pub(super) fn no_nodes(is_listed: bool) -> Gap {
    let detail = if is_listed {
        "EC2 lists no running instance with the cluster's tags: there are none, or they are on Fargate or outside of EC2"
    } else {
        "EC2 did not list the instances of the cluster"
    };
    Gap {
        subject: Subject::Nodes,
        why: GapReason::NotRecorded,
        detail: detail.to_owned(),
        hint: "name them with --node NAME=TARGET".to_owned(),
    }
}
