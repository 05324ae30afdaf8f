//! What was typed: clap's types, and their conversion to [`options`](super::options).

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgAction, ArgGroup, Args, Parser, Subcommand, ValueEnum};

use super::options::{
    AuditOptions, ChangeSource, ClusterOptions, ClusterSource, Clusters, CollectOptions, CollectionOptions,
    DiffOptions, DryRunOptions, FleetOptions, From, JudgmentOptions, NodeOptions, Options, ReachOptions,
    Regions, SimulateOptions, Source, TraceOptions, TransportOptions, Verbosity, WriteTo, cluster_name,
    role_arn,
};
use super::values::{
    AccessArg, ClientArg, FailOnArg, FromArg, NodeAddressArg, NodeArg, Nodes, NodesWithPermissions, ProbeArg,
    ResolverArg, S3Arg, duration, format_of, image, interval, kubernetes_name, named_clients, public_block,
    public_blocks, ssm_document, write_to,
};
use crate::model::name::{NodeName, SSM_DOCUMENT};
use crate::model::simulation::AccessChange;
use crate::report;
use crate::report::format::{
    AuditFormat, AuditWrite, ReachFormat, ReachWrite, SimulationFormat, SimulationWrite, TraceFormat,
    TraceWrite,
};

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

const COLLECT_HELP: &str = "\
Judge it with: eks-netcheck audit --cluster NAME --evidence DIR

Exit codes:
  0   recorded, and nothing is missing that was requested
  2   usage or configuration: bad flag, no region, a directory that is not empty
  3   something is missing, as listed in manifest.json: a node that could not be read,
      an answer of AWS or DNS; or the cluster could not be described
  4   no such cluster";

const TRACE_HELP: &str = "\
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

const REACH_HELP: &str = "\
The conditions of a connection are judged in the order in which it meets them, and the
first that is not met is the answer. What was seen (an established connection, an answer
to a probe) outranks what is configured. Nodes are not read, except the one of --from.

  eks-netcheck reach --cluster myeks                      can this machine reach it?
  eks-netcheck reach --cluster myeks --from 10.0.1.5      can the bastion?
  eks-netcheck reach --cluster myeks --from 10.8.0.0/16   can the VPN?

Exit codes:
  0  it can
  1  it cannot
  2  usage or configuration: bad flag, no such node, no region, malformed evidence
  3  it is not known: evidence is missing, as listed
  4  no such cluster";

const SIMULATE_HELP: &str = "\
Nothing is changed: AWS is asked to describe, and the steps are printed for you to run.

  eks-netcheck simulate --cluster myeks --access private --client ci=198.51.100.64/27

Exit codes:
  0   safe: no known client loses the API server, if the steps are taken in their order
  1   breaks: a client loses it, or is cut off until it connects again
  2   usage or configuration: bad flag, a list that EKS does not accept, no region
  3   unknown: evidence is missing about a client that the change concerns
  4   no such cluster";

const SSM_DOCUMENT_HELP: &str = "\
It has no parameters: a user who may run it can read the sockets of nodes, and do
nothing else. Create it once in each account and region:

  eks-netcheck ssm-document > eks-netcheck.json
  aws ssm create-document --name eks-netcheck --document-type Command \\
    --content file://eks-netcheck.json

`eks-netcheck iam-policy --nodes ssm` prints the permissions to run it.";

const DIFF_HELP: &str = "\
BEFORE and AFTER are evidence directories, or the output of `ss -tnp`: of one node,
or of several, each below a line `>> node NAME <<`. Either can be a pipe, and - is
standard input. AWS, DNS and nodes are not queried: paths come from the evidence, so a
bare file has the paths loopback, other and unattributed only.

  ssh n1 sudo ss -tnp > before
  ssh n1 sudo ss -tnp | eks-netcheck diff before -

Exit codes:
  0  compared, whether or not something changed
  2  usage, or a recording that cannot be read
  3  no node could be compared";

