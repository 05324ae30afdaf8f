//! A rule's remediation with the cluster's own names in it.

use crate::model::facts::Facts;
use crate::model::shell::shell_word;

/// Fills in what is known and fits into a command unquoted; the rest stays as
/// the placeholder that it is.
#[must_use]
pub fn fill(remediation: &str, facts: &Facts) -> String {
    let cluster = &facts.evidence.cluster;
    let names = [
        ("CLUSTER", Some(cluster.name.as_str())),
        ("REGION", cluster.region()),
        ("VPC", cluster.vpc.as_deref()),
        ("ENDPOINT", cluster.endpoint.as_ref().map(|endpoint| endpoint.host.as_str())),
        ("SECURITY_GROUP", cluster.security_group.as_deref()),
    ];
    let is_word = |char: char| char.is_ascii_alphanumeric() || char == '_';
    let mut filled = String::with_capacity(remediation.len() + 64);
    // Whole words only: `VPC` is not `VPCs`.
    for piece in remediation.split_inclusive(|char| !is_word(char)) {
        let word = piece.trim_end_matches(|char| !is_word(char));
        match names.iter().find(|(placeholder, _)| *placeholder == word) {
            Some((_, Some(name))) if !is_prose(&filled) => {
                filled.push_str(shell_word(name, word));
                filled.push_str(&piece[word.len()..]);
            }
            _ => filled.push_str(piece),
        }
    }
    filled
}

/// Whether the line under way is prose: only commands, four blanks in, have
/// placeholders.
fn is_prose(filled: &str) -> bool {
    !filled.rsplit('\n').next().unwrap_or_default().starts_with("    ")
}
