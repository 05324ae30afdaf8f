//! The one list of `publicAccessCidrs` for a change: its own blocks, and those without which
//! clients lose the API server. A command replaces the whole list, so that of two commands with
//! different lists the later one removes what the earlier one added.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::scenario::Scenario;
use crate::model::access::AccessMode;
use crate::model::cluster::EndpointAccess;
use crate::model::facts::Facts;
use crate::model::rule::Step;
use crate::model::simulation::{Client, ClientKind, Effect};
use crate::model::text::list;
use crate::steps;

/// How many blocks EKS accepts.
///
/// <https://docs.aws.amazon.com/eks/latest/userguide/cluster-endpoint.html>
const BLOCKS_MAX: usize = 40;
/// How many blocks a step names.
const SHOWN: usize = 10;

/// The step of a fix without a command that sets the list: that is one for all clients.
pub(super) fn without_list(step: &Step, to: &EndpointAccess, kind: ClientKind) -> Step {
    let command = step.command.as_deref().unwrap_or_default();
    let sets_list = command.contains(steps::UPDATE) && command.contains("publicAccessCidrs=");
    if !step.admits.is_empty() {
        let text = if to.public() == Some(true) { add(&step.admits) } else { step.text.clone() };
        return Step::new(text).admits(&step.admits);
    }
    if !sets_list {
        return step.clone();
    }
    let name = if kind == ClientKind::Operator { "here" } else { "NAME" };
    Step::new(format!("Simulate the change again with that address: --client {name}=ADDRESS"))
}

fn add(blocks: &[IpNet]) -> String {
    format!("Add {} to publicAccessCidrs", names(blocks))
}

fn names(blocks: &[IpNet]) -> String {
    list(&blocks.iter().map(ToString::to_string).collect::<Vec<_>>(), SHOWN)
}

/// The blocks that clients need which the change cuts off, or may cut off, and which its list
/// does not have; none if nothing of the change would be left with them.
pub(super) fn needed(scenario: &Scenario, clients: &[Client]) -> Vec<IpNet> {
    if scenario.to.public() != Some(true) {
        return Vec::new();
    }
    let given = scenario.to.public_cidrs();
    let blocks = blocks_of(clients.iter().filter(|client| may_lose(client)));
    let blocks: Vec<_> = blocks.into_iter().filter(|block| !given.contains(block)).collect();
    if with_blocks(scenario, &blocks).is_identity() { Vec::new() } else { blocks }
}

/// Whether a client loses the API server by the change, or may lose it.
fn may_lose(client: &Client) -> bool {
    matches!(client.effect, Effect::Breaks | Effect::Unknown)
}

fn blocks_of<'a>(clients: impl Iterator<Item = &'a Client>) -> BTreeSet<IpNet> {
    clients.flat_map(|client| &client.needs).flat_map(|step| step.admits.iter().copied()).collect()
}

/// The change with more blocks.
pub(super) fn with_blocks(scenario: &Scenario, blocks: &[IpNet]) -> Scenario {
    let all: Vec<_> = scenario.to.public_cidrs().into_iter().chain(blocks.iter().copied()).collect();
    let is_private = scenario.to.private() == Some(true);
    let mode = if is_private { AccessMode::PublicAndPrivate } else { AccessMode::Public };
    Scenario { from: scenario.from.clone(), to: mode.with(&all), ..*scenario }
}

/// The note on a list that EKS does not accept.
pub(super) fn too_long(scenario: &Scenario) -> Option<String> {
    let number = scenario.to.public_cidrs().len();
    (number > BLOCKS_MAX).then(|| {
        format!(
            "with what the clients need, the list has {number} blocks, and EKS accepts {BLOCKS_MAX}: combine them to larger ones, and name these with --public-cidrs"
        )
    })
}

/// Completes the steps by which clients get their blocks into the list: they name the list of
/// the change's own step, or the one alternative that has the blocks of all clients.
pub(super) fn merge(facts: &Facts, scenario: &Scenario, needed: &[IpNet], clients: &mut [Client]) {
    let is_on = scenario.to.public() == Some(true);
    let all = Vec::from_iter(blocks_of(clients.iter().filter(|client| may_lose(client))));
    let alternative = alternative(facts, scenario, &all);
    // The alternative gives no client an access that it does not have today.
    for client in clients.iter_mut().filter(|client| !is_on && !may_lose(client)) {
        client.needs.retain(|step| step.admits.is_empty());
    }
    for step in clients.iter_mut().flat_map(|client| &mut client.needs) {
        if step.admits.is_empty() {
            continue;
        }
        if !is_on {
            *step = Step { admits: step.admits.clone(), ..alternative.clone() };
        } else if step.admits.iter().all(|block| needed.contains(block)) {
            step.text = format!("{}; the list in the steps has it", add(&step.admits));
        }
    }
}

/// The change that leaves the public endpoint on for clients outside the VPC.
fn alternative(facts: &Facts, scenario: &Scenario, blocks: &[IpNet]) -> Step {
    let blocks = &blocks[..blocks.len().min(BLOCKS_MAX)];
    let texts: Vec<_> = blocks.iter().map(ToString::to_string).collect();
    let kept = AccessMode::Public.with(blocks).allowed();
    let today = scenario.from.public_cidrs();
    let dropped: Vec<_> = today.into_iter().filter(|block| !kept.contains_all(&[*block])).collect();
    let rest = if dropped.is_empty() {
        String::new()
    } else {
        format!(", which drops the rest of today's list ({})", names(&dropped))
    };
    Step::new(format!("Or leave public access on, for {} alone{rest}; simulate that change", names(blocks)))
        .command(format!(
            "{} --access public-and-private --public-cidrs {}",
            steps::own(facts, "simulate"),
            texts.join(",")
        ))
}
