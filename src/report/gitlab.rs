//! GitLab's code quality report.
//!
//! <https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format>

use std::collections::HashSet;
use std::io::{Result, Write};

use serde_json::json;

use super::entry::{entries, id, unseen};
use super::json::write_pretty;
use crate::model::audit::Audit;
use crate::model::rule::Severity;

/// Writes the report; an empty list where nothing is wrong.
///
/// # Errors
/// If `out` cannot be written to.
pub fn write(audit: &Audit, out: &mut impl Write) -> Result<()> {
    let location = json!({ "path": audit.anchor, "lines": { "begin": 1 } });
    let mut issues: Vec<_> = entries(audit)
        .iter()
        .map(|entry| {
            let waived = entry.judged.waived_by();
            let severity = match (waived, entry.judged.severity) {
                (Some(_), _) => "info",
                (None, Severity::Critical) => "blocker",
                (None, Severity::High) => "critical",
                (None, Severity::Medium) => "major",
                (None, Severity::Low) => "minor",
            };
            let waived =
                waived.map(|waiver| format!(" (waived until {} by {})", waiver.expires, waiver.owner));
            json!({
                "description": format!("{}{}", entry.message_of_cluster(), waived.unwrap_or_default()),
                "check_name": entry.judged.rule.id,
                "fingerprint": entry.fingerprint.simple().to_string(),
                "severity": severity,
                "location": location,
            })
        })
        .collect();
    let mut seen = HashSet::new();
    for unseen in unseen(audit).filter(|unseen| unseen.needed) {
        let names = [Some("not-seen"), Some(unseen.subject), unseen.what.as_deref(), Some(unseen.why)];
        let id = id(&names);
        // Two that are told apart by their words alone are one issue.
        if !seen.insert(id) {
            continue;
        }
        issues.push(json!({
            "description": unseen.text,
            "check_name": "not-seen",
            "fingerprint": id.simple().to_string(),
            "severity": "critical",
            "location": location,
        }));
    }
    write_pretty(&issues, out)
}
