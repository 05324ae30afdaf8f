//! A trace: the nodes are sampled before, during and after a command, or until Ctrl-C.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::command::RunningCommand;
pub use super::command::StartError;
use super::nodes::NodesRequest;
use super::progress::Progress;
use super::runtime::{self, RuntimeError};
pub use super::sampling::Sample;
use super::sampling::{NodeEvent, Sampling};
use super::signals::{Signals, interruption};
use super::transport::sampler::{SampledNode, Stage};
use crate::messages::{self, Label};
use crate::model::cluster::Cluster;
use crate::model::gap::{Gap, GapReason};
use crate::model::name::NodeName;
use crate::model::net::Instance;
use crate::model::trace::{TracedCommand, TracedNode};
use crate::signals::{Received, Response};

/// How long outstanding samples may delay the command.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How long the samplers may take to end.
const END_MAX: Duration = Duration::from_secs(8);
/// The same after a signal that ends the run.
const END_MAX_INTERRUPTED: Duration = Duration::from_millis(200);
/// How long the command may take to end after such a signal, before it is killed. With the
/// time above, the report is written before the run is ended without it.
const COMMAND_MAX_INTERRUPTED: Duration = Duration::from_millis(200);

/// The exit codes of commands that SIGINT or SIGQUIT ended.
const KEY_EXITS: [u8; 2] = [130, 131];
/// How much later than the command this process may receive the signal of a key.
const KEY_DELAY: Duration = Duration::from_millis(300);

/// The options of a trace.
#[derive(Debug)]
pub struct TraceSettings<'a> {
    /// The names of the nodes to sample; if there are none, all are sampled.
    pub only: &'a [NodeName],
    /// The interval between two samples.
    pub interval: Duration,
    /// How long nodes are sampled before and after the command.
    pub settle: Duration,
    /// The command and its arguments; if it is empty, a signal ends the trace.
    pub command: &'a [OsString],
    /// Whether no progress is shown.
    pub hides_progress: bool,
}

/// An event of a trace.
#[derive(Debug)]
pub enum TraceEvent<'a> {
    /// A trace without a command samples this number of nodes until a signal.
    Waiting(usize),
    /// A node was sampled.
    Sample(&'a Sample),
    /// Sockets were closed between two samples.
    Closed(&'a Sample),
}

/// A trace that ended.
#[derive(Debug)]
pub struct Recording {
    /// The nodes that were sampled, sorted by name.
    pub nodes: Vec<TracedNode>,
    /// The number of inbound connections that the kernel of each node opened since the
    /// baseline, if it is known.
    pub opened: BTreeMap<NodeName, u64>,
    /// What was not sampled.
    pub gaps: Vec<Gap>,
    /// The command and how it ended.
    pub command: Option<TracedCommand>,
    /// The number of the signal that ended it, unless it came from the keyboard.
    pub signal: Option<u8>,
    /// Whether a key was pressed that sends a signal.
    pub has_key: bool,
}

/// Why a trace ended without a recording.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// No node could be sampled.
    #[error("no node can be sampled")]
    NoNodes(Vec<Gap>),
    /// A signal arrived before the command started.
    #[error("interrupted")]
    Interrupted(u8),
    /// The user's configuration is wrong.
    #[error("{0}")]
    Configuration(String),
    /// The command did not start.
    #[error(transparent)]
    Command(#[from] StartError),
    /// The exit status of the command is not available.
    #[error("cannot wait for the command: {0}")]
    Wait(io::Error),
    /// The runtime did not start.
    #[error(transparent)]
    Runtime(RuntimeError),
}

/// Samples nodes and runs the command. `instances` are the nodes that EC2 lists. Events
/// are passed to `sink`, which returns whether the node's next sample is to name processes.
///
/// # Errors
/// If no node can be sampled, the command cannot be run, or a signal arrives before.
pub fn record(
    nodes: &NodesRequest,
    cluster: &Cluster,
    instances: Option<&[Instance]>,
    options: &TraceSettings<'_>,
    sink: &mut dyn FnMut(TraceEvent<'_>) -> bool,
) -> Result<Recording, TraceError> {
    let runtime = runtime::start(0).map_err(TraceError::Runtime)?;
    let recording = runtime.block_on(async {
        let started =
            Sampling::start(nodes, cluster, instances, options.only, options.interval, Instant::now());
        let started = tokio::select! {
            started = started => started,
            signal = interruption() => return Err(TraceError::Interrupted(signal)),
        };
        let (sampling, gaps) = started.map_err(|error| TraceError::Configuration(error.0))?;
        let is_running = Arc::<AtomicBool>::default();
        let signals = Signals::new(answer(Arc::clone(&is_running)));
        let recorder = Recorder { sampling, sink, gaps, ended: Vec::new(), signals, is_running };
        recorder.record(options).await
    });
    // A name lookup that is still running in a system call must not delay the end.
    runtime.shutdown_background();
    recording
}

struct Recorder<'a> {
    sampling: Sampling,
    sink: &'a mut dyn FnMut(TraceEvent<'_>) -> bool,
    gaps: Vec<Gap>,
    ended: Vec<SampledNode>,
    signals: Signals,
    /// Whether the command is running, or a key is awaited.
    is_running: Arc<AtomicBool>,
}

