//! Text that facts and findings share.

use std::borrow::Cow;

/// A text, cut at a number of characters, with the number of those that were cut.
#[must_use]
pub fn cut(text: &str, max: usize) -> Cow<'_, str> {
    // A text has at least as many bytes as characters.
    let end = if text.len() <= max { None } else { text.char_indices().nth(max) };
    match end {
        Some((end, _)) => {
            let more = text[end..].chars().count();
            Cow::Owned(format!("{}… ({more} more characters)", &text[..end]))
        }
        None => Cow::Borrowed(text),
    }
}

/// The first `shown` items, and the number of the others.
#[must_use]
pub fn list(items: &[impl AsRef<str>], shown: usize) -> String {
    let first: Vec<&str> = items.iter().take(shown).map(AsRef::as_ref).collect();
    match items.len().saturating_sub(shown) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// An id, with a name behind it if there is one.
#[must_use]
pub fn id_and_name(id: &str, name: Option<&str>) -> String {
    match name {
        Some(name) => format!("{id} ({name})"),
        None => id.to_owned(),
    }
}

/// The text with its first letter in upper case.
#[must_use]
pub fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// The text with its first letter in lower case.
#[must_use]
pub fn uncapital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

/// A next step without the colon and the command at its end, and that command, if it ends with
/// one.
#[must_use]
pub fn split_command(text: &str) -> (&str, Option<&str>) {
    const PROGRAMS: [&str; 11] = [
        "aws ",
        "kubectl ",
        "mkdir ",
        "ssh ",
        "sudo ",
        "dig ",
        "curl ",
        "eks-netcheck ",
        "getent ",
        "systemctl ",
        "nc ",
    ];
    let Some((prose, command)) = text.rsplit_once(": ") else { return (text, None) };
    // Prose may follow a command that is not the end.
    let is_command = PROGRAMS.iter().any(|program| command.starts_with(program))
        && ![", ", "; ", " ("].iter().any(|end| command.contains(end));
    if is_command { (prose, Some(command)) } else { (text, None) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_at_the_end_of_a_next_step_is_split_off() {
        let text = "record it with: aws ec2 describe-subnets > subnets.json";
        assert_eq!(split_command(text), ("record it with", Some("aws ec2 describe-subnets > subnets.json")));
        for text in ["", "try again", "a: b", "by hand: aws ec2 x, and y for lists", "x: aws ec2 y; or z"] {
            assert_eq!(split_command(text), (text, None));
        }
    }

    #[test]
    fn characters_that_are_cut_are_counted() {
        assert_eq!(cut("abcd", 4), "abcd");
        assert_eq!(cut("éèêë", 4), "éèêë");
        assert_eq!(cut("éèêëx", 4), "éèêë… (1 more characters)");
        assert_eq!(cut("abcd", 0), "… (4 more characters)");
    }

    #[test]
    fn items_that_are_not_shown_are_counted() {
        assert_eq!(list(&["a", "b"], 2), "a, b");
        assert_eq!(list(&["a", "b", "c", "d"], 2), "a, b and 2 more");
        assert_eq!(list(&[] as &[&str], 2), "");
    }
}
