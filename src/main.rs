//! The door: parse, run, print the error, exit.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::Parser;
use eks_netcheck::cli::Cli;
use eks_netcheck::report::text::escape;
use eks_netcheck::run::exit::Exit;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let exit = eks_netcheck::run::run(cli).unwrap_or_else(|error| {
        let message = format!("{error:#}");
        let exit = Exit::of(&error);
        // Nobody is left to tell if standard error is gone.
        let _ = writeln!(anstream::stderr(), "error: {}", escape(&message));
        exit
    });
    exit.into()
}

/// Help that was asked for, or what is wrong with the command line.
fn refuse(error: &clap::Error) -> ExitCode {
    let text = error.render();
    if !error.use_stderr() {
        let mut out = anstream::stdout();
        let written = write!(out, "{}", text.ansi()).and_then(|()| out.flush());
        return match written {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                let _ = writeln!(anstream::stderr(), "error: cannot write to standard output: {error}");
                Exit::Usage.into()
            }
            _ => Exit::Pass.into(),
        };
    }
    // What was typed may have come from elsewhere.
    for line in text.to_string().lines() {
        let _ = writeln!(anstream::stderr(), "{}", escape(line));
    }
    Exit::Usage.into()
}
