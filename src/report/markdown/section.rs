//! The section of a cluster: the verdict and the answer, findings, steps and what was not seen;
//! then the details, folded.

use std::fmt::Write as _;

use super::steps::{Item, code};
use super::text::{ROWS_MAX, harmless, list, word};
use crate::model::audit::Audited;
use crate::model::facts::Facts;
use crate::model::groups::{GapGroup, gap_groups, not_judged_groups};
use crate::model::judgment::Judgment;
use crate::model::rule::Step;
use crate::model::text::{self, capital};
use crate::report::answer::{compared, reason};
use crate::report::compliance::by_status;
use crate::report::entry::{accepted_by, exception};
use crate::report::names::Names;
use crate::report::probe::probes;
use crate::report::remediation::{fill, is_command};
use crate::report::seen_from::{self, HEADS};
use crate::report::via::read_by;
use crate::report::{alike, architecture, node_traffic};

/// The most rows for the findings of one rule; those that are alike are one row.
const OF_RULE_MAX: usize = 10;
/// The most kinds of nodes that are listed.
const NODE_GROUPS_MAX: usize = 20;
/// The largest size of the details of a cluster: parts that would exceed it are counted only.
const DETAILS_MAX: usize = 300 << 10;
/// The width of drawings.
const DRAWING_WIDTH: usize = 100;

/// The section of a cluster.
pub(super) fn section(audited: &Audited, explain_paths: bool) -> String {
    let Audited { facts, judgment } = audited;
    let cluster = &facts.evidence.cluster;
    let names = Names::of(facts);
    let region = cluster.region().map(|region| format!(" in {}", harmless(region))).unwrap_or_default();
    let mut text = format!(
        "\n### {} {}{region}\n\n**{}.**\n\n**{}.**\n\nEndpoint access: {}",
        word(judgment.verdict),
        harmless(&cluster.name),
        harmless(&capital(&names.shorten(&reason(judgment)))),
        harmless(&capital(&node_traffic::sentence(audited, |_, words| words.to_owned()))),
        cluster.access.as_str()
    );
    let cidrs: Vec<_> = cluster.public_cidrs().iter().map(ToString::to_string).collect();
    if !cidrs.is_empty() {
        let _ = write!(text, ", open to {}", text::list(&cidrs, ROWS_MAX));
    }
    text.push_str(".\n");
    if explain_paths {
        text.push_str(&drawing(facts));
    }
    text.push_str(&findings(audited, &names));
    text.push_str(&remediations(audited, &names));
    let groups = gap_groups(&judgment.gaps);
    let (needed, others): (Vec<_>, Vec<_>) = groups.iter().partition(|group| group.gaps[0].needed);
    let (accepted, others): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|group| group.gaps[0].accepted_by().is_some());
    text.push_str(&gaps("Not seen, and needed", needed, &names));
    text.push_str(&gaps("Not seen, and accepted by the policy", accepted, &names));
    text.push_str(&details(&[
        nodes(facts, &names),
        compliance(judgment),
        seen_from(facts, &names),
        probe_answers(facts),
        gaps("Not seen, and not needed for the verdict", others, &names),
        not_judged(judgment, &names),
        off(judgment),
    ]));
    text
}

/// The parts that are not empty, folded, up to their size.
fn details(parts: &[String]) -> String {
    let mut text = String::new();
    let mut left_out = 0;
    for part in parts {
        if text.len() + part.len() > DETAILS_MAX {
            left_out += 1;
        } else {
            text.push_str(part);
        }
    }
    if left_out > 0 {
        // Writing to a String does not fail, here and below.
        let _ = write!(text, "\nFurther details are left out to limit the size; the full report has them.\n");
    }
    if text.is_empty() {
        return text;
    }
    format!(
        "\n<details><summary>Details: nodes, controls, and what was not judged</summary>\n{text}\n</details>\n"
    )
}