/// Shows whether the traffic between EKS nodes and the Kubernetes API server goes over the
/// public endpoint or over the private, EKS-owned network interfaces, and who can reach that
/// endpoint.
#[derive(Debug, Parser)]
#[command(name = "eks-netcheck", version, after_help = EXIT_CODES)]
pub(super) struct Cli {
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
        rule: Option<String>,
    },
    /// Write or check a policy file: thresholds, expectations and waivers
    #[command(subcommand)]
    Policy(PolicyCommand),
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    /// Write a policy file with the defaults, and the other settings commented out
    Init {
        /// The file, which must not exist yet; - for standard output
        #[arg(default_value = "eks-netcheck.toml")]
        file: PathBuf,
    },
    /// Check policy files: syntax, names, and entries that have expired
    Check {
        /// The files; without one, eks-netcheck.toml in this directory or one above it
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").args(["cluster", "all_clusters"]).required(true)))]
struct AuditArgs {
    /// The cluster's name, case-sensitive; may be repeated
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    cluster: Vec<String>,
    /// Audit all clusters
    #[arg(long)]
    all_clusters: bool,
    /// Judge the evidence recorded in this directory; AWS, DNS and nodes are not queried
    #[arg(long, value_name = "DIR", conflicts_with_all = ["FleetArgs", "CollectionArgs", "all_clusters"])]
    evidence: Option<PathBuf>,
    /// Read the sockets of nodes from bundles of their logs, such as those of eks-log-collector, instead of the nodes; may be repeated
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["nodes", "node", "all_clusters"])]
    bundle: Vec<PathBuf>,
    /// Exit with 1 on findings of this severity or a higher one; overrides the policy, and is high by default
    #[arg(long, value_name = "SEVERITY", value_enum)]
    fail_on: Option<FailOnArg>,
    /// The policy file, or - for standard input; without it, eks-netcheck.toml in this directory or one above it
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The format on standard output
    #[arg(long, value_name = "FORMAT", value_parser = format_of(&report::FORMATS), default_value = "table")]
    format: &'static AuditFormat,
    /// Write the report to a file as well, such as json=report.json; may be repeated
    #[arg(long, value_name = "FORMAT=FILE", value_parser = write_to(&report::FORMATS))]
    write: Vec<WriteTo<AuditWrite>>,
    /// Draw the paths of the cluster in tables and Markdown: expected, observed, and what differs
    #[arg(long)]
    explain_paths: bool,
    /// The file at which SARIF, GitHub and GitLab show findings; without it, the policy file
    #[arg(long, value_name = "FILE")]
    anchor: Option<PathBuf>,
    /// In GitHub Actions, write neither a step summary nor annotations
    #[arg(long)]
    no_ci: bool,
    #[command(flatten)]
    fleet: FleetArgs,
    #[command(flatten)]
    collection: CollectionArgs,
    #[command(flatten)]
    verbosity: VerbosityArgs,
}

#[derive(Debug, Args)]
struct CollectArgs {
    /// The cluster's name, case-sensitive
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    cluster: String,
    /// The directory to write: a new or an empty one
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    aws: AwsArgs,
    #[command(flatten)]
    collection: CollectionArgs,
    #[command(flatten)]
    verbosity: VerbosityArgs,
}

