//! `--format table`: text for people, for a terminal of any width.
//!
//! The verdict and the worst finding come first, then what was seen, then what to do,
//! then what was not seen.
//!
//! Kept until the end, since the overview of several clusters comes first: a row and the
//! section of each, as text. The section of a single cluster is written at once.

mod many;
mod names;
mod nodes;
pub mod reach;
mod seen_from;
pub mod simulation;
pub mod trace;

use std::collections::{BTreeMap, HashMap};
use std::io::{Result, Write};

use self::many::Row;
use self::names::Names;
use self::nodes::{write_nodes, write_paths};
use self::seen_from::{write_architecture, write_seen_from};
use super::entry::{about, accepted_by, waived_by};
use super::format::{AuditFormat, ReportSettings, ReportWriter};
use super::probe::probes;
use super::remediation::{self, is_command, write_remediation};
use super::style::{Style, count};
use super::text::{cell, escape, lines};
use super::via::read_by;
use crate::model::audit::{Audited, Summary};
use crate::model::cluster::Hosting;
use crate::model::connection::Component;
use crate::model::facts::{Facts, InterfaceKind};
use crate::model::gap::{Gap, Subject};
use crate::model::judgment::{JudgedFinding, JudgedGap, Judgment, NotJudged, Verdict};
use crate::model::net::Interface;
use crate::model::rule::Step;
use crate::model::seen_from::HERE;
use crate::model::text::list;
use crate::model::traffic::{ComponentTraffic, NodeTraffic, TrafficPath};

/// The format.
pub const FORMAT: AuditFormat = AuditFormat {
    name: "table",
    help: "For people",
    write: |settings| {
        let ReportSettings { style, explain_paths, .. } = *settings;
        if settings.is_many {
            Box::new(Many { style, explain_paths, rows: Vec::new(), sections: Vec::new() })
        } else {
            Box::new(One { style, explain_paths })
        }
    },
};

/// The report on one cluster.
struct One {
    style: Style,
    explain_paths: bool,
}

impl ReportWriter for One {
    fn cluster(&mut self, audited: &Audited, out: &mut dyn Write) -> Result<()> {
        write_section(audited, self.explain_paths, self.style, out)
    }

    fn end(self: Box<Self>, summary: &Summary, out: &mut dyn Write) -> Result<()> {
        if !summary.unjudged.is_empty() {
            many::write(Vec::new(), summary, self.style, out)?;
        }
        write_policy(summary, self.style, out)
    }
}

/// The report on several clusters.
struct Many {
    style: Style,
    explain_paths: bool,
    rows: Vec<Row>,
    sections: Vec<u8>,
}

impl ReportWriter for Many {
    fn cluster(&mut self, audited: &Audited, _: &mut dyn Write) -> Result<()> {
        self.rows.push(Row::new(audited));
        writeln!(self.sections, "\n{}", "=".repeat(self.style.width.into()))?;
        write_section(audited, self.explain_paths, self.style, &mut self.sections)
    }

    fn end(self: Box<Self>, summary: &Summary, out: &mut dyn Write) -> Result<()> {
        many::write(self.rows, summary, self.style, out)?;
        out.write_all(&self.sections)?;
        write_policy(summary, self.style, out)
    }
}

fn write_section(audited: &Audited, explain_paths: bool, style: Style, out: &mut dyn Write) -> Result<()> {
    let Audited { facts, judgment } = audited;
    write_verdict(facts, judgment, style, out)?;
    write_cluster(facts, style, out)?;
    write_enis(facts, style, out)?;
    write_probes(facts, style, out)?;
    let names = Names::of(facts);
    write_paths(facts, &names, style, out)?;
    write_seen_from(facts, &names, style, out)?;
    if explain_paths {
        write_architecture(facts, &names, style, out)?;
    }
    write_nodes(facts, &names, style, out)?;
    write_findings(facts, &judgment.findings, style, out)?;
    write_gaps(&judgment.gaps, style, out)?;
    write_not_judged(&judgment.not_judged, style, out)?;
    if !judgment.off.is_empty() {
        let off: Vec<_> = judgment.off.iter().map(|rule| rule.id).collect();
        write!(
            out,
            "\n{}",
            style.prose(&format!("Switched off by the policy: {}.", off.join(", ")), "", "")
        )?;
    }
    Ok(())
}

