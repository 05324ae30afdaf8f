//! Node names.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A node name: ASCII without blanks or slashes, safe as part of a file name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(Arc<str>);

impl NodeName {
    /// The longest valid name: the limit of a DNS name.
    pub const MAX_LEN: usize = 253;

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
pub struct NotANodeName;

impl fmt::Display for NotANodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a node name consists of letters, digits and . _ : @ -, does not start with . or -, and has at most 253 characters",
        )
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
        if is_valid { Ok(Self(text.into())) } else { Err(NotANodeName) }
    }
}
