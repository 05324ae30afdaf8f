//! `simulate` as text for people: the verdict, the clients, the steps, and what was not seen.

use std::collections::HashMap;
use std::io::{Result, Write};

use super::write_framed;
use crate::model::rule::Check;
use crate::model::simulation::{ChangeStep, Simulation};
use crate::model::text::{list, split_command, uncapital};
use crate::report::change::{Group, Needed, access, gaps, groups, names, needs, sentence};
use crate::report::format::SimulationFormat;
use crate::report::names::Names;
use crate::report::style::{Style, Tone};
use crate::report::text::{cell, escape};

/// The format.
pub const FORMAT: SimulationFormat = SimulationFormat { name: "table", help: "For people", write };

/// How many groups of clients are listed.
const GROUPS_MAX: usize = 200;
/// How many groups of clients a reason names.
const LABELS_MAX: usize = 6;
/// How many gaps are listed.
const GAPS_MAX: usize = 50;

fn write(simulation: &Simulation, style: Style, out: &mut dyn Write) -> Result<()> {
    let names = names(simulation);
    let head = format!("{}: {}", escape(&simulation.cluster), sentence(simulation));
    let mut head = style.outcome_line(simulation.verdict, &head);
    let indent = " ".repeat(simulation.verdict.as_str().len() + 2);
    for warning in &simulation.warnings {
        let text = format!("{}: {}", style.tone(Tone::Doubtful, "warning"), escape(warning));
        head.push_str(&style.prose(&text, &indent, &indent));
    }
    let mut rest = Vec::new();
    write_rest(simulation, &names, style, &mut rest)?;
    write_framed(head.as_bytes(), &rest, head.as_bytes(), out)
}

/// Writes what follows the verdict.
fn write_rest(simulation: &Simulation, names: &Names, style: Style, out: &mut dyn Write) -> Result<()> {
    let (from, to) = (access(&simulation.from), access(&simulation.to));
    write!(out, "{}", style.prose(&from, "Today:       ", "             "))?;
    write!(out, "{}", style.prose(&to, "Afterwards:  ", "             "))?;
    write_clients(simulation, names, style, out)?;
    write_steps(simulation, names, style, out)?;
    write_list("Not seen, and needed", shortened(gaps(simulation), names).into_iter(), style, out)?;
    write_list("Notes", shortened(simulation.notes.clone(), names).into_iter(), style, out)
}

fn write_clients(simulation: &Simulation, names: &Names, style: Style, out: &mut dyn Write) -> Result<()> {
    let groups = groups(simulation, names);
    let mut table = style.table(["Client", "Today", "After", "Reaches", "Effect"]);
    for group in groups.iter().take(GROUPS_MAX) {
        let client = group.first;
        table.add_row([
            cell(&group.label),
            client.today.as_str().to_owned(),
            client.after.as_str().to_owned(),
            client.reaches.as_str().to_owned(),
            style.tone(Tone::of_effect(client.effect), client.effect.as_str()),
        ]);
    }
    writeln!(out)?;
    style.write_table(&table, out)?;
    if groups.len() > GROUPS_MAX {
        writeln!(out, "and {} more groups of clients; --format json lists them", groups.len() - GROUPS_MAX)?;
    }
    writeln!(out)?;
    for (why, labels) in reasons(&groups[..groups.len().min(GROUPS_MAX)]) {
        let text = format!("{}: {why}", list(&labels, LABELS_MAX));
        write!(out, "{}", style.prose(&escape(&names.shorten(&text)), "- ", "  "))?;
    }
    let needs = needs(simulation, &groups);
    if !needs.is_empty() {
        writeln!(out, "\n{}", style.bold("Needed to reach it afterwards"))?;
    }
    for Needed { text, command, labels } in needs {
        let colon = if command.is_some() { ":" } else { "." };
        let text = format!("{}: {text}{colon}", list(&labels, LABELS_MAX));
        write!(out, "{}", style.prose(&escape(&names.shorten(&text)), "- ", "  "))?;
        if let Some(command) = command {
            write!(out, "{}", style.command(&escape(command), "      "))?;
        }
    }
    Ok(())
}

/// Rows in which each node has one name, apart from the command at their end.
fn shortened(rows: Vec<String>, names: &Names) -> Vec<String> {
    let shorten = |row: String| match split_command(&row) {
        (text, Some(command)) => format!("{}: {command}", names.shorten(text)),
        (text, None) => names.shorten(text).into_owned(),
    };
    rows.into_iter().map(shorten).collect()
}

/// The reasons, each with the groups of clients that it is for.
fn reasons<'a>(groups: &'a [Group<'_>]) -> Vec<(&'a str, Vec<&'a str>)> {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut places = HashMap::new();
    for group in groups {
        let (why, label) = (group.first.why.as_str(), group.label.as_str());
        let place = *places.entry(why).or_insert(reasons.len());
        match reasons.get_mut(place) {
            Some((_, labels)) => labels.push(label),
            None => reasons.push((why, vec![label])),
        }
    }
    reasons
}

fn write_steps(simulation: &Simulation, names: &Names, style: Style, out: &mut dyn Write) -> Result<()> {
    if simulation.steps.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", style.bold("Steps, in this order"))?;
    for (number, ChangeStep { step, eksctl, terraform, back }) in (1..).zip(&simulation.steps) {
        let first = format!("{number}. ");
        let rest = " ".repeat(first.len());
        let line = |command: &str| style.command(&escape(command), &format!("{rest}    "));
        let colon = if step.command.is_some() { ":" } else { "." };
        write!(
            out,
            "{}",
            style.prose(&escape(&names.shorten(&format!("{}{colon}", step.text))), &first, &rest)
        )?;
        if let Some(command) = &step.command {
            write!(out, "{}", line(command))?;
        }
        if let Some(command) = eksctl {
            write!(out, "{rest}With eksctl:\n{}", line(command))?;
        }
        if let Some(arguments) = terraform {
            // No command of a shell.
            let arguments = escape(arguments);
            writeln!(out, "{rest}In Terraform, vpc_config of aws_eks_cluster:\n{rest}    {arguments}")?;
        }
        if let Some(Check { text, command }) = &step.check {
            let colon = if command.is_some() { ":" } else { "." };
            write!(out, "{}", style.prose(&escape(&names.shorten(&format!("{text}{colon}"))), &rest, &rest))?;
            if let Some(command) = command {
                write!(out, "{}", line(command))?;
            }
        }
        if let Some(back) = back {
            let text = format!("To go back: {}:", uncapital(&back.text));
            write!(out, "{}", style.prose(&escape(&text), &rest, &rest))?;
            if let Some(command) = &back.command {
                write!(out, "{}", line(command))?;
            }
        }
    }
    Ok(())
}

fn write_list(
    title: &str,
    rows: impl ExactSizeIterator<Item = String>,
    style: Style,
    out: &mut dyn Write,
) -> Result<()> {
    let all = rows.len();
    if all == 0 {
        return Ok(());
    }
    writeln!(out, "\n{}", style.bold(title))?;
    for row in rows.take(GAPS_MAX) {
        write!(out, "{}", style.next_step(&escape(&row), "- ", "  "))?;
    }
    if all > GAPS_MAX {
        writeln!(out, "and {} more; --format json lists them", all - GAPS_MAX)?;
    }
    Ok(())
}