fn write_verdict(facts: &Facts, judgment: &Judgment, style: Style, out: &mut dyn Write) -> Result<()> {
    let cluster = &facts.evidence.cluster;
    let name = escape(&cluster.name).into_owned();
    let waived = judgment.findings.iter().filter(|judged| judged.waived_by().is_some()).count();
    let worst = match (judgment.findings.first(), judgment.gaps.iter().find(|gap| gap.needed)) {
        (Some(worst), _) if judgment.verdict == Verdict::Fail => {
            let rest = judgment.findings.len() - waived - 1;
            let more = if rest == 0 { String::new() } else { format!("; {rest} more below") };
            format!("{} ({}{more})", escape(&about(&worst.finding, cluster)), worst.rule.id)
        }
        (_, Some(gap)) if judgment.verdict == Verdict::Inconclusive => {
            format!("could not judge: {}", escape(&gap.gap.problem()))
        }
        (Some(worst), _) if worst.waived_by().is_none() => format!(
            "nothing at or above the threshold; {} below it, the worst: {} ({})",
            count(judgment.findings.len() - waived, "finding"),
            escape(&about(&worst.finding, cluster)),
            worst.rule.id
        ),
        _ => "nothing found".to_owned(),
    };
    let worst = match waived {
        0 => worst,
        waived if judgment.verdict == Verdict::Pass => {
            format!("{worst}; {} waived", count(waived, "finding"))
        }
        _ => worst,
    };
    let is_left_out = |judged: &&JudgedGap| judged.gap.is_left_out() && judged.gap.subject == Subject::Nodes;
    let left_out = judgment.gaps.iter().filter(is_left_out);
    let is_accepted = |judged: &&JudgedGap| judged.accepted_by().is_some();
    let unseen = judgment.gaps.iter().filter(|gap| !gap.rules.is_empty());
    let unseen = unseen.filter(|gap| !is_left_out(gap) && !is_accepted(gap)).count();
    let mut worst = match judgment.verdict {
        Verdict::Pass if unseen > 0 => {
            format!("{worst}; {} needed only by rules below the threshold", count(unseen, "gap"))
        }
        _ => worst,
    };
    let accepted = judgment.gaps.iter().filter(is_accepted).count();
    if judgment.verdict == Verdict::Pass && accepted > 0 {
        worst = format!("{worst}; {} accepted by the policy", count(accepted, "gap"));
    }
    for judged in left_out {
        worst = format!("{worst}; {} not read, as requested", judged.gap.subject);
    }
    write!(out, "{}", style.verdict_line(judgment.verdict, &format!("{name}: {worst}")))?;
    if let Some(answer) = traffic(facts) {
        let indent = " ".repeat(judgment.verdict.as_str().len() + 2);
        write!(out, "{}", style.prose(&answer, &indent, &indent))?;
    }
    Ok(())
}

/// The paths of traffic in words, in the order in which they are summed up.
const PATHS: [(TrafficPath, &str); 5] = [
    (TrafficPath::Public, "over the public endpoint"),
    (TrafficPath::Mixed, "partly over the public endpoint"),
    (TrafficPath::Private, "private"),
    (TrafficPath::None, "hanging in SYN-SENT"),
    (TrafficPath::Unknown, "not known"),
];

