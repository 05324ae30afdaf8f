//! YAML documents, as kubectl reads them.

use std::io::{Result, Write};

use serde_json::Value;

/// Writes each value as a document.
///
/// # Errors
/// If `out` cannot be written to.
pub fn write_documents(values: &[Value], out: &mut dyn Write) -> Result<()> {
    for (number, value) in values.iter().enumerate() {
        if number > 0 {
            out.write_all(b"---\n")?;
        }
        write_value(value, 0, false, out)?;
    }
    Ok(())
}

/// Writes a value whose lines are indented by as many blanks; `is_begun`: its first line is,
/// by what is in front of it.
fn write_value(value: &Value, indent: usize, is_begun: bool, out: &mut dyn Write) -> Result<()> {
    let mut first = is_begun;
    let mut begin = |out: &mut dyn Write| {
        let blanks = if std::mem::take(&mut first) { 0 } else { indent };
        write!(out, "{:blanks$}", "")
    };
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                begin(out)?;
                write!(out, "{}:", scalar(&Value::from(key.as_str())))?;
                if is_block(value) {
                    out.write_all(b"\n")?;
                    let indent = if value.is_array() { indent } else { indent + 2 };
                    write_value(value, indent, false, out)?;
                } else {
                    writeln!(out, " {}", scalar(value))?;
                }
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                begin(out)?;
                out.write_all(b"- ")?;
                write_value(item, indent + 2, true, out)?;
            }
        }
        value => {
            begin(out)?;
            writeln!(out, "{}", scalar(value))?;
        }
    }
    Ok(())
}

fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    }
}

/// A scalar, or an empty collection. A text that could be another type, or that has a
/// character with a meaning in YAML, is in quotes; JSON's quotes are YAML's.
fn scalar(value: &Value) -> String {
    let Value::String(text) = value else { return value.to_string() };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte);
    let is_word = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    let others = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let is_other = others.iter().any(|other| text.eq_ignore_ascii_case(other));
    if is_word && !is_other && text.bytes().all(is_plain) { text.clone() } else { value.to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let values = [
            json!({"a": {"b": ["x", {"c": 1, "d": [["y"], []]}, {}], "e": "no", "f/g": "1"}, "h": null}),
            json!(["*", "", "a: b", "#", "- x", "true", "x\ny", {"k": "v"}, "1e3", "~", "a:"]),
        ];
        let mut text = Vec::new();
        write_documents(&values, &mut text).expect("a vector");
        let text = String::from_utf8(text).expect("UTF-8");
        let documents: Vec<Value> = text
            .split("---\n")
            .map(|document| {
                serde_saphyr::from_str(document).unwrap_or_else(|error| panic!("{error}: {document}"))
            })
            .collect();
        assert_eq!(documents, values, "{text}");
    }
}
