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

/// Text without links, mentions and references; what stands between two backticks is code, all else
/// is shown literally.
pub(super) fn harmless(text: &str) -> String {
    let text = escape(text);
    let parts: Vec<_> = text.split('`').collect();
    // It begins and ends with a word. Backticks of adjacent codes would be one delimiter, and a bar
    // ends a cell of a table.
    let is_code = |at: usize| {
        at % 2 == 1
            && at + 1 < parts.len()
            && !parts[at].trim().is_empty()
            && !parts[at].contains('|')
            && parts[at - 1].chars().next_back().map_or(at == 1, |char| " (".contains(char))
            && parts[at + 1].chars().next().map_or(at + 2 == parts.len(), |char| !char.is_alphanumeric())
    };
    let mut safe = String::with_capacity(text.len());
    let mut is_after_code = true;
    for (at, part) in parts.iter().enumerate() {
        if is_code(at) {
            let _ = write!(safe, "`{part}`");
            is_after_code = true;
            continue;
        }
        safe.push_str(if is_after_code { "" } else { "\\`" });
        safe.push_str(&literal(part));
        is_after_code = false;
    }
    safe
}

/// Text that Markdown and HTML show literally.
fn literal(text: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_between_backticks_is_code_and_all_else_literal() {
        for (text, expected) in [
            ("in `kubectl get nodes -o wide`: <b>", "in `kubectl get nodes -o wide`: &lt;b&gt;"),
            ("`a_b` and `<i>`", "`a_b` and `<i>`"),
            ("one ` alone", "one \\` alone"),
            ("two `a` and ` alone", "two `a` and \\` alone"),
            ("x`d` and `e`f (`g`)", "x\\`d\\` and \\`e\\`f \\(`g`\\)"),
            ("none ``", "none \\`\\`"),
            ("adjacent `a``b`", "adjacent \\`a\\`\\`b\\`"),
            ("a cell `a|b`", "a cell \\`a\\|b\\`"),
            ("`", "\\`"),
            ("a*b", "a\\*b"),
        ] {
            assert_eq!(harmless(text), expected, "{text}");
        }
    }
}
