//! `simulate`: what a change of endpoint access would do. Nothing is changed.

use std::ops::ControlFlow;

use anyhow::{Context, Result, anyhow};

use super::exit::{Ending, Exit};
use super::files::read_bounded;
use super::judge::classify_recorded;
use super::output::Output;
use super::rejected::list_rejected;
use crate::classify::simulation::{Refused, simulate as simulated};
#[cfg(not(feature = "live"))]
use crate::cli::options::ClusterOptions;
use crate::cli::options::{ChangeSource, ClusterSource, SimulateOptions, Verbosity};
use crate::evidence::terraform::{PLAN_MAX, access_change};
use crate::model::cluster::EndpointAccess;
use crate::model::facts::Facts;
use crate::model::file::File;
use crate::model::gap::{Gap, GapReason};
use crate::model::simulation::{AccessChange, Simulation, SimulationVerdict};
use crate::report::format::SimulationFormat;
use crate::report::table;

/// Simulates a change of access and reports on it.
pub(super) fn simulate(options: &SimulateOptions) -> Result<Ending> {
    // Opened first, so that a report that cannot be written is refused before the work.
    let files = Output::open_all(&options.write, &options.source.inputs())?;
    let change = change(options)?;
    let (simulation, ending) = match facts(options)? {
        ControlFlow::Continue(facts) => {
            let simulation = simulation(&facts, &change, options)?;
            let exit = Exit::from(simulation.verdict);
            (simulation, exit.into())
        }
        ControlFlow::Break(ending) => match undescribed(&ending) {
            Some(gap) => (unknown(options, gap), ending),
            None => return Ok(ending),
        },
    };
    let write = |format: &SimulationFormat, output: Output| {
        output.write_whole(|out, style| (format.write)(&simulation, style, out))
    };
    // A table of nothing would contain no more than the error.
    let needs_stdout = ending.message.is_none() || options.format.name != table::simulation::FORMAT.name;
    let stdout = needs_stdout.then(|| (options.format, Output::stdout()));
    // An error of one report does not affect the others; the first one is returned.
    let outputs = files.into_iter().chain(stdout);
    let written: Vec<_> = outputs.map(|(format, output)| write(format, output)).collect();
    match written.into_iter().collect::<Result<()>>() {
        Ok(()) => Ok(ending),
        Err(error) if ending.exit == Exit::Pass => Err(error),
        Err(error) => {
            let message = format!("not all reports could be written: {error:#}");
            Ok(Ending::with_message(ending.exit, message))
        }
    }
}

/// The change, from the command line or from a plan.
fn change(options: &SimulateOptions) -> Result<AccessChange> {
    let path = match &options.change {
        ChangeSource::Named(change) => return Ok(change.clone()),
        ChangeSource::Plan(path) => path,
    };
    let what = || format!("cannot read the plan {}", path.display());
    let plan = read_bounded(path, PLAN_MAX).with_context(what)?;
    access_change(&plan, options.source.cluster()).with_context(what)
}

/// Collects or reads the evidence.
fn facts(options: &SimulateOptions) -> Result<ControlFlow<Ending, Facts>> {
    match &options.source {
        ClusterSource::Recorded { dir, cluster } => {
            Ok(ControlFlow::Continue(classify_recorded(dir, cluster, &[])?))
        }
        ClusterSource::Live(cluster) => live(cluster, options.verbosity),
    }
}

fn simulation(facts: &Facts, change: &AccessChange, options: &SimulateOptions) -> Result<Simulation> {
    if options.verbosity >= Verbosity::RejectedLines {
        list_rejected(&facts.nodes);
    }
    simulated(facts, change, &options.clients).map_err(|Refused(reason)| anyhow!(reason))
}

/// The gap for a cluster that was not described; `None` if the run ended for another reason.
pub(super) fn undescribed(ending: &Ending) -> Option<Gap> {
    let why = match ending.exit {
        Exit::Nothing => GapReason::NotFound,
        Exit::Inconclusive => GapReason::Failed,
        _ => return None,
    };
    let detail = ending.message.clone().unwrap_or_default();
    Some(Gap { subject: File::CLUSTER.into(), why, detail, hint: String::new() })
}

/// The simulation of a cluster of which nothing is known, for this reason.
pub(super) fn unknown(options: &SimulateOptions, gap: Gap) -> Simulation {
    let access = EndpointAccess::Unknown { public: None, private: None, cidrs: Vec::new() };
    Simulation {
        cluster: options.source.cluster().to_owned(),
        from: access.clone(),
        to: access,
        clients: Vec::new(),
        steps: Vec::new(),
        gaps: vec![gap],
        notes: Vec::new(),
        verdict: SimulationVerdict::Unknown,
    }
}

#[cfg(feature = "live")]
use super::live::collect_one as live;

#[cfg(not(feature = "live"))]
fn live(_: &ClusterOptions, _: Verbosity) -> Result<ControlFlow<Ending, Facts>> {
    Err(super::audit::not_live())
}
