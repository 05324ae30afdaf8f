//! The headline: what changed between the API server and the nodes, and what the samples
//! may have missed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Result, Write};

use super::words::{address, name_nodes, process};
use crate::model::connection::{Direction, Path};
use crate::model::gap::{Gap, GapReason};
use crate::model::name::NodeName;
use crate::model::shell::shell_quoted;
use crate::model::trace::{Change, Role, Sighting, Trace, TracedConnection, TracedNode};
use crate::report::names::Names;
use crate::report::style::{Style, Tone, count};
use crate::report::text::escape;
use crate::report::traffic_change::{self, OTHER_CLUSTER};

/// The largest number of different changes that get a sentence each; more are summed up
/// by path.
const SENTENCES_MAX: usize = 3;

/// The name of the cluster, before a sentence about it.
fn cluster(trace: &Trace) -> String {
    trace.cluster.as_ref().map(|name| format!("{}: ", escape(name))).unwrap_or_default()
}

/// Writes the command, if there was one.
pub(super) fn write_command(trace: &Trace, style: Style, out: &mut dyn Write) -> Result<()> {
    let Some(ran) = &trace.command else { return Ok(()) };
    let words: Vec<_> = ran.words.iter().map(|word| shell_quoted(&escape(word)).into_owned()).collect();
    let text = format!(
        "{}{} (exit code {}, {:.1} s)",
        cluster(trace),
        words.join(" "),
        ran.exit_code,
        ran.duration.as_secs_f64()
    );
    writeln!(out, "{}", style.bold(style.prose(&text, "", "  ").trim_end()))
}

/// The headline: what changed, as text with a line feed at its end.
pub(super) fn headline(trace: &Trace, names: &Names, style: Style) -> String {
    // The change may be on a node that was not seen completely.
    let (nameless, incomplete): (Vec<_>, Vec<_>) =
        trace.gaps.iter().partition(|gap| gap.why == GapReason::NoProcessNames);
    let of_nodes = |gaps: Vec<&Gap>, text: &str| {
        let nodes: BTreeSet<_> = gaps.into_iter().filter_map(|gap| gap.subject.node()).collect();
        (!nodes.is_empty()).then(|| format!("{} {text}; see below.", count(nodes.len(), "node")))
    };
    let unseen = of_nodes(incomplete, "not seen completely");
    let nameless = of_nodes(nameless, "without names of processes");
    // It is a part of the answer where no other connection is one.
    let pooled = pooled(trace, names).filter(|_| !has_inbound_change(trace));
    let sentences = [Some(answer(trace, names)), pooled, restarts(trace, names), unseen, nameless];
    let text = sentences.into_iter().flatten().collect::<Vec<_>>().join(" ");
    // The line of the command, or the one above, names the cluster already.
    let is_named = trace.command.is_some() || !trace.traffic.is_empty();
    let text = if is_named { text } else { cluster(trace) + &text };
    other_cluster(trace, style) + &traffic_changes(trace, names, style) + &style.prose(&text, "", "")
}

/// That the recordings are of different clusters, which everything else depends on; empty if they
/// are not.
fn other_cluster(trace: &Trace, style: Style) -> String {
    if !trace.is_of_two_clusters {
        return String::new();
    }
    style.prose(&(cluster(trace) + OTHER_CLUSTER), "", "  ")
}

/// Which nodes' traffic took another path, a line for each change.
fn traffic_changes(trace: &Trace, names: &Names, style: Style) -> String {
    let paint = |path, words: &str| style.tone(Tone::of_traffic(path), words);
    let sentences = traffic_change::sentences(&trace.traffic, names, paint);
    let prefix = |at| if at == 0 { cluster(trace) } else { String::new() };
    let lines = sentences.iter().enumerate();
    lines.map(|(at, sentence)| style.prose(&(prefix(at) + sentence), "", "  ")).collect()
}

/// The last lines: which nodes' traffic took another path, or else the headline.
pub(super) fn last_lines(trace: &Trace, names: &Names, style: Style, headline: &str) -> String {
    let changes = traffic_changes(trace, names, style);
    if changes.is_empty() { headline.to_owned() } else { other_cluster(trace, style) + &changes }
}

