//! `trace` and `diff` as text for people: the changes between the API server and nodes
//! with the unchanged connections, and the other changes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Result, Write};

use super::names::Names;
use crate::model::audit::TraceJudgment;
use crate::model::connection::{Connection, Direction, Path};
use crate::model::facts::InterfaceKind;
use crate::model::judgment::Verdict;
use crate::model::name::NodeName;
use crate::model::shell::shell_quoted;
use crate::model::socket::{Host, State};
use crate::model::trace::{Change, Phase, Trace, TracedConnection, TracedNode};
use crate::report::format::TraceFormat;
use crate::report::style::{Style, count};
use crate::report::text::{cell, escape};

/// The format.
pub const FORMAT: TraceFormat = TraceFormat { name: "table", help: "For people", write };

/// The least width at which every value has its own column.
const WIDE: u16 = 160;
/// The largest number of different changes that get a sentence each; more are summed up
/// by path.
const SENTENCES_MAX: usize = 3;
/// The number of connections that are listed; further ones are counted only.
const CONNECTIONS_SHOWN: usize = 500;
/// The number of groups of other changes that are listed.
const OTHERS_SHOWN: usize = 20;

fn write(trace: &Trace, judgment: Option<&TraceJudgment>, style: Style, out: &mut dyn Write) -> Result<()> {
    let names = Names::new(trace.nodes.iter().map(|node| &node.name));
    let changes: Vec<_> = trace.connections.iter().filter(|traced| is_change(traced)).collect();
    let touched: BTreeSet<_> = changes.iter().map(|traced| &traced.connection.node).collect();
    if let Some(judgment) = judgment {
        write_judgment(judgment, style, out)?;
    }
    write_head(trace, &changes, &names, style, out)?;
    write_connections(trace, &touched, &names, style, out)?;
    write_others(trace, &names, style, out)?;
    write_samples(trace, &names, style, out)?;
    write_gaps(trace, style, out)
}

fn is_change(traced: &TracedConnection) -> bool {
    !traced.is_background && traced.presence.change().is_some()
}

fn write_head(
    trace: &Trace,
    changes: &[&TracedConnection],
    names: &Names,
    style: Style,
    out: &mut dyn Write,
) -> Result<()> {
    let cluster = trace.cluster.as_ref().map(|name| format!("{}: ", escape(name))).unwrap_or_default();
    if let Some(ran) = &trace.command {
        let words: Vec<_> = ran.words.iter().map(|word| shell_quoted(&escape(word)).into_owned()).collect();
        let text = format!(
            "{cluster}{} (exit code {}, {:.1} s)",
            words.join(" "),
            ran.exit_code,
            ran.duration.as_secs_f64()
        );
        writeln!(out, "{}", style.bold(style.prose(&text, "", "  ").trim_end()))?;
    }
    let answer = if trace.nodes.is_empty() {
        "no node could be compared.".to_owned()
    } else if changes.is_empty() {
        let nodes = count(trace.nodes.len(), "node");
        format!("nothing changed between the API server and the nodes ({nodes} compared).")
    } else {
        by_connection(changes, names)
    };
    // The change may be on a node that was not seen completely.
    let unseen: BTreeSet<_> = trace.gaps.iter().filter_map(|gap| gap.subject.node()).collect();
    let answer = match unseen.len() {
        0 => answer,
        number => format!("{answer} {} not seen completely; see below.", count(number, "node")),
    };
    // The line of the command names the cluster already.
    let answer = if trace.command.is_some() { answer } else { format!("{cluster}{answer}") };
    write!(out, "{}", style.prose(&answer, "", ""))
}

/// The changes between the API server and each node, a sentence for each route.
fn by_connection(changes: &[&TracedConnection], names: &Names) -> String {
    let mut routes: BTreeMap<(&str, Change, String), usize> = BTreeMap::new();
    for traced in changes {
        let connection = &traced.connection;
        let (Some(change), true) = (traced.presence.change(), connection.direction != Direction::None) else {
            continue;
        };
        let process = process(connection);
        let route = match connection.direction {
            Direction::Inbound => format!("to {process} from {}", address(connection)),
            _ => format!("from {process} to {}", connection.socket.peer),
        };
        let by = match (connection.attribution.path, &traced.eni) {
            (Path::PrivateEni, Some(eni)) => format!("the EKS-owned ENI {}", escape(&eni.id)),
            (Path::PublicEndpoint, _) => "the public endpoint".to_owned(),
            (Path::ClusterIp, _) => "the ClusterIP".to_owned(),
            (path, _) => path.as_str().to_owned(),
        };
        *routes.entry((names.name(&connection.node), change, format!("{route} ({by})"))).or_default() += 1;
    }
    if routes.is_empty() || routes.len() > SENTENCES_MAX {
        return by_path(changes);
    }
    let sentences = routes.into_iter().map(|((node, change, route), number)| {
        format!("{node}: {} {route} {}.", count(number, "connection"), verb(change))
    });
    sentences.collect::<Vec<_>>().join(" ")
}

