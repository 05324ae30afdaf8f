//! Parsing of JSON files, with errors that state the position.

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

fn json_error(error: &serde_json::Error, path: String) -> JsonError {
    let text = error.to_string();
    // serde_json appends the position to the message; it is kept in fields instead.
    let position = format!(" at line {} column {}", error.line(), error.column());
    let message = text.strip_suffix(&position).unwrap_or(&text).to_owned();
    JsonError { line: error.line(), column: error.column(), path, message, is_other_shape: false }
}

#[cfg(test)]
mod tests {
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
