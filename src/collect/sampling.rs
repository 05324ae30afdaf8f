//! The samplers of all nodes.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::next_step::next_step;
use super::nodes::{NodesRequest, is_named, no_nodes, wanted_nodes};
use super::placing::{WantedNode, WrongConfiguration, find_targets};
use super::transport::Target;
use super::transport::kubectl::Jobs;
use super::transport::sampler::{SampledNode, SamplerEvent, SamplerOptions, Stage, sample};
use crate::capture::line::Row;
use crate::capture::reading::CaptureSummary;
use crate::evidence::nodes::node;
use crate::model::cluster::Cluster;
use crate::model::gap::{Gap, GapReason};
use crate::model::name::NodeName;
use crate::model::net::Instance;
use crate::model::node::Node;
use crate::model::trace::{Moment, Phase};

/// The largest number of nodes listed beside a name that is none of them.
const NAMES_MAX: usize = 10;
/// The largest number of events that were sent and not received.
const EVENTS_MAX: usize = 64;

/// A node with its target, or why it has none.
type NodeTarget = (WantedNode, Result<Target, Gap>);

/// The samplers of the nodes. They end when this is dropped.
#[derive(Debug)]
pub(super) struct Sampling {
    /// What was created in the cluster.
    jobs: Vec<Jobs>,
    stage: watch::Sender<Stage>,
    events: mpsc::Receiver<(NodeName, SamplerEvent)>,
    samplers: JoinSet<SampledNode>,
    /// The nodes without a sample yet.
    pending: BTreeSet<NodeName>,
    /// The nodes with a sample whose samplers have not ended.
    sampled: BTreeSet<NodeName>,
    /// The nodes with outstanding samples, since [`Stage::Paused`].
    not_paused: HashSet<NodeName>,
    /// The flags that request the processes of a node.
    wants_processes: HashMap<NodeName, Arc<AtomicBool>>,
}

/// What happened at a node.
#[derive(Debug)]
pub(super) enum NodeEvent {
    /// It was sampled.
    Sample(Sample),
    /// Sockets were closed.
    Closed(Sample),
    /// It has no outstanding sample.
    Paused,
    /// Its sampler ended.
    Ended(SampledNode),
}

/// The output of `ss` on a node.
#[derive(Debug)]
pub struct Sample {
    /// The node.
    pub node: NodeName,
    /// The part of the trace in which it was requested.
    pub phase: Phase,
    /// When it was received.
    pub moment: Moment,
    /// Whether the connections that are opened are counted from it on.
    pub is_baseline: bool,
    bytes: Vec<u8>,
}

impl Sample {
    /// Parses it and passes each row to `sink`.
    pub fn rows(&self, sink: impl FnMut(Row<'_>)) -> Node {
        // Reading from memory does not fail.
        let summary = CaptureSummary::read(&self.node, self.bytes.as_slice(), sink).unwrap_or_default();
        node(self.node.clone(), summary, next_step)
    }
}

impl Sampling {
    /// Starts to sample the nodes of a request, or of these only those named in `only`,
    /// if there are any. Returns a gap for each that cannot be sampled.
    ///
    /// # Errors
    /// If the user's configuration is wrong.
    pub(super) async fn start(
        request: &NodesRequest,
        cluster: &Cluster,
        instances: Option<&[Instance]>,
        only: &[NodeName],
        interval: Duration,
        began: Instant,
    ) -> Result<(Self, Vec<Gap>), WrongConfiguration> {
        let (stage, stages) = watch::channel(Stage::Before);
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let (all, jobs) = all_targets(request, cluster, instances, only).await?;
        let (chosen, mut gaps) = choose(&all, instances, only);
        let mut sampling = Self {
            jobs,
            stage,
            events,
            samplers: JoinSet::new(),
            pending: BTreeSet::new(),
            sampled: BTreeSet::new(),
            not_paused: HashSet::new(),
            wants_processes: HashMap::new(),
        };
        let max = request.transports.iter().map(|transport| transport.sessions_max(1)).min().unwrap_or(1);
        for (name, target) in chosen {
            if sampling.samplers.len() >= max {
                gaps.push(Gap {
                    subject: name.into(),
                    why: GapReason::Failed,
                    detail: format!("{max} nodes are sampled already, which the limit of open files allows"),
                    hint: "raise the limit (ulimit -n), or name fewer with --only".to_owned(),
                });
                continue;
            }
            let wants_processes = Arc::<AtomicBool>::default();
            let options = SamplerOptions {
                timeout: request.timeout,
                interval,
                began,
                stage: stages.clone(),
                wants_processes: Arc::clone(&wants_processes),
            };
            sampling.wants_processes.insert(name.clone(), wants_processes);
            sampling.pending.insert(name.clone());
            let (permits, sender) = (Arc::clone(&request.permits), sender.clone());
            sampling.samplers.spawn(async move {
                // A node that is not ready must not hold others up.
                if let Err(why) = target.ready().await {
                    return SampledNode::never(name.clone(), why.gap(name));
                }
                let permit = permits.acquire_owned().await.ok();
                sample(options, name, target, permit, sender).await
            });
        }
        Ok((sampling, gaps))
    }

    /// Removes what was created in the cluster. Returns what is to be done if that fails.
    pub(super) async fn remove_jobs(&mut self) -> Vec<String> {
        join_all(self.jobs.drain(..).map(Jobs::remove)).await.into_iter().flatten().collect()
    }

