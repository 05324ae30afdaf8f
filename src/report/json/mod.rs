//! JSON: the report on one cluster, and the reports on several.
//!
//! Kept until the end: of one cluster its verdict, which comes after the policy's notes; of
//! several clusters nothing, since each report is written when it is complete.

mod architecture;
mod cluster;
mod compliance;
mod connection;
mod gap;
mod judgment;
mod node;
mod policy;
mod probe;
pub mod reach;
mod report;
pub mod rules;
mod sight;
pub mod simulation;
mod step;
mod tool;
pub mod trace;
mod words;

use std::io::{Error, Result, Write};

use self::report::{Report, ReportEnd, Reports};
use super::format::{AuditFormat, ReportWriter};
use super::pretty::{Array, pretty, write_without_end};
use crate::model::audit::{Audited, Summary};
use crate::model::judgment::Verdict;

/// The format.
pub const FORMAT: AuditFormat = AuditFormat {
    name: "json",
    help: "For programs, schema eks-netcheck.report.v1, or reports.v1 of several clusters",
    write: |settings| {
        if settings.is_many {
            Box::new(Many::new(settings.time))
        } else {
            Box::new(One { time: settings.time, verdict: None })
        }
    },
};

/// The report on one cluster.
struct One {
    /// The time of the run.
    time: i64,
    /// The verdict, once the cluster is judged.
    verdict: Option<Verdict>,
}

impl ReportWriter for One {
    fn cluster(&mut self, audited: &Audited, out: &mut dyn Write) -> Result<()> {
        let verdict = audited.judgment.verdict;
        let end = format!(",{}", &pretty(&ReportEnd::new(None, verdict))?[1..]);
        self.verdict = Some(verdict);
        write_without_end(&Report::new(audited, self.time), &end, out)
    }

    fn end(self: Box<Self>, summary: &Summary, out: &mut dyn Write) -> Result<()> {
        match self.verdict {
            Some(verdict) => {
                let end = pretty(&ReportEnd::new(Some(&summary.policy), verdict))?;
                writeln!(out, ",{}", &end[1..])
            }
            None => writeln!(out, "{}", pretty(&Report::unjudged(summary, self.time))?),
        }
    }
}

/// The reports on several clusters.
struct Many {
    /// The time of the run.
    time: i64,
    reports: Array,
}

impl Many {
    fn new(time: i64) -> Self {
        Self { time, reports: Array::new("    ") }
    }

    /// The text before and after the list of reports.
    fn around(&self, summary: &Summary) -> Result<(String, String)> {
        let text = pretty(&Reports::new(Vec::new(), summary, self.time))?;
        // Only the schema's name and the tool come before the list.
        let (before, after) =
            text.split_once("\"reports\": []").ok_or_else(|| Error::other("no list of reports"))?;
        Ok((format!("{before}\"reports\": "), format!("{after}\n")))
    }
}

impl ReportWriter for Many {
    fn cluster(&mut self, audited: &Audited, out: &mut dyn Write) -> Result<()> {
        if self.reports.is_empty() {
            out.write_all(self.around(&Summary::default())?.0.as_bytes())?;
        }
        self.reports.element(&Report::new(audited, self.time), out)
    }

    fn end(self: Box<Self>, summary: &Summary, out: &mut dyn Write) -> Result<()> {
        let (before, after) = self.around(summary)?;
        if self.reports.is_empty() {
            out.write_all(before.as_bytes())?;
        }
        self.reports.end(out)?;
        out.write_all(after.as_bytes())
    }
}

/// Writes the JSON Schema of the report on one cluster.
///
/// # Errors
/// If `out` cannot be written to.
pub fn write_schema(out: &mut dyn Write) -> Result<()> {
    serde_json::to_writer_pretty(&mut *out, &schemars::schema_for!(Report<'_>))?;
    out.write_all(b"\n")
}

/// Writes the JSON Schema of the reports on several clusters.
///
/// # Errors
/// If `out` cannot be written to.
pub fn write_reports_schema(out: &mut dyn Write) -> Result<()> {
    serde_json::to_writer_pretty(&mut *out, &schemars::schema_for!(Reports<'_>))?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::model::audit::Unjudged;
    use crate::report::format::tests::{cluster as of_arn, gap};

    fn cluster(name: &str) -> Audited {
        of_arn(name, None)
    }

    /// The reports in one piece.
    fn whole(clusters: &[Audited], summary: &Summary) -> String {
        let reports =
            Reports::new(clusters.iter().map(|cluster| Report::new(cluster, 0)).collect(), summary, 0);
        format!("{}\n", pretty(&reports).expect("JSON"))
    }

    #[test]
    fn reports_written_by_cluster_are_the_same_as_in_one_piece() {
        let unjudged = Unjudged { subject: "cluster \"reports\": []".to_owned(), gap: gap() };
        for number in 0..4 {
            let clusters: Vec<_> = (0..number).map(|number| cluster(&format!("c{number}"))).collect();
            let summary = Summary { unjudged: vec![unjudged.clone()], ..Summary::default() };
            let mut out = Vec::new();
            let mut writer = Box::new(Many::new(0));
            clusters.iter().try_for_each(|cluster| writer.cluster(cluster, &mut out)).expect("memory");
            writer.end(&summary, &mut out).expect("memory");
            assert_eq!(String::from_utf8(out).expect("UTF-8"), whole(&clusters, &summary));
        }
    }

    /// Everything that a cluster adds to the report is written before the next one, so
    /// that memory does not grow with their number.
    #[test]
    fn nothing_of_a_cluster_is_kept() {
        let cluster = cluster("myeks");
        let mut writer = Many::new(0);
        let mut out = Vec::new();
        let mut sizes = Vec::new();
        for _ in 0..1000 {
            writer.cluster(&cluster, &mut out).expect("memory");
            sizes.push(out.len());
        }
        let steps: Vec<_> = sizes.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(steps.iter().all(|step| *step == steps[0] && *step > 100), "{steps:?}");
        let text = String::from_utf8(out).expect("UTF-8") + "]}";
        let report: Value = serde_json::from_str(&text).expect("complete but for the end");
        assert_eq!(report["reports"].as_array().map(Vec::len), Some(1000));
    }
}
