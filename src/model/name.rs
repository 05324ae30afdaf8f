//! Names of nodes and of clusters.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The name of the vantage point of the operator: the machine on which evidence is collected.
pub const HERE: &str = "here";

/// The name of the command document of Systems Manager that reads nodes, unless the user
/// passes another one.
pub const SSM_DOCUMENT: &str = "eks-netcheck";

/// A node name: ASCII without blanks or slashes, safe as part of a file name, and not that of
/// the operator's own vantage point, whose evidence is in files of the same names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(Arc<str>);

impl NodeName {
    /// The longest valid name: the limit of a DNS name.
    const MAX_LEN: usize = 253;

    /// The name that is used for a capture without a node name.
    #[must_use]
    pub fn unnamed() -> Self {
        Self("node".into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The error for a text that is not a node name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotANodeName {
    /// It has other characters, or too many of them.
    Malformed,
    /// It is the name of the operator's own vantage point.
    Reserved,
}

impl fmt::Display for NotANodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str(
                "a node name consists of letters, digits and . _ : @ -, does not start with . or -, and has at most 253 characters",
            ),
            Self::Reserved => {
                write!(f, "the name {HERE} is reserved for this machine, and is not that of a node")
            }
        }
    }
}

impl std::error::Error for NotANodeName {}

impl FromStr for NodeName {
    type Err = NotANodeName;

    fn from_str(text: &str) -> Result<Self, NotANodeName> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:@-".contains(&byte);
        let is_valid = !text.is_empty()
            && text.len() <= Self::MAX_LEN
            && !text.starts_with(['.', '-'])
            && text.bytes().all(is_allowed);
        match text {
            _ if !is_valid => Err(NotANodeName::Malformed),
            _ if is_reserved(text) => Err(NotANodeName::Reserved),
            _ => Ok(Self(text.into())),
        }
    }
}

/// Whether a name is that of the operator's own vantage point, in any case: file systems may not
/// tell them apart.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    name.eq_ignore_ascii_case(HERE)
}

/// The name of a vantage point: that of the operator, or of a node.
///
/// # Errors
/// If it is neither.
pub fn vantage_name(text: &str) -> Result<String, NotANodeName> {
    if text == HERE {
        return Ok(text.to_owned());
    }
    text.parse().map(|name: NodeName| name.to_string())
}

/// The most characters of a cluster's name.
const CLUSTER_NAME_MAX: usize = 100;

/// Whether EKS accepts a cluster's name: up to 100 letters, digits, `-` and `_`, of which the
/// first is a letter or a digit.
///
/// <https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateCluster.html>
#[must_use]
pub fn is_cluster_name(text: &str) -> bool {
    text.len() <= CLUSTER_NAME_MAX
        && text.starts_with(|char: char| char.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_node_has_the_name_of_the_operators_vantage_point() {
        for name in ["here", "HERE", "Here"] {
            assert_eq!(name.parse::<NodeName>(), Err(NotANodeName::Reserved), "{name}");
        }
        for name in ["here2", "ip-here", "here.local", "there"] {
            assert!(name.parse::<NodeName>().is_ok(), "{name}");
        }
        assert_eq!("".parse::<NodeName>(), Err(NotANodeName::Malformed));
    }

    #[test]
    fn the_names_of_clusters_are_those_that_eks_accepts() {
        for name in ["a", "7", "my-eks_2", "MyEKS-", &"x".repeat(100)] {
            assert!(is_cluster_name(name), "{name}");
        }
        for name in ["", "-a", "_a", "a b", "a/b", "a.b", "\u{e4}", "a\n", "a:b", &"x".repeat(101)] {
            assert!(!is_cluster_name(name), "{name}");
        }
    }
}
