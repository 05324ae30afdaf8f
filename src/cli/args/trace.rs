//! The arguments of `trace`.

use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::collection::{AwsArgs, CollectionArgs, cluster_options};
use super::verbosity::VerbosityArgs;
use crate::cli::durations::duration;
use crate::cli::options::{JudgmentOptions, TraceOptions, WriteTo};
use crate::cli::values::{FailOnArg, Nodes, format_of, write_to};
use crate::model::name::NodeName;
use crate::model::selection::Selection;
use crate::report;
use crate::report::format::{TraceFormat, TraceWrite};

pub(super) const TRACE_HELP: &str = "\
The command has the terminal to itself while it runs; the report follows it.
Without a command, nodes are sampled until Ctrl-C.

  eks-netcheck trace --cluster myeks -- \\
    kubectl exec ds/aws-node -n kube-system -c aws-eks-nodeagent -it -- bash

Exit codes:
  that of the command, 128 and the number of the signal that ended it, or 126 or
     127 if it cannot be run; with --fail-on:
  1  findings at or above the threshold
  3  could not judge: a node was not sampled, or not until the end
  without a command 0, and for errors before it runs:
  2  usage or configuration
  3  no node can be sampled
  4  no such cluster";

/// The times between two samples: samples closer together would only wait for each other.
const INTERVALS: RangeInclusive<Duration> = Duration::from_millis(20)..=Duration::from_hours(1);
/// The times before and after a command.
const SETTLES: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(1);

#[derive(Debug, Args)]
pub(super) struct TraceArgs {
    /// The cluster's name, case-sensitive
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(super) cluster: String,
    /// The time between two samples, at least 20ms; longer on a node where a sample takes long, and during a command at most 50ms on a node that does not report closed sockets
    #[arg(long, value_name = "DURATION", default_value = "200ms", value_parser = duration(INTERVALS))]
    interval: Duration,
    /// How long nodes are sampled before the command, and again after it
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration(SETTLES))]
    settle: Duration,
    /// Sample this node only; may be repeated
    #[arg(long, value_name = "NODE")]
    only: Vec<NodeName>,
    /// Judge the sampled sockets as audit does: exit with 1 on findings of this severity or a higher one, with 3 if evidence is missing
    #[arg(long, value_name = "SEVERITY", value_enum)]
    fail_on: Option<FailOnArg>,
    /// The policy file to judge by, or - for standard input; without it, eks-netcheck.toml in this directory or one above it
    #[arg(long, value_name = "FILE", requires = "fail_on")]
    policy: Option<PathBuf>,
    /// The format on standard output
    #[arg(long, value_name = "FORMAT", value_parser = format_of(&report::TRACE_FORMATS), default_value = "table")]
    format: &'static TraceFormat,
    /// Write the report to a file as well, such as json=trace.json; may be repeated
    #[arg(long, value_name = "FORMAT=FILE", value_parser = write_to(&report::TRACE_FORMATS))]
    write: Vec<WriteTo<TraceWrite>>,
    #[command(flatten)]
    pub(super) aws: AwsArgs,
    #[command(flatten)]
    pub(super) collection: CollectionArgs,
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
