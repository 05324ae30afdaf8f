//! The arguments of `collect`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::after;
use super::collection::{AwsArgs, CollectionArgs, cluster_options};
use super::verbosity::VerbosityArgs;
use crate::cli::options::CollectOptions;

#[derive(Debug, Args)]
pub(super) struct CollectArgs {
    /// The cluster's name, case-sensitive
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new(), help_heading = after::RECORDING)]
    pub(super) cluster: String,
    /// The directory to write: a new or an empty one
    #[arg(long, value_name = "DIR", help_heading = after::RECORDING)]
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
