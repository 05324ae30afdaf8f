//! `reach` as text for people: the answer, the conditions with their reasons, and what to do.

use std::io::{Result, Write};

use super::write_framed;
use crate::model::reachability::{Condition, ConditionResult, EndpointSide, ReachReport, Reaches};
use crate::model::rule::Step;
use crate::model::seen_from::HERE;
use crate::report::format::ReachFormat;
use crate::report::remediation::{numbered, write_remediation};
use crate::report::style::{Style, Tone};
use crate::report::text::escape;

/// The format.
pub const FORMAT: ReachFormat = ReachFormat { name: "table", help: "For people", write };

fn write(report: &ReachReport, style: Style, out: &mut dyn Write) -> Result<()> {
    let word = style.reaches(report.reaches);
    let line = |text: &str| style.head_line(&word, report.reaches.as_str(), &escape(text));
    // The last line leaves out the reason, which the table has too.
    let [first, last] = [true, false].map(|has_reason| line(&answer(report, has_reason)));
    let mut rest = Vec::new();
    write_rest(report, style, &mut rest)?;
    write_framed(first.as_bytes(), &rest, last.as_bytes(), out)
}

/// Writes what follows the answer.
fn write_rest(report: &ReachReport, style: Style, out: &mut dyn Write) -> Result<()> {
    let mut table = style.table(["Condition", "Result", "Why"]);
    let conditions = &report.reachability.conditions;
    for (at, condition) in conditions.iter().enumerate() {
        // What one connection shows of several conditions, or one gap leaves open, is written once.
        let is_known = conditions[..at]
            .iter()
            .any(|known| known.why == condition.why && known.result == condition.result);
        let why = if is_known { "for the same reason".into() } else { escape(&condition.why) };
        table.add_row([
            condition.kind.as_str().to_owned(),
            style.tone(tone(condition.result), word(condition.result)),
            why.into_owned(),
        ]);
    }
    writeln!(out)?;
    style.write_table(&table, out)?;
    write_fix(report, style, out)?;
    write_gaps(report, style, out)
}

/// The answer in a sentence, with or without the reason.
fn answer(report: &ReachReport, has_reason: bool) -> String {
    let because = |why: &str| if has_reason { format!(": {why}") } else { String::new() };
    let ReachReport { cluster, place, reachability, .. } = report;
    let from = if place.name == HERE { "this machine" } else { place.name.as_str() };
    let side = match reachability.side {
        Some(EndpointSide::Public) => "the public endpoint",
        Some(EndpointSide::Private | EndpointSide::ClusterIp) => "the private endpoint",
        None => "the endpoint",
    };
    match (report.reaches, reachability.obstacle()) {
        (Reaches::Yes, _) => {
            let restriction = reachability.restriction();
            let but =
                restriction.map(|one| format!(", but some connections hang: see {}", one.kind.as_str()));
            format!("{from} reaches {side} of {cluster}{}", but.unwrap_or_default())
        }
        (Reaches::No, Some(obstacle)) if obstacle.is_connected => {
            format!(
                "new connections from {from} to {side} of {cluster} are refused; it is connected now by earlier \
                ones: see {}",
                obstacle.kind.as_str()
            )
        }
        (Reaches::No, Some(obstacle)) => {
            format!("{from} does not reach {side} of {cluster}{}", because(&obstacle.why))
        }
        (Reaches::No, None) => format!("{from} does not reach {side} of {cluster}"),
        (Reaches::Unknown, _) => {
            let unknown = |one: &&Condition| one.result == ConditionResult::Unknown;
            let first = reachability.conditions.iter().find(unknown);
            let why = first.map(|one| because(&one.why)).unwrap_or_default();
            format!("it is not known whether {from} reaches {side} of {cluster}{why}")
        }
    }
}

fn tone(result: ConditionResult) -> Tone {
    match result {
        ConditionResult::Met => Tone::Good,
        ConditionResult::NotMet => Tone::Bad,
        ConditionResult::Unknown => Tone::Doubtful,
        ConditionResult::NotApplicable => Tone::Neutral,
    }
}

fn word(result: ConditionResult) -> &'static str {
    match result {
        ConditionResult::Met => "met",
        ConditionResult::NotMet => "NOT met",
        ConditionResult::Unknown => "unknown",
        ConditionResult::NotApplicable => "-",
    }
}

/// Writes the steps that make the first condition met that is not, or is met in part.
fn write_fix(report: &ReachReport, style: Style, out: &mut dyn Write) -> Result<()> {
    let fix: &[Step] = {
        let reachability = &report.reachability;
        let first = reachability.obstacle().or_else(|| reachability.restriction());
        first.map_or(&[], |one| one.fix.as_slice())
    };
    if fix.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", style.bold("What to do"))?;
    write_remediation(&numbered(fix, 1), "  ", None, style, out)
}

fn write_gaps(report: &ReachReport, style: Style, out: &mut dyn Write) -> Result<()> {
    if report.gaps.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", style.bold("Not seen"))?;
    for gap in &report.gaps {
        // The table has the reason already.
        let is_said = |one: &&Condition| {
            one.gap.as_ref() == Some(gap) && (one.why == gap.detail || one.why == gap.problem())
        };
        let condition = report.reachability.conditions.iter().find(is_said);
        if let Some(condition) = condition.filter(|_| !gap.hint.is_empty()) {
            let first = format!("  - {}: ", condition.kind.as_str());
            write!(out, "{}", style.next_step(&escape(&gap.hint), &first, "    "))?;
            continue;
        }
        write!(out, "{}", style.prose(&escape(&gap.problem()), "  - ", "    "))?;
        if !gap.hint.is_empty() {
            write!(out, "{}", style.next_step(&escape(&gap.hint), "    ", "    "))?;
        }
    }
    Ok(())
}
