//! What was typed: clap's types, and their conversion to [`options`](super::options).
//! One file for each command that has options, and for options that several have.

pub(super) mod after;
mod audit;
mod collect;
mod collection;
mod diff;
mod fleet;
mod policy;
mod reach;
mod simulate;
mod trace;
mod verbosity;

use std::path::PathBuf;

use clap::builder::Styles;
use clap::builder::styling::AnsiColor;
use clap::{ArgAction, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use self::audit::AuditArgs;
use self::collect::CollectArgs;
use self::collection::{cluster_options, named};
use self::diff::DiffArgs;
use self::policy::PolicyCommand;
use self::reach::ReachArgs;
use self::simulate::SimulateArgs;
use self::trace::TraceArgs;
use self::verbosity::VerbosityArgs;
use super::color::Color;
use super::options::{ClusterOptions, DryRunOptions, ExplainOptions, Options};
use super::pages::{completions, manual_pages};
use super::rule_ids::RuleId;
use super::values::{NodesWithPermissions, NodesWithRights, S3Arg, format_of, kubernetes_name, ssm_document};
use crate::model::name::SSM_DOCUMENT;
use crate::model::rule::Rule;
use crate::model::service_account::ServiceAccount;
use crate::report;
use crate::report::format::ExplainFormat;

/// The version with the commit and what is built in, which the build script tells.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("EKS_NETCHECK_BUILD"), ")");

/// The colours of cargo's help and errors.
const STYLES: Styles = Styles::styled()
    .header(AnsiColor::BrightGreen.on_default().bold())
    .usage(AnsiColor::BrightGreen.on_default().bold())
    .literal(AnsiColor::BrightCyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default())
    .error(AnsiColor::Red.on_default().bold())
    .valid(AnsiColor::BrightCyan.on_default().bold())
    .invalid(AnsiColor::Yellow.on_default().bold());

/// Shows whether the traffic between EKS nodes and the Kubernetes API server goes over the
/// public endpoint or over the private, EKS-owned network interfaces, and who can reach that
/// endpoint.
#[derive(Debug, Parser)]
#[command(
    name = "eks-netcheck",
    version = VERSION,
    styles = STYLES,
    disable_help_flag = true,
    disable_version_flag = true,
    after_help = after::TOOL.short(),
    after_long_help = after::TOOL.long(),
)]
pub(super) struct Cli {
    /// When to use colour; auto is on a terminal that has it, unless `NO_COLOR` or `FORCE_COLOR` decides
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t, help_heading = after::OPTIONS, display_order = 100)]
    pub(super) color: Color,
    #[arg(
        help = "Print help (see more with '--help')",
        long_help = "Print help (see a summary with '-h')",
        short, long, global = true, action = ArgAction::Help, help_heading = after::OPTIONS, display_order = 101)]
    help: Option<bool>,
    /// Print version
    #[arg(short = 'V', long, action = ArgAction::Version, help_heading = after::OPTIONS, display_order = 102)]
    version: Option<bool>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Judge a cluster's endpoint access and its nodes' paths to the API server
    #[command(override_usage = after::AUDIT_USAGE, after_help = after::AUDIT.short(), after_long_help = after::AUDIT.long())]
    Audit(AuditArgs),
    /// Record the evidence that `audit` uses, to judge or send it later
    #[command(after_help = after::COLLECT.short(), after_long_help = after::COLLECT.long())]
    Collect(CollectArgs),
    /// Sample the nodes' sockets before, during and after a command
    #[command(after_help = after::TRACE.short(), after_long_help = after::TRACE.long())]
    Trace(TraceArgs),
    /// Predict what a change of endpoint access would do to each client of the API server
    #[command(override_usage = after::SIMULATE_USAGE, after_help = after::SIMULATE.short(), after_long_help = after::SIMULATE.long())]
    Simulate(SimulateArgs),
    /// Compare the sockets of two recordings: which connections appeared and went, and their paths
    #[command(after_help = after::DIFF.short(), after_long_help = after::DIFF.long())]
    Diff(DiffArgs),
    /// Tell whether a place can reach the API server endpoint, and if not, why
    #[command(after_help = after::REACH.short(), after_long_help = after::REACH.long())]
    Reach(ReachArgs),
    /// Print the minimal IAM policy that `audit` and `collect` need
    #[command(after_long_help = after::IAM_POLICY.long())]
    IamPolicy {
        /// Print what reading nodes this way needs in addition, separately
        #[arg(long, value_name = "HOW", value_enum, help_heading = after::OPTIONS)]
        nodes: Option<NodesWithPermissions>,
        /// The command document that may be run
        #[arg(long, value_name = "NAME", value_parser = ssm_document, default_value = SSM_DOCUMENT, requires = "nodes", help_heading = after::OPTIONS)]
        ssm_document: String,
        /// The bucket whose objects may be read, as in the option of `audit`
        #[arg(long, value_name = "s3://BUCKET[/PREFIX]", requires = "nodes", help_heading = after::OPTIONS)]
        ssm_output: Option<S3Arg>,
    },
    /// Print the command document of AWS Systems Manager that `--nodes ssm` runs
    #[command(after_long_help = after::SSM_DOCUMENT.long())]
    SsmDocument,
    /// Print the least rights in the cluster that `--nodes kubectl` needs: roles with bindings for the group eks-netcheck
    /// or for a service account
    #[command(after_long_help = after::RBAC.long())]
    Rbac {
        /// How nodes are read, as in the option of `audit`
        #[arg(long, value_name = "HOW", value_enum, default_value_t = NodesWithRights::Kubectl, help_heading = after::OPTIONS)]
        nodes: NodesWithRights,
        /// The namespace of the Jobs
        #[arg(long, value_name = "NAMESPACE", default_value = "kube-system", value_parser = kubernetes_name, help_heading = after::OPTIONS)]
        namespace: String,
        /// Bind the roles to this service account, with which eks-netcheck runs in the cluster, instead of the group
        #[arg(long, value_name = "NAMESPACE:NAME", help_heading = after::OPTIONS)]
        service_account: Option<ServiceAccount>,
    },
    /// Describe a rule: what it finds, why that matters and how to fix it
    #[command(after_long_help = after::EXPLAIN.long())]
    Explain {
        /// The rule's id; without one, all rules are listed
        #[arg(value_parser = RuleId, hide_possible_values = true)]
        rule: Option<&'static Rule>,
        /// The format
        #[arg(long, value_name = "FORMAT", value_parser = format_of(&report::EXPLAIN_FORMATS), default_value = "text", help_heading = after::OPTIONS)]
        format: &'static ExplainFormat,
    },
    /// Write a policy and a workflow of GitHub Actions that audits by it
    #[command(after_long_help = after::INIT.long())]
    Init,
    /// Write or check a policy file: thresholds, expectations and waivers
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Print the completion script for a shell
    #[command(after_long_help = after::COMPLETIONS.long())]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print a manual page, or write all of them
    #[command(after_long_help = after::MAN.long())]
    Man {
        /// The command that the page is of, such as policy check; without it, the tool
        #[arg(conflicts_with = "out")]
        command: Vec<String>,
        /// Write all pages to this directory, which is created if it does not exist
        #[arg(long, value_name = "DIR", help_heading = after::OPTIONS)]
        out: Option<PathBuf>,
    },
}

