//! GitLab's code quality report.
//!
//! Kept until the end, since findings are sorted: an issue for each finding, and for each
//! gap that the verdict needed or the policy accepts.
//!
//! <https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format>

use std::collections::HashSet;
use std::io::{Result, Write};
use std::rc::Rc;

use serde_json::{Value, json};
use uuid::Uuid;

use super::entry::{Entry, KNOWN, Unseen, id};
use super::format::{AuditFormat, ReportWriter};
use super::pretty::Array;
use super::remediation::Remediations;
use crate::model::audit::{Audited, Summary};
use crate::model::judgment::Rank;
use crate::model::rule::Severity;

/// The format.
pub(super) const FORMAT: AuditFormat = AuditFormat {
    name: "gitlab",
    help: "GitLab's code quality report",
    write: |settings| {
        Box::new(Writer { anchor: settings.anchor.clone(), findings: Vec::new(), unseen: Vec::new() })
    },
};

struct Writer {
    anchor: String,
    findings: Vec<(Rank, Issue)>,
    unseen: Vec<Issue>,
}

struct Issue {
    check: &'static str,
    description: String,
    /// What resolves it, which the findings of a rule share.
    remediation: Option<Rc<str>>,
    severity: &'static str,
    fingerprint: Uuid,
}

impl Issue {
    fn of_finding(entry: &Entry<'_>, remediations: &mut Remediations<'_>) -> Self {
        let waiver = entry.judged.waived_by();
        let severity = match (entry.judged.counts(), entry.judged.severity) {
            (false, _) => "info",
            (true, Severity::Critical) => "blocker",
            (true, Severity::High) => "critical",
            (true, Severity::Medium) => "major",
            (true, Severity::Low) => "minor",
        };
        let suffix = waiver.map(|waiver| format!(" (waived until {} by {})", waiver.expires, waiver.owner));
        let known = entry.judged.is_known().then(|| format!(" ({KNOWN})"));
        let suffix = suffix.or(known);
        Self {
            check: entry.judged.rule.id,
            description: entry.message_of_cluster() + &suffix.unwrap_or_default(),
            remediation: entry.remediation(remediations),
            severity,
            fingerprint: entry.fingerprint,
        }
    }
}

impl From<Unseen> for Issue {
    fn from(unseen: Unseen) -> Self {
        let names = [Some("not-seen"), Some(&unseen.subject), unseen.what.as_deref(), Some(unseen.why)];
        let severity = if unseen.is_accepted { "info" } else { "critical" };
        Self {
            check: "not-seen",
            severity,
            fingerprint: id(&names),
            description: unseen.text,
            remediation: None,
        }
    }
}

impl Issue {
    fn json(&self, anchor: &str) -> Value {
        let description = match &self.remediation {
            Some(remediation) => format!("{}\n{remediation}", self.description),
            None => self.description.clone(),
        };
        json!({
            "description": description,
            "check_name": self.check,
            "fingerprint": self.fingerprint.simple().to_string(),
            "severity": self.severity,
            "location": { "path": anchor, "lines": { "begin": 1 } },
        })
    }
}

impl ReportWriter for Writer {
    fn cluster(&mut self, audited: &Audited, _: &mut dyn Write) -> Result<()> {
        let mut remediations = Remediations::new(&audited.facts);
        let issue = |entry: Entry<'_>| (entry.judged.rank(), Issue::of_finding(&entry, &mut remediations));
        self.findings.extend(Entry::all_of(audited).map(issue));
        let unseen = Unseen::all_of(audited).filter(|unseen| unseen.needed || unseen.is_accepted);
        self.unseen.extend(unseen.map(Issue::from));
        Ok(())
    }

    fn end(mut self: Box<Self>, summary: &Summary, out: &mut dyn Write) -> Result<()> {
        self.findings.sort_by_key(|(rank, _)| *rank);
        let unjudged: Vec<_> =
            summary.unjudged.iter().map(|unjudged| Issue::from(Unseen::from(unjudged))).collect();
        let mut seen = HashSet::new();
        // Two gaps that differ only in their wording are one issue.
        let unseen = unjudged.iter().chain(&self.unseen).filter(|issue| seen.insert(issue.fingerprint));
        let mut issues = Array::new("  ");
        for issue in self.findings.iter().map(|(_, issue)| issue).chain(unseen) {
            issues.element(&issue.json(&self.anchor), out)?;
        }
        issues.end(out)?;
        out.write_all(b"\n")
    }
}
