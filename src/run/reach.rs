//! `reach`: whether a place reaches the API server endpoint.

use std::collections::HashSet;
use std::ops::ControlFlow;

use anyhow::{Result, anyhow};
use ipnet::IpNet;

use super::cluster::{UNKNOWN, facts, write_reports};
use super::exit::{Ending, Exit, undescribed};
use super::inputs::Inputs;
use super::output::Output;
use crate::classify::reachability::{Reachabilities, reach_report};
use crate::cli::options::{NamedPlace, ReachOptions};
use crate::model::cluster::EndpointAccess;
use crate::model::facts::Facts;
use crate::model::gap::Gap;
use crate::model::name::NodeName;
use crate::model::reachability::{Location, Place, ReachReport, Reachability, Reaches};
use crate::model::seen_from::HERE;
use crate::model::text::list;
use crate::report::table;
use crate::signals::under_way;

/// How many nodes a message names.
const NODES_SHOWN: usize = 10;

/// Tells whether a place reaches the endpoint.
pub(super) fn reach(options: &ReachOptions) -> Result<Ending> {
    // Opened first, so that a report that cannot be written is refused before the work.
    let files = Output::open_all(&options.write, &Inputs::of_reach(options))?;
    let (report, ending) = match facts(&options.source, options.verbosity)? {
        ControlFlow::Continue(facts) => {
            let judging = under_way("judging; no report was written");
            let report = reach_report(&facts, place(&facts, &options.from)?);
            drop(judging);
            let exit = Exit::from(report.reaches);
            (report, exit.into())
        }
        ControlFlow::Break(ending) => match undescribed(&ending) {
            Some(gap) => (unknown(options, gap), ending),
            None => return Ok(ending),
        },
    };
    let table = &table::reach::FORMAT;
    Ok(write_reports(files, options.format, table, ending, |format, out, style| {
        (format.write)(&report, style, out)
    }))
}

/// The answer about a cluster of which nothing is known, for this reason.
pub(super) fn unknown(options: &ReachOptions, gap: Gap) -> ReachReport {
    let name = match &options.from {
        NamedPlace::Here => HERE.to_owned(),
        NamedPlace::Node(name) => name.to_string(),
        NamedPlace::Address(address) => address.to_string(),
        NamedPlace::Block(block) => block.to_string(),
    };
    ReachReport {
        cluster: options.source.cluster().unwrap_or(UNKNOWN).to_owned(),
        access: EndpointAccess::Unknown { public: None, private: None, cidrs: Vec::new() },
        place: Place { name, location: Location::Unknown },
        reachability: Reachability { side: None, conditions: Vec::new() },
        reaches: Reaches::Unknown,
        gaps: vec![gap],
    }
}

/// The place that was named.
fn place(facts: &Facts, from: &NamedPlace) -> Result<Place> {
    let known = Reachabilities::new(facts);
    Ok(match from {
        NamedPlace::Here => known.here(),
        NamedPlace::Node(name) => {
            let place = known.node(name.as_str()).map_err(|ids| {
                let ids = list(&ids, NODES_SHOWN);
                anyhow!("--from {name}: several nodes have this name: {ids}; pass an id or an address")
            })?;
            place.ok_or_else(|| no_node(facts, name))?
        }
        NamedPlace::Address(address) => outside_services(facts, known.address(*address), (*address).into())?,
        NamedPlace::Block(block) => outside_services(facts, known.block(*block), *block)?,
    })
}

/// The place with the addresses of a block.
///
/// # Errors
/// If they are those of Services of the cluster, which are no hosts.
fn outside_services(facts: &Facts, place: Place, block: IpNet) -> Result<Place> {
    let services = &facts.evidence.cluster.service_blocks;
    match services.iter().find(|services| services.contains(&block)) {
        Some(services) if !matches!(place.location, Location::Vpc { .. }) => Err(anyhow!(
            "--from {}: not an address of a place: {services} is the block of the cluster's Services (ClusterIPs)",
            place.name
        )),
        _ => Ok(place),
    }
}

/// The error for a node that is not known.
fn no_node(facts: &Facts, name: &NodeName) -> anyhow::Error {
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
