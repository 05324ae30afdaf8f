//! The commands of `policy`.

use std::path::PathBuf;

use clap::Subcommand;

use super::after;
use crate::cli::options::{Options, PolicyCheckOptions};

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Write a policy file with the defaults, and the other settings commented out
    #[command(after_long_help = after::POLICY_INIT.long())]
    Init {
        /// The file, which must not exist yet; - for standard output
        #[arg(default_value = "eks-netcheck.toml")]
        file: PathBuf,
    },
    /// Check policy files: syntax, names, and entries that have expired
    #[command(after_help = after::POLICY_CHECK.short(), after_long_help = after::POLICY_CHECK.long())]
    Check {
        /// The files; without one, eks-netcheck.toml in this directory or one above it
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Exit with 1 if a waiver, an accepted gap or an allowed block has expired, or soon will
        #[arg(long, help_heading = after::OPTIONS)]
        strict: bool,
        /// How many days before its expiry an entry is listed by --strict
        #[arg(long, value_name = "DAYS", default_value_t = 14, value_parser = clap::value_parser!(u16).range(0..=3650), requires = "strict", help_heading = after::OPTIONS)]
        within: u16,
    },
}

impl PolicyCommand {
    pub(super) fn into_options(self) -> Options {
        match self {
            Self::Init { file } => Options::PolicyInit(file),
            Self::Check { files, strict, within } => {
                Options::PolicyCheck(PolicyCheckOptions { files, strict, within })
            }
        }
    }
}
