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
    write: |settings| if settings.is_many { Box::new(Many::new()) } else { Box::new(One(None)) },
};

/// The report on one cluster.
struct One(Option<Verdict>);

impl ReportWriter for One {
    fn cluster(&mut self, audited: &Audited, out: &mut dyn Write) -> Result<()> {
        let verdict = audited.judgment.verdict;
        let end = format!(",{}", &pretty(&ReportEnd::new(None, verdict))?[1..]);
        self.0 = Some(verdict);
        write_without_end(&Report::new(audited), &end, out)
    }

    fn end(self: Box<Self>, summary: &Summary, out: &mut dyn Write) -> Result<()> {
        match self.0 {
            Some(verdict) => {
                let end = pretty(&ReportEnd::new(Some(&summary.policy), verdict))?;
                writeln!(out, ",{}", &end[1..])
            }
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
        let text = pretty(&Reports::new(Vec::new(), summary))?;
        // Only the schema's name comes before the list.
        let (before, after) =
            text.split_once("\"reports\": []").ok_or_else(|| Error::other("no list of reports"))?;
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
    use crate::classify::Classifier;
    use crate::model::audit::Unjudged;
    use crate::model::evidence::Evidence;
    use crate::model::file::File;
    use crate::model::gap::{Gap, GapReason};
    use crate::model::judgment::Judgment;

    fn gap() -> Gap {
        Gap {
            subject: File::CLUSTER.into(),
            why: GapReason::NotRecorded,
            detail: "not recorded".to_owned(),
            hint: String::new(),
        }
    }

    fn cluster(name: &str) -> Audited {
        let mut evidence = Evidence::none(gap(), |_, _, _| String::new());
        evidence.cluster.name = name.to_owned();
        let facts = Classifier::new(evidence).finish(Vec::new());
        let judgment = Judgment {
            verdict: Verdict::Pass,
            threshold: None,
            findings: Vec::new(),
            gaps: Vec::new(),
            not_judged: Vec::new(),
            off: Vec::new(),
            controls: Vec::new(),
        };
        Audited { facts, judgment }
    }

    /// The reports in one piece.
    fn whole(clusters: &[Audited], summary: &Summary) -> String {
        let reports = Reports::new(clusters.iter().map(Report::new).collect(), summary);
        format!("{}\n", pretty(&reports).expect("JSON"))
    }

    #[test]
    fn reports_written_by_cluster_are_the_same_as_in_one_piece() {
        let unjudged = Unjudged { subject: "cluster \"reports\": []".to_owned(), gap: gap() };
        for number in 0..4 {
            let clusters: Vec<_> = (0..number).map(|number| cluster(&format!("c{number}"))).collect();
            let summary = Summary { unjudged: vec![unjudged.clone()], ..Summary::default() };
            let mut out = Vec::new();
            let mut writer = Box::new(Many::new());
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
        let mut writer = Many::new();
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
