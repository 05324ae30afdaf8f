//! The nodes that a transport is reading, and what was read of each.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::sync::Arc;
use std::time::Duration;

use tempfile::NamedTempFile;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;

use super::super::error::Result;
use super::super::placing::WantedNode;
use super::super::progress::Progress;
use super::super::transport::client::ClientError;
use super::super::transport::diagnosis::Diagnosis;
use super::super::transport::failure;
use super::super::transport::read::{Parameters, Probing, read};
use super::super::transport::ssm::{Ssm, SsmNode, SsmRead};
use super::super::transport::{Target, Transport};
use super::request::NodesRecording;
use crate::cleanup::Temporary;
use crate::evidence::write::TempDir;
use crate::model::gap::{Gap, GapReason};
use crate::model::name::NodeName;
use crate::model::node::Via;
use crate::model::probe::Probe;

/// What was read of a node.
pub(super) struct NodeRead {
    /// By which transport.
    pub(super) via: Via,
    /// Its sockets, if any were read.
    pub(super) capture: Option<Temporary<NamedTempFile>>,
    /// The answer of its resolver; `None` if that was not queried, or `ss` did not end.
    pub(super) answer: Option<Result<Vec<u8>, Gap>>,
    /// What addresses answered to it; `None` if it did not probe them.
    pub(super) probe: Option<Result<Probe, Gap>>,
    pub(super) gap: Option<Gap>,
}

impl NodeRead {
    /// A node of which nothing was read.
    fn failed(via: Via, gap: Gap) -> Self {
        Self { via, capture: None, answer: None, probe: None, gap: Some(gap) }
    }

    /// Whether all sockets were read, with or without their processes.
    pub(super) fn has_reached(&self) -> bool {
        let is_whole = self.gap.as_ref().is_none_or(|gap| gap.why == GapReason::NoProcessNames);
        self.capture.is_some() && is_whole
    }
}

/// The nodes that a transport is reading.
pub(super) struct Readings<'a> {
    progress: &'a Progress,
    tasks: JoinSet<(usize, NodeRead)>,
    /// Those that the transport has no target for.
    without_target: Vec<(WantedNode, NodeRead)>,
    /// In the order in which they are read: the first ones are those that take long.
    pending: BTreeMap<usize, WantedNode>,
    /// What Systems Manager reads of all nodes, as it arrives, and where captures are kept.
    batch: Option<(UnboundedReceiver<SsmRead>, JoinSet<()>, TempDir)>,
}

impl<'a> Readings<'a> {
    pub(super) fn new(
        recording: NodesRecording<'a>,
        transport: &Transport,
        nodes: Vec<(WantedNode, Result<Target, Gap>)>,
    ) -> Self {
        let NodesRecording { request, awaited, writer, progress, .. } = recording;
        let mut readings = Self {
            progress,
            tasks: JoinSet::new(),
            without_target: Vec::new(),
            pending: BTreeMap::new(),
            batch: None,
        };
        if let Transport::Ssm(ssm) = transport {
            let nodes = nodes.into_iter().map(|(node, _)| node).collect();
            readings.start_batch(recording, ssm, nodes);
            return readings;
        }
        let via = transport.via();
        for (number, (node, target)) in nodes.into_iter().enumerate() {
            let target = match target {
                Ok(target) => target,
                Err(gap) => {
                    readings.without_target.push((node, NodeRead::failed(via, gap)));
                    continue;
                }
            };
            let (name, permits) = (node.name.clone(), Arc::clone(&request.permits));
            let probe_time = request.probe_time.clone().filter(|_| target.can_probe());
            let parameters = Parameters {
                host: awaited.host.clone(),
                peers: awaited.peers.clone().filter(|_| request.may_filter),
                probing: probe_time.map(|time| Probing { targets: awaited.targets.clone(), time }),
            };
            let (timeout, captures) = (request.timeout, writer.temp_dir());
            readings.pending.insert(number, node);
            let clock = progress.clock();
            readings.tasks.spawn(async move {
                // A node that is not ready must not hold others up.
                if let Err(why) = target.ready().await {
                    return (number, NodeRead::failed(via, why.gap(name)));
                }
                let _permit = permits.acquire_owned().await;
                clock.begin(&name);
                (number, read_node(via, &target, name, timeout, &parameters, &captures).await)
            });
        }
        readings.show_pending();
        readings
    }