/// The same, summed up by path.
fn by_path(changes: &[&TracedConnection]) -> String {
    let mut routes: BTreeMap<Change, BTreeMap<(Path, &str), usize>> = BTreeMap::new();
    for traced in changes {
        let connection = &traced.connection;
        let route = (connection.attribution.path, connection.direction.as_str());
        if let (Some(change), true) = (traced.presence.change(), connection.direction != Direction::None) {
            *routes.entry(change).or_default().entry(route).or_default() += 1;
        }
    }
    let sentences = routes.into_iter().map(|(change, routes)| {
        let all: usize = routes.values().sum();
        let routes = routes
            .iter()
            .map(|((path, direction), number)| format!("{number} {direction} {}", path.as_str()));
        format!("{} {}: {}.", count(all, "connection"), verb(change), routes.collect::<Vec<_>>().join(", "))
    });
    sentences.collect::<Vec<_>>().join(" ")
}

fn verb(change: Change) -> &'static str {
    match change {
        Change::Appeared => "appeared and stayed",
        Change::Gone => "disappeared",
        Change::Transient => "appeared and disappeared",
    }
}

fn write_connections(
    trace: &Trace,
    touched: &BTreeSet<&NodeName>,
    names: &Names,
    style: Style,
    out: &mut dyn Write,
) -> Result<()> {
    let is_shown = |traced: &&TracedConnection| {
        // If nothing changed, the unchanged connections are the answer.
        !traced.is_background && (touched.is_empty() || touched.contains(&traced.connection.node))
    };
    let mut shown: Vec<_> = trace.connections.iter().filter(is_shown).collect();
    // Changes come first.
    shown.sort_by_key(|traced| (&traced.connection.node, traced.presence.change().is_none()));
    if !shown.is_empty() {
        let has_during = trace.began.is_some();
        let is_wide = style.width >= WIDE;
        let phases: &[Phase] = if has_during {
            &[Phase::Before, Phase::During, Phase::After]
        } else {
            &[Phase::Before, Phase::After]
        };
        let heads: Vec<_> = if is_wide {
            let all = ["Node", "Process", "Direction", "Path", "Local", "Peer", "ENI"].into_iter();
            all.chain(phases.iter().map(|phase| head(*phase))).chain(["Change"]).collect()
        } else {
            vec!["Node", "Process", "Path", "Peer, ENI", if has_during { "B/D/A" } else { "B/A" }]
        };
        writeln!(out)?;
        let mut table = style.table(heads);
        let more = shown.len().saturating_sub(CONNECTIONS_SHOWN);
        for traced in shown.into_iter().take(CONNECTIONS_SHOWN) {
            table.add_row(cells(traced, phases, names, is_wide));
        }
        writeln!(out, "{}", table.trim_fmt())?;
        if more > 0 {
            writeln!(out, "and {more} more; --format json lists what changed")?;
        }
        if !is_wide {
            let heads: Vec<_> = phases.iter().map(|phase| head(*phase).to_lowercase()).collect();
            let mark = if has_during { "B/D/A" } else { "B/A" };
            writeln!(out, "{mark}: present {} (+ yes, - no)", heads.join(", "))?;
        }
    }
    let by_control_plane = trace.connections.iter().any(|traced| {
        is_change(traced)
            && traced.connection.direction == Direction::Inbound
            && traced.connection.attribution.path == Path::PrivateEni
    });
    if by_control_plane {
        let text = "The control plane reaches the kubelet's port 10250 through EKS-owned ENIs in every access \
            mode, for exec, attach, port-forward, logs and node proxy, whichever client requests them.";
        write!(out, "{}", style.prose(text, "", ""))?;
    }
    let still = trace.connections.iter().filter(|traced| traced.presence.change().is_none());
    let still: Vec<_> =
        still.filter(|traced| !touched.is_empty() && !touched.contains(&traced.connection.node)).collect();
    if !still.is_empty() {
        let nodes: BTreeSet<_> = still.iter().map(|traced| &traced.connection.node).collect();
        let mut paths: BTreeMap<Path, usize> = BTreeMap::new();
        for traced in &still {
            *paths.entry(traced.connection.attribution.path).or_default() += 1;
        }
        let paths: Vec<_> =
            paths.iter().map(|(path, number)| format!("{number} {}", path.as_str())).collect();
        let text = format!("Unchanged on {}: {}.", other_nodes(&nodes, names), paths.join(", "));
        write!(out, "{}", style.prose(&text, "", ""))?;
    }
    Ok(())
}