/// Whether a connection from the API server to a kubelet changed.
pub(super) fn has_inbound_change(trace: &Trace) -> bool {
    trace.connections.iter().any(|traced| traced.is_change() && traced.role == Role::Inbound)
}

fn answer(trace: &Trace, names: &Names) -> String {
    let changes: Vec<_> = trace.connections.iter().filter(|traced| traced.is_change()).collect();
    let has_direction = |traced: &&TracedConnection| traced.connection.direction != Direction::None;
    if trace.began.is_none() && changes.iter().any(has_direction) {
        return by_connection(&changes, names);
    }
    let (outbound, inbound): (Vec<_>, Vec<_>) =
        changes.into_iter().partition(|traced| traced.role == Role::Outbound);
    if has_inbound_change(trace) {
        let others = match outbound.len() {
            0 => String::new(),
            number => format!(" {} changed as well.", count(number, "outbound connection")),
        };
        return format!("{}{others}", by_connection(&inbound, names));
    }
    let compared: Vec<_> = trace.nodes.iter().filter(|node| node.is_compared()).collect();
    if compared.is_empty() {
        let outbound = by_connection(&outbound, names);
        return format!("no node could be compared. {outbound}").trim_end().to_owned();
    }
    let nodes = count(compared.len(), "node");
    let limit = limit(trace, &compared, names);
    let has_stream = trace.connections.iter().any(|traced| traced.is_change() && traced.role == Role::Stream);
    if has_stream && outbound.is_empty() {
        return format!(
            "only loopback connections between kubelet and the container runtime changed, as an exec needs them; \
            no connection from the API server to a kubelet was seen to change ({nodes} compared){limit}."
        );
    }
    let is_explained = |traced: &TracedConnection| {
        traced.presence.change().is_some() && matches!(traced.role, Role::Restart | Role::Pool)
    };
    if outbound.is_empty() && trace.connections.iter().any(is_explained) {
        // Those that ended, and those of restarted processes, are listed below.
        format!("no connection from the API server to a kubelet appeared ({nodes} compared){limit}.")
    } else if outbound.is_empty() {
        format!("no change was seen between the API server and the nodes ({nodes} compared){limit}.")
    } else {
        let outbound = by_connection(&outbound, names);
        format!("no change was seen of connections from the API server ({nodes} compared){limit}. {outbound}")
    }
}

/// What the samples of the nodes may have missed.
fn limit(trace: &Trace, compared: &[&TracedNode], names: &Names) -> String {
    if trace.began.is_none() {
        return "; what appeared and disappeared between the two recordings is in neither".to_owned();
    }
    if compared.is_empty() {
        return String::new();
    }
    let unseen: Option<Vec<_>> = compared.iter().map(|node| node.unseen_inbound).collect();
    if let Some(unseen) = unseen {
        let has_others = trace.nodes.iter().any(|node| !node.is_compared());
        let on = match compared.len() {
            _ if !has_others => "",
            1 => " on it",
            _ => " on them",
        };
        return match unseen.iter().sum::<u64>() {
            0 => format!("; by the kernel's count, no inbound connection{on} was unseen"),
            1 => format!("; by the kernel's count, at most 1 inbound connection on any port{on} was unseen"),
            number => {
                format!(
                    "; by the kernel's count, at most {number} inbound connections on any port{on} were unseen"
                )
            }
        };
    }
    let without: BTreeSet<_> =
        compared.iter().filter(|node| !node.has_close_events).map(|node| &node.name).collect();
    if without.is_empty() {
        return "; the kernel also reported what closed between two samples".to_owned();
    }
    let on = if without.len() == compared.len() {
        String::new()
    } else {
        format!(" of {}", name_nodes(&without, names))
    };
    let without = || compared.iter().filter(|node| !node.has_close_events);
    let gap = without().filter_map(|node| node.coverage.longest_gap).max().unwrap_or_default();
    let missed = match without().map(|node| node.missed).sum::<u64>() {
        0 => String::new(),
        1 => "; 1 sample was missed".to_owned(),
        missed => format!("; {missed} samples were missed"),
    };
    format!(
        "; a connection that was opened and closed within {:.2} s, between two samples{on}, may have been \
        missed{missed}",
        gap.as_secs_f64()
    )
}

