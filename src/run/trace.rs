//! `trace`: describe the cluster, sample its nodes while a command runs, classify the
//! sockets, judge, report.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::{Result, anyhow, bail};
use jiff::Timestamp;

use super::judge::judged;
use super::live::{describe, request};
use super::output::Output;
use super::policy::load;
use crate::classify::Classifier;
use crate::classify::changes::connections;
use crate::classify::history::History;
use crate::cli::TraceArgs;
use crate::collect::nodes::NodesRequest;
use crate::collect::trace::{self, Event, Recording, Sample, TraceError, TraceOptions};
use crate::model::evidence::Evidence;
use crate::model::gap::{Gap, GapReason, Subject};
use crate::model::judgment::{Judgment, Verdict};
use crate::model::name::NodeName;
use crate::model::node::Node;
use crate::model::trace::Trace;
use crate::policy::{FailOn, Policy};
use crate::report::format::TraceFormat;
use crate::report::text::escape;
use crate::run::exit::{EndsWith, Exit};

/// Samples the nodes while a command runs, and reports what changed.
pub(super) fn trace(args: &TraceArgs) -> Result<Exit> {
    let files = Output::open_all(&args.write, &[])?;
    let judge = args.fail_on.map(|fail_on| {
        anyhow::Ok((load(args.policy.as_deref(), Timestamp::now())?.rules, fail_on.threshold()))
    });
    let judge = judge.transpose()?;
    let mut request = request(&args.cluster, &args.aws, &args.ask, 1)?;
    let Some(nodes) = request.nodes.take() else {
        bail!("--nodes none leaves no node to sample");
    };
    let evidence = describe(&request, args.talk)?.read(&args.cluster).map_err(|error| {
        anyhow!(error).context(EndsWith(Exit::Inconclusive, "cannot read the answers of AWS".to_owned()))
    })?;

    let began = format!("{:.3}", Timestamp::now());
    let mut samples = Samples::default();
    let recording = samples.record(&nodes, &evidence, args)?;
    let exit = match (&recording.command, recording.signal) {
        (Some(command), _) => Exit::Command(command.exit_code),
        (None, Some(signal)) => Exit::Signal(signal),
        // Ctrl-C is the ordinary end.
        (None, None) => Exit::Pass,
    };

    let classifier = Classifier::new(evidence);
    let trace = samples.trace(&classifier, recording, &args.cluster, began);
    let judgment = judge.map(|(policy, fail_on)| samples.judge(classifier, &policy, fail_on));

    let write = |format: &TraceFormat, output: Output| {
        output.write_whole(|out, style| (format.write)(&trace, judgment.as_ref(), style, out))
    };
    let files = files.into_iter().map(|(format, file)| write(format, file));
    let reported = files.collect::<Vec<_>>().into_iter().collect::<Result<()>>();
    let printed = write(args.format, Output::stdout());
    if let Err(error) = reported.and(printed) {
        return Err(match exit {
            // The exit code of a command that failed takes precedence.
            Exit::Command(1..) => error.context(EndsWith(exit, "the command failed, and".to_owned())),
            _ => error,
        });
    }
    Ok(match judgment.map(|judgment| judgment.verdict) {
        Some(Verdict::Fail) => Exit::Findings,
        Some(Verdict::Inconclusive) => Exit::Inconclusive,
        Some(Verdict::Pass) | None => exit,
    })
}

/// The samples of all nodes.
#[derive(Default)]
struct Samples {
    history: History,
    /// Each node as of its first sample.
    nodes: BTreeMap<NodeName, Node>,
    /// Samples that are not complete.
    gaps: Vec<Gap>,
}

