//! The samplers of all nodes.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::next_step::next_step;
use super::nodes::{NodesRequest, WantedNode, is_named, no_nodes, target, wanted_nodes};
use super::transport::Target;
use super::transport::sampler::{SampledNode, SamplerEvent, SamplerOptions, Stage, sample};
use crate::capture::line::Row;
use crate::capture::reading::CaptureSummary;
use crate::evidence::nodes::node;
use crate::model::gap::{Gap, GapReason};
use crate::model::name::NodeName;
use crate::model::net::Instance;
use crate::model::node::Node;
use crate::model::trace::{Moment, Phase};

/// The largest number of nodes listed beside a name that is none of them.
const NAMES_MAX: usize = 10;
/// The largest number of events that were sent and not received.
const EVENTS_MAX: usize = 64;

/// The samplers of the nodes. They end when this is dropped.
#[derive(Debug)]
pub(super) struct Sampling {
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
    pub(super) fn start(
        request: &NodesRequest,
        instances: Option<&[Instance]>,
        only: &[NodeName],
        interval: Duration,
        began: Instant,
    ) -> (Self, Vec<Gap>) {
        let (stage, stages) = watch::channel(Stage::Before);
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let (chosen, mut gaps) = choose(request, instances, only);
        let mut sampling = Self {
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
                let permit = permits.acquire_owned().await.ok();
                sample(options, name, target, permit, sender).await
            });
        }
        (sampling, gaps)
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

/// The target of a node by the first transport that has one.
fn first_target(request: &NodesRequest, node: &WantedNode) -> Result<Target, Gap> {
    let mut targets = request.transports.iter().map(|transport| target(transport, node));
    let first = targets.next().unwrap_or_else(|| unreachable!("there is a transport"));
    first.or_else(|gap| targets.find_map(Result::ok).ok_or(gap))
}

/// The nodes to sample, and a gap for each that cannot be sampled.
fn choose(
    request: &NodesRequest,
    instances: Option<&[Instance]>,
    only: &[NodeName],
) -> (Vec<(NodeName, Target)>, Vec<Gap>) {
    let listed = instances.unwrap_or_default();
    let wanted = wanted_nodes(request, listed);
    let all: Vec<_> = wanted.iter().map(|node| (node.name.clone(), first_target(request, node))).collect();
    let mut gaps = Vec::new();
    if all.is_empty() {
        gaps.push(no_nodes(instances.is_some()));
    }
    let is_own_name = |node: &NodeName, name: &NodeName| {
        node == name || node.as_str().split('.').next() == Some(name.as_str())
    };
    let is_meant = |node: &NodeName, name: &NodeName| {
        // The own name of a node takes precedence: all instances of a node group may have
        // the same Name tag.
        if all.iter().any(|(node, _)| is_own_name(node, name)) {
            return is_own_name(node, name);
        }
        let is_of =
            |instance: &Instance| is_named(instance, node.as_str()) && is_named(instance, name.as_str());
        listed.iter().any(is_of)
    };
    let names: Vec<_> = all.iter().take(NAMES_MAX).map(|(node, _)| node.as_str()).collect();
    let more = if all.len() > NAMES_MAX { ", ..." } else { "" };
    for name in only.iter().filter(|name| !all.iter().any(|(node, _)| is_meant(node, name))) {
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
    for (node, target) in &all {
        if only.is_empty() || only.iter().any(|name| is_meant(node, name)) {
            match target {
                Ok(target) => chosen.push((node.clone(), target.clone())),
                Err(gap) => gaps.push(gap.clone()),
            }
        }
    }
    (chosen, gaps)
}
