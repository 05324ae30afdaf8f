//! The command that is traced: it has the terminal to itself.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use anyhow::{Result, anyhow};
use rustix::process::{Pid, Signal, getpgrp, kill_process};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use super::live::is_ignored;
use crate::run::exit::{EndsWith, Exit};

/// The command, running.
pub(super) struct Running {
    child: Child,
    terminal: Terminal,
}

impl Running {
    /// Starts it with our own standard input, output and error.
    ///
    /// # Errors
    /// As a shell has it: 127 if there is no such program, 126 if it cannot be run.
    pub(super) fn start(words: &[OsString]) -> Result<Self> {
        let (program, args) = words.split_first().ok_or_else(|| anyhow!("no command"))?;
        let terminal = Terminal::save();
        let child = Command::new(program).args(args).spawn().map_err(|error| {
            let code = if error.kind() == ErrorKind::NotFound { 127 } else { 126 };
            let message = format!("cannot run {}: {error}", program.display());
            anyhow!(EndsWith(Exit::Command(code), message))
        })?;
        Ok(Self { child, terminal })
    }

    /// Waits for its end. May be dropped and asked again.
    pub(super) async fn wait(&mut self) -> io::Result<u8> {
        let status = self.child.wait().await?;
        // It may have been killed before it could put it right.
        self.terminal.restore();
        Ok(code(status))
    }

    /// Hands a signal on.
    pub(super) fn tell(&self, signal: Signal) {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // What has ended already takes none.
            let _ = kill_process(pid, signal);
        }
    }
}

/// As shells have it.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

/// The terminal's settings as they were.
struct Terminal(Option<(OwnedFd, Termios)>);

impl Terminal {
    fn save() -> Self {
        // Programs that ask for a password open it whatever their input is.
        let own = OpenOptions::new().read(true).write(true).open("/dev/tty").map(OwnedFd::from);
        let terminal = own.or_else(|_| io::stdin().as_fd().try_clone_to_owned());
        Self(
            terminal.ok().and_then(|terminal| tcgetattr(&terminal).ok().map(|settings| (terminal, settings))),
        )
    }

    fn restore(&self) {
        let Some((terminal, settings)) = &self.0 else { return };
        // Who sets a terminal that is another's is stopped for it.
        if tcgetpgrp(terminal).is_ok_and(|owner| owner == getpgrp()) {
            // A terminal that went away has none.
            let _ = tcsetattr(terminal, OptionalActions::Drain, settings);
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.restore();
    }
}

/// Signals, while the command runs: those of the keyboard go to it and to us
/// alike, and are its own; others are handed on.
pub(super) struct Signals(Vec<(SignalKind, tokio::signal::unix::Signal)>);

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        let kinds =
            [SignalKind::interrupt(), SignalKind::quit(), SignalKind::terminate(), SignalKind::hangup()];
        let heard = kinds.into_iter().filter(|kind| !is_ignored(*kind));
        heard.map(|kind| Ok((kind, signal(kind)?))).collect::<io::Result<_>>().map(Self)
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> SignalKind {
        let mut waits: Vec<_> = self
            .0
            .iter_mut()
            .map(|(kind, signal)| {
                Box::pin(async {
                    signal.recv().await;
                    *kind
                })
            })
            .collect();
        if waits.is_empty() {
            return std::future::pending().await;
        }
        futures_util::future::select_all(waits.drain(..)).await.0
    }
}

/// Whether a signal comes from the keyboard.
pub(super) fn is_of_keyboard(kind: SignalKind) -> bool {
    kind == SignalKind::interrupt() || kind == SignalKind::quit()
}

/// The same signal, to be sent.
pub(super) fn to_send(kind: SignalKind) -> Signal {
    if kind == SignalKind::hangup() { Signal::HUP } else { Signal::TERM }
}
