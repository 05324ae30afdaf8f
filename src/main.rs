//! The door: parse, run, print the error, exit.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use eks_netcheck::cli::Cli;
use eks_netcheck::exit::Exit;
use eks_netcheck::report::text::escape;

fn main() -> ExitCode {
    let exit = eks_netcheck::run::run(Cli::parse()).unwrap_or_else(|error| {
        let message = format!("{error:#}");
        let exit = Exit::of(&error);
        // Nobody is left to tell if standard error is gone.
        let _ = writeln!(anstream::stderr(), "error: {}", escape(&message));
        exit
    });
    exit.into()
}
