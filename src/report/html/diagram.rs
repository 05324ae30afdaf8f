//! The ways between operator, nodes and API server as drawings: for each leg the expected
//! ways, and beside them what was observed. A drawing is a column of boxes with arrows between
//! them; the templates write it as SVG.

use serde::Serialize;
use textwrap::{Options, WordSplitter};

use super::words::path_class;
use crate::model::architecture::{ExpectedPath, Leg, LegKind, Observation, SightResult};
use crate::model::connection::KUBELET_PORT;
use crate::model::seen_from::{HERE, SeenBy};
use crate::report::architecture::far_end;
use crate::report::seen_from::TCP_ANSWERED;
use crate::report::text::cell;

/// The width of a drawing, in pixels.
const WIDTH: usize = 216;
/// The distance of text from the border of its box.
const PADDING: usize = 10;
/// The height of a line of text.
const LINE: usize = 16;
/// The number of characters that fit into a line of a title and of a detail.
const TITLE_CHARS: usize = 25;
const DETAIL_CHARS: usize = 28;
/// The most lines of a box.
const LINES_MAX: usize = 12;
/// The length of an arrow with and without a label.
const LABELLED: usize = 40;
const PLAIN: usize = 24;
/// The place of arrows.
const ARROW: usize = 28;
/// How many observations of a leg are drawn.
const DRAWN_MAX: usize = 8;

