//! The command line: every clap type and nothing else.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{NonEmptyStringValueParser, PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, ArgGroup, Args, Parser, Subcommand, ValueEnum};
use jiff::SignedDuration;

use crate::model::name::NodeName;
use crate::model::rule::Severity;
use crate::report;
use crate::report::format::{AuditFormat, AuditWrite, Format, TraceFormat, TraceWrite};

const EXIT_CODES: &str = "\
Exit codes:
  0  judged, and nothing at or above --fail-on
  1  judged, and findings at or above --fail-on
  2  usage or configuration: bad flag, no region, malformed evidence
  3  could not judge: something was not seen that a rule at or above --fail-on needed
  4  nothing to judge: no cluster or file matched
Something that was not seen is never a pass.";

/// Below this, looks would only wait for each other.
const INTERVAL_MIN: Duration = Duration::from_millis(20);
const DURATION_MAX: Duration = Duration::from_hours(1);

const TRACE_HELP: &str = "\
The command has the terminal to itself while it runs; the report comes after it.
Without a command, nodes are looked at until Ctrl-C.

  eks-netcheck trace --cluster myeks -- \\
    kubectl exec ds/aws-node -n kube-system -c aws-eks-nodeagent -it -- bash

Exit codes:
  the command's own, 128 and the number of the signal that ended it, or 126 or
     127 if it cannot be run; with --fail-on:
  1  findings at or above the threshold
  3  could not judge
  without a command 0, and for what goes wrong before it runs:
  2  usage or configuration
  3  no node can be looked at
  4  no such cluster";

const DIFF_HELP: &str = "\
BEFORE and AFTER are evidence directories, or the output of `ss -tnp`: of one node,
or of several, each below a line `>> node NAME <<`. A pipe will do, and - is standard
input. No AWS, DNS or ssh: a path is what the evidence tells, so a bare file tells
loopback, other and unattributed.

  ssh n1 sudo ss -tnp > before
  ssh n1 sudo ss -tnp | eks-netcheck diff before -

Exit codes:
  0  compared, whether or not something changed
  2  usage, or evidence that cannot be read
  3  no node could be compared: not one was read, whole, both before and after";

/// Does the traffic between your EKS nodes and the Kubernetes API server go
/// over the public endpoint or over the private, EKS-owned network interfaces,
/// and who can reach that endpoint?
#[derive(Debug, Parser)]
#[command(name = "eks-netcheck", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Judge a cluster's endpoint access and its nodes' paths to the API server
    #[command(after_help = EXIT_CODES)]
    Audit(AuditArgs),
    /// Record what `audit` would ask for, to judge or to send it later
    #[command(after_help = "Judge it with: eks-netcheck audit --cluster NAME --evidence DIR")]
    Collect(CollectArgs),
    /// Look at the nodes' sockets before, during and after a command
    #[command(after_help = TRACE_HELP)]
    Trace(TraceArgs),
    /// Compare the sockets of two recordings: what appeared, what went, by which path
    #[command(after_help = DIFF_HELP)]
    Diff(DiffArgs),
    /// Print the least IAM policy that `audit` and `collect` need
    IamPolicy,
    /// Say what a rule finds, why it matters and how to mend it
    Explain {
        /// The rule's id; without one, all rules are listed
        rule: Option<String>,
    },
    /// Write or check a policy, which says what a team makes of findings
    #[command(subcommand)]
    Policy(PolicyCommand),
}