/// The findings as a table, those that are alike in one row.
fn findings(audited: &Audited, names: &Names) -> String {
    let Audited { facts, judgment } = audited;
    if judgment.findings.is_empty() {
        let compared = compared(judgment);
        return if compared.is_empty() { String::new() } else { baseline(&compared) };
    }
    let mut rows = Vec::new();
    for same_rule in judgment.findings.chunk_by(alike::is_of_one_rule) {
        let groups = alike::findings(same_rule, facts);
        for group in groups.iter().take(OF_RULE_MAX) {
            let (first, text) = (group[0], alike::finding_text(group, facts, names));
            let exception = exception(first).map(|exception| format!(" ({exception})"));
            rows.push(format!(
                "| {} | [{}]({}) | {} |\n",
                first.severity.as_str(),
                first.rule.id,
                first.rule.reference,
                harmless(&(text + &exception.unwrap_or_default()))
            ));
        }
        let more: usize = groups.iter().skip(OF_RULE_MAX).map(Vec::len).sum();
        if more > 0 {
            let first = &groups[0][0];
            rows.push(format!(
                "| {} | {} | and {more} more; the full report lists them |\n",
                first.severity.as_str(),
                first.rule.id
            ));
        }
    }
    let mut text = "\n| severity | rule | finding |\n| --- | --- | --- |\n".to_owned();
    text.push_str(&list(rows.into_iter()));
    let compared = compared(judgment);
    if !compared.is_empty() {
        text.push_str(&baseline(&compared));
    }
    text
}

fn baseline(compared: &[String]) -> String {
    format!("\nBaseline: {}.\n", harmless(&compared.join("; ")))
}

/// Gaps, those with one cause together.
fn gaps(title: &str, groups: Vec<&GapGroup<'_>>, names: &Names) -> String {
    if groups.is_empty() {
        return String::new();
    }
    let rows = groups.into_iter().map(|group| {
        let first = group.gaps[0];
        let mut text = alike::gap_text(group, names);
        let hint = alike::gap_hint(&first.gap, group.gaps.len() > 1);
        if first.needed && !hint.is_empty() {
            let _ = write!(text, "; {hint}");
        }
        if let Some(accepted) = &first.accepted {
            let _ = write!(text, "; {}", accepted_by(accepted));
        }
        if !first.needed && first.accepted_by().is_none() && !first.rules.is_empty() {
            let rules: Vec<_> = first.rules.iter().map(|rule| rule.id).collect();
            let _ = write!(text, "; not judged: {}", rules.join(", "));
        }
        format!("- {}\n", harmless(&text))
    });
    format!("\n{title}:\n\n{}", list(rows))
}

/// The nodes, those that are alike together.
fn nodes(facts: &Facts, names: &Names) -> String {
    let Some(read_by) = read_by(facts) else { return String::new() };
    let groups = facts.node_groups();
    let plain = |words: &str| words.to_owned();
    let rows = groups.iter().take(NODE_GROUPS_MAX).map(|group| {
        let text = alike::node_text(group, names, |_, words| plain(words), |_, words| plain(words));
        format!("- {}\n", harmless(&text))
    });
    let mut text = format!("\nNodes: {read_by}.\n\n{}", list(rows));
    let more: usize = groups.iter().skip(NODE_GROUPS_MAX).map(|group| group.nodes.len()).sum();
    if more > 0 {
        let kinds = groups.len() - NODE_GROUPS_MAX;
        let _ = write!(text, "\nand {more} nodes of {kinds} other kinds; the full report lists them.\n");
    }
    text
}

/// What the probes of the endpoint answered at each place.
fn probe_answers(facts: &Facts) -> String {
    let mut text = String::new();
    for (vantage, answers) in probes(facts) {
        let _ = write!(text, "\nProbe of the endpoint from {}:\n\n", harmless(&vantage));
        let lines = answers.iter().map(|(address, words)| harmless(&format!("{address}: {words}")));
        text.push_str(&list(lines.map(|line| format!("- {line}\n"))));
    }
    text
}

