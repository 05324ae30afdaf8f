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

/// Writes the steps of a rule. Runs of them that are steps of another rule too, which are in
/// `printed` with its name, are referred to.
fn write_steps(
    steps: &[Step],
    printed: &[(&[Step], &str)],
    names: &Names,
    style: Style,
    out: &mut dyn Write,
) -> Result<()> {
    let mut at = 0;
    while at < steps.len() {
        if let Some(Run { length, first, rule }) = longest_run(&steps[at..], printed)
            && (length > 1 || length == steps.len())
        {
            let theirs = numbers(first, length);
            let noun = if length == 1 { "step" } else { "steps" };
            let text = format!("Do {noun} {theirs} of {rule} above.");
            // The numbers that they have here, which those of the other steps continue.
            let own = if length == steps.len() { String::new() } else { numbers(at, length) + ". " };
            let rest = " ".repeat(2 + own.len());
            write!(out, "{}", style.prose(&text, &format!("  {own}"), &rest))?;
            at += length;
        } else {
            let one = remediation::numbered(&steps[at..=at], at + 1);
            write_remediation(&one, "  ", Some(names), style, out)?;
            at += 1;
        }
    }
    Ok(())
}

/// The numbers of successive steps, of which the first has this index.
fn numbers(first: usize, length: usize) -> String {
    match length {
        1 => format!("{}", first + 1),
        _ => format!("{} to {}", first + 1, first + length),
    }
}

/// Steps that are those of another rule.
struct Run<'a> {
    length: usize,
    /// The index of the first of them among the steps of that rule.
    first: usize,
    rule: &'a str,
}

/// The longest run of steps of another rule with which some steps begin. Of several, the first one
/// has the text.
fn longest_run<'a>(steps: &[Step], printed: &[(&[Step], &'a str)]) -> Option<Run<'a>> {
    let in_common = |other: &[Step]| steps.iter().zip(other).take_while(|(a, b)| a == b).count();
    let runs = printed.iter().rev().flat_map(|&(other, rule)| {
        (0..other.len()).map(move |first| Run { length: in_common(&other[first..]), first, rule })
    });
    runs.filter(|run| run.length > 0).max_by_key(|run| run.length)
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
