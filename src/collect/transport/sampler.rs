//! A node sampled repeatedly over one run of a client. Each sample is requested by a line
//! on standard input, so that nothing keeps running on the node when the client ends. The
//! kernel reports the sockets that close between two samples.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStderr, ChildStdin};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use super::Target;
use super::client::{Client, Ending, Pipes, StopReason, keep_end};
use super::diagnosis::Diagnosis;
use super::failure;
use super::framing::{Framer, LINE_MAX, complete_lines, new_marker};
use super::protocol::{KEEP, LOOP, Protocol, RawSample, Rights, SCRIPT, SampleKind, parameters};
use super::schedule::Schedule;
use crate::model::gap::Gap;
use crate::model::name::NodeName;
use crate::model::trace::{Coverage, Moment, Phase, TracedNode};

/// The shortest interval between samples with processes, however often new sockets appear.
const PROCESSES_INTERVAL: Duration = Duration::from_secs(1);
/// The largest number of requested samples that were not received; further ones are missed.
const OUTSTANDING_MAX: usize = 4;
/// The interval of the lines that keep the loop on the node running, each for 30 s.
const KEEP_INTERVAL: Duration = Duration::from_secs(5);
/// For how long this process may be stopped, as by Ctrl-Z, before the node ends the loop.
const STOPPED_MAX: Duration = Duration::from_secs(20);
/// How long the final sample may take.
const FINAL_SAMPLE: Duration = Duration::from_secs(5);
/// How long the rest of the output may take after the final sample.
const LAST_OUTPUT: Duration = Duration::from_secs(1);
/// How long a client may take to end after the end of its output.
const EXIT_WAIT: Duration = Duration::from_millis(500);
/// What `ss -E` prints if the kernel reported more than it could read.
const EVENTS_LOST: &[u8] = b"netlink receive error";
/// How long standard error is read after the end of standard output.
const STDERR_WAIT: Duration = Duration::from_millis(200);

/// What the samplers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Sample, before the action.
    Before,
    /// Pause: the action is about to begin.
    Paused,
    /// Sample, during the action.
    During,
    /// Sample, after the action.
    After,
    /// Take the final sample, and end.
    Final,
}

impl Stage {
    fn phase(self) -> Phase {
        match self {
            Self::Before | Self::Paused => Phase::Before,
            Self::During => Phase::During,
            Self::After | Self::Final => Phase::After,
        }
    }
}

/// What a sampler sends.
#[derive(Debug)]
pub(crate) enum SamplerEvent {
    /// A sample.
    Sample {
        /// The part of the trace in which it was requested.
        phase: Phase,
        moment: Moment,
        /// Whether the connections that are opened are counted from it on.
        is_baseline: bool,
        /// The output of `ss`.
        bytes: Vec<u8>,
    },
    /// Sockets that were closed, as `ss` prints them.
    Closed { phase: Phase, moment: Moment, bytes: Vec<u8> },
    /// No sample is outstanding, as [`Stage::Paused`] requires.
    Paused,
}

/// A node whose sampler ended.
#[derive(Debug)]
pub(crate) struct SampledNode {
    /// How often it was sampled.
    pub(crate) node: TracedNode,
    /// The number of inbound connections that were opened since the baseline.
    pub(crate) opened: Option<u64>,
    /// What was not seen of it.
    pub(crate) gaps: Vec<Gap>,
}

impl SampledNode {
    /// A node that was never reached.
    pub(crate) fn never(name: NodeName, gap: Gap) -> Self {
        let node = TracedNode {
            name,
            samples: 0,
            missed: 0,
            has_close_events: false,
            unseen_inbound: None,
            coverage: Coverage::default(),
        };
        Self { node, opened: None, gaps: vec![gap] }
    }
}

/// The options of a sampler.
#[derive(Debug, Clone)]
pub(crate) struct SamplerOptions {
    /// How long the login and the first sample may take.
    pub(crate) timeout: Duration,
    /// The interval between two samples.
    pub(crate) interval: Duration,
    /// When the trace began.
    pub(crate) began: Instant,
    pub(crate) stage: watch::Receiver<Stage>,
    /// Set if a sample has sockets whose processes are unknown.
    pub(crate) wants_processes: Arc<AtomicBool>,
}