/// What to do with a policy.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Write a policy with everything in it commented out
    Init {
        /// The file, which must not be there yet; - for standard output
        #[arg(default_value = "eks-netcheck.toml")]
        file: PathBuf,
    },
    /// See that a policy says what it can say, and what in it is over
    Check {
        /// The files; without one, eks-netcheck.toml from here upwards
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

/// Arguments of `audit`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").args(["cluster", "all_clusters"]).required(true)))]
pub struct AuditArgs {
    /// The cluster's name, case-sensitive; may be repeated
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub cluster: Vec<String>,
    /// Audit every cluster that there is
    #[arg(long)]
    pub all_clusters: bool,
    /// Judge the evidence recorded in this directory: no AWS, DNS or ssh
    #[arg(long, value_name = "DIR", conflicts_with_all = ["Fleet", "Ask", "all_clusters"])]
    pub evidence: Option<PathBuf>,
    /// Exit with 1 on findings of this severity or a higher one; otherwise the policy says, or else high
    #[arg(long, value_name = "SEVERITY", value_enum)]
    pub fail_on: Option<FailOn>,
    /// The policy; without one, eks-netcheck.toml from here upwards
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// The format on standard output
    #[arg(long, value_name = "FORMAT", value_parser = format_of(&report::FORMATS), default_value = "table")]
    pub format: &'static AuditFormat,
    /// Write the report to a file as well, such as json=report.json; may be repeated
    #[arg(long, value_name = "FORMAT=FILE", value_parser = write_to(&report::FORMATS))]
    pub write: Vec<WriteTo<AuditWrite>>,
    /// The file that findings are shown at in SARIF, GitHub and GitLab; without it, the policy
    #[arg(long, value_name = "FILE")]
    pub anchor: Option<PathBuf>,
    /// In GitHub Actions, write neither a step summary nor annotations
    #[arg(long)]
    pub no_ci: bool,
    /// Where AWS is and who asks it.
    #[command(flatten)]
    pub fleet: Fleet,
    /// What else is asked, and how.
    #[command(flatten)]
    pub ask: Ask,
    /// What is said on standard error.
    #[command(flatten)]
    pub talk: Talk,
}

/// Arguments of `collect`.
#[derive(Debug, Args)]
pub struct CollectArgs {
    /// The cluster's name, case-sensitive
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub cluster: String,
    /// The directory to record in: a new or an empty one
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Where AWS is and who asks it.
    #[command(flatten)]
    pub aws: Aws,
    /// What else is asked, and how.
    #[command(flatten)]
    pub ask: Ask,
    /// What is said on standard error.
    #[command(flatten)]
    pub talk: Talk,
}

/// Arguments of `trace`.
#[derive(Debug, Args)]
pub struct TraceArgs {
    /// The cluster's name, case-sensitive
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub cluster: String,
    /// How long it is from one look to the next, 20ms at least; the first three seconds of a command are looked at every 50 ms
    #[arg(long, value_name = "DURATION", default_value = "200ms", value_parser = interval)]
    pub interval: Duration,
    /// For how long nodes are looked at before the command, and again after it
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    pub settle: Duration,
    /// Look at this node only; may be repeated
    #[arg(long, value_name = "NODE")]
    pub only: Vec<NodeName>,
    /// Judge the sockets seen as audit does, and exit with 1 on findings of this severity or a higher one, with 3 if that is not known
    #[arg(long, value_name = "SEVERITY", value_enum)]
    pub fail_on: Option<FailOn>,
    /// The policy to judge by; without one, eks-netcheck.toml from here upwards
    #[arg(long, value_name = "FILE", requires = "fail_on")]
    pub policy: Option<PathBuf>,
    /// The format on standard output
    #[arg(long, value_name = "FORMAT", value_parser = format_of(&report::TRACE_FORMATS), default_value = "table")]
    pub format: &'static TraceFormat,
    /// Write the report to a file as well, such as json=trace.json; may be repeated
    #[arg(long, value_name = "FORMAT=FILE", value_parser = write_to(&report::TRACE_FORMATS))]
    pub write: Vec<WriteTo<TraceWrite>>,
    /// Where AWS is and who asks it.
    #[command(flatten)]
    pub aws: Aws,
    /// What else is asked, and how.
    #[command(flatten)]
    pub ask: Ask,
    /// What is said on standard error.
    #[command(flatten)]
    pub talk: Talk,
    /// The command and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// Arguments of `diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// An evidence directory, or a file of `ss -tnp`; - for standard input
    pub before: PathBuf,
    /// Another of the same nodes, taken later
    pub after: PathBuf,
    /// The format on standard output
    #[arg(long, value_name = "FORMAT", value_parser = format_of(&report::TRACE_FORMATS), default_value = "table")]
    pub format: &'static TraceFormat,
    /// Write the report to a file as well, such as json=diff.json; may be repeated
    #[arg(long, value_name = "FORMAT=FILE", value_parser = write_to(&report::TRACE_FORMATS))]
    pub write: Vec<WriteTo<TraceWrite>>,
}

/// Where AWS is and who asks it; what is not given comes from the environment
/// and the files that the aws CLI reads.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "AWS")]
pub struct Aws {
    /// The cluster's region
    #[arg(long, value_name = "REGION", value_parser = NonEmptyStringValueParser::new())]
    pub region: Option<String>,
    /// A profile of ~/.aws/config
    #[arg(long, value_name = "PROFILE", value_parser = NonEmptyStringValueParser::new())]
    pub profile: Option<String>,
    /// A role to assume first
    #[arg(long, value_name = "ARN", value_parser = role_arn)]
    pub role_arn: Option<String>,
}

/// The same for several accounts and regions.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "AWS")]
pub struct Fleet {
    /// The clusters' region; may be repeated, or all
    #[arg(long, value_name = "REGION", value_parser = NonEmptyStringValueParser::new())]
    pub region: Vec<String>,
    /// A profile of ~/.aws/config
    #[arg(long, value_name = "PROFILE", value_parser = NonEmptyStringValueParser::new())]
    pub profile: Option<String>,
    /// A role to assume first; may be repeated, one for each account
    #[arg(long, value_name = "ARN", value_parser = role_arn)]
    pub role_arn: Vec<String>,
    /// A file of roles, one for each account: a line holds an ARN, and # begins a comment
    #[arg(long, value_name = "FILE")]
    pub accounts: Option<PathBuf>,
}

/// What is asked beside AWS, and how.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Nodes and DNS")]
pub struct Ask {
    /// How nodes are read
    #[arg(long, value_name = "HOW", value_enum, default_value_t = Nodes::Ssh)]
    pub nodes: Nodes,
    /// Read this node, at an ssh destination if one is given, instead of those that EC2 lists; may be repeated
    #[arg(long, value_name = "NAME[=TARGET]")]
    pub node: Vec<NodeArg>,
    /// Which address of a listed node ssh goes to
    #[arg(long, value_name = "WHICH", value_enum, default_value_t = NodeAddress::Private)]
    pub node_address: NodeAddress,
    /// Log in as this user; otherwise your ssh configuration tells
    #[arg(long, value_name = "USER")]
    pub ssh_user: Option<String>,
    /// An option for ssh, as after its -o; may be repeated
    #[arg(long, value_name = "OPTION=VALUE")]
    pub ssh_option: Vec<String>,
    /// How many nodes are read at a time
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub concurrency: u16,
    /// The longest that AWS, a name server or a node may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=3600))]
    pub timeout: u16,
    /// Ask this name server as well for the endpoint's addresses; may be repeated
    #[arg(long, value_name = "IP[:PORT]")]
    pub resolver: Vec<ResolverArg>,
}

/// What is said on standard error.
#[derive(Debug, Clone, Copy, Args)]
pub struct Talk {
    /// Say more on standard error: each line of a capture that is no socket; twice: what is asked, and how long it took
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
    /// Show no progress
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
}

/// How nodes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Nodes {
    /// By your own ssh, with sudo where the user is not root
    Ssh,
    /// Not at all: what only they can tell is not judged
    None,
}

