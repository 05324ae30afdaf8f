//! Untrusted text, cut and escaped at the last step.
//!
//! Process names, descriptions and answers are untrusted: characters that move the
//! cursor, end a line or change the reading order, and commands of CI systems, are
//! printed as escapes. A text of any length is cut, so that wrapping it takes bounded time.

use std::borrow::Cow;

use crate::model::text::cut;

/// The number of characters of a text that are printed: far more than a message has.
const PRINTED_MAX: usize = 4000;
/// The number of characters of a cell of a table that are printed.
const CELL_MAX: usize = 300;
/// The number of lines of a cell of a table that are printed.
const LINES_MAX: usize = 50;

/// Whether a character has an effect on a terminal or on the reading order.
#[must_use]
pub fn is_hostile(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{ad}' | '\u{61c}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
        // Noncharacters, which XML does not allow.
        || u32::from(char) & 0xfffe == 0xfffe
}

/// The text for a cell of a table: cut, and escaped.
#[must_use]
pub(super) fn cell(text: &str) -> String {
    escape_whole(&cut(text, CELL_MAX)).into_owned()
}

/// The lines of a cell of a table, and the number of those that are not shown.
pub(super) fn lines(all: &[String]) -> String {
    let shown = all[..all.len().min(LINES_MAX)].join("\n");
    match all.len().saturating_sub(LINES_MAX) {
        0 => shown,
        more => format!("{shown}\nand {more} more"),
    }
}

/// The text, cut, with such characters escaped in the notation of Rust: `\u{1b}`.
#[must_use]
pub fn escape(text: &str) -> Cow<'_, str> {
    match cut(text, PRINTED_MAX) {
        Cow::Borrowed(text) => escape_whole(text),
        Cow::Owned(text) => Cow::Owned(escape_whole(&text).into_owned()),
    }
}

fn escape_whole(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hostile) && !text.contains("::") && !text.contains("##[") {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for (at, char) in text.char_indices() {
        if is_command(&text[at..]) {
            safe.extend(char.escape_unicode());
        } else if is_hostile(char) {
            safe.extend(char.escape_default());
        } else {
            safe.push(char);
        }
    }
    Cow::Owned(safe)
}

/// The workflow commands of GitHub Actions.
const COMMANDS: [&str; 15] = [
    "add-mask",
    "add-matcher",
    "add-path",
    "debug",
    "echo",
    "endgroup",
    "error",
    "group",
    "notice",
    "remove-matcher",
    "save-state",
    "set-env",
    "set-output",
    "stop-commands",
    "warning",
];

/// Whether a text begins with a workflow command: `::error::`, which counts at the
/// beginning of a line, or `##[error]`, which counts anywhere.
///
/// <https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands>
fn is_command(text: &str) -> bool {
    // ARNs and IPv6 addresses contain two colons too, but no command after them.
    let name = text.strip_prefix("::").unwrap_or_default();
    let name = &name[..name.find([':', ' ']).unwrap_or(name.len())];
    text.starts_with("##[") || COMMANDS.iter().any(|command| command.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_are_escaped() {
        assert_eq!(escape("a\x1b[31mb"), "a\\u{1b}[31mb");
        assert_eq!(escape("a\u{9b}31mb"), "a\\u{9b}31mb");
    }

    #[test]
    fn line_breaks_are_escaped() {
        assert_eq!(escape("x\r\nPASS"), "x\\r\\nPASS");
        assert_eq!(escape("x\u{2028}PASS"), "x\\u{2028}PASS");
    }

    #[test]
    fn bidirectional_controls_are_escaped() {
        assert_eq!(escape("\u{202e}telebuk"), "\\u{202e}telebuk");
        assert_eq!(escape("\u{2066}x\u{2069}"), "\\u{2066}x\\u{2069}");
    }

    #[test]
    fn workflow_commands_are_escaped() {
        assert_eq!(escape("::error::x"), "\\u{3a}:error::x");
        assert_eq!(escape("x ::stop-commands::y"), "x \\u{3a}:stop-commands::y");
        assert_eq!(escape("a ##[group]b"), "a \\u{23}#[group]b");
    }

    #[test]
    fn long_texts_are_cut_before_they_are_escaped() {
        let long = "\x1b".repeat(PRINTED_MAX + 7);
        assert_eq!(escape(&long), format!("{}… (7 more characters)", "\\u{1b}".repeat(PRINTED_MAX)));
        assert_eq!(cell(&"r".repeat(CELL_MAX + 7)), format!("{}… (7 more characters)", "r".repeat(CELL_MAX)));
        let many: Vec<_> = (0..LINES_MAX + 7).map(|line| line.to_string()).collect();
        assert!(lines(&many).ends_with("\n49\nand 7 more"));
    }

    #[test]
    fn noncharacters_are_escaped() {
        assert_eq!(escape("a\u{ffff}b\u{1fffe}"), "a\\u{ffff}b\\u{1fffe}");
    }

    #[test]
    fn plain_text_is_not_changed() {
        for text in [
            "::1",
            "[2001:db8::1]:443",
            "fe80::abcd",
            "::ffff:10.0.0.1",
            "a::",
            "## [x]",
            "arn:aws:iam::aws:policy/x",
        ] {
            assert_eq!(escape(text), text);
        }
        assert!(matches!(escape("Amazon EKS 한국어 é"), Cow::Borrowed(_)));
    }
}
