//! `--format table`: text for people, for a terminal of any width.
//!
//! The verdict and the path of the nodes' traffic are the first lines and the last ones.
//! Between them, in the short form: what is known of the cluster, the nodes by what is wrong
//! with them, the findings with their steps, and what was not seen. `--all` adds every row.
//!
//! Kept until the end: the last lines, and of several clusters, whose overview comes first, a
//! row and the section of each, as text. The section of a single cluster is written at once.

mod cluster;
mod enis;
mod findings;
mod gaps;
mod many;
mod nodes;
pub mod reach;
mod seen_from;
pub mod simulation;
pub mod trace;

use std::io::{Result, Write};

use self::cluster::{write_brief, write_cluster, write_probes};
use self::enis::write_enis;
use self::findings::write_findings;
use self::gaps::{not_judged, write_gap_groups, write_gaps, write_not_judged};
use self::many::Row;
use self::nodes::{write_node_groups, write_nodes, write_paths};
use self::seen_from::{write_architecture, write_seen_from};
use super::answer::{reason, short_reason};
use super::format::{AuditFormat, ReportSettings, ReportWriter};
use super::names::Names;
use super::node_traffic;
use super::style::{Style, Tone, count};
use super::text::escape;
use crate::model::audit::{Audited, Summary};
use crate::model::judgment::{Exclusion, Judgment, Verdict};
use crate::model::text::capital;

/// The format.
pub const FORMAT: AuditFormat = AuditFormat {
    name: "table",
    help: "For people",
    write: |settings| {
        let ReportSettings { style, explain_paths, all, .. } = *settings;
        let form = Form { style, explain_paths, all };
        if settings.is_many {
            Box::new(Many { form, rows: Vec::new(), sections: Vec::new(), more: 0 })
        } else {
            Box::new(One { form, end: String::new(), more: 0 })
        }
    },
};

/// What a section contains.
#[derive(Clone, Copy)]
struct Form {
    style: Style,
    explain_paths: bool,
    all: bool,
}

/// The report on one cluster.
struct One {
    form: Form,
    /// The last lines.
    end: String,
    /// The number of lines that `--all` would add.
    more: usize,
}

impl ReportWriter for One {
    fn cluster(&mut self, audited: &Audited, out: &mut dyn Write) -> Result<()> {
        let style = self.form.style;
        self.end = verdict(audited, &short_reason(&audited.judgment), style);
        out.write_all(verdict(audited, &reason(&audited.judgment), style).as_bytes())?;
        self.more = write_section(audited, self.form, out)?;
        Ok(())
    }

    fn end(self: Box<Self>, summary: &Summary, out: &mut dyn Write) -> Result<()> {
        let style = self.form.style;
        if !summary.unjudged.is_empty() {
            write!(out, "{}", many::verdict(&[], summary, style))?;
            many::write_unjudged(summary, style, out)?;
        }
        write_policy(summary, style, out)?;
        write_more(self.more, style, out)?;
        if self.end.is_empty() { Ok(()) } else { write!(out, "\n{}", self.end) }
    }
}

/// The report on several clusters.
struct Many {
    form: Form,
    rows: Vec<Row>,
    sections: Vec<u8>,
    /// The number of lines that `--all` would add.
    more: usize,
}

impl ReportWriter for Many {
    fn cluster(&mut self, audited: &Audited, _: &mut dyn Write) -> Result<()> {
        let Form { style, all, .. } = self.form;
        self.rows.push(Row::new(audited));
        let mut section = Vec::new();
        write!(
            section,
            "\n{}\n{}",
            "=".repeat(style.width.into()),
            verdict(audited, &reason(&audited.judgment), style)
        )?;
        let more = write_section(audited, self.form, &mut section)?;
        // A cluster of which nothing is to be said has its row.
        let is_quiet = audited.judgment.verdict == Verdict::Pass
            && audited.judgment.findings.is_empty()
            && audited.judgment.gaps.iter().all(|judged| judged.rules.is_empty());
        if is_quiet && !all {
            self.more += lines(&section) + more;
        } else {
            self.sections.extend(section);
            self.more += more;
        }
        Ok(())
    }

    fn end(self: Box<Self>, summary: &Summary, out: &mut dyn Write) -> Result<()> {
        let style = self.form.style;
        let verdict = many::verdict(&self.rows, summary, style);
        let has_rows = !self.rows.is_empty();
        write!(out, "{verdict}")?;
        many::write_unjudged(summary, style, out)?;
        many::write_rows(self.rows, style, out)?;
        out.write_all(&self.sections)?;
        let end = format!("\n{}\n", "=".repeat(style.width.into()));
        let mut more = self.more;
        if !self.sections.is_empty() {
            write!(out, "{end}")?;
        } else if more > 0 {
            more += lines(end.as_bytes());
        }
        write_policy(summary, style, out)?;
        write_more(more, style, out)?;
        if has_rows { write!(out, "\n{verdict}") } else { Ok(()) }
    }
}

/// The verdict with a reason and the path of the nodes' traffic, each in a sentence.
fn verdict(audited: &Audited, reason: &str, style: Style) -> String {
    let Audited { facts, judgment } = audited;
    let names = Names::of(facts);
    let cluster = escape(&facts.evidence.cluster.name);
    let text = format!("{cluster}: {}", escape(&names.shorten(reason)));
    let first = style.verdict_line(judgment.verdict, &text);
    let indent = " ".repeat(judgment.verdict.as_str().len() + 2);
    let traffic = node_traffic::sentence(audited, |path, words| style.tone(Tone::of_traffic(path), words));
    first + &style.prose(&traffic, &indent, &indent)
}

