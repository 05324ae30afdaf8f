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

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches};

use self::args::Cli;
use self::args::after::{NAME, USAGES};
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
    let refined = |error| Refusal::Clap(refined(error, &args));
    let matches = command(args.first()).try_get_matches_from(&args).map_err(refined)?;
    let cli = Cli::from_arg_matches(&matches).map_err(refined)?;
    let color = cli.color;
    Ok((cli.into_options().map_err(Refusal::Options)?, color))
}

/// The command, whose usages have the name of the program.
fn command(program: Option<&OsString>) -> clap::Command {
    let name = program.and_then(|program| Path::new(program).file_name()?.to_str());
    let renamed = name.filter(|name| *name != NAME);
    USAGES.into_iter().fold(Cli::command(), |command, (subcommand, usage)| match renamed {
        Some(name) => {
            command.mut_subcommand(subcommand, |command| command.override_usage(usage.replace(NAME, name)))
        }
        None => command,
    })
}

/// What was typed to run a program that is a plugin of kubectl: `kubectl eks-netcheck` for
/// `kubectl-eks_netcheck`, for help and errors.
fn as_plugin(program: &OsStr) -> Option<OsString> {
    let name = Path::new(program).file_name()?.to_str()?.strip_prefix("kubectl-")?;
    Some(format!("kubectl {}", name.replace('-', " ").replace('_', "-")).into())
}

/// An error whose commands are those of the plugin of kubectl, if `program` is run as one.
#[must_use]
pub fn as_typed(error: String, program: Option<&OsString>) -> String {
    let Some(plugin) = program.and_then(|program| as_plugin(program)) else { return error };
    Cli::command().get_subcommands().fold(error, |error, command| {
        let name = command.get_name();
        error.replace(&format!("{NAME} {name}"), &format!("{} {name}", plugin.display()))
    })
}

/// An error of clap without what was not typed: of the options that conflict with one, clap lists
/// all of a group, and the shell that it suggests is the most similar one, however different.
fn refined(mut error: clap::Error, args: &[OsString]) -> clap::Error {
    let is_typed = |option: &String| {
        let name = option.split([' ', '=', '[']).next().unwrap_or_default();
        let is_name =
            |arg: &str| arg == name || arg.strip_prefix(name).is_some_and(|rest| rest.starts_with('='));
        args.iter().any(|arg| arg.to_str().is_some_and(is_name))
    };
    if let Some(ContextValue::Strings(options)) = error.get(ContextKind::PriorArg) {
        let typed: Vec<_> = options.iter().filter(|option| is_typed(option)).cloned().collect();
        match typed.as_slice() {
            [] => {}
            [only] => drop(error.insert(ContextKind::PriorArg, ContextValue::String(only.clone()))),
            _ => drop(error.insert(ContextKind::PriorArg, ContextValue::Strings(typed))),
        }
    }
    let of_shell = |error: &clap::Error| {
        let is_shell =
            matches!(error.get(ContextKind::InvalidArg), Some(ContextValue::String(arg)) if arg == "<SHELL>");
        match (error.get(ContextKind::InvalidValue), error.get(ContextKind::SuggestedValue)) {
            (Some(ContextValue::String(typed)), Some(ContextValue::String(suggested))) if is_shell => {
                typed.chars().next() != suggested.chars().next()
            }
            _ => false,
        }
    };
    if of_shell(&error) {
        drop(error.remove(ContextKind::SuggestedValue));
    }
    if let Some(tip) = meant(&error, args) {
        drop(error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()])));
    }
    error
}

/// How a file is named to the command, for an error about one that is named otherwise. clap would
/// suggest to pass the option as the name of a file.
fn meant(error: &clap::Error, args: &[OsString]) -> Option<&'static str> {
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let Some(ContextValue::String(arg)) = error.get(ContextKind::InvalidArg) else { return None };
    let words: Vec<_> = args.iter().skip(1).filter_map(|arg| arg.to_str()).collect();
    let is_policy = |command: &str| words.windows(2).any(|pair| pair == ["policy", command]);
    match arg.as_str() {
        "--policy" | "--file" if is_policy("check") => {
            Some("the files are arguments without an option: policy check FILE")
        }
        "--policy" | "--file" | "--out" if is_policy("init") => {
            Some("the file is an argument without an option: policy init FILE")
        }
        arg if !arg.starts_with('-')
            && words.iter().find(|word| !word.starts_with('-')) == Some(&"audit") =>
        {
            Some(
                "a cluster is passed with --cluster, recorded evidence with --evidence, a policy with --policy",
            )
        }
        _ => None,
    }
}
