//! The section of a cluster, its row in the overview, and the banner above all.

use std::collections::BTreeMap;

use serde::Serialize;

use super::connections::{self, ConnectionRow};
use super::diagram::LegView;
use super::findings::{self, FindingsView};
use super::gaps::{GapsView, NotJudgedView};
use super::list::{self, List};
use super::nodes::NodesView;
use super::words::{path_class, verdict_mark, verdict_word};
use crate::model::audit::{Audited, Summary};
use crate::model::cluster::{Cluster, Hosting};
use crate::model::facts::{ClassifiedInterface, Facts, InterfaceKind};
use crate::model::judgment::{ControlResult, ControlStatus, Judgment, Verdict};
use crate::model::text::capital;
use crate::report::answer;
use crate::report::entry::about;
use crate::report::names::Names;
use crate::report::node_traffic;
use crate::report::probe::probes;
use crate::report::seen_from;
use crate::report::text::cell;
use crate::report::via::read_by;

/// The number of CIDR blocks and groups that are listed.
const BLOCKS_MAX: usize = 50;
/// The number of places, those with the same answers as one, whose probes are listed.
const PROBES_MAX: usize = 50;
/// The number of addresses of an interface that are listed.
const ADDRESSES_MAX: usize = 10;

/// The section of a cluster.
#[derive(Serialize)]
pub(super) struct Section<'a> {
    id: &'a str,
    is_many: bool,
    /// Its name among several.
    label: String,
    banner: Banner,
    facts: Vec<(&'static str, String)>,
    findings: Vec<FindingsView>,
    controls: Vec<ControlRow>,
    legs: Vec<LegView>,
    nodes: NodesView,
    connections: List<ConnectionRow>,
    omitted: u64,
    seen_from: (Vec<SeenFromRow>, usize),
    enis: Option<EnisView>,
    /// What is probed, and from where.
    probes: List<(String, List<(String, String)>)>,
    gaps: GapsView,
    not_judged: List<NotJudgedView>,
    off: Vec<&'static str>,
    skipped: Vec<&'static str>,
}

impl<'a> Section<'a> {
    pub(super) fn new(audited: &'a Audited, id: &'a str, number: usize, is_many: bool) -> Self {
        let Audited { facts, judgment } = audited;
        Self {
            id,
            is_many,
            label: label(&facts.evidence.cluster, number),
            banner: Banner::new(audited),
            facts: settings(facts),
            findings: findings::all(&judgment.findings, facts, &Names::of(facts), id),
            controls: judgment.controls.iter().map(ControlRow::new).collect(),
            legs: facts.architecture.iter().map(LegView::new).collect(),
            nodes: NodesView::new(facts),
            connections: connections::rows(facts),
            omitted: facts.connections_omitted.iter().map(|omitted| omitted.count).sum(),
            seen_from: seen_from_rows(facts),
            enis: EnisView::new(facts),
            probes: list::of(&probes(facts), PROBES_MAX, |(vantage, answers)| {
                (vantage.clone(), list::of(answers, list::MAX, Clone::clone))
            }),
            gaps: GapsView::new(&judgment.gaps),
            not_judged: NotJudgedView::all(&judgment.not_judged, &Names::of(facts)),
            off: judgment.off.iter().map(|rule| rule.id).collect(),
            skipped: judgment.skipped.iter().map(|rule| rule.id).collect(),
        }
    }
}

/// The name of a cluster with its number, region and account: other clusters may have the same
/// name, and a recording need not have the account.
fn label(cluster: &Cluster, number: usize) -> String {
    let parts = [Some(cluster.name.as_str()), cluster.region(), cluster.account()];
    let parts = parts.into_iter().flatten().map(cell).collect::<Vec<_>>();
    format!("{number}. {}", parts.join(", "))
}

/// The verdict with its reason.
#[derive(Debug, Serialize)]
pub(super) struct Banner {
    verdict: &'static str,
    mark: &'static str,
    class: &'static str,
    reason: String,
    /// The path of the nodes' traffic.
    answer: String,
}

impl Banner {
    pub(super) fn new(audited: &Audited) -> Self {
        let judgment = &audited.judgment;
        Self {
            verdict: verdict_word(judgment.verdict),
            mark: verdict_mark(judgment.verdict),
            class: judgment.verdict.as_str(),
            reason: answer::reason(judgment),
            answer: capital(&node_traffic::sentence(audited, |_, words| words.to_owned())) + ".",
        }
    }

