//! One name of each node in text for people: the first label of a DNS name, unless another
//! node has that too.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use crate::model::facts::Facts;
use crate::model::name::NodeName;

/// The names of nodes.
pub(super) struct Names {
    /// The names of all nodes.
    known: HashSet<String>,
    /// First labels that several nodes have.
    ambiguous: HashSet<String>,
}

impl Names {
    pub(super) fn of(facts: &Facts) -> Self {
        let missing = facts.missing_nodes.iter().filter_map(|gap| gap.subject.node());
        Self::new(facts.nodes.iter().map(|node| &node.name).chain(missing))
    }

    pub(super) fn new<'a>(names: impl Iterator<Item = &'a NodeName>) -> Self {
        let known: HashSet<_> = names.map(|name| name.as_str().to_owned()).collect();
        let mut labels: HashMap<&str, usize> = HashMap::new();
        for name in &known {
            *labels.entry(first_label(name)).or_default() += 1;
        }
        let ambiguous = labels.into_iter().filter(|(_, times)| *times > 1);
        let ambiguous = ambiguous.map(|(label, _)| label.to_owned()).collect();
        Self { known, ambiguous }
    }

    pub(super) fn name<'a>(&self, node: &'a NodeName) -> &'a str {
        self.short(node.as_str())
    }

    /// The same for the name of a place, which may be a node.
    pub(super) fn short<'a>(&self, place: &'a str) -> &'a str {
        let label = first_label(place);
        if self.known.contains(place) && !self.ambiguous.contains(label) { label } else { place }
    }

    /// Text in which each node has this name.
    pub(super) fn shorten<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let is_of_name = |char: char| char.is_ascii_alphanumeric() || "._:@-".contains(char);
        if !text.contains('.') {
            return Cow::Borrowed(text);
        }
        let mut short = String::with_capacity(text.len());
        for piece in text.split_inclusive(|char| !is_of_name(char)) {
            // The end of a sentence or a colon may follow a name.
            let word = piece.trim_end_matches(|char: char| !char.is_ascii_alphanumeric());
            short.push_str(self.short(word));
            short.push_str(&piece[word.len()..]);
        }
        Cow::Owned(short)
    }
}

fn first_label(name: &str) -> &str {
    // user@10.0.0.1 has no labels.
    let host = name.rsplit('@').next().unwrap_or(name);
    if host.parse::<IpAddr>().is_ok() { name } else { name.split('.').next().unwrap_or(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(all: &[&str]) -> Names {
        let all: Vec<NodeName> = all.iter().map(|name| name.parse().expect("a name")).collect();
        Names::new(all.iter())
    }

    #[test]
    fn a_name_is_short_unless_another_node_has_it() {
        let names = names(&["a.x.internal", "a.y.internal", "b.x.internal", "10.0.0.1", "u@10.0.0.2"]);
        for (name, short) in [
            ("a.x.internal", "a.x.internal"),
            ("a.y.internal", "a.y.internal"),
            ("b.x.internal", "b"),
            ("10.0.0.1", "10.0.0.1"),
            ("u@10.0.0.2", "u@10.0.0.2"),
            ("no.node.internal", "no.node.internal"),
        ] {
            assert_eq!(names.short(name), short);
        }
    }

    #[test]
    fn names_in_text_are_short() {
        let names = names(&["a.internal", "b.internal"]);
        let text =
            "a.internal: reach b.internal, (a.internal) and xa.internal of ra.internal.x on b.internal.";
        assert_eq!(names.shorten(text), "a: reach b, (a) and xa.internal of ra.internal.x on b.");
    }
}
