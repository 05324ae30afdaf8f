//! The commands. This module is the only one that knows all others.

mod audit;
mod diff;
pub mod exit;
mod explain;
mod github_actions;
pub mod judge;
#[cfg_attr(feature = "live", path = "live.rs")]
#[cfg_attr(not(feature = "live"), path = "no_live.rs")]
mod live;
mod output;
mod policy;
mod report;
#[cfg_attr(not(feature = "live"), path = "no_trace.rs")]
mod trace;

use anyhow::Result;

use self::exit::Exit;
use self::output::to_stdout;
use crate::cli::{Cli, Command};
use crate::evidence::aws::iam::iam_policy;
use crate::report::pretty::write_pretty;

/// Runs a command.
///
/// # Errors
/// Usage, configuration, malformed evidence, and I/O.
pub fn run(cli: Cli) -> Result<Exit> {
    match cli.command {
        Command::Audit(args) => audit::audit(&args),
        Command::Collect(args) => live::collect(&args),
        Command::Trace(args) => trace::trace(&args),
        Command::Diff(args) => diff::diff(&args),
        Command::IamPolicy => {
            to_stdout(|out, _| write_pretty(&iam_policy(), out))?;
            Ok(Exit::Pass)
        }
        Command::Explain { rule } => explain::explain(rule.as_deref()),
        Command::Policy(command) => policy::run(&command),
    }
}
