//! SARIF 2.1.0, as GitHub's code scanning takes it.
//!
//! <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>
//! <https://docs.github.com/en/code-security/code-scanning/integrating-with-code-scanning/sarif-support-for-code-scanning>

use std::fmt::Write as _;
use std::io::{Result, Write};

use serde_json::{Value, json};

use super::entry::{Entry, entries, pascal, unseen};
use super::json::write_pretty;
use super::remediation::fill;
use super::text::escape;
use crate::model::audit::Audit;
use crate::model::rule::{Rule, Severity};

/// GitHub takes no more results of one run.
const RESULTS_MAX: usize = 25_000;
/// Nor longer descriptions of a rule.
const DESCRIPTION_MAX: usize = 1024;

/// Writes the report.
///
/// # Errors
/// If `out` cannot be written to.
pub fn write(audit: &Audit, out: &mut impl Write) -> Result<()> {
    let entries = entries(audit);
    let more = entries.len().saturating_sub(RESULTS_MAX);
    let is_whole = unseen(audit).all(|unseen| !unseen.needed);
    let mut notifications: Vec<_> = unseen(audit)
        .map(|unseen| {
            let level = if unseen.needed { "error" } else { "note" };
            json!({ "level": level, "message": { "text": plain(&unseen.text) }, "descriptor": { "id": unseen.why } })
        })
        .collect();
    for note in audit.policy.iter().flat_map(|policy| &policy.notes) {
        let text = format!("line {} of the policy: {}", note.line, note.text);
        notifications.push(json!({
            "level": "warning", "message": { "text": plain(&escape(&text)) }, "descriptor": { "id": note.kind.as_str() },
        }));
    }
    if more > 0 {
        let text = format!("{more} more findings are left out: the format takes {RESULTS_MAX}");
        notifications.push(json!({ "level": "warning", "message": { "text": text } }));
    }
    let results: Vec<_> = entries.iter().take(RESULTS_MAX).map(|entry| result(entry, audit)).collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "eks-netcheck",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "informationUri": "https://docs.aws.amazon.com/eks/latest/userguide/cluster-endpoint.html",
                "rules": audit.rules.iter().map(|rule| descriptor(rule, &entries)).collect::<Vec<_>>(),
            } },
            "automationDetails": { "id": "eks-netcheck/" },
            "invocations": [{
                "executionSuccessful": is_whole,
                "toolExecutionNotifications": notifications,
            }],
            "results": results,
            "columnKind": "unicodeCodePoints",
        }],
    });
    write_pretty(&log, out)
}

fn descriptor(rule: &Rule, entries: &[Entry<'_>]) -> Value {
    // Where a policy says another severity, GitHub reads it here.
    let judged = entries.iter().filter(|entry| entry.judged.rule.id == rule.id);
    let severity = judged.map(|entry| entry.judged.severity).max().unwrap_or(rule.severity);
    let summary = format!("{}.", rule.summary);
    let mut markdown = format!("{}\n\n", rule.why);
    for chunk in rule.remediation.lines().collect::<Vec<_>>().chunk_by(|a, b| is_command(a) == is_command(b))
    {
        let text = chunk.iter().map(|line| line.trim_start()).collect::<Vec<_>>().join("\n");
        // A String takes whatever is written to it.
        let _ = if is_command(chunk[0]) {
            write!(markdown, "```sh\n{text}\n```\n\n")
        } else {
            write!(markdown, "{text}\n\n")
        };
    }
    json!({
        "id": rule.id,
        "name": pascal(rule.id),
        "shortDescription": { "text": summary },
        "fullDescription": { "text": rule.why.chars().take(DESCRIPTION_MAX).collect::<String>() },
        "help": { "text": format!("{}\n\n{}", rule.why, rule.remediation), "markdown": markdown.trim_end() },
        "helpUri": rule.reference,
        "defaultConfiguration": { "level": level(severity) },
        "properties": {
            "tags": ["security", "eks", "network"],
            "precision": "very-high",
            "problem.severity": problem_severity(severity),
            "security-severity": security_severity(severity),
        },
    })
}

fn is_command(line: &str) -> bool {
    line.starts_with("    ")
}

fn result(entry: &Entry<'_>, audit: &Audit) -> Value {
    let judged = entry.judged;
    let index = audit.rules.iter().position(|rule| rule.id == judged.rule.id);
    let text =
        format!("{}\n\n{}", entry.message_of_cluster(), fill(judged.rule.remediation, &entry.audited.facts));
    let mut result = json!({
        "ruleId": judged.rule.id,
        "ruleIndex": index,
        "level": level(judged.severity),
        "message": { "text": plain(&text) },
        "locations": [{
            "physicalLocation": {
                "artifactLocation": { "uri": uri(&audit.anchor) },
                "region": { "startLine": 1 },
            },
            "logicalLocations": [{ "fullyQualifiedName": entry.cluster(), "kind": "resource" }],
        }],
        "partialFingerprints": { "primaryLocationLineHash": entry.fingerprint.simple().to_string() },
        "properties": {
            "cluster": entry.cluster(),
            "subject": judged.finding.subject,
            "security-severity": security_severity(judged.severity),
        },
    });
    if let Some(waiver) = judged.waived_by() {
        let justification = format!("{}: {} (until {})", waiver.owner, waiver.reason, waiver.expires);
        result["suppressions"] =
            json!([{ "kind": "external", "status": "accepted", "justification": justification }]);
    }
    result
}

/// A plain text message without links in it, which begin with a bracket.
///
/// <https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/sarif-v2.1.0-os.html#_Toc34317462>
fn plain(text: &str) -> String {
    text.replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]")
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low => "note",
    }
}

fn problem_severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low => "recommendation",
    }
}

/// A score, as a string: that is how GitHub reads it.
fn security_severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "9.5",
        Severity::High => "8.0",
        Severity::Medium => "5.5",
        Severity::Low => "2.0",
    }
}

/// A path as a relative reference (RFC 3986).
fn uri(path: &str) -> String {
    let mut uri = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(byte.into());
        } else {
            // A String takes whatever is written to it.
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}
