//! A rule's remediation: with the cluster's own names in it, and as text.

use std::io::{Result, Write};

use super::style::Style;
use crate::model::facts::Facts;
use crate::model::shell::shell_word;

/// Replaces placeholders in commands by the cluster's own names. A placeholder remains
/// where the name is unknown or would need quotes.
#[must_use]
pub(super) fn fill(remediation: &str, facts: &Facts) -> String {
    let cluster = &facts.evidence.cluster;
    let names = [
        ("CLUSTER", Some(cluster.name.as_str())),
        ("REGION", cluster.region()),
        ("VPC", cluster.vpc.as_deref()),
        ("ENDPOINT", cluster.endpoint.as_ref().map(|endpoint| endpoint.host.as_str())),
        ("SECURITY_GROUP", cluster.security_group.as_deref()),
    ];
    let is_word = |char: char| char.is_ascii_alphanumeric() || char == '_';
    let mut filled = String::with_capacity(remediation.len() + 64);
    // Whole words only: `VPC` is not a part of `VPCs`.
    for piece in remediation.split_inclusive(|char| !is_word(char)) {
        let word = piece.trim_end_matches(|char| !is_word(char));
        match names.iter().find(|(placeholder, _)| *placeholder == word) {
            Some((_, Some(name))) if is_in_command(&filled) => {
                filled.push_str(shell_word(name, word));
                filled.push_str(&piece[word.len()..]);
            }
            _ => filled.push_str(piece),
        }
    }
    filled
}

/// Whether the last line of a text is a command: only commands have placeholders.
fn is_in_command(text: &str) -> bool {
    is_command(text.rsplit('\n').next().unwrap_or_default())
}

/// Whether a line of a remediation is a command, which is indented by four blanks.
pub(super) fn is_command(line: &str) -> bool {
    line.starts_with("    ")
}

/// Writes a remediation: prose wrapped, commands unbroken so that they can be pasted.
pub(super) fn write_remediation(text: &str, indent: &str, style: Style, out: &mut dyn Write) -> Result<()> {
    for line in text.lines() {
        if is_command(line) {
            writeln!(out, "{indent}{line}")?;
        } else {
            write!(out, "{}", style.prose(line, indent, indent))?;
        }
    }
    Ok(())
}
