//! The commands of `policy`.

use std::path::PathBuf;

use clap::Subcommand;

use crate::cli::options::Options;

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Write a policy file with the defaults, and the other settings commented out
    Init {
        /// The file, which must not exist yet; - for standard output
        #[arg(default_value = "eks-netcheck.toml")]
        file: PathBuf,
    },
    /// Check policy files: syntax, names, and entries that have expired
    Check {
        /// The files; without one, eks-netcheck.toml in this directory or one above it
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

impl PolicyCommand {
    pub(super) fn into_options(self) -> Options {
        match self {
            Self::Init { file } => Options::PolicyInit(file),
            Self::Check { files } => Options::PolicyCheck(files),
        }
    }
}
