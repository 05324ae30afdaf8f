//! `audit`: each cluster is classified, judged, written to every report, and dropped.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;

use super::exit::{Ending, Exit, no_such_cluster, undescribed};
use super::files::read_bounded;
use super::github_actions::Step;
use super::inputs::Inputs;
use super::judge::{classify_recorded, judged};
use super::output::{Output, all_written};
use super::policy::{self, Loaded};
use super::rejected::list_rejected;
use super::report::Report;
#[cfg(not(feature = "live"))]
use crate::cli::options::FleetOptions;
use crate::cli::options::{AuditOptions, JudgmentOptions, Source, Verbosity};
use crate::evidence::baseline::{BASELINE_MAX, parse_baseline};
use crate::messages::{self, Label};
use crate::model::audit::{Audited, Summary, Unjudged};
use crate::model::facts::Facts;
use crate::model::file::File;
use crate::model::gap::{Gap, GapReason};
use crate::report::format::{AuditFormat, ReportSettings};
use crate::report::table;
use crate::rules;

/// Audits clusters and reports on them.
pub(super) fn audit(options: &AuditOptions) -> Result<Ending> {
    let now = Timestamp::now();
    let is_many = options.source.is_many();
    // Opened first, so that a report that cannot be written is refused before the work.
    let files = Output::open_all(&options.write, &Inputs::of_audit(options))?;
    let mut policy = policy::load(options.judgment.policy.as_deref(), now)?;
    let JudgmentOptions { selection, .. } = &options.judgment;
    policy.rules.select(selection.clone());
    if !selection.is_all() && !rules::ALL.iter().any(|rule| policy.rules.may_judge(rule)) {
        bail!(
            "no rule is left to judge: --rule, --skip-rule and the policy exclude all of them; name a rule to judge with --rule"
        );
    }
    if let Some(path) = &options.baseline {
        let what = || format!("cannot read the baseline {}", path.display());
        let bytes = read_bounded(path, BASELINE_MAX).with_context(what)?;
        policy.rules = policy.rules.with_baseline(parse_baseline(&bytes).with_context(what)?);
    }
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
    let mut summary = match judge_all(options, &policy, |audited| reports.cluster(audited))? {
        ControlFlow::Continue(summary) => summary,
        ControlFlow::Break(ending) => match undescribed(&ending) {
            Some(gap) => Summary {
                unjudged: vec![Unjudged { subject: options.source.subject(), gap }],
                policy: policy.used(policy.rules.usage().notes(false)),
                ..Summary::default()
            },
            None => return Ok(ending),
        },
    };
    summary.skipped = options.judgment.selection.skipped(&rules::ALL);
    summary.cluster = options.source.cluster().map(ToOwned::to_owned);
    let is_absent = |unjudged: &Unjudged| unjudged.gap.why == GapReason::NotFound;
    let is_nothing = summary.counts.total() == 0 && summary.unjudged.iter().all(is_absent);
    if is_nothing && summary.unjudged.is_empty() {
        summary.unjudged.push(no_cluster());
    }
    let exit = if is_nothing { Exit::Nothing } else { Exit::from(summary.verdict()) };
    let message = if is_nothing {
        let all = summary.unjudged.iter();
        Some(match &options.source {
            Source::Recorded { .. } => {
                let all: Vec<_> = all.map(|unjudged| unjudged.gap.detail.as_str()).collect();
                format!("nothing to judge: {}", all.join("; "))
            }
            Source::Live(_) => {
                let all: Vec<_> = all.map(ToString::to_string).collect();
                format!("there is no such cluster: {}", all.join("; "))
            }
        })
    } else {
        let single = summary.unjudged.first().filter(|_| !is_many);
        single.map(|unjudged| format!("cannot describe the {unjudged}"))
    };
    // A table would contain no more than the error.
    let needs_stdout = message.is_none() || options.format.name != table::FORMAT.name;
    let ending = Ending { exit, message };
    Ok(match reports.end(&summary, needs_stdout) {
        Ok(()) => ending,
        Err(error) => ending.with_missing_report(&error),
    })
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
            match classify_recorded(dir, cluster.as_deref(), bundles) {
                Ok(facts) => judge(facts),
                Err(error) => return Ok(ControlFlow::Break(no_such_cluster(error)?)),
            }
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
        let left_out = self.files.iter().chain([&self.stdout]).filter_map(|report| report.left_out(audited));
        for why in left_out.collect::<BTreeSet<_>>() {
            messages::print(Label::Warning, &why);
        }
        self.files.iter_mut().chain([&mut self.stdout]).for_each(|report| report.cluster(audited));
        if let Some(step) = &mut self.step {
            step.cluster(audited);
        }
    }

    /// Ends all of them.
    ///
    /// # Errors
    /// If one could not be written, which does not affect the others.
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
        all_written(written)
    }
}

/// What a run that found no cluster could not judge.
fn no_cluster() -> Unjudged {
    let gap = Gap {
        subject: File::CLUSTER.into(),
        why: GapReason::NotFound,
        detail: "there is no cluster in the accounts and regions queried".to_owned(),
        hint: "pass others with --region, --profile or --role-arn".to_owned(),
    };
    Unjudged { subject: "all clusters".to_owned(), gap }
}
