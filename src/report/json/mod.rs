//! JSON: the report on one cluster, and the reports on several.
//!
//! Kept until the end: of one cluster its report, since the policy's notes are a part of
//! it; of several clusters nothing, since each report is written when it is complete.

mod report;
pub mod trace;
mod words;

use std::io::{Result, Write};

use self::report::{Report, Reports};
use super::format::{AuditFormat, ReportWriter};
use super::pretty::{Array, pretty, write_pretty};
use crate::model::audit::{Audited, Summary};

/// The format.
pub const FORMAT: AuditFormat = AuditFormat {
    name: "json",
    help: "For programs, schema eks-netcheck.report.v1, or reports.v1 of several clusters",
    write: |settings| if settings.is_many { Box::new(Many::new()) } else { Box::new(One(None)) },
};

/// The report on one cluster.
struct One(Option<Report>);

impl ReportWriter for One {
    fn cluster(&mut self, audited: &Audited, _: &mut dyn Write) -> Result<()> {
        self.0 = Some(Report::new(audited));
        Ok(())
    }

    fn end(self: Box<Self>, summary: &Summary, out: &mut dyn Write) -> Result<()> {
        match self.0 {
            Some(report) => write_pretty(&report.with_policy(summary.policy.as_ref()), out),
            // The cluster could not be judged.
            None => Box::new(Many::new()).end(summary, out),
        }
    }
}

/// The reports on several clusters.
struct Many(Array);

impl Many {
    fn new() -> Self {
        Self(Array::new("    "))
    }

    /// The text before and after the list of reports.
    fn around(summary: &Summary) -> Result<(String, String)> {
        let text = pretty(&Reports::without_clusters(summary))?;
        // Only the schema's name comes before the list.
        let (before, after) = text.split_once("\"reports\": []").unwrap_or_default();
        Ok((format!("{before}\"reports\": "), format!("{after}\n")))
    }
}

impl ReportWriter for Many {
    fn cluster(&mut self, audited: &Audited, out: &mut dyn Write) -> Result<()> {
        if self.0.is_empty() {
            out.write_all(Self::around(&Summary::default())?.0.as_bytes())?;
        }
        self.0.element(&Report::new(audited), out)
    }

    fn end(self: Box<Self>, summary: &Summary, out: &mut dyn Write) -> Result<()> {
        let (before, after) = Self::around(summary)?;
        if self.0.is_empty() {
            out.write_all(before.as_bytes())?;
        }
        self.0.end(out)?;
        out.write_all(after.as_bytes())
    }
}

/// Writes the JSON Schema of the report on one cluster.
///
/// # Errors
/// If `out` cannot be written to.
pub fn write_schema(out: &mut dyn Write) -> Result<()> {
    serde_json::to_writer_pretty(&mut *out, &schemars::schema_for!(Report))?;
    out.write_all(b"\n")
}

/// Writes the JSON Schema of the reports on several clusters.
///
/// # Errors
/// If `out` cannot be written to.
pub fn write_reports_schema(out: &mut dyn Write) -> Result<()> {
    serde_json::to_writer_pretty(&mut *out, &schemars::schema_for!(Reports))?;
    out.write_all(b"\n")
}
