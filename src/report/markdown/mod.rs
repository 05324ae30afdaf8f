//! Markdown, for `$GITHUB_STEP_SUMMARY` and comments.
//!
//! Kept until the end, since the worst clusters come first: a section for each cluster,
//! up to a limit on the size.

pub mod simulation;

use std::fmt::Write as _;
use std::io::{Result, Write};

use crate::model::audit::{Audited, PolicyUsed, Summary};
use crate::model::facts::Facts;
use crate::model::judgment::{JudgedGap, NotJudged, Verdict};
use crate::report::answer::{compared, not_selected};
use crate::report::architecture;
use crate::report::compliance::by_status;
use crate::report::entry::{Unseen, about, exception, gap_text};
use crate::report::format::{AuditFormat, ReportSettings, ReportWriter};
use crate::report::probe::probes;
use crate::report::remediation::{self, is_command};
use crate::report::seen_from::{self, HEADS};
use crate::report::text::escape;
use crate::report::via::read_by;

/// The format.
pub const FORMAT: AuditFormat = AuditFormat {
    name: "markdown",
    help: "Markdown, for a step summary or a comment",
    write: |settings| {
        let ReportSettings { is_many, explain_paths, .. } = *settings;
        Box::new(Writer { is_many, explain_paths, sections: Default::default() })
    },
};

/// The limit of a step summary is 1 MiB: clusters that would exceed this size are counted only.
const SIZE_MAX: usize = 900 << 10;
/// The number of rows of a list, and their size; further rows are counted only.
const ROWS_MAX: usize = 200;
const LIST_SIZE_MAX: usize = 100 << 10;
/// The width of drawings.
const DRAWING_WIDTH: usize = 100;

struct Writer {
    is_many: bool,
    explain_paths: bool,
    /// By verdict, worst first.
    sections: [Sections; 3],
}

/// The sections of clusters with one verdict.
#[derive(Default)]
struct Sections {
    kept: Vec<String>,
    size: usize,
    left_out: usize,
}

impl Sections {
    fn push(&mut self, section: String) {
        if self.size + section.len() > SIZE_MAX {
            self.left_out += 1;
        } else {
            self.size += section.len();
            self.kept.push(section);
        }
    }
}

impl ReportWriter for Writer {
    fn cluster(&mut self, audited: &Audited, _: &mut dyn Write) -> Result<()> {
        let at = match audited.judgment.verdict {
            Verdict::Fail => 0,
            Verdict::Inconclusive => 1,
            Verdict::Pass => 2,
        };
        self.sections[at].push(section(audited, self.explain_paths));
        Ok(())
    }

    fn end(self: Box<Self>, summary: &Summary, out: &mut dyn Write) -> Result<()> {
        let mut text = format!("## eks-netcheck: {}\n", word(summary.verdict()));
        if self.is_many {
            text.push_str(&overview(summary));
        }
        if let Some(number) = not_selected(&summary.skipped) {
            let ids: Vec<_> = summary.skipped.iter().map(|rule| rule.id).collect();
            let _ = write!(text, "\n{number}: {}.\n", ids.join(", "));
        }
        let tail = tail(summary);
        let mut left_out = 0;
        for sections in &self.sections {
            left_out += sections.left_out;
            for section in &sections.kept {
                if text.len() + section.len() + tail.len() > SIZE_MAX {
                    left_out += 1;
                } else {
                    text.push_str(section);
                }
            }
        }
        if left_out > 0 {
            // Writing to a String does not fail, here and below.
            let _ = write!(
                text,
                "\n{left_out} more clusters are left out to limit the size; the full report lists them.\n"
            );
        }
        text.push_str(&tail);
        out.write_all(text.as_bytes())
    }
}

/// What comes after the clusters: what could not be judged, and the policy.
fn tail(summary: &Summary) -> String {
    let mut tail = String::new();
    if !summary.unjudged.is_empty() {
        tail.push_str("\n### Could not be judged\n\n");
        let rows = summary.unjudged.iter().map(Unseen::from);
        tail.push_str(&list(rows.map(|unseen| format!("- {}\n", harmless(&unseen.text)))));
    }
    let PolicyUsed { notes, .. } = &summary.policy;
    let _ = writeln!(tail, "\nPolicy: {}", harmless(&summary.policy.name()));
    if !notes.is_empty() {
        let notes = notes.iter().map(|note| format!("- line {}: {}\n", note.line, harmless(&note.text)));
        tail.push('\n');
        tail.push_str(&list(notes));
    }
    tail
}

