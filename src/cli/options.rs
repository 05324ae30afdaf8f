//! What a command line means: the options of each command, without clap's types.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::model::kubernetes::ReadingPods;
use crate::model::name::NodeName;
use crate::model::net::NodeAddress;
use crate::model::rule::{Rule, Threshold};
use crate::model::selection::Selection;
use crate::model::service_account::ServiceAccount;
use crate::model::simulation::{AccessChange, NamedClient};
use crate::report::format::{
    AuditFormat, AuditWrite, ExplainFormat, Format, ReachFormat, ReachWrite, SimulationFormat,
    SimulationWrite, TraceFormat, TraceWrite,
};

/// A command and its options.
#[derive(Debug)]
pub enum Options {
    /// `audit`
    Audit(AuditOptions),
    /// `collect`
    Collect(CollectOptions),
    /// `trace`
    Trace(TraceOptions),
    /// `simulate`
    Simulate(SimulateOptions),
    /// `diff`
    Diff(DiffOptions),
    /// `reach`
    Reach(ReachOptions),
    /// `iam-policy`
    IamPolicy,
    /// `iam-policy --nodes ssm`
    SsmPolicy {
        /// The name of the command document.
        document: String,
        /// The bucket of the outputs, and the prefix of their keys.
        output: Option<(String, Option<String>)>,
    },
    /// `ssm-document`
    SsmDocument,
    /// `rbac`
    Rbac {
        /// The pods in which nodes are read.
        pods: ReadingPods,
        /// The namespace of the Jobs.
        namespace: String,
        /// To which account the roles are bound, rather than to the group.
        service_account: Option<ServiceAccount>,
    },
    /// `audit`, `collect` or `trace` with `--dry-run`
    DryRun(DryRunOptions),
    /// `explain`
    Explain(ExplainOptions),
    /// `completions` and `man`: text that is generated from the arguments
    Generated(Vec<u8>),
    /// `man --out`
    ManualPages {
        /// The directory.
        out: PathBuf,
        /// The pages.
        pages: Vec<Page>,
    },
    /// `init`
    Init,
    /// `policy init`
    PolicyInit(PathBuf),
    /// `policy check`
    PolicyCheck(PolicyCheckOptions),
}

/// Options of `policy check`.
#[derive(Debug)]
pub struct PolicyCheckOptions {
    /// The files; the one that is found if empty.
    pub files: Vec<PathBuf>,
    /// Whether entries that have expired, or soon will, fail the run.
    pub strict: bool,
    /// In how many days an entry soon expires.
    pub within: u16,
}

/// Options of `explain`.
#[derive(Debug)]
pub struct ExplainOptions {
    /// The rule; all of them are listed without one.
    pub rule: Option<&'static Rule>,
    /// The format.
    pub format: &'static ExplainFormat,
}

/// A manual page.
#[derive(Debug)]
pub struct Page {
    /// The name of its file, such as `eks-netcheck-audit.1`.
    pub file: String,
    /// Its text, as roff.
    pub text: Vec<u8>,
}

/// Options of `audit`.
#[derive(Debug)]
pub struct AuditOptions {
    /// Where the evidence comes from.
    pub source: Source,
    /// The threshold and the policy.
    pub judgment: JudgmentOptions,
    /// The earlier report whose findings are known.
    pub baseline: Option<PathBuf>,
    /// The format on standard output.
    pub format: &'static AuditFormat,
    /// The reports that are written to files.
    pub write: Vec<WriteTo<AuditWrite>>,
    /// The file at which findings are shown in formats that need a location.
    pub anchor: Option<PathBuf>,
    /// Whether text shows the paths of the cluster as drawings.
    pub explain_paths: bool,
    /// Whether tables show every row, also of what is as it should be.
    pub all: bool,
    /// Whether a CI system that is detected gets its own reports.
    pub ci: bool,
    /// What is written to standard error.
    pub verbosity: Verbosity,
}

/// Where the evidence of an audit comes from.
#[derive(Debug)]
pub enum Source {
    /// An evidence directory of one cluster.
    Recorded {
        /// The directory.
        dir: PathBuf,
        /// The cluster's name, if it is given; else it is that of `cluster.json`.
        cluster: Option<String>,
        /// Bundles of nodes' logs that are not in the directory.
        bundles: Vec<PathBuf>,
    },
    /// AWS, DNS and the nodes.
    Live(Box<FleetOptions>),
}

impl Source {
    /// Whether several clusters may be meant, which decides the shape of the report.
    #[must_use]
    pub fn is_many(&self) -> bool {
        match self {
            Self::Recorded { .. } => false,
            Self::Live(fleet) => fleet.is_many(),
        }
    }

    /// The name of the cluster, if the run is about one.
    #[must_use]
    pub fn cluster(&self) -> Option<&str> {
        match self {
            Self::Recorded { cluster, .. } => cluster.as_deref(),
            Self::Live(fleet) => match &fleet.clusters {
                Clusters::Named(names) if !fleet.is_many() => names.first().map(String::as_str),
                _ => None,
            },
        }
    }

