//! The command that is traced, which shares the terminal with this program.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;

use rustix::process::{Pid, Signal, getpgrp};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};
use tokio::process::{Child, Command};

use crate::cleanup::{self, Family};
use crate::signals::Received;

/// The command, running.
pub(super) struct RunningCommand {
    child: Child,
    id: Option<Pid>,
    terminal: Arc<Terminal>,
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
        let terminal = Arc::new(Terminal::save());
        let restored = Arc::clone(&terminal);
        cleanup::restore_terminal_by(Some(Box::new(move || restored.restore())));
        let started =
            cleanup::start(Family::Descendants, || Command::new(program).args(args).spawn(), Child::id);
        let (child, id) =
            started.map_err(|source| StartError { program: program.display().to_string(), source })?;
        Ok(Self { child, id, terminal })
    }

    /// Waits for its end; the exit code is that of a shell. Cancel-safe.
    pub(super) async fn wait(&mut self) -> io::Result<u8> {
        let status = self.child.wait().await?;
        if let Some(id) = self.id.take() {
            cleanup::child_ended(id);
        }
        // It may have been killed before it restored the terminal itself.
        self.terminal.restore();
        cleanup::restore_terminal_by(None);
        Ok(exit_code(status))
    }

    /// Forwards a signal to it and to its descendants: a shell would leave them behind.
    pub(super) fn signal(&self, received: Received) {
        let signal = Signal::from_named_raw(i32::from(received.number)).unwrap_or(Signal::TERM);
        if let Some(id) = self.id {
            cleanup::signal(id, Family::Descendants, signal);
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
            let _ = tcsetattr(terminal, OptionalActions::Now, settings);
        }
    }
}
