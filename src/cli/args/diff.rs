//! The arguments of `diff`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::options::{DiffOptions, WriteTo};
use crate::cli::values::{format_of, write_to};
use crate::report;
use crate::report::format::{TraceFormat, TraceWrite};

pub(super) const DIFF_HELP: &str = "\
BEFORE and AFTER are evidence directories, or the output of `ss -tnp`: of one node,
or of several, each below a line `>> node NAME <<`. Either can be a pipe, and - is
standard input. AWS, DNS and nodes are not queried: paths come from the evidence, so a
bare file has the paths loopback, other and unattributed only.

  ssh n1 sudo ss -tnp > before
  ssh n1 sudo ss -tnp | eks-netcheck diff before -

Exit codes:
  0  compared, whether or not something changed
  2  usage, or a recording that cannot be read
  3  no node could be compared";

#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// An evidence directory, or a file of `ss -tnp`; - for standard input
    before: PathBuf,
    /// Another of the same nodes, recorded later
    after: PathBuf,
    /// The format on standard output
    #[arg(long, value_name = "FORMAT", value_parser = format_of(&report::TRACE_FORMATS), default_value = "table")]
    format: &'static TraceFormat,
    /// Write the report to a file as well, such as json=diff.json; may be repeated
    #[arg(long, value_name = "FORMAT=FILE", value_parser = write_to(&report::TRACE_FORMATS))]
    write: Vec<WriteTo<TraceWrite>>,
}

impl DiffArgs {
    pub(super) fn into_options(self) -> DiffOptions {
        DiffOptions { before: self.before, after: self.after, format: self.format, write: self.write }
    }
}
