//! Sockets before, during and after a command.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use jiff::Timestamp;
use tokio::signal::unix::SignalKind;

use super::command::{Running, Signals, is_of_keyboard, to_send};
use super::judged;
use super::live::{record, request};
use super::output::{Output, to_stdout};
use super::policy::load;
use crate::classify::Classifier;
use crate::classify::changes::connections;
use crate::classify::history::History;
use crate::cli::{TraceArgs, TraceFormat};
use crate::collect::progress::Progress;
use crate::collect::watch::{Event, Look, Sampled, Stage, Watch};
use crate::evidence::directory::EvidenceDir;
use crate::model::evidence::Evidence;
use crate::model::gap::{Gap, GapReason, Subject};
use crate::model::judgment::{Judgment, Verdict};
use crate::model::name::NodeName;
use crate::model::node::Node;
use crate::model::trace::{Trace, TracedCommand, TracedNode};
use crate::policy::{FailOn, Policy};
use crate::report::{json, table, text::escape};
use crate::run::exit::{EndsWith, Exit};

/// How long looks that are on their way may hold the command up.
const HOLD_MAX: Duration = Duration::from_secs(2);
/// How many nodes that are waited for are named.
const NAMES_SAID: usize = 4;
/// How long nodes may take to end.
const END_MAX: Duration = Duration::from_secs(8);

