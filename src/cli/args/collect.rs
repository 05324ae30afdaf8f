//! The arguments of `collect`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::collection::{AwsArgs, CollectionArgs, cluster_options};
use super::verbosity::VerbosityArgs;
use crate::cli::options::CollectOptions;

pub(super) const COLLECT_HELP: &str = "\
Judge it with: eks-netcheck audit --evidence DIR

Exit codes:
  0   recorded, and nothing is missing that was requested
  2   usage or configuration: bad flag, no region, a directory that is not empty
  3   something is missing, as listed in manifest.json: a node that could not be read,
      an answer of AWS or DNS; or the cluster could not be described
  4   no such cluster";

#[derive(Debug, Args)]
pub(super) struct CollectArgs {
    /// The cluster's name, case-sensitive
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(super) cluster: String,
    /// The directory to write: a new or an empty one
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    pub(super) aws: AwsArgs,
    #[command(flatten)]
    pub(super) collection: CollectionArgs,
    #[command(flatten)]
    pub(super) verbosity: VerbosityArgs,
}

impl CollectArgs {
    pub(super) fn into_options(self) -> Result<CollectOptions, String> {
        Ok(CollectOptions {
            cluster: cluster_options(self.cluster, self.aws, self.collection)?,
            out: self.out,
            verbosity: self.verbosity.into(),
        })
    }
}
