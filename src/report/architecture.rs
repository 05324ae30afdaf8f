//! The ways between operator, nodes and API server as drawings: the expected ones, those that
//! were observed, and what differs.

use super::drawing::{Arrow, Head, boxes};
use super::seen_from::TCP_ANSWERED;
use super::text::{cell, escape};
use crate::model::architecture::{ExpectedPath, Leg, LegKind, Observation, SightResult};
use crate::model::connection::{KUBELET_PORT, Path};
use crate::model::seen_from::SeenBy;

/// How many observations of a leg are drawn.
const DRAWN_MAX: usize = 8;
/// The indent of drawings.
const INDENT: &str = "  ";
/// The indent of untrusted text: in Markdown, a line that begins with it cannot end a block of
/// code.
const DEEP: &str = "    ";

/// Draws the legs in a number of columns. `name` shortens the name of a node.
pub(super) fn lines(legs: &[Leg], width: usize, name: impl Fn(&str) -> String) -> Vec<String> {
    let mut lines = Vec::new();
    for (at, leg) in legs.iter().enumerate() {
        if at > 0 {
            lines.push(String::new());
        }
        lines.push(format!("{}. {}", at + 1, leg.kind.title()));
        if !leg.differs.is_empty() {
            lines.push(format!("{INDENT}Differs:"));
        }
        for difference in &leg.differs {
            bullet(&format!("{}: {}", difference.kind.as_str(), difference.text), width, &mut lines);
        }
        expected(leg, width, &mut lines);
        observed(leg, width, &name, &mut lines);
        for text in &leg.not_seen {
            bullet(&format!("not seen: {text}"), width, &mut lines);
        }
        if leg.differs.is_empty() && !leg.observed.is_empty() {
            lines.push(format!("{INDENT}Nothing that was seen differs."));
        }
    }
    lines
}

fn expected(leg: &Leg, width: usize, lines: &mut Vec<String>) {
    if leg.expected.is_empty() {
        lines.push(format!("{INDENT}Expected: nothing, as EKS has no endpoint for this cluster"));
    }
    for ExpectedPath { whose, hops } in &leg.expected {
        let whose = if whose.is_empty() { String::new() } else { format!(", {}", escape(whose)) };
        wrapped(&format!("Expected{whose}:"), INDENT, width, lines);
        let hops: Vec<Vec<_>> = hops.iter().map(|hop| hop.iter().map(|line| cell(line)).collect()).collect();
        let arrows = vec![Arrow { label: "", head: Head::Arrives }; hops.len().saturating_sub(1)];
        draw(&hops, &arrows, width, lines);
    }
}

fn observed(leg: &Leg, width: usize, name: &impl Fn(&str) -> String, lines: &mut Vec<String>) {
    if leg.observed.is_empty() {
        lines.push(format!("{INDENT}Observed: nothing"));
        return;
    }
    lines.push(format!("{INDENT}Observed:"));
    for observation in leg.observed.iter().take(DRAWN_MAX) {
        let (label, head) = match (observation.by, observation.result) {
            (_, SightResult::Resolves) => ("resolves to", Head::Arrives),
            (SeenBy::Probe, SightResult::Connected) => ("probe", Head::Arrives),
            (_, SightResult::Connected) => ("socket", Head::Arrives),
            (_, SightResult::Answered) => (TCP_ANSWERED, Head::Arrives),
            (_, SightResult::Hanging) => ("SYN-SENT", Head::Ends),
            (_, SightResult::Failed) => ("probe", Head::Ends),
        };
        let places = places(observation, leg.kind, name);
        let far_ends = far_ends(observation);
        let texts = match leg.kind {
            LegKind::ApiToKubelet => [far_ends, places],
            LegKind::OperatorToApi | LegKind::NodeToApi => [places, far_ends],
        };
        draw(&texts, &[Arrow { label, head }], width, lines);
    }
    let more = leg.observed.len().saturating_sub(DRAWN_MAX) + leg.omitted;
    if more > 0 {
        lines.push(format!("{INDENT}and {more} more; the JSON report lists at most 20 in all"));
    }
}

/// The text of the box for the places of an observation.
fn places(observation: &Observation, kind: LegKind, name: &impl Fn(&str) -> String) -> Vec<String> {
    let Observation { processes, places, .. } = observation;
    let names = places.kept.iter().take(Observation::SHOWN).map(|place| cell(&name(place)));
    let mut names = names.collect::<Vec<_>>().join(", ");
    if places.total > Observation::SHOWN {
        names = format!("{} nodes: {names}, ...", places.total);
    }
    let mut text = vec![names];
    if kind == LegKind::ApiToKubelet {
        text.push(format!("kubelet:{KUBELET_PORT}"));
    } else if processes.total > 0 {
        text.push(cell(&processes.shown(Observation::SHOWN)));
    }
    text
}

/// What the far ends of an observation are, by their path.
pub(super) fn far_end(path: Path) -> &'static str {
    match path {
        Path::PublicEndpoint => "public endpoint",
        Path::PrivateEni => "EKS-owned ENI",
        Path::ClusterIp => "ClusterIP",
        Path::Vpc => "in the VPC, not an EKS-owned ENI",
        Path::Loopback => "loopback",
        Path::Unattributed => "unattributed",
        Path::Other => "other",
    }
}

/// The text of the box for the far ends of an observation.
fn far_ends(observation: &Observation) -> Vec<String> {
    let title = far_end(observation.path);
    let peers = &observation.peers;
    let mut text = vec![title.to_owned()];
    text.extend(peers.kept.iter().take(Observation::SHOWN).map(|peer| cell(peer)));
    if peers.total > Observation::SHOWN {
        text.push(format!("and {} more", peers.total - Observation::SHOWN));
    }
    text
}

fn draw(texts: &[Vec<String>], arrows: &[Arrow<'_>], width: usize, lines: &mut Vec<String>) {
    let drawing = boxes(texts, arrows, width.saturating_sub(INDENT.len()));
    lines.extend(drawing.into_iter().map(|line| format!("{INDENT}{line}")));
}

fn bullet(text: &str, width: usize, lines: &mut Vec<String>) {
    let text = escape(text);
    let options = textwrap::Options::new(width)
        .initial_indent("  - ")
        .subsequent_indent(DEEP)
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    lines.extend(textwrap::wrap(&text, options).into_iter().map(std::borrow::Cow::into_owned));
}

fn wrapped(text: &str, indent: &str, width: usize, lines: &mut Vec<String>) {
    let options = textwrap::Options::new(width).initial_indent(indent).subsequent_indent(DEEP);
    lines.extend(textwrap::wrap(text, options).into_iter().map(std::borrow::Cow::into_owned));
}
