//! The types of `--format json`: the schemas `eks-netcheck.report.v1` and, of several
//! clusters, `eks-netcheck.reports.v1`. The model may change without them.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::probe::{ProbeReport, probes};
use super::words::{
    Access, By, DifferenceKind, Direction, Kind, LegKind, Path, PlaceKind, PolicyNoteKind, PolicyOrigin,
    Reaches, Resolves, SeenBy, Severity, SightResult, Status, TrafficPath, Verdict, Why,
};
use crate::model::architecture;
use crate::model::audit::{Audited, PolicyUsed, Summary, Unjudged};
use crate::model::connection::{Connection, OmittedConnections};
use crate::model::facts::{ClassifiedInterface, Facts, InterfaceKind};
use crate::model::judgment::{self, Acceptance, JudgedFinding, JudgedGap, NotJudged, PolicyNote, Waiver};
use crate::model::node::Node;
use crate::model::rule::{Check, Step};
use crate::model::traffic;
use crate::report::remediation;

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
    /// Evidence that was not seen.
    gaps: Vec<GapReport>,
    /// Rules that were not judged for lack of evidence; the verdict does not depend on them.
    not_judged: Vec<NotJudgedReport>,
    /// Rules that the policy switches off.
    rules_off: Vec<String>,
    /// The policy; null for the default policy. In a report on several clusters, it is at the top level.
    policy: Option<PolicyReport>,
    /// Where the policy is from; null in a report on several clusters, which has it at the top level.
    policy_origin: Option<PolicyOrigin>,
    verdict: Verdict,
}

