//! The tool, as reports name it.

use schemars::JsonSchema;
use serde::Serialize;

/// The tool that wrote a report.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Tool {
    name: String,
    version: String,
}

impl Tool {
    /// This one.
    pub(super) fn this() -> Self {
        Self { name: env!("CARGO_PKG_NAME").to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
    }
}
