//! Text for a terminal: its width and colour, wrapped prose, commands, and tables.
//!
//! Text is laid out before it is coloured: until then, a coloured word stands between marks
//! that have no width. Untrusted text has none of them, since they are escaped in it.

use std::io::{Result, Write};

use anstyle::AnsiColor;
use comfy_table::{ContentArrangement, LineStyle, Table, TableStyle};

use crate::model::connection::Path;
use crate::model::judgment::Verdict;
use crate::model::node::NodeStatus;
use crate::model::reachability::Reaches;
use crate::model::rule::Severity;
use crate::model::simulation::{Effect, SimulationVerdict};
use crate::model::socket::State;
use crate::model::text::split_command;
use crate::model::traffic::TrafficPath;
use crate::report::command;

/// Width and colour of text.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// The number of columns.
    pub width: u16,
    /// Whether to use colour.
    pub color: bool,
}

/// The most columns of prose: longer lines are hard to read.
const PROSE_MAX: u16 = 100;

/// The colour of a word, by what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// What has to be fixed.
    Bad,
    /// What is not known, or less severe.
    Doubtful,
    /// What is as it should be.
    Good,
    /// What is for information.
    Neutral,
}

impl Tone {
    const ALL: [Self; 4] = [Self::Bad, Self::Doubtful, Self::Good, Self::Neutral];

    fn color(self) -> AnsiColor {
        match self {
            Self::Bad => AnsiColor::Red,
            Self::Doubtful => AnsiColor::Yellow,
            Self::Good => AnsiColor::Green,
            Self::Neutral => AnsiColor::Cyan,
        }
    }

    /// The mark before a word: a character without width.
    fn mark(self) -> char {
        match self {
            Self::Bad => '\u{2061}',
            Self::Doubtful => '\u{2062}',
            Self::Good => '\u{2063}',
            Self::Neutral => '\u{2064}',
        }
    }

    /// The tone of a path of a connection.
    pub(super) fn of_path(path: Path) -> Self {
        match path {
            Path::PublicEndpoint => Self::Bad,
            Path::Unattributed => Self::Doubtful,
            Path::PrivateEni | Path::ClusterIp => Self::Good,
            Path::Vpc | Path::Loopback | Path::Other => Self::Neutral,
        }
    }

    /// The tone of the path of a node's traffic.
    pub(super) fn of_traffic(path: TrafficPath) -> Self {
        match path {
            TrafficPath::Public | TrafficPath::Mixed | TrafficPath::None => Self::Bad,
            TrafficPath::Private => Self::Good,
            TrafficPath::Unknown => Self::Doubtful,
        }
    }

    /// The tone of the state of a socket; `None` if it means nothing.
    pub(super) fn of_state(state: State) -> Option<Self> {
        (state == State::SynSent).then_some(Self::Bad)
    }

    /// The tone of the result of reading a node.
    pub(super) fn of_status(status: NodeStatus) -> Self {
        match status {
            NodeStatus::Read => Self::Good,
            NodeStatus::NoProcessNames | NodeStatus::NotSupported => Self::Doubtful,
            NodeStatus::Unreachable | NodeStatus::Malformed => Self::Bad,
        }
    }

    fn of_severity(severity: Severity) -> Self {
        match severity {
            Severity::Critical | Severity::High => Self::Bad,
            Severity::Medium => Self::Doubtful,
            Severity::Low => Self::Neutral,
        }
    }

    pub(super) fn of_verdict(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Pass => Self::Good,
            Verdict::Fail => Self::Bad,
            Verdict::Inconclusive => Self::Doubtful,
        }
    }

    fn of_reaches(reaches: Reaches) -> Self {
        match reaches {
            Reaches::Yes => Self::Good,
            Reaches::No => Self::Bad,
            Reaches::Unknown => Self::Doubtful,
        }
    }

    fn of_simulation(verdict: SimulationVerdict) -> Self {
        match verdict {
            SimulationVerdict::Safe => Self::Good,
            SimulationVerdict::Breaks => Self::Bad,
            SimulationVerdict::Unknown => Self::Doubtful,
        }
    }

    /// The tone of what a change does to a client.
    pub(super) fn of_effect(effect: Effect) -> Self {
        match effect {
            Effect::Breaks | Effect::Interrupted => Self::Bad,
            Effect::Unknown => Self::Doubtful,
            _ => Self::Good,
        }
    }
}

/// The mark after a coloured word.
const END: char = '\u{2060}';

/// A header with a line below it; no other lines.
const TABLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('-'));

