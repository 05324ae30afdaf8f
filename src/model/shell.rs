//! Quoting of words in shell commands that are printed for the user to copy.

use std::borrow::Cow;

/// Returns a name if it is safe in a shell command without quotes, otherwise the
/// placeholder.
#[must_use]
pub fn shell_word<'a>(name: &'a str, placeholder: &'a str) -> &'a str {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte);
    let is_safe = !name.is_empty() && !name.starts_with('-') && name.bytes().all(is_plain);
    if is_safe { name } else { placeholder }
}

/// Quotes a word for a POSIX shell, if necessary.
#[must_use]
pub fn shell_quoted(word: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=:,@%+".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}
