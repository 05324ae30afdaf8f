//! `trace` and `diff` as text for people: the changes between the API server and nodes
//! with the unchanged connections, and the other changes.

mod head;
mod others;
mod rows;
mod words;

use std::collections::BTreeMap;
use std::io::{Result, Write};

use self::head::{headline, last_lines, write_command};
use self::others::write_others;
use self::rows::{write_connections, write_notes};
use super::write_framed;
use crate::model::audit::TraceJudgment;
use crate::model::judgment::Verdict;
use crate::model::trace::{Trace, TracedNode};
use crate::report::answer::reason;
use crate::report::format::TraceFormat;
use crate::report::names::Names;
use crate::report::style::{Style, count};
use crate::report::text::escape;

/// The format.
pub const FORMAT: TraceFormat = TraceFormat { name: "table", help: "For people", write };

fn write(trace: &Trace, judgment: Option<&TraceJudgment>, style: Style, out: &mut dyn Write) -> Result<()> {
    let names = Names::new(trace.nodes.iter().map(|node| &node.name));
    let headline = headline(trace, &names, style);
    let mut first = Vec::new();
    if let Some(judgment) = judgment {
        write_judgment(judgment, style, &mut first)?;
    }
    write_command(trace, style, &mut first)?;
    first.extend(headline.as_bytes());
    let mut rest = Vec::new();
    write_connections(trace, &names, style, &mut rest)?;
    write_notes(trace, &names, style, &mut rest)?;
    write_others(trace, &names, style, &mut rest)?;
    write_samples(trace, &names, style, &mut rest)?;
    write_gaps(trace, &names, style, &mut rest)?;
    let verdict = judgment.map(|TraceJudgment { judgment, .. }| {
        style.verdict_line(judgment.verdict, &escape(&reason(judgment)))
    });
    let last = verdict.unwrap_or_default() + &last_lines(trace, &names, style, &headline);
    write_framed(&first, &rest, last.as_bytes(), out)
}

/// Writes the number of samples of each node.
fn write_samples(trace: &Trace, names: &Names, style: Style, out: &mut dyn Write) -> Result<()> {
    if trace.began.is_none() {
        return Ok(());
    }
    let mut groups: BTreeMap<(u64, bool, Option<u64>), Vec<&TracedNode>> = BTreeMap::new();
    for node in &trace.nodes {
        groups.entry((node.missed, node.has_close_events, node.unseen_inbound)).or_default().push(node);
    }
    writeln!(out)?;
    for ((missed, has_close_events, unseen_inbound), nodes) in groups {
        let (least, most) = nodes
            .iter()
            .fold((u64::MAX, 0), |(least, most), node| (least.min(node.samples), most.max(node.samples)));
        let samples = if least == most { most.to_string() } else { format!("{least} to {most}") };
        let word = if most == 1 { "sample" } else { "samples" };
        let each = if nodes.len() == 1 { "" } else { " each" };
        let missed = if missed == 0 { String::new() } else { format!(", {missed} missed") };
        let gap = if has_close_events {
            ""
        } else {
            "; what appeared and disappeared between two samples was not seen"
        };
        let unseen = match unseen_inbound {
            Some(0) => "; no inbound connection was unseen, by the kernel's count".to_owned(),
            Some(number) => format!(
                "; at most {} on any port unseen{each}, by the kernel's count",
                count(usize::try_from(number).unwrap_or(usize::MAX), "inbound connection")
            ),
            None => "; how many connections were unseen is not known".to_owned(),
        };
        let nodes = match nodes.as_slice() {
            nodes if nodes.len() > 5 => count(nodes.len(), "node"),
            nodes => nodes.iter().map(|node| names.name(&node.name)).collect::<Vec<_>>().join(", "),
        };
        write!(
            out,
            "{}",
            style.prose(&format!("{nodes}: {samples} {word}{each}{missed}{gap}{unseen}."), "", "  ")
        )?;
    }
    Ok(())
}

fn write_judgment(judged: &TraceJudgment, style: Style, out: &mut dyn Write) -> Result<()> {
    let TraceJudgment { judgment, policy } = judged;
    write!(out, "{}", style.verdict_line(judgment.verdict, &escape(&reason(judgment))))?;
    for judged in &judgment.findings {
        let text = format!(
            "{} {}: {}: {}",
            judged.severity.as_str(),
            judged.rule.id,
            judged.finding.subject,
            judged.finding.message
        );
        write!(out, "{}", style.prose(&escape(&text), "  - ", "    "))?;
    }
    if judgment.verdict == Verdict::Inconclusive {
        for judged in judgment.gaps.iter().filter(|judged| judged.needed) {
            let text = format!("not seen: {}", judged.gap.problem());
            write!(out, "{}", style.prose(&escape(&text), "  - ", "    "))?;
        }
    }
    write!(out, "{}", style.prose(&escape(&format!("policy: {}", policy.name())), "  ", "  "))?;
    for note in &policy.notes {
        let text = format!("line {} of the policy: {}", note.line, note.text);
        write!(out, "{}", style.prose(&escape(&text), "  - ", "    "))?;
    }
    writeln!(out)
}

fn write_gaps(trace: &Trace, names: &Names, style: Style, out: &mut dyn Write) -> Result<()> {
    if trace.gaps.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", style.bold("Not seen"))?;
    for gap in &trace.gaps {
        write!(out, "{}", style.prose(&escape(&names.shorten(&gap.problem())), "  - ", "    "))?;
        if !gap.hint.is_empty() {
            write!(out, "{}", style.next_step(&escape(&gap.hint), "    ", "    "))?;
        }
    }
    Ok(())
}