    /// Starts to read all nodes by Systems Manager.
    fn start_batch(&mut self, recording: NodesRecording<'_>, ssm: &Ssm, nodes: Vec<WantedNode>) {
        let mut batch = Vec::new();
        for (number, node) in nodes.into_iter().enumerate() {
            match Ssm::id(&node.name, node.instance.as_ref()) {
                Ok(id) => {
                    let is_listed = node.instance.is_some();
                    batch.push(SsmNode { number, name: node.name.clone(), id, is_listed });
                    self.progress.clock().begin(&node.name);
                    self.pending.insert(number, node);
                }
                Err(diagnosis) => {
                    let gap = diagnosis.gap(node.name.clone());
                    self.without_target.push((node, NodeRead::failed(Via::Ssm, gap)));
                }
            }
        }
        self.show_pending();
        let (sender, receiver) = unbounded_channel();
        let NodesRecording { request, client, awaited, writer, .. } = recording;
        let (ssm, client, host, timeout) =
            (ssm.clone(), client.clone(), awaited.host.clone(), request.timeout);
        let mut task = JoinSet::new();
        task.spawn(async move { ssm.read(&client, batch, timeout, host, sender).await });
        self.batch = Some((receiver, task, writer.temp_dir()));
    }

    fn show_pending(&self) {
        self.progress.set_pending("nodes", self.pending.values().map(|node| &node.name));
    }

    /// The next node that was read, or could not be.
    pub(super) async fn next(&mut self) -> Result<Option<(WantedNode, NodeRead)>> {
        if let Some(failed) = self.without_target.pop() {
            return Ok(Some(failed));
        }
        let (number, read) = match &mut self.batch {
            Some((reads, task, captures)) => match reads.recv().await {
                Some(read) => (read.number, kept(read, captures)),
                // All were sent, or the task panicked.
                None => return task.join_next().await.transpose().map(|_| None).map_err(Into::into),
            },
            None => match self.tasks.join_next().await {
                Some(read) => read?,
                None => return Ok(None),
            },
        };
        let node = self.pending.remove(&number);
        self.show_pending();
        Ok(node.map(|node| (node, read)))
    }
}

/// What Systems Manager read of a node, its capture in a file.
fn kept(read: SsmRead, captures: &TempDir) -> NodeRead {
    let SsmRead { name, capture, answer, gap, .. } = read;
    let file = capture.map(|bytes| {
        let mut file = captures.temp_file()?;
        file.write_all(&bytes)?;
        Ok(file)
    });
    match file.transpose() {
        Ok(capture) => NodeRead { via: Via::Ssm, capture, answer, probe: None, gap },
        Err(error) => NodeRead::failed(Via::Ssm, Diagnosis::from(ClientError::Capture(error)).gap(name)),
    }
}

async fn read_node(
    via: Via,
    target: &Target,
    name: NodeName,
    timeout: Duration,
    parameters: &Parameters,
    captures: &TempDir,
) -> NodeRead {
    let limits = parameters.probing.as_ref().map(|probing| probing.time.limits);
    let mut capture = None;
    let new_capture = || capture.insert(captures.temp_file()?).value.reopen().map(BufWriter::new);
    let run = match read(target, timeout, parameters, new_capture).await {
        Ok(run) => run,
        Err(error) => return NodeRead::failed(via, Diagnosis::from(error).gap(name)),
    };
    let gap = failure::sockets(target, &run).map(|diagnosis| diagnosis.gap(name.clone()));
    let has_ended = !run.transcript.ended.is_empty();
    let has_host = parameters.host.borrow().as_deref().is_some_and(|host| !host.is_empty());
    let answer = (has_ended && has_host).then(|| failure::answer(target, &name, &run));
    let probe = limits.filter(|_| has_ended && has_host);
    let probe = probe.and_then(|limits| failure::probe(&name, &run, limits));
    let has_sockets = run.transcript.captured > 0;
    NodeRead { via, capture: capture.filter(|_| has_sockets), answer, probe, gap }
}
