//! The verdict and the path of the nodes' traffic, as sentences: the first and the last lines
//! of a report.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::names::Names;
use super::style::count;
use crate::model::audit::{Audited, Counts, Summary};
use crate::model::baseline::{BaselineState, Comparison, KnownFinding};
use crate::model::connection::Component;
use crate::model::facts::Facts;
use crate::model::gap::{Gap, GapReason, Subject};
use crate::model::groups::{GapGroup, gap_groups};
use crate::model::judgment::{JudgedFinding, JudgedGap, Judgment, Verdict};
use crate::model::rule::{Rule, Severity, Threshold};
use crate::model::text::list;
use crate::model::traffic::{ComponentTraffic, NodeTraffic, TrafficPath};

/// How many names a sentence has.
const NAMED: usize = 3;

/// What the verdict rests on: what reaches the threshold, what is below it, and what is
/// missing or excepted. Not escaped.
pub(super) fn reason(judgment: &Judgment) -> String {
    reason_with(judgment, more_or_one)
}

/// The same with the number of what is missing alone: for the last lines of a report that has it
/// above.
pub(super) fn short_reason(judgment: &Judgment) -> String {
    reason_with(judgment, |groups| count(groups.iter().map(|group| group.gaps.len()).sum(), "gap"))
}

fn reason_with(judgment: &Judgment, missing: impl Fn(&[&GapGroup<'_>]) -> String) -> String {
    let Judgment { verdict, threshold, findings, .. } = judgment;
    let counted: Vec<_> = findings.iter().filter(|judged| judged.counts()).collect();
    let (at_or_above, below): (Vec<&JudgedFinding>, Vec<_>) =
        counted.iter().partition(|judged| judgment.fails(judged));
    let groups = gap_groups(&judgment.gaps);
    let mut needed: Vec<_> = groups.iter().filter(|group| group.gaps[0].needed).collect();
    // Of what has several causes, the one with the most gaps is named.
    needed.sort_by_key(|group| std::cmp::Reverse(group.gaps.len()));
    let main = match (verdict, needed.first()) {
        (Verdict::Fail, _) => {
            let number_of = |rule: &str| at_or_above.iter().filter(|judged| judged.rule.id == rule).count();
            let rules = distinct(at_or_above.iter().map(|judged| judged.rule.id)).into_iter();
            let rules: Vec<_> = rules
                .map(|rule| match number_of(rule) {
                    0 | 1 => rule.to_owned(),
                    several => format!("{rule} ({several})"),
                })
                .collect();
            let has_worse = at_or_above.iter().any(|one| one.baseline == Some(BaselineState::Worse));
            let what = match judgment.comparison {
                Some(_) if has_worse => "new or worse finding",
                Some(_) => "new finding",
                None => "finding",
            };
            let number = count(at_or_above.len(), what);
            format!("{number} at or above {}: {}", name(*threshold), list(&rules, NAMED))
        }
        (Verdict::Inconclusive, Some(_)) if judgment.is_blind => {
            format!("could not judge any of the rules of --rule: {}", missing(&needed))
        }
        (Verdict::Inconclusive, Some(_)) => {
            format!("could not judge everything at or above {}: {}", name(*threshold), missing(&needed))
        }
        _ if threshold.is_none() => "no finding fails this run (threshold: never)".to_owned(),
        _ if judgment.comparison.is_some() => format!("nothing new at or above {}", name(*threshold)),
        _ => format!("nothing at or above {}", name(*threshold)),
    };
    let mut parts = vec![main];
    // Of an entry of the policy it is not known whether it applies.
    if *verdict != Verdict::Fail && !at_or_above.is_empty() {
        let number = count(at_or_above.len(), "finding");
        parts.push(format!("{number} at or above {}, which the policy may except", name(*threshold)));
    }
    parts.extend(by_severity(&below).map(|number| match (verdict, threshold) {
        (Verdict::Pass, Some(_)) => format!("{number} below this threshold"),
        _ => number,
    }));
    if *verdict == Verdict::Fail && !needed.is_empty() {
        parts.push(format!("also not seen: {}", missing(&needed)));
    }
    parts.extend(compared(judgment));
    let waived = findings.iter().filter(|judged| judged.waived_by().is_some()).count();
    if waived > 0 {
        parts.push(format!("{} waived", count(waived, "finding")));
    }
    let is_left_out = |judged: &&JudgedGap| judged.gap.is_left_out() && judged.gap.subject == Subject::Nodes;
    let is_accepted = |judged: &&JudgedGap| judged.accepted_by().is_some();
    if *verdict == Verdict::Pass {
        let unseen = judgment.gaps.iter().filter(|gap| !gap.rules.is_empty());
        let unseen = unseen.filter(|gap| !is_left_out(gap) && !is_accepted(gap)).count();
        if unseen > 0 {
            parts.push(format!("{} needed only by rules below the threshold", count(unseen, "gap")));
        }
        let accepted = judgment.gaps.iter().filter(is_accepted).count();
        if accepted > 0 {
            parts.push(format!("{} accepted by the policy", count(accepted, "gap")));
        }
    }
    parts.extend(
        judgment
            .gaps
            .iter()
            .filter(is_left_out)
            .map(|judged| format!("{} not read, as requested", judged.gap.subject)),
    );
    parts.extend(not_selected(&judgment.skipped));
    parts.join("; ")
}

/// The first of each of equal items, in their order.
fn distinct<'a>(items: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut known = HashSet::new();
    items.filter(|item| known.insert(*item)).collect()
}

/// The verdicts of several clusters, in numbers.
pub(super) fn verdicts(counts: Counts) -> String {
    match counts.total() {
        0 => "no cluster was judged".to_owned(),
        number => format!(
            "{}: {} fail, {} inconclusive, {} pass",
            count(number, "cluster"),
            counts.fail,
            counts.inconclusive,
            counts.pass
        ),
    }
}

/// The number of clusters and regions that could not be judged at all; `None` if all were.
pub(super) fn unjudged(summary: &Summary) -> Option<String> {
    let number = summary.unjudged.len();
    (number > 0).then(|| format!("{number} could not be judged at all"))
}

/// The number of rules that are not selected on the command line; `None` if all are.
pub(super) fn not_selected(skipped: &[&Rule]) -> Option<String> {
    let number = count(skipped.len(), "rule");
    (!skipped.is_empty()).then(|| format!("{number} not judged (--rule/--skip-rule)"))
}

/// What comparing with the baseline shows, in parts of a sentence; none without a baseline. Not
/// escaped.
pub(super) fn compared(judgment: &Judgment) -> Vec<String> {
    let Some(Comparison { gone, not_judged, note }) = &judgment.comparison else { return Vec::new() };
    let known: Vec<_> = judgment.findings.iter().filter(|judged| judged.is_known()).collect();
    let known = by_severity(&known).map(|number| format!("{number} known from the baseline"));
    let of_baseline = |list: &[KnownFinding], what| {
        (!list.is_empty()).then(|| format!("{} of the baseline {what}", count(list.len(), "finding")))
    };
    let parts =
        [known, of_baseline(gone, "gone"), of_baseline(not_judged, "not judged"), note.map(str::to_owned)];
    parts.into_iter().flatten().collect()
}

fn name(threshold: Threshold) -> &'static str {
    threshold.map_or("never", Severity::as_str)
}

