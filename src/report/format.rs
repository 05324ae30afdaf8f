//! A format as data, and what a format of `audit` implements.

use std::io::{Result, Write};

use super::style::Style;
use crate::model::audit::{Audited, Summary, TraceJudgment};
use crate::model::reachability::ReachReport;
use crate::model::rule::Rule;
use crate::model::simulation::Simulation;
use crate::model::trace::Trace;

/// A format: its name and help text on the command line, and the function that writes it.
#[derive(Debug)]
pub struct Format<F> {
    /// The name on the command line.
    pub name: &'static str,
    /// What it is for, as `--help` shows it.
    pub help: &'static str,
    /// The function that writes it, or begins to.
    pub write: F,
}

/// A format of the report of `audit`.
pub type AuditFormat = Format<AuditWrite>;

/// Begins a report of `audit`.
pub type AuditWrite = fn(&ReportSettings) -> Box<dyn ReportWriter>;

/// A format of the report of `trace` and `diff`.
pub type TraceFormat = Format<TraceWrite>;

/// Writes a report of `trace` or `diff`; the judgment is that of `--fail-on`.
pub type TraceWrite = fn(&Trace, Option<&TraceJudgment>, Style, &mut dyn Write) -> Result<()>;

/// A format of the report of `reach`.
pub type ReachFormat = Format<ReachWrite>;

/// Writes a report of `reach`.
pub type ReachWrite = fn(&ReachReport, Style, &mut dyn Write) -> Result<()>;

/// A format of the report of `simulate`.
pub type SimulationFormat = Format<SimulationWrite>;

/// Writes a report of `simulate`.
pub type SimulationWrite = fn(&Simulation, Style, &mut dyn Write) -> Result<()>;

/// A format of `explain`.
pub type ExplainFormat = Format<ExplainWrite>;

/// Writes the description of rules; `is_one`: of the one that was asked for.
pub type ExplainWrite = fn(rules: &[&Rule], is_one: bool, Style, &mut dyn Write) -> Result<()>;

/// What is known before the first cluster.
#[derive(Debug, Clone)]
pub struct ReportSettings {
    /// Whether the report is on several clusters, however many there turn out to be.
    pub is_many: bool,
    /// All rules.
    pub rules: &'static [&'static Rule],
    /// The file at which formats that need a location show findings: relative, with `/`
    /// between its parts.
    pub anchor: String,
    /// The time of the run, in milliseconds since 1970.
    pub time: i64,
    /// Width and colour of text.
    pub style: Style,
    /// Whether text shows the paths of the cluster as drawings.
    pub explain_paths: bool,
    /// Whether text for a terminal shows every row, also of what is as it should be.
    pub all: bool,
}

/// Writes a report: each cluster, then the end. A writer keeps no facts of a cluster, so
/// that the memory of a run does not grow with them; what it has to keep until the end
/// is documented in the format's file.
pub trait ReportWriter {
    /// Why the report leaves a cluster out; `None` if it has it.
    fn left_out(&self, _: &Audited) -> Option<String> {
        None
    }

    /// Adds a cluster.
    ///
    /// # Errors
    /// If `out` cannot be written to.
    fn cluster(&mut self, audited: &Audited, out: &mut dyn Write) -> Result<()>;

    /// Ends the report.
    ///
    /// # Errors
    /// If `out` cannot be written to.
    fn end(self: Box<Self>, summary: &Summary, out: &mut dyn Write) -> Result<()>;
}

#[cfg(test)]
pub(super) mod tests {
    use super::{Audited, ReportSettings};
    use crate::classify::Classifier;
    use crate::model::evidence::Evidence;
    use crate::model::file::File;
    use crate::model::gap::{Gap, GapReason};
    use crate::model::judgment::{Judgment, Verdict};
    use crate::report::style::Style;
    use crate::rules;

    /// A gap: `cluster.json` is not recorded.
    pub(in crate::report) fn gap() -> Gap {
        Gap {
            subject: File::CLUSTER.into(),
            why: GapReason::NotRecorded,
            detail: "not recorded".to_owned(),
            hint: String::new(),
        }
    }

    /// A cluster that passes, of which nothing is known but its name and its ARN.
    pub(in crate::report) fn cluster(name: &str, arn: Option<&str>) -> Audited {
        let mut evidence = Evidence::none(gap(), |_, _, _| String::new());
        evidence.cluster.name = name.to_owned();
        evidence.cluster.arn = arn.map(ToOwned::to_owned);
        let judgment = Judgment {
            verdict: Verdict::Pass,
            threshold: None,
            findings: Vec::new(),
            gaps: Vec::new(),
            is_blind: false,
            not_judged: Vec::new(),
            off: Vec::new(),
            skipped: Vec::new(),
            controls: Vec::new(),
            comparison: None,
        };
        Audited { facts: Classifier::new(evidence).finish(Vec::new()), judgment }
    }

    /// The settings of a report on several clusters.
    pub(in crate::report) fn settings() -> ReportSettings {
        ReportSettings {
            is_many: true,
            rules: &rules::ALL,
            anchor: String::new(),
            time: 0,
            style: Style { width: 80, color: false },
            explain_paths: false,
            all: false,
        }
    }
}
