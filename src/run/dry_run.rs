//! `--dry-run`: what reading the nodes by kubectl would create, printed as manifests.

use std::ops::ControlFlow;

use anyhow::{Result, bail};

use super::exit::{Ending, Exit};
use super::live::{cluster_request, describe_cluster, ending};
use super::output::to_stdout;
use crate::cli::options::{DryRunOptions, Verbosity};
use crate::collect::dry_run::plan;
use crate::collect::log::log_to_stderr;
use crate::report::yaml::write_documents;

/// Prints the manifests.
pub(super) fn dry_run(options: &DryRunOptions) -> Result<Ending> {
    if options.verbosity == Verbosity::Requests {
        log_to_stderr();
    }
    let mut request = cluster_request(&options.cluster)?;
    let Some(mut nodes) = request.nodes.take() else {
        bail!("--dry-run is for --nodes kubectl");
    };
    if options.is_trace {
        nodes = nodes.for_trace();
    }
    let evidence = match describe_cluster(&request, options.verbosity)? {
        ControlFlow::Continue(evidence) => evidence,
        ControlFlow::Break(ending) => return Ok(ending),
    };
    let instances = evidence.network.instances.seen().map(Vec::as_slice);
    let planned = match plan(&nodes, &evidence.cluster, instances) {
        Ok(Ok(planned)) => planned,
        Ok(Err(gap)) => return Ok(Ending::with_message(Exit::Inconclusive, gap.to_string())),
        Err(error) => return ending(error),
    };
    to_stdout(|out, _| {
        for line in summary(planned.jobs.len(), planned.without_job) {
            writeln!(out, "# {line}")?;
        }
        write_documents(&planned.jobs, out)
    })?;
    Ok(Exit::Pass.into())
}

/// What the manifests are, as comments above them.
fn summary(jobs: usize, without_job: usize) -> Vec<String> {
    let mut lines = Vec::new();
    if without_job > 0 {
        lines.push(format!(
            "Nothing is created for {without_job} of the nodes: the EKS node monitoring agent runs there."
        ));
    }
    if jobs == 0 {
        lines.push("No Job is created.".to_owned());
    } else {
        lines.push(format!("Jobs: {jobs}. They are removed at the end, and remove themselves otherwise."));
    }
    lines
}
