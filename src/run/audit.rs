//! `audit`: each cluster is classified, judged, written to every report, and dropped.

use std::ops::ControlFlow;
use std::slice;

use anyhow::Result;
use jiff::Timestamp;

use super::exit::{Ending, Exit};
use super::github_actions::Step;
use super::judge::{classify_recorded, judged};
use super::output::Output;
use super::policy::{self, Loaded};
use super::rejected::list_rejected;
use super::report::Report;
#[cfg(not(feature = "live"))]
use crate::cli::options::FleetOptions;
use crate::cli::options::{AuditOptions, Source, Verbosity};
use crate::model::audit::{Audited, Summary, Unjudged};
use crate::model::facts::Facts;
use crate::model::gap::GapReason;
use crate::report::format::{AuditFormat, ReportSettings};
use crate::report::table;
use crate::rules;

/// Audits clusters and reports on them.
pub(super) fn audit(options: &AuditOptions) -> Result<Ending> {
    let now = Timestamp::now();
    let (inputs, is_many) = match &options.source {
        Source::Recorded { dir, bundles, .. } => ([slice::from_ref(dir), bundles].concat(), false),
        Source::Live(fleet) => (fleet.bundles.clone(), fleet.is_many()),
    };
    // Opened first, so that a report that cannot be written is refused before the work.
    let files = Output::open_all(&options.write, &inputs)?;
    let policy = policy::load(options.judgment.policy.as_deref(), now)?;
    let stdout = Output::stdout();
    let settings = ReportSettings {
        is_many,
        rules: &rules::ALL,
        anchor: policy::anchor(options.anchor.as_deref(), policy.file())?,
        time: now.as_millisecond(),
        style: stdout.style(),
        explain_paths: options.explain_paths,
        all: options.all,
    };
    let mut reports = Reports::begin(options, files, stdout, &settings);
    let summary = match judge_all(options, &policy, |audited| reports.cluster(audited))? {
        ControlFlow::Continue(summary) => summary,
        ControlFlow::Break(ending) => return Ok(ending),
    };
    let is_absent = |unjudged: &Unjudged| unjudged.gap.why == GapReason::NotFound;
    if summary.counts.total() == 0 && summary.unjudged.iter().all(is_absent) {
        return Ok(Ending::with_message(Exit::Nothing, no_cluster(&summary.unjudged)));
    }
    let exit = Exit::from(summary.verdict());
    let single = summary.unjudged.first().filter(|_| !is_many);
    // A table would contain no more than the error below.
    let needs_stdout = single.is_none() || options.format.name != table::FORMAT.name;
    let written = reports.end(&summary, needs_stdout);
    if let Some(unjudged) = single {
        return Ok(Ending::with_message(exit, format!("cannot describe the {unjudged}")));
    }
    match written {
        Err(error) if exit == Exit::Pass => Err(error),
        Err(error) => Ok(Ending::with_message(exit, format!("not all reports could be written: {error:#}"))),
        Ok(()) => Ok(exit.into()),
    }
}

/// Judges each cluster in turn and passes it on. Only counts are kept.
fn judge_all(
    options: &AuditOptions,
    policy: &Loaded,
    mut pass_on: impl FnMut(&Audited),
) -> Result<ControlFlow<Ending, Summary>> {
    let mut usage = policy.rules.usage();
    let mut summary = Summary::default();
    let mut judge = |facts: Facts| {
        if options.verbosity >= Verbosity::RejectedLines {
            list_rejected(&facts.nodes);
        }
        let audited = judged(facts, &policy.rules, options.judgment.fail_on);
        usage.cluster(&audited);
        summary.counts.add(audited.judgment.verdict);
        pass_on(&audited);
    };
    let unjudged = match &options.source {
        Source::Recorded { dir, cluster, bundles } => {
            judge(classify_recorded(dir, cluster.as_deref(), bundles)?);
            Vec::new()
        }
        Source::Live(fleet) => match live(fleet, options.verbosity, judge)? {
            ControlFlow::Continue(unjudged) => unjudged,
            ControlFlow::Break(ending) => return Ok(ControlFlow::Break(ending)),
        },
    };
    summary.policy = policy.used(usage.notes(unjudged.is_empty()));
    summary.unjudged = unjudged;
    Ok(ControlFlow::Continue(summary))
}

#[cfg(feature = "live")]
use super::live::audit_clusters as live;

#[cfg(not(feature = "live"))]
fn live(_: &FleetOptions, _: Verbosity, _: impl FnMut(Facts)) -> Result<ControlFlow<Ending, Vec<Unjudged>>> {
    Err(not_live())
}

/// The error of a build without the feature `live`.
#[cfg(not(feature = "live"))]
pub(super) fn not_live() -> anyhow::Error {
    anyhow::anyhow!(
        "this build cannot query AWS and nodes (feature `live`); pass --evidence DIR to audit, or install a build with that feature"
    )
}

/// All reports of a run.
struct Reports {
    files: Vec<Report<Output>>,
    stdout: Report<Output>,
    step: Option<Step>,
}

impl Reports {
    fn begin(
        options: &AuditOptions,
        files: Vec<(&'static AuditFormat, Output)>,
        stdout: Output,
        settings: &ReportSettings,
    ) -> Self {
        let begin = |(format, output): (_, Output)| Report::begin(format, settings, output.style(), output);
        Self {
            files: files.into_iter().map(begin).collect(),
            stdout: begin((options.format, stdout)),
            step: if options.ci { Step::detect(options.format, settings) } else { None },
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
        return "there is no cluster in the accounts and regions queried; pass others with --region, --profile or --role-arn".to_owned();
    }
    let all: Vec<_> = unjudged.iter().map(ToString::to_string).collect();
    format!("there is no such cluster: {}", all.join("; "))
}
