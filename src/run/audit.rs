//! `audit`: each cluster is classified, judged, written to every report, and dropped.

use std::io::{BufWriter, Write};

use anyhow::{Result, bail};
use jiff::Timestamp;

use super::exit::{EndsWith, Exit};
use super::github_actions::Step;
use super::judge::{classify_recorded, judged};
use super::live;
use super::output::Output;
use super::policy::{self, Loaded};
use super::report::Report;
use crate::cli::{AuditArgs, FailOn};
use crate::model::audit::{Audited, PolicyUsed, Summary, Unjudged};
use crate::model::facts::Facts;
use crate::model::gap::GapReason;
use crate::model::node::Node;
use crate::report::format::{AuditFormat, ReportSettings};
use crate::report::{table, text::escape};
use crate::rules;

/// Audits clusters and reports on them.
pub(super) fn audit(args: &AuditArgs) -> Result<Exit> {
    let now = Timestamp::now();
    // Opened first, so that a report that cannot be written is refused before the work.
    let files = Output::open_all(&args.write, args.evidence.as_deref().as_slice())?;
    let policy = policy::load(args.policy.as_deref(), now)?;
    let stdout = Output::stdout();
    let settings = ReportSettings {
        is_many: args.evidence.is_none() && live::is_many(args),
        rules: &rules::ALL,
        anchor: policy::anchor(args.anchor.as_deref(), policy.path.as_deref())?,
        time: now.as_millisecond(),
        style: stdout.style(),
    };
    let mut reports = Reports::begin(args, files, stdout, &settings);
    let summary = judge_all(args, &policy, |audited| reports.cluster(audited))?;
    let is_absent = |unjudged: &Unjudged| unjudged.gap.why == GapReason::NotFound;
    if summary.counts.total() == 0 && summary.unjudged.iter().all(is_absent) {
        bail!(EndsWith(Exit::Nothing, no_cluster(&summary.unjudged)));
    }
    let exit = Exit::from(summary.verdict());
    let single = summary.unjudged.first().filter(|_| !settings.is_many);
    // A table would say no more than the error below.
    let needs_stdout = single.is_none() || args.format.name != table::FORMAT.name;
    let written = reports.end(&summary, needs_stdout);
    if let Some(unjudged) = single {
        bail!(EndsWith(exit, format!("cannot describe the {unjudged}")));
    }
    written.map_err(|error| match exit {
        Exit::Pass => error,
        exit => error.context(EndsWith(exit, "not all reports could be written".to_owned())),
    })?;
    Ok(exit)
}

/// Judges each cluster in turn and passes it on. Only counts are kept.
fn judge_all(args: &AuditArgs, policy: &Loaded, mut pass_on: impl FnMut(&Audited)) -> Result<Summary> {
    let fail_on = args.fail_on.map(FailOn::threshold);
    let mut usage = policy.rules.usage();
    let mut summary = Summary::default();
    let mut judge = |facts: Facts| {
        if args.talk.verbose > 0 {
            list_rejected(&facts.nodes);
        }
        let audited = judged(facts, &policy.rules, fail_on);
        usage.cluster(&audited);
        summary.counts.add(audited.judgment.verdict);
        pass_on(&audited);
    };
    let unjudged = match (args.evidence.as_deref(), args.cluster.as_slice()) {
        (Some(dir), [cluster]) => {
            judge(classify_recorded(dir, cluster)?);
            Vec::new()
        }
        (Some(_), _) => bail!("an evidence directory is of one cluster; pass --cluster once"),
        (None, _) => live::classify(args, judge)?,
    };
    summary.policy = policy.path.as_ref().map(|path| PolicyUsed {
        path: path.display().to_string(),
        place: policy::place(path),
        notes: usage.notes(unjudged.is_empty()),
    });
    summary.unjudged = unjudged;
    Ok(summary)
}

/// All reports of a run.
struct Reports {
    files: Vec<Report<Output>>,
    stdout: Report<Output>,
    step: Option<Step>,
}

impl Reports {
    fn begin(
        args: &AuditArgs,
        files: Vec<(&'static AuditFormat, Output)>,
        stdout: Output,
        settings: &ReportSettings,
    ) -> Self {
        let begin = |(format, output): (_, Output)| Report::begin(format, settings, output.style(), output);
        Self {
            files: files.into_iter().map(begin).collect(),
            stdout: begin((args.format, stdout)),
            step: if args.no_ci { None } else { Step::detect(args.format, settings) },
        }
    }

    fn cluster(&mut self, audited: &Audited) {
        self.files.iter_mut().chain([&mut self.stdout]).for_each(|report| report.cluster(audited));
        if let Some(step) = &mut self.step {
            step.cluster(audited);
        }
    }

    /// Ends all of them. Returns the first error; an error of one report does not affect
    /// the others.
    fn end(self, summary: &Summary, needs_stdout: bool) -> Result<()> {
        let stdout = needs_stdout.then_some(self.stdout);
        let written: Vec<_> = self
            .files
            .into_iter()
            .chain(stdout)
            .map(|report| {
                let (output, written) = report.end(summary);
                output.finish(written)
            })
            .collect();
        if let Some(step) = self.step {
            step.end(summary);
        }
        written.into_iter().collect()
    }
}

/// The message for a run that found no cluster.
fn no_cluster(unjudged: &[Unjudged]) -> String {
    if unjudged.is_empty() {
        return "there is no cluster in the accounts and regions asked; pass others with --region, --profile or --role-arn".to_owned();
    }
    let all: Vec<_> = unjudged.iter().map(ToString::to_string).collect();
    format!("there is no such cluster: {}", all.join("; "))
}

/// Lists the rejected lines of captures on standard error.
fn list_rejected(nodes: &[Node]) {
    let mut err = BufWriter::new(anstream::stderr());
    for node in nodes {
        for line in &node.rejected {
            // Standard error may be closed; the report matters more.
            let _ = writeln!(
                err,
                "node {}, line {}: {}: {}",
                node.name,
                line.number,
                line.reason.as_str(),
                escape(&line.text)
            );
        }
        let more = node.tally.rejected - node.rejected.len() as u64;
        if more > 0 {
            let _ = writeln!(err, "node {}: {more} more lines that are no sockets", node.name);
        }
    }
}