/// The only group of gaps, or the first and the number of the other gaps.
fn more_or_one(groups: &[&GapGroup<'_>]) -> String {
    match groups {
        [] => String::new(),
        [only] => problem(only),
        [first, others @ ..] => {
            let others = others.iter().map(|group| group.gaps.len()).sum();
            format!("{}, and {}", problem(first), count(others, "more gap"))
        }
    }
}

/// The cause of a group of gaps, and how many subjects it has.
pub(super) fn problem(group: &GapGroup<'_>) -> String {
    let gaps: Vec<_> = group.gaps.iter().map(|judged| &judged.gap).collect();
    problem_of(&gaps, &group.detail)
}

/// The cause of gaps that are alike, and how many subjects they have.
pub(super) fn problem_of(gaps: &[&Gap], detail: &str) -> String {
    let Some(first) = gaps.first() else { return detail.to_owned() };
    // Several gaps may be about one node.
    let names: BTreeSet<_> = gaps.iter().filter_map(|gap| gap.subject.name()).collect();
    let number = if names.is_empty() { gaps.len() } else { names.len() };
    if number == 1 {
        return format!("{}: {detail}", first.subject);
    }
    let what = match &first.subject {
        Subject::Node(_) | Subject::Instance(_) => format!("{number} nodes"),
        Subject::Egress(_) => format!("egress of {number} nodes"),
        Subject::Vantage(_) => format!("DNS from {number} places"),
        Subject::Probe(_) => format!("probes from {number} places"),
        _ => format!("{number} times"),
    };
    format!("{what}: {detail}")
}

/// The numbers of findings by severity, the worst first: `1 high, 2 medium`; `None` if there
/// are none.
fn by_severity(findings: &[&JudgedFinding]) -> Option<String> {
    let mut numbers: BTreeMap<std::cmp::Reverse<Severity>, usize> = BTreeMap::new();
    for judged in findings {
        *numbers.entry(std::cmp::Reverse(judged.severity)).or_default() += 1;
    }
    let parts: Vec<_> =
        numbers.iter().map(|(severity, number)| format!("{number} {}", severity.0.as_str())).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// The paths of traffic in words, in the order in which they are summed up.
pub(super) const PATHS: [(TrafficPath, &str); 5] = [
    (TrafficPath::Public, "public"),
    (TrafficPath::Mixed, "partly public"),
    (TrafficPath::Private, "private"),
    (TrafficPath::None, "hanging in SYN-SENT"),
    (TrafficPath::Unknown, "not known"),
];

/// The path of traffic in words.
pub(super) fn path_words(path: TrafficPath) -> &'static str {
    PATHS.iter().find(|(one, _)| *one == path).map_or("", |(_, words)| *words)
}

/// A part of the answer: the path of some nodes.
pub(super) struct Part {
    pub(super) path: TrafficPath,
    /// Its path in words, and of which components it is.
    pub(super) words: String,
    pub(super) nodes: usize,
    /// The names of the nodes, if they are few and their path is not private.
    pub(super) names: Vec<String>,
}

/// The path of the nodes' traffic: each path with its nodes, what needs attention first.
pub(super) fn parts(facts: &Facts, names: &Names) -> Vec<Part> {
    let only_unknown = unknown_component(facts);
    let mut groups: BTreeMap<(bool, usize, String), Part> = BTreeMap::new();
    for traffic in &facts.traffic {
        let rank = PATHS.iter().position(|(path, _)| *path == traffic.path).unwrap_or_default();
        let is_whole = is_whole(traffic);
        let words = match (is_whole, traffic.path, only_unknown) {
            (true, TrafficPath::Unknown, Some(component)) => format!("not known for {}", component.as_str()),
            (true, path, _) => path_words(path).to_owned(),
            (false, ..) => partial_words(traffic),
        };
        let new = || Part { path: traffic.path, words: words.clone(), nodes: 0, names: Vec::new() };
        let part = groups.entry((!is_whole, rank, words.clone())).or_insert_with(new);
        part.nodes += 1;
        if part.names.len() <= NAMED {
            part.names.push(names.name(&traffic.node).to_owned());
        }
    }
    let mut parts: Vec<_> = groups.into_values().collect();
    for part in &mut parts {
        if part.names.len() > NAMED || part.path == TrafficPath::Private || part.nodes == facts.traffic.len()
        {
            part.names.clear();
        }
    }
    parts
}

/// The answer as a sentence without its subject: `private on 2 of 2 nodes`. `paint` may mark the
/// words of a path.
pub(super) fn traffic(facts: &Facts, names: &Names, paint: impl Fn(TrafficPath, &str) -> String) -> String {
    let all = facts.traffic.len();
    let missing = match (facts.unread_nodes(), all) {
        // Said below.
        (0, _) | (_, 0) => None,
        (1, _) => Some("not known on 1 more node, which was not read".to_owned()),
        (number, _) => Some(format!("not known on {number} more nodes, which were not read")),
    };
    let parts = parts(facts, names).into_iter().map(|part| {
        let of_nodes =
            if part.names.is_empty() { String::new() } else { format!(" ({})", part.names.join(", ")) };
        format!("{} on {} of {}{of_nodes}", paint(part.path, &part.words), part.nodes, count(all, "node"))
    });
    let parts: Vec<_> = parts.chain(missing).collect();
    if !parts.is_empty() {
        let mut components = facts.traffic.iter().flat_map(|traffic| &traffic.components);
        let has_proxy = components.any(|one| one.component == Component::KubeProxy);
        let without = if has_proxy || all == 0 { "" } else { "; kube-proxy was not seen" };
        return parts.join(", ") + without;
    }
    let is_asked = |judged: &Gap| judged.why != GapReason::NotAsked;
    if facts.evidence.has_no_nodes() {
        "none, since there are no nodes".to_owned()
    } else if facts.missing_nodes.iter().any(is_asked) || facts.missing_nodes.is_empty() {
        "not known, since no node was read".to_owned()
    } else {
        "not known, since nodes were not read, as requested".to_owned()
    }
}

/// The rules that report nodes whose traffic takes the public path.
const ON_PUBLIC_PATH: [&str; 2] = ["private-endpoint-disabled", "node-on-public-path"];

/// Which finding reports that nodes' traffic is public, and why that does not fail the run, for the
/// answer below a verdict that passes.
pub(super) fn why_it_passes(audited: &Audited) -> Option<String> {
    let Audited { facts, judgment } = audited;
    let is_public = |path| matches!(path, TrafficPath::Public | TrafficPath::Mixed);
    if judgment.verdict != Verdict::Pass || !facts.traffic.iter().any(|traffic| is_public(traffic.path)) {
        return None;
    }
    let of_path = |judged: &&JudgedFinding| ON_PUBLIC_PATH.contains(&judged.rule.id);
    let judged = judgment.findings.iter().find(of_path)?;
    let why = match judgment.threshold {
        _ if judged.waived_by().is_some() => "which is waived",
        _ if judged.is_known() => "which the baseline has",
        Some(_) => "below the threshold",
        None => "and no finding fails this run",
    };
    Some(format!("reported by {} ({}), {why}", judged.rule.id, judged.severity.as_str()))
}

/// Whether the path of a node is that of all its components: one on the public path decides
/// it, whatever is known of the others.
fn is_whole(traffic: &NodeTraffic) -> bool {
    !traffic.path.is_known() || traffic.components.iter().all(|one| one.path.is_known())
}

/// The path of a node of which that of some components is not known: of which components it is
/// the path, with what there is instead for the others.
fn partial_words(traffic: &NodeTraffic) -> String {
    let (known, unknown): (Vec<&ComponentTraffic>, Vec<_>) =
        traffic.components.iter().partition(|one| one.path.is_known());
    let known: Vec<_> = known.iter().map(|one| one.component.as_str()).collect();
    let unknown: Vec<_> =
        unknown.iter().map(|one| format!("{}: {}", one.component.as_str(), path_words(one.path))).collect();
    let path = path_words(traffic.path);
    format!("{path} for {} alone ({})", known.join(" and "), unknown.join(", "))
}

/// The only component whose path is not known on the nodes whose path is not known.
fn unknown_component(facts: &Facts) -> Option<Component> {
    let unknown = facts.traffic.iter().filter(|traffic| traffic.path == TrafficPath::Unknown);
    let components = unknown.flat_map(|traffic| &traffic.components);
    let mut unknown: Vec<_> =
        components.filter(|one| !one.path.is_known()).map(|one| one.component).collect();
    unknown.sort();
    unknown.dedup();
    let has_others = facts.traffic.iter().any(|traffic| traffic.components.len() > 1);
    match unknown.as_slice() {
        [only] if has_others => Some(*only),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_items_is_kept_where_others_are_between() {
        assert_eq!(distinct(["b", "a", "b", "b", "a", "c"].into_iter()), ["b", "a", "c"]);
    }
}
