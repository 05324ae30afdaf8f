//! How much is written to standard error.

use clap::{ArgAction, Args};

use super::after;
use crate::cli::options::Verbosity;

/// What is written to standard error.
#[derive(Debug, Args)]
pub(super) struct VerbosityArgs {
    /// Write each line of a capture that is not a socket to standard error; twice: also each request and its duration
    #[arg(short, long, action = ArgAction::Count, help_heading = after::OPTIONS)]
    verbose: u8,
    /// Show no progress
    #[arg(short, long, conflicts_with = "verbose", help_heading = after::OPTIONS)]
    quiet: bool,
}

impl From<VerbosityArgs> for Verbosity {
    fn from(args: VerbosityArgs) -> Self {
        match args.verbose {
            0 if args.quiet => Self::Quiet,
            0 => Self::Progress,
            1 => Self::RejectedLines,
            _ => Self::Requests,
        }
    }
}
