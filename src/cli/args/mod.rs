//! What was typed: clap's types, and their conversion to [`options`](super::options).
//! One file for each command that has options, and for options that several have.

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
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use self::audit::AuditArgs;
use self::collect::{COLLECT_HELP, CollectArgs};
use self::collection::{cluster_options, named};
use self::diff::{DIFF_HELP, DiffArgs};
use self::policy::PolicyCommand;
use self::reach::{REACH_HELP, ReachArgs};
use self::simulate::{SIMULATE_HELP, SimulateArgs};
use self::trace::{TRACE_HELP, TraceArgs};
use self::verbosity::VerbosityArgs;
use super::color::Color;
use super::options::{ClusterOptions, DryRunOptions, ExplainOptions, Options};
use super::pages::{completions, manual_pages};
use super::rule_ids::RuleId;
use super::values::{NodesWithPermissions, S3Arg, format_of, kubernetes_name, ssm_document};
use crate::model::name::SSM_DOCUMENT;
use crate::model::rule::Rule;
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
    .error(AnsiColor::BrightRed.on_default().bold())
    .valid(AnsiColor::BrightCyan.on_default().bold())
    .invalid(AnsiColor::Yellow.on_default().bold());

const EXIT_CODES: &str = "\
Exit codes:
  0   judged, and nothing at or above --fail-on
  1   judged, and findings at or above --fail-on
  2   usage or configuration: bad flag, no region, malformed evidence
  3   could not judge: evidence that a rule at or above --fail-on needs was not seen
  4   nothing to judge: no such cluster, or no cluster where it was queried
  70  a bug in eks-netcheck: please report the line that it prints
Rules that never make a run inconclusive, and gaps that the policy accepts, are listed
and do not change the exit code.";

const SSM_DOCUMENT_HELP: &str = "\
It has no parameters: a user who may run it can read the sockets of nodes, and do
nothing else. Create it once in each account and region:

  eks-netcheck ssm-document > eks-netcheck.json
  aws ssm create-document --name eks-netcheck --document-type Command \\
    --content file://eks-netcheck.json

`eks-netcheck iam-policy --nodes ssm` prints the permissions to run it.";

const INIT_HELP: &str = "\
It asks nothing. It writes eks-netcheck.toml, with the defaults of a policy, and
.github/workflows/eks-netcheck.yml into the working directory, which should be the root
of a repository. If one of them exists, it writes neither.";

const COMPLETIONS_HELP: &str = "\
Examples:
  eks-netcheck completions bash > ~/.local/share/bash-completion/completions/eks-netcheck
  eks-netcheck completions zsh > ~/.zfunc/_eks-netcheck
  eks-netcheck completions fish > ~/.config/fish/completions/eks-netcheck.fish

For zsh, the directory has to be in fpath before compinit is called.";

const MAN_HELP: &str = "\
Examples:
  eks-netcheck man audit | man -l -
  eks-netcheck man --out ~/.local/share/man/man1";

/// Shows whether the traffic between EKS nodes and the Kubernetes API server goes over the
/// public endpoint or over the private, EKS-owned network interfaces, and who can reach that
/// endpoint.
#[derive(Debug, Parser)]
#[command(name = "eks-netcheck", version = VERSION, styles = STYLES, after_help = EXIT_CODES)]
pub(super) struct Cli {
    /// When to use colour; auto is on a terminal that has it, unless `NO_COLOR` or `FORCE_COLOR` decides
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t)]
    pub(super) color: Color,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Judge a cluster's endpoint access and its nodes' paths to the API server
    #[command(after_help = EXIT_CODES)]
    Audit(AuditArgs),
    /// Record the evidence that `audit` uses, to judge or send it later
    #[command(after_help = COLLECT_HELP)]
    Collect(CollectArgs),
    /// Sample the nodes' sockets before, during and after a command
    #[command(after_help = TRACE_HELP)]
    Trace(TraceArgs),
    /// Predict what a change of endpoint access would do to each client of the API server
    #[command(after_help = SIMULATE_HELP)]
    Simulate(SimulateArgs),
    /// Compare the sockets of two recordings: which connections appeared and went, and their paths
    #[command(after_help = DIFF_HELP)]
    Diff(DiffArgs),
    /// Tell whether a place can reach the API server endpoint, and if not, why
    #[command(after_help = REACH_HELP)]
    Reach(ReachArgs),
    /// Print the minimal IAM policy that `audit` and `collect` need
    IamPolicy {
        /// Print what reading nodes this way needs in addition, separately
        #[arg(long, value_name = "HOW", value_enum)]
        nodes: Option<NodesWithPermissions>,
        /// The command document that may be run
        #[arg(long, value_name = "NAME", value_parser = ssm_document, default_value = SSM_DOCUMENT, requires = "nodes")]
        ssm_document: String,
        /// The bucket whose objects may be read, as in the option of `audit`
        #[arg(long, value_name = "s3://BUCKET[/PREFIX]", requires = "nodes")]
        ssm_output: Option<S3Arg>,
    },
    /// Print the command document of AWS Systems Manager that `--nodes ssm` runs
    #[command(after_help = SSM_DOCUMENT_HELP)]
    SsmDocument,
    /// Print the least rights in the cluster that `--nodes kubectl` needs: roles with bindings for the group eks-netcheck
    Rbac {
        /// The namespace of the Jobs
        #[arg(long, value_name = "NAMESPACE", default_value = "kube-system", value_parser = kubernetes_name)]
        namespace: String,
    },
    /// Describe a rule: what it finds, why that matters and how to fix it
    Explain {
        /// The rule's id; without one, all rules are listed
        #[arg(value_parser = RuleId, hide_possible_values = true)]
        rule: Option<&'static Rule>,
        /// The format
        #[arg(long, value_name = "FORMAT", value_parser = format_of(&report::EXPLAIN_FORMATS), default_value = "text")]
        format: &'static ExplainFormat,
    },
    /// Write a policy and a workflow of GitHub Actions that audits by it
    #[command(after_help = INIT_HELP)]
    Init,
    /// Write or check a policy file: thresholds, expectations and waivers
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Print the completion script for a shell
    #[command(after_help = COMPLETIONS_HELP)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print a manual page, or write all of them
    #[command(after_help = MAN_HELP)]
    Man {
        /// The command that the page is of, such as policy check; without it, the tool
        #[arg(conflicts_with = "out")]
        command: Vec<String>,
        /// Write all pages to this directory, which is created if it does not exist
        #[arg(long, value_name = "DIR")]
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
            Command::Rbac { namespace } => Options::Rbac { namespace },
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
