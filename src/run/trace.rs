//! `trace`: describe the cluster, sample its nodes while a command runs, classify the
//! sockets, judge, report.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Write};
use std::ops::ControlFlow;

use anyhow::{Result, bail};
use jiff::Timestamp;

use super::exit::{Ending, Exit, undescribed};
use super::inputs::Inputs;
use super::judge::{is_about_nodes, judge_facts, take_away};
use super::live::{cluster_request, describe_cluster};
use super::output::{Output, all_written};
use super::policy::load;
use super::rejected::list_rejected;
use crate::classify::Classifier;
use crate::classify::changes::connections;
use crate::classify::history::History;
use crate::classify::witness::Witness;
use crate::cli::options::{TraceOptions, Verbosity};
use crate::collect::log::log_to_stderr;
use crate::collect::nodes::NodesRequest;
use crate::collect::trace::{self, Recording, Sample, TraceError, TraceEvent};
use crate::evidence::nodes::unread;
use crate::model::audit::TraceJudgment;
use crate::model::evidence::Evidence;
use crate::model::facts::{Facts, Incomplete};
use crate::model::gap::{Gap, GapReason, Subject};
use crate::model::judgment::Verdict;
use crate::model::name::NodeName;
use crate::model::node::Node;
use crate::model::trace::{Coverage, Trace, TracedNode};
use crate::report::format::TraceFormat;
use crate::report::text::escape;

/// Samples the nodes while a command runs, and reports what changed.
pub(super) fn trace(options: &TraceOptions) -> Result<Ending> {
    let now = Timestamp::now();
    let files = Output::open_all(&options.write, &Inputs::of_trace(options))?;
    let policy = options.judgment.as_ref().map(|judgment| load(judgment.policy.as_deref(), now));
    let policy = policy.transpose()?;
    if options.verbosity == Verbosity::Requests {
        log_to_stderr();
    }
    let mut request = cluster_request(&options.cluster)?;
    let Some(nodes) = request.nodes.take() else {
        bail!("--nodes none leaves no node to sample");
    };
    let nodes = nodes.for_trace();
    let evidence = match describe_cluster(&request, options.verbosity)? {
        ControlFlow::Continue(evidence) => evidence,
        ControlFlow::Break(ending) => {
            let gaps = undescribed(&ending).into_iter().collect();
            return Ok(report_failure(options, gaps, files, ending));
        }
    };

    // Answers of which AWS says that they are a part count as missing in a second judgment.
    let gaps = evidence.incomplete();
    let has_second = options.judgment.is_some() && !gaps.is_empty();
    let without = has_second.then(|| take_away(&gaps, evidence.clone()));

    let began = format!("{:.3}", Timestamp::now());
    let mut samples = Samples::default();
    let recording = match samples.record(&nodes, &evidence, options) {
        Ok(recording) => recording,
        Err(error) => {
            let gaps = if let TraceError::NoNodes(gaps) = &error { gaps.clone() } else { Vec::new() };
            let ending = refusal(error, options)?;
            return Ok(report_failure(options, gaps, files, ending));
        }
    };
    if recording.has_key && std::io::stderr().is_terminal() {
        // The terminal has printed the key, as ^C. Fails if standard error is closed.
        let _ = writeln!(std::io::stderr());
    }
    let exit = match (&recording.command, recording.signal) {
        (_, Some(signal)) => Exit::Signal(signal),
        (Some(command), None) => Exit::Command(command.exit_code),
        // Ctrl-C is the ordinary end.
        (None, None) => Exit::Pass,
    };

    let classifier = Classifier::new(evidence);
    let trace = samples.trace(&classifier, recording, &options.cluster.name, began);
    if options.verbosity >= Verbosity::RejectedLines {
        list_rejected(samples.nodes.values().chain(samples.incomplete.values()));
    }
    let judgment = options.judgment.as_ref().zip(policy);
    let judgment = judgment.map(|(options, policy)| TraceJudgment {
        judgment: {
            let without = without.map(|without| (gaps, Classifier::new(without)));
            let facts = samples.facts(classifier, without, &trace.gaps);
            judge_facts(&facts, &policy.rules, options.fail_on)
        },
        // What is unused in one trace may be used in an audit.
        policy: policy.used(policy.rules.usage().notes(false)),
    });
    report(options, &trace, judgment.as_ref(), files, exit)
}

