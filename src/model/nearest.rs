//! Names that a wrong one may stand for.

/// The similarity from which a name may be a misspelling of another one.
const SIMILAR: f64 = 0.8;

/// The known names that are most similar to one, at most `max`, the most similar first: its
/// misspellings, and those that contain it.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>, max: usize) -> Vec<&'a str> {
    let similarity = |known: &str| {
        let is_part = name.len() > 2 && known.contains(name);
        strsim::jaro_winkler(name, known).max(if is_part { SIMILAR } else { 0.0 })
    };
    let all = known.map(|known| (similarity(known), known));
    let mut near: Vec<_> = all.filter(|(similarity, _)| *similarity >= SIMILAR).collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    near.into_iter().take(max).map(|(_, known)| known).collect()
}