/// The path of the nodes' traffic, as a sentence.
fn traffic(facts: &Facts) -> Option<String> {
    let total = facts.traffic.len();
    let nodes = count(total, "node");
    let of_path = |path| facts.traffic.iter().filter(move |traffic| traffic.path == path);
    let whole = PATHS.map(|(path, words)| (of_path(path).filter(|one| is_whole(one)).count(), words));
    let of = |words: &str| match (words, unknown_component(facts)) {
        ("not known", Some(component)) => format!(" for {}", component.as_str()),
        _ => String::new(),
    };
    let whole = whole.iter().filter(|(number, _)| *number > 0);
    let whole = whole.map(|(number, words)| format!("{words}{} on {number} of {nodes}", of(words)));
    let mut partial: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for one in facts.traffic.iter().filter(|one| !is_whole(one)) {
        *partial.entry(partial_path(one)).or_default() += 1;
    }
    let partial = partial.iter().map(|((words, of), number)| format!("{words} on {number} of {nodes} {of}"));
    let parts: Vec<_> = whole.chain(partial).collect();
    let components = facts.traffic.iter().flat_map(|traffic| &traffic.components);
    let has_proxy = { components }.any(|traffic| traffic.component == Component::KubeProxy);
    let subject = if has_proxy { "kubelet and kube-proxy reach" } else { "kubelet reaches" };
    (total > 0).then(|| format!("{subject} the API server: {}.", parts.join(", ")))
}

/// Whether the path of a node is that of all its components: one on the public path decides
/// it, whatever is known of the others.
fn is_whole(traffic: &NodeTraffic) -> bool {
    !traffic.path.is_known() || traffic.components.iter().all(|one| one.path.is_known())
}

/// The path of a node of which that of some components is not known; and of which components
/// it is the path, with what there is instead for the others.
fn partial_path(traffic: &NodeTraffic) -> (&'static str, String) {
    let words = |path| PATHS.iter().find(|(one, _)| *one == path).map_or("", |(_, words)| *words);
    let (known, unknown): (Vec<&ComponentTraffic>, Vec<_>) =
        traffic.components.iter().partition(|one| one.path.is_known());
    let known: Vec<_> = known.iter().map(|one| one.component.as_str()).collect();
    let unknown: Vec<_> =
        unknown.iter().map(|one| format!("{}: {}", one.component.as_str(), words(one.path))).collect();
    (words(traffic.path), format!("for {} alone ({})", known.join(" and "), unknown.join(", ")))
}

/// The only component whose path is not known on the nodes whose path is not known.
fn unknown_component(facts: &Facts) -> Option<Component> {
    let unknown = facts.traffic.iter().filter(|traffic| traffic.path == TrafficPath::Unknown);
    let components = unknown.flat_map(|traffic| &traffic.components);
    let mut unknown: Vec<_> =
        components.filter(|one| !one.path.is_known()).map(|one| one.component).collect();
    unknown.sort();
    unknown.dedup();
    let has_others = facts.traffic.iter().any(|traffic| traffic.components.len() > 1);
    match unknown.as_slice() {
        [only] if has_others => Some(*only),
        _ => None,
    }
}

fn write_cluster(facts: &Facts, style: Style, out: &mut dyn Write) -> Result<()> {
    let cluster = &facts.evidence.cluster;
    let region = cluster.region().map(|region| format!(" in {region}")).unwrap_or_default();
    let status = cluster.status.as_ref().map(|status| format!(", {status}")).unwrap_or_default();
    let mut rows = vec![("Cluster", format!("{}{region}{status}", cluster.name))];
    rows.push((
        "Endpoint",
        match (&cluster.endpoint, &cluster.hosting) {
            (Some(endpoint), _) => endpoint.url.clone(),
            (None, Hosting::Connector) => "none: registered through EKS Connector".to_owned(),
            (None, _) => "none yet".to_owned(),
        },
    ));
    rows.push(("Access", access(facts)));
    rows.extend(resolves(facts).into_iter().map(|text| ("Resolves", text)));
    if let Some(sources) = facts.private_access_sources() {
        let sources = if sources.is_empty() { "no source".to_owned() } else { sources.join(", ") };
        rows.push(("Private", format!("port {} of the ENIs admits {sources}", cluster.api_port())));
    }
    if let Some(mode) = &cluster.egress_mode {
        let without = facts.subnets_without_egress.as_deref().unwrap_or_default();
        let note = if without.is_empty() {
            String::new()
        } else {
            format!(
                "; no NAT gateway or other way out in {}: webhooks, OIDC providers and aggregated APIs outside the VPC cannot be reached",
                without.join(", ")
            )
        };
        rows.push(("Egress", format!("control plane egress mode {mode}{note}")));
    }
    rows.extend(read_by(facts).map(|text| ("Nodes", text)));
    if cluster.auto_mode {
        rows.push(("Auto Mode", "on: its nodes do not accept ssh".to_owned()));
    }
    writeln!(out)?;
    for (head, text) in rows {
        let indent = " ".repeat(10);
        let text = style.prose(&escape(&text), &indent, &indent);
        let behind = text.strip_prefix(&indent).unwrap_or(&text);
        write!(out, "{}{}{behind}", style.bold(head), " ".repeat(indent.len() - head.len()))?;
    }
    Ok(())
}