/// Looks at the nodes while a command runs, and reports.
pub(super) fn trace(args: &TraceArgs) -> Result<Exit> {
    let files = Output::open_all(&args.write, &[])?;
    let judge =
        args.fail_on.map(|fail_on| anyhow::Ok((load(args.policy.as_deref())?.rules, fail_on.threshold())));
    let judge = judge.transpose()?;
    let mut request = request(&args.cluster, &args.aws, &args.ask, 1)?;
    let Some(nodes) = request.nodes.take() else {
        bail!("--nodes none leaves nothing to look at");
    };
    let dir = tempfile::Builder::new()
        .prefix("eks-netcheck-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir()
        .context("cannot make a directory for what is asked; set TMPDIR to a place that can be written to")?;
    record(&request, None, dir.path(), args.talk)?.ended?;
    let evidence =
        EvidenceDir::open(dir.path()).and_then(|dir| dir.read(&args.cluster)).map_err(|error| {
            anyhow!(error).context(EndsWith(Exit::Inconclusive, "what was asked cannot be read".to_owned()))
        })?;
    drop(dir);

    let began = Instant::now();
    let started = Timestamp::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (watched, ran) = runtime.block_on(async {
        let instances = evidence.network.instances.seen().map(Vec::as_slice);
        let watch = Watch::begin(&nodes, instances, &args.only, args.interval, began);
        let mut watched = Watched::new(watch);
        let ran = watched.during(args).await?;
        anyhow::Ok((watched, ran))
    })?;
    runtime.shutdown_background();

    let exit = match (&ran, watched.ended_by) {
        (Some(ran), _) => Exit::Command(ran.exit_code),
        // Ctrl-C is how it is told to end.
        (None, Some(kind)) if !is_of_keyboard(kind) => Exit::Signal(number(kind)),
        (None, _) => Exit::Pass,
    };
    let (trace, judgment) = watched.report(evidence, args, judge, ran, format!("{started:.3}"));
    let report = |format, look, mut out: &mut dyn Write| match format {
        TraceFormat::Table => table::trace::write(&trace, judgment.as_ref(), look, &mut out),
        TraceFormat::Json => json::trace::write(&trace, judgment.as_ref(), &mut out),
    };
    let files = files.into_iter().map(|file| file.write(report));
    let reported = files.collect::<Vec<_>>().into_iter().collect::<Result<()>>();
    let printed = to_stdout(|out, look| report(args.format, look, out));
    if let Err(error) = reported.and(printed) {
        return Err(match exit {
            // That it failed is what who ran it waits for.
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

/// The nodes, and what was seen of them.
struct Watched {
    watch: Watch,
    history: History,
    /// Each node as its first look has it.
    nodes: BTreeMap<NodeName, Node>,
    left: Vec<Sampled>,
    /// What ended it, where there is no command.
    ended_by: Option<SignalKind>,
}

impl Watched {
    fn new(watch: Watch) -> Self {
        Self { watch, history: History::default(), nodes: BTreeMap::new(), left: Vec::new(), ended_by: None }
    }

    /// The whole course; the command and how it ended, if there is one.
    async fn during(&mut self, args: &TraceArgs) -> Result<Option<TracedCommand>> {
        let mut signals = Signals::listen().context("cannot listen for signals")?;
        let progress = Progress::new(args.talk.quiet || args.talk.verbose > 1);
        progress.expect(self.watch.unseen().count() as u64);
        tokio::select! {
            () = self.first_looks(&progress) => {}
            kind = signals.next() => return Err(interrupted(kind)),
        }
        drop(progress);
        if self.watch.looked_at() == 0 {
            return Err(self.nobody(args));
        }
        tokio::select! {
            () = self.meanwhile(tokio::time::sleep(args.settle)) => {}
            kind = signals.next() => return Err(interrupted(kind)),
        }
        self.watch.go_on(Stage::Hold);
        tokio::select! {
            _ = tokio::time::timeout(HOLD_MAX, self.until(Watch::is_idle)) => {}
            kind = signals.next() => return Err(interrupted(kind)),
        }
        let ran = if args.command.is_empty() {
            self.watch.go_on(Stage::During);
            if !args.talk.quiet {
                let nodes = self.watch.looked_at();
                // Nobody is left to tell if standard error is gone.
                let _ = writeln!(anstream::stderr(), "looking at {nodes} nodes; Ctrl-C ends it");
            }
            self.ended_by = Some(self.meanwhile(signals.next()).await);
            None
        } else {
            Some(self.run(args, &mut signals).await?)
        };
        self.watch.go_on(Stage::After);
        tokio::select! {
            () = self.meanwhile(tokio::time::sleep(args.settle)) => {}
            // Who waits no longer gets what there is.
            _ = signals.next() => {}
        }
        self.watch.go_on(Stage::Last);
        let all = async {
            while let Some(event) = self.watch.next().await {
                self.take(event);
            }
        };
        let _ = tokio::time::timeout(END_MAX, all).await;
        Ok(ran)
    }

    async fn run(&mut self, args: &TraceArgs, signals: &mut Signals) -> Result<TracedCommand> {
        let mut running = Running::start(&args.command)?;
        let began = Instant::now();
        self.watch.go_on(Stage::During);
        let exit_code = loop {
            tokio::select! {
                // A key that ended the command does not cut short what comes after it.
                biased;
                kind = signals.next() => if !is_of_keyboard(kind) {
                    running.tell(to_send(kind));
                },
                ended = running.wait() => break ended?,
                () = self.meanwhile(std::future::pending::<()>()) => {}
            }
        };
        let words = args.command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        Ok(TracedCommand { words, exit_code, duration: began.elapsed() })
    }

    /// Takes what the nodes tell until something else is done.
    async fn meanwhile<T>(&mut self, what: impl Future<Output = T>) -> T {
        tokio::pin!(what);
        loop {
            tokio::select! {
                biased;
                done = &mut what => return done,
                Some(event) = self.watch.next() => self.take(event),
                else => return what.await,
            }
        }
    }

    /// Waits until every node was looked at, or cannot be.
    async fn first_looks(&mut self, progress: &Progress) {
        loop {
            let unseen = self.watch.unseen().map(NodeName::as_str);
            let names = unseen.take(NAMES_SAID).collect::<Vec<_>>().join(", ");
            if names.is_empty() {
                return;
            }
            progress.say(format!("first looks at nodes: {names}"));
            let before = self.watch.unseen().count();
            let Some(event) = self.watch.next().await else { return };
            self.take(event);
            (self.watch.unseen().count()..before).for_each(|_| progress.answered());
        }
    }

    async fn until(&mut self, is_so: fn(&Watch) -> bool) {
        while !is_so(&self.watch) {
            let Some(event) = self.watch.next().await else { return };
            self.take(event);
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Look(look) => self.look(&look),
            Event::Ended(look) => {
                let history = &mut self.history;
                look.rows(|row| history.closed(&look.name, &row.socket, look.phase, look.moment));
            }
            Event::Left(sampled) => self.left.push(sampled),
            Event::Idle => {}
        }
    }

    fn look(&mut self, look: &Look) {
        let is_first = !self.nodes.contains_key(&look.name);
        let broken = |gap: &Gap| gap.why != GapReason::NoProcessNames;
        let mut gaps = look.rows(|_| {}).gaps;
        gaps.retain(broken);
        // Rows that are missing from it are no sockets that are gone.
        if !is_first && !gaps.is_empty() {
            self.watch.gaps.extend(gaps);
            return;
        }
        let mut seen = self.history.begin_sample(&look.name, look.phase, Some(look.moment));
        let node = look.rows(|row| {
            let processes = row.processes.clone().map(|process| (process.comm, process.pid()));
            seen.add(row.socket, processes);
        });
        if seen.has_new_nameless {
            self.watch.want_processes(&look.name);
        }
        self.nodes.entry(look.name.clone()).or_insert(node);
    }

    /// Why there is nothing to look at.
    fn nobody(&self, args: &TraceArgs) -> anyhow::Error {
        let mut gaps = self.gaps();
        gaps.sort();
        let mut whys = gaps.iter().map(ToString::to_string);
        let why = if let (Some(why), 1) = (whys.next_back(), gaps.len()) {
            format!(": {why}")
        } else {
            let mut err = anstream::stderr();
            for gap in &gaps {
                // Nobody is left to tell if standard error is gone.
                let _ = writeln!(err, "  {}", escape(&gap.to_string()));
            }
            String::new()
        };
        let not_run = if args.command.is_empty() { "" } else { ", and the command was not run" };
        let message = format!("no node can be looked at{not_run}{why}");
        anyhow!(EndsWith(Exit::Inconclusive, message))
    }

    fn gaps(&self) -> Vec<Gap> {
        self.watch.gaps.iter().chain(self.left.iter().flat_map(|sampled| &sampled.gaps)).cloned().collect()
    }

    /// What was seen, and with --fail-on what the rules make of it.
    fn report(
        mut self,
        evidence: Evidence,
        args: &TraceArgs,
        judge: Option<(Policy, FailOn)>,
        command: Option<TracedCommand>,
        began: String,
    ) -> (Trace, Option<Judgment>) {
        let mut gaps = self.gaps();
        gaps.extend(
            self.nodes
                .values()
                .flat_map(|node| &node.gaps)
                .filter(|gap| gap.why != GapReason::NoProcessNames)
                .cloned(),
        );
        let unfinished =
            self.nodes.keys().filter(|name| !self.left.iter().any(|sampled| sampled.name == **name));
        gaps.extend(unfinished.map(|name| Gap {
            subject: name.clone().into(),
            why: GapReason::TimedOut,
            detail: format!("its last look did not come within {} s", END_MAX.as_secs()),
            hint: "try again".to_owned(),
        }));
        gaps.extend(self.history.incomplete(&gaps));
        if self.history.dropped > 0 {
            gaps.push(Gap {
                subject: Subject::Sockets,
                why: GapReason::TooMuchOutput,
                detail: format!("{} sockets were too many to keep", self.history.dropped),
                hint: "look for a shorter time, or at fewer nodes with --only".to_owned(),
            });
        }
        gaps.extend(evidence.attribution_gaps());
        gaps.sort();
        gaps.dedup();
        let mut classifier = Classifier::new(evidence);
        let connections = connections(&self.history, &classifier, &classifier);
        self.left.sort_by(|a, b| a.name.cmp(&b.name));
        let nodes = self.left.iter().filter(|sampled| sampled.samples > 0);
        let nodes = nodes.map(|sampled| TracedNode {
            name: sampled.name.clone(),
            samples: sampled.samples,
            missed: sampled.missed,
            has_close_events: sampled.tells_ends,
        });
        let cluster = Some(args.cluster.clone());
        let nodes = nodes.collect();
        let judgment = judge.map(|(policy, fail_on)| {
            for (node, seen) in self.history.sockets() {
                let process = seen.process.as_ref().map(|process| (process.name.as_bytes(), process.pid));
                classifier.add(node, seen.socket.clone(), process.into_iter());
            }
            let facts = classifier.finish(self.nodes.into_values().collect());
            judged(facts, &policy, Some(fail_on)).judgment
        });
        (Trace { cluster, command, began: Some(began), nodes, connections, gaps }, judgment)
    }
}

fn interrupted(kind: SignalKind) -> anyhow::Error {
    anyhow!(EndsWith(Exit::Signal(number(kind)), "interrupted; the command was not run".to_owned()))
}

fn number(kind: SignalKind) -> u8 {
    u8::try_from(kind.as_raw_value()).unwrap_or_default()
}
