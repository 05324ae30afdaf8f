//! The findings, by rule, with the steps that resolve them.

use serde::Serialize;

use super::list::{self, List};
use crate::model::facts::Facts;
use crate::model::judgment::JudgedFinding;
use crate::model::rule::{Check, Step};
use crate::report::alike;
use crate::report::compliance::requirement;
use crate::report::entry::{exception, mark};
use crate::report::names::Names;
use crate::report::remediation::{fill, is_command};

/// The number of names that findings that are alike list.
const NAMES_MAX: usize = 2_000;

/// The findings of a rule that are waived, those that are known, or those that count.
#[derive(Debug, Serialize)]
pub(super) struct FindingsView {
    id: String,
    rule: &'static str,
    severity: &'static str,
    summary: &'static str,
    why: &'static str,
    reference: &'static str,
    /// Waived or known, where they do not count.
    mark: Option<&'static str>,
    controls: Vec<String>,
    findings: List<FindingView>,
    /// The rule whose steps come first, and which ones.
    same_as: Option<SameAs>,
    /// The number of the first step.
    first: usize,
    steps: Vec<StepView>,
    /// The rule's own remediation, if it has no steps for this cluster.
    prose: Vec<(bool, String)>,
}

/// Steps that another rule has too.
#[derive(Debug, Serialize)]
struct SameAs {
    id: String,
    rule: &'static str,
    which: String,
}

/// A finding.
#[derive(Debug, Serialize)]
struct FindingView {
    text: String,
    /// The nodes of findings that are alike, if the text does not have all of them.
    names: Option<String>,
    waiver: Option<String>,
}

/// A step.
#[derive(Debug, Clone, Serialize)]
pub(super) struct StepView {
    text: String,
    command: Option<String>,
    check: Option<(String, Option<String>)>,
}

impl From<&Step> for StepView {
    fn from(Step { text, command, check, .. }: &Step) -> Self {
        let sentence = |text: &str, command: &Option<String>| {
            format!("{text}{}", if command.is_some() { ":" } else { "." })
        };
        Self {
            text: sentence(text, command),
            command: command.clone(),
            check: check.as_ref().map(|Check { text, command }| (sentence(text, command), command.clone())),
        }
    }
}

impl StepView {
    /// The same with one name for each node in what is no command.
    fn shortened(self, names: &Names) -> Self {
        let short = |text: String| names.shorten(&text).into_owned();
        Self {
            text: short(self.text),
            command: self.command,
            check: self.check.map(|(text, command)| (short(text), command)),
        }
    }

    /// The next step of a gap; empty if it has none.
    pub(super) fn of_hint(hint: &str) -> Self {
        let none = || Self { text: String::new(), command: None, check: None };
        Step::of_hint(hint).map_or_else(none, |step| Self::from(&step))
    }
}

/// The findings of a cluster. `section` is the id of its section.
pub(super) fn all(
    findings: &[JudgedFinding],
    facts: &Facts,
    names: &Names,
    section: &str,
) -> Vec<FindingsView> {
    let is_alike = |a: &JudgedFinding, b: &JudgedFinding| a.rule.id == b.rule.id && a.counts_like(b);
    let mut shown: Vec<(&[Step], &'static str, String)> = Vec::new();
    let mut views = Vec::new();
    for group in findings.chunk_by(is_alike) {
        let Some(first) = group.first() else { continue };
        let rule = first.rule;
        let id = format!("{section}-f{}", views.len() + 1);
        let mark = mark(first);
        let steps: &[Step] = if mark.is_some() { &[] } else { &first.steps };
        let in_common = |other: &[Step]| steps.iter().zip(other).take_while(|(a, b)| a == b).count();
        // Of several, the first one has the text.
        let same = shown.iter().rev().map(|(other, rule, id)| (in_common(other), *rule, id));
        let same = same.max_by_key(|(number, ..)| *number);
        let same = same.filter(|(number, ..)| *number > 1 || *number == 1 && steps.len() == 1);
        let common = same.as_ref().map_or(0, |(number, ..)| *number);
        let same_as = same.map(|(number, rule, id)| SameAs {
            id: id.clone(),
            rule,
            which: match (number, number == steps.len()) {
                (1, _) => "Do step 1".to_owned(),
                (_, true) => format!("Do steps 1 to {number}"),
                (_, false) => format!("1 to {number}. Do steps 1 to {number}"),
            },
        });
        let prose =
            if mark.is_some() || !steps.is_empty() { Vec::new() } else { prose(rule.remediation, facts) };
        shown.push((steps, rule.id, id.clone()));
        views.push(FindingsView {
            id,
            rule: rule.id,
            severity: first.severity.as_str(),
            summary: rule.summary,
            why: rule.why,
            reference: rule.reference,
            mark,
            controls: rule.controls.iter().map(requirement).collect(),
            findings: list::of(&alike::findings(group, facts), list::MAX, |alike| FindingView {
                text: alike::finding_text(alike, facts, names),
                names: (alike.len() > alike::NAMED).then(|| {
                    let names = alike.iter().map(|judged| names.short(&judged.finding.subject));
                    list::names(names, NAMES_MAX)
                }),
                waiver: alike.first().and_then(|judged| exception(judged)),
            }),
            same_as,
            first: common + 1,
            steps: steps[common..].iter().map(|step| StepView::from(step).shortened(names)).collect(),
            prose,
        });
    }
    views
}

/// A remediation line by line, each with whether it is a command.
fn prose(remediation: &str, facts: &Facts) -> Vec<(bool, String)> {
    let filled = fill(remediation, facts);
    filled.lines().map(|line| (is_command(line), line.trim_start().to_owned())).collect()
}