#[derive(Debug, Args)]
struct TraceArgs {
    /// The cluster's name, case-sensitive
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    cluster: String,
    /// The time between two samples, at least 20ms; longer on a node where a sample takes long, and during a command at most 50ms on a node that does not report closed sockets
    #[arg(long, value_name = "DURATION", default_value = "200ms", value_parser = interval)]
    interval: Duration,
    /// How long nodes are sampled before the command, and again after it
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
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
    aws: AwsArgs,
    #[command(flatten)]
    collection: CollectionArgs,
    #[command(flatten)]
    verbosity: VerbosityArgs,
    /// The command and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("change").args(["access", "public_cidrs", "plan"]).required(true).multiple(true)))]
struct SimulateArgs {
    /// The cluster's name, case-sensitive
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    cluster: String,
    /// Use the evidence recorded in this directory; AWS, DNS and nodes are not queried
    #[arg(long, value_name = "DIR", conflicts_with_all = ["AwsArgs", "CollectionArgs"])]
    evidence: Option<PathBuf>,
    /// The access mode afterwards; without it, that of today
    #[arg(long, value_name = "MODE", value_enum)]
    access: Option<AccessArg>,
    /// publicAccessCidrs afterwards: the whole list, separated by commas; without it, that of today
    #[arg(long, value_name = "CIDR,...", value_delimiter = ',', value_parser = public_block)]
    public_cidrs: Vec<ipnet::IpNet>,
    /// Read both from a Terraform plan, as `terraform show -json` prints it; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["access", "public_cidrs"])]
    plan: Option<PathBuf>,
    /// A client that is not recorded, such as a CI runner, a VPN or a bastion, with its addresses as the endpoint or the VPC sees them; `here` is this machine; may be repeated
    #[arg(long, value_name = "NAME=CIDR,...")]
    client: Vec<ClientArg>,
    /// The format on standard output
    #[arg(long, value_name = "FORMAT", value_parser = format_of(&report::SIMULATION_FORMATS), default_value = "table")]
    format: &'static SimulationFormat,
    /// Write the report to a file as well, such as markdown=change.md; may be repeated
    #[arg(long, value_name = "FORMAT=FILE", value_parser = write_to(&report::SIMULATION_FORMATS))]
    write: Vec<WriteTo<SimulationWrite>>,
    #[command(flatten)]
    aws: AwsArgs,
    #[command(flatten)]
    collection: CollectionArgs,
    #[command(flatten)]
    verbosity: VerbosityArgs,
}

#[derive(Debug, Args)]
struct DiffArgs {
    /// An evidence directory, or a file of `ss -tnp`; - for standard input
    before: PathBuf,
    /// Another of the same nodes, recorded later
    after: PathBuf,
    /// The format on standard output
    #[arg(long, value_name = "FORMAT", value_parser = format_of(&report::TRACE_FORMATS), default_value = "table")]
    format: &'static TraceFormat,
    /// Write the report to a file as well, such as json=diff.json; may be repeated
    #[arg(long, value_name = "FORMAT=FILE", value_parser = write_to(&report::TRACE_FORMATS))]
    write: Vec<WriteTo<TraceWrite>>,
}

#[derive(Debug, Args)]
struct ReachArgs {
    /// The cluster's name, case-sensitive
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    cluster: String,
    /// Use the evidence recorded in this directory; AWS, DNS and nodes are not queried
    #[arg(long, value_name = "DIR", conflicts_with_all = ["AwsArgs", "CollectionArgs"])]
    evidence: Option<PathBuf>,
    /// The place: here, a node, an address or a CIDR block
    #[arg(long, value_name = "PLACE", default_value = "here")]
    from: FromArg,
    /// The format on standard output
    #[arg(long, value_name = "FORMAT", value_parser = format_of(&report::REACH_FORMATS), default_value = "table")]
    format: &'static ReachFormat,
    /// Write the report to a file as well, such as json=reach.json; may be repeated
    #[arg(long, value_name = "FORMAT=FILE", value_parser = write_to(&report::REACH_FORMATS))]
    write: Vec<WriteTo<ReachWrite>>,
    #[command(flatten)]
    aws: AwsArgs,
    #[command(flatten)]
    collection: CollectionArgs,
    #[command(flatten)]
    verbosity: VerbosityArgs,
}

/// The AWS configuration for one cluster. What is not given comes from the environment and
/// the files that the aws CLI reads.
#[derive(Debug, Args)]
#[command(next_help_heading = "AWS")]
struct AwsArgs {
    /// The cluster's region
    #[arg(long, value_name = "REGION", value_parser = NonEmptyStringValueParser::new())]
    region: Option<String>,
    /// A profile of ~/.aws/config
    #[arg(long, value_name = "PROFILE", value_parser = NonEmptyStringValueParser::new())]
    profile: Option<String>,
    /// A role to assume
    #[arg(long, value_name = "ARN", value_parser = role_arn)]
    role_arn: Option<String>,
}

/// The same for several accounts and regions.
#[derive(Debug, Args)]
#[command(next_help_heading = "AWS")]
struct FleetArgs {
    /// The clusters' region; may be repeated, or all
    #[arg(long, value_name = "REGION", value_parser = NonEmptyStringValueParser::new())]
    region: Vec<String>,
    /// A profile of ~/.aws/config
    #[arg(long, value_name = "PROFILE", value_parser = NonEmptyStringValueParser::new())]
    profile: Option<String>,
    /// A role to assume; may be repeated, one for each account
    #[arg(long, value_name = "ARN", value_parser = role_arn)]
    role_arn: Vec<String>,
    /// A file of roles, or - for standard input, one role for each account: an ARN on each line, and comments after #
    #[arg(long, value_name = "FILE")]
    accounts: Option<PathBuf>,
}

/// What is collected besides the answers of AWS, and how.
#[derive(Debug, Args)]
#[command(next_help_heading = "Nodes and DNS")]
struct CollectionArgs {
    /// How nodes are read; several, separated by commas, in order of preference
    #[arg(long, value_name = "HOW", value_enum, value_delimiter = ',', default_values_t = [Nodes::Ssh])]
    nodes: Vec<Nodes>,
    /// Read this node instead of those that EC2 lists, at an ssh destination if one is given; may be repeated
    #[arg(long, value_name = "NAME[=TARGET]")]
    node: Vec<NodeArg>,
    /// The address of a listed node that ssh connects to
    #[arg(long, value_name = "WHICH", value_enum, default_value_t = NodeAddressArg::Private)]
    node_address: NodeAddressArg,
    /// Log in as this user; without it, as the user in your ssh configuration
    #[arg(long, value_name = "USER")]
    ssh_user: Option<String>,
    /// An option for ssh, as after its -o; may be repeated
    #[arg(long, value_name = "OPTION=VALUE")]
    ssh_option: Vec<String>,
    /// The command document that --nodes ssm runs; AWS-RunShellScript needs none of your own, and lets its users run any command as root
    #[arg(long, value_name = "NAME", value_parser = ssm_document, default_value = SSM_DOCUMENT)]
    ssm_document: String,
    /// Have nodes that are read by --nodes ssm also write their outputs to this bucket, and read from it those that are too long for Systems Manager
    #[arg(long, value_name = "s3://BUCKET[/PREFIX]")]
    ssm_output: Option<S3Arg>,
    /// The context for kubectl, which must be this cluster's; without it, the one that is
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    context: Option<String>,
    /// The kubeconfig file for kubectl
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The namespace of the Jobs that kubectl creates
    #[arg(long, value_name = "NAMESPACE", default_value = "kube-system", value_parser = kubernetes_name)]
    namespace: String,
    /// The image of their pods: any with the programs of busybox
    #[arg(long, value_name = "IMAGE", default_value = "public.ecr.aws/docker/library/busybox:1.37.0", value_parser = image)]
    image: String,
    /// Print the Jobs that kubectl would create, and create nothing
    #[arg(long)]
    dry_run: bool,
    /// How many nodes are read at a time
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,
    /// The time limit for each AWS operation, name server and node, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=3600))]
    timeout: u16,
    /// Also resolve the endpoint's name with this name server; may be repeated
    #[arg(long, value_name = "IP[:PORT]")]
    resolver: Vec<ResolverArg>,
    /// What audit and collect probe from this machine
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = ProbeArg::All)]
    probe: ProbeArg,
}

