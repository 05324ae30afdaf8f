//! `reach`: whether a place reaches the API server endpoint.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::{Result, anyhow};

use super::exit::{Ending, Exit};
use super::judge::classify_recorded;
use super::output::Output;
use super::rejected::list_rejected;
use crate::classify::reachability::Reachabilities;
#[cfg(not(feature = "live"))]
use crate::cli::options::ClusterOptions;
use crate::cli::options::{ClusterSource, From, ReachOptions, Verbosity};
use crate::model::facts::Facts;
use crate::model::reachability::{Place, ReachReport, Reaches};
use crate::model::text::list;
use crate::report::format::ReachFormat;

/// How many nodes a message names.
const NODES_SHOWN: usize = 10;

/// Tells whether a place reaches the endpoint.
pub(super) fn reach(options: &ReachOptions) -> Result<Ending> {
    let inputs: Vec<PathBuf> = match &options.source {
        ClusterSource::Recorded { dir, .. } => vec![dir.clone()],
        ClusterSource::Live(_) => Vec::new(),
    };
    // Opened first, so that a report that cannot be written is refused before the work.
    let files = Output::open_all(&options.write, &inputs)?;
    let facts = match &options.source {
        ClusterSource::Recorded { dir, cluster } => classify_recorded(dir, cluster, &[])?,
        ClusterSource::Live(cluster) => match live(cluster, options.verbosity)? {
            ControlFlow::Continue(facts) => facts,
            ControlFlow::Break(ending) => return Ok(ending),
        },
    };
    if options.verbosity >= Verbosity::RejectedLines {
        list_rejected(&facts.nodes);
    }
    let report = report(&facts, &options.from)?;
    let write = |format: &ReachFormat, output: Output| {
        output.write_whole(|out, style| (format.write)(&report, style, out))
    };
    // An error of one report does not affect the others; the first one is returned.
    let outputs = files.into_iter().chain([(options.format, Output::stdout())]);
    let written: Vec<_> = outputs.map(|(format, output)| write(format, output)).collect();
    let exit = Exit::from(report.reaches);
    match written.into_iter().collect::<Result<()>>() {
        Err(error) if exit == Exit::Pass => Err(error),
        Err(error) => Ok(Ending::with_message(exit, format!("not all reports could be written: {error:#}"))),
        Ok(()) => Ok(exit.into()),
    }
}

/// The answer for a place under the cluster's access.
fn report(facts: &Facts, from: &From) -> Result<ReachReport> {
    let known = Reachabilities::new(facts);
    let place = place(&known, from).ok_or_else(|| no_place(facts, from))?;
    let cluster = &facts.evidence.cluster;
    let reachability = known.of(&cluster.access, &place);
    let mut reaches = reachability.reaches();
    let mut gaps = Vec::new();
    for gap in reachability.conditions.iter().filter_map(|one| one.gap.as_ref()) {
        if !gaps.contains(gap) {
            gaps.push(gap.clone());
        }
    }
    // An answer that would be another one without evidence that is a part needs the rest.
    if let Some(incomplete) = facts.incomplete.as_deref() {
        let without = Reachabilities::new(&incomplete.without).of(&cluster.access, &place);
        if without.reaches() != reaches {
            reaches = Reaches::Unknown;
            gaps.extend(incomplete.gaps.iter().cloned());
        }
    }
    Ok(ReachReport {
        cluster: cluster.name.clone(),
        access: cluster.access.clone(),
        place,
        reachability,
        reaches,
        gaps,
    })
}

fn place(known: &Reachabilities<'_>, from: &From) -> Option<Place> {
    match from {
        From::Here => Some(known.here()),
        From::Node(name) => known.node(name.as_str()),
        From::Address(address) => Some(known.address(*address)),
        From::Block(block) => Some(known.block(*block)),
    }
}

fn no_place(facts: &Facts, from: &From) -> anyhow::Error {
    let From::Node(name) = from else { return anyhow!("no such place") };
    let captured = facts.nodes.iter().map(|node| node.name.to_string());
    let machines = facts.machines.iter().flatten();
    let known: HashSet<_> = machines.filter_map(|machine| machine.instance.as_deref()).collect();
    let listed = facts.evidence.node_instances().filter(|node| !known.contains(node.id.as_str()));
    let listed = listed.map(|node| node.display_name().unwrap_or(&node.id).to_owned());
    let mut nodes: Vec<_> = captured.chain(listed).collect();
    nodes.sort();
    nodes.dedup();
    if nodes.is_empty() {
        return anyhow!("--from {name}: no node is known; pass its address");
    }
    anyhow!(
        "--from {name}: no such node; the nodes are {}; for another host pass its address",
        list(&nodes, NODES_SHOWN)
    )
}

#[cfg(feature = "live")]
use super::live::collect_one as live;

#[cfg(not(feature = "live"))]
fn live(_: &ClusterOptions, _: Verbosity) -> Result<ControlFlow<Ending, Facts>> {
    Err(super::audit::not_live())
}
