//! The command line: every clap type and nothing else.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::model::verdict::Severity;

const EXIT_CODES: &str = "\
Exit codes:
  0  judged, and nothing at or above --fail-on
  1  judged, and findings at or above --fail-on
  2  usage or configuration: bad flag, malformed evidence
  3  could not judge: something was not seen that a rule at or above --fail-on needed
  4  nothing to judge: no cluster or file matched
Something that was not seen is never a pass.";

/// Does the traffic between your EKS nodes and the Kubernetes API server go
/// over the public endpoint or over the private, EKS-owned network interfaces,
/// and who can reach that endpoint?
#[derive(Debug, Parser)]
#[command(name = "eks-netcheck", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Judge a cluster's endpoint access and its nodes' paths to the API server
    #[command(after_help = EXIT_CODES)]
    Audit(AuditArgs),
    /// Say what a rule finds, why it matters and how to mend it
    Explain {
        /// The rule's id; without one, all rules are listed
        rule: Option<String>,
    },
}

/// Arguments of `audit`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// The cluster's name, case-sensitive
    #[arg(long, value_name = "NAME")]
    pub cluster: String,
    /// Judge the evidence recorded in this directory: no AWS, DNS or ssh
    #[arg(long, value_name = "DIR")]
    pub evidence: PathBuf,
    /// Exit with 1 on findings of this severity or a higher one
    #[arg(long, value_name = "SEVERITY", value_enum, default_value_t = FailOn::High)]
    pub fail_on: FailOn,
    /// The format on standard output
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Write the report to a file as well, such as json=report.json; may be repeated
    #[arg(long, value_name = "FORMAT=FILE")]
    pub write: Vec<WriteTo>,
    /// Say more on standard error: each line of a capture that is no socket
    #[arg(short, long, action = ArgAction::SetTrue)]
    pub verbose: bool,
}

/// The formats of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// For programs, schema eks-netcheck.report.v1
    Json,
}

/// A format and the file it goes to.
#[derive(Debug, Clone)]
pub struct WriteTo {
    /// The format.
    pub format: Format,
    /// The file.
    pub file: PathBuf,
}

impl FromStr for WriteTo {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (format, file) = text.split_once('=').ok_or("it takes FORMAT=FILE, such as json=report.json")?;
        if file.is_empty() {
            return Err("no file after the `=`".to_owned());
        }
        Ok(Self { format: Format::from_str(format, false)?, file: file.into() })
    }
}

/// The severity from which findings fail the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "they would be shown as help and say nothing more")]
pub enum FailOn {
    Critical,
    High,
    Medium,
    Low,
    Never,
}

impl FailOn {
    /// The severity; `None` for never.
    #[must_use]
    pub fn threshold(self) -> Option<Severity> {
        match self {
            Self::Critical => Some(Severity::Critical),
            Self::High => Some(Severity::High),
            Self::Medium => Some(Severity::Medium),
            Self::Low => Some(Severity::Low),
            Self::Never => None,
        }
    }
}
