//! GitLab's code quality report.
//!
//! <https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format>

use std::io::{Result, Write};

use serde_json::json;
use uuid::Uuid;

use super::entry::{entries, unseen};
use super::json::write_pretty;
use crate::model::audit::Audit;
use crate::model::verdict::Severity;

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
    for unseen in unseen(audit).filter(|unseen| unseen.needed) {
        let name = json!(["eks-netcheck", "not-seen", unseen.subject, unseen.text]).to_string();
        issues.push(json!({
            "description": unseen.text,
            "check_name": "not-seen",
            "fingerprint": Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes()).simple().to_string(),
            "severity": "critical",
            "location": location,
        }));
    }
    write_pretty(&issues, out)
}