/// What is written to standard error.
#[derive(Debug, Args)]
struct VerbosityArgs {
    /// Write each line of a capture that is not a socket to standard error; twice: also each request and its duration
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
    /// Show no progress
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,
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
            Command::Simulate(args) if args.collection.dry_run => {
                dry_run(cluster_options(args.cluster, args.aws, args.collection)?, false, args.verbosity)
            }
            Command::Audit(args) => Options::Audit(args.into_options()?),
            Command::Simulate(args) => Options::Simulate(args.into_options()?),
            Command::Rbac { namespace } => Options::Rbac { namespace },
            Command::Collect(args) => Options::Collect(CollectOptions {
                cluster: cluster_options(args.cluster, args.aws, args.collection)?,
                out: args.out,
                verbosity: args.verbosity.into(),
            }),
            Command::Trace(args) => Options::Trace(args.into_options()?),
            Command::Diff(args) => Options::Diff(DiffOptions {
                before: args.before,
                after: args.after,
                format: args.format,
                write: args.write,
            }),
            Command::Reach(args) => Options::Reach(args.into_options()?),
            Command::IamPolicy { nodes: None, .. } => Options::IamPolicy,
            Command::IamPolicy { nodes: Some(NodesWithPermissions::Ssm), ssm_document, ssm_output } => {
                let output = ssm_output.map(|output| (output.bucket, output.prefix));
                Options::SsmPolicy { document: ssm_document, output }
            }
            Command::SsmDocument => Options::SsmDocument,
            Command::Explain { rule } => Options::Explain(rule),
            Command::Policy(PolicyCommand::Init { file }) => Options::PolicyInit(file),
            Command::Policy(PolicyCommand::Check { files }) => Options::PolicyCheck(files),
        })
    }
}