/// Samples a node until the final sample, or the end of the client. `permit`, which limits
/// the number of logins at a time, is released after the first sample.
pub(crate) async fn sample(
    mut options: SamplerOptions,
    name: NodeName,
    target: Target,
    permit: Option<OwnedSemaphorePermit>,
    events: mpsc::Sender<(NodeName, SamplerEvent)>,
) -> SampledNode {
    let mut sampler = Sampler::new(&options, name.clone(), permit, events);
    let (script, sample_loop) =
        target.own_scripts().map_or((SCRIPT, LOOP), |own| (own.sample, own.sample_loop));
    let (mut client, pipes) = match Client::start(&target.invocation(script)) {
        Ok(started) => started,
        Err(error) => return sampler.finish(vec![Diagnosis::from(error).gap(name)]),
    };
    let stopped = sampler.run(&mut options, pipes, sample_loop).await;
    let status = if stopped.is_none() {
        timeout(EXIT_WAIT, client.wait()).await.ok().and_then(Result::ok)
    } else {
        None
    };
    if status.is_none() {
        client.stop().await;
    }
    let stderr = String::from_utf8_lossy(&sampler.stderr_end).into_owned();
    let ending = Ending { status, stderr, stopped };
    // During the action, the terminal belongs to the command.
    if *options.stage.borrow() != Stage::During {
        debug!(%name, samples = sampler.samples, missed = sampler.missed, ?ending, "the client ended");
    }
    let protocol = &sampler.protocol;
    let mut gaps = Vec::new();
    if !sampler.is_complete {
        let diagnosis = match sampler.samples {
            0 => failure::not_sampled(&target, &ending, protocol.has_begun, &protocol.preamble),
            number => failure::sampling_ended(&ending, number, options.began.elapsed(), sampler.stopped_for),
        };
        gaps.push(diagnosis.gap(name.clone()));
    } else if sampler.last_failed {
        gaps.push(failure::last_sample_failed(&ending).gap(name.clone()));
    }
    if protocol.rights == Some(Rights::Unprivileged) {
        gaps.push(failure::no_process_names(&target, &ending).gap(name));
    }
    sampler.finish(gaps)
}

/// The standard input of the client, until it is closed.
struct Requests(Option<ChildStdin>);

impl Requests {
    async fn write(&mut self, bytes: &[u8]) {
        if let Some(stdin) = &mut self.0 {
            // Fails if the client has ended, whose ending has the reason.
            let _ = stdin.write_all(bytes).await;
        }
    }

    fn close(&mut self) {
        self.0 = None;
    }
}

/// The sampler of a node.
struct Sampler {
    name: NodeName,
    events: mpsc::Sender<(NodeName, SamplerEvent)>,
    permit: Option<OwnedSemaphorePermit>,
    began: Instant,
    marker: String,
    protocol: Protocol,
    /// The parts of the trace in which the outstanding samples were requested.
    requested: VecDeque<Phase>,
    samples: u64,
    missed: u64,
    /// Standard error that is no closed socket.
    stderr_end: Vec<u8>,
    /// Whether the final sample was received.
    is_complete: bool,
    /// Whether `ss` failed in the last sample that was received.
    last_failed: bool,
    /// The number of inbound connections that had been opened before the baseline.
    opened_before: Option<u64>,
    /// For how long this process was stopped, if that was too long for the node.
    stopped_for: Option<Duration>,
}

impl Sampler {
    fn new(
        options: &SamplerOptions,
        name: NodeName,
        permit: Option<OwnedSemaphorePermit>,
        events: mpsc::Sender<(NodeName, SamplerEvent)>,
    ) -> Self {
        Self {
            name,
            events,
            permit,
            began: options.began,
            marker: new_marker(),
            protocol: Protocol::default(),
            requested: VecDeque::new(),
            samples: 0,
            missed: 0,
            stderr_end: Vec::new(),
            is_complete: false,
            last_failed: false,
            opened_before: None,
            stopped_for: None,
        }
    }

    fn finish(self, gaps: Vec<Gap>) -> SampledNode {
        let has_close_events = self.has_close_events();
        let node = TracedNode {
            name: self.name,
            samples: self.samples,
            missed: self.missed,
            has_close_events,
            unseen_inbound: None,
            coverage: Coverage::default(),
        };
        let opened = self.protocol.opened.zip(self.opened_before);
        let opened = opened.and_then(|(end, before)| end.checked_sub(before));
        SampledNode { node, opened, gaps }
    }

