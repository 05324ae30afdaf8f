//! The types of `--format json`: the schemas `eks-netcheck.report.v1` and, of several
//! clusters, `eks-netcheck.reports.v1`. The model may change without them.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::architecture::LegReport;
use super::cluster::{Cluster, Dns, Eni, dns};
use super::compliance::ControlReport;
use super::connection::{ConnectionReport, Connections, OmittedReport};
use super::judgment::{ComparisonReport, FindingReport, GapReport, NotJudgedReport};
use super::node::{NodeReport, NodeTraffic};
use super::policy::PolicyReport;
use super::probe::{ProbeReport, probes};
use super::sight::{SightReport, Sights};
use super::words::{PolicyOrigin, Verdict, Why};
use crate::model::audit::{Audited, PolicyUsed, Summary, Unjudged};
use crate::model::judgment;
use crate::report::remediation::Remediations;

/// The name of the schema, which changes with its shape.
const SCHEMA: &str = "eks-netcheck.report.v1";
/// The same for several clusters.
const REPORTS_SCHEMA: &str = "eks-netcheck.reports.v1";

/// A report on one cluster.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "eks-netcheck.report.v1")]
pub(super) struct Report<'a> {
    /// Always `eks-netcheck.report.v1`.
    schema: String,
    tool: Tool,
    /// The cluster; of one that could not be described, the name alone is known, and all lists but `gaps` are empty.
    cluster: Cluster,
    /// What the endpoint's name resolved to, by vantage point.
    dns: Vec<Dns>,
    /// What each address answered to probes, by vantage point.
    probes: Vec<ProbeReport>,
    /// The network interfaces of the evidence.
    enis: Vec<Eni>,
    nodes: Vec<NodeReport>,
    /// The path of each node's traffic to the API server.
    node_traffic: Vec<NodeTraffic>,
    /// What each place sees of the addresses of the API server: of those that the endpoint's name resolves to anywhere, at
    /// most 16 that the place itself neither resolves nor reaches.
    #[schemars(with = "Vec<SightReport>")]
    seen_from: Sights<'a>,
    /// The number of such rows that are not in `seen_from`, which has at most 100,000.
    seen_from_omitted: u64,
    /// The ways between operator, nodes and API server: expected, observed, and what differs.
    architecture: Vec<LegReport>,
    /// The sockets of kubelet and kube-proxy, and all others whose peer is the API server or unexplained; at most 1,000
    /// with one peer of a node.
    #[schemars(with = "Vec<ConnectionReport>")]
    connections: Connections<'a>,
    /// The numbers of such sockets that are not in `connections`.
    connections_omitted: Vec<OmittedReport>,
    /// The number of other sockets.
    other_connections: u64,
    findings: Vec<FindingReport>,
    /// What comparing the findings with the baseline shows; null without a baseline.
    baseline: Option<ComparisonReport>,
    /// Evidence that was not seen.
    gaps: Vec<GapReport>,
    /// Rules that were not judged for lack of evidence; the verdict does not depend on them.
    not_judged: Vec<NotJudgedReport>,
    /// Rules that the policy switches off.
    rules_off: Vec<String>,
    /// Rules that are not selected on the command line.
    rules_skipped: Vec<String>,
    /// Whether the cluster meets the controls of standards.
    compliance: Vec<ControlReport>,
    /// The policy; null for the default policy. In a report on several clusters, it is at the top level.
    policy: Option<PolicyReport>,
    /// Where the policy is from; null in a report on several clusters, which has it at the top level.
    policy_origin: Option<PolicyOrigin>,
    verdict: Verdict,
}

/// What wrote the report, and when.
#[derive(Debug, Serialize, JsonSchema)]
struct Tool {
    /// Always `eks-netcheck`.
    name: String,
    version: String,
    /// The time at which the run began, in UTC, as RFC 3339 has it.
    time: String,
}

impl Tool {
    /// The tool, at a time in milliseconds since 1970.
    fn new(time: i64) -> Self {
        Self {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            time: Timestamp::from_millisecond(time).unwrap_or_default().to_string(),
        }
    }
}

/// Reports on several clusters.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "eks-netcheck.reports.v1")]
pub(super) struct Reports<'a> {
    /// Always `eks-netcheck.reports.v1`.
    schema: String,
    tool: Tool,
    #[serde(rename = "reports")]
    clusters: Vec<Report<'a>>,
    /// Clusters that could not be judged at all.
    unjudged: Vec<UnjudgedReport>,
    /// The policy; null for the default policy.
    policy: Option<PolicyReport>,
    /// Where the policy is from.
    policy_origin: PolicyOrigin,
    verdict: Verdict,
}