impl Samples {
    fn record(&mut self, nodes: &NodesRequest, evidence: &Evidence, args: &TraceArgs) -> Result<Recording> {
        let instances = evidence.network.instances.seen().map(Vec::as_slice);
        let options = TraceOptions {
            only: &args.only,
            interval: args.interval,
            settle: args.settle,
            command: &args.command,
            hides_progress: args.talk.quiet || args.talk.verbose > 1,
        };
        let recording = trace::record(nodes, instances, &options, &mut |event| match event {
            Event::Sample(sample) => self.add(sample),
            Event::Closed(sample) => {
                let history = &mut self.history;
                sample.rows(|row| history.closed(&sample.node, &row.socket, sample.phase, sample.moment));
                false
            }
            Event::Waiting(nodes) => {
                if !args.talk.quiet {
                    // Fails if standard error is closed.
                    let _ = writeln!(anstream::stderr(), "sampling {nodes} nodes; Ctrl-C ends it");
                }
                false
            }
        });
        recording.map_err(|error| refusal(error, args))
    }

    /// Adds a sample. Returns whether it has new sockets whose processes are unknown.
    fn add(&mut self, sample: &Sample) -> bool {
        let mut gaps = sample.rows(|_| {}).gaps;
        gaps.retain(|gap| gap.why != GapReason::NoProcessNames);
        // Sockets that an incomplete sample lacks may still exist.
        if !gaps.is_empty() && self.nodes.contains_key(&sample.node) {
            self.gaps.extend(gaps);
            return false;
        }
        let mut open = self.history.begin_sample(&sample.node, sample.phase, Some(sample.moment));
        let node = sample.rows(|row| {
            let processes = row.processes.clone().map(|process| (process.comm, process.pid()));
            open.add(row.socket, processes);
        });
        let has_new_nameless = open.has_new_nameless;
        if !self.nodes.contains_key(&sample.node) {
            self.gaps.extend(gaps);
            self.nodes.insert(sample.node.clone(), node);
        }
        has_new_nameless
    }

    /// What changed.
    fn trace(&self, classifier: &Classifier, recording: Recording, cluster: &str, began: String) -> Trace {
        let Recording { nodes, mut gaps, command, .. } = recording;
        gaps.extend(self.gaps.iter().cloned());
        gaps.extend(self.history.incomplete(&gaps));
        if self.history.dropped > 0 {
            gaps.push(Gap {
                subject: Subject::Sockets,
                why: GapReason::TooMuchOutput,
                detail: format!("{} sockets exceeded the limit and were not kept", self.history.dropped),
                hint: "trace for a shorter time, or fewer nodes with --only".to_owned(),
            });
        }
        gaps.extend(classifier.evidence().attribution_gaps());
        gaps.sort();
        gaps.dedup();
        let connections = connections(&self.history, classifier, classifier);
        Trace { cluster: Some(cluster.to_owned()), command, began: Some(began), nodes, connections, gaps }
    }

    /// The judgment of all sockets by the rules of `audit`.
    fn judge(self, mut classifier: Classifier, policy: &Policy, fail_on: FailOn) -> Judgment {
        for (node, known) in self.history.sockets() {
            let process = known.process.as_ref().map(|process| (process.name.as_bytes(), process.pid));
            classifier.add(node, known.socket.clone(), process.into_iter());
        }
        let facts = classifier.finish(self.nodes.into_values().collect());
        judged(facts, policy, Some(fail_on)).judgment
    }
}

/// The error of a trace that has no recording.
fn refusal(error: TraceError, args: &TraceArgs) -> anyhow::Error {
    match error {
        TraceError::NoNodes(gaps) => no_nodes(&gaps, args),
        TraceError::Interrupted(signal) => {
            anyhow!(EndsWith(Exit::Signal(signal), "interrupted; the command was not run".to_owned()))
        }
        TraceError::Command(error) => anyhow!(EndsWith(Exit::Command(error.exit_code()), error.to_string())),
        error => error.into(),
    }
}

/// No node can be sampled: several reasons are listed above the error.
fn no_nodes(gaps: &[Gap], args: &TraceArgs) -> anyhow::Error {
    let why = if let [gap] = gaps {
        format!(": {gap}")
    } else {
        let mut err = anstream::stderr();
        for gap in gaps {
            // Fails if standard error is closed.
            let _ = writeln!(err, "  {}", escape(&gap.to_string()));
        }
        String::new()
    };
    let not_run = if args.command.is_empty() { "" } else { ", and the command was not run" };
    anyhow!(EndsWith(Exit::Inconclusive, format!("no node can be sampled{not_run}{why}")))
}
