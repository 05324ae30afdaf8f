//! The arguments of `diff`.

use std::path::PathBuf;

use clap::Args;

use super::after;
use crate::cli::options::{DiffOptions, WriteTo};
use crate::cli::values::{format_of, write_to};
use crate::report;
use crate::report::format::{TraceFormat, TraceWrite};

#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// An evidence directory, or a file of `ss -tnp`; - for standard input
    before: PathBuf,
    /// Another of the same nodes, recorded later
    after: PathBuf,
    /// The format on standard output
    #[arg(long, value_name = "FORMAT", value_parser = format_of(&report::TRACE_FORMATS), default_value = "table", help_heading = after::OUTPUT)]
    format: &'static TraceFormat,
    /// Write the report to a file as well, such as json=diff.json; may be repeated
    #[arg(long, value_name = "FORMAT=FILE", value_parser = write_to(&report::TRACE_FORMATS), help_heading = after::OUTPUT)]
    write: Vec<WriteTo<TraceWrite>>,
}

impl DiffArgs {
    pub(super) fn into_options(self) -> DiffOptions {
        DiffOptions { before: self.before, after: self.after, format: self.format, write: self.write }
    }
}