    /// What the run is about, as text.
    #[must_use]
    pub fn subject(&self) -> String {
        match self {
            Self::Recorded { cluster: Some(cluster), .. } => format!("cluster {cluster}"),
            Self::Recorded { dir, .. } => format!("cluster of {}", dir.display()),
            Self::Live(fleet) => match &fleet.clusters {
                Clusters::Named(names) => {
                    format!("cluster {}", names.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
                }
                Clusters::All => "all clusters".to_owned(),
            },
        }
    }
}

/// The threshold, the policy and the rules.
#[derive(Debug)]
pub struct JudgmentOptions {
    /// The severity from which findings fail the run, if it is given here.
    pub fail_on: Option<Threshold>,
    /// The policy, unless the one that is found applies.
    pub policy: Option<PathBuf>,
    /// The rules that are judged.
    pub selection: Selection,
}

/// Clusters over accounts and regions.
#[derive(Debug)]
pub struct FleetOptions {
    /// The clusters.
    pub clusters: Clusters,
    /// The regions.
    pub regions: Regions,
    /// The profile of ~/.aws/config.
    pub profile: Option<String>,
    /// Roles to assume, one for each account.
    pub roles: Vec<String>,
    /// A file of more roles.
    pub accounts: Option<PathBuf>,
    /// Bundles of nodes' logs, which are read instead of the nodes.
    pub bundles: Vec<PathBuf>,
    /// What else is collected, and how.
    pub collection: CollectionOptions,
}

/// Which clusters.
#[derive(Debug)]
pub enum Clusters {
    /// All of them.
    All,
    /// Those with these names.
    Named(BTreeSet<String>),
}

/// Which regions.
#[derive(Debug)]
pub enum Regions {
    /// The region of the AWS configuration.
    Configured,
    /// These.
    Named(BTreeSet<String>),
    /// All that are enabled for the account.
    All,
}

impl FleetOptions {
    /// Whether several clusters may be meant, which decides the shape of the report.
    #[must_use]
    pub fn is_many(&self) -> bool {
        let is_one_cluster = matches!(&self.clusters, Clusters::Named(names) if names.len() == 1);
        let is_one_region = match &self.regions {
            Regions::Configured => true,
            Regions::Named(names) => names.len() == 1,
            Regions::All => false,
        };
        !is_one_cluster || !is_one_region || self.roles.len() > 1 || self.accounts.is_some()
    }
}

/// Options of `collect`.
#[derive(Debug)]
pub struct CollectOptions {
    /// The cluster.
    pub cluster: ClusterOptions,
    /// The directory to write.
    pub out: PathBuf,
    /// What is written to standard error.
    pub verbosity: Verbosity,
}

/// One cluster, and how its evidence is collected.
#[derive(Debug)]
pub struct ClusterOptions {
    /// Its name.
    pub name: String,
    /// Its region, unless the AWS configuration has it.
    pub region: Option<String>,
    /// The profile of ~/.aws/config.
    pub profile: Option<String>,
    /// A role to assume.
    pub role: Option<String>,
    /// What else is collected, and how.
    pub collection: CollectionOptions,
}

/// Options of a dry run.
#[derive(Debug)]
pub struct DryRunOptions {
    /// The cluster.
    pub cluster: ClusterOptions,
    /// Whether it is one of `trace`, whose Jobs last longer.
    pub is_trace: bool,
    /// What is written to standard error.
    pub verbosity: Verbosity,
}

/// Options of `trace`.
#[derive(Debug)]
pub struct TraceOptions {
    /// The cluster.
    pub cluster: ClusterOptions,
    /// The time between two samples.
    pub interval: Duration,
    /// How long the nodes are sampled before the command, and again after it.
    pub settle: Duration,
    /// The nodes to sample; all if empty.
    pub only: Vec<NodeName>,
    /// The threshold and the policy, where the samples are judged.
    pub judgment: Option<JudgmentOptions>,
    /// The format on standard output.
    pub format: &'static TraceFormat,
    /// The reports that are written to files.
    pub write: Vec<WriteTo<TraceWrite>>,
    /// What is written to standard error.
    pub verbosity: Verbosity,
    /// The command and its arguments; none until Ctrl-C.
    pub command: Vec<OsString>,
}

/// Where a change of access comes from.
#[derive(Debug)]
pub enum ChangeSource {
    /// The command line.
    Named(AccessChange),
    /// A Terraform plan, as JSON; `-` is standard input.
    Plan(PathBuf),
}

/// Options of `simulate`.
#[derive(Debug)]
pub struct SimulateOptions {
    /// Where the evidence comes from.
    pub source: ClusterSource,
    /// The change.
    pub change: ChangeSource,
    /// Clients that are not recorded.
    pub clients: Vec<NamedClient>,
    /// The format on standard output.
    pub format: &'static SimulationFormat,
    /// The reports that are written to files.
    pub write: Vec<WriteTo<SimulationWrite>>,
    /// What is written to standard error.
    pub verbosity: Verbosity,
}

/// Options of `diff`.
#[derive(Debug)]
pub struct DiffOptions {
    /// The earlier recording.
    pub before: PathBuf,
    /// The later recording.
    pub after: PathBuf,
    /// The format on standard output.
    pub format: &'static TraceFormat,
    /// The reports that are written to files.
    pub write: Vec<WriteTo<TraceWrite>>,
}

/// Options of `reach`.
#[derive(Debug)]
pub struct ReachOptions {
    /// Where the evidence comes from.
    pub source: ClusterSource,
    /// The place.
    pub from: NamedPlace,
    /// The format on standard output.
    pub format: &'static ReachFormat,
    /// The reports that are written to files.
    pub write: Vec<WriteTo<ReachWrite>>,
    /// What is written to standard error.
    pub verbosity: Verbosity,
}

/// Where the evidence about one cluster comes from.
#[derive(Debug)]
pub enum ClusterSource {
    /// An evidence directory.
    Recorded {
        /// The directory.
        dir: PathBuf,
        /// The cluster's name, if it is given; else it is that of `cluster.json`.
        cluster: Option<String>,
    },
    /// AWS, DNS and the nodes.
    Live(Box<ClusterOptions>),
}

impl ClusterSource {
    /// The cluster's name, if it is known before the evidence is read.
    #[must_use]
    pub fn cluster(&self) -> Option<&str> {
        match self {
            Self::Recorded { cluster, .. } => cluster.as_deref(),
            Self::Live(cluster) => Some(&cluster.name),
        }
    }
}

/// A place from which the endpoint is to be reached, as it is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedPlace {
    /// This machine.
    Here,
    /// A node.
    Node(NodeName),
    /// An address.
    Address(IpAddr),
    /// All addresses of a block.
    Block(IpNet),
}

