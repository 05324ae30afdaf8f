//! `--format html`: one page for people, without network access, that needs no script.
//!
//! The templates are the files beside this one. Every text that they print is cut, escaped as
//! in all other formats, and escaped for HTML by the template engine; nothing untrusted is
//! printed anywhere but in text and in the values of attributes. A Content-Security-Policy
//! allows nothing but the page's own style and script, by their hashes.
//!
//! Kept until the end of a report on several clusters, since the overview comes first: a row
//! and the section of each, up to a limit on the size; those of clusters that fail take
//! precedence.

mod cluster;
mod connections;
mod diagram;
mod findings;
mod gaps;
mod list;
mod nodes;
mod words;

use std::io::{Error, Result, Write};

use jiff::Timestamp;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, context, escape_formatter};
use serde::Serialize;

use self::cluster::{Banner, Row, Section};
use self::words::{verdict_mark, verdict_word};
use super::format::{AuditFormat, ReportSettings, ReportWriter};
use super::text::escape;
use crate::model::audit::{Audited, Summary, Unjudged};
use crate::model::judgment::Verdict;

/// The format.
pub const FORMAT: AuditFormat = AuditFormat {
    name: "html",
    help: "A page for people: one file, to open in a browser or to print",
    write: |settings| Box::new(Writer::new(settings)),
};

/// The style of the page.
const STYLE: &str = include_str!("page.css");
/// The script of the page, which sorts and filters tables and copies commands.
const SCRIPT: &str = include_str!("page.js");
/// Their hashes for the Content-Security-Policy, which `tests/it/html.rs` checks.
const HASHES: &str = include_str!("csp.txt");
/// The size of all sections of a report on several clusters: those that would exceed it are in
/// the overview only.
const SECTIONS_MAX: usize = 24 << 20;
/// The number of rows of the overview.
const ROWS_MAX: usize = 5_000;

struct Writer {
    templates: Environment<'static>,
    is_many: bool,
    time: String,
    /// The banner of the only cluster.
    one: Option<Banner>,
    /// Of several clusters.
    rows: Vec<Row>,
    sections: Sections,
}

/// The sections of clusters, the worst verdict first: each with the place of its row.
#[derive(Default)]
struct Sections {
    by_rank: [Vec<(usize, Vec<u8>)>; 3],
    size: usize,
}

impl Sections {
    /// Adds one. Returns the rows of those that are dropped, since all would exceed the limit:
    /// of the best verdict, the last.
    fn push(&mut self, rank: usize, row: usize, section: Vec<u8>) -> Vec<usize> {
        self.size += section.len();
        self.by_rank[rank].push((row, section));
        let mut dropped = Vec::new();
        while self.size > SECTIONS_MAX {
            let Some((row, section)) = self.by_rank.iter_mut().rev().find_map(Vec::pop) else { break };
            self.size -= section.len();
            dropped.push(row);
        }
        dropped
    }

    fn all(&self) -> impl Iterator<Item = &[u8]> {
        self.by_rank.iter().flatten().map(|(_, section)| section.as_slice())
    }
}

/// The place of a verdict among others: clusters that fail come first.
fn rank(verdict: Verdict) -> usize {
    match verdict {
        Verdict::Fail => 0,
        Verdict::Inconclusive => 1,
        Verdict::Pass => 2,
    }
}

impl Writer {
    fn new(settings: &ReportSettings) -> Self {
        let time = Timestamp::from_millisecond(settings.time).map(|time| time.to_string());
        // Whole seconds.
        let time = time.unwrap_or_default();
        let time = time.split(['.', 'Z']).next().unwrap_or_default().replace('T', " ");
        Self {
            templates: templates(),
            is_many: settings.is_many,
            time: format!("{time} UTC"),
            one: None,
            rows: Vec::new(),
            sections: Sections::default(),
        }
    }

    fn render(&self, template: &str, values: Value, out: &mut dyn Write) -> Result<()> {
        let template = self.templates.get_template(template).map_err(Error::other)?;
        template.render_captured_to(values, out).map(drop).map_err(|error| {
            // An error of the writer itself is its source, and of the template engine no more is known.
            let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<Error>());
            match source {
                Some(source) => Error::new(source.kind(), source.to_string()),
                None => Error::other(error),
            }
        })
    }
}

impl ReportWriter for Writer {
    fn cluster(&mut self, audited: &Audited, _: &mut dyn Write) -> Result<()> {
        let number = self.rows.len() + 1;
        let id = format!("c{number}");
        let mut section = Vec::new();
        self.render(
            "cluster.html",
            Value::from(Serde(Section::new(audited, &id, number, self.is_many))),
            &mut section,
        )?;
        self.rows.push(Row::new(audited, id));
        for row in self.sections.push(rank(audited.judgment.verdict), number - 1, section) {
            self.rows[row].has_section = false;
        }
        if !self.is_many {
            self.one = Some(Banner::new(audited));
        }
        Ok(())
    }

