//! The entry point: parses the command line, runs the command, prints its error and
//! exits.

use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::panic;
use std::process::ExitCode;

use anstream::ColorChoice;
use eks_netcheck::cleanup;
use eks_netcheck::cli::color::Color;
use eks_netcheck::cli::{self, Refusal};
use eks_netcheck::messages::{self, Label};
use eks_netcheck::report::text::escape;
use eks_netcheck::run::exit::{Ending, Exit};
use eks_netcheck::run::{self, bug};
use eks_netcheck::signals;

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    bug::install_hook();
    // Of this crate alone: the library is the same in a static executable. That of musl has
    // all it needs in it.
    #[cfg(feature = "live")]
    if cfg!(all(target_feature = "crt-static", target_env = "gnu")) {
        eks_netcheck::collect::names::without_libc();
    }
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
    let args: Vec<_> = std::env::args_os().collect();
    set_color(Color::typed(&args));
    let ended = match cli::parse(args.clone()) {
        Ok((options, color)) => {
            set_color(color);
            bug::guard(&options, run::run)
        }
        Err(Refusal::Clap(error)) => return refuse(&error, &args),
        Err(Refusal::Options(message)) => Ok(Ending::with_message(Exit::Usage, message)),
    };
    let ended = ended.unwrap_or_else(|error| Ending::with_message(Exit::Usage, format!("{error:#}")));
    cleanup::wait_if_ending();
    if let Some(message) = ended.message {
        print_error(&cli::as_typed(message, args.first()));
    }
    ended.exit
}

/// Prints help that was requested, or the error in the command line.
fn refuse(error: &clap::Error, args: &[OsString]) -> Exit {
    let text = error.render();
    if !error.use_stderr() {
        let mut out = anstream::stdout();
        let written = write!(out, "{}", text.ansi()).and_then(|()| out.flush());
        return match written {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                print_error(&format!("cannot write to standard output: {error}"));
                Exit::Usage
            }
            _ => Exit::Pass,
        };
    }
    match trusted(error.kind(), args) {
        Some(escaped) => print_line(escaped.render().ansi().to_string().trim_end()),
        None => text.to_string().lines().for_each(|line| print_line(&escape(line))),
    }
    Exit::Usage
}

/// The same error about the arguments with their control characters escaped, since arguments may
/// come from an untrusted source, and clap quotes them between the codes of its colours. `None`
/// if it is another error.
fn trusted(kind: clap::error::ErrorKind, args: &[OsString]) -> Option<clap::Error> {
    let escaped = args.iter().map(|arg| escape(&arg.to_string_lossy()).into_owned().into());
    match cli::parse(escaped) {
        Err(Refusal::Clap(error)) if error.kind() == kind => Some(error),
        _ => None,
    }
}

fn print_error(message: &str) {
    messages::print(Label::Error, message);
}

fn print_line(line: &str) {
    // Standard error may be closed; the exit code remains.
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// Sets when to use colour. What is typed decides, then `NO_COLOR`, then `FORCE_COLOR`, then
/// `CLICOLOR` and `CLICOLOR_FORCE`, then whether the destination is a terminal, of which `TERM` says
/// that it has colour, or in CI any. An empty `TERM` is as one that is not set.
///
/// <https://no-color.org>, <https://force-color.org>
fn set_color(color: Color) {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_forced = std::env::var_os("FORCE_COLOR").is_some_and(|value| !value.is_empty() && value != "0");
    let has_no_term = std::env::var_os("TERM").is_some_and(|term| term.is_empty());
    let is_wanted = is_set("CLICOLOR_FORCE")
        || std::env::var_os("CLICOLOR").is_some_and(|value| value != "0")
        || std::env::var_os("CI").is_some();
    let choice = match color {
        Color::Always => ColorChoice::AlwaysAnsi,
        Color::Never => ColorChoice::Never,
        Color::Auto if is_set("NO_COLOR") => ColorChoice::Never,
        Color::Auto if is_forced => ColorChoice::AlwaysAnsi,
        Color::Auto if has_no_term && !is_wanted => ColorChoice::Never,
        Color::Auto => ColorChoice::Auto,
    };
    choice.write_global();
}