/// That requests may have used connections that existed before, if there are any.
pub(super) fn pooled(trace: &Trace, names: &Names) -> Option<String> {
    let pooled: Vec<_> = trace.connections.iter().filter(|traced| traced.is_pooled()).collect();
    let nodes: BTreeSet<_> = pooled.iter().map(|traced| &traced.connection.node).collect();
    let is_shown = trace.began.is_some() && !pooled.is_empty();
    is_shown.then(|| {
        format!(
            "{} from the API server to kubelet ({}) existed before: logs, proxy and metrics may have used {}, \
            which samples do not show.",
            count(pooled.len(), "connection"),
            name_nodes(&nodes, names),
            if pooled.len() == 1 { "it" } else { "them" }
        )
    })
}

/// Which processes were restarted, or replaced: a command may have been run twice.
fn restarts(trace: &Trace, names: &Names) -> Option<String> {
    let of = |is_component: bool, head: &str| {
        let restarted = trace.connections.iter().filter(|traced| {
            traced.role == Role::Restart && traced.connection.component.is_some() == is_component
        });
        let mut processes: BTreeMap<String, BTreeSet<&NodeName>> = BTreeMap::new();
        for traced in restarted {
            processes.entry(process(&traced.connection)).or_default().insert(&traced.connection.node);
        }
        let texts =
            processes.iter().map(|(process, nodes)| format!("{process} on {}", name_nodes(nodes, names)));
        let texts: Vec<_> = texts.collect();
        (!texts.is_empty()).then(|| format!("{head}: {}.", texts.join(", ")))
    };
    let both = [of(true, "Restarted"), of(false, "Replaced by a process of the same name")];
    let both: Vec<_> = both.into_iter().flatten().collect();
    (!both.is_empty()).then(|| both.join(" "))
}

/// The changes between the API server and each node, a sentence for each route.
fn by_connection(changes: &[&TracedConnection], names: &Names) -> String {
    let mut routes: BTreeMap<(&str, Change, &str, String), usize> = BTreeMap::new();
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
        let key = (names.name(&connection.node), change, verb(traced, change), format!("{route} ({by})"));
        *routes.entry(key).or_default() += 1;
    }
    if routes.is_empty() || routes.len() > SENTENCES_MAX {
        return by_path(changes);
    }
    let sentences = routes.into_iter().map(|((node, _, verb, route), number)| {
        format!("{node}: {} {route} {verb}.", count(number, "connection"))
    });
    sentences.collect::<Vec<_>>().join(" ")
}

/// The numbers of connections by path and direction.
type Numbers = BTreeMap<(Path, &'static str), usize>;

/// The same, summed up by path.
fn by_path(changes: &[&TracedConnection]) -> String {
    let mut routes: BTreeMap<(Change, &str), Numbers> = BTreeMap::new();
    for traced in changes {
        let connection = &traced.connection;
        let route = (connection.attribution.path, connection.direction.as_str());
        if let (Some(change), true) = (traced.presence.change(), connection.direction != Direction::None) {
            *routes.entry((change, verb(traced, change))).or_default().entry(route).or_default() += 1;
        }
    }
    let sentences = routes.into_iter().map(|((_, verb), routes)| {
        let all: usize = routes.values().sum();
        let routes = routes
            .iter()
            .map(|((path, direction), number)| format!("{number} {direction} {}", path.as_str()));
        format!("{} {verb}: {}.", count(all, "connection"), routes.collect::<Vec<_>>().join(", "))
    });
    sentences.collect::<Vec<_>>().join(" ")
}

fn verb(traced: &TracedConnection, change: Change) -> &'static str {
    match change {
        Change::Appeared if traced.presence.after == Sighting::Unknown => {
            "appeared (whether it stayed is not known)"
        }
        Change::Appeared => "appeared and stayed",
        Change::Gone => "disappeared",
        Change::Transient => "appeared and disappeared",
    }
}
