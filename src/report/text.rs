//! Text from outside, made harmless at the last step.
//!
//! Process names, descriptions and answers are chosen by others: what moves a
//! cursor, ends a line or turns the reading order round is shown, not obeyed.

use std::borrow::Cow;

/// Whether a character does something to a terminal other than stand there.
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
}

/// The text with such characters escaped as Rust writes them: `\u{1b}`.
#[must_use]
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        if is_hostile(char) {
            safe.extend(char.escape_default());
        } else {
            safe.push(char);
        }
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escape_sequence_is_shown_not_obeyed() {
        assert_eq!(escape("a\x1b[31mb"), "a\\u{1b}[31mb");
        assert_eq!(escape("a\u{9b}31mb"), "a\\u{9b}31mb");
    }

    #[test]
    fn a_line_feed_does_not_forge_a_line() {
        assert_eq!(escape("x\r\nPASS"), "x\\r\\nPASS");
        assert_eq!(escape("x\u{2028}PASS"), "x\\u{2028}PASS");
    }

    #[test]
    fn a_bidi_override_does_not_turn_the_line() {
        assert_eq!(escape("\u{202e}telebuk"), "\\u{202e}telebuk");
        assert_eq!(escape("\u{2066}x\u{2069}"), "\\u{2066}x\\u{2069}");
    }

    #[test]
    fn plain_text_is_left_alone() {
        assert!(matches!(escape("Amazon EKS 한국어 é"), Cow::Borrowed(_)));
    }
}
