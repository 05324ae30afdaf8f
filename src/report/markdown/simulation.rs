//! `simulate` as Markdown, for a change request: the verdict, the clients, and the steps with
//! the way back.

use std::fmt::Write as _;
use std::io::{Result, Write};

use super::steps::{Item, code, punctuated};
use super::{harmless, list};
use crate::model::rule::Step;
use crate::model::simulation::{ChangeStep, Simulation, SimulationVerdict};
use crate::model::text::{capital, uncapital};
use crate::report::change::{Needed, access, gaps, groups, names, needs, sentence};
use crate::report::format::SimulationFormat;
use crate::report::style::Style;

/// The format.
pub const FORMAT: SimulationFormat =
    SimulationFormat { name: "markdown", help: "Markdown, for a change request", write };

fn write(simulation: &Simulation, _: Style, out: &mut dyn Write) -> Result<()> {
    let word = match simulation.verdict {
        SimulationVerdict::Safe => "✅ safe",
        SimulationVerdict::Breaks => "❌ breaks",
        SimulationVerdict::Unknown => "⚠️ unknown",
    };
    let mut text = format!(
        "## {word}: endpoint access of {}\n\n{}.\n\n| | access |\n| --- | --- |\n| today | {} |\n| afterwards | {} |\n",
        harmless(&simulation.cluster),
        harmless(&capital(&sentence(simulation))),
        harmless(&access(&simulation.from)),
        harmless(&access(&simulation.to))
    );
    for warning in &simulation.warnings {
        // Writing to a String does not fail, here and below.
        let _ = write!(text, "\n⚠️ Warning: {}.\n", harmless(warning));
    }
    text.push_str(
        "\n### Clients\n\n| client | today | afterwards | reaches it | effect | why |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    let groups = groups(simulation, &names(simulation));
    text.push_str(&list(groups.iter().map(|group| {
        let client = group.first;
        format!(
            "| {} | {} | {} | {} | {} | {} |\n",
            harmless(&group.label),
            client.today.as_str(),
            client.after.as_str(),
            client.reaches.as_str(),
            client.effect.as_str(),
            harmless(&client.why)
        )
    })));
    let needs = needs(simulation, &groups);
    if !needs.is_empty() {
        text.push_str("\n### Needed to reach it afterwards\n\n");
    }
    text.push_str(&list(needs.iter().map(|Needed { text, command, labels }| {
        let labels: Vec<_> = labels.iter().map(|label| harmless(label)).collect();
        let text = format!("- {}: {}\n", labels.join(", "), harmless(text));
        let code = |command: &str| format!("\n{}", code("  ", "sh", command));
        text + &command.map(code).unwrap_or_default()
    })));
    if !simulation.steps.is_empty() {
        text.push_str("\n### Steps, in this order\n\n");
        text.push_str(&list((1..).zip(&simulation.steps).map(|(number, step)| one_step(number, step))));
    }
    for (title, rows) in [("Not seen, and needed", gaps(simulation)), ("Notes", simulation.notes.clone())] {
        let rows: Vec<String> = rows;
        if !rows.is_empty() {
            let _ = write!(text, "\n### {title}\n\n");
            text.push_str(&list(rows.iter().map(|row| format!("- {}\n", harmless(row)))));
        }
    }
    out.write_all(text.as_bytes())
}

fn one_step(number: usize, ChangeStep { step, eksctl, terraform, back }: &ChangeStep) -> String {
    let mut item = Item::new(number, step);
    if let Some(command) = eksctl {
        item.paragraph("With eksctl:");
        item.code("sh", command);
    }
    if let Some(terraform) = terraform {
        item.paragraph("In Terraform, `vpc_config` of `aws_eks_cluster`:");
        item.code("hcl", terraform);
    }
    if let Some(check) = &step.check {
        item.check(check);
    }
    if let Some(Step { text, command, .. }) = back {
        item.paragraph(&format!("To go back: {}", punctuated(&uncapital(text), command.is_some())));
        if let Some(command) = command {
            item.code("sh", command);
        }
    }
    item.end()
}
