//! Markdown, for `$GITHUB_STEP_SUMMARY` and comments.

use std::fmt::Write as _;
use std::io::{Result, Write};

use super::entry::{about, unjudged, waived_by};
use super::text::escape;
use crate::model::audit::{Audit, Audited};
use crate::model::judgment::{JudgedGap, Verdict};

/// A step summary takes 1 MiB: what would go over this is counted.
const SIZE_MAX: usize = 900 << 10;
/// A list's rows, and their size; what is more is counted.
const ROWS_MAX: usize = 200;
const LIST_SIZE_MAX: usize = 100 << 10;

/// Writes the report.
///
/// # Errors
/// If `out` cannot be written to.
pub fn write(audit: &Audit, out: &mut impl Write) -> Result<()> {
    let mut text = format!("## eks-netcheck: {}\n", word(audit.verdict()));
    if audit.is_many {
        text.push_str(&overview(audit));
    }
    let mut tail = String::new();
    if !audit.unjudged.is_empty() {
        tail.push_str("\n### Could not be judged\n\n");
        let rows = unjudged(audit).map(|unseen| format!("- {}\n", harmless(&unseen.text)));
        tail.push_str(&list(rows));
    }
    if let Some(policy) = &audit.policy {
        // A String takes whatever is written to it, here and below.
        let _ = write!(tail, "\nPolicy: {}\n\n", harmless(&policy.path));
        let notes = policy.notes.iter();
        tail.push_str(&list(notes.map(|note| format!("- line {}: {}\n", note.line, harmless(&note.text)))));
    }
    let mut left_out = 0;
    // What fails comes first, and so is there if there is no room for all.
    for audited in audit.worst_first() {
        let section = section(audited);
        if text.len() + section.len() + tail.len() > SIZE_MAX {
            left_out += 1;
        } else {
            text.push_str(&section);
        }
    }
    if left_out > 0 {
        let _ = write!(text, "\n{left_out} more clusters have no room here: the report has them.\n");
    }
    text.push_str(&tail);
    out.write_all(text.as_bytes())
}

/// Rows as far as there is room for them, and how many more there are.
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
        let _ = write!(text, "\nand {more} more: the report has them.\n");
    }
    text
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
        text.push_str(&list(judgment.findings.iter().map(|judged| {
            let waiver = judged.waiver.as_ref().map(|waiver| format!(" ({})", waived_by(waiver)));
            format!(
                "| {} | [{}]({}) | {} |\n",
                judged.severity.as_str(),
                judged.rule.id,
                judged.rule.reference,
                harmless(&(about(&judged.finding, cluster) + &waiver.unwrap_or_default()))
            )
        })));
    }
    let (needed, others): (Vec<_>, Vec<_>) = judgment.gaps.iter().partition(|judged| judged.needed);
    if !needed.is_empty() {
        text.push_str("\nNot seen, and needed:\n\n");
        text.push_str(&list(
            needed.into_iter().map(|JudgedGap { gap, .. }| format!("- {}\n", harmless(&gap.to_string()))),
        ));
    }
    if !others.is_empty() {
        text.push_str("\nNot seen either; the verdict stands without it:\n\n");
        text.push_str(&list(others.into_iter().map(|JudgedGap { gap, rules, .. }| {
            let rules: Vec<_> = rules.iter().map(|rule| rule.id).collect();
            let cost =
                if rules.is_empty() { String::new() } else { format!("; not judged: {}", rules.join(", ")) };
            format!("- {}\n", harmless(&format!("{}{cost}", gap.problem())))
        })));
    }
    if !judgment.off.is_empty() {
        let off: Vec<_> = judgment.off.iter().map(|rule| rule.id).collect();
        let _ = write!(text, "\nOff by the policy: {}.\n", off.join(", "));
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

/// Text that Markdown and HTML show as it is: no link, no mention, no reference.
fn harmless(text: &str) -> String {
    let text = escape(text);
    let mut safe = String::with_capacity(text.len());
    for (at, char) in text.char_indices() {
        let is_link = match char {
            ':' => text[at..].starts_with("://"),
            '.' => text[..at].to_ascii_lowercase().ends_with("www"),
            _ => false,
        };
        match char {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            // An entity would be what it stands for again when these are looked for.
            '@' | '#' => safe.extend([char.encode_utf8(&mut [0; 4]), "<!-- -->"]),
            _ if is_link => {
                // A String takes whatever is written to it.
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
