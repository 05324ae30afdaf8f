//! The entry point: parses the command line, runs the command, prints its error and
//! exits.

use std::io::{ErrorKind, Write};
use std::panic::{self, PanicHookInfo};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use eks_netcheck::cli::{self, Refusal};
use eks_netcheck::report::text::escape;
use eks_netcheck::run::exit::{Ending, Exit};

/// Whether any thread panicked. A panic is a bug, whatever the result of the run.
static PANICKED: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    panic::set_hook(Box::new(report_bug));
    let exit = panic::catch_unwind(run).unwrap_or(Exit::Bug);
    if PANICKED.load(Ordering::SeqCst) { Exit::Bug.into() } else { exit.into() }
}

fn run() -> Exit {
    let ended = match cli::parse() {
        Ok(options) => eks_netcheck::run::run(options),
        Err(Refusal::Clap(error)) => return refuse(&error),
        Err(Refusal::Options(message)) => Ok(Ending::with_message(Exit::Usage, message)),
    };
    let ended = ended.unwrap_or_else(|error| Ending::with_message(Exit::Usage, format!("{error:#}")));
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

/// Prints a panic as one line that asks for a report.
fn report_bug(info: &PanicHookInfo<'_>) {
    PANICKED.store(true, Ordering::SeqCst);
    let payload = info.payload();
    let message = payload.downcast_ref::<&str>().copied();
    let message = message.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let place = info.location().map(|location| format!(" at {location}")).unwrap_or_default();
    let text = format!(
        "bug in eks-netcheck {}: panic{place}: {}; please report this line and the command",
        env!("CARGO_PKG_VERSION"),
        message.unwrap_or("unknown")
    );
    print_error(&escape(&text));
}

fn print_error(line: &str) {
    // Standard error may be closed; the exit code remains.
    let _ = writeln!(anstream::stderr(), "{line}");
}
