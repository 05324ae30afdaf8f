//! `simulate`: what a change of endpoint access would do. Nothing is changed.

use std::ops::ControlFlow;

use anyhow::{Result, anyhow};

#[cfg(not(feature = "live"))]
use super::audit::not_live;
use super::exit::{Ending, Exit};
use super::judge::classify_recorded;
#[cfg(feature = "live")]
use super::live::audit_clusters;
use super::output::Output;
use super::rejected::list_rejected;
use crate::classify::simulation::{Refused, simulate as simulated};
#[cfg(not(feature = "live"))]
use crate::cli::options::FleetOptions;
use crate::cli::options::{Clusters, SimulateOptions, Source, Verbosity};
#[cfg(not(feature = "live"))]
use crate::model::audit::Unjudged;
use crate::model::cluster::EndpointAccess;
use crate::model::facts::Facts;
use crate::model::gap::{Gap, GapReason};
use crate::model::simulation::{Simulation, SimulationVerdict};
use crate::report::format::SimulationFormat;
use crate::report::table;

/// Simulates a change of access and reports on it.
pub(super) fn simulate(options: &SimulateOptions) -> Result<Ending> {
    let inputs = match &options.source {
        Source::Recorded { dir, .. } => vec![dir.clone()],
        Source::Live(_) => Vec::new(),
    };
    // Opened first, so that a report that cannot be written is refused before the work.
    let files = Output::open_all(&options.write, &inputs)?;
    let (simulation, ending) = match simulation(options)? {
        ControlFlow::Continue(simulated) => simulated,
        ControlFlow::Break(ending) => return Ok(ending),
    };
    let write = |format: &SimulationFormat, output: Output| {
        output.write_whole(|out, style| (format.write)(&simulation, style, out))
    };
    // An error of one report does not affect the others; the first one is returned.
    // A table of nothing would contain no more than the error.
    let needs_stdout = ending.message.is_none() || options.format.name != table::simulation::FORMAT.name;
    let stdout = needs_stdout.then(|| (options.format, Output::stdout()));
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

/// Collects or reads the evidence, and simulates the change. Returns the end of the run too.
fn simulation(options: &SimulateOptions) -> Result<ControlFlow<Ending, (Simulation, Ending)>> {
    let mut simulation = None;
    let mut each = |facts: Facts| {
        if options.verbosity >= Verbosity::RejectedLines {
            list_rejected(&facts.nodes);
        }
        simulation = Some(simulated(&facts, &options.change, &options.clients));
    };
    let unjudged = match &options.source {
        Source::Recorded { dir, cluster, bundles } => {
            each(classify_recorded(dir, cluster, bundles)?);
            Vec::new()
        }
        Source::Live(fleet) => match audit_clusters(fleet, options.verbosity, each)? {
            ControlFlow::Continue(unjudged) => unjudged,
            ControlFlow::Break(ending) => return Ok(ControlFlow::Break(ending)),
        },
    };
    let simulation = match (simulation, unjudged.into_iter().next()) {
        (Some(Ok(simulation)), _) => simulation,
        (Some(Err(Refused(reason))), _) => return Err(anyhow!(reason)),
        (None, Some(unjudged)) => {
            let is_absent = unjudged.gap.why == GapReason::NotFound;
            let exit = if is_absent { Exit::Nothing } else { Exit::Inconclusive };
            let message = format!("cannot describe the {unjudged}");
            let simulation = unknown(cluster(&options.source), unjudged.gap);
            return Ok(ControlFlow::Continue((simulation, Ending::with_message(exit, message))));
        }
        (None, None) => {
            let message = "there is no such cluster where it was queried";
            return Ok(ControlFlow::Break(Ending::with_message(Exit::Nothing, message)));
        }
    };
    let exit = Exit::from(simulation.verdict);
    Ok(ControlFlow::Continue((simulation, exit.into())))
}

/// The name of the cluster.
pub(super) fn cluster(source: &Source) -> String {
    match source {
        Source::Recorded { cluster, .. } => cluster.clone(),
        Source::Live(fleet) => match &fleet.clusters {
            Clusters::Named(names) => names.iter().map(String::as_str).collect(),
            Clusters::All => String::new(),
        },
    }
}

/// The simulation of a cluster of which nothing is known, for this reason.
pub(super) fn unknown(cluster: String, gap: Gap) -> Simulation {
    let access = EndpointAccess::Unknown { public: None, private: None, cidrs: Vec::new() };
    Simulation {
        cluster,
        from: access.clone(),
        to: access,
        clients: Vec::new(),
        steps: Vec::new(),
        gaps: vec![gap],
        notes: Vec::new(),
        verdict: SimulationVerdict::Unknown,
    }
}

#[cfg(not(feature = "live"))]
fn audit_clusters(
    _: &FleetOptions,
    _: Verbosity,
    _: impl FnMut(Facts),
) -> Result<ControlFlow<Ending, Vec<Unjudged>>> {
    Err(not_live())
}
