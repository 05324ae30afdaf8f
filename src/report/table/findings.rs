//! The findings with their steps.

use std::io::{Result, Write};

use crate::model::facts::Facts;
use crate::model::judgment::JudgedFinding;
use crate::model::rule::Step;
use crate::report::alike;
use crate::report::entry::{exception, mark};
use crate::report::names::Names;
use crate::report::remediation::{self, is_command, write_remediation};
use crate::report::style::Style;
use crate::report::text::escape;

/// How many findings of one rule the short form shows; those that are alike are one.
const SHOWN: usize = 10;

/// Writes the findings, those of a rule together; in the short form, those that differ in their
/// subject only are one.
pub(super) fn write_findings(
    facts: &Facts,
    findings: &[JudgedFinding],
    names: &Names,
    is_short: bool,
    style: Style,
    out: &mut dyn Write,
) -> Result<()> {
    if findings.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", style.bold("Findings"))?;
    let mut printed: Vec<(&[Step], &str)> = Vec::new();
    for (at, same_rule) in findings.chunk_by(alike::is_of_one_rule).enumerate() {
        let Some(first) = same_rule.first() else { continue };
        if at > 0 {
            writeln!(out)?;
        }
        let mark = mark(first).map(|mark| format!("  {mark}")).unwrap_or_default();
        writeln!(out, "{}  {}{mark}", style.severity(first.severity), style.bold(first.rule.id))?;
        let groups = if is_short {
            alike::findings(same_rule, facts)
        } else {
            same_rule.iter().map(|judged| vec![judged]).collect()
        };
        let shown = if is_short { SHOWN } else { usize::MAX };
        for group in groups.iter().take(shown) {
            let text = alike::finding_text(group, facts, names);
            write!(out, "{}", style.prose(&escape(&text), "  - ", "    "))?;
            if let Some(exception) = exception(group[0]) {
                write!(out, "{}", style.prose(&escape(&exception), "    ", "    "))?;
            }
        }
        if groups.len() > shown {
            let more: usize = groups[shown..].iter().map(Vec::len).sum();
            writeln!(out, "  - and {more} more; --all lists them")?;
        }
        if !first.counts() {
            continue;
        }
        if first.steps.is_empty() {
            let text = remediation::of(first, facts);
            write_remediation(&next_step(&text), "  ", Some(names), style, out)?;
        } else {
            write_steps(&first.steps, &printed, names, style, out)?;
            printed.push((&first.steps, first.rule.id));
        }
        writeln!(out, "  More: eks-netcheck explain {}", first.rule.id)?;
    }
    Ok(())
}

/// Writes the steps of a rule. Those that begin the steps of another rule, which are in
/// `printed` with its name, are referred to.
fn write_steps(
    steps: &[Step],
    printed: &[(&[Step], &str)],
    names: &Names,
    style: Style,
    out: &mut dyn Write,
) -> Result<()> {
    let in_common = |other: &[Step]| steps.iter().zip(other).take_while(|(a, b)| a == b).count();
    // Of several, the first one has the text.
    let in_common = printed.iter().rev().map(|(other, rule)| (in_common(other), rule));
    let best = in_common.max_by_key(|(common, _)| *common);
    let (common, rule) = best.filter(|(common, _)| *common > 1 || *common == steps.len()).unwrap_or((0, &""));
    if common > 0 {
        let which = if common == 1 { "Step 1".to_owned() } else { format!("Steps 1 to {common}") };
        let end = if common == steps.len() { "." } else { ", then:" };
        write!(out, "{}", style.prose(&format!("{which} of {rule} above{end}"), "  ", "  "))?;
    }
    write_remediation(&remediation::numbered(&steps[common..], common + 1), "  ", Some(names), style, out)
}

/// A remediation up to its first command.
fn next_step(remediation: &str) -> String {
    let mut step = String::new();
    for line in remediation.lines() {
        step.push_str(line);
        step.push('\n');
        if is_command(line) {
            break;
        }
    }
    step
}
