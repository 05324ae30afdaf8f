//! Parsing of JSON files, with errors that state the position.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeOwned, IgnoredAny};

/// A JSON error, with its position.
#[derive(Debug, PartialEq, Eq)]
pub struct JsonError {
    /// The line, from 1; 0 if the error is about the whole file.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// The path of the value, such as `NetworkInterfaces[3].VpcId`.
    pub path: String,
    /// The error message.
    pub message: String,
    /// Whether the document is JSON of another shape, such as a query of the aws CLI prints.
    pub is_other_shape: bool,
}

impl JsonError {
    pub(super) fn of_whole(message: impl Into<String>) -> Self {
        Self { line: 0, column: 0, path: String::new(), message: message.into(), is_other_shape: false }
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}, column {}: ", self.line, self.column)?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for JsonError {}

/// Parses a JSON document, without trailing text, into a value of type `T`.
pub(super) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, JsonError> {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(JsonError::of_whole("UTF-16, as PowerShell's `>` writes it; save it as UTF-8"));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.trim_ascii().is_empty() {
        return Err(JsonError::of_whole("empty"));
    }
    let bytes = &*shortened(bytes);
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value: T = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        // In a truncated object, the path ends with an unknown key, shown as `?`.
        let path = error.path().to_string();
        let path = path.trim_end_matches(['.', '?']).to_owned();
        // An answer is an object, whose fields the path names.
        let is_top_level = path.is_empty() || path.starts_with('[');
        let is_other_shape = is_top_level && serde_json::from_slice::<IgnoredAny>(bytes).is_ok();
        JsonError { is_other_shape, ..json_error(&error.into_inner(), path) }
    })?;
    json.end().map_err(|error| json_error(&error, String::new()))?;
    Ok(value)
}

/// The longest string that is kept whole, in bytes as it is written: far more than an id,
/// an ARN or a description of AWS has.
const STRING_MAX: usize = 8192;

/// A JSON document with longer strings cut, and the number of bytes that were cut in each.
fn shortened(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut short: Vec<u8> = Vec::new();
    // The end of what was copied.
    let mut copied = 0;
    let mut at = 0;
    while let Some(quote) = memchr::memchr(b'"', &bytes[at..]) {
        let begin = at + quote + 1;
        let Some(StringEnds { cut, end }) = string(bytes, begin) else { break };
        if end - begin > STRING_MAX {
            short.extend(&bytes[copied..cut]);
            short.extend(format!("… ({} more bytes)", end - cut).as_bytes());
            copied = end;
        }
        at = end + 1;
    }
    if copied == 0 {
        return Cow::Borrowed(bytes);
    }
    short.extend(&bytes[copied..]);
    Cow::Owned(short)
}

/// Where a string ends.
struct StringEnds {
    /// The last place at which it can be cut to `STRING_MAX` bytes.
    cut: usize,
    /// Its closing quote.
    end: usize,
}

/// The ends of a string that begins at `begin`, after its quote; `None` if it does not end.
fn string(bytes: &[u8], begin: usize) -> Option<StringEnds> {
    let limit = begin + STRING_MAX;
    let mut cut = begin;
    let mut at = begin;
    loop {
        let end = at + memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if at <= limit {
            let is_boundary = |at: &usize| bytes[*at] & 0xc0 != 0x80;
            cut = (at..=end.min(limit)).rev().find(is_boundary).unwrap_or(at);
        }
        if bytes[end] == b'"' {
            return Some(StringEnds { cut, end });
        }
        at = end + escape_len(&bytes[end..]);
    }
}

/// The length of an escape: two bytes, `\u` and four digits, or a pair of these.
fn escape_len(bytes: &[u8]) -> usize {
    match bytes {
        [_, b'u', b'd' | b'D', b'8' | b'9' | b'a' | b'A' | b'b' | b'B', _, _, b'\\', b'u', ..] => 12,
        [_, b'u', ..] => 6,
        _ => 2,
    }
}

