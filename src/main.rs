//! The entry point: parses the command line, runs the command, prints its error and
//! exits.

use std::io::{ErrorKind, Write};
use std::panic;
use std::process::ExitCode;

use eks_netcheck::cleanup;
use eks_netcheck::cli::{self, Refusal};
use eks_netcheck::report::text::escape;
use eks_netcheck::run::exit::{Ending, Exit};
use eks_netcheck::run::{self, bug};
use eks_netcheck::signals;

fn main() -> ExitCode {
    bug::install_hook();
    #[cfg(feature = "live")]
    if let Some(code) = eks_netcheck::collect::supervisor::supervise(std::env::args_os()) {
        return ExitCode::from(code);
    }
    // Without the thread that listens, signals have their default effect.
    let _ = signals::listen();
    let exit = panic::catch_unwind(run).unwrap_or(Exit::Bug);
    cleanup::all();
    cleanup::wait_if_ending();
    if bug::has_panicked() { Exit::Bug.into() } else { exit.into() }
}

fn run() -> Exit {
    let ended = match cli::parse(std::env::args_os()) {
        Ok(options) => bug::guard(&options, run::run),
        Err(Refusal::Clap(error)) => return refuse(&error),
        Err(Refusal::Options(message)) => Ok(Ending::with_message(Exit::Usage, message)),
    };
    let ended = ended.unwrap_or_else(|error| Ending::with_message(Exit::Usage, format!("{error:#}")));
    cleanup::wait_if_ending();
    if let Some(message) = ended.message {
        print_error(&format!("error: {}", escape(&message)));
    }
    ended.exit
}

/// Prints help that was requested, or the error in the command line.
fn refuse(error: &clap::Error) -> Exit {
    let text = error.render();
    if !error.use_stderr() {
        let mut out = anstream::stdout();
        let written = write!(out, "{}", text.ansi()).and_then(|()| out.flush());
        return match written {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                print_error(&format!("error: cannot write to standard output: {error}"));
                Exit::Usage
            }
            _ => Exit::Pass,
        };
    }
    // The arguments may come from an untrusted source.
    text.to_string().lines().for_each(|line| print_error(&escape(line)));
    Exit::Usage
}

fn print_error(line: &str) {
    // Standard error may be closed; the exit code remains.
    let _ = writeln!(anstream::stderr(), "{line}");
}
