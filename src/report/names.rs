//! One name of each node in text for people: the first label of a DNS name, unless another
//! node has that too.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use crate::model::facts::{Facts, Machine};
use crate::model::name::NodeName;
use crate::model::text::id_and_name;

/// The names of nodes.
pub(super) struct Names {
    /// The names of all nodes.
    known: HashSet<String>,
    /// First labels that several nodes have.
    ambiguous: HashSet<String>,
    /// The names of the nodes of instances, each with the instance's id beside it.
    instances: HashMap<String, OfInstance>,
}

/// The names of an instance that is a node.
struct OfInstance {
    /// The node's name and the instance's id.
    text: String,
    /// The parenthesis with which other texts give the instance's own name.
    own: Option<String>,
}

impl Names {
    pub(super) fn of(facts: &Facts) -> Self {
        let missing = facts.missing_nodes.iter().filter_map(|gap| gap.subject.node());
        let mut names = Self::new(facts.nodes.iter().map(|node| &node.name).chain(missing));
        let own: HashMap<_, _> = facts
            .evidence
            .node_instances()
            .filter_map(|instance| Some((instance.id.as_str(), instance.display_name()?)))
            .collect();
        for node in facts.nodes.iter().filter(|node| !facts.other_machines.contains(&node.name)) {
            let [Machine { instance: Some(id), .. }] = facts.machines_of(&node.name) else { continue };
            let name = names.name(&node.name);
            if name != id {
                let text = id_and_name(name, Some(id));
                let own = own.get(id.as_str()).map(|own| format!(" ({own})"));
                names.instances.insert(id.clone(), OfInstance { text, own });
            }
        }
        names
    }

    pub(super) fn new<'a>(names: impl Iterator<Item = &'a NodeName>) -> Self {
        let known: HashSet<_> = names.map(|name| name.as_str().to_owned()).collect();
        let mut labels: HashMap<&str, usize> = HashMap::new();
        for name in &known {
            *labels.entry(first_label(name)).or_default() += 1;
        }
        let ambiguous = labels.into_iter().filter(|(_, times)| *times > 1);
        let ambiguous = ambiguous.map(|(label, _)| label.to_owned()).collect();
        Self { known, ambiguous, instances: HashMap::new() }
    }

    pub(super) fn name<'a>(&'a self, node: &'a NodeName) -> &'a str {
        self.short(node.as_str())
    }

    /// The same for the name of a place, which may be a node or an instance.
    pub(super) fn short<'a>(&'a self, place: &'a str) -> &'a str {
        if let Some(of_instance) = self.instances.get(place) {
            return &of_instance.text;
        }
        let label = first_label(place);
        if self.known.contains(place) && !self.ambiguous.contains(label) { label } else { place }
    }

    /// Text in which each node has this name.
    pub(super) fn shorten<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let is_of_name = |char: char| char.is_ascii_alphanumeric() || "._:@-".contains(char);
        if !text.contains('.') && !text.contains("i-") {
            return Cow::Borrowed(text);
        }
        let mut short = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(piece) = rest.split_inclusive(|char| !is_of_name(char)).next() {
            // The end of a sentence or a colon may follow a name.
            let word = piece.trim_end_matches(|char: char| !char.is_ascii_alphanumeric());
            rest = &rest[word.len()..];
            // An id in parentheses stands beside a name.
            match self.instances.get(word).filter(|_| !short.ends_with('(')) {
                Some(OfInstance { text, own }) => {
                    short.push_str(text);
                    rest = own.as_deref().and_then(|own| rest.strip_prefix(own)).unwrap_or(rest);
                }
                None if short.ends_with('(') && self.instances.contains_key(word) => short.push_str(word),
                None => short.push_str(self.short(word)),
            }
            let end = piece.len() - word.len();
            let end = if rest.starts_with(&piece[word.len()..]) { end } else { 0 };
            short.push_str(&rest[..end]);
            rest = &rest[end..];
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
