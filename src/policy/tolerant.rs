//! TOML that is read as far as possible: what is wrong is noted and left out, so that all errors
//! are found at once.

use std::borrow::Cow;
use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer, Error};
use toml::value::{Date, Datetime};

/// The position of a value that stands for a missing one: no value of a file is empty.
const NOWHERE: Range<usize> = 0..0;

/// The day that stands for a missing one.
const FAR: Date = Date { year: 9999, month: 12, day: 31 };

/// Whether a value at this position stands for a missing one, of which nothing more is to be said.
pub(super) fn is_stand_in(span: &Range<usize>) -> bool {
    *span == NOWHERE
}

/// A file as far as it can be read.
pub(super) struct Reading<T> {
    /// The value without what is wrong; `None` if that cannot be left out.
    pub(super) value: Option<T>,
    /// What is wrong.
    pub(super) errors: Vec<Error>,
    /// The keys that were wrong and are left out.
    pub(super) removed: Removed,
    /// Whether that is its syntax.
    pub(super) is_syntax: bool,
    /// Whether there may be more errors, since no more were looked for.
    pub(super) has_more: bool,
}

/// Reads a file, and what is wrong with it, up to a number of errors: each of them reads the whole
/// file again.
pub(super) fn read<T: DeserializeOwned>(text: &str, max: usize) -> Reading<T> {
    let (mut table, mut errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // Behind an error of the syntax, entries may be in a table that is not theirs.
        let removed = Removed::default();
        return Reading { value: None, errors, removed, is_syntax: true, has_more: false };
    }
    let mut removed = Removed::default();
    while errors.len() < max && removed.0.len() < max {
        match T::deserialize(Deserializer::from(table.clone())) {
            Ok(value) => {
                return Reading { value: Some(value), errors, removed, is_syntax: false, has_more: false };
            }
            Err(error) => {
                let is_repaired = repair(table.get_mut(), &error, &mut removed);
                let is_known = missing(&error)
                    .zip(error.span())
                    .is_some_and(|(name, table)| removed.contains(text, name, &table));
                if !is_repaired || !is_known {
                    errors.push(error);
                }
                if !is_repaired {
                    return Reading { value: None, errors, removed, is_syntax: false, has_more: false };
                }
            }
        }
    }
    Reading { value: None, errors, removed, is_syntax: false, has_more: true }
}

/// The keys that were wrong and are left out, each with where it is.
#[derive(Default)]
pub(super) struct Removed(Vec<(String, Range<usize>)>);

impl Removed {
    /// Whether a key was left out of the table at a position of a text.
    pub(super) fn contains(&self, text: &str, name: &str, table: &Range<usize>) -> bool {
        self.0.iter().any(|(key, at)| {
            // The table may have the position of its header alone.
            let is_within = |rest: &str| !rest.contains("\n[");
            key == name && table.start <= at.start && text.get(table.end..at.start).is_none_or(is_within)
        })
    }
}

/// The key that an error says is missing.
fn missing(error: &Error) -> Option<&str> {
    error.message().strip_prefix("missing field `")?.split('`').next()
}

/// Takes what an error is about out of a table, or adds what is missing. Returns whether it was
/// found.
fn repair(table: &mut DeTable<'_>, error: &Error, removed: &mut Removed) -> bool {
    let Some(span) = error.span().filter(|span| !is_stand_in(span)) else { return false };
    match missing(error) {
        Some(name) => add(table, &span, name),
        None => remove(table, &span, removed),
    }
}

/// Adds a value for a missing key to the table at a position.
fn add(table: &mut DeTable<'_>, span: &Range<usize>, name: &str) -> bool {
    table.iter_mut().any(|(_, value)| add_within(value, span, name))
}

fn add_within(value: &mut Spanned<DeValue<'_>>, span: &Range<usize>, name: &str) -> bool {
    let is_this = value.span() == *span;
    match value.get_mut() {
        DeValue::Table(table) if is_this => {
            let stand_in = if name == "expires" {
                DeValue::Datetime(Datetime { date: Some(FAR), time: None, offset: None })
            } else {
                DeValue::String(Cow::Borrowed(""))
            };
            let name = Spanned::new(NOWHERE, Cow::Owned(name.to_owned()));
            table.insert(name, Spanned::new(NOWHERE, stand_in)).is_none()
        }
        DeValue::Table(table) => add(table, span, name),
        DeValue::Array(values) => values.iter_mut().any(|value| add_within(value, span, name)),
        _ => false,
    }
}

/// Removes the innermost entry of a table that is, or whose value has, a position; of a list of
/// other values, the one there.
fn remove(table: &mut DeTable<'_>, span: &Range<usize>, removed: &mut Removed) -> bool {
    let mut within = |value: &mut Spanned<DeValue<'_>>| match value.get_mut() {
        DeValue::Table(table) => remove(table, span, removed),
        DeValue::Array(values) => values.iter_mut().any(|value| {
            let is_this = value.span() == *span;
            match value.get_mut() {
                DeValue::Table(table) => remove(table, span, removed),
                _ if is_this => {
                    *value = Spanned::new(NOWHERE, DeValue::String(Cow::Borrowed("")));
                    true
                }
                _ => false,
            }
        }),
        _ => false,
    };
    if table.iter_mut().any(|(_, value)| within(value)) {
        return true;
    }
    let has = |range: Range<usize>| range.start <= span.start && span.end <= range.end;
    let found = table.iter().find(|(key, value)| has(key.span()) || has(value.span()));
    let Some(key) = found.map(|(key, _)| key.clone()) else { return false };
    removed.0.push((key.get_ref().to_string(), span.clone()));
    table.remove(&key).is_some()
}
