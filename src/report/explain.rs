//! Rules, in words.

use std::io::{Result, Write};

use super::table::{Look, prose};
use crate::model::rule::Rule;

/// Lists rules, a line each.
///
/// # Errors
/// If `out` cannot be written to.
pub fn write_list(rules: &[&Rule], look: Look, out: &mut impl Write) -> Result<()> {
    let width = rules.iter().map(|rule| rule.id.len()).max().unwrap_or_default();
    for rule in rules {
        let head = format!("{:width$}  {:8}  ", rule.id, rule.severity.as_str());
        let indent = " ".repeat(head.len());
        write!(out, "{}", prose(rule.summary, &head, &indent, look))?;
    }
    Ok(())
}

/// Writes all that is known of one rule.
///
/// # Errors
/// If `out` cannot be written to.
pub fn write_rule(rule: &Rule, look: Look, out: &mut impl Write) -> Result<()> {
    writeln!(out, "{} ({})\n", look.bold(rule.id), rule.severity.as_str())?;
    write!(out, "{}", prose(&format!("{}.", rule.summary), "", "", look))?;
    writeln!(out, "\n{}", look.bold("Why"))?;
    write!(out, "{}", prose(rule.why, "", "", look))?;
    writeln!(out, "\n{}", look.bold("How to mend it"))?;
    write_remediation(rule.remediation, "", look, out)?;
    writeln!(out, "\n{}\n{}", look.bold("Source"), rule.reference)
}

/// Prose wrapped, commands left in one piece to be pasted.
pub(super) fn write_remediation(text: &str, indent: &str, look: Look, out: &mut impl Write) -> Result<()> {
    for line in text.lines() {
        if line.starts_with("    ") {
            writeln!(out, "{indent}{line}")?;
        } else {
            write!(out, "{}", prose(line, indent, indent, look))?;
        }
    }
    Ok(())
}
