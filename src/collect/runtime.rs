//! The asynchronous runtime.

use std::io;
use std::sync::mpsc::channel;
use std::thread;

use tokio::runtime::{Builder, Runtime};

/// The threads that the runtime starts later on: some that look names up, and the one of
/// the progress bar.
const MORE_THREADS: usize = 3;

/// Starts a runtime with this number of worker threads; without any, its tasks run in the
/// thread that waits for it.
///
/// # Errors
/// If the system does not allow as many threads: a library that starts one later would
/// panic.
pub(super) fn start(workers: usize) -> io::Result<Runtime> {
    check_threads(workers + MORE_THREADS)?;
    let mut builder = if workers == 0 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    if workers > 0 {
        builder.worker_threads(workers);
    }
    builder.enable_all().build()
}

/// Starts threads, all at the same time, and ends them.
fn check_threads(count: usize) -> io::Result<()> {
    let mut running = Vec::new();
    for _ in 0..count {
        let (sender, receiver) = channel::<()>();
        // It ends when the sender is dropped.
        let thread = thread::Builder::new().spawn(move || {
            let _ = receiver.recv();
        })?;
        running.push((sender, thread));
    }
    for (sender, thread) in running {
        drop(sender);
        // It cannot panic.
        let _ = thread.join();
    }
    Ok(())
}
