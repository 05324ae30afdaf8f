//! Markdown, for `$GITHUB_STEP_SUMMARY` and comments.

use std::fmt::Write as _;
use std::io::{Result, Write};

use super::entry::unjudged;
use super::table::waived_by;
use super::text::escape;
use crate::model::audit::{Audit, Audited};
use crate::model::verdict::Verdict;

/// A step summary takes 1 MiB: a section that would go over this is counted.
const SIZE_MAX: usize = 900 << 10;
/// More of one cluster than this is counted.
const ROWS_MAX: usize = 200;

/// Writes the report.
///
/// # Errors
/// If `out` cannot be written to.
pub fn write(audit: &Audit, out: &mut impl Write) -> Result<()> {
    let mut text = format!("## eks-netcheck: {}\n", word(audit.verdict()));
    if audit.is_many {
        text.push_str(&overview(audit));
    }
    let mut left_out = 0;
    // What fails comes first, and so is there if there is no room for all.
    for audited in audit.worst_first() {
        let section = section(audited);
        if text.len() + section.len() > SIZE_MAX {
            left_out += 1;
        } else {
            text.push_str(&section);
        }
    }
    let mut tail = String::new();
    if left_out > 0 {
        // A String takes whatever is written to it, here and below.
        let _ = write!(tail, "\n{left_out} more clusters have no room here: the report has them.\n");
    }
    if !audit.unjudged.is_empty() {
        tail.push_str("\n### Could not be judged\n\n");
        for unseen in unjudged(audit).take(ROWS_MAX) {
            let _ = writeln!(tail, "- {}", harmless(&unseen.text));
        }
        tail.push_str(&rest(audit.unjudged.len()));
    }
    if let Some(policy) = &audit.policy {
        let _ = write!(tail, "\nPolicy: {}\n", harmless(&policy.path));
        for note in policy.notes.iter().take(ROWS_MAX) {
            let _ = writeln!(tail, "- line {}: {}", note.line, harmless(&note.text));
        }
        tail.push_str(&rest(policy.notes.len()));
    }
    text.push_str(&tail);
    out.write_all(text.as_bytes())
}

fn rest(all: usize) -> String {
    match all.saturating_sub(ROWS_MAX) {
        0 => String::new(),
        more => format!("- and {more} more\n"),
    }
}

fn overview(audit: &Audit) -> String {
    format!(
        "\n{} clusters: {} fail, {} inconclusive, {} pass; {} could not be judged at all.\n",
        audit.clusters.len(),
        audit.count(Verdict::Fail),
        audit.count(Verdict::Inconclusive),
        audit.count(Verdict::Pass),
        audit.unjudged.len()
    )
}

fn section(audited: &Audited) -> String {
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
    if !judgment.findings.is_empty() {
        text.push_str("\n| severity | rule | finding |\n| --- | --- | --- |\n");
        for judged in judgment.findings.iter().take(ROWS_MAX) {
            let finding = &judged.finding;
            let about = if finding.subject == cluster.subject() {
                finding.message.clone()
            } else {
                format!("{}: {}", finding.subject, finding.message)
            };
            let waiver = judged.waiver.as_ref().map(|waiver| format!(" ({})", waived_by(waiver)));
            let _ = writeln!(
                text,
                "| {} | [{}]({}) | {} |",
                judged.severity.as_str(),
                judged.rule.id,
                judged.rule.reference,
                harmless(&(about + &waiver.unwrap_or_default()))
            );
        }
        text.push_str(&rest(judgment.findings.len()));
    }
    let needed: Vec<_> = judgment.gaps.iter().filter(|judged| judged.needed).collect();
    if !needed.is_empty() {
        text.push_str("\nNot seen, and needed:\n\n");
        for judged in needed.iter().take(ROWS_MAX) {
            let gap = &judged.gap;
            let _ = writeln!(text, "- {}", harmless(&format!("{}: {}; {}", gap.what, gap.detail, gap.hint)));
        }
        text.push_str(&rest(needed.len()));
    }
    text
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "✅ pass",
        Verdict::Fail => "❌ fail",
        Verdict::Inconclusive => "⚠️ inconclusive",
    }
}

/// Text that Markdown and HTML show as it is.
fn harmless(text: &str) -> String {
    let text = escape(text);
    let mut safe = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            // It makes a mention, or a reference to an issue.
            '@' => safe.push_str("&#64;"),
            '#' => safe.push_str("&#35;"),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '+' | '!' | '|' | '~' | '$' => {
                safe.push('\\');
                safe.push(char);
            }
            _ => safe.push(char),
        }
    }
    safe
}