fn access(facts: &Facts) -> String {
    let cluster = &facts.evidence.cluster;
    let cidrs: Vec<_> = cluster.public_cidrs().iter().map(ToString::to_string).collect();
    match cidrs.as_slice() {
        [] => cluster.access.as_str().to_owned(),
        cidrs => format!("{}; the public endpoint admits {}", cluster.access.as_str(), cidrs.join(", ")),
    }
}

/// One line for each address that was probed.
fn write_probes(facts: &Facts, style: Style, out: &mut dyn Write) -> Result<()> {
    for (vantage, answers) in probes(facts) {
        writeln!(out, "\n{}", style.bold(&format!("Probe of the endpoint from {}", escape(vantage))))?;
        for (address, words) in answers {
            write!(out, "{}", style.prose(&escape(&format!("{address}: {words}")), "", "  "))?;
        }
    }
    Ok(())
}

fn write_enis(facts: &Facts, style: Style, out: &mut dyn Write) -> Result<()> {
    if facts.evidence.network.interfaces.seen().is_none() {
        return Ok(());
    }
    let owned: Vec<_> = facts.eks_owned().collect();
    writeln!(
        out,
        "\n{}",
        style.bold("EKS-owned network interfaces: how the control plane reaches the nodes")
    )?;
    if owned.is_empty() {
        writeln!(out, "none seen")?;
    } else {
        let mut table = style.table(["ENI", "Requester", "Owner", "Instance owner"]);
        for known in &owned {
            let interface = &known.interface;
            let instance_owner =
                interface.attachment.as_ref().and_then(|attachment| attachment.instance_owner.as_deref());
            let cells = [
                eni_cell(interface),
                // The id of the role and the name of the session on a line each.
                cell(interface.requester.as_deref().unwrap_or("-")).replacen(':', ":\n", 1),
                cell(&interface.owner),
                cell(instance_owner.unwrap_or("-")),
            ];
            table.add_row(cells);
        }
        writeln!(out, "{}", table.trim_fmt())?;
        let why = "They are the control plane's because the account that owns the instance they are attached to \
            is not the one that owns them, no instance id is shown, and their description names this cluster exactly.";
        write!(out, "{}", style.prose(why, "", ""))?;
    }
    for known in
        facts.interfaces.iter().filter(|known| known.kind != InterfaceKind::EksOwned && !known.why.is_empty())
    {
        let text = format!("{}: {}", known.interface.id, known.why);
        write!(out, "{}", style.prose(&escape(&text), "- ", "  "))?;
    }
    let mut others: BTreeMap<InterfaceKind, usize> = BTreeMap::new();
    for known in facts.interfaces.iter().filter(|known| known.kind != InterfaceKind::EksOwned) {
        *others.entry(known.kind).or_default() += 1;
    }
    if !others.is_empty() {
        let others: Vec<_> =
            others.iter().map(|(kind, number)| format!("{number} {}", kind.as_str())).collect();
        write!(out, "{}", style.prose(&format!("Others: {}.", others.join(", ")), "", ""))?;
    }
    Ok(())
}

