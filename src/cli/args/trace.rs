//! The arguments of `trace`.

use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::after;
use super::collection::{AwsArgs, CollectionArgs, cluster_options};
use super::verbosity::VerbosityArgs;
use crate::cli::durations::duration;
use crate::cli::options::{JudgmentOptions, TraceOptions, WriteTo};
use crate::cli::values::{FailOnArg, Nodes, format_of, write_to};
use crate::model::name::NodeName;
use crate::model::selection::Selection;
use crate::report;
use crate::report::format::{TraceFormat, TraceWrite};

/// The times between two samples: samples closer together would only wait for each other.
const INTERVALS: RangeInclusive<Duration> = Duration::from_millis(20)..=Duration::from_hours(1);
/// The times before and after a command.
const SETTLES: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(1);

#[derive(Debug, Args)]
pub(super) struct TraceArgs {
    /// The cluster's name, case-sensitive
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new(), help_heading = after::SAMPLING)]
    pub(super) cluster: String,
    /// The time between two samples, such as 1 (second), 500ms or 5m; from 20ms to 1h; longer on a node where a sample takes long, and during a command at most 50ms on a node that does not report closed sockets
    #[arg(long, value_name = "DURATION", default_value = "200ms", value_parser = duration(INTERVALS), help_heading = after::SAMPLING)]
    interval: Duration,
    /// How long nodes are sampled before the command, and again after it, such as 30 (seconds), 30s or 5m; at most 1h
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration(SETTLES), help_heading = after::SAMPLING)]
    settle: Duration,
    /// Sample this node only; may be repeated
    #[arg(long, value_name = "NODE", help_heading = after::SAMPLING)]
    only: Vec<NodeName>,
    #[command(flatten)]
    pub(super) aws: AwsArgs,
    #[command(flatten)]
    pub(super) collection: CollectionArgs,
    /// Judge the sampled sockets as audit does: exit with 1 on findings of this severity or a higher one, with 3 if evidence is missing
    #[arg(long, value_name = "SEVERITY", value_enum, help_heading = after::JUDGING)]
    fail_on: Option<FailOnArg>,
    /// The policy file to judge by, or - for standard input; without it, eks-netcheck.toml in this directory or one above it
    #[arg(long, value_name = "FILE", requires = "fail_on", help_heading = after::JUDGING)]
    policy: Option<PathBuf>,
    /// The format on standard output
    #[arg(long, value_name = "FORMAT", value_parser = format_of(&report::TRACE_FORMATS), default_value = "table", help_heading = after::OUTPUT)]
    format: &'static TraceFormat,
    /// Write the report to a file as well, such as json=trace.json; may be repeated
    #[arg(long, value_name = "FORMAT=FILE", value_parser = write_to(&report::TRACE_FORMATS), help_heading = after::OUTPUT)]
    write: Vec<WriteTo<TraceWrite>>,
    #[command(flatten)]
    pub(super) verbosity: VerbosityArgs,
    /// The command and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl TraceArgs {
    pub(super) fn into_options(self) -> Result<TraceOptions, String> {
        if self.collection.nodes.contains(&Nodes::Ssm) {
            let reason =
                "Run Command runs a command once and returns its output seconds later, so it cannot sample";
            return Err(format!("--nodes ssm: {reason}; trace with --nodes ssh"));
        }
        let policy = self.policy;
        Ok(TraceOptions {
            cluster: cluster_options(self.cluster, self.aws, self.collection)?,
            interval: self.interval,
            settle: self.settle,
            only: self.only,
            judgment: self.fail_on.map(|fail_on| JudgmentOptions {
                fail_on: Some(fail_on.threshold()),
                policy,
                selection: Selection::default(),
            }),
            format: self.format,
            write: self.write,
            verbosity: self.verbosity.into(),
            command: self.command,
        })
    }
}
