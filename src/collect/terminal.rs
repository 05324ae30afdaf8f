//! The settings of the terminal, which a command may change.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::process::getpgrp;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};

/// The settings of the terminal before the command.
pub(super) struct Terminal(Option<(OwnedFd, Termios)>);

impl Terminal {
    /// Saves the settings, if there is a terminal.
    pub(super) fn save() -> Self {
        // Programs that ask for a password open it even if standard input is redirected.
        let own = OpenOptions::new().read(true).write(true).open("/dev/tty").map(OwnedFd::from);
        let terminal = own.or_else(|_| io::stdin().as_fd().try_clone_to_owned());
        Self(
            terminal.ok().and_then(|terminal| tcgetattr(&terminal).ok().map(|settings| (terminal, settings))),
        )
    }

    /// Restores the settings, unless another process group has the terminal.
    pub(super) fn restore(&self) {
        let Some((terminal, settings)) = &self.0 else { return };
        // A background process that sets the terminal is stopped.
        if tcgetpgrp(terminal).is_ok_and(|owner| owner == getpgrp()) {
            // Fails if the terminal is gone.
            let _ = tcsetattr(terminal, OptionalActions::Now, settings);
        }
    }
}
