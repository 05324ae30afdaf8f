//! A progress bar on standard error.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::error::CollectError;
use crate::model::name::NodeName;

/// The largest number of pending nodes that are named.
const NAMES_MAX: usize = 4;

/// A progress bar, which is removed at the end.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A progress bar, which is hidden as well if standard error is not a terminal.
    #[must_use]
    pub(crate) fn new(is_hidden: bool) -> Self {
        let target = if is_hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        if let Ok(style) =
            ProgressStyle::with_template("{spinner} {pos}/{len} answers, {elapsed}: {wide_msg}")
        {
            bar.set_style(style);
        }
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        Self { bar }
    }

    /// Adds to the number of expected answers.
    pub(crate) fn expect(&self, answers: u64) {
        self.bar.inc_length(answers);
    }

    /// Sets the message: a constant text, or names that were validated.
    pub(crate) fn set_message(&self, what: impl Into<std::borrow::Cow<'static, str>>) {
        self.bar.set_message(what);
    }

    /// The error of a run that a signal interrupts.
    pub(super) fn interrupted(&self, signal: u8) -> CollectError {
        let (answered, expected) = (self.bar.position(), self.bar.length().unwrap_or_default());
        CollectError::Interrupted { signal, answered, expected }
    }

    /// Names the first nodes that have not answered.
    pub(crate) fn set_pending<'a>(&self, what: &str, pending: impl ExactSizeIterator<Item = &'a NodeName>) {
        let more = pending.len().saturating_sub(NAMES_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let names: Vec<_> = pending.take(NAMES_MAX).map(NodeName::as_str).collect();
        let separator = if names.is_empty() { "" } else { ": " };
        self.set_message(format!("{what}{separator}{}{more}", names.join(", ")));
    }

    /// Counts an answer.
    pub(crate) fn answered(&self) {
        self.bar.inc(1);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