    fn end(mut self: Box<Self>, summary: &Summary, out: &mut dyn Write) -> Result<()> {
        let banner = self.one.take().unwrap_or_else(|| Banner::of_all(summary));
        self.rows.sort_by_key(|row| rank(row.verdict));
        let more = self.rows.len().saturating_sub(ROWS_MAX);
        self.rows.truncate(ROWS_MAX);
        let without_section = self.rows.iter().filter(|row| !row.has_section).count();
        let verdict = summary.verdict();
        let title = match (self.is_many, summary.unjudged.first()) {
            (true, _) => words::count(summary.counts.total(), "cluster"),
            (false, Some(unjudged)) => unjudged.subject.clone(),
            (false, None) => self.rows.first().map(|row| row.name.clone()).unwrap_or_default(),
        };
        let unjudged = list::of(&summary.unjudged, list::MAX, UnjudgedView::new);
        let head = context! {
            style => Value::from_safe_string(STYLE.to_owned()),
            hashes => HASHES.split_whitespace().collect::<Vec<_>>(),
            version => env!("CARGO_PKG_VERSION"),
            time => &self.time,
            title,
            banner => Value::from(Serde(&banner)),
            verdict => verdict_word(verdict),
            mark => verdict_mark(verdict),
            class => verdict.as_str(),
            is_many => self.is_many,
            rows => Value::from(Serde(&self.rows)),
            more,
            without_section,
            unjudged => Value::from(Serde(&unjudged)),
            policy => summary.policy.name(),
        };
        self.render("head.html", head, out)?;
        self.sections.all().try_for_each(|section| out.write_all(section))?;
        let notes = list::of(&summary.policy.notes, list::MAX, |note| {
            (note.line, note.kind.as_str(), note.text.clone())
        });
        let foot = context! {
            policy => summary.policy.name(),
            notes => Value::from(Serde(&notes)),
            version => env!("CARGO_PKG_VERSION"),
            time => &self.time,
            script => Value::from_safe_string(SCRIPT.to_owned()),
        };
        self.render("foot.html", foot, out)
    }
}

/// What could not be judged at all.
#[derive(Serialize)]
struct UnjudgedView {
    subject: String,
    why: &'static str,
    detail: String,
    step: findings::StepView,
}

impl UnjudgedView {
    fn new(unjudged: &Unjudged) -> Self {
        let Unjudged { subject, gap } = unjudged;
        Self {
            subject: subject.clone(),
            why: gap.why.as_str(),
            detail: gap.detail.clone(),
            step: findings::StepView::of_hint(&gap.hint),
        }
    }
}

fn templates() -> Environment<'static> {
    let mut templates = Environment::new();
    templates.set_auto_escape_callback(|_| AutoEscape::Html);
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    if let Ok(syntax) =
        SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build()
    {
        templates.set_syntax(syntax);
    }
    // What moves the cursor or changes the reading order is escaped in every text.
    templates.set_formatter(|out, state, value| match value.as_str() {
        Some(text) if !value.is_safe() => escape_formatter(out, state, &Value::from(escape(text))),
        _ => escape_formatter(out, state, value),
    });
    let files = [
        ("head.html", include_str!("head.html")),
        ("macros.html", include_str!("macros.html")),
        ("cluster.html", include_str!("cluster.html")),
        ("foot.html", include_str!("foot.html")),
    ];
    for (name, source) in files {
        // A template that does not parse is missing, and every report that needs it an error.
        let _ = templates.add_template(name, source);
    }
    templates
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cluster that fails has its section, however many pass before it and after it.
    #[test]
    fn sections_of_clusters_that_fail_are_kept_first() {
        let mut sections = Sections::default();
        let third = || vec![b'x'; SECTIONS_MAX / 3];
        for row in 0..3 {
            assert!(sections.push(rank(Verdict::Pass), row, third()).is_empty());
        }
        assert_eq!(sections.push(rank(Verdict::Inconclusive), 3, third()), [2]);
        assert_eq!(sections.push(rank(Verdict::Fail), 4, third()), [1]);
        assert_eq!(sections.push(rank(Verdict::Pass), 5, third()), [5]);
        assert_eq!(sections.push(rank(Verdict::Fail), 6, third()), [0]);
        assert_eq!(sections.push(rank(Verdict::Fail), 7, third()), [3]);
        // Of equal ones, the first.
        assert_eq!(sections.push(rank(Verdict::Fail), 8, third()), [8]);
        let kept: Vec<_> = sections.by_rank[0].iter().map(|(row, _)| *row).collect();
        assert_eq!((kept, sections.all().count()), (vec![4, 6, 7], 3));
    }
}