/// The rows within the limits, and the number of the others.
fn list(rows: impl Iterator<Item = String>) -> String {
    let mut text = String::new();
    let (mut shown, mut more) = (0, 0);
    for row in rows {
        if more > 0 || shown == ROWS_MAX || text.len() + row.len() > LIST_SIZE_MAX {
            more += 1;
        } else {
            text.push_str(&row);
            shown += 1;
        }
    }
    if more > 0 {
        let _ = write!(text, "\nand {more} more; the full report lists them.\n");
    }
    text
}

fn overview(summary: &Summary) -> String {
    let counts = summary.counts;
    format!(
        "\n{} clusters: {} fail, {} inconclusive, {} pass; {} could not be judged at all.\n",
        counts.total(),
        counts.fail,
        counts.inconclusive,
        counts.pass,
        summary.unjudged.len()
    )
}

fn section(audited: &Audited, explain_paths: bool) -> String {
    let Audited { facts, judgment } = audited;
    let cluster = &facts.evidence.cluster;
    let region = cluster.region().map(|region| format!(" in {}", harmless(region))).unwrap_or_default();
    let mut text = format!(
        "\n### {} {}{region}\n\nEndpoint access: {}",
        word(judgment.verdict),
        harmless(&cluster.name),
        cluster.access.as_str()
    );
    let cidrs: Vec<_> = cluster.public_cidrs().iter().take(ROWS_MAX).map(ToString::to_string).collect();
    if !cidrs.is_empty() {
        let _ = write!(text, ", open to {}", cidrs.join(", "));
    }
    text.push_str(".\n");
    if let Some(nodes) = read_by(facts) {
        let _ = write!(text, "\nNodes: {nodes}.\n");
    }
    for (vantage, answers) in probes(facts) {
        let _ = write!(text, "\nProbe of the endpoint from {}:\n\n", harmless(&vantage));
        let lines = answers.iter().map(|(address, words)| harmless(&format!("{address}: {words}")));
        text.push_str(&list(lines.map(|line| format!("- {line}\n"))));
    }
    text.push_str(&seen_from(facts));
    if explain_paths {
        text.push_str(&drawing(facts));
    }
    if !judgment.findings.is_empty() {
        text.push_str("\n| severity | rule | finding |\n| --- | --- | --- |\n");
        text.push_str(&list(judgment.findings.iter().map(|judged| {
            let exception = exception(judged).map(|exception| format!(" ({exception})"));
            format!(
                "| {} | [{}]({}) | {} |\n",
                judged.severity.as_str(),
                judged.rule.id,
                judged.rule.reference,
                harmless(&(about(&judged.finding, cluster) + &exception.unwrap_or_default()))
            )
        })));
    }
    let compared = compared(judgment);
    if !compared.is_empty() {
        let _ = write!(text, "\nBaseline: {}.\n", harmless(&compared.join("; ")));
    }
    let compliance: Vec<_> = by_status(judgment).collect();
    if !compliance.is_empty() {
        let _ = write!(text, "\nControls: {}.\n", harmless(&compliance.join("; ")));
    }
    text.push_str(&remediations(audited));
    let (needed, others): (Vec<_>, Vec<_>) = judgment.gaps.iter().partition(|judged| judged.needed);
    if !needed.is_empty() {
        text.push_str("\nNot seen, and needed:\n\n");
        text.push_str(&list(needed.into_iter().map(|judged| format!("- {}\n", harmless(&gap_text(judged))))));
    }
    let (accepted, others): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|judged| judged.accepted_by().is_some());
    if !accepted.is_empty() {
        text.push_str("\nNot seen, and accepted by the policy:\n\n");
        text.push_str(&list(
            accepted.into_iter().map(|judged| format!("- {}\n", harmless(&gap_text(judged)))),
        ));
    }
    if !others.is_empty() {
        text.push_str("\nNot seen, and not needed for the verdict:\n\n");
        text.push_str(&list(others.into_iter().map(|JudgedGap { gap, rules, .. }| {
            let rules: Vec<_> = rules.iter().map(|rule| rule.id).collect();
            let cost =
                if rules.is_empty() { String::new() } else { format!("; not judged: {}", rules.join(", ")) };
            format!("- {}\n", harmless(&format!("{}{cost}", gap.problem())))
        })));
    }
    if !judgment.not_judged.is_empty() {
        text.push_str("\nNot judged, without effect on the verdict:\n\n");
        text.push_str(&list(
            judgment
                .not_judged
                .iter()
                .map(|NotJudged { rule, gap }| format!("- {}: {}\n", rule.id, harmless(&gap.problem()))),
        ));
    }
    if !judgment.off.is_empty() {
        let off: Vec<_> = judgment.off.iter().map(|rule| rule.id).collect();
        let _ = write!(text, "\nSwitched off by the policy: {}.\n", off.join(", "));
    }
    text
}

