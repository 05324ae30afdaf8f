//! The arguments of `reach`.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args};

use super::after;
use super::collection::{AwsArgs, CollectionArgs, cluster_options, named};
use super::verbosity::VerbosityArgs;
use crate::cli::options::{ClusterSource, NamedPlace, ReachOptions, WriteTo};
use crate::cli::values::{FromArg, format_of, write_to};
use crate::model::seen_from::HERE;
use crate::report;
use crate::report::format::{ReachFormat, ReachWrite};

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").args(["cluster", "evidence"]).required(true).multiple(true)))]
pub(super) struct ReachArgs {
    /// The cluster's name, case-sensitive; may be left out with --evidence
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new(), help_heading = after::PLACE)]
    cluster: Option<String>,
    /// Use the evidence recorded in this directory; AWS, DNS and nodes are not queried
    #[arg(long, value_name = "DIR", conflicts_with_all = ["AwsArgs", "CollectionArgs"], help_heading = after::PLACE)]
    evidence: Option<PathBuf>,
    /// The place: here, a node, an address or a CIDR block
    #[arg(long, value_name = "PLACE", default_value = HERE, help_heading = after::PLACE)]
    from: FromArg,
    #[command(flatten)]
    aws: AwsArgs,
    #[command(flatten)]
    collection: CollectionArgs,
    /// The format on standard output
    #[arg(long, value_name = "FORMAT", value_parser = format_of(&report::REACH_FORMATS), default_value = "table", help_heading = after::OUTPUT)]
    format: &'static ReachFormat,
    /// Write the report to a file as well, such as json=reach.json; may be repeated
    #[arg(long, value_name = "FORMAT=FILE", value_parser = write_to(&report::REACH_FORMATS), help_heading = after::OUTPUT)]
    write: Vec<WriteTo<ReachWrite>>,
    #[command(flatten)]
    verbosity: VerbosityArgs,
}

impl ReachArgs {
    pub(super) fn into_options(self) -> Result<ReachOptions, String> {
        if self.collection.dry_run {
            return Err("--dry-run is for audit, collect and trace".to_owned());
        }
        let from = self.from.0;
        let source = if let Some(dir) = self.evidence {
            ClusterSource::Recorded { dir, cluster: self.cluster }
        } else {
            let mut options = cluster_options(named(self.cluster)?, self.aws, self.collection)?;
            match (&from, &mut options.collection.nodes) {
                (NamedPlace::Node(name), Some(nodes)) => {
                    if nodes.named.iter().any(|(named, _)| named != name) {
                        return Err("--node: reach reads the node of --from alone".to_owned());
                    }
                    if nodes.named.is_empty() {
                        nodes.named.push((name.clone(), None));
                    }
                }
                (_, Some(nodes)) if !nodes.named.is_empty() => {
                    return Err(
                        "--node: reach reads the node of --from alone, and --from names none".to_owned()
                    );
                }
                (_, nodes) => *nodes = None,
            }
            ClusterSource::Live(Box::new(options))
        };
        Ok(ReachOptions {
            source,
            from,
            format: self.format,
            write: self.write,
            verbosity: self.verbosity.into(),
        })
    }
}
