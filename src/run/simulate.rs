//! `simulate`: what a change of endpoint access would do. Nothing is changed.

use std::ops::ControlFlow;

use anyhow::{Context, Result, anyhow};

use super::cluster::{UNKNOWN, facts, name, write_reports};
use super::exit::{Ending, Exit, undescribed};
use super::files::read_bounded;
use super::output::Output;
use crate::classify::simulation::{self, Refused};
use crate::cli::options::{ChangeSource, SimulateOptions};
use crate::evidence::terraform::{PLAN_MAX, access_change};
use crate::model::cluster::EndpointAccess;
use crate::model::gap::Gap;
use crate::model::simulation::{AccessChange, Simulation, SimulationVerdict};
use crate::report::table;

/// Simulates a change of access and reports on it.
pub(super) fn simulate(options: &SimulateOptions) -> Result<Ending> {
    // Opened first, so that a report that cannot be written is refused before the work.
    let files = Output::open_all(&options.write, &options.source.inputs())?;
    let change = change(options)?;
    let (simulation, ending) = match facts(&options.source, options.verbosity)? {
        ControlFlow::Continue(facts) => {
            let simulation = simulation::simulate(&facts, &change, &options.clients);
            let simulation = simulation.map_err(|Refused(reason)| anyhow!(reason))?;
            let exit = Exit::from(simulation.verdict);
            (simulation, exit.into())
        }
        ControlFlow::Break(ending) => match undescribed(&ending) {
            Some(gap) => (unknown(options, gap), ending),
            None => return Ok(ending),
        },
    };
    write_reports(files, options.format, &table::simulation::FORMAT, ending, |format, out, style| {
        (format.write)(&simulation, style, out)
    })
}

/// The change, from the command line or from a plan.
fn change(options: &SimulateOptions) -> Result<AccessChange> {
    let path = match &options.change {
        ChangeSource::Named(change) => return Ok(change.clone()),
        ChangeSource::Plan(path) => path,
    };
    let what = || format!("cannot read the plan {}", path.display());
    let plan = read_bounded(path, PLAN_MAX).with_context(what)?;
    access_change(&plan, &name(&options.source)?).with_context(what)
}

/// The simulation of a cluster of which nothing is known, for this reason.
pub(super) fn unknown(options: &SimulateOptions, gap: Gap) -> Simulation {
    let access = EndpointAccess::Unknown { public: None, private: None, cidrs: Vec::new() };
    Simulation {
        cluster: options.source.cluster().unwrap_or(UNKNOWN).to_owned(),
        from: access.clone(),
        to: access,
        clients: Vec::new(),
        steps: Vec::new(),
        gaps: vec![gap],
        notes: Vec::new(),
        verdict: SimulationVerdict::Unknown,
    }
}