/// Reports on several clusters.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "eks-netcheck.reports.v1")]
pub(super) struct Reports<'a> {
    /// Always `eks-netcheck.reports.v1`.
    schema: String,
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
    pub(super) fn new(clusters: Vec<Report<'a>>, summary: &Summary) -> Self {
        Self {
            schema: REPORTS_SCHEMA.to_owned(),
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

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct PolicyReport {
    /// The path of the file; `-` for standard input.
    file: String,
    /// Notes to the owner of the policy.
    notes: Vec<PolicyNoteReport>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct PolicyNoteReport {
    line: usize,
    kind: PolicyNoteKind,
    text: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Cluster {
    name: String,
    arn: Option<String>,
    region: Option<String>,
    /// As EKS reports it: ACTIVE, CREATING, ...
    status: Option<String>,
    endpoint: Option<String>,
    /// public, public-and-private, private or unknown.
    access: Access,
    /// The CIDR blocks that may reach the public endpoint; 0.0.0.0/0 where none is recorded.
    public_access_cidrs: Vec<String>,
    /// The sources that may reach port 443 of the EKS-owned ENIs, by their security groups; null if not seen.
    private_access_sources: Option<Vec<String>>,
    vpc: Option<String>,
    control_plane_egress_mode: Option<String>,
    /// Subnets of the EKS-owned ENIs from which nothing leads out of the VPC, where the control plane's traffic is routed
    /// through it (`CUSTOMER_ROUTED`); null if it is not, or the routes were not seen.
    control_plane_subnets_without_egress: Option<Vec<String>>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Dns {
    /// `here`, or a node's name.
    vantage: String,
    addresses: Vec<IpAddr>,
    /// Lines of the answer that are not addresses: CNAMEs and comments.
    aside: Vec<String>,
    /// The TTL in seconds, where it was recorded.
    ttl: Option<u32>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Eni {
    id: String,
    addresses: Vec<IpAddr>,
    /// Whether it belongs to this cluster's control plane.
    eks_owned: bool,
    kind: Kind,
    /// Why it belongs to the control plane, or why it does not although it resembles one that does.
    why: Option<String>,
    description: String,
    zone: Option<String>,
    owner: String,
    requester: Option<String>,
    instance_owner: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct NodeReport {
    name: String,
    status: Status,
    /// How its sockets were read: ssh, kubectl, ssm, bundle or file; null if they were not.
    via: Option<String>,
    /// The number of sockets.
    sockets: u64,
    /// The number of lines that are not sockets.
    skipped_lines: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct NodeTraffic {
    node: String,
    path: TrafficPath,
    /// kubelet, and kube-proxy where it was seen or is required.
    components: Vec<ComponentTraffic>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ComponentTraffic {
    component: String,
    /// By established connections alone: none where there are only attempts.
    path: TrafficPath,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ConnectionReport {
    node: String,
    /// The first process that the row names.
    process: Option<String>,
    pid: Option<u32>,
    /// As `ss` prints it.
    state: String,
    local: String,
    peer: String,
    direction: Direction,
    path: Path,
    /// What attributed the peer.
    by: By,
    eni: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct OmittedReport {
    node: String,
    /// The first process that their rows name; null where `peer` is.
    process: Option<String>,
    /// With `*` for the port of a client; null for peers and processes of which none is in `connections`, since the node
    /// has too many.
    peer: Option<String>,
    /// As `ss` prints it.
    state: String,
    path: Path,
    count: u64,
}

/// The connections, each converted when it is written: there may be many.
#[derive(Debug)]
struct Connections<'a>(&'a Facts);

impl Serialize for Connections<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let connections = self.0.connections.iter();
        serializer.collect_seq(connections.map(|connection| ConnectionReport::new(connection, self.0)))
    }
}

#[derive(Debug, Serialize, JsonSchema)]
struct SightReport {
    /// `here`, a node, or another vantage point.
    place: String,
    kind: PlaceKind,
    address: IpAddr,
    /// Whether the endpoint's name resolves to the address there; unknown without an answer.
    resolves: Resolves,
    /// Whether a process there has an established connection to it, or a probe connected; no if a probe failed, or all
    /// connections hang in SYN-SENT.
    reaches: Reaches,
    path: Path,
    eni: Option<String>,
    /// The evidence: dns, socket, probe.
    by: Vec<SeenBy>,
}

/// What each place sees, each row converted when it is written.
#[derive(Debug)]
struct Sights<'a>(&'a Facts);

impl Serialize for Sights<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(facts) = self;
        let rows = facts.seen_from.sights.iter().filter_map(|sight| {
            let place = facts.seen_from.places.get(sight.place)?;
            let view = &sight.view;
            Some(SightReport {
                place: place.name.clone(),
                kind: place.kind.into(),
                address: sight.address,
                resolves: view.resolves.into(),
                reaches: view.reaches.into(),
                path: view.path.into(),
                eni: sight.eni.map(|index| facts.interfaces[index].interface.id.clone()),
                by: view.by.iter().map(|by| SeenBy::from(*by)).collect(),
            })
        });
        serializer.collect_seq(rows)
    }
}

#[derive(Debug, Serialize, JsonSchema)]
struct LegReport {
    leg: LegKind,
    /// The ways that the access mode makes expected, hop by hop.
    expected: Vec<String>,
    /// What sockets, probes and DNS answers show, those that are alike as one.
    observed: Vec<ObservationReport>,
    /// The number of observations that are not in `observed`.
    observed_omitted: usize,
    differs: Vec<DifferenceReport>,
    not_seen: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ObservationReport {
    text: String,
    by: SeenBy,
    result: SightResult,
    path: Path,
    /// The processes that have the connections, at most 50.
    processes: Vec<String>,
    /// `here`, or at most 50 nodes.
    places: Vec<String>,
    /// The number of all places.
    places_total: usize,
    /// The far ends, at most 50: addresses, with the ids of EKS-owned ENIs or the kinds of other interfaces.
    peers: Vec<String>,
    /// The number of all far ends.
    peers_total: usize,
}

#[derive(Debug, Serialize, JsonSchema)]
struct DifferenceReport {
    kind: DifferenceKind,
    text: String,
}

impl From<&architecture::Leg> for LegReport {
    fn from(leg: &architecture::Leg) -> Self {
        let difference = |difference: &architecture::Difference| DifferenceReport {
            kind: difference.kind.into(),
            text: difference.text.clone(),
        };
        Self {
            leg: leg.kind.into(),
            expected: leg.expected.iter().map(architecture::Way::text).collect(),
            observed: leg.observed.iter().map(ObservationReport::from).collect(),
            observed_omitted: leg.omitted,
            differs: leg.differs.iter().map(difference).collect(),
            not_seen: leg.not_seen.clone(),
        }
    }
}

impl From<&architecture::Observation> for ObservationReport {
    fn from(observation: &architecture::Observation) -> Self {
        Self {
            text: observation.text(),
            by: observation.by.into(),
            result: observation.result.into(),
            path: observation.path.into(),
            processes: observation.processes.kept.clone(),
            places: observation.places.kept.clone(),
            places_total: observation.places.total,
            peers: observation.peers.kept.clone(),
            peers_total: observation.peers.total,
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

#[derive(Debug, Serialize, JsonSchema)]
struct FindingReport {
    rule: String,
    severity: Severity,
    /// An ARN, an id or a node.
    subject: String,
    /// The part of the subject, where a rule can find several: a peer, an attribute.
    about: Option<String>,
    message: String,
    /// What resolves it, as text.
    remediation: String,
    /// The same as steps, where they depend on the cluster; those of all findings of the rule.
    steps: Vec<StepReport>,
    /// Whether it does not count because of a waiver.
    waived: bool,
    /// Its waiver, which may have expired.
    waiver: Option<WaiverReport>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct WaiverReport {
    resource: String,
    reason: String,
    owner: String,
    /// As written in the policy.
    expires: String,
    expired: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
struct GapReport {
    what: String,
    why: Why,
    detail: String,
    /// The next step.
    hint: String,
    /// The rules that are inconclusive without it.
    rules: Vec<String>,
    /// Whether it does not count because of an acceptance.
    is_accepted: bool,
    /// The acceptance of the policy that matches it, which may have expired.
    accepted: Option<AcceptanceReport>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct AcceptanceReport {
    subject: String,
    reason: String,
    owner: String,
    /// As written in the policy.
    expires: String,
    expired: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct StepReport {
    text: String,
    command: Option<String>,
    /// How to see that it worked.
    check: Option<CheckReport>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct CheckReport {
    text: String,
    /// The command that shows it; null where it is that of the step.
    command: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct NotJudgedReport {
    rule: String,
    /// The evidence that is missing.
    what: String,
    why: Why,
    detail: String,
    /// The next step.
    hint: String,
}

impl<'a> Report<'a> {
    /// The report on a cluster, without the policy.
    pub(super) fn new(audited: &'a Audited) -> Self {
        let Audited { facts, judgment } = audited;
        Self {
            schema: SCHEMA.to_owned(),
            cluster: Cluster::new(facts),
            dns: dns(facts),
            probes: probes(facts),
            enis: facts.interfaces.iter().map(Eni::from).collect(),
            nodes: facts.nodes.iter().map(NodeReport::from).collect(),
            node_traffic: facts.traffic.iter().map(NodeTraffic::from).collect(),
            seen_from: Sights(facts),
            seen_from_omitted: facts.seen_from.omitted,
            architecture: facts.architecture.iter().map(LegReport::from).collect(),
            connections: Connections(facts),
            connections_omitted: facts.connections_omitted.iter().map(OmittedReport::from).collect(),
            other_connections: facts.other_connections,
            findings: judgment.findings.iter().map(|judged| FindingReport::new(judged, facts)).collect(),
            gaps: judgment.gaps.iter().map(GapReport::from).collect(),
            not_judged: judgment.not_judged.iter().map(NotJudgedReport::from).collect(),
            rules_off: judgment.off.iter().map(|rule| rule.id.to_owned()).collect(),
            policy: None,
            policy_origin: None,
            verdict: judgment.verdict.into(),
        }
    }
}

impl PolicyReport {
    /// The report on a policy; `None` for the default policy.
    pub(super) fn new(policy: &PolicyUsed) -> Option<Self> {
        let note = |note: &PolicyNote| PolicyNoteReport {
            line: note.line,
            kind: note.kind.into(),
            text: note.text.clone(),
        };
        Some(Self { file: policy.path.clone()?, notes: policy.notes.iter().map(note).collect() })
    }
}

impl From<&Waiver> for WaiverReport {
    fn from(waiver: &Waiver) -> Self {
        Self {
            resource: waiver.resource.clone(),
            reason: waiver.reason.clone(),
            owner: waiver.owner.clone(),
            expires: waiver.expires.clone(),
            expired: waiver.is_expired,
        }
    }
}

impl Cluster {
    fn new(facts: &Facts) -> Self {
        let cluster = &facts.evidence.cluster;
        Self {
            name: cluster.name.clone(),
            arn: cluster.arn.clone(),
            region: cluster.region().map(str::to_owned),
            status: cluster.status.clone(),
            endpoint: cluster.endpoint.as_ref().map(|endpoint| endpoint.url.clone()),
            access: Access::from(&cluster.access),
            public_access_cidrs: cluster.public_cidrs().iter().map(ToString::to_string).collect(),
            private_access_sources: facts.private_access_sources(),
            vpc: cluster.vpc.clone(),
            control_plane_egress_mode: cluster.egress_mode.clone(),
            control_plane_subnets_without_egress: facts.subnets_without_egress.clone(),
        }
    }
}

fn dns(facts: &Facts) -> Vec<Dns> {
    let seen = facts.evidence.dns.iter().filter_map(|vantage| Some((&vantage.name, vantage.answer.seen()?)));
    seen.map(|(name, answer)| Dns {
        vantage: name.clone(),
        addresses: answer.addresses.clone(),
        aside: answer.aside.clone(),
        ttl: answer.ttl,
    })
    .collect()
}

impl From<&ClassifiedInterface> for Eni {
    fn from(known: &ClassifiedInterface) -> Self {
        let interface = &known.interface;
        let attachment = interface.attachment.as_ref();
        Self {
            id: interface.id.clone(),
            addresses: interface.addresses.clone(),
            eks_owned: known.kind == InterfaceKind::EksOwned,
            kind: known.kind.into(),
            why: Some(known.why.clone()).filter(|why| !why.is_empty()),
            description: interface.description.clone(),
            zone: Some(interface.zone.clone()).filter(|zone| !zone.is_empty()),
            owner: interface.owner.clone(),
            requester: interface.requester.clone(),
            instance_owner: attachment.and_then(|attachment| attachment.instance_owner.clone()),
        }
    }
}

impl From<&Node> for NodeReport {
    fn from(node: &Node) -> Self {
        Self {
            name: node.name.to_string(),
            status: node.status.into(),
            via: node.via.map(|via| via.as_str().to_owned()),
            sockets: node.sockets(),
            skipped_lines: node.tally.rejected,
        }
    }
}

impl From<&traffic::NodeTraffic> for NodeTraffic {
    fn from(traffic: &traffic::NodeTraffic) -> Self {
        let component = |traffic: &traffic::ComponentTraffic| ComponentTraffic {
            component: traffic.component.as_str().to_owned(),
            path: traffic.path.into(),
        };
        Self {
            node: traffic.node.to_string(),
            path: traffic.path.into(),
            components: traffic.components.iter().map(component).collect(),
        }
    }
}

impl ConnectionReport {
    fn new(connection: &Connection, facts: &Facts) -> Self {
        let process = connection.process.as_ref();
        Self {
            node: connection.node.to_string(),
            process: process.map(|process| process.name.clone()),
            pid: process.and_then(|process| process.pid),
            state: connection.socket.state.as_str().to_owned(),
            local: connection.socket.local.to_string(),
            peer: connection.socket.peer.to_string(),
            direction: connection.direction.into(),
            path: connection.attribution.path.into(),
            by: connection.attribution.by.into(),
            eni: connection.attribution.eni.map(|index| facts.interfaces[index].interface.id.clone()),
        }
    }
}

impl From<&OmittedConnections> for OmittedReport {
    fn from(omitted: &OmittedConnections) -> Self {
        let kind = omitted.kind.as_ref();
        Self {
            node: omitted.node.to_string(),
            process: kind.and_then(|kind| Some(kind.process.as_ref()?.name.clone())),
            peer: kind.map(|kind| kind.socket.peer.to_string()),
            state: omitted.state.as_str().to_owned(),
            path: omitted.path.into(),
            count: omitted.count,
        }
    }
}

impl FindingReport {
    fn new(judged: &JudgedFinding, facts: &Facts) -> Self {
        Self {
            rule: judged.rule.id.to_owned(),
            severity: judged.severity.into(),
            subject: judged.finding.subject.clone(),
            about: judged.finding.about.clone(),
            message: judged.finding.message.clone(),
            remediation: remediation::of(judged, facts),
            steps: judged.steps.iter().map(StepReport::from).collect(),
            waived: judged.waived_by().is_some(),
            waiver: judged.waiver.as_ref().map(WaiverReport::from),
        }
    }
}

impl From<&JudgedGap> for GapReport {
    fn from(judged: &JudgedGap) -> Self {
        let gap = &judged.gap;
        Self {
            what: gap.subject.to_string(),
            why: gap.why.into(),
            detail: gap.detail.clone(),
            hint: gap.hint.clone(),
            rules: judged.rules.iter().map(|rule| rule.id.to_owned()).collect(),
            is_accepted: judged.accepted_by().is_some(),
            accepted: judged.accepted.as_ref().map(AcceptanceReport::from),
        }
    }
}

impl From<&Acceptance> for AcceptanceReport {
    fn from(accepted: &Acceptance) -> Self {
        Self {
            subject: accepted.subject.clone(),
            reason: accepted.reason.clone(),
            owner: accepted.owner.clone(),
            expires: accepted.expires.clone(),
            expired: accepted.is_expired,
        }
    }
}

impl From<&Check> for CheckReport {
    fn from(Check { text, command }: &Check) -> Self {
        Self { text: text.clone(), command: command.clone() }
    }
}

impl From<&Step> for StepReport {
    fn from(Step { text, command, check }: &Step) -> Self {
        Self { text: text.clone(), command: command.clone(), check: check.as_ref().map(CheckReport::from) }
    }
}

impl From<&NotJudged> for NotJudgedReport {
    fn from(NotJudged { rule, gap }: &NotJudged) -> Self {
        Self {
            rule: rule.id.to_owned(),
            what: gap.subject.to_string(),
            why: gap.why.into(),
            detail: gap.detail.clone(),
            hint: gap.hint.clone(),
        }
    }
}