/// What is collected besides the answers of AWS, and how.
#[derive(Debug, Clone)]
pub struct CollectionOptions {
    /// How nodes are read; `None` if they are not read.
    pub nodes: Option<NodeOptions>,
    /// The files that the options name, whether or not the run reads them.
    pub named_files: Vec<NamedFile>,
    /// Name servers that are queried besides this machine's own.
    pub resolvers: Vec<SocketAddr>,
    /// How many nodes, or requests to AWS, are in progress at a time.
    pub concurrency: usize,
    /// The time limit for each AWS operation, name server and node.
    pub timeout: Duration,
    /// Whether the endpoint is probed from this machine.
    pub probes: bool,
    /// Whether it is probed from the nodes.
    pub probes_from_nodes: bool,
}

/// A file that an option names.
#[derive(Debug, Clone)]
pub struct NamedFile {
    /// What it is, in messages.
    pub what: &'static str,
    /// Its path, as it was typed.
    pub path: PathBuf,
}

/// How nodes are read.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// The nodes to read, each with its target if one is given; those that EC2 lists if
    /// empty.
    pub named: Vec<(NodeName, Option<String>)>,
    /// How they are reached, in order of preference; not empty.
    pub transports: Vec<TransportOptions>,
}

/// How nodes are reached.
#[derive(Debug, Clone)]
pub enum TransportOptions {
    /// By the user's OpenSSH client.
    Ssh {
        /// The address of a listed node that ssh connects to.
        address: NodeAddress,
        /// The user to log in as, unless the ssh configuration has one.
        user: Option<String>,
        /// Options as after `-o`.
        options: Vec<String>,
    },
    /// By Run Command of Systems Manager.
    Ssm {
        /// The command document.
        document: String,
        /// A bucket for whole outputs, and the prefix of their keys.
        output: Option<(String, Option<String>)>,
    },
    /// By the user's kubectl.
    Kubectl {
        /// The pods in which nodes are read.
        pods: ReadingPods,
        /// The context; without one, that of the cluster is found.
        context: Option<String>,
        /// The kubeconfig file; without one, kubectl's own default.
        kubeconfig: Option<PathBuf>,
        /// The namespace of the Jobs.
        namespace: String,
        /// The image of their pods.
        image: String,
    },
}

/// A report that is written to a file.
#[derive(Debug, Clone)]
pub struct WriteTo<F: 'static> {
    /// The format.
    pub format: &'static Format<F>,
    /// The file.
    pub file: PathBuf,
}

/// What is written to standard error besides errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Nothing.
    Quiet,
    /// Progress, on a terminal.
    Progress,
    /// Also the rejected lines of captures.
    RejectedLines,
    /// Also requests and their duration, instead of progress.
    Requests,
}

impl Verbosity {
    /// Whether progress is shown, on a terminal: requests are listed instead of it.
    #[must_use]
    pub fn shows_progress(self) -> bool {
        matches!(self, Self::Progress | Self::RejectedLines)
    }
}

/// Parses the ARN of a role.
///
/// # Errors
/// If it is not one.
pub fn role_arn(text: &str) -> Result<String, String> {
    let is_arn = text.starts_with("arn:") && text.contains(":iam::") && text.contains(":role/");
    if is_arn { Ok(text.to_owned()) } else { Err("expected arn:aws:iam::ACCOUNT:role/NAME".to_owned()) }
}
