//! The asynchronous runtime.

use std::fs::File;
use std::io;
use std::sync::mpsc::channel;
use std::thread;

use tokio::runtime::{Builder, Runtime};

use crate::cleanup;

/// The threads that the runtime starts later on: some that look names up, and the one of
/// the progress bar.
const MORE_THREADS: usize = 3;

/// The files that the runtime and one request keep open.
const FILES_MIN: usize = 24;

/// Starts a runtime with this number of worker threads; without any, its tasks run in the
/// thread that waits for it.
///
/// # Errors
/// If the system does not allow as many threads: a library that starts one later would
/// panic.
pub(super) fn start(workers: usize) -> Result<Runtime, RuntimeError> {
    // Libraries start processes too, such as those that print credentials.
    cleanup::expect_descendants();
    check_files().map_err(RuntimeError::Files)?;
    check_threads(workers + MORE_THREADS).map_err(RuntimeError::Threads)?;
    let mut builder = if workers == 0 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    if workers > 0 {
        builder.worker_threads(workers);
    }
    builder.enable_all().build().map_err(RuntimeError::Files)
}

/// Why the runtime does not start.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// There are too few threads.
    #[error("cannot start threads: {0}; raise the limit of processes (ulimit -u)")]
    Threads(io::Error),
    /// There are too few files.
    #[error("cannot open the files of a live run: {0}; raise the limit of open files (ulimit -n)")]
    Files(io::Error),
}

/// Opens files, all at the same time, and closes them: the root directory, which is there
/// where nothing else is.
fn check_files() -> io::Result<()> {
    let open = (0..FILES_MIN).map(|_| File::open("/"));
    open.collect::<io::Result<Vec<_>>>().map(drop)
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
