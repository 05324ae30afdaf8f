//! `--format table`: for people, in a terminal of any width.
//!
//! The verdict and the worst finding come first, then what was seen, then what
//! to do, then what was not seen.

mod many;
mod nodes;
pub mod trace;

use std::collections::BTreeMap;
use std::io::{Result, Write};

use anstyle::{AnsiColor, Style};
use comfy_table::{ContentArrangement, LineStyle, Table, TableStyle};

use self::nodes::{Names, write_nodes, write_paths};
use super::entry::{about, waived_by};
use super::explain::write_remediation;
use super::remediation::fill;
use super::text::escape;
use crate::model::audit::{Audit, Audited};
use crate::model::cluster::Hosting;
use crate::model::connection::Component;
use crate::model::facts::{Facts, InterfaceKind};
use crate::model::judgment::{JudgedFinding, JudgedGap, Judgment, Verdict};
use crate::model::net::Interface;
use crate::model::rule::Severity;
use crate::model::traffic::TrafficPath;

/// How wide and how colourful.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Columns to fill.
    pub width: u16,
    /// Whether to use colour.
    pub color: bool,
}

impl Look {
    fn paint(self, style: Style, text: &str) -> String {
        if self.color { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.paint(Style::new().bold(), text)
    }

    fn severity(self, severity: Severity) -> String {
        let color = match severity {
            Severity::Critical | Severity::High => AnsiColor::Red,
            Severity::Medium => AnsiColor::Yellow,
            Severity::Low => AnsiColor::Cyan,
        };
        self.paint(color.on_default().bold(), &severity.as_str().to_uppercase())
    }

    fn verdict(self, verdict: Verdict) -> String {
        let color = match verdict {
            Verdict::Pass => AnsiColor::Green,
            Verdict::Fail => AnsiColor::Red,
            Verdict::Inconclusive => AnsiColor::Yellow,
        };
        self.paint(color.on_default().bold(), &verdict.as_str().to_uppercase())
    }
}

/// Writes the report.
///
/// # Errors
/// If `out` cannot be written to.
pub fn write(audit: &Audit, look: Look, out: &mut impl Write) -> Result<()> {
    if audit.is_many {
        many::write(audit, look, out)?;
    }
    for audited in &audit.clusters {
        if audit.is_many {
            writeln!(out, "\n{}", "=".repeat(look.width.into()))?;
        }
        write_cluster_report(audited, look, out)?;
    }
    write_policy(audit, look, out)
}

fn write_cluster_report(audited: &Audited, look: Look, out: &mut impl Write) -> Result<()> {
    let Audited { facts, judgment } = audited;
    write_verdict(facts, judgment, look, out)?;
    write_cluster(facts, look, out)?;
    write_enis(facts, look, out)?;
    let names = Names::of(facts);
    write_paths(facts, &names, look, out)?;
    write_nodes(facts, &names, look, out)?;
    write_findings(facts, &judgment.findings, look, out)?;
    write_gaps(&judgment.gaps, look, out)?;
    if !judgment.off.is_empty() {
        let off: Vec<_> = judgment.off.iter().map(|rule| rule.id).collect();
        write!(out, "\n{}", prose(&format!("Off by the policy: {}.", off.join(", ")), "", "", look))?;
    }
    Ok(())
}

fn write_verdict(facts: &Facts, judgment: &Judgment, look: Look, out: &mut impl Write) -> Result<()> {
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
    let is_left_out = |judged: &&JudgedGap| judged.gap.is_left_out();
    let left_out = judgment.gaps.iter().filter(is_left_out);
    let unseen = judgment.gaps.iter().filter(|gap| !gap.rules.is_empty() && !is_left_out(gap)).count();
    let mut worst = match judgment.verdict {
        Verdict::Pass if unseen > 0 => {
            format!("{worst}; {} not seen, which only lesser rules needed", count(unseen, "thing"))
        }
        _ => worst,
    };
    for judged in left_out {
        worst = format!("{worst}; {} left out, as asked", judged.gap.subject);
    }
    let head = format!("{}  ", judgment.verdict.as_str().to_uppercase());
    let text = prose(&format!("{name}: {worst}"), &head, &" ".repeat(head.len()), look);
    // Wrapped by its plain width, then coloured.
    let behind = text.strip_prefix(&head).unwrap_or(&text);
    write!(out, "{}  {behind}", look.verdict(judgment.verdict))?;
    if let Some(answer) = traffic(facts) {
        write!(out, "{}", prose(&answer, &" ".repeat(head.len()), &" ".repeat(head.len()), look))?;
    }
    Ok(())
}

/// Whether the nodes' traffic is private, as a sentence.
fn traffic(facts: &Facts) -> Option<String> {
    let total = facts.traffic.len();
    let parts = [
        (TrafficPath::Public, "over the public endpoint"),
        (TrafficPath::Mixed, "partly over the public endpoint"),
        (TrafficPath::Private, "private"),
        (TrafficPath::None, "hanging in SYN-SENT"),
        (TrafficPath::Unknown, "not known"),
    ];
    let parts = parts
        .map(|(path, words)| (facts.traffic.iter().filter(|traffic| traffic.path == path).count(), words));
    let parts = parts.iter().filter(|(nodes, _)| *nodes > 0);
    let parts: Vec<_> =
        parts.map(|(nodes, words)| format!("{words} on {nodes} of {}", count(total, "node"))).collect();
    let components = facts.traffic.iter().flat_map(|traffic| &traffic.components);
    let has_proxy = { components }.any(|traffic| traffic.component == Component::KubeProxy);
    let who = if has_proxy { "kubelet and kube-proxy reach" } else { "kubelet reaches" };
    (total > 0).then(|| format!("{who} the API server: {}.", parts.join(", ")))
}

fn write_cluster(facts: &Facts, look: Look, out: &mut impl Write) -> Result<()> {
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
    for vantage in &facts.evidence.dns {
        let answer = match vantage.answer.as_result() {
            Ok(answer) => answer
                .addresses
                .iter()
                .map(|address| {
                    let path =
                        facts.endpoint_addresses.get(address).map_or("unattributed", |path| path.as_str());
                    format!("{address} ({path})")
                })
                .collect::<Vec<_>>()
                .join(", "),
            Err(gap) => {
                rows.push((
                    "Resolves",
                    format!("not {}: {}", vantage_point(facts, &vantage.name), gap.detail),
                ));
                continue;
            }
        };
        rows.push(("Resolves", format!("{} to {answer}", vantage_point(facts, &vantage.name))));
    }
    if let Some(sources) = facts.private_access_sources() {
        let sources = if sources.is_empty() { "nobody".to_owned() } else { sources.join(", ") };
        rows.push(("Private", format!("port {} of the ENIs admits {sources}", cluster.api_port())));
    }
    if let Some(mode) = &cluster.egress_mode {
        rows.push(("Egress", format!("control plane egress mode {mode}")));
    }
    if cluster.auto_mode {
        rows.push(("Auto Mode", "on: its nodes take no ssh".to_owned()));
    }
    writeln!(out)?;
    for (head, text) in rows {
        let indent = " ".repeat(10);
        let text = prose(&escape(&text), &indent, &indent, look);
        let behind = text.strip_prefix(&indent).unwrap_or(&text);
        write!(out, "{}{}{behind}", look.bold(head), " ".repeat(indent.len() - head.len()))?;
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

fn write_enis(facts: &Facts, look: Look, out: &mut impl Write) -> Result<()> {
    if facts.evidence.network.interfaces.seen().is_none() {
        return Ok(());
    }
    let owned: Vec<_> = facts.eks_owned().collect();
    writeln!(
        out,
        "\n{}",
        look.bold("EKS-owned network interfaces: how the control plane reaches the nodes")
    )?;
    if owned.is_empty() {
        writeln!(out, "none seen")?;
    } else {
        let mut table = table(look, ["ENI", "Requester", "Owner", "Instance owner"]);
        for known in &owned {
            let interface = &known.interface;
            let instance_owner =
                interface.attachment.as_ref().and_then(|attachment| attachment.instance_owner.as_deref());
            let cells = [
                eni_cell(interface),
                // The role's id and the session's name, a line each.
                escape(interface.requester.as_deref().unwrap_or("-")).replacen(':', ":\n", 1),
                escape(&interface.owner).into_owned(),
                escape(instance_owner.unwrap_or("-")).into_owned(),
            ];
            table.add_row(cells);
        }
        writeln!(out, "{}", table.trim_fmt())?;
        let why = "They are the control plane's because the account that owns the instance behind them is not \
            the one that owns them, no instance id is shown, and their description names this cluster exactly.";
        write!(out, "{}", prose(why, "", "", look))?;
    }
    for known in
        facts.interfaces.iter().filter(|known| known.kind != InterfaceKind::EksOwned && !known.why.is_empty())
    {
        let text = format!("{}: {}", known.interface.id, known.why);
        write!(out, "{}", prose(&escape(&text), "- ", "  ", look))?;
    }
    let mut others: BTreeMap<InterfaceKind, usize> = BTreeMap::new();
    for known in facts.interfaces.iter().filter(|known| known.kind != InterfaceKind::EksOwned) {
        *others.entry(known.kind).or_default() += 1;
    }
    if !others.is_empty() {
        let others: Vec<_> =
            others.iter().map(|(kind, number)| format!("{number} {}", kind.as_str())).collect();
        write!(out, "{}", prose(&format!("Others: {}.", others.join(", ")), "", "", look))?;
    }
    Ok(())
}

/// Where a name was looked up: here, on a node, or by a name server.
fn vantage_point(facts: &Facts, name: &str) -> String {
    match name {
        "here" => "from here".to_owned(),
        name => match facts.nodes.iter().find(|node| node.name.as_str() == name) {
            Some(node) => format!("on {}", Names::of(facts).name(&node.name)),
            None => format!("by {name}"),
        },
    }
}

fn eni_cell(interface: &Interface) -> String {
    let addresses: Vec<_> = interface.addresses.iter().map(ToString::to_string).collect();
    format!("{}\n{}\n{}", escape(&interface.id), addresses.join("\n"), escape(&interface.zone))
}

fn write_findings(facts: &Facts, findings: &[JudgedFinding], look: Look, out: &mut impl Write) -> Result<()> {
    if findings.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", look.bold("Findings"))?;
    let is_alike = |a: &JudgedFinding, b: &JudgedFinding| {
        a.rule.id == b.rule.id && a.waived_by().is_some() == b.waived_by().is_some()
    };
    for same_rule in findings.chunk_by(is_alike) {
        let Some(first) = same_rule.first() else { continue };
        let waived = if first.waived_by().is_some() { "  waived" } else { "" };
        writeln!(out, "{}  {}{waived}", look.severity(first.severity), look.bold(first.rule.id))?;
        for judged in same_rule {
            write!(
                out,
                "{}",
                prose(&escape(&about(&judged.finding, &facts.evidence.cluster)), "  - ", "    ", look)
            )?;
            if let Some(waiver) = &judged.waiver {
                write!(out, "{}", prose(&escape(&waived_by(waiver)), "    ", "    ", look))?;
            }
        }
        if first.waived_by().is_some() {
            writeln!(out)?;
            continue;
        }
        write_remediation(&next_step(&fill(first.rule.remediation, facts)), "  ", look, out)?;
        writeln!(out, "  More: eks-netcheck explain {}\n", first.rule.id)?;
    }
    Ok(())
}

/// A remediation up to its first command.
fn next_step(remediation: &str) -> String {
    let mut step = String::new();
    for line in remediation.lines() {
        step.push_str(line);
        step.push('\n');
        if line.starts_with("    ") {
            break;
        }
    }
    step
}

fn write_gaps(gaps: &[JudgedGap], look: Look, out: &mut impl Write) -> Result<()> {
    if gaps.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", look.bold("Not seen"))?;
    let (needed, unneeded): (Vec<_>, Vec<_>) =
        gaps.iter().partition(|judged| judged.needed || !judged.rules.is_empty());
    for judged in needed {
        let gap = &judged.gap;
        write!(out, "{}", prose(&escape(&gap.problem()), "  - ", "    ", look))?;
        if !gap.hint.is_empty() {
            write!(out, "{}", prose(&escape(&gap.hint), "    ", "    ", look))?;
        }
        let rules: Vec<_> = judged.rules.iter().map(|rule| rule.id).collect();
        if rules.is_empty() {
            continue;
        }
        let without = if gap.is_left_out() { "Not judged without it" } else { "Inconclusive without it" };
        write!(out, "{}", prose(&format!("{without}: {}", rules.join(", ")), "    ", "    ", look))?;
    }
    if !unneeded.is_empty() {
        writeln!(out, "  No rule needed:")?;
    }
    for JudgedGap { gap, .. } in unneeded {
        write!(out, "{}", prose(&escape(&gap.problem()), "  - ", "    ", look))?;
    }
    Ok(())
}

fn write_policy(audit: &Audit, look: Look, out: &mut impl Write) -> Result<()> {
    let Some(policy) = &audit.policy else { return Ok(()) };
    writeln!(out, "\n{}", look.bold("Policy"))?;
    write!(out, "{}", prose(&escape(&policy.path), "  ", "  ", look))?;
    for note in &policy.notes {
        let text = format!("line {}: {}", note.line, note.text);
        write!(out, "{}", prose(&escape(&text), "  - ", "    ", look))?;
    }
    Ok(())
}

/// Prose wrapped to the width, with a line feed at its end.
pub(super) fn prose(text: &str, first: &str, rest: &str, look: Look) -> String {
    let options = textwrap::Options::new(look.width.into())
        .initial_indent(first)
        .subsequent_indent(rest)
        .word_splitter(textwrap::WordSplitter::NoHyphenation)
        .break_words(false);
    let mut wrapped = textwrap::fill(text, options);
    wrapped.push('\n');
    wrapped
}

/// Rows under a line, and nothing else.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('-'));

fn table<'a>(look: Look, heads: impl IntoIterator<Item = &'a str>) -> Table {
    let mut table = Table::new();
    table
        .load_style(STYLE)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(look.width)
        .set_header(heads);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