    /// Whether every socket that closed was reported.
    fn has_close_events(&self) -> bool {
        self.protocol.has_close_events && !self.protocol.has_lost_events
    }

    /// Samples until the final sample or the end of the output; returns why the client has
    /// to be stopped, if it has.
    async fn run(
        &mut self,
        options: &mut SamplerOptions,
        pipes: Pipes,
        sample_loop: &str,
    ) -> Option<StopReason> {
        let Pipes { stdin, mut stdout, mut stderr } = pipes;
        let mut stdin = Requests(Some(stdin));
        let login_until = Instant::now() + options.timeout;
        let mut stage = *options.stage.borrow_and_update();
        let mut schedule = Schedule::new(options.interval);
        let mut final_until = None;
        let mut processes_requested = Instant::now();
        let mut keep_due = Instant::now() + KEEP_INTERVAL;
        let (mut is_paused, mut has_stderr) = (false, true);
        let mut framer = Framer::new(&self.marker);
        let mut stderr_lines = Vec::new();
        let (mut piece, mut stderr_piece) = (vec![0; 32 << 10], vec![0; 4 << 10]);
        stdin.write(parameters(&self.marker, sample_loop).as_bytes()).await;
        loop {
            let is_sampling = self.samples > 0 && !matches!(stage, Stage::Paused | Stage::Final);
            let deadline = if self.samples == 0 { Some(login_until) } else { final_until };
            tokio::select! {
                read = stdout.read(&mut piece) => {
                    let Ok(length @ 1..) = read else {
                        self.notice_stop(keep_due);
                        self.read_last_stderr(&mut stderr, stderr_lines, stage.phase()).await;
                        return None;
                    };
                    if framer.push(&piece[..length], |frame| self.protocol.frame(frame)).is_err() {
                        return Some(StopReason::TooMuchOutput);
                    }
                    self.send_samples(&mut stdin, stage.phase(), &mut schedule).await;
                    if self.samples == 1 && self.permit.take().is_some() {
                        schedule.start();
                    }
                }
                read = stderr.read(&mut stderr_piece), if has_stderr => {
                    let length = read.unwrap_or(0);
                    has_stderr = length > 0;
                    stderr_lines.extend_from_slice(&stderr_piece[..length]);
                    self.take_stderr(&mut stderr_lines, stage.phase()).await;
                }
                changed = options.stage.changed() => {
                    if changed.is_err() {
                        return None;
                    }
                    stage = *options.stage.borrow_and_update();
                    is_paused = false;
                    self.enter(stage, &mut stdin, &mut schedule).await;
                    if stage == Stage::Final {
                        final_until = Some(Instant::now() + FINAL_SAMPLE);
                    }
                }
                () = sleep_until(schedule.due), if is_sampling => {
                    if self.requested.len() < OUTSTANDING_MAX {
                        let is_time = processes_requested.elapsed() >= PROCESSES_INTERVAL;
                        let kind = if is_time && options.wants_processes.swap(false, Ordering::Relaxed) {
                            processes_requested = Instant::now();
                            SampleKind::Processes
                        } else {
                            SampleKind::Sockets
                        };
                        self.request(&mut stdin, stage.phase(), kind).await;
                    } else {
                        self.missed += 1;
                    }
                    let is_fast = stage == Stage::During && !self.has_close_events();
                    self.missed += schedule.advance(is_fast);
                }
                () = sleep_until(keep_due) => {
                    self.notice_stop(keep_due);
                    keep_due = Instant::now() + KEEP_INTERVAL;
                    // Before the login ends, the lines would be queued.
                    if self.protocol.rights.is_some() {
                        stdin.write(KEEP).await;
                    }
                }
                () = sleep_until(deadline.unwrap_or(login_until)), if deadline.is_some() => {
                    if self.is_complete {
                        return None;
                    }
                    let limit = if self.samples == 0 { options.timeout } else { FINAL_SAMPLE };
                    return Some(StopReason::TimedOut(limit));
                }
            }
            if self.samples > 0 && self.requested.is_empty() && !self.protocol.is_receiving() {
                match stage {
                    Stage::Final if !self.is_complete => {
                        self.is_complete = true;
                        final_until = Some(Instant::now() + LAST_OUTPUT);
                    }
                    Stage::Paused if !is_paused => {
                        is_paused = true;
                        self.send(SamplerEvent::Paused).await;
                    }
                    _ => {}
                }
            }
        }
    }