/// Writes the files of a run that sampled nothing; standard output remains the command's. Without
/// gaps, it ended before it was known whether anything could be sampled, and nothing is written.
fn report_failure(
    options: &TraceOptions,
    gaps: Vec<Gap>,
    files: Vec<(&'static TraceFormat, Output)>,
    ending: Ending,
) -> Ending {
    if gaps.is_empty() {
        return ending;
    }
    let trace = Trace {
        cluster: Some(options.cluster.name.clone()),
        command: None,
        began: None,
        nodes: Vec::new(),
        traffic: Vec::new(),
        connections: Vec::new(),
        is_of_two_clusters: false,
        gaps,
    };
    let write = |(format, output): (&TraceFormat, Output)| {
        output.write_whole(|out, style| (format.write)(&trace, None, style, out))
    };
    match all_written(files.into_iter().map(write)) {
        Ok(()) => ending,
        Err(error) => ending.with_missing_report(&error),
    }
}

/// Writes all reports. Returns the end of the run.
fn report(
    options: &TraceOptions,
    trace: &Trace,
    judgment: Option<&TraceJudgment>,
    files: Vec<(&'static TraceFormat, Output)>,
    exit: Exit,
) -> Result<Ending> {
    let write = |format: &TraceFormat, output: Output| {
        output.write_whole(|out, style| (format.write)(trace, judgment, style, out))
    };
    let outputs = files.into_iter().chain([(options.format, Output::stdout())]);
    if let Err(error) = all_written(outputs.map(|(format, output)| write(format, output))) {
        return match exit {
            // The exit code of a command that failed takes precedence, unless exit codes are those of
            // a judgment.
            Exit::Command(1..) if judgment.is_none() => {
                Ok(Ending::with_message(exit, format!("the command failed, and: {error:#}")))
            }
            _ => Err(error),
        };
    }
    Ok(match judgment.map(|judged| judged.judgment.verdict) {
        _ if matches!(exit, Exit::Signal(_)) => exit.into(),
        Some(Verdict::Fail) => Exit::Findings.into(),
        Some(Verdict::Inconclusive) => Exit::Inconclusive.into(),
        Some(Verdict::Pass) | None => exit.into(),
    })
}

/// The samples of all nodes.
#[derive(Default)]
struct Samples {
    history: History,
    witness: Witness,
    /// Each node as of its first sample.
    nodes: BTreeMap<NodeName, Node>,
    /// Samples that are not complete.
    gaps: Vec<Gap>,
    /// Each node as of its first sample that is not complete, if that is not its first.
    incomplete: BTreeMap<NodeName, Node>,
}

impl Samples {
    fn record(
        &mut self,
        nodes: &NodesRequest,
        evidence: &Evidence,
        options: &TraceOptions,
    ) -> Result<Recording, TraceError> {
        let instances = evidence.network.instances.seen().map(Vec::as_slice);
        let is_quiet = options.verbosity == Verbosity::Quiet;
        let settings = trace::TraceSettings {
            only: &options.only,
            interval: options.interval,
            settle: options.settle,
            command: &options.command,
            hides_progress: !options.verbosity.shows_progress(),
        };
        trace::record(nodes, &evidence.cluster, instances, &settings, &mut |event| match event {
            TraceEvent::Sample(sample) => self.add(sample),
            TraceEvent::Closed(sample) => {
                let (history, witness) = (&mut self.history, &mut self.witness);
                sample.rows(|row| {
                    witness.add(&sample.node, &row.socket, false);
                    history.closed(&sample.node, &row.socket, sample.phase, sample.moment);
                });
                false
            }
            TraceEvent::Waiting(nodes) => {
                if !is_quiet {
                    let noun = if nodes == 1 { "node" } else { "nodes" };
                    // Fails if standard error is closed.
                    let _ = writeln!(anstream::stderr(), "sampling {nodes} {noun}; Ctrl-C ends it");
                }
                false
            }
        })
    }

    /// Adds a sample. Returns whether it has new sockets whose processes are unknown.
    fn add(&mut self, sample: &Sample) -> bool {
        let mut sampled = sample.rows(|_| {});
        let mut gaps = std::mem::take(&mut sampled.gaps);
        gaps.retain(|gap| gap.why != GapReason::NoProcessNames);
        let is_first = !self.nodes.contains_key(&sample.node);
        // Sockets that an incomplete sample lacks may still exist.
        let moment = Some(sample.moment);
        let witness = &mut self.witness;
        let mut is_first_incomplete = false;
        let mut open = if gaps.is_empty() {
            // An incomplete baseline would make too many connections new.
            if sample.is_baseline {
                witness.begin_baseline(&sample.node);
            }
            self.history.begin_sample(&sample.node, sample.phase, moment)
        } else {
            is_first_incomplete = !is_first && !self.incomplete.contains_key(&sample.node);
            if is_first_incomplete {
                self.incomplete.insert(sample.node.clone(), sampled);
            }
            self.history.begin_incomplete_sample(&sample.node, sample.phase, moment)
        };
        let node = sample.rows(|row| {
            witness.add(&sample.node, &row.socket, sample.is_baseline);
            let processes = row.processes.clone().map(|process| (process.comm, process.pid()));
            open.add(row.socket, processes);
        });
        let has_new_nameless = open.has_new_nameless;
        // Those of further samples would say the same.
        if is_first || is_first_incomplete {
            self.gaps.extend(gaps);
        }
        if is_first {
            self.nodes.insert(sample.node.clone(), node);
        }
        has_new_nameless
    }

    /// Adds the gaps of a trace to the nodes that they are about: one that was lost before
    /// its first sample is a node that was not read.
    fn add_gaps(&mut self, gaps: &[Gap]) {
        for gap in gaps {
            match &gap.subject {
                Subject::Node(name) => match self.nodes.get_mut(name) {
                    Some(node) if node.gaps.contains(gap) => {}
                    Some(node) => node.gaps.push(gap.clone()),
                    None => drop(self.nodes.insert(name.clone(), unread(name.clone(), gap.clone()))),
                },
                // Of which nodes they are is not known.
                Subject::Sockets => self.nodes.values_mut().for_each(|node| node.gaps.push(gap.clone())),
                _ => {}
            }
        }
    }

    /// What changed.
    fn trace(
        &mut self,
        classifier: &Classifier,
        recording: Recording,
        cluster: &str,
        began: String,
    ) -> Trace {
        let Recording { mut nodes, opened, mut gaps, command, .. } = recording;
        // Every other gap of a node that was sampled is that its sampling ended early.
        for gap in gaps.iter().filter(|gap| gap.why != GapReason::NoProcessNames) {
            if let Subject::Node(name) = &gap.subject {
                self.history.set_lost(name);
            }
        }
        self.complete(&mut nodes);
        for node in &mut nodes {
            let opened = opened.get(&node.name).filter(|_| !self.history.has_dropped(&node.name));
            node.unseen_inbound = opened.and_then(|opened| self.witness.unseen(&node.name, *opened));
        }
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
        let connections = connections(&self.history, classifier, classifier, true);
        Trace {
            cluster: Some(cluster.to_owned()),
            command,
            began: Some(began),
            nodes,
            connections,
            traffic: Vec::new(),
            is_of_two_clusters: false,
            gaps,
        }
    }

    /// Adds the nodes whose samplers had not ended when the trace did, and what the samples
    /// of each node cover.
    fn complete(&self, nodes: &mut Vec<TracedNode>) {
        let known: BTreeSet<_> = nodes.iter().map(|node| node.name.clone()).collect();
        let running = self.nodes.keys().filter(|name| !known.contains(*name));
        nodes.extend(running.map(|name| TracedNode {
            name: name.clone(),
            samples: self.history.samples(name).into(),
            missed: 0,
            has_close_events: false,
            unseen_inbound: None,
            coverage: Coverage::default(),
        }));
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        for node in nodes {
            node.coverage = self.history.coverage(&node.name);
        }
    }

    /// The facts from all sockets. Of a node with one of `gaps`, sockets are missing.
    /// `without` are the gaps of incomplete evidence, and the classifier without it.
    fn facts(
        &mut self,
        classifier: Classifier,
        without: Option<(Vec<Gap>, Classifier)>,
        gaps: &[Gap],
    ) -> Facts {
        self.add_gaps(gaps);
        let mut facts = self.classify(classifier);
        facts.incomplete = without.map(|(gaps, classifier)| {
            let has_nodes = !is_about_nodes(&gaps);
            let without = if has_nodes { self.classify(classifier) } else { classifier.finish(Vec::new()) };
            Box::new(Incomplete { gaps, without })
        });
        facts
    }

    fn classify(&self, mut classifier: Classifier) -> Facts {
        for (node, known) in self.history.sockets() {
            let process = known.process.clone();
            let connection = classifier.connection(node, known.socket.clone(), known.component, process);
            classifier.add_connection(connection);
        }
        classifier.finish(self.nodes.values().cloned().collect())
    }
}

/// The end of a trace that has no recording.
fn refusal(error: TraceError, options: &TraceOptions) -> Result<Ending> {
    Ok(match error {
        TraceError::NoNodes(gaps) => no_nodes(&gaps, options),
        TraceError::Interrupted(signal) => {
            Ending::with_message(Exit::Signal(signal), "interrupted; the command was not run")
        }
        TraceError::Command(error) => {
            Ending::with_message(Exit::Command(error.exit_code()), error.to_string())
        }
        error => return Err(error.into()),
    })
}

/// No node can be sampled: several reasons are listed above the error.
fn no_nodes(gaps: &[Gap], options: &TraceOptions) -> Ending {
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
    let not_run = if options.command.is_empty() { "" } else { ", and the command was not run" };
    Ending::with_message(Exit::Inconclusive, format!("no node can be sampled{not_run}{why}"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::capture::reading::CaptureSummary;
    use crate::evidence::directory::EvidenceDir;
    use crate::evidence::next_step;
    use crate::evidence::nodes::node;
    use crate::model::net::INTERFACES;
    use crate::model::trace::Phase;
    use crate::policy::Policy;

    /// The samples of a trace whose only sample is a capture of n1, and the evidence of a story.
    fn sampled(story: &str, capture: &str) -> (Samples, Evidence) {
        let story = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/evidence").join(story);
        let evidence = EvidenceDir::open(&story).and_then(|dir| dir.read("myeks")).expect("a story");
        let mut samples = Samples::default();
        let name: NodeName = "n1".parse().expect("a name");
        let mut open = samples.history.begin_sample(&name, Phase::Before, None);
        let summary = CaptureSummary::read(&name, capture.as_bytes(), |row| {
            let processes = row.processes.clone().map(|process| (process.comm, process.pid()));
            open.add(row.socket, processes);
        });
        let node = node(name.clone(), summary.expect("rows"), next_step::record);
        samples.nodes.insert(name, node);
        (samples, evidence)
    }

    /// The rules that such a trace fails.
    fn findings(capture: &str) -> Vec<(&'static str, String)> {
        let (mut samples, evidence) = sampled("public-and-private-stale", capture);
        let facts = samples.facts(Classifier::new(evidence), None, &[]);
        let judgment = judge_facts(&facts, &Policy::default(), None);
        let findings = judgment.findings.into_iter();
        findings.map(|judged| (judged.rule.id, judged.finding.subject)).collect()
    }

    /// An answer of which its source says that it is a part is needed by the rules that
    /// read it, as in an audit.
    #[test]
    fn an_incomplete_answer_counts_as_missing_where_its_rest_may_change_the_verdict() {
        let story = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/evidence/private-only");
        let capture = std::fs::read_to_string(story.join("nodes/n1.txt")).expect("a capture");
        let gap = Gap {
            subject: INTERFACES.into(),
            why: GapReason::Incomplete,
            detail: "the first page only".to_owned(),
            hint: String::new(),
        };
        let needs_it = |gaps: Vec<Gap>| {
            let (mut samples, evidence) = sampled("private-only", &capture);
            let without = take_away(&gaps, evidence.clone());
            let without = (!gaps.is_empty()).then(|| (gaps, Classifier::new(without)));
            let facts = samples.facts(Classifier::new(evidence), without, &[]);
            let judgment = judge_facts(&facts, &Policy::default(), None);
            judgment.gaps.iter().any(|judged| judged.gap == gap && judged.needed)
        };
        assert!(!needs_it(Vec::new()));
        assert!(needs_it(vec![gap.clone()]));
    }

    #[test]
    fn a_socket_is_judged_by_the_component_among_all_its_processes() {
        let story = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/evidence/public-and-private-stale");
        let capture = std::fs::read_to_string(story.join("nodes/n1.txt")).expect("a capture");
        let is_stale = ("node-on-public-path", "n1".to_owned());
        assert!(findings(&capture).contains(&is_stale));
        // As after a fork, or with a socket that systemd passed on.
        let shared = capture.replace("users:((", r#"users:(("systemd",pid=1,fd=99),("#);
        assert_ne!(shared, capture);
        assert!(findings(&shared).contains(&is_stale));
        let others = capture.replace("\"kube", "\"cube");
        assert!(!findings(&others).contains(&is_stale));
    }
}
