//! The signals that end a run: SIGINT, SIGTERM, SIGHUP and SIGQUIT. A thread of its own
//! receives them for the whole run, whatever other threads are blocked in.
//!
//! A subscriber may answer the first signal by ending the run in order. If there is none,
//! if that takes too long, or if another signal arrives, the process ends at once, with
//! its children and without its temporary files.

use std::io::{self, IsTerminal};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithRawSiginfo;

use crate::cleanup;

/// How long a subscriber may take to end the run.
const GRACE: Duration = Duration::from_millis(500);
/// The interval at which further signals are looked for meanwhile.
const POLL: Duration = Duration::from_millis(10);
/// For how long after a signal that did not end the run a further one ends it.
const AGAIN: Duration = Duration::from_secs(5);

/// A signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Its number.
    pub number: u8,
    /// Whether a key of the terminal sent it, to this process and to its children.
    pub is_from_keyboard: bool,
}

/// What a subscriber does about a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Response {
    /// It ends the run.
    Ends,
    /// It continues: the signal is for a child.
    Continues,
}

/// What the run is doing, in words that follow "interrupted while".
static UNDER_WAY: Mutex<Option<String>> = Mutex::new(None);

/// What the run is doing, until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct UnderWay(Option<String>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        *doing() = self.0.take();
    }
}

fn doing() -> MutexGuard<'static, Option<String>> {
    UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says what the run is doing from now on, for the message of a signal that ends it. It is
/// printed as it is.
pub fn under_way(what: impl Into<String>) -> UnderWay {
    UnderWay(doing().replace(what.into()))
}

/// What answers a signal.
type Subscriber = Box<dyn Fn(Received) -> Response + Send>;

static SUBSCRIBER: Mutex<Option<Subscriber>> = Mutex::new(None);

/// A subscription, until it is dropped.
#[derive(Debug)]
pub struct Subscription(());

impl Drop for Subscription {
    fn drop(&mut self) {
        *subscriber() = None;
    }
}

fn subscriber() -> MutexGuard<'static, Option<Subscriber>> {
    SUBSCRIBER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Subscribes to signals. There is one subscriber at a time.
#[must_use]
pub fn subscribe(answer: impl Fn(Received) -> Response + Send + 'static) -> Subscription {
    *subscriber() = Some(Box::new(answer));
    Subscription(())
}

/// Begins to listen. Signals that the parent process had ignored stay ignored, as under
/// nohup, or for what a shell runs in the background. A write beyond the limit of a file's
/// size becomes an error, as with other limits.
///
/// # Errors
/// If signals cannot be received. They have their default effect then.
pub fn listen() -> io::Result<()> {
    signal_hook::flag::register(SIGXFSZ, Arc::<AtomicBool>::default())?;
    let listened = [SIGINT, SIGTERM, SIGHUP, SIGQUIT].into_iter().filter(|signal| !is_ignored(*signal));
    let listened: Vec<_> = listened.collect();
    let (sender, receiver) = channel();
    // The thread starts first: without it, no signal would end the process.
    thread::Builder::new().name("signals".to_owned()).spawn(
        move || match SignalsInfo::<WithRawSiginfo>::new(listened) {
            Ok(mut signals) => {
                drop(sender.send(Ok(())));
                receive(&mut signals);
            }
            Err(error) => drop(sender.send(Err(error))),
        },
    )?;
    receiver.recv().map_err(io::Error::other)?
}

/// Has the signals that end a run not end it, and not have children ignore them. Returns a
/// flag that a SIGTERM sets.
///
/// # Errors
/// If the effect of a signal cannot be changed.
pub fn catch_terminations() -> io::Result<Arc<AtomicBool>> {
    let terminated = Arc::<AtomicBool>::default();
    for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT].into_iter().filter(|signal| !is_ignored(*signal)) {
        let received = if signal == SIGTERM { Arc::clone(&terminated) } else { Arc::default() };
        // A program that is executed has the default effect again.
        signal_hook::flag::register(signal, received)?;
    }
    Ok(terminated)
}

fn receive(signals: &mut SignalsInfo<WithRawSiginfo>) {
    let mut last: Option<Instant> = None;
    loop {
        for info in signals.wait() {
            let received = Received {
                number: u8::try_from(info.si_signo).unwrap_or_default(),
                is_from_keyboard: is_from_keyboard(info.si_signo, info.si_code),
            };
            if last.is_some_and(|last| last.elapsed() < AGAIN) {
                end(received.number);
            }
            let response = subscriber().as_ref().map(|answer| answer(received));
            match response {
                Some(Response::Continues) => last = Some(Instant::now()),
                Some(Response::Ends) => {
                    let until = Instant::now() + GRACE;
                    while Instant::now() < until && signals.pending().next().is_none() {
                        sleep(POLL);
                    }
                    end(received.number)
                }
                None => end(received.number),
            }
        }
    }
}

/// Whether the kernel sent a signal because of a key. Where its code does not say so, the
/// signals of keys are taken to be from them.
/// <https://man7.org/linux/man-pages/man2/sigaction.2.html>
fn is_from_keyboard(signal: i32, code: i32) -> bool {
    (signal == SIGINT || signal == SIGQUIT) && (code > 0 || !cfg!(target_os = "linux"))
}

/// Whether this process was started with a signal ignored.
/// <https://man7.org/linux/man-pages/man5/proc_pid_status.5.html>
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask & (1 << (signal - 1)) != 0
}

/// Ends the process because of a signal.
fn end(number: u8) -> ! {
    cleanup::all_at_once();
    let err = io::stderr();
    // A reader that does not read must not delay the end.
    let mut ready = [PollFd::new(&err, PollFlags::OUT)];
    if poll(&mut ready, Some(&Timespec::default())).is_ok_and(|count| count > 0) {
        // A progress bar may be in the line.
        let clear = if err.is_terminal() { "\r\x1b[K" } else { "" };
        let what = doing().as_ref().map(|what| format!(" while {what}")).unwrap_or_default();
        // Without the lock, which a thread may hold that is blocked. It may be closed.
        let _ = rustix::io::write(&err, format!("{clear}error: interrupted{what}\n").as_bytes());
    }
    // Other threads are still running, so that destructors of the process must not run.
    signal_hook::low_level::exit(128 + i32::from(number))
}
