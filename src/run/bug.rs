//! Bugs: a panic is printed as one line, and the reports of the run say that nothing was
//! judged.

use std::io::Write;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use jiff::Timestamp;

use super::exit::{Ending, Exit};
use super::inputs::Inputs;
use super::output::{Output, all_written};
use super::report::Report;
use super::{reach, simulate};
use crate::cli::options::{AuditOptions, Options, ReachOptions, SimulateOptions, WriteTo};
use crate::model::audit::{PolicyOrigin, PolicyUsed, Summary, Unjudged};
use crate::model::gap::{Gap, GapReason, Subject};
use crate::model::trace::Trace;
use crate::policy::file;
use crate::report::format::{ReportSettings, TraceWrite};
use crate::report::text::escape;
use crate::rules;

/// Whether any thread panicked. A panic is a bug, whatever the result of the run.
static PANICKED: AtomicBool = AtomicBool::new(false);

/// Has panics printed as one line that asks for a report.
pub fn install_hook() {
    set_hook(Box::new(print));
}

/// Whether any thread panicked.
#[must_use]
pub fn has_panicked() -> bool {
    PANICKED.load(Ordering::SeqCst)
}

fn print(info: &PanicHookInfo<'_>) {
    PANICKED.store(true, Ordering::SeqCst);
    let payload = info.payload();
    let message = payload.downcast_ref::<&str>().copied();
    let message = message.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let place = info.location().map(|location| format!(" at {location}")).unwrap_or_default();
    let text = format!(
        "bug in eks-netcheck {}: panic{place}: {}; please report this line and the command",
        env!("CARGO_PKG_VERSION"),
        message.unwrap_or("unknown")
    );
    // Standard error may be closed; the exit code remains.
    let _ = writeln!(anstream::stderr(), "{}", escape(&text));
}

/// Runs a command. If it panics, in whatever thread, its reports are written again, with
/// nothing judged.
///
/// # Errors
/// Those of the command.
pub fn guard(options: &Options, run: impl FnOnce(&Options) -> Result<Ending>) -> Result<Ending> {
    let ended = catch_unwind(AssertUnwindSafe(|| run(options)));
    match ended {
        Ok(ended) if !has_panicked() => ended,
        _ => Ok(match catch_unwind(AssertUnwindSafe(|| write_reports(options))) {
            Ok(Err(error)) => {
                Ending::with_message(Exit::Bug, format!("not all reports could be written: {error:#}"))
            }
            Ok(Ok(())) | Err(_) => Exit::Bug.into(),
        }),
    }
}

/// Writes all reports that are files.
fn write_reports(options: &Options) -> Result<()> {
    match options {
        Options::Audit(options) => write_audit(options),
        Options::Trace(options) => {
            write_trace(&options.write, Some(options.cluster.name.clone()), &Inputs::of_trace(options))
        }
        Options::Diff(options) => write_trace(&options.write, None, &Inputs::of_diff(options)),
        Options::Simulate(options) => write_simulation(options),
        Options::Reach(options) => write_reach(options),
        _ => Ok(()),
    }
}

fn write_simulation(options: &SimulateOptions) -> Result<()> {
    let simulation = simulate::unknown(options, gap());
    let written = Output::open_all(&options.write, &Inputs::of_simulate(options))?
        .into_iter()
        .map(|(format, output)| output.write_whole(|out, style| (format.write)(&simulation, style, out)));
    all_written(written)
}

fn write_reach(options: &ReachOptions) -> Result<()> {
    let report = reach::unknown(options, gap());
    let written = Output::open_all(&options.write, &Inputs::of_reach(options))?
        .into_iter()
        .map(|(format, output)| output.write_whole(|out, style| (format.write)(&report, style, out)));
    all_written(written)
}

fn write_audit(options: &AuditOptions) -> Result<()> {
    let summary = Summary {
        cluster: options.source.cluster().map(ToOwned::to_owned),
        unjudged: vec![Unjudged { subject: options.source.subject(), gap: gap() }],
        policy: named_policy(options.judgment.policy.as_deref()),
        ..Summary::default()
    };
    let inputs = Inputs::of_audit(options);
    let written = Output::open_all(&options.write, &inputs)?.into_iter().map(|(format, output)| {
        let settings = ReportSettings {
            is_many: options.source.is_many(),
            rules: &rules::ALL,
            anchor: file::NAME.to_owned(),
            time: Timestamp::now().as_millisecond(),
            style: output.style(),
            explain_paths: options.explain_paths,
            all: options.all,
        };
        let (output, written) = Report::begin(format, &settings, settings.style, output).end(&summary);
        output.finish(written)
    });
    all_written(written)
}

fn write_trace(write: &[WriteTo<TraceWrite>], cluster: Option<String>, inputs: &Inputs) -> Result<()> {
    let gaps = vec![gap()];
    let trace = Trace {
        cluster,
        command: None,
        began: None,
        nodes: Vec::new(),
        connections: Vec::new(),
        traffic: Vec::new(),
        is_of_two_clusters: false,
        gaps,
    };
    let written = Output::open_all(write, inputs)?
        .into_iter()
        .map(|(format, output)| output.write_whole(|out, style| (format.write)(&trace, None, style, out)));
    all_written(written)
}

/// The policy that the user named. It is not read again.
fn named_policy(path: Option<&Path>) -> PolicyUsed {
    let Some(path) = path else { return PolicyUsed::default() };
    let path = Some(path.display().to_string());
    PolicyUsed { origin: PolicyOrigin::Named, path, ..PolicyUsed::default() }
}

fn gap() -> Gap {
    Gap {
        subject: Subject::Other("the run".to_owned()),
        why: GapReason::Failed,
        detail: "a bug in eks-netcheck ended the run".to_owned(),
        hint: "please report the line that it printed, and the command".to_owned(),
    }
}
