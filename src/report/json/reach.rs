//! `reach` as JSON: the schema `eks-netcheck.reach.v1`.

use std::io::{Result, Write};

use schemars::JsonSchema;
use serde::Serialize;

use super::gap::GapReport;
use super::words::Access;
use crate::model::reachability::{Condition, ReachReport};
use crate::model::rule::Step;
use crate::report::format::ReachFormat;
use crate::report::pretty::write_pretty;

/// The format.
pub const FORMAT: ReachFormat = ReachFormat {
    name: "json",
    help: "For programs, schema eks-netcheck.reach.v1",
    write: |report, _, out| write_pretty(&Report::new(report), out),
};

/// The name of the schema, which changes with its shape.
const SCHEMA: &str = "eks-netcheck.reach.v1";

/// Whether a place reaches the API server endpoint of a cluster.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "eks-netcheck.reach.v1")]
struct Report {
    /// Always `eks-netcheck.reach.v1`.
    schema: String,
    cluster: String,
    access: Access,
    /// The place: `here`, a node, an address or a CIDR block.
    from: String,
    /// On which endpoint its connections end; null if that is not known.
    side: Option<Side>,
    /// The conditions of a connection, in the order in which it meets them. The first that is not met is the last.
    steps: Vec<StepReport>,
    /// What was not seen, and would show whether a condition is met.
    gaps: Vec<GapReport>,
    /// Whether the place reaches the endpoint.
    verdict: Reaches,
}

/// A condition of a connection.
#[derive(Debug, Serialize, JsonSchema)]
struct StepReport {
    name: StepName,
    result: ConditionResult,
    /// The reason for the result.
    why: String,
    /// What makes it met, if it is not; the next step, if it is not known; or what helps connections that hang although it is met.
    fix: Vec<FixReport>,
}

/// Something to do.
#[derive(Debug, Serialize, JsonSchema)]
struct FixReport {
    text: String,
    /// The command that does it.
    command: Option<String>,
}

super::words::words! {
    Side of crate::model::reachability::EndpointSide { Public, Private, ClusterIp }
    StepName of crate::model::reachability::ConditionKind {
        Name, Route, BlockPublicAccess, NetworkAcl, SecurityGroups, #[serde(rename = "public-access-cidrs")] Cidrs, Tls,
    }
    ConditionResult of crate::model::reachability::ConditionResult { Met, NotMet, Unknown, NotApplicable }
    Reaches of crate::model::reachability::Reaches { Yes, No, Unknown }
}

impl Report {
    fn new(report: &ReachReport) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            cluster: report.cluster.clone(),
            access: (&report.access).into(),
            from: report.place.name.clone(),
            side: report.reachability.side.map(Into::into),
            steps: report.reachability.conditions.iter().map(Into::into).collect(),
            gaps: report.gaps.iter().map(Into::into).collect(),
            verdict: report.reaches.into(),
        }
    }
}

impl From<&Condition> for StepReport {
    fn from(condition: &Condition) -> Self {
        Self {
            name: condition.kind.into(),
            result: condition.result.into(),
            why: condition.why.clone(),
            fix: condition.fix.iter().flat_map(fixes).collect(),
        }
    }
}

/// A step, and how to see that it worked.
fn fixes(step: &Step) -> impl Iterator<Item = FixReport> {
    let check = step.check.as_ref();
    let check = check.map(|check| FixReport { text: check.text.clone(), command: check.command.clone() });
    [FixReport { text: step.text.clone(), command: step.command.clone() }].into_iter().chain(check)
}

/// Writes the JSON schema.
///
/// # Errors
/// If `out` cannot be written to.
pub fn write_schema(out: &mut dyn Write) -> Result<()> {
    serde_json::to_writer_pretty(&mut *out, &schemars::schema_for!(Report))?;
    out.write_all(b"\n")
}