    /// That of a report on several clusters.
    pub(super) fn of_all(summary: &Summary) -> Self {
        let verdict = summary.verdict();
        let more = [answer::unjudged(summary), answer::not_selected(&summary.skipped)].into_iter().flatten();
        let sentences = [capital(&answer::verdicts(summary.counts))].into_iter().chain(more);
        Self {
            verdict: verdict_word(verdict),
            mark: verdict_mark(verdict),
            class: verdict.as_str(),
            reason: sentences.map(|text| text + ".").collect::<Vec<_>>().join(" "),
            answer: String::new(),
        }
    }
}

/// The finding, or the gap, that decides the verdict.
fn worst(facts: &Facts, judgment: &Judgment) -> String {
    let worst = judgment.findings.first().filter(|judged| judged.counts());
    let needed = judgment.gaps.iter().find(|gap| gap.needed);
    match (judgment.verdict, worst, needed) {
        (Verdict::Inconclusive, _, Some(gap)) => format!("not seen: {}", gap.gap.problem()),
        (_, Some(worst), _) => {
            format!("{}: {}", worst.rule.id, about(&worst.finding, &facts.evidence.cluster))
        }
        _ => String::new(),
    }
}

/// A row of the overview.
#[derive(Serialize)]
pub(super) struct Row {
    id: String,
    pub(super) has_section: bool,
    pub(super) name: String,
    region: String,
    account: String,
    access: &'static str,
    #[serde(skip)]
    pub(super) verdict: Verdict,
    word: &'static str,
    mark: &'static str,
    class: &'static str,
    findings: usize,
    reason: String,
}

impl Row {
    pub(super) fn new(audited: &Audited, id: String) -> Self {
        let Audited { facts, judgment } = audited;
        let cluster = &facts.evidence.cluster;
        Self {
            id,
            has_section: true,
            name: cell(&cluster.name),
            region: cell(cluster.region().unwrap_or("–")),
            account: cell(cluster.account().unwrap_or("–")),
            access: cluster.access.as_str(),
            verdict: judgment.verdict,
            word: verdict_word(judgment.verdict),
            mark: verdict_mark(judgment.verdict),
            class: judgment.verdict.as_str(),
            findings: judgment.findings.iter().filter(|judged| judged.counts()).count(),
            reason: cell(&match worst(facts, judgment) {
                text if text.is_empty() => answer::reason(judgment),
                text => text,
            }),
        }
    }
}

/// A row of the table of controls.
#[derive(Serialize)]
struct ControlRow {
    standard: &'static str,
    id: &'static str,
    title: &'static str,
    status: &'static str,
    class: &'static str,
    mapping: &'static str,
    rules: String,
}

impl ControlRow {
    fn new(result: &ControlResult) -> Self {
        let (status, class) = match result.status {
            ControlStatus::Pass => ("met", "pass"),
            ControlStatus::Waived => ("not met, and waived", "plain"),
            ControlStatus::Unknown => ("not known", "inconclusive"),
            ControlStatus::Fail => ("not met", "fail"),
        };
        let rules: Vec<_> = result.rules.iter().map(|rule| rule.id).collect();
        Self {
            standard: result.control.standard.name(),
            id: result.control.id,
            title: result.control.title,
            status,
            class,
            mapping: result.control.mapping.note(),
            rules: rules.join(", "),
        }
    }
}

