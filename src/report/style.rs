//! Text for a terminal: its width and colour, wrapped prose, and tables.

use anstyle::AnsiColor;
use comfy_table::{ContentArrangement, LineStyle, Table, TableStyle};

use crate::model::judgment::Verdict;
use crate::model::reachability::Reaches;
use crate::model::rule::Severity;
use crate::model::simulation::SimulationVerdict;
use crate::model::text::split_command;

/// Width and colour of text.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// The number of columns.
    pub width: u16,
    /// Whether to use colour.
    pub color: bool,
}

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

    /// A severity in capitals and in its colour.
    pub(super) fn severity(self, severity: Severity) -> String {
        let color = match severity {
            Severity::Critical | Severity::High => AnsiColor::Red,
            Severity::Medium => AnsiColor::Yellow,
            Severity::Low => AnsiColor::Cyan,
        };
        self.paint(color.on_default().bold(), &severity.as_str().to_uppercase())
    }

    /// A verdict in capitals and in its colour.
    pub(super) fn verdict(self, verdict: Verdict) -> String {
        let color = match verdict {
            Verdict::Pass => AnsiColor::Green,
            Verdict::Fail => AnsiColor::Red,
            Verdict::Inconclusive => AnsiColor::Yellow,
        };
        self.paint(color.on_default().bold(), &verdict.as_str().to_uppercase())
    }

    /// A verdict of a simulation in capitals and in its colour, followed by prose that is
    /// indented to its end.
    pub(super) fn outcome_line(self, verdict: SimulationVerdict, text: &str) -> String {
        let color = match verdict {
            SimulationVerdict::Safe => AnsiColor::Green,
            SimulationVerdict::Breaks => AnsiColor::Red,
            SimulationVerdict::Unknown => AnsiColor::Yellow,
        };
        let word = verdict.as_str().to_uppercase();
        let head = format!("{word}  ");
        let text = self.prose(text, &head, &" ".repeat(head.len()));
        let rest = text.strip_prefix(&head).unwrap_or(&text);
        format!("{}  {rest}", self.paint(color.on_default().bold(), &word))
    }

    /// A verdict followed by prose that is indented to the end of the verdict.
    pub(super) fn verdict_line(self, verdict: Verdict, text: &str) -> String {
        self.head_line(&self.verdict(verdict), verdict.as_str(), text)
    }

    /// Whether something reaches the endpoint, in capitals and in its colour.
    pub(super) fn reaches(self, reaches: Reaches) -> String {
        let color = match reaches {
            Reaches::Yes => AnsiColor::Green,
            Reaches::No => AnsiColor::Red,
            Reaches::Unknown => AnsiColor::Yellow,
        };
        self.paint(color.on_default().bold(), &reaches.as_str().to_uppercase())
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
        let options = textwrap::Options::new(self.width.into())
            .initial_indent(first)
            .subsequent_indent(rest)
            .word_splitter(textwrap::WordSplitter::NoHyphenation)
            .break_words(false);
        let mut wrapped = textwrap::fill(text, options);
        wrapped.push('\n');
        wrapped
    }

    /// Prose that may end with a command, as a next step does: that is a line of its own and is
    /// not wrapped, so that it can be pasted.
    pub(super) fn next_step(self, text: &str, first: &str, rest: &str) -> String {
        let (prose, command) = split_command(text);
        match command {
            Some(command) => {
                format!("{}{rest}    {command}\n", self.prose(&format!("{prose}:"), first, rest))
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
}

/// A number with its noun, in the plural unless the number is 1.
pub(super) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
