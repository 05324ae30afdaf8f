//! `explain` as JSON: the schema `eks-netcheck.rules.v1`.

use std::io::{Result, Write};

use schemars::JsonSchema;
use serde::Serialize;

use super::compliance::ControlName;
use super::tool::Tool;
use super::words::Severity;
use crate::model::rule::{self, Rule};
use crate::report::format::ExplainFormat;
use crate::report::pretty::write_pretty;

/// The format.
pub const FORMAT: ExplainFormat = ExplainFormat {
    name: "json",
    help: "For programs, schema eks-netcheck.rules.v1",
    write: |rules, _, _, out| write_pretty(&Described::new(rules), out),
};

/// The name of the schema, which changes with its shape.
const SCHEMA: &str = "eks-netcheck.rules.v1";

/// Rules: all of them, or the one that was asked for.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "eks-netcheck.rules.v1")]
struct Described {
    /// Always `eks-netcheck.rules.v1`.
    schema: String,
    tool: Tool,
    /// In the order in which they are documented.
    rules: Vec<RuleReport>,
}

/// A rule.
#[derive(Debug, Serialize, JsonSchema)]
struct RuleReport {
    id: String,
    /// The severity of its findings, unless a policy sets another one. Some findings have a lower one.
    severity: Severity,
    /// What it finds.
    summary: String,
    /// Why that matters.
    why: String,
    /// How to fix it: prose, and commands in lines that are indented by four blanks. In commands, `CLUSTER`, `REGION`,
    /// `VPC`, `ENDPOINT` and `SECURITY_GROUP` stand for the values of the cluster.
    remediation: String,
    /// The evidence that it needs besides `cluster.json`.
    needs: Vec<String>,
    without_evidence: WithoutEvidence,
    /// The controls of standards that it belongs to.
    controls: Vec<ControlName>,
    /// The documentation of AWS.
    reference: String,
}

super::words::words! {
    WithoutEvidence of rule::WithoutEvidence { Inconclusive, NotJudged }
}

impl Described {
    fn new(rules: &[&Rule]) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            tool: Tool::this(),
            rules: rules.iter().map(|rule| RuleReport::from(*rule)).collect(),
        }
    }
}

impl From<&Rule> for RuleReport {
    fn from(rule: &Rule) -> Self {
        Self {
            id: rule.id.to_owned(),
            severity: rule.severity.into(),
            summary: rule.summary.to_owned(),
            why: rule.why.to_owned(),
            remediation: rule.remediation.to_owned(),
            needs: rule.needs.iter().map(|need| need.as_str().to_owned()).collect(),
            without_evidence: rule.without_evidence.into(),
            controls: rule.controls.iter().map(ControlName::from).collect(),
            reference: rule.reference.to_owned(),
        }
    }
}

/// Writes the JSON Schema.
///
/// # Errors
/// If `out` cannot be written to.
pub fn write_schema(out: &mut dyn Write) -> Result<()> {
    write_pretty(&schemars::schema_for!(Described), out)
}
