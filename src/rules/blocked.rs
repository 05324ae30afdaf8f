//! Rules about security groups that block the traffic between nodes and control plane.

use std::collections::{BTreeMap, BTreeSet};

use super::text::list;
use crate::model::facts::Facts;
use crate::model::gap::{GapReason, Observed};
use crate::model::net::{INSTANCES, SECURITY_GROUPS};
use crate::model::reach::{Admission, MissingRule, NodeReach, Reach, RuleSide};
use crate::model::rule::{Finding, Outcome, Step};
use crate::model::text::id_and_name;
use crate::steps;

/// A kind of traffic between nodes and EKS-owned ENIs.
pub(super) struct Traffic {
    /// Selects it.
    pub(super) of: fn(&NodeReach) -> &Reach,
    /// The side of the rules that the groups of the nodes contribute.
    pub(super) node_side: RuleSide,
    /// What is the consequence if it is blocked.
    pub(super) consequence: &'static str,
}

/// Judges a kind of traffic, with a finding for each rule that is missing.
pub(super) fn check(facts: &Facts, traffic: &Traffic) -> Outcome {
    let evidence = &facts.evidence;
    let nodes = match &facts.reach {
        Observed::Seen(nodes) => nodes,
        Observed::Unseen(gap) => return Outcome::inconclusive(gap.clone()),
    };
    if nodes.is_empty() {
        let detail = evidence.no_node_instances();
        return Outcome::inconclusive(evidence.gap(INSTANCES, GapReason::Incomplete, detail));
    }
    let mut missing: BTreeMap<&MissingRule, Vec<&NodeReach>> = BTreeMap::new();
    let mut unknown: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for node in nodes.iter().filter(|node| !(traffic.of)(node).is_established) {
        match &(traffic.of)(node).admission {
            Admission::Admitted => {}
            Admission::Blocked(rules) => {
                for rule in rules {
                    missing.entry(rule).or_default().push(node);
                }
            }
            Admission::Unknown(reason) => unknown.entry(reason).or_default().push(label(node)),
        }
    }
    let gaps = unknown.into_iter().map(|(reason, nodes)| {
        let detail = format!("{reason}, so what they admit is not known for {}", list(&nodes));
        evidence.gap(SECURITY_GROUPS, GapReason::NotSupported, detail)
    });
    Outcome {
        findings: missing.into_iter().map(|(rule, nodes)| finding(rule, &nodes, traffic)).collect(),
        gaps: gaps.collect(),
        steps: Vec::new(),
    }
}

/// The steps that add the missing rules.
pub(super) fn steps(facts: &Facts, traffic: &Traffic) -> Vec<Step> {
    let nodes = facts.reach.seen().into_iter().flatten();
    let blocked = nodes.map(traffic.of).filter(|reach| !reach.is_established);
    let rules: BTreeSet<_> = blocked
        .filter_map(|reach| match &reach.admission {
            Admission::Blocked(rules) => Some(rules),
            Admission::Admitted | Admission::Unknown(_) => None,
        })
        .flatten()
        .collect();
    rules.into_iter().map(|rule| steps::add_rule(facts, rule)).collect()
}

fn finding(rule: &MissingRule, nodes: &[&NodeReach], traffic: &Traffic) -> Finding {
    let MissingRule { group, side, port, peer } = rule;
    let labels: Vec<_> = nodes.iter().map(|node| label(node)).collect();
    let groups: BTreeSet<_> = nodes.iter().flat_map(|node| node.groups.iter().cloned()).collect();
    let (of, others) = match (*side == traffic.node_side, nodes) {
        (true, _) => ("these groups", "the EKS-owned ENIs"),
        (false, [_]) => ("the groups of the EKS-owned ENIs", "it"),
        (false, _) => ("the groups of the EKS-owned ENIs", "them"),
    };
    let (preposition, side) = (side.preposition(), side.as_str());
    let message = format!(
        "{} with {}: no {side} rule of {of} admits TCP {port} {preposition} {others}, so {}; add to {group} an {side} rule for TCP {port} {preposition} {peer}",
        list(&labels),
        list(&Vec::from_iter(groups)),
        traffic.consequence,
    );
    Finding::new(group, message).of(format!("{side} TCP {port} {preposition} {peer}"))
}

fn label(node: &NodeReach) -> String {
    id_and_name(&node.instance, node.name.as_deref())
}
