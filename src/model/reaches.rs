//! Whether something reaches the endpoint.

/// Whether something reaches the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reaches {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// It is not known.
    Unknown,
}

impl Reaches {
    /// Its name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown => "unknown",
        }
    }
}