/// Writes the section of a cluster without its verdict. Returns the number of lines that the
/// full form has more.
fn write_section(audited: &Audited, form: Form, out: &mut dyn Write) -> Result<usize> {
    if form.all {
        write_all(audited, form, out)?;
        return Ok(0);
    }
    let (mut short, mut all) = (Lines { out, lines: 0 }, Lines { out: &mut std::io::sink(), lines: 0 });
    write_short(audited, form, &mut short)?;
    write_all(audited, form, &mut all)?;
    Ok(all.lines.saturating_sub(short.lines))
}

/// Writes problems, and in a line each what is as it should be.
fn write_short(audited: &Audited, form: Form, out: &mut dyn Write) -> Result<()> {
    let Audited { facts, judgment } = audited;
    let Form { style, explain_paths, .. } = form;
    let names = Names::of(facts);
    write_brief(facts, &names, style, out)?;
    if explain_paths {
        write_architecture(facts, &names, style, out)?;
    }
    write_node_groups(facts, &names, style, out)?;
    write_findings(facts, &judgment.findings, &names, true, style, out)?;
    write_gap_groups(&judgment.gaps, &names, style, out)?;
    if let Some(text) = not_judged(&judgment.not_judged) {
        write!(out, "\n{}", style.prose(&text, "", "  "))?;
    }
    write_excluded(judgment, true, style, out)
}

/// Writes all rows.
fn write_all(audited: &Audited, form: Form, out: &mut dyn Write) -> Result<()> {
    let Audited { facts, judgment } = audited;
    let Form { style, explain_paths, .. } = form;
    let names = Names::of(facts);
    write_cluster(facts, &names, style, out)?;
    write_enis(facts, style, out)?;
    write_probes(facts, style, out)?;
    write_paths(facts, &names, style, out)?;
    write_seen_from(facts, &names, style, out)?;
    if explain_paths {
        write_architecture(facts, &names, style, out)?;
    }
    write_nodes(facts, &names, style, out)?;
    write_findings(facts, &judgment.findings, &names, false, style, out)?;
    write_gaps(&judgment.gaps, &names, style, out)?;
    write_not_judged(&judgment.not_judged, &names, style, out)?;
    write_excluded(judgment, false, style, out)
}

/// The most rules that are not selected on the command line of which the short form has the ids.
const SKIPPED_MAX: usize = 5;

/// Writes which rules are not judged at all, and why.
fn write_excluded(judgment: &Judgment, is_short: bool, style: Style, out: &mut dyn Write) -> Result<()> {
    let skipped = judgment.skipped.len();
    for (rules, why) in [(&judgment.off, Exclusion::Policy), (&judgment.skipped, Exclusion::CommandLine)] {
        if rules.is_empty() {
            continue;
        }
        let what = if why == Exclusion::CommandLine && is_short && skipped > SKIPPED_MAX {
            count(skipped, "rule")
        } else {
            rules.iter().map(|rule| rule.id).collect::<Vec<_>>().join(", ")
        };
        let text = format!("{}: {what}", capital(why.as_str()));
        write!(out, "\n{}", style.prose(&text, "", "  "))?;
    }
    Ok(())
}

fn write_policy(summary: &Summary, style: Style, out: &mut dyn Write) -> Result<()> {
    let policy = &summary.policy;
    let text = format!("Policy: {}", policy.name());
    write!(out, "\n{}", style.prose(&escape(&text), "", "  "))?;
    for note in &policy.notes {
        let text = format!("line {}: {}", note.line, note.text);
        write!(out, "{}", style.prose(&escape(&text), "  - ", "    "))?;
    }
    Ok(())
}

/// Writes how many lines `--all` would add to the report. `more` is their number without this
/// sentence, which `--all` does not have.
fn write_more(more: usize, style: Style, out: &mut dyn Write) -> Result<()> {
    let said = |more| {
        let text =
            format!("--all adds {}: interfaces, all paths and nodes, rules not judged", count(more, "line"));
        style.prose(&text, "", "  ")
    };
    let own = lines(said(more).as_bytes());
    match more.saturating_sub(own) {
        0 => Ok(()),
        more => write!(out, "{}", said(more)),
    }
}

/// The number of lines that a small terminal shows at once.
const SCREEN: usize = 24;

/// Writes a report whose answer is its first line and its last one; once only, if a small
/// terminal shows all of it at once.
fn write_framed(first: &[u8], rest: &[u8], last: &[u8], out: &mut dyn Write) -> Result<()> {
    out.write_all(first)?;
    out.write_all(rest)?;
    // The prompt of the shell is on the screen too.
    let is_small = lines(first) + lines(rest) < SCREEN;
    if is_small {
        return Ok(());
    }
    writeln!(out)?;
    out.write_all(last)
}

fn lines(text: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', text).count()
}

/// A writer that counts lines.
struct Lines<'a> {
    out: &'a mut dyn Write,
    lines: usize,
}

impl Write for Lines<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let written = self.out.write(bytes)?;
        self.lines += lines(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> Result<()> {
        self.out.flush()
    }
}
