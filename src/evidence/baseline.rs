//! A JSON report of `audit` as a baseline: of it, the findings are read.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::json::{JsonError, from_json};
use crate::model::baseline::{Baseline, FindingId, Recorded};
use crate::model::extent::Extent;
use crate::model::rule;

/// The size limit of a baseline: a report on thousands of clusters.
pub const BASELINE_MAX: u64 = 256 << 20;

/// The schema of a report on one cluster, and that of one on several.
const SCHEMAS: [&str; 2] = ["eks-netcheck.report.v1", "eks-netcheck.reports.v1"];

#[derive(Debug, Deserialize)]
struct Head {
    schema: Option<String>,
}

/// A report on several clusters.
#[derive(Debug, Deserialize)]
struct Reports {
    reports: Vec<Report>,
}

/// What of the report on a cluster is read.
#[derive(Debug, Deserialize)]
struct Report {
    cluster: Cluster,
    findings: Vec<Finding>,
    verdict: Verdict,
}

#[derive(Debug, Deserialize)]
struct Cluster {
    name: String,
    arn: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Finding {
    rule: String,
    subject: String,
    about: Option<String>,
    message: String,
    severity: Severity,
    /// A finding that has one is not known by a report without it.
    #[serde(default)]
    extent: Vec<String>,
    waived: bool,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Severity {
    Low,
    Medium,
    High,
    Critical,
}

impl From<Severity> for rule::Severity {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Low => Self::Low,
            Severity::Medium => Self::Medium,
            Severity::High => Self::High,
            Severity::Critical => Self::Critical,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    Pass,
    Fail,
    Inconclusive,
}

/// Parses a baseline.
///
/// # Errors
/// If it is not a whole report of `audit`.
pub fn parse_baseline(bytes: &[u8]) -> Result<Baseline, JsonError> {
    let Head { schema } = from_json(bytes)?;
    let reports = match schema.as_deref() {
        Some(schema) if schema == SCHEMAS[0] => vec![from_json::<Report>(bytes)?],
        Some(schema) if schema == SCHEMAS[1] => from_json::<Reports>(bytes)?.reports,
        schema => {
            let found =
                schema.map_or("it names no schema".to_owned(), |schema| format!("its schema is {schema:?}"));
            let wanted = "a baseline is a report of audit --format json";
            return Err(JsonError::of_whole(format!("{found}; {wanted} ({} or {})", SCHEMAS[0], SCHEMAS[1])));
        }
    };
    let mut baseline = Baseline::default();
    for Report { cluster, findings, verdict } in reports {
        let name = cluster.arn.unwrap_or(cluster.name);
        if verdict == Verdict::Inconclusive {
            baseline.inconclusive.insert(name.clone());
        }
        // A finding that was waived is not known: it counts again when its waiver expires.
        let counted = findings.into_iter().filter(|finding| !finding.waived);
        let known = counted.map(|Finding { rule, subject, about, message, severity, extent, .. }| {
            let recorded = Recorded { message, severity: severity.into(), extent: Extent::new(extent) };
            (FindingId { rule, subject, about }, recorded)
        });
        baseline.clusters.entry(name).or_insert_with(BTreeMap::new).extend(known);
    }
    Ok(baseline)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(cluster: &str, rest: &str) -> String {
        format!("{{\"schema\": \"eks-netcheck.report.v1\", \"cluster\": {cluster}, {rest}}}")
    }

    #[test]
    fn reports_of_one_and_of_several_are_read() {
        let finding = |rule: &str, waived: bool| {
            format!(
                "{{\"rule\": \"{rule}\", \"subject\": \"n1\", \"about\": null, \"message\": \"m\", \"severity\": \"low\", \"waived\": {waived}, \"new\": 1}}"
            )
        };
        let one = |name: &str, verdict: &str| {
            let findings = [finding("a", false), finding("b", true)].join(",");
            report(
                &format!("{{\"name\": \"{name}\", \"arn\": null}}"),
                &format!("\"findings\": [{findings}], \"verdict\": \"{verdict}\""),
            )
        };
        let baseline = parse_baseline(one("x", "fail").as_bytes()).expect("a baseline");
        assert_eq!(baseline.clusters["x"].keys().map(|id| id.rule.as_str()).collect::<Vec<_>>(), ["a"]);
        assert!(baseline.inconclusive.is_empty());
        let both = [one("x", "pass"), one("y", "inconclusive")].join(",");
        let both = format!(
            "{{\"schema\": \"eks-netcheck.reports.v1\", \"reports\": [{both}], \"verdict\": \"fail\"}}"
        );
        let baseline = parse_baseline(both.as_bytes()).expect("a baseline");
        assert_eq!(baseline.clusters.len(), 2);
        assert_eq!(Vec::from_iter(baseline.inconclusive), ["y"]);
        // Every part of a report is no report.
        for length in 0..both.len() {
            assert!(parse_baseline(&both.as_bytes()[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn what_is_no_report_is_refused() {
        let cluster = "{\"name\": \"x\", \"arn\": null}";
        for (text, why) in [
            (String::new(), "empty"),
            ("{}".to_owned(), "it names no schema; a baseline is a report of audit --format json"),
            ("{\"version\": \"2.1.0\"}".to_owned(), "it names no schema"),
            (
                "{\"schema\": \"eks-netcheck.report.v2\"}".to_owned(),
                "its schema is \"eks-netcheck.report.v2\"",
            ),
            ("{\"schema\": \"eks-netcheck.trace.v1\"}".to_owned(), "its schema is \"eks-netcheck.trace.v1\""),
            (report(cluster, "\"verdict\": \"pass\""), "missing field `findings`"),
            (report(cluster, "\"findings\": []"), "missing field `verdict`"),
            (report("{}", "\"findings\": [], \"verdict\": \"pass\""), "cluster: missing field `name`"),
            (
                report(cluster, "\"findings\": [{}], \"verdict\": \"pass\""),
                "findings[0]: missing field `rule`",
            ),
        ] {
            let error = parse_baseline(text.as_bytes()).expect_err("no baseline").to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