/// What the endpoint's name resolves to, in a sentence for all vantage points with the same
/// answer.
fn resolves(facts: &Facts) -> Vec<String> {
    const SHOWN: usize = 5;
    let names = Names::of(facts);
    let mut answers: Vec<(String, Vec<String>)> = Vec::new();
    let mut known = HashMap::new();
    for vantage in &facts.evidence.dns {
        let answer = match vantage.answer.as_result() {
            Ok(answer) => {
                let path = |address| {
                    facts.endpoint_addresses.get(address).map_or("unattributed", |path| path.as_str())
                };
                let addresses = answer.addresses.iter();
                let addresses: Vec<_> =
                    addresses.map(|address| format!("{address} ({})", path(address))).collect();
                format!(" to {}", addresses.join(", "))
            }
            Err(gap) => format!(": {}", gap.detail),
        };
        let at = *known.entry(answer).or_insert_with_key(|answer| {
            answers.push((answer.clone(), Vec::new()));
            answers.len() - 1
        });
        answers[at].1.push(vantage_point(facts, &names, &vantage.name));
    }
    let sentence = |(answer, points): (String, Vec<String>)| {
        let not = if answer.starts_with(':') { "not " } else { "" };
        format!("{not}{}{answer}", list(&points, SHOWN))
    };
    answers.into_iter().map(sentence).collect()
}

/// The vantage point of an answer: here, a node, or a name server.
fn vantage_point(facts: &Facts, names: &Names, name: &str) -> String {
    if name == HERE {
        return "from here".to_owned();
    }
    match facts.nodes.binary_search_by(|node| node.name.as_str().cmp(name)) {
        Ok(at) => format!("on {}", names.name(&facts.nodes[at].name)),
        Err(_) => format!("by {name}"),
    }
}

fn eni_cell(interface: &Interface) -> String {
    let addresses: Vec<_> = interface.addresses.iter().map(ToString::to_string).collect();
    format!("{}\n{}\n{}", cell(&interface.id), lines(&addresses), cell(&interface.zone))
}

fn write_findings(
    facts: &Facts,
    findings: &[JudgedFinding],
    style: Style,
    out: &mut dyn Write,
) -> Result<()> {
    if findings.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", style.bold("Findings"))?;
    let is_alike = |a: &JudgedFinding, b: &JudgedFinding| {
        a.rule.id == b.rule.id && a.waived_by().is_some() == b.waived_by().is_some()
    };
    let mut printed: Vec<(&[Step], &str)> = Vec::new();
    for same_rule in findings.chunk_by(is_alike) {
        let Some(first) = same_rule.first() else { continue };
        let waived = if first.waived_by().is_some() { "  waived" } else { "" };
        writeln!(out, "{}  {}{waived}", style.severity(first.severity), style.bold(first.rule.id))?;
        for judged in same_rule {
            write!(
                out,
                "{}",
                style.prose(&escape(&about(&judged.finding, &facts.evidence.cluster)), "  - ", "    ")
            )?;
            if let Some(waiver) = &judged.waiver {
                write!(out, "{}", style.prose(&escape(&waived_by(waiver)), "    ", "    "))?;
            }
        }
        if first.waived_by().is_some() {
            writeln!(out)?;
            continue;
        }
        if first.steps.is_empty() {
            let text = remediation::of(first, facts);
            write_remediation(&next_step(&text), "  ", style, out)?;
        } else {
            write_steps(&first.steps, &printed, style, out)?;
            printed.push((&first.steps, first.rule.id));
        }
        writeln!(out, "  More: eks-netcheck explain {}\n", first.rule.id)?;
    }
    Ok(())
}