/// Which of a node's addresses ssh goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NodeAddress {
    /// Its primary private address
    Private,
    /// Its public address
    Public,
    /// Its private DNS name, which your ssh configuration may know
    Name,
    /// Its instance id, which your ssh configuration may know, as for Session Manager
    Id,
}

/// `NAME[=TARGET]`.
#[derive(Debug, Clone)]
pub struct NodeArg {
    /// The name in the report.
    pub name: NodeName,
    /// The ssh destination, unless it is the name or what EC2 says.
    pub target: Option<String>,
}

impl FromStr for NodeArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, target) = match text.split_once('=') {
            Some((name, target)) => (name, Some(target.to_owned())),
            None => (text, None),
        };
        let name = name.parse().map_err(|error| format!("{name:?}: {error}"))?;
        Ok(Self { name, target })
    }
}

/// `IP[:PORT]` of a name server.
#[derive(Debug, Clone, Copy)]
pub struct ResolverArg(pub SocketAddr);

impl FromStr for ResolverArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let server = text.parse().or_else(|_| text.parse().map(|ip: IpAddr| SocketAddr::new(ip, 53)));
        server
            .map(Self)
            .map_err(|_| "it takes an address, such as 10.0.0.2, 10.0.0.2:5353 or [fd00::2]:53".to_owned())
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let example = "it takes a duration, such as 200ms, 1s or 1m";
    if text.parse::<u64>().is_ok() {
        return Err(format!("it lacks a unit, such as {text}ms"));
    }
    let duration: SignedDuration = text.parse().map_err(|_| example.to_owned())?;
    let duration = Duration::try_from(duration).map_err(|_| example.to_owned())?;
    if duration <= DURATION_MAX { Ok(duration) } else { Err("an hour is the longest".to_owned()) }
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if interval >= INTERVAL_MIN { Ok(interval) } else { Err("20ms is the shortest".to_owned()) }
}

