//! The text of `explain`: the list of rules, and the description of one.

use std::io::{Result, Write};

use super::format::ExplainFormat;
use super::remediation::write_remediation;
use super::style::Style;
use crate::model::compliance::Control;
use crate::model::rule::{Rule, WithoutEvidence};

/// The format.
pub const FORMAT: ExplainFormat = ExplainFormat {
    name: "text",
    help: "For people",
    write: |rules, is_one, style, out| match rules {
        [rule] if is_one => write_rule(rule, style, out),
        rules => write_list(rules, style, out),
    },
};

/// Writes a list of rules, a line each.
fn write_list(rules: &[&Rule], style: Style, out: &mut dyn Write) -> Result<()> {
    let width = rules.iter().map(|rule| rule.id.len()).max().unwrap_or_default();
    for rule in rules {
        let head = format!("{:width$}  {:8}  ", rule.id, rule.severity.as_str());
        let indent = " ".repeat(head.len());
        write!(out, "{}", style.prose(rule.summary, &head, &indent))?;
    }
    Ok(())
}

/// Writes the description of one rule.
fn write_rule(rule: &Rule, style: Style, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "{} ({})\n", style.bold(rule.id), rule.severity.as_str())?;
    write!(out, "{}", style.prose(&format!("{}.", rule.summary), "", ""))?;
    writeln!(out, "\n{}", style.bold("Why"))?;
    write!(out, "{}", style.prose(rule.why, "", ""))?;
    writeln!(out, "\n{}", style.bold("How to fix it"))?;
    write_remediation(rule.remediation, "", None, style, out)?;
    writeln!(out, "\n{}", style.bold("Evidence"))?;
    write!(out, "{}", style.prose(&evidence(rule), "", ""))?;
    if !rule.controls.is_empty() {
        writeln!(out, "\n{}", style.bold("Compliance"))?;
        write_controls(rule, style, out)?;
    }
    writeln!(out, "\n{}\n{}", style.bold("Source"), rule.reference)
}

/// Writes the controls that a rule belongs to, a line for each standard and mapping.
fn write_controls(rule: &Rule, style: Style, out: &mut dyn Write) -> Result<()> {
    let is_same = |a: &Control, b: &Control| (a.standard, a.mapping) == (b.standard, b.mapping);
    for controls in rule.controls.chunk_by(is_same) {
        let Control { standard, mapping, title, .. } = controls[0];
        let ids: Vec<_> = controls.iter().map(|control| control.id).collect();
        // The title of one control is worth a line; of many, their ids are.
        let title = if ids.len() == 1 { format!(": {title}") } else { String::new() };
        let note = match mapping.note() {
            "" => String::new(),
            note => format!(" ({note})"),
        };
        let text = format!("{} {}{title}{note}", standard.name(), ids.join(", "));
        write!(out, "{}", style.prose(&text, "", "  "))?;
    }
    Ok(())
}

/// The evidence that a rule needs, as a sentence.
fn evidence(rule: &Rule) -> String {
    let needs: Vec<_> = rule.needs.iter().map(|need| need.as_str()).collect();
    let needs = if needs.is_empty() {
        "cluster.json alone".to_owned()
    } else {
        format!("cluster.json, {}", needs.join(", "))
    };
    let without = match rule.without_evidence {
        WithoutEvidence::Inconclusive if rule.needs.is_empty() => {
            "If it lacks a setting that the rule reads, the rule is inconclusive; but for public-endpoint-open, public-endpoint-enabled and cidr-not-allowed, public access that is not recorded is on and open to 0.0.0.0/0"
        }
        WithoutEvidence::Inconclusive => "Without one of them the rule may be inconclusive",
        WithoutEvidence::NotJudged if rule.needs.is_empty() => {
            "If it lacks the settings that the rule reads, the rule is listed as not judged; it makes a run inconclusive only if --rule names it"
        }
        WithoutEvidence::NotJudged => {
            "Without one of them the rule may be listed as not judged; it makes a run inconclusive only if --rule names it"
        }
    };
    format!("{needs}. {without}.")
}
