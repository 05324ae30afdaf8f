//! The evidence of one cluster, and the reports about it, for commands that answer one question
//! about one cluster: `reach` and `simulate`.

use std::io::{self, Write};
use std::ops::ControlFlow;

use anyhow::Result;

use super::exit::{Ending, no_such_cluster};
use super::judge::classify_recorded;
use super::output::{Output, all_written};
use super::rejected::list_rejected;
#[cfg(not(feature = "live"))]
use crate::cli::options::ClusterOptions;
use crate::cli::options::{ClusterSource, Verbosity};
use crate::evidence::directory::EvidenceDir;
use crate::model::facts::Facts;
use crate::report::format::Format;
use crate::report::style::Style;

/// The name of a cluster that is not known, in reports.
pub(super) const UNKNOWN: &str = "unknown";

/// The name of a cluster: the one that is given, or that of the recorded cluster.
pub(super) fn name(source: &ClusterSource) -> Result<String> {
    Ok(match source {
        ClusterSource::Recorded { dir, cluster: None } => EvidenceDir::open(dir)?.cluster(None)?.name,
        source => source.cluster().unwrap_or(UNKNOWN).to_owned(),
    })
}

/// Collects or reads the evidence of a cluster, and classifies it.
pub(super) fn facts(source: &ClusterSource, verbosity: Verbosity) -> Result<ControlFlow<Ending, Facts>> {
    let facts = match source {
        ClusterSource::Recorded { dir, cluster } => match classify_recorded(dir, cluster.as_deref(), &[]) {
            Ok(facts) => ControlFlow::Continue(facts),
            Err(error) => ControlFlow::Break(no_such_cluster(error)?),
        },
        ClusterSource::Live(cluster) => live(cluster, verbosity)?,
    };
    if let ControlFlow::Continue(facts) = &facts
        && verbosity >= Verbosity::RejectedLines
    {
        list_rejected(&facts.nodes);
    }
    Ok(facts)
}

/// Writes a report to all files, and to standard output, where a table is left out if the
/// ending has an error: it would contain no more than that.
pub(super) fn write_reports<F>(
    files: Vec<(&'static Format<F>, Output)>,
    stdout: &'static Format<F>,
    table: &Format<F>,
    ending: Ending,
    write: impl Fn(&Format<F>, &mut dyn Write, Style) -> io::Result<()>,
) -> Ending {
    let needs_stdout = ending.message.is_none() || stdout.name != table.name;
    let stdout = needs_stdout.then(|| (stdout, Output::stdout()));
    let outputs = files.into_iter().chain(stdout);
    let written = outputs.map(|(format, output)| output.write_whole(|out, style| write(format, out, style)));
    match all_written(written) {
        Ok(()) => ending,
        Err(error) => ending.with_missing_report(&error),
    }
}

#[cfg(feature = "live")]
use super::live::collect_one as live;

#[cfg(not(feature = "live"))]
fn live(_: &ClusterOptions, _: Verbosity) -> Result<ControlFlow<Ending, Facts>> {
    Err(super::audit::not_live())
}