/// Checks what is to be the ARN of a role.
///
/// # Errors
/// If it is none.
pub fn role_arn(text: &str) -> Result<String, String> {
    let is_arn = text.starts_with("arn:") && text.contains(":iam::") && text.contains(":role/");
    if is_arn { Ok(text.to_owned()) } else { Err("it takes arn:aws:iam::ACCOUNT:role/NAME".to_owned()) }
}

/// A format and the file that a report is written to.
#[derive(Debug, Clone)]
pub struct WriteTo<F: 'static> {
    /// The format.
    pub format: &'static Format<F>,
    /// The file.
    pub file: PathBuf,
}

/// Parses the name of one of `formats`.
fn format_of<F>(formats: &'static [&'static Format<F>]) -> impl TypedValueParser<Value = &'static Format<F>>
where
    F: Send + Sync + 'static,
{
    let names = formats.iter().map(|format| PossibleValue::new(format.name).help(format.help));
    PossibleValuesParser::new(names)
        .try_map(|name| formats.iter().copied().find(|format| format.name == name).ok_or("no such format"))
}

/// Parses `FORMAT=FILE`.
fn write_to<F>(
    formats: &'static [&'static Format<F>],
) -> impl Fn(&str) -> Result<WriteTo<F>, String> + Clone + Send + Sync + 'static
where
    F: Send + Sync,
{
    |text| {
        let (name, file) = text.split_once('=').ok_or("it takes FORMAT=FILE, such as json=report.json")?;
        if file.is_empty() {
            return Err("no file after the `=`".to_owned());
        }
        if file == "-" {
            return Err(format!("for standard output there is --format {name}"));
        }
        let format = formats.iter().copied().find(|format| format.name == name).ok_or_else(|| {
            let known: Vec<_> = formats.iter().map(|format| format.name).collect();
            format!("the formats are {}", known.join(", "))
        })?;
        Ok(WriteTo { format, file: file.into() })
    }
}

/// The severity from which findings fail the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "they would be shown as help and say nothing more")]
pub enum FailOn {
    Critical,
    High,
    Medium,
    Low,
    Never,
}

impl FailOn {
    /// The severity; `None` for never.
    #[must_use]
    pub fn threshold(self) -> Option<Severity> {
        match self {
            Self::Critical => Some(Severity::Critical),
            Self::High => Some(Severity::High),
            Self::Medium => Some(Severity::Medium),
            Self::Low => Some(Severity::Low),
            Self::Never => None,
        }
    }
}
