//! `reach`: whether a place reaches the API server endpoint.

use std::collections::HashSet;
use std::ops::ControlFlow;

use anyhow::{Result, anyhow};

use super::exit::{Ending, Exit};
use super::judge::classify_recorded;
use super::output::Output;
use super::rejected::list_rejected;
use super::simulate::undescribed;
use crate::classify::reachability::Reachabilities;
#[cfg(not(feature = "live"))]
use crate::cli::options::ClusterOptions;
use crate::cli::options::{ClusterSource, From, ReachOptions, Verbosity};
use crate::model::cluster::EndpointAccess;
use crate::model::facts::Facts;
use crate::model::gap::Gap;
use crate::model::reachability::{ConditionResult, Location, Place, ReachReport, Reachability, Reaches};
use crate::model::text::list;
use crate::report::format::ReachFormat;
use crate::report::table;

/// How many nodes a message names.
const NODES_SHOWN: usize = 10;

/// Tells whether a place reaches the endpoint.
pub(super) fn reach(options: &ReachOptions) -> Result<Ending> {
    // Opened first, so that a report that cannot be written is refused before the work.
    let files = Output::open_all(&options.write, &options.source.inputs())?;
    let facts = match &options.source {
        ClusterSource::Recorded { dir, cluster } => {
            ControlFlow::Continue(classify_recorded(dir, cluster, &[])?)
        }
        ClusterSource::Live(cluster) => live(cluster, options.verbosity)?,
    };
    let (report, ending) = match facts {
        ControlFlow::Continue(facts) => {
            if options.verbosity >= Verbosity::RejectedLines {
                list_rejected(&facts.nodes);
            }
            let report = report(&facts, &options.from)?;
            let exit = Exit::from(report.reaches);
            (report, exit.into())
        }
        ControlFlow::Break(ending) => match undescribed(&ending) {
            Some(gap) => (unknown(options, gap), ending),
            None => return Ok(ending),
        },
    };
    let write = |format: &ReachFormat, output: Output| {
        output.write_whole(|out, style| (format.write)(&report, style, out))
    };
    // A table of nothing would contain no more than the error.
    let needs_stdout = ending.message.is_none() || options.format.name != table::reach::FORMAT.name;
    let stdout = needs_stdout.then(|| (options.format, Output::stdout()));
    // An error of one report does not affect the others; the first one is returned.
    let outputs = files.into_iter().chain(stdout);
    let written: Vec<_> = outputs.map(|(format, output)| write(format, output)).collect();
    match written.into_iter().collect::<Result<()>>() {
        Ok(()) => Ok(ending),
        Err(error) if ending.exit == Exit::Pass => Err(error),
        Err(error) => {
            Ok(Ending::with_message(ending.exit, format!("not all reports could be written: {error:#}")))
        }
    }
}

/// The answer for a place under the cluster's access.
fn report(facts: &Facts, from: &From) -> Result<ReachReport> {
    let known = Reachabilities::new(facts);
    let place = place(&known, from)?.ok_or_else(|| no_place(facts, from))?;
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
        if without.reaches() == reaches {
            // What is not judged without it, and was judged with a part of it.
            let left_out = without.conditions.into_iter();
            let left_out = left_out.filter(|one| one.result == ConditionResult::NotApplicable);
            for gap in left_out.filter_map(|condition| condition.gap) {
                if incomplete.gaps.contains(&gap) && !gaps.contains(&gap) {
                    gaps.push(gap);
                }
            }
        } else {
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

/// The answer about a cluster of which nothing is known, for this reason.
pub(super) fn unknown(options: &ReachOptions, gap: Gap) -> ReachReport {
    let name = match &options.from {
        From::Here => "here".to_owned(),
        From::Node(name) => name.to_string(),
        From::Address(address) => address.to_string(),
        From::Block(block) => block.to_string(),
    };
    ReachReport {
        cluster: options.source.cluster().to_owned(),
        access: EndpointAccess::Unknown { public: None, private: None, cidrs: Vec::new() },
        place: Place { name, location: Location::Unknown },
        reachability: Reachability { side: None, conditions: Vec::new() },
        reaches: Reaches::Unknown,
        gaps: vec![gap],
    }
}

fn place(known: &Reachabilities<'_>, from: &From) -> Result<Option<Place>> {
    Ok(match from {
        From::Here => Some(known.here()),
        From::Node(name) => known.node(name.as_str()).map_err(|ids| {
            let ids = list(&ids, NODES_SHOWN);
            anyhow!("--from {name}: several nodes have this name: {ids}; pass an id or an address")
        })?,
        From::Address(address) => Some(known.address(*address)),
        From::Block(block) => Some(known.block(*block)),
    })
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
