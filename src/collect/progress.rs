//! Progress on standard error: what is outstanding, and for how long.
//!
//! On a terminal it is one live line, which is removed at the end. Elsewhere, such as in a CI
//! job, it is a plain line after some time, and then ever more rarely.

use std::collections::{BTreeMap, HashMap};
use std::io::{IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::error::CollectError;
use crate::model::name::NodeName;

/// The largest number of outstanding steps and nodes that are named.
const NAMES_MAX: usize = 4;
/// After how long the first plain line is written. Each interval is twice as long as the one
/// before, up to the longest.
const PLAIN_FIRST: Duration = Duration::from_secs(10);
const PLAIN_LONGEST: Duration = Duration::from_mins(2);

/// The progress of a collection, until it is dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    state: Arc<Mutex<State>>,
    /// Ends the lines when it is dropped.
    writer: Option<Sender<()>>,
}

/// What is known of a collection.
#[derive(Debug, Default)]
struct State {
    answered: u64,
    expected: u64,
    /// The outstanding steps, such as queries of AWS, each with their number.
    steps: BTreeMap<String, usize>,
    /// What is read of nodes, and the nodes that have not answered: the first names, and the
    /// number of all.
    nodes: Option<(&'static str, Vec<NodeName>, usize)>,
    /// When the reading of a node began, of those that have not answered.
    began: HashMap<NodeName, Instant>,
}

/// Tells when the reading of a node begins, which may be long after it is expected.
#[derive(Debug, Clone)]
pub(crate) struct Clock(Arc<Mutex<State>>);

impl Clock {
    /// The reading of a node begins.
    pub(crate) fn begin(&self, node: &NodeName) {
        lock(&self.0).began.insert(node.clone(), Instant::now());
    }
}

impl State {
    /// What is outstanding, in words; empty if that is nothing. At a time, nodes have how long
    /// they have been read.
    fn outstanding(&self, now: Option<Instant>) -> String {
        let mut parts = Vec::new();
        if !self.steps.is_empty() {
            let names: Vec<_> = self.steps.keys().take(NAMES_MAX).cloned().collect();
            parts.push(named(&names, self.steps.len()));
        }
        if let Some((what, names, number)) = self.nodes.as_ref().filter(|(_, _, number)| *number > 0) {
            let since = |name| Some(now?.saturating_duration_since(*self.began.get(name)?).as_secs());
            let names = names.iter().map(|name| match since(name) {
                Some(seconds) => format!("{name} ({})", shown(seconds)),
                None => name.to_string(),
            });
            let names: Vec<_> = names.collect();
            parts.push(format!("{what} {}", named(&names, *number)));
        }
        parts.join("; ")
    }

    /// The numbers of answers, and what is outstanding.
    fn line(&self, now: Instant) -> String {
        let outstanding = self.outstanding(Some(now));
        let waiting =
            if outstanding.is_empty() { String::new() } else { format!("; waiting for {outstanding}") };
        format!("{} of {} answers{waiting}", self.answered, self.expected)
    }
}

/// The first names, and the number of the others.
fn named(names: &[String], number: usize) -> String {
    match number.saturating_sub(names.len()) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

/// A number of seconds: `59s`, `2m05s`.
fn shown(seconds: u64) -> String {
    if seconds < 60 { format!("{seconds}s") } else { format!("{}m{:02}s", seconds / 60, seconds % 60) }
}

impl Progress {
    /// Progress, unless it is hidden.
    #[must_use]
    pub(crate) fn new(is_hidden: bool) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let target = if is_hidden || !is_terminal {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed}  {wide_msg}") {
            bar.set_style(style);
        }
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        let state = Arc::<Mutex<State>>::default();
        let writer = match (is_hidden, is_terminal) {
            (true, _) => None,
            (false, true) => refresh(&bar, &state),
            (false, false) => write_plainly(&state),
        };
        Self { bar, state, writer }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = lock(&self.state);
        change(&mut state);
        if !self.bar.is_hidden() {
            self.bar.set_message(state.line(Instant::now()));
        }
    }

    /// The clock of the readings of nodes.
    pub(crate) fn clock(&self) -> Clock {
        Clock(Arc::clone(&self.state))
    }

