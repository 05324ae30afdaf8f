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

#[cfg(test)]
mod tests {
    use super::*;

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
