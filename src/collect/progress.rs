//! What is going on, on standard error, for people who wait at a terminal.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A line that says how far things are, and leaves nothing behind.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Shown on a terminal, unless the user wants it quiet.
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        let is_shown = !quiet && std::io::stderr().is_terminal();
        let target = if is_shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        if let Ok(style) =
            ProgressStyle::with_template("{spinner} {pos}/{len} answers, {elapsed}: {wide_msg}")
        {
            bar.set_style(style);
        }
        if is_shown {
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        Self { bar }
    }

    /// So many more answers are waited for.
    pub(crate) fn expect(&self, answers: u64) {
        self.bar.inc_length(answers);
    }

    /// What is waited for now; a fixed text, or a name that was checked.
    pub(crate) fn say(&self, what: impl Into<std::borrow::Cow<'static, str>>) {
        self.bar.set_message(what);
    }

    /// One answer more is there.
    pub(crate) fn answered(&self) {
        self.bar.inc(1);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