impl AuditArgs {
    fn into_options(self) -> Result<AuditOptions, String> {
        let source = match (self.evidence, self.cluster.as_slice()) {
            (Some(dir), [cluster]) => {
                Source::Recorded { dir, cluster: cluster.clone(), bundles: self.bundle }
            }
            (Some(_), _) => {
                return Err("an evidence directory is of one cluster; pass --cluster once".to_owned());
            }
            (None, _) => {
                self.cluster.iter().try_for_each(|name| cluster_name(name))?;
                let clusters = if self.all_clusters {
                    Clusters::All
                } else {
                    Clusters::Named(self.cluster.into_iter().collect())
                };
                let is_stdin =
                    |path: &Option<PathBuf>| path.as_ref().is_some_and(|path| path.as_os_str() == "-");
                if is_stdin(&self.policy) && is_stdin(&self.fleet.accounts) {
                    return Err("standard input can be the policy or the accounts, not both".to_owned());
                }
                let mut fleet = self.fleet.into_options(clusters, self.collection)?;
                if !self.bundle.is_empty() {
                    if fleet.is_many() {
                        return Err("bundles are of the nodes of one cluster; pass --cluster once".to_owned());
                    }
                    fleet.collection.nodes = None;
                    fleet.bundles = self.bundle;
                }
                Source::Live(Box::new(fleet))
            }
        };
        Ok(AuditOptions {
            source,
            judgment: JudgmentOptions {
                fail_on: self.fail_on.map(FailOnArg::threshold),
                policy: self.policy,
            },
            format: self.format,
            write: self.write,
            anchor: self.anchor,
            explain_paths: self.explain_paths,
            ci: !self.no_ci,
            verbosity: self.verbosity.into(),
        })
    }
}

impl TraceArgs {
    fn into_options(self) -> Result<TraceOptions, String> {
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
            judgment: self
                .fail_on
                .map(|fail_on| JudgmentOptions { fail_on: Some(fail_on.threshold()), policy }),
            format: self.format,
            write: self.write,
            verbosity: self.verbosity.into(),
            command: self.command,
        })
    }
}