/// The settings of the cluster, each with its name.
fn settings(facts: &Facts) -> Vec<(&'static str, String)> {
    let cluster = &facts.evidence.cluster;
    let or_unknown = |text: Option<&str>| text.unwrap_or("not recorded").to_owned();
    let mut rows = vec![
        ("Cluster", cluster.name.clone()),
        ("Region", or_unknown(cluster.region())),
        ("Account", or_unknown(cluster.account())),
        ("Status", or_unknown(cluster.status.as_deref())),
        (
            "Endpoint",
            match (&cluster.endpoint, &cluster.hosting) {
                (Some(endpoint), _) => endpoint.url.clone(),
                (None, Hosting::Connector) => "none: registered through EKS Connector".to_owned(),
                (None, _) => "none yet".to_owned(),
            },
        ),
        ("Endpoint access", cluster.access.as_str().to_owned()),
    ];
    let cidrs: Vec<_> = cluster.public_cidrs().iter().map(ToString::to_string).collect();
    if !cidrs.is_empty() {
        rows.push(("Public endpoint admits", list::names(cidrs.iter().map(String::as_str), BLOCKS_MAX)));
    }
    if let Some(sources) = facts.private_access_sources() {
        let sources = match sources.as_slice() {
            [] => "no source".to_owned(),
            sources => list::names(sources.iter().map(String::as_str), BLOCKS_MAX),
        };
        rows.push(("Private endpoint admits", format!("{sources} to port {}", cluster.api_port())));
    }
    rows.extend(cluster.vpc.clone().map(|vpc| ("VPC", vpc)));
    rows.extend(cluster.egress_mode.clone().map(|mode| ("Control plane egress mode", mode)));
    if let Some(subnets) = facts.subnets_without_egress.as_deref().filter(|subnets| !subnets.is_empty()) {
        let subnets = list::names(subnets.iter().map(String::as_str), BLOCKS_MAX);
        let text = format!(
            "{subnets}: webhooks, OIDC providers and aggregated APIs outside the VPC cannot be reached"
        );
        rows.push(("No way out in", text));
    }
    rows.extend(read_by(facts).map(|text| ("Nodes", text)));
    if cluster.auto_mode {
        rows.push(("Auto Mode", "on: its nodes do not accept ssh".to_owned()));
    }
    rows
}

/// A row of what places see of the API server.
#[derive(Serialize)]
struct SeenFromRow {
    class: &'static str,
    cells: [String; 5],
}

fn seen_from_rows(facts: &Facts) -> (Vec<SeenFromRow>, usize) {
    let (rows, more) = seen_from::rows(facts, |name| name);
    let groups = facts.seen_from.groups();
    let classes = groups.iter().map(|group| path_class(group.view.path));
    (rows.into_iter().zip(classes).map(|(cells, class)| SeenFromRow { class, cells }).collect(), more)
}

/// The network interfaces.
#[derive(Serialize)]
struct EnisView {
    owned: List<EniRow>,
    /// Interfaces that resemble EKS-owned ones.
    resembling: List<(String, String)>,
    others: String,
}

/// A row of the table of EKS-owned ENIs.
#[derive(Serialize)]
struct EniRow {
    id: String,
    addresses: String,
    zone: String,
    requester: String,
    owner: String,
    instance_owner: String,
}

impl EnisView {
    fn new(facts: &Facts) -> Option<Self> {
        facts.evidence.network.interfaces.seen()?;
        let owned: Vec<_> = facts.eks_owned().collect();
        let others = || facts.interfaces.iter().filter(|known| known.kind != InterfaceKind::EksOwned);
        let resembling: Vec<_> = others().filter(|known| !known.why.is_empty()).collect();
        let mut kinds: BTreeMap<InterfaceKind, usize> = BTreeMap::new();
        for known in others() {
            *kinds.entry(known.kind).or_default() += 1;
        }
        let kinds: Vec<_> =
            kinds.iter().map(|(kind, number)| format!("{number} {}", kind.as_str())).collect();
        Some(Self {
            owned: list::of(&owned, list::MAX, |known| EniRow::new(known)),
            resembling: list::of(&resembling, list::MAX, |known| {
                (known.interface.id.clone(), known.why.clone())
            }),
            others: kinds.join(", "),
        })
    }
}

impl EniRow {
    fn new(known: &ClassifiedInterface) -> Self {
        let interface = &known.interface;
        let addresses: Vec<_> =
            interface.addresses.iter().take(ADDRESSES_MAX).map(ToString::to_string).collect();
        let more = match interface.addresses.len().saturating_sub(ADDRESSES_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let attachment = interface.attachment.as_ref();
        let instance_owner = attachment.and_then(|attachment| attachment.instance_owner.as_deref());
        Self {
            id: cell(&interface.id),
            addresses: addresses.join(", ") + &more,
            zone: cell(&interface.zone),
            requester: cell(interface.requester.as_deref().unwrap_or("–")),
            owner: cell(&interface.owner),
            instance_owner: cell(instance_owner.unwrap_or("–")),
        }
    }
}
