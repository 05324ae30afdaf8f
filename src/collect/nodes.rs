//! The nodes of a cluster: the target of each, and their sockets and DNS answers.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufWriter, Write};
use std::sync::Arc;
use std::time::Duration;

use tempfile::NamedTempFile;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::aws::client::Client;
use super::error::{CollectError, Result};
use super::placing::{Answers, Described, Targets, WantedNode, find_targets};
use super::progress::Progress;
use super::transport::client::ClientError;
use super::transport::diagnosis::Diagnosis;
use super::transport::failure;
use super::transport::kubectl::Jobs;
use super::transport::probe::{NodeTargets, ProbeTime};
use super::transport::read::{Peers, Probing, read};
use super::transport::ssm::{Ssm, SsmNode, SsmRead};
use super::transport::{Target, Transport};
use crate::cleanup::Temporary;
use crate::evidence::write::{EvidenceWriter, TempDir};
use crate::messages::{self, Label};
use crate::model::gap::{Gap, GapReason, Subject};
use crate::model::kubernetes::{ENDPOINT_SLICES, NODES};
use crate::model::name::NodeName;
use crate::model::net::Instance;
use crate::model::node::Via;
use crate::model::probe::Probe;

/// How long pods remain that are created for a trace.
const TRACE_MAX: Duration = Duration::from_hours(1);

/// How nodes are read.
#[derive(Debug, Clone)]
pub struct NodesRequest {
    /// The nodes that the user named; if there are none, those that EC2 lists.
    pub named: Vec<(NodeName, Option<Target>)>,
    /// How nodes are reached, in order of preference; not empty.
    pub(super) transports: Vec<Transport>,
    /// How long a node may take.
    pub(super) timeout: Duration,
    /// Whether rows that do not matter may be filtered on the nodes.
    pub(super) may_filter: bool,
    /// How long nodes may take to probe the endpoint; `None` if they do not.
    pub(super) probe_time: Option<Arc<ProbeTime>>,
    /// A permit for each node that may be read at a time.
    pub(super) permits: Arc<Semaphore>,
}

impl NodesRequest {
    /// A request to read `concurrency` nodes at a time, or fewer if the transport limits
    /// it. As many `clusters` are audited at a time.
    #[must_use]
    pub fn new(
        transports: Vec<Transport>,
        named: Vec<(NodeName, Option<Target>)>,
        timeout: Duration,
        concurrency: usize,
        clusters: usize,
    ) -> Self {
        let max = transports.iter().map(|transport| transport.sessions_max(clusters)).min();
        let permits = concurrency.min(max.unwrap_or(concurrency));
        let mut transports = transports;
        for transport in &mut transports {
            if let Transport::Kubectl(config) = transport {
                // The clusters share the permits.
                config.concurrency = (permits / clusters.max(1)).max(1);
            }
        }
        let permits = Arc::new(Semaphore::new(permits));
        Self { named, transports, timeout, may_filter: false, probe_time: None, permits }
    }

    /// A request to have the endpoint probed from the nodes as well.
    #[must_use]
    pub fn with_probes(mut self) -> Self {
        let at_a_time = self.permits.available_permits();
        self.probe_time = Some(Arc::new(ProbeTime::new(self.timeout, at_a_time)));
        self
    }

    /// A request to read what matters to an audit: sockets that have nothing to do with the
    /// API server are counted.
    #[must_use]
    pub fn for_audit(mut self) -> Self {
        self.may_filter = true;
        self
    }

    /// A request to sample the nodes, for up to [`TRACE_MAX`] where that has to be limited.
    #[must_use]
    pub fn for_trace(mut self) -> Self {
        for transport in &mut self.transports {
            if let Transport::Kubectl(config) = transport {
                config.extra_lifetime = TRACE_MAX;
            }
        }
        self
    }

    /// Ends on the nodes what is running there, because the run ends.
    pub(super) async fn cancel(&self) {
        for transport in &self.transports {
            if let Transport::Ssm(ssm) = transport {
                ssm.cancel().await;
            }
        }
    }
}

/// What may become known while nodes are read.
#[derive(Debug, Clone)]
pub(super) struct Awaited {
    /// The endpoint's host name.
    pub(super) host: watch::Receiver<Option<String>>,
    /// Which rows a filter on the nodes must not leave out; `None` if there is to be none.
    pub(super) peers: Option<Peers>,
    /// What is probed from nodes.
    pub(super) targets: NodeTargets,
}