/// A leg.
#[derive(Debug, Serialize)]
pub(super) struct LegView {
    title: &'static str,
    state: &'static str,
    state_class: &'static str,
    expected: Vec<Drawing>,
    observed: Vec<Drawing>,
    more: usize,
    differs: Vec<(&'static str, String)>,
    not_seen: Vec<String>,
}

/// A drawing.
#[derive(Debug, Serialize)]
struct Drawing {
    caption: String,
    /// The whole drawing as a sentence, for readers who do not see it.
    text: String,
    class: &'static str,
    width: usize,
    height: usize,
    boxes: Vec<Box>,
    arrows: Vec<Arrow>,
}

/// A box of a drawing.
#[derive(Debug, Serialize)]
struct Box {
    y: usize,
    width: usize,
    height: usize,
    class: &'static str,
    lines: Vec<Line>,
}

/// A line of text in a box.
#[derive(Debug, Serialize)]
struct Line {
    x: usize,
    y: usize,
    class: &'static str,
    text: String,
}

/// An arrow down to the next box.
#[derive(Debug, Serialize)]
struct Arrow {
    x: usize,
    from: usize,
    to: usize,
    middle: usize,
    label: &'static str,
    label_x: usize,
    class: &'static str,
    arrives: bool,
}

impl LegView {
    pub(super) fn new(leg: &Leg) -> Self {
        let (state, state_class) =
            match (leg.differs.as_slice(), leg.observed.as_slice(), leg.not_seen.as_slice()) {
                ([_, ..], ..) => ("differs", "fail"),
                ([], [], _) => ("not seen", "inconclusive"),
                ([], [_, ..], [_, ..]) => ("nothing that was seen differs", "plain"),
                ([], [_, ..], []) => ("as expected", "pass"),
            };
        Self {
            title: match leg.kind {
                LegKind::OperatorToApi => "Operator → API server",
                LegKind::NodeToApi => "Nodes → API server",
                LegKind::ApiToKubelet => "API server → kubelets",
            },
            state,
            state_class,
            expected: leg.expected.iter().map(expected).collect(),
            observed: leg.observed.iter().take(DRAWN_MAX).map(|one| observed(one, leg.kind)).collect(),
            more: leg.observed.len().saturating_sub(DRAWN_MAX) + leg.omitted,
            differs: leg.differs.iter().map(|one| (one.kind.as_str(), one.text.clone())).collect(),
            not_seen: leg.not_seen.clone(),
        }
    }
}

fn expected(way: &ExpectedPath) -> Drawing {
    let hops = way.hops.iter().map(|hop| {
        let class = match hop.first().map(String::as_str) {
            Some("public endpoint") => "public",
            Some("EKS-owned ENI" | "ClusterIP") => "private",
            _ => "plain",
        };
        (class, hop.clone())
    });
    let arrows = vec![("", "expected", true); way.hops.len().saturating_sub(1)];
    draw(way.whose.clone(), way.text(), "expected", hops, &arrows)
}

fn observed(observation: &Observation, kind: LegKind) -> Drawing {
    let (label, class, arrives) = match (observation.by, observation.result) {
        (_, SightResult::Resolves) => ("resolves to", "resolves", true),
        (SeenBy::Probe, SightResult::Connected) => ("probe connected", "connected", true),
        (_, SightResult::Connected) => ("socket", "connected", true),
        (_, SightResult::Answered) => (TCP_ANSWERED, "resolves", true),
        (_, SightResult::Hanging) => ("SYN-SENT, no answer", "ends", false),
        (_, SightResult::Failed) => ("probe failed", "ends", false),
    };
    let places = ("plain", places(observation, kind));
    let far_ends = (path_class(observation.path), far_ends(observation));
    let hops = match kind {
        LegKind::ApiToKubelet => [far_ends, places],
        LegKind::OperatorToApi | LegKind::NodeToApi => [places, far_ends],
    };
    draw(String::new(), observation.text(), "observed", hops, &[(label, class, arrives)])
}

/// The text of the box for the places of an observation.
fn places(observation: &Observation, kind: LegKind) -> Vec<String> {
    let Observation { processes, places, .. } = observation;
    let mut text = match places.total {
        1 => vec![if places.kept == [HERE] { HERE.to_owned() } else { "1 node".to_owned() }],
        total => vec![format!("{total} nodes")],
    };
    if kind == LegKind::ApiToKubelet {
        text.push(format!("kubelet:{KUBELET_PORT}"));
    } else if processes.total > 0 {
        text.push(processes.shown(Observation::SHOWN));
    }
    if places.kept != [HERE] {
        text.extend(places.kept.iter().take(Observation::SHOWN).cloned());
        text.extend(more(places.total));
    }
    text
}

/// The text of the box for the far ends of an observation.
fn far_ends(observation: &Observation) -> Vec<String> {
    let mut text = vec![far_end(observation.path).to_owned()];
    text.extend(observation.peers.kept.iter().take(Observation::SHOWN).cloned());
    text.extend(more(observation.peers.total));
    text
}

fn more(total: usize) -> Option<String> {
    (total > Observation::SHOWN).then(|| format!("and {} more", total - Observation::SHOWN))
}

fn draw(
    caption: String,
    text: String,
    class: &'static str,
    hops: impl IntoIterator<Item = (&'static str, Vec<String>)>,
    arrows: &[(&'static str, &'static str, bool)],
) -> Drawing {
    let mut drawing =
        Drawing { caption, text, class, width: WIDTH, height: 1, boxes: Vec::new(), arrows: Vec::new() };
    let mut arrows = arrows.iter();
    for (class, hop) in hops {
        if !drawing.boxes.is_empty() {
            let (label, class, arrives) = arrows.next().copied().unwrap_or(("", "expected", true));
            let (from, length) = (drawing.height, if label.is_empty() { PLAIN } else { LABELLED });
            let x = ARROW;
            let (to, middle) = (from + length, from + length / 2);
            drawing.arrows.push(Arrow { x, from, to, middle, label, label_x: x + PADDING, class, arrives });
            drawing.height = to;
        }
        let y = drawing.height;
        let lines = lines(&hop, y);
        let height = 2 * PADDING - 2 + LINE * lines.len();
        drawing.boxes.push(Box { y, width: WIDTH - 2, height, class, lines });
        drawing.height += height;
    }
    drawing.height += 1;
    drawing
}

/// The lines of a box: the first text is its title. A detail is broken where it has blanks.
fn lines(hop: &[String], top: usize) -> Vec<Line> {
    let options = |chars| Options::new(chars).word_splitter(WordSplitter::NoHyphenation).break_words(true);
    let mut lines: Vec<(&'static str, String)> = Vec::new();
    for (at, text) in hop.iter().enumerate() {
        let (class, chars) = if at == 0 { ("title", TITLE_CHARS) } else { ("detail", DETAIL_CHARS) };
        let text = cell(text);
        lines
            .extend(textwrap::wrap(&text, options(chars)).into_iter().map(|line| (class, line.into_owned())));
    }
    if lines.len() > LINES_MAX {
        lines.truncate(LINES_MAX - 1);
        lines.push(("detail", "…".to_owned()));
    }
    let line = |(at, (class, text))| Line { x: PADDING, y: top + PADDING + 11 + LINE * at, class, text };
    lines.into_iter().enumerate().map(line).collect()
}
