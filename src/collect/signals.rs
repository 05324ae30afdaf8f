//! Signals that end a run.

use std::io;

use futures_util::future::select_all;
use tokio::signal::unix::{SignalKind, signal};

/// The signals of a set that are not ignored.
pub(crate) struct Signals(Vec<(SignalKind, tokio::signal::unix::Signal)>);

impl Signals {
    /// Listens for signals. Those that the parent process had ignored stay ignored, as
    /// under nohup, or for what a shell runs in the background.
    pub(crate) fn listen(kinds: &[SignalKind]) -> io::Result<Self> {
        let kinds = kinds.iter().copied().filter(|kind| !is_ignored(*kind));
        kinds.map(|kind| Ok((kind, signal(kind)?))).collect::<io::Result<_>>().map(Self)
    }

    /// The next signal. Cancel-safe.
    pub(crate) async fn next(&mut self) -> SignalKind {
        if self.0.is_empty() {
            return std::future::pending().await;
        }
        let waits = self.0.iter_mut().map(|(kind, signal)| {
            Box::pin(async {
                signal.recv().await;
                *kind
            })
        });
        select_all(waits).await.0
    }
}

/// Waits for a signal that interrupts the run, and returns its number.
///
/// # Errors
/// If the system does not allow listening for signals.
pub(super) async fn interruption() -> io::Result<u8> {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    Ok(number(Signals::listen(&kinds)?.next().await))
}

/// The number of a signal.
pub(crate) fn number(kind: SignalKind) -> u8 {
    u8::try_from(kind.as_raw_value()).unwrap_or_default()
}

/// Whether this process was started with a signal ignored.
/// <https://man7.org/linux/man-pages/man5/proc_pid_status.5.html>
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask & (1 << (kind.as_raw_value() - 1)) != 0
}