/// Writes the steps of a rule. Those that begin the steps of another rule, which are in
/// `printed` with its name, are referred to.
fn write_steps(steps: &[Step], printed: &[(&[Step], &str)], style: Style, out: &mut dyn Write) -> Result<()> {
    let in_common = |other: &[Step]| steps.iter().zip(other).take_while(|(a, b)| a == b).count();
    // Of several, the first one has the text.
    let in_common = printed.iter().rev().map(|(other, rule)| (in_common(other), rule));
    let best = in_common.max_by_key(|(common, _)| *common);
    let (common, rule) = best.filter(|(common, _)| *common > 1 || *common == steps.len()).unwrap_or((0, &""));
    if common > 0 {
        let which = if common == 1 { "Step 1".to_owned() } else { format!("Steps 1 to {common}") };
        let end = if common == steps.len() { "." } else { ", then:" };
        write!(out, "{}", style.prose(&format!("{which} of {rule} above{end}"), "  ", "  "))?;
    }
    write_remediation(&remediation::numbered(&steps[common..], common + 1), "  ", style, out)
}

/// A remediation up to its first command.
fn next_step(remediation: &str) -> String {
    let mut step = String::new();
    for line in remediation.lines() {
        step.push_str(line);
        step.push('\n');
        if is_command(line) {
            break;
        }
    }
    step
}

fn write_gaps(gaps: &[JudgedGap], style: Style, out: &mut dyn Write) -> Result<()> {
    if gaps.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", style.bold("Not seen"))?;
    let is_shown =
        |judged: &&JudgedGap| judged.needed || judged.accepted.is_some() || !judged.rules.is_empty();
    let (shown, unneeded): (Vec<_>, Vec<_>) = gaps.iter().partition(is_shown);
    for judged in shown {
        let gap = &judged.gap;
        write!(out, "{}", style.prose(&escape(&gap.problem()), "  - ", "    "))?;
        if let Some(accepted) = &judged.accepted {
            write!(out, "{}", style.prose(&escape(&accepted_by(accepted)), "    ", "    "))?;
        }
        if !gap.hint.is_empty() && judged.accepted_by().is_none() {
            write!(out, "{}", style.prose(&escape(&gap.hint), "    ", "    "))?;
        }
        let rules: Vec<_> = judged.rules.iter().map(|rule| rule.id).collect();
        if rules.is_empty() {
            continue;
        }
        let is_excepted = gap.is_left_out() || judged.accepted_by().is_some();
        let without = if is_excepted { "Not judged without it" } else { "Inconclusive without it" };
        write!(out, "{}", style.prose(&format!("{without}: {}", rules.join(", ")), "    ", "    "))?;
    }
    if !unneeded.is_empty() {
        writeln!(out, "  Not needed by any rule:")?;
    }
    for JudgedGap { gap, .. } in unneeded {
        write!(out, "{}", style.prose(&escape(&gap.problem()), "  - ", "    "))?;
    }
    Ok(())
}

/// The rules that were not judged, with the missing evidence, each gap once.
fn write_not_judged(not_judged: &[NotJudged], style: Style, out: &mut dyn Write) -> Result<()> {
    if not_judged.is_empty() {
        return Ok(());
    }
    let mut rules_by_gap: BTreeMap<&Gap, Vec<&str>> = BTreeMap::new();
    for NotJudged { rule, gap } in not_judged {
        rules_by_gap.entry(gap).or_default().push(rule.id);
    }
    writeln!(out, "\n{}", style.bold("Not judged, without effect on the verdict"))?;
    for (gap, rules) in rules_by_gap {
        write!(out, "{}", style.prose(&rules.join(", "), "  - ", "    "))?;
        write!(out, "{}", style.prose(&escape(&gap.problem()), "    ", "    "))?;
    }
    Ok(())
}

fn write_policy(summary: &Summary, style: Style, out: &mut dyn Write) -> Result<()> {
    let policy = &summary.policy;
    writeln!(out, "\n{}", style.bold("Policy"))?;
    write!(out, "{}", style.prose(&escape(&policy.name()), "  ", "  "))?;
    for note in &policy.notes {
        let text = format!("line {}: {}", note.line, note.text);
        write!(out, "{}", style.prose(&escape(&text), "  - ", "    "))?;
    }
    Ok(())
}
