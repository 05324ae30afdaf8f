//! The command that is traced, which shares the terminal with this program.

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::supervisor::{self, exit_code};
use super::terminal::Terminal;
use crate::cleanup::{self, Family};
use crate::signals::Received;

/// The command, running.
pub(super) struct RunningCommand {
    child: Child,
    id: Option<Pid>,
    terminal: Arc<Terminal>,
    /// Its supervisor ends it when this is closed, however this process ends.
    supervision: Option<UnixStream>,
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
    /// Starts a program with the standard streams of this process, under a supervisor
    /// where the system allows it.
    pub(super) fn start(program: &OsString, args: &[OsString]) -> Result<Self, StartError> {
        let terminal = Arc::new(Terminal::save());
        let restored = Arc::clone(&terminal);
        cleanup::restore_terminal_by(Some(Box::new(move || restored.restore())));
        let failed = |source| StartError { program: program.display().to_string(), source };
        let spawn = |mut command: Command| cleanup::start(Family::Descendants, || command.spawn(), Child::id);
        let supervised = supervisor::prepare(program, args)
            .and_then(|(command, socket)| Ok((spawn(command.into())?, socket)));
        let ((child, id), supervision) = if let Ok((started, socket)) = supervised {
            if let Err(error) = supervisor::wait_for_start(&socket) {
                started.1.into_iter().for_each(cleanup::child_ended);
                return Err(failed(error));
            }
            (started, Some(socket))
        } else {
            // As where /proc is not mounted: nothing ends it if this process is killed.
            let mut command = Command::new(program);
            command.args(args);
            (spawn(command).map_err(failed)?, None)
        };
        Ok(Self { child, id, terminal, supervision })
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

    /// Kills it and its descendants; the supervisor ends with them.
    pub(super) fn kill(&self) {
        if let Some(id) = self.id {
            if self.supervision.is_none() {
                let _ = kill_process(id, Signal::KILL);
            }
            cleanup::signal_descendants(id, Signal::KILL);
        }
    }

    /// Forwards a signal to it and to its descendants: a shell would leave them behind.
    pub(super) fn signal(&self, received: Received) {
        let signal = Signal::from_named_raw(i32::from(received.number)).unwrap_or(Signal::TERM);
        if let Some(id) = self.id {
            if self.supervision.is_some() {
                // It ends those that are started meanwhile. Fails if it has ended.
                let _ = kill_process(id, Signal::TERM);
            }
            cleanup::signal(id, Family::Descendants, signal);
        }
    }
}
