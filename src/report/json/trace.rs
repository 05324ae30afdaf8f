//! `trace` and `diff` as JSON: the schema `eks-netcheck.trace.v1`.

use std::io::{Result, Write};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::gap::GapReport;
use super::policy::PolicyReport;
use super::words::{By, Direction, Path, PolicyOrigin, Severity, TrafficPath, Verdict};
use crate::model::audit::TraceJudgment;
use crate::model::gap::Gap;
use crate::model::judgment::{JudgedFinding, Judgment};
use crate::model::trace::{self, Moment, Sighting, Trace, TracedConnection};
use crate::report::format::TraceFormat;
use crate::report::pretty::write_pretty;

/// The format.
pub const FORMAT: TraceFormat = TraceFormat {
    name: "json",
    help: "For programs, schema eks-netcheck.trace.v1",
    write: |trace, judgment, _, out| write_pretty(&TraceReport::new(trace, judgment), out),
};

/// The name of the schema, which changes with its shape.
const SCHEMA: &str = "eks-netcheck.trace.v1";

/// What changed between samples of the nodes' sockets.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "eks-netcheck.trace.v1")]
pub struct TraceReport {
    /// Always `eks-netcheck.trace.v1`.
    schema: String,
    cluster: Option<String>,
    /// The program and its arguments; null for recordings, and where no command was given.
    command: Option<Vec<String>>,
    /// The exit code of the command; 128 plus the number of the signal if one terminated it.
    exit_code: Option<u8>,
    /// The duration of the command in seconds.
    lasted: Option<f64>,
    /// The time before the first sample, in RFC 3339; null for recordings.
    began: Option<String>,
    /// The number of samples of all nodes.
    samples: u64,
    /// The number of samples that were due and not taken.
    missed: u64,
    nodes: Vec<NodeReport>,
    /// The connections that changed; others are not listed.
    changes: Vec<ChangeReport>,
    /// The components of nodes whose traffic to the API server took another path in the second recording, where both show it; empty for a trace.
    traffic_changes: Vec<TrafficChangeReport>,
    /// The number of connections between the API server and nodes that did not change.
    unchanged: usize,
    /// The number of those of which it is not known if they changed, since their node was not seen before or after.
    undetermined: usize,
    /// The number of established connections from the API server to kubelets that existed before the action and did not end: it may have reused them, for logs, proxy and metrics, which samples do not show.
    pooled: usize,
    /// The findings of the rules, with --fail-on.
    findings: Vec<FindingReport>,
    /// Evidence that was not seen.
    gaps: Vec<GapReport>,
    /// The policy; null for the default policy, and without --fail-on.
    policy: Option<PolicyReport>,
    /// Where the policy is from; null without --fail-on.
    policy_origin: Option<PolicyOrigin>,
    /// Null without --fail-on.
    verdict: Option<Verdict>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct NodeReport {
    name: String,
    samples: u64,
    missed: u64,
    /// Whether the kernel also reported sockets that were closed between two samples.
    tells_ends: bool,
    /// The largest number of inbound connections, on any port, that were opened after the last sample before the
    /// action and that nothing here shows: the kernel counted them. Null if not known.
    unseen_inbound: Option<u64>,
    /// The parts of the trace in which it was not seen, or not to their end. A node is compared if neither `before` nor `after` is among them.
    unknown: Vec<Phase>,
    /// The longest time between two samples in seconds, from the last one before the action on; null for recordings.
    longest_gap: Option<f64>,
}

/// A change of the path of a component's traffic on a node.
#[derive(Debug, Serialize, JsonSchema)]
struct TrafficChangeReport {
    node: String,
    component: String,
    /// By established connections alone: none where there are only attempts.
    before: TrafficPath,
    after: TrafficPath,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ChangeReport {
    node: String,
    /// The first process that the row names. Where none does, as where only the close of a socket was reported, the
    /// process that listens on its port, or kubelet for port 10250; `pid` is null then.
    process: Option<String>,
    pid: Option<u32>,
    /// As `ss` printed it when it was last seen.
    state: String,
    local: String,
    peer: String,
    direction: Direction,
    path: Path,
    /// What attributed the peer.
    by: By,
    eni: Option<String>,
    change: Change,
    /// The parts of the trace that it existed in: the last sample before the action, any during it, the last of all; for a connection that appeared after the action, any after it.
    there: Vec<Phase>,
    /// The parts of the trace in which its node was not seen, or not to their end.
    unknown: Vec<Phase>,
    /// What it is, which shows whether the action may be the reason.
    role: Role,
    /// Whether it changed for a reason other than the action: probes, metrics-server, other programs, restarts, idle connections that the API server closed.
    background: bool,
    /// The number of samples that contain it; 0 if only its close was reported.
    samples: u64,
    /// The first sample that contains it; null for recordings.
    first_seen: Option<Seen>,
    last_seen: Option<Seen>,
}

/// A time by two clocks.
#[derive(Debug, Serialize, JsonSchema)]
struct Seen {
    /// When the sample arrived, in seconds since `began`.
    arrived: f64,
    /// When it was taken, by the node's own clock, in seconds since 1970; null if not known.
    node_clock: Option<f64>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Change {
    /// Absent before, present at the end, or in the last sample of a node that was lost.
    Appeared,
    /// Present before, ended since.
    Gone,
    /// Present during the action only, or after it only.
    Transient,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Phase {
    Before,
    During,
    After,
}

/// What a connection is in a trace.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Role {
    /// From the API server to the kubelet, as an exec needs one.
    Inbound,
    /// Between kubelet and container runtime over loopback: it carries the stream of an exec.
    Stream,
    /// From a process of the node to the API server.
    Outbound,
    /// It changed with the restart of its process.
    Restart,
    /// Inbound, and it existed before the action and ended: the API server closes idle ones. Or a stream that did.
    Pool,
    /// Probes, metrics-server, other programs; also what appeared after the action.
    Other,
}

#[derive(Debug, Serialize, JsonSchema)]
struct FindingReport {
    rule: String,
    severity: Severity,
    subject: String,
    message: String,
}

impl TraceReport {
    /// The report on a trace and its judgment.
    #[must_use]
    pub fn new(trace: &Trace, judged: Option<&TraceJudgment>) -> Self {
        let judgment = judged.map(|judged| &judged.judgment);
        let policy = judged.map(|judged| &judged.policy);
        let command = trace.command.as_ref();
        let has_during = trace.began.is_some();
        let changes: Vec<_> =
            trace.connections.iter().filter_map(|traced| ChangeReport::new(traced, has_during)).collect();
        let undetermined =
            trace.connections.iter().filter(|traced| traced.presence.is_undetermined()).count();
        Self {
            schema: SCHEMA.to_owned(),
            cluster: trace.cluster.clone(),
            command: command.map(|ran| ran.words.clone()),
            exit_code: command.map(|ran| ran.exit_code),
            lasted: command.map(|ran| seconds(ran.duration)),
            began: trace.began.clone(),
            samples: trace.nodes.iter().map(|node| node.samples).sum(),
            missed: trace.nodes.iter().map(|node| node.missed).sum(),
            nodes: trace.nodes.iter().map(NodeReport::from).collect(),
            unchanged: trace.connections.len() - changes.len() - undetermined,
            undetermined,
            pooled: trace.connections.iter().filter(|traced| traced.is_pooled()).count(),
            changes,
            traffic_changes: trace.traffic.iter().map(Into::into).collect(),
            findings: judgment
                .map(|judgment| judgment.findings.iter().map(FindingReport::from).collect())
                .unwrap_or_default(),
            gaps: gaps(trace, judgment).map(GapReport::from).collect(),
            policy: policy.and_then(PolicyReport::new),
            policy_origin: policy.map(|policy| policy.origin.into()),
            verdict: judgment.map(|judgment| judgment.verdict.into()),
        }
    }
}

/// The gaps of the trace, and those that the verdict needed.
fn gaps<'a>(trace: &'a Trace, judgment: Option<&'a Judgment>) -> impl Iterator<Item = &'a Gap> {
    let judged = judgment.into_iter().flat_map(|judgment| &judgment.gaps);
    let needed = judged.filter(|judged| judged.needed).map(|judged| &judged.gap);
    trace.gaps.iter().chain(needed.filter(|gap| !trace.gaps.contains(gap)))
}

impl From<&trace::TracedNode> for NodeReport {
    fn from(node: &trace::TracedNode) -> Self {
        Self {
            name: node.name.to_string(),
            samples: node.samples,
            missed: node.missed,
            tells_ends: node.has_close_events,
            unseen_inbound: node.unseen_inbound,
            unknown: node.coverage.unseen.iter().copied().map(Phase::from).collect(),
            longest_gap: node.coverage.longest_gap.map(seconds),
        }
    }
}

impl From<&trace::TrafficChange> for TrafficChangeReport {
    fn from(change: &trace::TrafficChange) -> Self {
        Self {
            node: change.node.to_string(),
            component: change.component.as_str().to_owned(),
            before: change.before.into(),
            after: change.after.into(),
        }
    }
}

impl ChangeReport {
    fn new(traced: &TracedConnection, has_during: bool) -> Option<Self> {
        let phases = |sighting| phases(traced.presence, sighting, has_during);
        let connection = &traced.connection;
        let process = connection.process.as_ref();
        Some(Self {
            node: connection.node.to_string(),
            process: process.map(|process| process.name.clone()),
            pid: process.and_then(|process| process.pid),
            state: connection.socket.state.as_str().to_owned(),
            local: connection.socket.local.to_string(),
            peer: connection.socket.peer.to_string(),
            direction: connection.direction.into(),
            path: connection.attribution.path.into(),
            by: connection.attribution.by.into(),
            eni: traced.eni.as_ref().map(|eni| eni.id.clone()),
            change: traced.presence.change()?.into(),
            there: if traced.presence.is_after_only { vec![Phase::After] } else { phases(Sighting::Present) },
            unknown: phases(Sighting::Unknown),
            role: traced.role.into(),
            background: traced.role.is_background(),
            samples: traced.samples,
            first_seen: traced.seen.map(|(first, _)| first.into()),
            last_seen: traced.seen.map(|(_, last)| last.into()),
        })
    }
}

/// The phases with a sighting. A diff has none during an action, except for what follows from
/// the others.
fn phases(presence: trace::Presence, sighting: Sighting, has_during: bool) -> Vec<Phase> {
    use trace::Phase::{After, Before, During};
    let is_known = |phase| has_during || phase != During || sighting == Sighting::Present;
    let all = [Before, During, After].into_iter();
    all.filter(|phase| is_known(*phase) && presence.of(*phase) == sighting).map(Phase::from).collect()
}

impl From<trace::Phase> for Phase {
    fn from(phase: trace::Phase) -> Self {
        match phase {
            trace::Phase::Before => Self::Before,
            trace::Phase::During => Self::During,
            trace::Phase::After => Self::After,
        }
    }
}

impl From<trace::Role> for Role {
    fn from(role: trace::Role) -> Self {
        match role {
            trace::Role::Inbound => Self::Inbound,
            trace::Role::Stream => Self::Stream,
            trace::Role::Outbound => Self::Outbound,
            trace::Role::Restart => Self::Restart,
            trace::Role::Pool => Self::Pool,
            trace::Role::Other => Self::Other,
        }
    }
}

impl From<Moment> for Seen {
    fn from(moment: Moment) -> Self {
        Self { arrived: seconds(moment.arrived), node_clock: moment.node.map(seconds) }
    }
}

impl From<trace::Change> for Change {
    fn from(change: trace::Change) -> Self {
        match change {
            trace::Change::Appeared => Self::Appeared,
            trace::Change::Gone => Self::Gone,
            trace::Change::Transient => Self::Transient,
        }
    }
}

impl From<&JudgedFinding> for FindingReport {
    fn from(judged: &JudgedFinding) -> Self {
        Self {
            rule: judged.rule.id.to_owned(),
            severity: judged.severity.into(),
            subject: judged.finding.subject.clone(),
            message: judged.finding.message.clone(),
        }
    }
}

/// Seconds, rounded to a millisecond: no clock here is more precise.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

/// Writes the JSON Schema of the report.
///
/// # Errors
/// If `out` cannot be written to.
pub fn write_schema(out: &mut dyn Write) -> Result<()> {
    serde_json::to_writer_pretty(&mut *out, &schemars::schema_for!(TraceReport))?;
    out.write_all(b"\n")
}
