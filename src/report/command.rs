//! Commands as lines that can be pasted into a shell.

use textwrap::core::display_width;

/// The indent of a line that continues a command.
const CONTINUED: &str = "    ";

/// A command on lines that a shell joins: each but the last ends with ` \`. It is broken between
/// its words only; a word that is wider than the line is not broken. A command after `&&` begins a
/// line. What is not one line, or has a comment or a here-document, is not broken.
pub(super) fn lines(command: &str, indent: &str, width: usize) -> String {
    if display_width(indent) + display_width(command) <= width || !can_be_broken(command) {
        return format!("{indent}{command}\n");
    }
    let mut text = String::with_capacity(command.len() + 64);
    let mut used = 0;
    let words = words(command);
    for (at, word) in words.iter().enumerate() {
        // An option stays with its value, if a line is wide enough for both.
        let is_option = |word: &str| word.starts_with("--") && !word.contains('=');
        let value = words.get(at + 1).filter(|next| is_option(word) && !next.starts_with('-'));
        let both = value.map_or(0, |value| 1 + display_width(value)) + display_width(word);
        let is_too_wide = display_width(indent) + CONTINUED.len() + both + 2 > width;
        let needed = if is_too_wide { display_width(word) } else { both };
        // The end of a line needs two columns for ` \`.
        if used > 0 && (*word == "&&" || used + 1 + needed + 2 > width) {
            text.push_str(" \\\n");
            used = 0;
        }
        if used == 0 {
            let margin = if text.is_empty() { indent.to_owned() } else { format!("{indent}{CONTINUED}") };
            used = display_width(&margin);
            text.push_str(&margin);
        } else {
            text.push(' ');
            used += 1;
        }
        text.push_str(word);
        used += display_width(word);
    }
    text.push('\n');
    text
}

/// Whether a backslash and a line feed can stand for a blank between two words.
fn can_be_broken(command: &str) -> bool {
    let has_comment = || words(command).iter().any(|word| word.starts_with('#'));
    !command.contains('\n') && !command.contains("<<") && !has_comment()
}

/// The words of a command as they are written, with their quotes: what is between blanks that
/// are not quoted, also those of a command substitution.
fn words(command: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut begin, mut quote) = (None, None);
    let mut chars = command.char_indices();
    while let Some((at, char)) = chars.next() {
        match (quote, char) {
            (None, ' ') => {
                words.extend(begin.take().map(|begin| &command[begin..at]));
                continue;
            }
            (None | Some('"'), '\\') => {
                begin.get_or_insert(at);
                chars.next();
                continue;
            }
            (None, '\'' | '"') => quote = Some(char),
            (Some(open), char) if open == char => quote = None,
            _ => {}
        }
        begin.get_or_insert(at);
    }
    words.extend(begin.map(|begin| &command[begin..]));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_fits_is_one_line() {
        assert_eq!(lines("aws eks list-clusters", "  ", 23), "  aws eks list-clusters\n");
        assert_eq!(lines("aws eks list-clusters", "  ", 22), "  aws eks \\\n      list-clusters\n");
    }

    #[test]
    fn a_command_after_another_one_begins_a_line() {
        assert_eq!(lines("a b && c d", "", 10), "a b && c d\n");
        assert_eq!(lines("a b && c d", "", 9), "a b \\\n    && \\\n    c d\n");
        assert_eq!(lines("a b && 'c && d'", "", 14), "a b \\\n    && \\\n    'c && d'\n");
    }

    #[test]
    fn quoted_blanks_are_not_broken() {
        let command = r#"x 'a b'"c \" d" e\ f $(g h) i"#;
        assert_eq!(words(command), ["x", r#"'a b'"c \" d""#, r"e\ f", "$(g", "h)", "i"]);
        for width in 1..40 {
            let joined = lines(command, "", width).replace(" \\\n", " ");
            assert_eq!(words(joined.trim()), words(command), "{width}");
        }
    }

    #[test]
    fn no_line_is_wider_than_needed() {
        let command = format!("ssh {}", "a ".repeat(60));
        for width in 20..80 {
            let lines = lines(command.trim(), "   ", width);
            assert!(lines.lines().all(|line| line.len() <= width), "{width}: {lines}");
        }
    }

    #[test]
    fn comments_and_here_documents_are_not_broken() {
        for command in ["a b # c d", "cat <<EOF x", "a\nb c"] {
            assert_eq!(lines(command, "", 3), format!("{command}\n"));
        }
    }
}
