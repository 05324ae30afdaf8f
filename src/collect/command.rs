//! The command that is traced, which shares the terminal with this program.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::process::{Pid, Signal, getpgrp, kill_process};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};
use tokio::process::{Child, Command};
use tokio::signal::unix::SignalKind;

use super::signals::Signals;

/// The command, running.
pub(super) struct RunningCommand {
    child: Child,
    terminal: Terminal,
}

/// Why the command did not start.
#[derive(Debug, thiserror::Error)]
#[error("cannot run {program}: {source}")]
pub struct StartError {
    program: String,
    source: io::Error,
}

impl StartError {
    /// The exit code that a shell has for it: 127 if there is no such program, 126 if it
    /// cannot be run.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if self.source.kind() == ErrorKind::NotFound { 127 } else { 126 }
    }
}

impl RunningCommand {
    /// Starts a program with the standard streams of this process.
    pub(super) fn start(program: &OsString, args: &[OsString]) -> Result<Self, StartError> {
        let terminal = Terminal::save();
        let child = Command::new(program)
            .args(args)
            .spawn()
            .map_err(|source| StartError { program: program.display().to_string(), source })?;
        Ok(Self { child, terminal })
    }

    /// Waits for its end; the exit code is that of a shell. Cancel-safe.
    pub(super) async fn wait(&mut self) -> io::Result<u8> {
        let status = self.child.wait().await?;
        // It may have been killed before it restored the terminal itself.
        self.terminal.restore();
        Ok(exit_code(status))
    }

    /// Forwards a signal.
    pub(super) fn signal(&self, kind: SignalKind) {
        let signal = if kind == SignalKind::hangup() { Signal::HUP } else { Signal::TERM };
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // Fails if it has ended.
            let _ = kill_process(pid, signal);
        }
    }
}

/// The exit code, or 128 and the number of the signal that terminated it.
fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

/// The settings of the terminal before the command.
struct Terminal(Option<(OwnedFd, Termios)>);

impl Terminal {
    fn save() -> Self {
        // Programs that ask for a password open it even if standard input is redirected.
        let own = OpenOptions::new().read(true).write(true).open("/dev/tty").map(OwnedFd::from);
        let terminal = own.or_else(|_| io::stdin().as_fd().try_clone_to_owned());
        Self(
            terminal.ok().and_then(|terminal| tcgetattr(&terminal).ok().map(|settings| (terminal, settings))),
        )
    }

    fn restore(&self) {
        let Some((terminal, settings)) = &self.0 else { return };
        // A background process that sets the terminal is stopped.
        if tcgetpgrp(terminal).is_ok_and(|owner| owner == getpgrp()) {
            // Fails if the terminal is gone.
            let _ = tcsetattr(terminal, OptionalActions::Drain, settings);
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.restore();
    }
}

/// Listens for signals while a command runs: those of the keyboard reach it as well, and
/// others are forwarded to it.
pub(super) fn listen() -> io::Result<Signals> {
    let all = [SignalKind::interrupt(), SignalKind::quit(), SignalKind::terminate(), SignalKind::hangup()];
    Signals::listen(&all)
}

/// Whether a signal comes from the keyboard.
pub(super) fn is_from_keyboard(kind: SignalKind) -> bool {
    kind == SignalKind::interrupt() || kind == SignalKind::quit()
}