    /// Adds to the number of expected answers.
    pub(crate) fn expect(&self, answers: u64) {
        self.change(|state| state.expected += answers);
    }

    /// Expects the answer of a step: a constant text, or a name that was validated.
    pub(crate) fn expect_step(&self, step: impl Into<String>) {
        self.change(|state| {
            state.expected += 1;
            *state.steps.entry(step.into()).or_default() += 1;
        });
    }

    /// Counts the answer of a step.
    pub(crate) fn answered_step(&self, step: &str) {
        self.change(|state| {
            state.answered += 1;
            if let Some(number) = state.steps.get_mut(step) {
                *number -= 1;
                if *number == 0 {
                    state.steps.remove(step);
                }
            }
        });
    }

    /// Names the first nodes that have not answered.
    pub(crate) fn set_pending<'a>(
        &self,
        what: &'static str,
        pending: impl ExactSizeIterator<Item = &'a NodeName>,
    ) {
        let number = pending.len();
        let names: Vec<_> = pending.take(NAMES_MAX).cloned().collect();
        self.change(|state| state.nodes = Some((what, names, number)));
    }

    /// Counts an answer.
    pub(crate) fn answered(&self) {
        self.change(|state| state.answered += 1);
    }

    /// The error of a run that a signal interrupts.
    pub(super) fn interrupted(&self, signal: u8) -> CollectError {
        let state = lock(&self.state);
        let (answered, expected) = (state.answered, state.expected);
        CollectError::Interrupted { signal, answered, expected, outstanding: state.outstanding(None) }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.writer = None;
        self.bar.finish_and_clear();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Refreshes the live line until what is returned is dropped: the times change without an event.
fn refresh(bar: &ProgressBar, state: &Arc<Mutex<State>>) -> Option<Sender<()>> {
    let (sender, receiver) = channel();
    let (bar, state) = (bar.clone(), Arc::clone(state));
    let write = move || {
        while receiver.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
            let line = lock(&state).line(Instant::now());
            bar.set_message(line);
        }
    };
    // A line that changes with events only is still progress.
    thread::Builder::new().name("progress".to_owned()).spawn(write).ok()?;
    Some(sender)
}

/// Writes plain lines until what is returned is dropped.
fn write_plainly(state: &Arc<Mutex<State>>) -> Option<Sender<()>> {
    let (sender, receiver) = channel();
    let (state, began) = (Arc::clone(state), Instant::now());
    let write = move || {
        let mut interval = PLAIN_FIRST;
        while receiver.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
            let line = format!("{} s: {}", began.elapsed().as_secs(), lock(&state).line(Instant::now()));
            // It may be closed.
            let _ = writeln!(std::io::stderr(), "{line}");
            interval = (interval * 2).min(PLAIN_LONGEST);
        }
    };
    // A run without progress is still a run.
    thread::Builder::new().name("progress".to_owned()).spawn(write).ok()?;
    Some(sender)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_outstanding_is_named() {
        let progress = Progress::new(true);
        let began = Instant::now();
        let now = || began + Duration::from_secs(125);
        assert_eq!(lock(&progress.state).line(now()), "0 of 0 answers");
        for step in ["vpc.json", "vpc.json", "subnets.json"] {
            progress.expect_step(step);
        }
        progress.answered_step("vpc.json");
        progress.answered_step("subnets.json");
        assert_eq!(lock(&progress.state).line(now()), "2 of 3 answers; waiting for vpc.json");
        progress.answered_step("vpc.json");
        let names: Vec<NodeName> =
            (0..6).map(|number| format!("n{number}").parse().expect("a name")).collect();
        progress.expect(6);
        progress.set_pending("nodes", names.iter());
        let line = "3 of 9 answers; waiting for nodes n0, n1, n2, n3 and 2 more";
        assert_eq!(lock(&progress.state).line(now()), line);
        for (name, since) in names.iter().zip([0, 113]) {
            lock(&progress.state).began.insert(name.clone(), began + Duration::from_secs(since));
        }
        let line = "3 of 9 answers; waiting for nodes n0 (2m05s), n1 (12s), n2, n3 and 2 more";
        assert_eq!(lock(&progress.state).line(now()), line);
    }
}
