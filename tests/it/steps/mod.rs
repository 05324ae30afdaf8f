//! The steps of findings: ordered, for the cluster as it is.

mod commands;
mod nodes;
mod order;

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::common::{Netcheck, fixtures, story, subdirs};

/// The steps of a rule's findings, as texts and commands.
fn steps(report: &Value, rule: &str) -> Vec<(String, Option<String>)> {
    let findings = report["findings"].as_array().unwrap();
    let finding = findings.iter().find(|finding| finding["rule"] == rule);
    let finding = finding.unwrap_or_else(|| panic!("{rule}: {findings:?}"));
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
    let steps = finding["steps"].as_array().unwrap().iter();
    steps.map(|step| (text(&step["text"]).unwrap(), text(&step["command"]))).collect()
}

/// The first words of each step.
fn outline(report: &Value, rule: &str) -> Vec<String> {
    let first = |(text, _): &(String, _)| text.split([',', ' ']).take(3).collect::<Vec<_>>().join(" ");
    steps(report, rule).iter().map(first).collect()
}

fn every_dir() -> Vec<PathBuf> {
    let stories = subdirs(&fixtures().join("evidence")).into_iter().map(|name| story(&name));
    let rules = subdirs(&fixtures().join("rules")).into_iter();
    let rules = rules.map(|rule| fixtures().join("rules").join(rule).join("fires"));
    let cases = subdirs(&fixtures().join("cases/reports")).into_iter();
    let cases = cases.map(|name| fixtures().join("cases/reports").join(name));
    stories.chain(rules).chain(cases).collect()
}

/// The findings of a report for people, each command and sentence on one line.
fn findings(dir: &Path) -> String {
    let ran = Netcheck::audit(dir).run();
    crate::common::joined(&ran.stdout).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// All commands of a report, wherever they stand.
pub(crate) fn commands_of(report: &Value, commands: &mut Vec<String>) {
    match report {
        Value::Array(all) => all.iter().for_each(|one| commands_of(one, commands)),
        Value::Object(all) => {
            commands.extend(all.get("command").and_then(Value::as_str).map(ToOwned::to_owned));
            all.values().for_each(|one| commands_of(one, commands));
        }
        _ => {}
    }
}