    /// Begins a stage: requests its first sample, or makes that due.
    async fn enter(&mut self, stage: Stage, stdin: &mut Requests, schedule: &mut Schedule) {
        match stage {
            Stage::During => {
                // Samples that are received during the action are of its time.
                self.requested.make_contiguous().fill(Phase::During);
                schedule.start_now();
            }
            Stage::After => schedule.start_now(),
            Stage::Paused if self.samples > 0 => {
                self.request(stdin, Phase::Before, SampleKind::Baseline).await;
            }
            Stage::Final => {
                self.request(stdin, Phase::After, SampleKind::Processes).await;
                // The node ends the loop then, and reports what was closed until then.
                stdin.close();
            }
            Stage::Before | Stage::Paused => {}
        }
    }

    async fn request(&mut self, stdin: &mut Requests, phase: Phase, kind: SampleKind) {
        stdin.write(kind.request().as_bytes()).await;
        self.requested.push_back(phase);
    }

    /// Sends the samples that were received, and requests the first one.
    async fn send_samples(&mut self, stdin: &mut Requests, phase: Phase, schedule: &mut Schedule) {
        let samples = self.protocol.take_samples();
        let is_ready = self.protocol.rights.is_some() && samples.is_empty();
        if is_ready && self.samples == 0 && self.requested.is_empty() {
            self.request(stdin, phase, SampleKind::Full).await;
        }
        for sample in samples {
            schedule.took(sample.took);
            self.send_sample(sample).await;
        }
    }

    async fn send_sample(&mut self, sample: RawSample) {
        // A sample that was not requested is ignored.
        let Some(phase) = self.requested.pop_front() else { return };
        // If the first ss fails, its output is missing, which becomes a gap.
        self.last_failed = sample.has_failed && self.samples > 0;
        if self.last_failed {
            self.missed += 1;
            return;
        }
        self.samples += 1;
        let moment = Moment { arrived: self.began.elapsed(), node: sample.time };
        // One that arrives after the action began does not show what was opened before.
        let is_baseline = sample.opened.is_some() && phase == Phase::Before;
        if is_baseline {
            self.opened_before = sample.opened;
        }
        self.send(SamplerEvent::Sample { phase, moment, is_baseline, bytes: sample.bytes }).await;
    }

    /// Takes the complete lines of standard error: closed sockets, and messages.
    async fn take_stderr(&mut self, lines: &mut Vec<u8>, phase: Phase) {
        let complete = complete_lines(lines).len();
        if !self.protocol.has_close_events || self.samples == 0 {
            keep_end(&mut self.stderr_end, lines);
            lines.clear();
        } else if complete > 0 {
            let bytes: Vec<u8> = lines.drain(..complete).collect();
            // The messages of the client are among them.
            let messages = bytes.split_inclusive(|byte| *byte == b'\n');
            for line in messages.filter(|line| !line.starts_with(b"UNCONN")) {
                self.protocol.has_lost_events |= line.starts_with(EVENTS_LOST);
                keep_end(&mut self.stderr_end, line);
            }
            let moment = Moment { arrived: self.began.elapsed(), node: None };
            self.send(SamplerEvent::Closed { phase, moment, bytes }).await;
        } else if lines.len() > LINE_MAX {
            lines.clear();
        }
    }

    /// Records that this process was stopped for longer than the node waits.
    fn notice_stop(&mut self, keep_due: Instant) {
        let late = keep_due.elapsed();
        if late > STOPPED_MAX {
            self.stopped_for = Some(late);
        }
    }

    /// Takes what is still in the pipe of standard error, such as why the client ended.
    async fn read_last_stderr(&mut self, stderr: &mut ChildStderr, mut lines: Vec<u8>, phase: Phase) {
        let mut piece = vec![0; 4 << 10];
        let rest = async {
            while let Ok(length @ 1..) = stderr.read(&mut piece).await {
                lines.extend_from_slice(&piece[..length]);
                self.take_stderr(&mut lines, phase).await;
            }
        };
        let _ = timeout(STDERR_WAIT, rest).await;
    }

    async fn send(&self, event: SamplerEvent) {
        // Fails if the trace has ended.
        let _ = self.events.send((self.name.clone(), event)).await;
    }
}