/// What each place sees of the API server.
fn seen_from(facts: &Facts) -> String {
    let (rows, more) = seen_from::rows(facts, |name| name);
    if rows.is_empty() {
        return String::new();
    }
    let mut text = format!("\n| {} |\n|{}\n", HEADS.join(" | "), " --- |".repeat(HEADS.len()));
    text.push_str(&list(rows.iter().map(|row| {
        let cells = row.iter().map(|cell| harmless(cell)).collect::<Vec<_>>();
        format!("| {} |\n", cells.join(" | "))
    })));
    if more > 0 {
        // Writing to a String does not fail.
        let _ = write!(text, "\nand {more} more; the JSON report lists them.\n");
    }
    text
}

/// The paths of the cluster as a block of code.
fn drawing(facts: &Facts) -> String {
    let lines = architecture::lines(&facts.architecture, DRAWING_WIDTH, str::to_owned);
    // Backticks of a name would end a fence that has no more of them; such lines are indented.
    format!("\n````text\n{}\n````\n", lines.join("\n"))
}

/// What resolves the findings of each rule, with commands as blocks of code.
fn remediations(audited: &Audited) -> String {
    let Audited { facts, judgment } = audited;
    let counted = judgment.findings.iter().filter(|judged| judged.counts());
    let counted: Vec<_> = counted.collect();
    let rules = counted.chunk_by(|a, b| a.rule.id == b.rule.id).filter_map(|same_rule| same_rule.first());
    list(rules.map(|first| {
        let mut text = format!("\n#### Steps for {}\n\n", first.rule.id);
        for line in remediation::of(first, facts).lines() {
            // Writing to a String does not fail.
            let _ = if is_command(line) {
                // Backticks of a query would end a fence that has no more of them.
                write!(text, "   ````sh\n   {}\n   ````\n", line.trim_start())
            } else {
                writeln!(text, "{}", numbered(line))
            };
        }
        text
    }))
}

/// A line of a remediation, shown literally behind its number.
fn numbered(line: &str) -> String {
    let number = line.find(". ").filter(|end| line[..*end].bytes().all(|byte| byte.is_ascii_digit()));
    match number {
        Some(end) if end > 0 => format!("{}. {}", &line[..end], harmless(&line[end + 2..])),
        _ => format!("{}{}", &line[..line.len() - line.trim_start().len()], harmless(line.trim_start())),
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "✅ pass",
        Verdict::Fail => "❌ fail",
        Verdict::Inconclusive => "⚠️ inconclusive",
    }
}

/// Text that Markdown and HTML show literally: no link, no mention, no reference.
fn harmless(text: &str) -> String {
    let text = escape(text);
    let mut safe = String::with_capacity(text.len());
    for (at, char) in text.char_indices() {
        let is_link = match char {
            ':' => text[at..].starts_with("://"),
            '.' => {
                text.as_bytes()[..at].last_chunk::<3>().is_some_and(|last| last.eq_ignore_ascii_case(b"www"))
            }
            _ => false,
        };
        match char {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            // An entity would be decoded before GitHub searches for mentions and references.
            '@' | '#' => safe.extend([char.encode_utf8(&mut [0; 4]), "<!-- -->"]),
            _ if is_link => {
                let _ = write!(safe, "&#{};", u32::from(char));
            }
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '+' | '!' | '|' | '~' | '$' => {
                safe.push('\\');
                safe.push(char);
            }
            _ => safe.push(char),
        }
    }
    safe
}
