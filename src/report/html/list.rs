//! Lists of limited length.

use serde::Serialize;

/// The most items of a list, unless stated otherwise.
pub(super) const MAX: usize = 500;

/// The first items of a list, and the number of the others.
#[derive(Debug, Serialize)]
pub(super) struct List<T> {
    pub(super) shown: Vec<T>,
    pub(super) more: usize,
}

/// The first items, each converted.
pub(super) fn of<'a, S, T>(items: &'a [S], max: usize, convert: impl FnMut(&'a S) -> T) -> List<T> {
    List { shown: items.iter().take(max).map(convert).collect(), more: items.len().saturating_sub(max) }
}

/// A text with the first names, and the number of the others.
pub(super) fn names<'a>(names: impl ExactSizeIterator<Item = &'a str>, max: usize) -> String {
    let total = names.len();
    let first: Vec<_> = names.take(max).map(super::super::text::cell).collect();
    match total.saturating_sub(max) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}
