//! The command line. `args` is what was typed, as clap's types; [`options`] is what it
//! means, and the only part that the rest of the program uses.

mod args;
pub mod color;
mod durations;
pub mod options;
mod pages;
mod rule_ids;
mod values;

use std::ffi::{OsStr, OsString};
use std::path::Path;

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
    let mut args: Vec<_> = args.into_iter().collect();
    if let Some(plugin) = args.first().and_then(|program| as_plugin(program)) {
        args[0] = plugin;
    }
    let cli = Cli::try_parse_from(args).map_err(Refusal::Clap)?;
    let color = cli.color;
    Ok((cli.into_options().map_err(Refusal::Options)?, color))
}

/// What was typed to run a program that is a plugin of kubectl: `kubectl eks-netcheck` for
/// `kubectl-eks_netcheck`, for help and errors.
fn as_plugin(program: &OsStr) -> Option<OsString> {
    let name = Path::new(program).file_name()?.to_str()?.strip_prefix("kubectl-")?;
    Some(format!("kubectl {}", name.replace('-', " ").replace('_', "-")).into())
}
