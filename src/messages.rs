//! Messages on standard error: errors and warnings, in the colours of cargo.

use std::io::Write;

use anstyle::{AnsiColor, Style};

use crate::report::text::escape;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// Why a run failed.
    Error,
    /// What went wrong in a run that goes on.
    Warning,
}

impl Label {
    fn word_and_style(self) -> (&'static str, Style) {
        match self {
            Self::Error => ("error", AnsiColor::Red.on_default().bold()),
            Self::Warning => ("warning", AnsiColor::Yellow.on_default().bold()),
        }
    }
}

/// Prints a message. Its text may be untrusted, and is escaped.
pub fn print(label: Label, text: &str) {
    let (word, style) = label.word_and_style();
    // Standard error may be closed; the exit code and the report remain.
    let _ = writeln!(anstream::stderr(), "{style}{word}:{style:#} {}", escape(text));
}
