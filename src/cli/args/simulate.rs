//! The arguments of `simulate`.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args};

use super::after;
use super::collection::{AwsArgs, CollectionArgs, cluster_options, named};
use super::verbosity::VerbosityArgs;
use crate::cli::options::{ChangeSource, ClusterSource, SimulateOptions, WriteTo};
use crate::cli::values::{
    AccessArg, ClientArg, format_of, named_clients, public_block, public_blocks, write_to,
};
use crate::model::simulation::AccessChange;
use crate::report;
use crate::report::format::{SimulationFormat, SimulationWrite};

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").args(["cluster", "evidence"]).required(true).multiple(true)))]
#[command(group(ArgGroup::new("change").args(["access", "public_cidrs", "plan"]).required(true).multiple(true)))]
pub(super) struct SimulateArgs {
    /// The cluster's name, case-sensitive; may be left out with --evidence
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new(), help_heading = after::CHANGE)]
    pub(super) cluster: Option<String>,
    /// Use the evidence recorded in this directory; AWS, DNS and nodes are not queried
    #[arg(long, value_name = "DIR", conflicts_with_all = ["AwsArgs", "CollectionArgs"], help_heading = after::CHANGE)]
    evidence: Option<PathBuf>,
    /// The access mode afterwards; without it, that of today
    #[arg(long, value_name = "MODE", value_enum, help_heading = after::CHANGE)]
    access: Option<AccessArg>,
    /// publicAccessCidrs afterwards: the whole list, separated by commas; without it, that of today
    #[arg(long, value_name = "CIDR,...", value_delimiter = ',', value_parser = public_block, help_heading = after::CHANGE)]
    public_cidrs: Vec<ipnet::IpNet>,
    /// Read both from a Terraform plan, as `terraform show -json` prints it; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["access", "public_cidrs"], help_heading = after::CHANGE)]
    plan: Option<PathBuf>,
    /// A client that is not recorded, such as a CI runner, a VPN or a bastion, with its addresses as the endpoint or the VPC sees them; `here` is this machine; may be repeated
    #[arg(long, value_name = "NAME=CIDR,...", help_heading = after::CHANGE)]
    client: Vec<ClientArg>,
    #[command(flatten)]
    pub(super) aws: AwsArgs,
    #[command(flatten)]
    pub(super) collection: CollectionArgs,
    /// The format on standard output
    #[arg(long, value_name = "FORMAT", value_parser = format_of(&report::SIMULATION_FORMATS), default_value = "table", help_heading = after::OUTPUT)]
    format: &'static SimulationFormat,
    /// Write the report to a file as well, such as markdown=change.md; may be repeated
    #[arg(long, value_name = "FORMAT=FILE", value_parser = write_to(&report::SIMULATION_FORMATS), help_heading = after::OUTPUT)]
    write: Vec<WriteTo<SimulationWrite>>,
    #[command(flatten)]
    pub(super) verbosity: VerbosityArgs,
}

impl SimulateArgs {
    pub(super) fn into_options(self) -> Result<SimulateOptions, String> {
        let mode = self.access.map(AccessArg::mode);
        let cidrs = (!self.public_cidrs.is_empty()).then_some(self.public_cidrs);
        if let Some(cidrs) = &cidrs {
            public_blocks(cidrs)?;
            if mode.is_some_and(|mode| !mode.public()) {
                return Err("--public-cidrs: with --access private the public endpoint is off, and publicAccessCidrs has no effect; leave it out".to_owned());
            }
        }
        let source = if let Some(dir) = self.evidence {
            ClusterSource::Recorded { dir, cluster: self.cluster }
        } else {
            let options = cluster_options(named(self.cluster)?, self.aws, self.collection)?;
            ClusterSource::Live(Box::new(options))
        };
        Ok(SimulateOptions {
            source,
            change: self.plan.map_or(ChangeSource::Named(AccessChange { mode, cidrs }), ChangeSource::Plan),
            clients: named_clients(self.client)?,
            format: self.format,
            write: self.write,
            verbosity: self.verbosity.into(),
        })
    }
}