    /// Sets what the samplers do.
    pub(super) fn set_stage(&mut self, stage: Stage) {
        if stage == Stage::Paused {
            self.not_paused = self.sampled.iter().cloned().collect();
        }
        self.stage.send_replace(stage);
    }

    /// Requests a node's processes in its next sample.
    pub(super) fn request_processes(&self, node: &NodeName) {
        if let Some(wants) = self.wants_processes.get(node) {
            wants.store(true, Ordering::Relaxed);
        }
    }

    /// The nodes without a sample yet.
    pub(super) fn pending(&self) -> &BTreeSet<NodeName> {
        &self.pending
    }

    /// The nodes with a sample whose samplers have not ended.
    pub(super) fn sampled(&self) -> &BTreeSet<NodeName> {
        &self.sampled
    }

    /// Whether no sample is outstanding.
    pub(super) fn is_paused(&self) -> bool {
        self.not_paused.is_empty()
    }

    /// The next event; `None` if all samplers have ended. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<NodeEvent> {
        tokio::select! {
            // The events of a node precede its end.
            biased;
            Some((node, event)) = self.events.recv() => Some(match event {
                SamplerEvent::Sample { phase, moment, is_baseline, bytes } => {
                    self.pending.remove(&node);
                    self.sampled.insert(node.clone());
                    NodeEvent::Sample(Sample { node, phase, moment, is_baseline, bytes })
                }
                SamplerEvent::Closed { phase, moment, bytes } => {
                    NodeEvent::Closed(Sample { node, phase, moment, is_baseline: false, bytes })
                }
                SamplerEvent::Paused => {
                    self.not_paused.remove(&node);
                    NodeEvent::Paused
                }
            }),
            ended = self.samplers.join_next() => {
                let ended = ended?.ok()?;
                let name = &ended.node.name;
                self.pending.remove(name);
                self.not_paused.remove(name);
                self.sampled.remove(name);
                Some(NodeEvent::Ended(ended))
            }
        }
    }
}

/// Each node with its target by the first transport that has one, and what was created in the
/// cluster. A pod is placed on those named in `only` alone, if there are any.
async fn all_targets(
    request: &NodesRequest,
    cluster: &Cluster,
    instances: Option<&[Instance]>,
    only: &[NodeName],
) -> Result<(Vec<NodeTarget>, Vec<Jobs>), WrongConfiguration> {
    let mut wanted = wanted_nodes(request, instances.unwrap_or_default());
    let mut known = wanted.clone();
    // Its sender may end: the cluster does not change.
    let (_, described) = watch::channel(Some(Arc::new(cluster.clone())));
    let (mut all, mut jobs): (Vec<NodeTarget>, _) = (Vec::new(), Vec::new());
    for (number, transport) in request.transports.iter().enumerate() {
        let are_named = !request.named.is_empty();
        let is_chosen =
            |node: &WantedNode| only.is_empty() || only.iter().any(|name| is_meant(&known, node, name));
        let found =
            find_targets(transport, std::mem::take(&mut wanted), &known, are_named, &is_chosen, &described)
                .await?;
        jobs.extend(found.jobs);
        for (node, target) in found.nodes {
            if known.iter().all(|known| known.name != node.name) {
                known.push(node.clone());
            }
            if target.is_ok() || number + 1 == request.transports.len() {
                all.push((node, target));
            } else {
                wanted.push(node);
            }
        }
    }
    all.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    Ok((all, jobs))
}

/// Whether a name on the command line means a node. The own name of a node takes precedence:
/// all instances of a node group may have the same Name tag.
fn is_meant(all: &[WantedNode], node: &WantedNode, name: &NodeName) -> bool {
    let is_own_name =
        |node: &WantedNode| node.name == *name || node.name.as_str().split('.').next() == Some(name.as_str());
    if all.iter().any(is_own_name) {
        return is_own_name(node);
    }
    node.instance.as_ref().is_some_and(|instance| is_named(instance, name.as_str()))
}

/// The nodes to sample, and a gap for each that cannot be sampled.
fn choose(
    all: &[NodeTarget],
    instances: Option<&[Instance]>,
    only: &[NodeName],
) -> (Vec<(NodeName, Target)>, Vec<Gap>) {
    let wanted: Vec<_> = all.iter().map(|(node, _)| node.clone()).collect();
    let mut gaps = Vec::new();
    if all.is_empty() {
        gaps.push(no_nodes(instances.is_some()));
    }
    let names: Vec<_> = all.iter().take(NAMES_MAX).map(|(node, _)| node.name.as_str()).collect();
    let more = if all.len() > NAMES_MAX { ", ..." } else { "" };
    for name in only.iter().filter(|name| !wanted.iter().any(|node| is_meant(&wanted, node, name))) {
        gaps.push(Gap {
            subject: name.clone().into(),
            why: GapReason::NotRecorded,
            detail: "no node has this name".to_owned(),
            hint: format!(
                "the nodes are {}{more}; others are named with --node NAME=TARGET",
                names.join(", ")
            ),
        });
    }
    let mut chosen = Vec::new();
    for (node, target) in all {
        if only.is_empty() || only.iter().any(|name| is_meant(&wanted, node, name)) {
            match target {
                Ok(target) => chosen.push((node.name.clone(), target.clone())),
                Err(gap) => gaps.push(gap.clone()),
            }
        }
    }
    (chosen, gaps)
}
