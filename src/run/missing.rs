//! The closing list of `collect`: what is missing. Nodes and vantage points that lack
//! something for the same reason are one entry.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;

use crate::model::gap::{Gap, Subject};
use crate::report::text::escape;

/// The largest number of subjects that an entry names.
const NAMES_MAX: usize = 4;

/// Lists what is missing in a directory, in which this number of nodes have a capture.
pub(super) fn list_missing(
    dir: &Path,
    gaps: &[Gap],
    captures: usize,
    err: &mut impl Write,
) -> io::Result<()> {
    let missing = if gaps.is_empty() { "nothing is missing" } else { "missing (listed in manifest.json):" };
    writeln!(err, "recorded in {}; {missing}", escape(&dir.to_string_lossy()))?;
    let mut nodes: Vec<_> = gaps.iter().filter_map(|gap| gap.subject.node()).collect();
    nodes.dedup();
    match nodes.len() {
        0 => {}
        1 if captures == 0 => writeln!(err, "  the node was not read")?,
        all if captures == 0 => writeln!(err, "  none of the {all} nodes was read")?,
        _ => {}
    }
    for (first, same) in by_cause(gaps) {
        let text = match kind(&first.subject) {
            Some(kind) if same.len() > 1 => {
                let names: Vec<_> = same.iter().take(NAMES_MAX).map(|gap| name(&gap.subject)).collect();
                let more = same.len().saturating_sub(NAMES_MAX);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                format!("{} {kind} ({}{more}): {}", same.len(), names.join(", "), first.cause())
            }
            _ => first.to_string(),
        };
        writeln!(err, "  {}", escape(&text))?;
    }
    err.flush()
}

/// The gaps in groups of one kind and cause, each with its first gap, in the order of these.
/// The details of a group may differ, since they quote messages that name the node.
fn by_cause(gaps: &[Gap]) -> Vec<(&Gap, Vec<&Gap>)> {
    let mut groups: Vec<(&Gap, Vec<&Gap>)> = Vec::new();
    let mut places = HashMap::new();
    for gap in gaps {
        let new = groups.len();
        let place = kind(&gap.subject)
            .map_or(new, |kind| *places.entry((kind, gap.why.as_str(), gap.hint.as_str())).or_insert(new));
        if place == new {
            groups.push((gap, Vec::new()));
        }
        groups[place].1.push(gap);
    }
    groups
}

/// What several such subjects are called; `None` if each is listed by itself.
fn kind(subject: &Subject) -> Option<&'static str> {
    match subject {
        Subject::Node(_) => Some("nodes"),
        Subject::Vantage(_) => Some("DNS answers"),
        _ => None,
    }
}

fn name(subject: &Subject) -> String {
    match subject {
        Subject::Vantage(name) => name.clone(),
        Subject::Node(name) => name.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::file::File;
    use crate::model::gap::GapReason;
    use crate::model::name::NodeName;

    fn refused(node: usize) -> Gap {
        let name: NodeName = format!("n{node:02}").parse().expect("a name");
        Gap {
            subject: name.into(),
            why: GapReason::LoginRefused,
            detail: format!("it accepted none of your keys (me@10.0.0.{node}: Permission denied)"),
            hint: "pass --ssh-user".to_owned(),
        }
    }

    fn list(gaps: &[Gap], captures: usize) -> String {
        let mut text = Vec::new();
        list_missing(Path::new("dir"), gaps, captures, &mut text).expect("memory");
        String::from_utf8(text).expect("UTF-8")
    }

    #[test]
    fn nodes_that_failed_for_one_reason_are_one_line() {
        let mut gaps: Vec<_> = (1..=12).map(refused).collect();
        let denied = Gap {
            subject: File::CLUSTER.into(),
            why: GapReason::AccessDenied,
            detail: "denied".to_owned(),
            hint: String::new(),
        };
        gaps.push(denied);
        let text = "12 nodes (n01, n02, n03, n04 and 8 more): it accepted none of your keys (me@10.0.0.1: Permission denied); pass --ssh-user";
        let head = "recorded in dir; missing (listed in manifest.json):";
        let none = format!("{head}\n  none of the 12 nodes was read\n  {text}\n  cluster.json: denied\n");
        assert_eq!(list(&gaps, 0), none);
        assert_eq!(list(&gaps, 1), format!("{head}\n  {text}\n  cluster.json: denied\n"));
    }

    #[test]
    fn other_reasons_are_lines_of_their_own() {
        let other = Gap { why: GapReason::TimedOut, ..refused(3) };
        let text = list(&[refused(1), refused(2), other, refused(4)], 5);
        assert!(text.contains("\n  3 nodes (n01, n02, n04): "), "{text}");
        assert!(text.contains("\n  node n03: "), "{text}");
        assert_eq!(list(&[], 2), "recorded in dir; nothing is missing\n");
        assert!(list(&[refused(1)], 0).contains("\n  the node was not read\n  node n01: "), "{text}");
    }
}
