//! The command line. `args` is what was typed, as clap's types; [`options`] is what it
//! means, and the only part that the rest of the program uses.

mod args;
pub mod color;
mod durations;
pub mod options;
mod pages;
mod rule_ids;
mod values;

use std::ffi::OsString;

use clap::Parser;

use self::args::Cli;
use self::color::Color;
use self::options::Options;

/// Why there is nothing to run.
#[derive(Debug)]
pub enum Refusal {
    /// Help or the version was requested, or clap refuses the arguments.
    Clap(clap::Error),
    /// The arguments contradict each other.
    Options(String),
}

/// Parses the arguments of a process, of which the first is its name. Returns what to run, and
/// when to use colour.
///
/// # Errors
/// If there is nothing to run.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<(Options, Color), Refusal> {
    let cli = Cli::try_parse_from(args).map_err(Refusal::Clap)?;
    let color = cli.color;
    Ok((cli.into_options().map_err(Refusal::Options)?, color))
}
