//! A trace: the nodes are sampled before, during and after a command, or until Ctrl-C.

use std::ffi::OsString;
use std::io;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::{Instant, sleep, timeout};

pub use super::command::StartError;
use super::command::{RunningCommand, is_from_keyboard, listen};
use super::nodes::NodesRequest;
use super::progress::Progress;
pub use super::sampling::Sample;
use super::sampling::{NodeEvent, Sampling};
use super::signals::{Signals, number};
use super::transport::sampler::{SampledNode, Stage};
use crate::model::gap::{Gap, GapReason};
use crate::model::name::NodeName;
use crate::model::net::Instance;
use crate::model::trace::{TracedCommand, TracedNode};

/// How long outstanding samples may delay the command.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// The largest number of pending nodes that the progress names.
const NAMES_MAX: usize = 4;
/// How long the samplers may take to end.
const END_MAX: Duration = Duration::from_secs(8);

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
    /// What was not sampled.
    pub gaps: Vec<Gap>,
    /// The command and how it ended.
    pub command: Option<TracedCommand>,
    /// The number of the signal that ended a trace without a command, unless it came from
    /// the keyboard.
    pub signal: Option<u8>,
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
    /// The command did not start.
    #[error(transparent)]
    Command(#[from] StartError),
    /// The exit status of the command is not available.
    #[error("cannot wait for the command: {0}")]
    Wait(io::Error),
    /// Signals cannot be received.
    #[error("cannot listen for signals: {0}")]
    Signals(io::Error),
    /// The runtime did not start.
    #[error(transparent)]
    Runtime(io::Error),
}

/// Samples nodes and runs the command. `instances` are the nodes that EC2 lists. Events
/// are passed to `sink`, which returns whether the node's next sample is to name processes.
///
/// # Errors
/// If no node can be sampled, the command cannot be run, or a signal arrives before.
pub fn record(
    nodes: &NodesRequest,
    instances: Option<&[Instance]>,
    options: &TraceSettings<'_>,
    sink: &mut dyn FnMut(TraceEvent<'_>) -> bool,
) -> Result<Recording, TraceError> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(TraceError::Runtime)?;
    let recording = runtime.block_on(async {
        let (sampling, gaps) =
            Sampling::start(nodes, instances, options.only, options.interval, Instant::now());
        Recorder { sampling, sink, gaps, ended: Vec::new() }.record(options).await
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
}

impl Recorder<'_> {
    async fn record(mut self, options: &TraceSettings<'_>) -> Result<Recording, TraceError> {
        let mut signals = listen().map_err(TraceError::Signals)?;
        tokio::select! {
            () = self.first_samples(options.hides_progress) => {}
            kind = signals.next() => return Err(TraceError::Interrupted(number(kind))),
        }
        if self.sampling.sampled().is_empty() {
            return Err(TraceError::NoNodes(self.all_gaps()));
        }
        tokio::select! {
            () = self.sample_during(sleep(options.settle)) => {}
            kind = signals.next() => return Err(TraceError::Interrupted(number(kind))),
        }
        self.sampling.set_stage(Stage::Paused);
        tokio::select! {
            _ = timeout(PAUSE_MAX, self.until_paused()) => {}
            kind = signals.next() => return Err(TraceError::Interrupted(number(kind))),
        }
        let (mut command, mut signal) = (None, None);
        if let Some((program, args)) = options.command.split_first() {
            command = Some(self.run_command(program, args, &mut signals).await?);
        } else {
            self.sampling.set_stage(Stage::During);
            (self.sink)(TraceEvent::Waiting(self.sampling.sampled().len()));
            let kind = self.sample_during(signals.next()).await;
            signal = (!is_from_keyboard(kind)).then(|| number(kind));
        }
        self.sampling.set_stage(Stage::After);
        tokio::select! {
            () = self.sample_during(sleep(options.settle)) => {}
            // A further signal ends the wait, and the report has what there is.
            _ = signals.next() => {}
        }
        self.sampling.set_stage(Stage::Final);
        let all_end = async {
            while let Some(event) = self.sampling.next().await {
                self.pass_on(event);
            }
        };
        let _ = timeout(END_MAX, all_end).await;
        let gaps = self.all_gaps();
        self.ended.sort_by(|a, b| a.node.name.cmp(&b.node.name));
        let nodes = self.ended.into_iter().map(|ended| ended.node).filter(|node| node.samples > 0);
        Ok(Recording { nodes: nodes.collect(), gaps, command, signal })
    }

    async fn run_command(
        &mut self,
        program: &OsString,
        args: &[OsString],
        signals: &mut Signals,
    ) -> Result<TracedCommand, TraceError> {
        let mut running = RunningCommand::start(program, args)?;
        let began = Instant::now();
        self.sampling.set_stage(Stage::During);
        let exit_code = loop {
            tokio::select! {
                // A key that ends the command does not end the samples after it.
                biased;
                kind = signals.next() => if !is_from_keyboard(kind) {
                    running.signal(kind);
                },
                ended = running.wait() => break ended.map_err(TraceError::Wait)?,
                () = self.sample_during(std::future::pending()) => {}
            }
        };
        let words = std::iter::once(program).chain(args).map(|word| word.to_string_lossy().into_owned());
        Ok(TracedCommand { words: words.collect(), exit_code, duration: began.elapsed() })
    }

    /// Passes on events until a future is ready.
    async fn sample_during<T>(&mut self, future: impl Future<Output = T>) -> T {
        tokio::pin!(future);
        loop {
            tokio::select! {
                biased;
                output = &mut future => return output,
                Some(event) = self.sampling.next() => self.pass_on(event),
                else => return future.await,
            }
        }
    }

    /// Passes on events until each node was sampled, or its sampler ended.
    async fn first_samples(&mut self, hides_progress: bool) {
        let progress = Progress::new(hides_progress);
        progress.expect(self.sampling.pending().len() as u64);
        loop {
            let pending = self.sampling.pending();
            if pending.is_empty() {
                return;
            }
            let names: Vec<_> = pending.iter().take(NAMES_MAX).map(NodeName::as_str).collect();
            progress.set_message(format!("first samples of nodes: {}", names.join(", ")));
            let before = pending.len();
            let Some(event) = self.sampling.next().await else { return };
            self.pass_on(event);
            (self.sampling.pending().len()..before).for_each(|_| progress.answered());
        }
    }

    async fn until_paused(&mut self) {
        while !self.sampling.is_paused() {
            let Some(event) = self.sampling.next().await else { return };
            self.pass_on(event);
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
            detail: format!("its last sample was not received within {} s", END_MAX.as_secs()),
            hint: "try again".to_owned(),
        });
        let ended = self.ended.iter().flat_map(|ended| ended.gaps.iter().cloned());
        let mut gaps: Vec<_> = self.gaps.iter().cloned().chain(ended).chain(unfinished).collect();
        gaps.sort();
        gaps
    }
}