impl Cli {
    /// What the arguments mean.
    pub(super) fn into_options(self) -> Result<Options, String> {
        Ok(match self.command {
            Command::Audit(args) if args.collection.dry_run => {
                let [cluster] = args.cluster.as_slice() else {
                    return Err("--dry-run is for one cluster".to_owned());
                };
                let cluster = args.fleet.into_cluster(cluster.clone(), args.collection)?;
                dry_run(cluster, false, args.verbosity)
            }
            Command::Collect(args) if args.collection.dry_run => {
                dry_run(cluster_options(args.cluster, args.aws, args.collection)?, false, args.verbosity)
            }
            Command::Trace(args) if args.collection.dry_run => {
                dry_run(cluster_options(args.cluster, args.aws, args.collection)?, true, args.verbosity)
            }
            Command::Simulate(args) if args.collection.dry_run => dry_run(
                cluster_options(named(args.cluster)?, args.aws, args.collection)?,
                false,
                args.verbosity,
            ),
            Command::Audit(args) => Options::Audit(args.into_options()?),
            Command::Simulate(args) => Options::Simulate(args.into_options()?),
            Command::Rbac { nodes, namespace, service_account } => {
                Options::Rbac { pods: nodes.into(), namespace, service_account }
            }
            Command::Collect(args) => Options::Collect(args.into_options()?),
            Command::Trace(args) => Options::Trace(args.into_options()?),
            Command::Diff(args) => Options::Diff(args.into_options()),
            Command::Reach(args) => Options::Reach(args.into_options()?),
            Command::IamPolicy { nodes: None, .. } => Options::IamPolicy,
            Command::IamPolicy { nodes: Some(NodesWithPermissions::Ssm), ssm_document, ssm_output } => {
                let output = ssm_output.map(|output| (output.bucket, output.prefix));
                Options::SsmPolicy { document: ssm_document, output }
            }
            Command::SsmDocument => Options::SsmDocument,
            Command::Explain { rule, format } => Options::Explain(ExplainOptions { rule, format }),
            Command::Init => Options::Init,
            Command::Policy(command) => command.into_options(),
            Command::Completions { shell } => Options::Generated(completions(Self::command(), shell)),
            Command::Man { out: Some(out), .. } => {
                Options::ManualPages { out, pages: manual_pages(Self::command(), None) }
            }
            Command::Man { command, out: None } => {
                let page = manual_pages(Self::command(), Some(&command)).pop().ok_or_else(|| {
                    let command = command.join(" ");
                    format!("there is no command {command:?}; `eks-netcheck --help` lists the commands")
                })?;
                Options::Generated(page.text)
            }
        })
    }
}

fn dry_run(cluster: ClusterOptions, is_trace: bool, verbosity: VerbosityArgs) -> Options {
    Options::DryRun(DryRunOptions { cluster, is_trace, verbosity: verbosity.into() })
}