/// Whether the cluster meets the controls.
fn compliance(judgment: &Judgment) -> String {
    let compliance: Vec<_> = by_status(judgment).collect();
    if compliance.is_empty() {
        return String::new();
    }
    format!("\nControls: {}.\n", harmless(&compliance.join("; ")))
}

/// The rules that were not judged, those for one cause together.
fn not_judged(judgment: &Judgment, names: &Names) -> String {
    if judgment.not_judged.is_empty() {
        return String::new();
    }
    let rows = not_judged_groups(&judgment.not_judged).into_iter().map(|group| {
        format!("- {}: {}\n", group.rules.join(", "), harmless(&alike::not_judged_text(&group, names)))
    });
    format!("\nNot judged, without effect on the verdict:\n\n{}", list(rows))
}

/// The rules that the policy switches off.
fn off(judgment: &Judgment) -> String {
    if judgment.off.is_empty() {
        return String::new();
    }
    let off: Vec<_> = judgment.off.iter().map(|rule| rule.id).collect();
    format!("\nSwitched off by the policy: {}.\n", off.join(", "))
}

/// What each place sees of the API server.
fn seen_from(facts: &Facts, names: &Names) -> String {
    let (rows, more) = seen_from::rows(facts, |name| names.short(name));
    if rows.is_empty() {
        return String::new();
    }
    let mut text = format!("\n| {} |\n|{}\n", HEADS.join(" | "), " --- |".repeat(HEADS.len()));
    text.push_str(&list(rows.iter().map(|row| {
        let cells = row.iter().map(|cell| harmless(cell)).collect::<Vec<_>>();
        format!("| {} |\n", cells.join(" | "))
    })));
    if more > 0 {
        let _ = write!(text, "\nand {more} more; the JSON report lists them.\n");
    }
    text
}

/// The paths of the cluster as a block of code.
fn drawing(facts: &Facts) -> String {
    let lines = architecture::lines(&facts.architecture, DRAWING_WIDTH, str::to_owned);
    // Backticks of a name would end a fence that has no more of them; such lines are indented.
    format!("\n````text\n{}\n````\n", lines.join("\n"))
}

/// What resolves the findings of each rule, folded but for the first, with commands as blocks of
/// code.
fn remediations(audited: &Audited, names: &Names) -> String {
    let Audited { facts, judgment } = audited;
    let counted = judgment.findings.iter().filter(|judged| judged.counts());
    let counted: Vec<_> = counted.collect();
    let rules = counted.chunk_by(|a, b| a.rule.id == b.rule.id).filter_map(|same_rule| same_rule.first());
    list(rules.enumerate().map(|(at, first)| {
        let open = if at == 0 { " open" } else { "" };
        let steps: String = if first.steps.is_empty() {
            prose(&fill(first.rule.remediation, facts))
        } else {
            (1..).zip(first.steps.iter()).map(|(number, step)| one_step(number, step, names)).collect()
        };
        format!("\n<details{open}><summary>Steps for {}</summary>\n\n{steps}\n</details>\n", first.rule.id)
    }))
}

/// A step with one name for each node in what is no command.
fn one_step(number: usize, step: &Step, names: &Names) -> String {
    let mut step = step.clone();
    step.text = names.shorten(&step.text).into_owned();
    if let Some(check) = &mut step.check {
        check.text = names.shorten(&check.text).into_owned();
    }
    let mut item = Item::new(number, &step);
    if let Some(check) = &step.check {
        item.check(check);
    }
    item.end()
}

/// The remediation of a rule, whose commands are indented.
fn prose(remediation: &str) -> String {
    let line = |line: &str| {
        if is_command(line) { code("", "sh", line.trim_start()) } else { format!("{}\n", harmless(line)) }
    };
    remediation.lines().map(line).collect()
}