impl ReachArgs {
    fn into_options(self) -> Result<ReachOptions, String> {
        if self.collection.dry_run {
            return Err("--dry-run is for audit, collect and trace".to_owned());
        }
        let from = self.from.0;
        let source = if let Some(dir) = self.evidence {
            ClusterSource::Recorded { dir, cluster: self.cluster }
        } else {
            let mut options = cluster_options(self.cluster, self.aws, self.collection)?;
            match (&from, &mut options.collection.nodes) {
                (From::Node(name), Some(nodes)) => {
                    if nodes.named.iter().any(|(named, _)| named != name) {
                        return Err("--node: reach reads the node of --from alone".to_owned());
                    }
                    if nodes.named.is_empty() {
                        nodes.named.push((name.clone(), None));
                    }
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

impl SimulateArgs {
    fn into_options(self) -> Result<SimulateOptions, String> {
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
            let options = cluster_options(self.cluster, self.aws, self.collection)?;
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

impl FleetArgs {
    /// The options of one cluster.
    fn into_cluster(self, name: String, collection: CollectionArgs) -> Result<ClusterOptions, String> {
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

    fn into_options(self, clusters: Clusters, collection: CollectionArgs) -> Result<FleetOptions, String> {
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

fn dry_run(cluster: ClusterOptions, is_trace: bool, verbosity: VerbosityArgs) -> Options {
    Options::DryRun(DryRunOptions { cluster, is_trace, verbosity: verbosity.into() })
}

fn cluster_options(name: String, aws: AwsArgs, collection: CollectionArgs) -> Result<ClusterOptions, String> {
    cluster_name(&name)?;
    Ok(ClusterOptions {
        name,
        region: aws.region,
        profile: aws.profile,
        role: aws.role_arn,
        collection: collection.into_options()?,
    })
}

impl CollectionArgs {
    fn into_options(self) -> Result<CollectionOptions, String> {
        if let Some(user) = &self.ssh_user
            && (user.is_empty()
                || user.starts_with('-')
                || user.chars().any(|char| char.is_control() || char.is_whitespace()))
        {
            return Err(format!("--ssh-user {user:?} is not a user name"));
        }
        if let Some(option) = self.ssh_option.iter().find(|option| option.chars().any(char::is_control)) {
            return Err(format!("--ssh-option {option:?} contains control characters"));
        }
        let mut transports = Vec::new();
        for (number, how) in self.nodes.iter().enumerate() {
            if self.nodes[..number].contains(how) {
                return Err(format!("--nodes {}: it is given twice", value_name(*how)));
            }
            match how {
                Nodes::None if self.nodes.len() > 1 => {
                    return Err("--nodes none excludes other values of --nodes".to_owned());
                }
                Nodes::None => {}
                Nodes::Ssm => transports.push(TransportOptions::Ssm {
                    document: self.ssm_document.clone(),
                    output: self.ssm_output.clone().map(|output| (output.bucket, output.prefix)),
                }),
                Nodes::Ssh => transports.push(TransportOptions::Ssh {
                    address: self.node_address.into(),
                    user: self.ssh_user.clone(),
                    options: self.ssh_option.clone(),
                }),
                Nodes::Kubectl => transports.push(TransportOptions::Kubectl {
                    context: self.context.clone(),
                    kubeconfig: self.kubeconfig.clone(),
                    namespace: self.namespace.clone(),
                    image: self.image.clone(),
                }),
            }
        }
        if self.dry_run && !self.nodes.contains(&Nodes::Kubectl) {
            return Err("--dry-run is for --nodes kubectl: other ways create nothing".to_owned());
        }
        let named = self.node.into_iter().map(|node| (node.name, node.target)).collect();
        let nodes = (!transports.is_empty()).then_some(NodeOptions { named, transports });
        Ok(CollectionOptions {
            nodes,
            resolvers: self.resolver.into_iter().map(|resolver| resolver.0).collect(),
            concurrency: self.concurrency.into(),
            timeout: Duration::from_secs(self.timeout.into()),
            probes: self.probe == ProbeArg::All,
        })
    }
}

/// A value of `--nodes` as it is written.
fn value_name(how: Nodes) -> String {
    how.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

impl std::convert::From<VerbosityArgs> for Verbosity {
    fn from(args: VerbosityArgs) -> Self {
        match args.verbose {
            0 if args.quiet => Self::Quiet,
            0 => Self::Progress,
            1 => Self::RejectedLines,
            _ => Self::Requests,
        }
    }
}
