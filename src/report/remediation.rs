//! A rule's remediation: with the cluster's own names in it, and as text.

use std::collections::HashMap;
use std::io::{Result, Write};
use std::rc::Rc;

use super::names::Names;
use super::style::Style;
use super::text::escape;
use crate::model::facts::Facts;
use crate::model::judgment::JudgedFinding;
use crate::model::rule::{Check, Step};
use crate::model::shell::{shell_word, shell_words};

/// The remediation of a finding: the steps for this cluster, or the rule's own text.
#[must_use]
pub(super) fn of(judged: &JudgedFinding, facts: &Facts) -> String {
    if judged.steps.is_empty() { fill(judged.rule.remediation, facts) } else { numbered(&judged.steps, 1) }
}

/// The remediations of a cluster's findings as text. The findings of a rule share one, which is
/// rendered once.
pub(super) struct Remediations<'a> {
    facts: &'a Facts,
    by_rule: HashMap<&'static str, Rc<str>>,
}

impl<'a> Remediations<'a> {
    pub(super) fn new(facts: &'a Facts) -> Self {
        Self { facts, by_rule: HashMap::new() }
    }

    /// The remediation of a finding.
    pub(super) fn of(&mut self, judged: &JudgedFinding) -> Rc<str> {
        let text = self.by_rule.entry(judged.rule.id).or_insert_with(|| of(judged, self.facts).into());
        Rc::clone(text)
    }
}

/// Steps as text, numbered from `first`.
#[must_use]
pub(super) fn numbered(steps: &[Step], first: usize) -> String {
    let mut lines = Vec::new();
    for (number, Step { text, command, check, .. }) in (first..).zip(steps) {
        lines.push(format!("{number}. {text}{}", if command.is_some() { ":" } else { "." }));
        lines.extend(command.as_ref().map(|command| format!("{COMMAND}{command}")));
        if let Some(Check { text, command }) = check {
            lines.push(format!("   {text}{}", if command.is_some() { ":" } else { "." }));
            lines.extend(command.as_ref().map(|command| format!("{COMMAND}{command}")));
        }
    }
    // Names of processes are in it.
    lines.iter().map(|line| escape(line)).collect::<Vec<_>>().join("\n")
}

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
                filled.push_str(&of_tools(word, facts));
                filled.push_str(&piece[word.len()..]);
            }
            _ if word == KUBECTL && filled.ends_with(&format!("\n{COMMAND}")) => {
                filled.push_str(word);
                filled.push_str(&of_tools(word, facts));
                filled.push_str(&piece[word.len()..]);
            }
            _ => filled.push_str(piece),
        }
    }
    filled
}

/// The program whose options select a cluster.
const KUBECTL: &str = "kubectl";

/// What the run was told about the user's tools and belongs behind a word of a command: the profile
/// behind the region, and the options of kubectl.
fn of_tools(word: &str, facts: &Facts) -> String {
    let tools = &facts.evidence.tools;
    let options: Vec<_> = match word {
        "REGION" => tools.profile.iter().flat_map(|profile| ["--profile", profile]).collect(),
        KUBECTL => tools.kubectl.iter().flat_map(|kubectl| &kubectl.options).map(String::as_str).collect(),
        _ => Vec::new(),
    };
    shell_words(&options)
}

/// Whether the last line of a text is a command: only commands have placeholders.
fn is_in_command(text: &str) -> bool {
    is_command(text.rsplit('\n').next().unwrap_or_default())
}

/// The indentation of a command.
const COMMAND: &str = "    ";

/// Whether a line of a remediation is a command, which is indented by four blanks.
pub(super) fn is_command(line: &str) -> bool {
    line.starts_with(COMMAND)
}

/// Writes a remediation: prose wrapped, with `names` of nodes; commands on lines of their own,
/// which can be pasted.
pub(super) fn write_remediation(
    text: &str,
    indent: &str,
    names: Option<&Names>,
    style: Style,
    out: &mut dyn Write,
) -> Result<()> {
    for line in text.lines() {
        if let Some(command) = line.strip_prefix(COMMAND) {
            write!(out, "{}", style.command(command, &format!("{indent}{COMMAND}")))?;
        } else {
            let line = names.map_or_else(|| line.into(), |names| names.shorten(line));
            // The text of a step is aligned behind its number.
            let text = line.trim_start();
            let is_numbered = text.starts_with(|char: char| char.is_ascii_digit()) && text.contains(". ");
            let hanging = if is_numbered { text.find(' ').map_or(0, |at| at + 1) } else { 0 };
            let margin = format!("{indent}{}", " ".repeat(line.len() - text.len()));
            let rest = format!("{margin}{}", " ".repeat(hanging));
            write!(out, "{}", style.prose(text, &margin, &rest))?;
        }
    }
    Ok(())
}