/// The names of up to five nodes, or the number of nodes.
fn other_nodes(nodes: &BTreeSet<&NodeName>, names: &Names) -> String {
    if nodes.len() > 5 {
        return count(nodes.len(), "other node");
    }
    nodes.iter().map(|node| names.name(node)).collect::<Vec<_>>().join(", ")
}

fn cells(traced: &TracedConnection, phases: &[Phase], names: &Names, is_wide: bool) -> Vec<String> {
    let connection = &traced.connection;
    let direction = connection.direction.as_str();
    let state = match connection.socket.state {
        State::Established => String::new(),
        state => format!("\n{}", state.as_str()),
    };
    let path = format!("{}{state}", connection.attribution.path.as_str());
    let eni = eni(traced);
    let change = traced.presence.change().map_or("", Change::as_str);
    let is_there = |phase: &Phase| match phase {
        Phase::Before => traced.presence.before,
        Phase::During => traced.presence.during,
        Phase::After => traced.presence.after,
    };
    let node = names.name(&connection.node).to_owned();
    let socket = &connection.socket;
    if is_wide {
        let eni = eni.unwrap_or_else(|| "-".to_owned());
        let path = [direction.to_owned(), path, socket.local.to_string(), socket.peer.to_string(), eni];
        let phases = phases.iter().map(|phase| if is_there(phase) { "yes" } else { "-" }.to_owned());
        return [node, process(connection)]
            .into_iter()
            .chain(path)
            .chain(phases)
            .chain([change.to_owned()])
            .collect();
    }
    let process = match connection.direction {
        Direction::None => process(connection),
        _ => format!("{}\n{direction}", process(connection)),
    };
    let peer = format!("{}{}", socket.peer, eni.map(|eni| format!("\n{eni}")).unwrap_or_default());
    let marks: Vec<_> = phases.iter().map(|phase| if is_there(phase) { "+" } else { "-" }).collect();
    vec![node, process, path, peer, format!("{}\n{change}", marks.join(" "))]
}

fn head(phase: Phase) -> &'static str {
    match phase {
        Phase::Before => "Before",
        Phase::During => "During",
        Phase::After => "After",
    }
}

fn eni(traced: &TracedConnection) -> Option<String> {
    let eni = traced.eni.as_ref()?;
    let kind = if eni.kind == InterfaceKind::EksOwned { "" } else { eni.kind.as_str() };
    Some(if kind.is_empty() { cell(&eni.id) } else { format!("{} ({kind})", cell(&eni.id)) })
}

fn process(connection: &Connection) -> String {
    match (connection.component, &connection.process) {
        (Some(component), _) => component.as_str().to_owned(),
        (None, Some(process)) => cell(&process.name),
        (None, None) => "(no name)".to_owned(),
    }
}

/// The peer without its port, which is arbitrary for a client.
fn address(connection: &Connection) -> String {
    match connection.socket.peer.host {
        Host::Ip(ip) => ip.to_string(),
        _ => connection.socket.peer.to_string(),
    }
}

