//! Indented JSON in which no character has an effect on a terminal or a CI system.

use std::fmt::Write as _;
use std::io::{Error, Result, Write};

use serde::Serialize;

use super::text::is_hostile;

/// Writes a value, and a line feed.
///
/// # Errors
/// If `out` cannot be written to.
pub fn write_pretty(value: &impl Serialize, out: &mut dyn Write) -> Result<()> {
    write_without_end(value, "", out)?;
    out.write_all(b"\n")
}

/// Writes a value without the text with which it ends.
///
/// # Errors
/// If it ends otherwise, or `out` cannot be written to.
pub(super) fn write_without_end(value: &impl Serialize, end: &str, out: &mut dyn Write) -> Result<()> {
    let mut lines = Lines { begin: b"", kept: end.len(), pending: Vec::new(), out };
    serde_json::to_writer_pretty(&mut lines, value)?;
    let Lines { mut pending, out, .. } = lines;
    if !pending.ends_with(end.as_bytes()) {
        return Err(Error::other("a report ends otherwise"));
    }
    pending.truncate(pending.len() - end.len());
    out.write_all(escaped(text(pending)?).as_bytes())
}

/// How much JSON is kept until it is written.
const CHUNK: usize = 64 << 10;

/// A writer of JSON that escapes it, line by line.
struct Lines<'a> {
    /// What each line but the first begins with.
    begin: &'a [u8],
    /// How many bytes at the end are kept.
    kept: usize,
    /// What is not written yet.
    pending: Vec<u8>,
    out: &'a mut dyn Write,
}

impl Write for Lines<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        // A line feed is always between tokens: in a string it is escaped.
        let mut lines = bytes.split(|byte| *byte == b'\n');
        self.pending.extend(lines.next().unwrap_or_default());
        for line in lines {
            self.pending.push(b'\n');
            self.pending.extend(self.begin);
            self.pending.extend(line);
        }
        if self.pending.len() >= self.kept + CHUNK {
            let whole = &self.pending[..self.pending.len() - self.kept];
            if let Some(end) = memchr::memrchr(b'\n', whole) {
                let rest = self.pending.split_off(end);
                let lines = std::mem::replace(&mut self.pending, rest);
                self.out.write_all(escaped(text(lines)?).as_bytes())?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

fn text(json: Vec<u8>) -> Result<String> {
    String::from_utf8(json).map_err(Error::other)
}

/// A value as indented JSON.
pub(super) fn pretty(value: &impl Serialize) -> Result<String> {
    Ok(escaped(serde_json::to_string_pretty(value)?))
}

/// A value as JSON in one line.
pub(super) fn compact(value: &impl Serialize) -> Result<String> {
    Ok(escaped(serde_json::to_string(value)?))
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
        write!(out, "\n{}", self.indent)?;
        let mut lines = Lines { begin: self.indent.as_bytes(), kept: 0, pending: Vec::new(), out };
        serde_json::to_writer_pretty(&mut lines, value)?;
        let Lines { pending, out, .. } = lines;
        out.write_all(escaped(text(pending)?).as_bytes())
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