fn json_error(error: &serde_json::Error, path: String) -> JsonError {
    let text = error.to_string();
    // serde_json appends the position to the message; it is kept in fields instead.
    let position = format!(" at line {} column {}", error.line(), error.column());
    let message = text.strip_suffix(&position).unwrap_or(&text).to_owned();
    JsonError { line: error.line(), column: error.column(), path, message, is_other_shape: false }
}

/// The same JSON in lines that are indented by the nesting.
pub(super) fn indented(json: &[u8]) -> serde_json::Result<Vec<u8>> {
    let mut text = Vec::with_capacity(json.len() * 2);
    let mut from = serde_json::Deserializer::from_slice(json);
    serde_transcode::transcode(&mut from, &mut serde_json::Serializer::pretty(&mut text))?;
    text.push(b'\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::aws::eks::parse_cluster;

    fn error(bytes: &[u8]) -> String {
        parse_cluster(bytes).expect_err("no cluster").to_string()
    }

    #[test]
    fn a_document_of_another_shape_is_recognised() {
        for (bytes, expected) in [
            (&b"[\"myeks\"]"[..], true),
            (b"{\"name\": \"myeks\"}", true),
            (b"null", true),
            (b"<html>", false),
            (b"{\"cluster\": {\"name\": 7}}", false),
        ] {
            let error = parse_cluster(bytes).expect_err("no cluster");
            assert_eq!(error.is_other_shape, expected, "{error}");
        }
    }

    #[test]
    fn long_strings_are_cut_between_characters() {
        for (text, unit) in
            [("r", 1), ("é", 2), ("한", 3), ("\\n", 2), ("\\u00e9", 6), ("\\ud83d\\ude00", 12)]
        {
            for before in ["", "x", "xy"] {
                let whole = format!("[\"{before}{}\", \"end\"]", text.repeat(STRING_MAX * 2 / unit));
                let cut: Vec<String> = from_json(whole.as_bytes()).expect("valid JSON");
                let kept = (STRING_MAX - before.len()) / unit;
                let more = whole.len() - "[\"\", \"end\"]".len() - before.len() - kept * unit;
                let (rest, number) = cut[0].split_once('…').expect("it is cut");
                assert_eq!(rest.chars().count(), before.len() + kept, "{text:?} after {before:?}");
                assert_eq!(number, format!(" ({more} more bytes)"));
                assert_eq!(cut[1], "end");
            }
        }
        let whole = format!("[\"{}\"]", "r".repeat(STRING_MAX));
        assert!(matches!(shortened(whole.as_bytes()), Cow::Borrowed(_)));
        let (cut, open) = (format!("[\"{}\", \"", "r".repeat(STRING_MAX + 1)), "[\"\\ud83d");
        assert!(
            from_json::<Vec<String>>(cut.as_bytes()).is_err()
                && from_json::<Vec<String>>(open.as_bytes()).is_err()
        );
    }

    #[test]
    fn a_surrogate_without_its_pair_does_not_hide_the_end_of_a_string() {
        let json = format!("[\"\\ud83d\",{}\"end\"]", "1,".repeat(STRING_MAX));
        assert!(matches!(shortened(json.as_bytes()), Cow::Borrowed(_)));
    }

    #[test]
    fn errors_state_the_position() {
        assert_eq!(error(b""), "empty");
        assert_eq!(error(b"\xff\xfe{\0"), "UTF-16, as PowerShell's `>` writes it; save it as UTF-8");
        assert_eq!(error(b"{\n  \"cluster\": {\n"), "line 3, column 0: cluster: EOF while parsing an object");
        assert_eq!(error(b"<html>"), "line 1, column 1: expected value");
        assert_eq!(
            error(b"{\"cluster\": {\"name\": 7}}"),
            "line 1, column 22: cluster.name: invalid type: integer `7`, expected a string"
        );
        assert_eq!(error(b"{}"), "line 1, column 2: missing field `cluster`");
        assert_eq!(error(b"{\"cluster\": {\"name\": \"x\"}} x"), "line 1, column 28: trailing characters");
    }
}
