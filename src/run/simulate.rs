//! `simulate`: what a change of endpoint access would do. Nothing is changed.

use std::ops::ControlFlow;

use anyhow::{Context, Result, anyhow};
use jiff::Timestamp;

use super::cluster::{UNKNOWN, facts, name, write_reports};
use super::exit::{Ending, Exit, undescribed};
use super::files::read_bounded;
use super::inputs::Inputs;
use super::output::Output;
use super::policy;
use crate::classify::simulation::{self, Refused};
use crate::cli::options::{ChangeSource, SimulateOptions};
use crate::evidence::terraform::{PLAN_MAX, access_change};
use crate::model::cluster::EndpointAccess;
use crate::model::facts::Facts;
use crate::model::gap::Gap;
use crate::model::rule::Rule;
use crate::model::simulation::{AccessChange, Simulation, SimulationVerdict};
use crate::policy::Policy;
use crate::report::table;
use crate::rules;
use crate::signals::under_way;

/// Simulates a change of access and reports on it.
pub(super) fn simulate(options: &SimulateOptions) -> Result<Ending> {
    // Opened first, so that a report that cannot be written is refused before the work.
    let files = Output::open_all(&options.write, &Inputs::of_simulate(options))?;
    let change = change(options)?;
    let policy = policy::load(None, Timestamp::now())?;
    let (simulation, ending) = match facts(&options.source, options.verbosity)? {
        ControlFlow::Continue(facts) => {
            let judging = under_way("judging; no report was written");
            let simulation = simulation::simulate(&facts, &change, &options.clients);
            let mut simulation = simulation.map_err(|Refused(reason)| anyhow!(reason))?;
            let of_rules = warnings(facts, &simulation.to, &policy.rules);
            simulation.warnings.extend(of_rules);
            drop(judging);
            let exit = Exit::from(simulation.verdict);
            (simulation, exit.into())
        }
        ControlFlow::Break(ending) => match undescribed(&ending) {
            Some(gap) => (unknown(options, gap), ending),
            None => return Ok(ending),
        },
    };
    let table = &table::simulation::FORMAT;
    Ok(write_reports(files, options.format, table, ending, |format, out, style| {
        (format.write)(&simulation, style, out)
    }))
}

/// The rules about the settings, whatever the nodes.
const RULES_OF_SETTINGS: [&str; 3] = ["public-endpoint-open", "access-mode-not-allowed", "cidr-not-allowed"];

/// What rules find of the settings afterwards, under the policy of an audit here, and not of those
/// of today.
fn warnings(mut facts: Facts, to: &EndpointAccess, policy: &Policy) -> Vec<String> {
    let expected = policy.expected(&facts.evidence.cluster);
    let rules: Vec<_> = rules::ALL
        .into_iter()
        .filter(|rule| RULES_OF_SETTINGS.contains(&rule.id) && policy.may_judge(rule))
        .collect();
    let found = |facts: &Facts| -> Vec<String> {
        let of_rule = |rule: &&Rule| {
            let findings = (rule.check)(facts, &expected).findings;
            let id = rule.id;
            findings.into_iter().map(move |finding| format!("{} ({id})", finding.message)).collect::<Vec<_>>()
        };
        rules.iter().flat_map(of_rule).collect()
    };
    let today = found(&facts);
    facts.evidence.cluster.access = to.clone();
    found(&facts)
        .into_iter()
        .filter(|one| !today.contains(one))
        .map(|one| format!("afterwards, {one}"))
        .collect()
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
        warnings: Vec::new(),
        verdict: SimulationVerdict::Unknown,
    }
}