impl Style {
    fn paint(self, style: anstyle::Style, text: &str) -> String {
        if self.color { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    /// Text in bold.
    pub(super) fn bold(self, text: &str) -> String {
        self.paint(anstyle::Style::new().bold(), text)
    }

    /// A word to be coloured when it is written, by [`Self::prose`] or [`Self::write_table`].
    pub(super) fn tone(self, tone: Tone, word: &str) -> String {
        if self.color { format!("{}{word}{END}", tone.mark()) } else { word.to_owned() }
    }

    /// Replaces marks by colours. A colour ends with its word, its cell or its line.
    fn coloured(self, text: String) -> String {
        let is_mark = |char: char| char == END || Tone::ALL.iter().any(|tone| tone.mark() == char);
        if !self.color || !text.contains(is_mark) {
            return text;
        }
        let mut all = String::with_capacity(text.len() + 64);
        for line in text.split_inclusive('\n') {
            let mut rest = line;
            while let Some(at) = rest.find(is_mark) {
                all.push_str(&rest[..at]);
                let mut chars = rest[at..].chars();
                let mark = chars.next();
                rest = chars.as_str();
                if let Some(tone) = Tone::ALL.into_iter().find(|tone| Some(tone.mark()) == mark) {
                    let ends = [rest.find(is_mark), rest.find("  "), rest.find('\n')];
                    let end = ends.into_iter().flatten().min().unwrap_or(rest.len());
                    all.push_str(&self.paint(tone.color().on_default(), &rest[..end]));
                    rest = &rest[end..];
                }
            }
            all.push_str(rest);
        }
        all
    }

    /// A severity in capitals and in its colour.
    pub(super) fn severity(self, severity: Severity) -> String {
        self.capitals(Tone::of_severity(severity), severity.as_str())
    }

    fn capitals(self, tone: Tone, word: &str) -> String {
        self.paint(tone.color().on_default().bold(), &word.to_uppercase())
    }

    /// A verdict in capitals and in its colour.
    pub(super) fn verdict(self, verdict: Verdict) -> String {
        self.capitals(Tone::of_verdict(verdict), verdict.as_str())
    }

    /// A verdict of a simulation in capitals and in its colour, followed by prose that is
    /// indented to its end.
    pub(super) fn outcome_line(self, verdict: SimulationVerdict, text: &str) -> String {
        let painted = self.capitals(Tone::of_simulation(verdict), verdict.as_str());
        self.head_line(&painted, verdict.as_str(), text)
    }

    /// A verdict followed by prose that is indented to the end of the verdict.
    pub(super) fn verdict_line(self, verdict: Verdict, text: &str) -> String {
        self.head_line(&self.verdict(verdict), verdict.as_str(), text)
    }

    /// Whether something reaches the endpoint, in capitals and in its colour.
    pub(super) fn reaches(self, reaches: Reaches) -> String {
        self.capitals(Tone::of_reaches(reaches), reaches.as_str())
    }

    /// A word in capitals and its colour, followed by prose that is indented to its end.
    pub(super) fn head_line(self, painted: &str, word: &str, text: &str) -> String {
        let head = format!("{}  ", word.to_uppercase());
        let text = self.prose(text, &head, &" ".repeat(head.len()));
        // Wrapped by its width without colour, then coloured.
        let rest = text.strip_prefix(&head).unwrap_or(&text);
        format!("{painted}  {rest}")
    }

    /// Prose wrapped to the width, with a line feed at its end. `first` and `rest` are the
    /// indents of the first line and of the others.
    pub(super) fn prose(self, text: &str, first: &str, rest: &str) -> String {
        let options = textwrap::Options::new(self.width.min(PROSE_MAX).into())
            .initial_indent(first)
            .subsequent_indent(rest)
            .word_splitter(textwrap::WordSplitter::NoHyphenation)
            .break_words(false);
        let mut wrapped = textwrap::fill(text, options);
        wrapped.push('\n');
        self.coloured(wrapped)
    }

    /// A command on lines of its own, which a shell reads as one.
    pub(super) fn command(self, command: &str, indent: &str) -> String {
        command::lines(command, indent, self.width.into())
    }

    /// Prose that may end with a command, as a next step does: that is on lines of its own.
    pub(super) fn next_step(self, text: &str, first: &str, rest: &str) -> String {
        let (prose, command) = split_command(text);
        match command {
            Some(command) => {
                let prose = self.prose(&format!("{prose}:"), first, rest);
                format!("{prose}{}", self.command(command, &format!("{rest}    ")))
            }
            None => self.prose(text, first, rest),
        }
    }

    /// An empty table with a header.
    pub(super) fn table<'a>(self, header: impl IntoIterator<Item = &'a str>) -> Table {
        let mut table = Table::new();
        table
            .load_style(TABLE)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(self.width)
            .set_header(header);
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        table
    }

    /// Whether a table fits, if its last column has this width at most.
    pub(super) fn has_room(self, table: &Table, last: usize) -> bool {
        let mut widths: Vec<_> = table.column_max_content_widths().into_iter().map(usize::from).collect();
        if let Some(width) = widths.last_mut() {
            *width = last.min(*width);
        }
        let padding = 2 * widths.len();
        widths.iter().sum::<usize>() + padding <= usize::from(self.width)
    }

    /// Writes a table, coloured.
    pub(super) fn write_table(self, table: &Table, out: &mut dyn Write) -> Result<()> {
        for line in table.lines() {
            writeln!(out, "{}", self.coloured(line.trim_end().to_owned()))?;
        }
        Ok(())
    }
}

/// A number with its noun, in the plural unless the number is 1.
pub(super) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