/// Reads all nodes and records their evidence: each by the first transport that reaches it.
/// The endpoint's host name may become known after the logins.
///
/// # Errors
/// If the evidence cannot be written.
pub(super) async fn record_nodes(
    request: &NodesRequest,
    client: &Client,
    instances: Option<&[Instance]>,
    awaited: &Awaited,
    cluster: &Described,
    writer: &EvidenceWriter,
    progress: &Progress,
) -> Result<()> {
    let mut wanted = wanted_nodes(request, instances.unwrap_or_default());
    let mut known = wanted.clone();
    for node in &wanted {
        writer.expect(node.name.clone());
    }
    progress.expect(wanted.len() as u64);
    let mut failed = BTreeMap::new();
    for (number, transport) in request.transports.iter().enumerate() {
        let is_last = number + 1 == request.transports.len();
        let mut unread = Vec::new();
        let are_named = !request.named.is_empty();
        let found =
            find_targets(transport, std::mem::take(&mut wanted), &known, are_named, &|_| true, cluster);
        let Targets { nodes, jobs, kubernetes } =
            found.await.map_err(|error| CollectError::Configuration(error.0))?;
        if let Some(answers) = kubernetes {
            record_answers(writer, answers)?;
        }
        for (node, _) in &nodes {
            if known.iter().all(|known| known.name != node.name) {
                writer.expect(node.name.clone());
                progress.expect(1);
                known.push(node.clone());
            }
        }
        let mut readings = Readings::new(request, client, transport, nodes, awaited, writer, progress);
        while let Some((node, read)) = readings.next().await? {
            let attempts: &mut Vec<NodeRead> = failed.entry(node.name.clone()).or_default();
            attempts.push(read);
            if attempts.last().is_some_and(NodeRead::has_reached) || is_last {
                progress.answered();
                record_node(writer, &node.name, failed.remove(&node.name).unwrap_or_default())?;
            } else {
                unread.push(node);
            }
        }
        wanted = unread;
        if let Some(warning) = remove(jobs).await {
            messages::print(Label::Warning, &warning);
        }
    }
    if known.is_empty() {
        writer.gap(no_nodes(instances.is_some()));
    }
    Ok(())
}

/// Records what the cluster answered about itself.
fn record_answers(writer: &EvidenceWriter, answers: Answers) -> Result<()> {
    for (file, answer) in [(NODES, answers.nodes), (ENDPOINT_SLICES, answers.slices)] {
        match answer {
            Ok(json) => writer.write(file, json)?,
            Err(gap) => writer.gap(gap),
        }
    }
    Ok(())
}

/// Removes what was created in the cluster. Returns what is to be done if that fails.
pub(super) async fn remove(jobs: Option<Jobs>) -> Option<String> {
    jobs?.remove().await
}

/// Records what was read of a node: by the last attempt if that reached it, or else by the
/// first that read anything.
fn record_node(writer: &EvidenceWriter, name: &NodeName, mut attempts: Vec<NodeRead>) -> Result<()> {
    let best = match attempts.last() {
        Some(last) if last.has_reached() => attempts.len() - 1,
        _ => attempts.iter().position(|read| read.capture.is_some()).unwrap_or(0),
    };
    let failures = |attempts: &[NodeRead]| {
        let gaps: Vec<_> = attempts.iter().filter_map(|read| Some((read.via, read.gap.clone()?))).collect();
        all_failures(gaps)
    };
    let all = failures(&attempts);
    let read = attempts.swap_remove(best);
    let has_reached = read.has_reached();
    if let Some(capture) = read.capture {
        writer.keep_capture(name, capture, read.via)?;
    }
    match read.answer {
        Some(Ok(answer)) => writer.write(Subject::Vantage(name.to_string()), answer)?,
        Some(Err(gap)) => writer.gap(gap),
        None => {}
    }
    match read.probe {
        Some(Ok(probe)) => writer.write_probe(&probe)?,
        Some(Err(gap)) => writer.gap(gap),
        None => {}
    }
    if let Some(gap) = if has_reached { read.gap } else { all } {
        writer.gap(gap);
    }
    Ok(())
}

/// The gap of a node that no transport reached, with the reason of each.
fn all_failures(gaps: Vec<(Via, Gap)>) -> Option<Gap> {
    let is_one = gaps.len() == 1;
    gaps.into_iter()
        .map(
            |(via, gap)| {
                if is_one {
                    gap
                } else {
                    Gap { detail: format!("by {}: {}", via.as_str(), gap.detail), ..gap }
                }
            },
        )
        .reduce(|first, next| Gap {
            detail: format!("{}; {}", first.detail, next.detail),
            hint: format!("{}; or {}", first.hint, next.hint),
            ..first
        })
}

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
    fn has_reached(&self) -> bool {
        let is_whole = self.gap.as_ref().is_none_or(|gap| gap.why == GapReason::NoProcessNames);
        self.capture.is_some() && is_whole
    }
}

