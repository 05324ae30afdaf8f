//! Words of shell commands that are printed for people to paste.

use std::borrow::Cow;

/// A name in a command to paste: itself where a shell takes it as one word that
/// means nothing else, or the placeholder.
#[must_use]
pub fn shell_word<'a>(name: &'a str, placeholder: &'a str) -> &'a str {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte);
    let fits = !name.is_empty() && !name.starts_with('-') && name.bytes().all(is_plain);
    if fits { name } else { placeholder }
}

/// A word of a command line, so that a shell takes it back as that word.
#[must_use]
pub fn shell_quoted(word: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=:,@%+".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}