/// What is done about a signal: a key is for the command while it is running, and may not
/// end it. Without a command, a key is the ordinary end, for which slow nodes have time.
fn answer(is_running: Arc<AtomicBool>) -> impl Fn(Received) -> Response {
    move |signal| {
        if signal.is_from_keyboard && is_running.load(Ordering::SeqCst) {
            Response::Continues
        } else {
            Response::Ends
        }
    }
}

impl Recorder<'_> {
    async fn record(mut self, options: &TraceSettings<'_>) -> Result<Recording, TraceError> {
        self.sample_before(options).await?;
        let mut has_key = false;
        let (command, mut signal) = if let Some((program, args)) = options.command.split_first() {
            let (command, signal) = self.run_command(program, args).await?;
            has_key = signal.is_some_and(|signal| signal.is_from_keyboard);
            // A key is for the command alone.
            (Some(command), signal.filter(|signal| !signal.is_from_keyboard))
        } else {
            self.is_running.store(true, Ordering::SeqCst);
            self.sampling.set_stage(Stage::During);
            (self.sink)(TraceEvent::Waiting(self.sampling.sampled().len()));
            let signal = self.sample_for(None).await;
            self.is_running.store(false, Ordering::SeqCst);
            (None, signal)
        };
        self.sampling.set_stage(Stage::After);
        if signal.is_none() {
            signal = self.sample_for(Some(options.settle)).await;
        }
        self.sampling.set_stage(Stage::Final);
        self.end(signal).await;
        has_key |= signal.is_some_and(|signal| signal.is_from_keyboard);
        // After another signal, the end of the process removes them.
        if signal.is_none_or(|signal| signal.is_from_keyboard) {
            self.sampling
                .remove_jobs()
                .await
                .iter()
                .for_each(|warning| messages::print(Label::Warning, warning));
        }
        let signal = signal.filter(|signal| !signal.is_from_keyboard).map(|signal| signal.number);
        let gaps = self.all_gaps();
        self.ended.sort_by(|a, b| a.node.name.cmp(&b.node.name));
        let opened = self.ended.iter().filter_map(|ended| Some((ended.node.name.clone(), ended.opened?)));
        let opened = opened.collect();
        let nodes = self.ended.into_iter().map(|ended| ended.node).filter(|node| node.samples > 0);
        Ok(Recording { nodes: nodes.collect(), opened, gaps, command, signal, has_key })
    }

    /// Samples the nodes before the command, and pauses.
    async fn sample_before(&mut self, options: &TraceSettings<'_>) -> Result<(), TraceError> {
        let interrupted = |signal: Received| Err(TraceError::Interrupted(signal.number));
        if let Some(signal) = self.first_samples(options.hides_progress).await {
            return interrupted(signal);
        }
        if self.sampling.sampled().is_empty() {
            return Err(TraceError::NoNodes(self.all_gaps()));
        }
        if let Some(signal) = self.sample_for(Some(options.settle)).await {
            return interrupted(signal);
        }
        self.sampling.set_stage(Stage::Paused);
        let until = Instant::now() + PAUSE_MAX;
        while !self.sampling.is_paused() && Instant::now() < until {
            tokio::select! {
                Some(event) = self.sampling.next() => self.pass_on(event),
                signal = self.signals.next() => return interrupted(signal),
                () = sleep(until - Instant::now()) => {}
            }
        }
        Ok(())
    }

    /// Runs the command to its end. Returns the last signal that was received meanwhile.
    async fn run_command(
        &mut self,
        program: &OsString,
        args: &[OsString],
    ) -> Result<(TracedCommand, Option<Received>), TraceError> {
        self.is_running.store(true, Ordering::SeqCst);
        let mut running = RunningCommand::start(program, args)?;
        let began = Instant::now();
        self.sampling.set_stage(Stage::During);
        let mut received = None;
        let mut kill_at = None;
        let exit_code = loop {
            tokio::select! {
                biased;
                signal = self.signals.next() => {
                    received = Some(signal);
                    // The command has received a key as well.
                    if !signal.is_from_keyboard {
                        running.signal(signal);
                        kill_at = Some(Instant::now() + COMMAND_MAX_INTERRUPTED);
                    }
                }
                () = sleep_until(kill_at) => {
                    running.kill();
                    kill_at = None;
                }
                ended = running.wait() => break ended.map_err(TraceError::Wait)?,
                Some(event) = self.sampling.next() => self.pass_on(event),
            }
        };
        if received.is_none() && KEY_EXITS.contains(&exit_code) {
            // The key that ended it may be received a moment later.
            received = tokio::time::timeout(KEY_DELAY, self.signals.next()).await.ok();
        }
        self.is_running.store(false, Ordering::SeqCst);
        let words = std::iter::once(program).chain(args).map(|word| word.to_string_lossy().into_owned());
        let command = TracedCommand { words: words.collect(), exit_code, duration: began.elapsed() };
        Ok((command, received))
    }

    /// Passes on events for some time, or until a signal, which is returned.
    async fn sample_for(&mut self, time: Option<Duration>) -> Option<Received> {
        let until = time.map(|time| Instant::now() + time);
        loop {
            tokio::select! {
                biased;
                signal = self.signals.next() => return Some(signal),
                () = sleep_until(until) => return None,
                Some(event) = self.sampling.next() => self.pass_on(event),
            }
        }
    }

    /// Passes on the last events until all samplers have ended.
    async fn end(&mut self, mut signal: Option<Received>) {
        let is_interrupted = signal.is_some_and(|signal| !signal.is_from_keyboard);
        let max = if is_interrupted { END_MAX_INTERRUPTED } else { END_MAX };
        let mut until = Instant::now() + max;
        loop {
            tokio::select! {
                event = self.sampling.next() => match event {
                    Some(event) => self.pass_on(event),
                    None => return,
                },
                received = self.signals.next(), if signal.is_none() => {
                    signal = Some(received);
                    until = until.min(Instant::now() + END_MAX_INTERRUPTED);
                }
                () = sleep_until(Some(until)) => return,
            }
        }
    }

    /// Passes on events until each node was sampled, or its sampler ended, or until a
    /// signal, which is returned.
    async fn first_samples(&mut self, hides_progress: bool) -> Option<Received> {
        let progress = Progress::new(hides_progress);
        progress.expect(self.sampling.pending().len() as u64);
        let clock = progress.clock();
        self.sampling.pending().iter().for_each(|node| clock.begin(node));
        loop {
            let pending = self.sampling.pending();
            if pending.is_empty() {
                return None;
            }
            progress.set_pending("first samples of nodes", pending.iter());
            let before = pending.len();
            tokio::select! {
                event = self.sampling.next() => self.pass_on(event?),
                signal = self.signals.next() => return Some(signal),
            }
            (self.sampling.pending().len()..before).for_each(|_| progress.answered());
        }
    }

    fn pass_on(&mut self, event: NodeEvent) {
        match event {
            NodeEvent::Sample(sample) => {
                if (self.sink)(TraceEvent::Sample(&sample)) {
                    self.sampling.request_processes(&sample.node);
                }
            }
            NodeEvent::Closed(sample) => {
                (self.sink)(TraceEvent::Closed(&sample));
            }
            NodeEvent::Ended(ended) => self.ended.push(ended),
            NodeEvent::Paused => {}
        }
    }

    /// What was not sampled, sorted.
    fn all_gaps(&self) -> Vec<Gap> {
        let unfinished = self.sampling.sampled().iter().map(|name| Gap {
            subject: name.clone().into(),
            why: GapReason::TimedOut,
            detail: "its last sample was not received in time".to_owned(),
            hint: "try again".to_owned(),
        });
        let ended = self.ended.iter().flat_map(|ended| ended.gaps.iter().cloned());
        let mut gaps: Vec<_> = self.gaps.iter().cloned().chain(ended).chain(unfinished).collect();
        gaps.sort();
        gaps
    }
}

/// Sleeps until a time; for ever if there is none.
async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
