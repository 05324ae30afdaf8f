//! Indented JSON in which no character has an effect on a terminal or a CI system.

use std::fmt::Write as _;
use std::io::{Result, Write};

use serde::Serialize;

use super::text::is_hostile;

/// Writes a value, and a line feed.
///
/// # Errors
/// If `out` cannot be written to.
pub fn write_pretty(value: &impl Serialize, out: &mut dyn Write) -> Result<()> {
    out.write_all(pretty(value)?.as_bytes())?;
    out.write_all(b"\n")
}

/// A value as indented JSON.
pub(super) fn pretty(value: &impl Serialize) -> Result<String> {
    Ok(escaped(serde_json::to_string_pretty(value)?))
}

/// An array that is written element by element. It keeps no element.
#[derive(Debug)]
pub(super) struct Array {
    /// The indent of an element.
    indent: &'static str,
    is_empty: bool,
}

impl Array {
    pub(super) fn new(indent: &'static str) -> Self {
        Self { indent, is_empty: true }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// Writes an element, after the bracket that opens the array if it is the first.
    pub(super) fn element(&mut self, value: &impl Serialize, out: &mut dyn Write) -> Result<()> {
        out.write_all(if self.is_empty { b"[" } else { b"," })?;
        self.is_empty = false;
        // A line feed is always between tokens: in a string it is escaped.
        for line in pretty(value)?.split('\n') {
            write!(out, "\n{}{line}", self.indent)?;
        }
        Ok(())
    }

    /// Writes the bracket that closes the array.
    pub(super) fn end(&self, out: &mut dyn Write) -> Result<()> {
        let outside = self.indent.get(2..).unwrap_or_default();
        if self.is_empty { out.write_all(b"[]") } else { write!(out, "\n{outside}]") }
    }
}

/// The same JSON with hostile characters escaped. Line feeds are between tokens: in a
/// string they are escaped already.
fn escaped(json: String) -> String {
    if json.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)) {
        return without_commands(json);
    }
    let mut safe = String::with_capacity(json.len());
    for char in json.chars() {
        if char != '\n' && is_hostile(char) {
            for unit in char.encode_utf16(&mut [0; 2]) {
                // Writing to a String does not fail.
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(char);
        }
    }
    without_commands(safe)
}

/// The same JSON without `##[`, which a runner of GitHub Actions parses as the beginning of a
/// command anywhere in a line.
fn without_commands(json: String) -> String {
    if json.contains("##[") { json.replace("##[", "\\u0023#[") } else { json }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_array_written_by_element_is_the_same_as_in_one_piece() {
        let values = [json!({ "a": [1, 2], "b": "x\ny\u{1b}" }), json!([]), json!("##[group]")];
        for count in 0..=values.len() {
            let mut whole = Vec::new();
            write_pretty(&&values[..count], &mut whole).expect("memory");
            let mut out = Vec::new();
            let mut array = Array::new("  ");
            values[..count].iter().try_for_each(|value| array.element(value, &mut out)).expect("memory");
            array.end(&mut out).expect("memory");
            out.push(b'\n');
            assert_eq!(String::from_utf8(out), String::from_utf8(whole));
        }
    }
}
