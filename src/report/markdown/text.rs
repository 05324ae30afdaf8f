//! Text in Markdown: escaped, and lists of a limited size.

use std::fmt::Write as _;

use crate::model::judgment::Verdict;
use crate::report::text::escape;

/// The number of rows of a list, and their size; further rows are counted only.
pub(super) const ROWS_MAX: usize = 200;
const LIST_SIZE_MAX: usize = 100 << 10;

/// The rows within the limits, and the number of the others.
pub(super) fn list(rows: impl Iterator<Item = String>) -> String {
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
        // Writing to a String does not fail.
        let _ = write!(text, "\nand {more} more; the full report lists them.\n");
    }
    text
}

/// The verdict in a word.
pub(super) fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "✅ pass",
        Verdict::Fail => "❌ fail",
        Verdict::Inconclusive => "⚠️ inconclusive",
    }
}

/// Text that Markdown and HTML show literally: no link, no mention, no reference.
pub(super) fn harmless(text: &str) -> String {
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
