//! A pseudo-terminal that a test types into and reads from.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};

/// The option of env(1) for the default effect of the signals of a terminal's keys.
pub(crate) const DEFAULT_SIGNALS: &str = "--default-signal=INT,QUIT";

/// A pseudo-terminal that runs a program.
pub(crate) struct Pty {
    keyboard: File,
    screen: Arc<Mutex<Vec<u8>>>,
    /// Kept open, so that output and settings can be read after the program has ended.
    inside: OwnedFd,
    child: Child,
    modes: String,
}

impl Pty {
    /// Runs a command in a new session on a new terminal, 100 columns wide.
    pub(crate) fn run(command: &Command) -> Self {
        let outside = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&outside).unwrap();
        unlockpt(&outside).unwrap();
        let name = ptsname(&outside, Vec::new()).unwrap();
        let inside = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let size = Winsize { ws_row: 40, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&inside, size).unwrap();
        let modes = modes(&inside);
        let stdio = || Stdio::from(inside.try_clone().unwrap());
        // A runner in the background may ignore SIGINT, which a child inherits and a shell keeps.
        let mut session = Command::new("env");
        session
            .args([DEFAULT_SIGNALS, "setsid", "--ctty", "--wait"])
            .arg(command.get_program())
            .args(command.get_args())
            .env_clear();
        session.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?)))).env_remove("COLUMNS");
        if let Some(dir) = command.get_current_dir() {
            session.current_dir(dir);
        }
        let child = session.stdin(stdio()).stdout(stdio()).stderr(stdio()).spawn().unwrap();
        let keyboard = File::from(outside);
        let screen = Arc::new(Mutex::new(Vec::new()));
        let (mut reader, shown) = (keyboard.try_clone().unwrap(), Arc::clone(&screen));
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut piece) {
                shown.lock().unwrap().extend_from_slice(&piece[..length]);
            }
        });
        Self { keyboard, screen, inside, child, modes }
    }

    /// Types keys.
    pub(crate) fn type_in(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// All output so far, with CR LF as LF.
    pub(crate) fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap()).replace("\r\n", "\n")
    }

    /// Waits until the output contains `text`.
    pub(crate) fn wait_for(&self, text: &str) {
        let began = Instant::now();
        while !self.screen().contains(text) {
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "no {text:?} in the output: {}",
                self.screen()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until the program has ended; its exit code and all output. Fails if the
    /// program did not restore the terminal's settings.
    pub(crate) fn end(mut self) -> (i32, String) {
        let code = self.child.wait().unwrap().code().unwrap();
        // The reading thread may lag.
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(modes(&self.inside), self.modes, "{}", self.screen());
        (code, self.screen())
    }
}

/// The terminal's settings, for comparison.
fn modes(terminal: &OwnedFd) -> String {
    let modes = tcgetattr(terminal).unwrap();
    format!(
        "{:?} {:?} {:?} {:?}",
        modes.input_modes, modes.output_modes, modes.control_modes, modes.local_modes
    )
}