#[derive(Debug, Serialize, JsonSchema)]
struct UnjudgedReport {
    /// A cluster, or all clusters of an account and region.
    subject: String,
    why: Why,
    detail: String,
    /// The next step.
    hint: String,
}

impl<'a> Reports<'a> {
    pub(super) fn new(clusters: Vec<Report<'a>>, summary: &Summary, time: i64) -> Self {
        Self {
            schema: REPORTS_SCHEMA.to_owned(),
            tool: Tool::new(time),
            clusters,
            unjudged: summary.unjudged.iter().map(UnjudgedReport::from).collect(),
            policy: PolicyReport::new(&summary.policy),
            policy_origin: summary.policy.origin.into(),
            verdict: summary.verdict().into(),
        }
    }
}

impl From<&Unjudged> for UnjudgedReport {
    fn from(unjudged: &Unjudged) -> Self {
        let Unjudged { subject, gap } = unjudged;
        Self {
            subject: subject.clone(),
            why: gap.why.into(),
            detail: gap.detail.clone(),
            hint: gap.hint.clone(),
        }
    }
}

/// What a report on one cluster ends with, once the policy's notes are known.
#[derive(Debug, Serialize)]
pub(super) struct ReportEnd {
    policy: Option<PolicyReport>,
    policy_origin: Option<PolicyOrigin>,
    verdict: Verdict,
}

impl ReportEnd {
    pub(super) fn new(policy: Option<&PolicyUsed>, verdict: judgment::Verdict) -> Self {
        Self {
            policy: policy.and_then(PolicyReport::new),
            policy_origin: policy.map(|policy| policy.origin.into()),
            verdict: verdict.into(),
        }
    }
}

impl<'a> Report<'a> {
    /// The report on a cluster, without the policy.
    pub(super) fn new(audited: &'a Audited, time: i64) -> Self {
        let Audited { facts, judgment } = audited;
        let mut remediations = Remediations::new(facts);
        let findings = judgment.findings.iter().map(|judged| FindingReport::new(judged, &mut remediations));
        Self {
            schema: SCHEMA.to_owned(),
            tool: Tool::new(time),
            cluster: Cluster::new(facts),
            dns: dns(facts),
            probes: probes(facts),
            enis: facts.interfaces.iter().map(Eni::from).collect(),
            nodes: facts.nodes.iter().map(NodeReport::from).collect(),
            node_traffic: facts.traffic.iter().map(NodeTraffic::from).collect(),
            seen_from: Sights(Some(facts)),
            seen_from_omitted: facts.seen_from.omitted,
            architecture: facts.architecture.iter().map(LegReport::from).collect(),
            connections: Connections(Some(facts)),
            connections_omitted: facts.connections_omitted.iter().map(OmittedReport::from).collect(),
            other_connections: facts.other_connections,
            findings: findings.collect(),
            baseline: judgment.comparison.as_ref().map(ComparisonReport::from),
            gaps: judgment.gaps.iter().map(GapReport::from).collect(),
            not_judged: judgment.not_judged.iter().map(NotJudgedReport::from).collect(),
            rules_off: judgment.off.iter().map(|rule| rule.id.to_owned()).collect(),
            rules_skipped: judgment.skipped.iter().map(|rule| rule.id.to_owned()).collect(),
            compliance: judgment.controls.iter().map(ControlReport::from).collect(),
            policy: None,
            policy_origin: None,
            verdict: judgment.verdict.into(),
        }
    }

    /// The report on a cluster that could not be judged at all.
    pub(super) fn unjudged(summary: &Summary, time: i64) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            tool: Tool::new(time),
            cluster: Cluster::unknown(summary.cluster.as_deref()),
            dns: Vec::new(),
            probes: Vec::new(),
            enis: Vec::new(),
            nodes: Vec::new(),
            node_traffic: Vec::new(),
            seen_from: Sights(None),
            seen_from_omitted: 0,
            architecture: Vec::new(),
            connections: Connections(None),
            connections_omitted: Vec::new(),
            other_connections: 0,
            findings: Vec::new(),
            baseline: None,
            gaps: summary.unjudged.iter().map(GapReport::from).collect(),
            not_judged: Vec::new(),
            rules_off: Vec::new(),
            rules_skipped: summary.skipped.iter().map(|rule| rule.id.to_owned()).collect(),
            compliance: Vec::new(),
            policy: PolicyReport::new(&summary.policy),
            policy_origin: Some(summary.policy.origin.into()),
            verdict: summary.verdict().into(),
        }
    }
}