/// Writes the changes for reasons other than the action, grouped by what they have in common.
fn write_others(trace: &Trace, names: &Names, style: Style, out: &mut dyn Write) -> Result<()> {
    let mut groups: BTreeMap<[String; 5], BTreeMap<Change, usize>> = BTreeMap::new();
    for traced in trace.connections.iter().filter(|traced| traced.is_background) {
        let (connection, Some(change)) = (&traced.connection, traced.presence.change()) else { continue };
        let is_client = connection.socket.peer.is_ephemeral() || connection.direction == Direction::Inbound;
        let peer = if is_client { address(connection) } else { connection.socket.peer.to_string() };
        let key = [
            names.name(&connection.node).to_owned(),
            process(connection),
            connection.direction.as_str().to_owned(),
            connection.attribution.path.as_str().to_owned(),
            peer,
        ];
        *groups.entry(key).or_default().entry(change).or_default() += 1;
    }
    if groups.is_empty() {
        return Ok(());
    }
    let title = "Other changes: probes, metrics, other programs";
    writeln!(out, "\n{}", style.bold(title))?;
    let more = groups.len().saturating_sub(OTHERS_SHOWN);
    let mut table = style.table(["Node", "Process", "Direction", "Path", "Peer", "Changes"]);
    for (key, changes) in groups.into_iter().take(OTHERS_SHOWN) {
        let changes: Vec<_> =
            changes.iter().map(|(change, number)| format!("{number} {}", change.as_str())).collect();
        table.add_row(key.into_iter().chain([changes.join("\n")]));
    }
    writeln!(out, "{}", table.trim_fmt())?;
    if more > 0 {
        writeln!(out, "and {more} more groups; --format json lists all")?;
    }
    Ok(())
}

/// Writes the number of samples of each node.
fn write_samples(trace: &Trace, names: &Names, style: Style, out: &mut dyn Write) -> Result<()> {
    if trace.began.is_none() {
        return Ok(());
    }
    let mut groups: BTreeMap<(u64, bool), Vec<&TracedNode>> = BTreeMap::new();
    for node in &trace.nodes {
        groups.entry((node.missed, node.has_close_events)).or_default().push(node);
    }
    writeln!(out)?;
    for ((missed, has_close_events), nodes) in groups {
        let (least, most) = nodes
            .iter()
            .fold((u64::MAX, 0), |(least, most), node| (least.min(node.samples), most.max(node.samples)));
        let samples = if least == most { most.to_string() } else { format!("{least} to {most}") };
        let each = if nodes.len() == 1 { "" } else { " each" };
        let missed = if missed == 0 { String::new() } else { format!(", {missed} missed") };
        let gap = if has_close_events {
            ""
        } else {
            "; what appeared and disappeared between two samples was not seen"
        };
        let nodes = match nodes.as_slice() {
            nodes if nodes.len() > 5 => count(nodes.len(), "node"),
            nodes => nodes.iter().map(|node| names.name(&node.name)).collect::<Vec<_>>().join(", "),
        };
        write!(out, "{}", style.prose(&format!("{nodes}: {samples} samples{each}{missed}{gap}."), "", "  "))?;
    }
    Ok(())
}

fn write_judgment(judged: &TraceJudgment, style: Style, out: &mut dyn Write) -> Result<()> {
    let TraceJudgment { judgment, policy } = judged;
    let found = count(judgment.findings.len(), "finding");
    writeln!(out, "{}  {found} by the rules of audit", style.verdict(judgment.verdict))?;
    for judged in &judgment.findings {
        let text = format!(
            "{} {}: {}: {}",
            judged.severity.as_str(),
            judged.rule.id,
            judged.finding.subject,
            judged.finding.message
        );
        write!(out, "{}", style.prose(&escape(&text), "  - ", "    "))?;
    }
    if judgment.verdict == Verdict::Inconclusive {
        for judged in judgment.gaps.iter().filter(|judged| judged.needed) {
            let text = format!("not seen: {}", judged.gap.problem());
            write!(out, "{}", style.prose(&escape(&text), "  - ", "    "))?;
        }
    }
    write!(out, "{}", style.prose(&escape(&format!("policy: {}", policy.name())), "  ", "  "))?;
    for note in &policy.notes {
        let text = format!("line {} of the policy: {}", note.line, note.text);
        write!(out, "{}", style.prose(&escape(&text), "  - ", "    "))?;
    }
    writeln!(out)
}

fn write_gaps(trace: &Trace, style: Style, out: &mut dyn Write) -> Result<()> {
    if trace.gaps.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", style.bold("Not seen"))?;
    for gap in &trace.gaps {
        write!(out, "{}", style.prose(&escape(&gap.problem()), "  - ", "    "))?;
        if !gap.hint.is_empty() {
            write!(out, "{}", style.prose(&escape(&gap.hint), "    ", "    "))?;
        }
    }
    Ok(())
}
