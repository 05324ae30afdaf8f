//! Findings, gaps and nodes that are alike, as text for people: one text for all of them.

use std::collections::{HashMap, HashSet};

use super::answer::{path_words, problem_of};
use super::entry::about;
use super::names::Names;
use super::style::count;
use crate::model::facts::Facts;
use crate::model::gap::Gap;
use crate::model::groups::{GapGroup, NodeGroup, NotJudgedGroup};
use crate::model::judgment::JudgedFinding;
use crate::model::node::NodeStatus;
use crate::model::text::list;
use crate::model::traffic::TrafficPath;

/// How many names a text has.
pub(super) const NAMED: usize = 5;

/// Whether two findings are of one rule, and count, are waived or are known in the same way.
pub(super) fn is_of_one_rule(a: &JudgedFinding, b: &JudgedFinding) -> bool {
    a.rule.id == b.rule.id && a.counts_like(b)
}

/// Findings that differ in their subject only, in the order of the first of each.
pub(super) fn findings<'a>(findings: &'a [JudgedFinding], facts: &Facts) -> Vec<Vec<&'a JudgedFinding>> {
    let mut groups: Vec<Vec<&JudgedFinding>> = Vec::new();
    let mut known = HashMap::new();
    for judged in findings {
        let finding = &judged.finding;
        let is_cluster = finding.subject == facts.evidence.cluster.subject();
        let line = judged.waiver.as_ref().map(|waiver| waiver.line);
        let at = *known.entry((is_cluster, &finding.message, judged.severity, line)).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[at].push(judged);
    }
    groups
}

/// The message of findings that are alike, with their subjects. Not escaped.
pub(super) fn finding_text(group: &[&JudgedFinding], facts: &Facts, names: &Names) -> String {
    let text = match group {
        [] => String::new(),
        [only] => about(&only.finding, &facts.evidence.cluster),
        [first, ..] => {
            let subjects: Vec<_> = group.iter().map(|judged| names.short(&judged.finding.subject)).collect();
            let message = &first.finding.message;
            if first.finding.subject == facts.evidence.cluster.subject() {
                message.clone()
            } else {
                format!("{}: {message}", list(&subjects, NAMED))
            }
        }
    };
    names.shorten(&text).into_owned()
}

/// The cause of gaps that are alike, and what they are about. Not escaped.
pub(super) fn gap_text(group: &GapGroup<'_>, names: &Names) -> String {
    let gaps: Vec<_> = group.gaps.iter().map(|judged| &judged.gap).collect();
    cause_text(&gaps, &group.detail, names)
}

/// The cause for which rules were not judged, and what it is about. Not escaped.
pub(super) fn not_judged_text(group: &NotJudgedGroup<'_>, names: &Names) -> String {
    cause_text(&group.gaps, &group.detail, names)
}

fn cause_text(gaps: &[&Gap], detail: &str, names: &Names) -> String {
    let text = problem_of(gaps, detail);
    let mut known = HashSet::new();
    let subjects = gaps.iter().filter_map(|gap| gap.subject.name()).map(|name| names.short(name));
    let subjects: Vec<_> = subjects.filter(|name| known.insert(*name)).collect();
    if gaps.len() == 1 || subjects.len() == 1 {
        return names.shorten(&text).into_owned();
    }
    names.shorten(&format!("{text}: {}", list(&subjects, NAMED))).into_owned()
}

/// The next step for gaps that are alike, of which this is the first. Not escaped; empty if there
/// is none.
pub(super) fn gap_hint(first: &Gap, is_many: bool) -> String {
    let is_of_one = is_many && first.subject.name().is_some_and(|name| first.hint.contains(name));
    if is_of_one { format!("for the first: {}", first.hint) } else { first.hint.clone() }
}

/// Nodes that are alike in a sentence: how many, what there is to say about them, and their
/// names. `paint` may mark the words of a path, `paint_status` those of the result of reading
/// them.
pub(super) fn node_text(
    group: &NodeGroup<'_>,
    names: &Names,
    paint: impl Fn(TrafficPath, &str) -> String,
    paint_status: impl Fn(NodeStatus, &str) -> String,
) -> String {
    let mut paths: Vec<(String, Vec<&str>)> = Vec::new();
    for one in &group.traffic.components {
        let words = paint(one.path, path_words(one.path));
        match paths.iter_mut().find(|(known, _)| *known == words) {
            Some((_, components)) => components.push(one.component.as_str()),
            None => paths.push((words, vec![one.component.as_str()])),
        }
    }
    let paths: Vec<_> =
        paths.iter().map(|(words, components)| format!("{} {words}", components.join(" and "))).collect();
    let status = paint_status(group.status, group.status.as_str());
    let what = match group.status {
        NodeStatus::Read => paths.join(", "),
        // Nothing else is known of them.
        NodeStatus::Unreachable | NodeStatus::NotSupported | NodeStatus::Malformed => status,
        NodeStatus::NoProcessNames => format!("{status}, {}", paths.join(", ")),
    };
    let nodes: Vec<_> = group.nodes.iter().map(|node| names.name(&node.name)).collect();
    let number = count(group.nodes.len(), "node");
    // Of many nodes that are as they should be, the names do not matter.
    if group.is_private() && nodes.len() > NAMED {
        format!("{number}: {what}")
    } else {
        format!("{number}: {what}: {}", list(&nodes, NAMED))
    }
}
