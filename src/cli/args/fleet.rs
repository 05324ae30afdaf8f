//! The AWS configuration of `audit`, which can be of several accounts and regions.

use std::path::PathBuf;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::after;
use super::collection::{AwsArgs, CollectionArgs, cluster_options};
use crate::cli::options::{ClusterOptions, Clusters, FleetOptions, Regions, role_arn};

/// The AWS configuration for clusters of several accounts and regions.
#[derive(Debug, Args)]
pub(super) struct FleetArgs {
    /// The clusters' region; may be repeated, or all
    #[arg(long, value_name = "REGION", value_parser = NonEmptyStringValueParser::new(), help_heading = after::AWS)]
    region: Vec<String>,
    /// A profile of ~/.aws/config
    #[arg(long, value_name = "PROFILE", value_parser = NonEmptyStringValueParser::new(), help_heading = after::AWS)]
    profile: Option<String>,
    /// A role to assume; may be repeated, one for each account
    #[arg(long, value_name = "ARN", value_parser = role_arn, help_heading = after::AWS)]
    role_arn: Vec<String>,
    /// A file of roles, or - for standard input, one role for each account: an ARN on each line, and comments after #
    #[arg(long, value_name = "FILE", help_heading = after::AWS)]
    pub(super) accounts: Option<PathBuf>,
}

impl FleetArgs {
    /// The options of one cluster.
    pub(super) fn into_cluster(
        self,
        name: String,
        collection: CollectionArgs,
    ) -> Result<ClusterOptions, String> {
        let Self { region, profile, role_arn, accounts } = self;
        if region.len() > 1
            || role_arn.len() > 1
            || accounts.is_some()
            || region.iter().any(|one| one == "all")
        {
            return Err("--dry-run is for one cluster".to_owned());
        }
        let aws =
            AwsArgs { region: region.into_iter().next(), profile, role_arn: role_arn.into_iter().next() };
        cluster_options(name, aws, collection)
    }

    pub(super) fn into_options(
        self,
        clusters: Clusters,
        collection: CollectionArgs,
    ) -> Result<FleetOptions, String> {
        let regions = match self.region.as_slice() {
            [] => Regions::Configured,
            regions if regions.iter().any(|region| region == "all") => Regions::All,
            _ => Regions::Named(self.region.into_iter().collect()),
        };
        let names_context = collection.context.is_some();
        let options = FleetOptions {
            clusters,
            regions,
            profile: self.profile,
            roles: self.role_arn,
            accounts: self.accounts,
            bundles: Vec::new(),
            collection: collection.into_options()?,
        };
        let names_nodes = options.collection.nodes.as_ref().is_some_and(|nodes| !nodes.named.is_empty());
        if options.is_many() && names_context {
            return Err("--context is for one cluster; of several, the context of each is found".to_owned());
        }
        if options.is_many() && names_nodes {
            return Err("--node is for one cluster; of several, the nodes that EC2 lists are read".to_owned());
        }
        Ok(options)
    }
}