/// The nodes that a transport is reading.
struct Readings<'a> {
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
    fn new(
        request: &NodesRequest,
        client: &Client,
        transport: &Transport,
        nodes: Vec<(WantedNode, Result<Target, Gap>)>,
        awaited: &Awaited,
        writer: &EvidenceWriter,
        progress: &'a Progress,
    ) -> Self {
        let mut readings = Self {
            progress,
            tasks: JoinSet::new(),
            without_target: Vec::new(),
            pending: BTreeMap::new(),
            batch: None,
        };
        if let Transport::Ssm(ssm) = transport {
            let nodes = nodes.into_iter().map(|(node, _)| node).collect();
            readings.start_batch(ssm, client, nodes, request.timeout, &awaited.host, writer.temp_dir());
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
            let mut awaited = awaited.clone();
            awaited.peers = awaited.peers.filter(|_| request.may_filter);
            let probing = request.probe_time.clone().filter(|_| target.can_probe());
            let probing = probing.map(|time| Probing { targets: awaited.targets.clone(), time });
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
                (number, read_node(via, &target, name, timeout, awaited, probing, &captures).await)
            });
        }
        readings.show_pending();
        readings
    }

    /// Starts to read all nodes by Systems Manager.
    fn start_batch(
        &mut self,
        ssm: &Ssm,
        client: &Client,
        nodes: Vec<WantedNode>,
        timeout: Duration,
        host: &watch::Receiver<Option<String>>,
        captures: TempDir,
    ) {
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
        let (ssm, client, host) = (ssm.clone(), client.clone(), host.clone());
        let mut task = JoinSet::new();
        task.spawn(async move { ssm.read(&client, batch, timeout, host, sender).await });
        self.batch = Some((receiver, task, captures));
    }

    fn show_pending(&self) {
        self.progress.set_pending("nodes", self.pending.values().map(|node| &node.name));
    }

    /// The next node that was read, or could not be.
    async fn next(&mut self) -> Result<Option<(WantedNode, NodeRead)>> {
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
    awaited: Awaited,
    probing: Option<Probing>,
    captures: &TempDir,
) -> NodeRead {
    let Awaited { host, peers, .. } = awaited;
    let limits = probing.as_ref().map(|probing| probing.time.limits);
    let known_host = host.clone();
    let mut capture = None;
    let new_capture = || capture.insert(captures.temp_file()?).value.reopen().map(BufWriter::new);
    let run = match read(target, timeout, host, peers, probing, new_capture).await {
        Ok(run) => run,
        Err(error) => return NodeRead::failed(via, Diagnosis::from(error).gap(name)),
    };
    let gap = failure::sockets(target, &run).map(|diagnosis| diagnosis.gap(name.clone()));
    let has_ended = !run.transcript.ended.is_empty();
    let has_host = known_host.borrow().as_deref().is_some_and(|host| !host.is_empty());
    let answer = (has_ended && has_host).then(|| failure::answer(target, &name, &run));
    let probe = limits.filter(|_| has_ended && has_host);
    let probe = probe.and_then(|limits| failure::probe(&name, &run, limits));
    let has_sockets = run.transcript.captured > 0;
    NodeRead { via, capture: capture.filter(|_| has_sockets), answer, probe, gap }
}

/// The nodes that the user named, or else those that EC2 lists.
pub(super) fn wanted_nodes(request: &NodesRequest, instances: &[Instance]) -> Vec<WantedNode> {
    if request.named.is_empty() {
        let mut taken = BTreeSet::new();
        // Every instance id of EC2 is a valid name. One that is not would be reported as
        // not read.
        let listed = instances.iter().filter_map(|instance| {
            // Instances with the same DNS name are named by their ids.
            let name = node_name(instance).filter(|name| taken.insert(name.clone()));
            let name = name.or_else(|| instance.id.parse().ok())?;
            Some(WantedNode { name, instance: Some(instance.clone()), is_named: false, target: None })
        });
        return listed.collect();
    }
    let named = request.named.iter().map(|(name, target)| {
        let instance = instances.iter().find(|instance| is_named(instance, name.as_str()));
        WantedNode { name: name.clone(), instance: instance.cloned(), is_named: true, target: target.clone() }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::transport::kubectl::KubectlConfig;

    /// Jobs must run as long as their nodes may wait.
    #[test]
    fn the_lifetime_of_jobs_depends_on_how_many_nodes_are_read_at_a_time() {
        let at_a_time = |concurrency, clusters| {
            let config = KubectlConfig {
                context: None,
                kubeconfig: None,
                namespace: String::new(),
                image: String::new(),
                timeout: Duration::from_secs(30),
                extra_lifetime: Duration::ZERO,
                concurrency,
            };
            let transports = vec![Transport::Kubectl(config)];
            let request =
                NodesRequest::new(transports, Vec::new(), Duration::from_secs(30), concurrency, clusters);
            match &request.transports[0] {
                Transport::Kubectl(config) => config.concurrency,
                Transport::Ssh(_) | Transport::Ssm(_) => unreachable!("it is kubectl"),
            }
        };
        assert_eq!(at_a_time(8, 1), 8);
        assert_eq!(at_a_time(8, 4), 2);
        assert_eq!(at_a_time(2, 4), 1);
        assert!(at_a_time(1_000_000_000, 1) < 1_000_000_000, "open files limit it");
    }
}
