//! Names of nodes.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A node's name: printable ASCII that is safe as a file name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(Arc<str>);

impl NodeName {
    /// The longest name taken: a DNS name's limit.
    pub const MAX_LEN: usize = 253;

    /// The name of a node whose capture does not name it.
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

/// Why a text is not a node name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotANodeName;

impl fmt::Display for NotANodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a node name holds letters, digits and . _ : @ - only, starts with neither . nor -, and has at most 253 of them",
        )
    }
}

impl std::error::Error for NotANodeName {}

impl FromStr for NodeName {
    type Err = NotANodeName;

    fn from_str(text: &str) -> Result<Self, NotANodeName> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:@-".contains(&byte);
        let fits = !text.is_empty()
            && text.len() <= Self::MAX_LEN
            && !text.starts_with(['.', '-'])
            && text.bytes().all(allowed);
        if fits { Ok(Self(text.into())) } else { Err(NotANodeName) }
    }
}
