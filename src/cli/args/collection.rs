//! The AWS configuration for one cluster, and how its evidence is collected.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};

use super::after;
use crate::cli::durations::duration;
use crate::cli::options::{
    ClusterOptions, CollectionOptions, NamedFile, NodeOptions, TransportOptions, role_arn,
};
use crate::cli::values::{
    NodeAddressArg, NodeArg, Nodes, ProbeArg, ResolverArg, S3Arg, cluster_name, image, kubernetes_name,
    ssm_document,
};
use crate::model::kubernetes::ReadingPods;
use crate::model::name::SSM_DOCUMENT;

/// The time limits.
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(1);

/// The AWS configuration for one cluster. What is not given comes from the environment and
/// the files that the aws CLI reads.
#[derive(Debug, Args)]
pub(super) struct AwsArgs {
    /// The cluster's region
    #[arg(long, value_name = "REGION", value_parser = NonEmptyStringValueParser::new(), help_heading = after::AWS)]
    pub(super) region: Option<String>,
    /// A profile of ~/.aws/config
    #[arg(long, value_name = "PROFILE", value_parser = NonEmptyStringValueParser::new(), help_heading = after::AWS)]
    pub(super) profile: Option<String>,
    /// A role to assume
    #[arg(long, value_name = "ARN", value_parser = role_arn, help_heading = after::AWS)]
    pub(super) role_arn: Option<String>,
}

/// What is collected besides the answers of AWS, and how.
#[derive(Debug, Args)]
pub(super) struct CollectionArgs {
    /// How nodes are read; several, separated by commas, in order of preference
    #[arg(long, value_name = "HOW", value_enum, value_delimiter = ',', default_values_t = [Nodes::Ssh], help_heading = after::NODES)]
    pub(super) nodes: Vec<Nodes>,
    /// Read this node instead of those that EC2 lists, at an ssh destination if one is given; may be repeated
    #[arg(long, value_name = "NAME[=TARGET]", help_heading = after::NODES)]
    node: Vec<NodeArg>,
    /// The address of a listed node that ssh connects to
    #[arg(long, value_name = "WHICH", value_enum, default_value_t = NodeAddressArg::Private, help_heading = after::NODES, hide_short_help = true)]
    node_address: NodeAddressArg,
    /// Log in as this user; without it, as the user in your ssh configuration
    #[arg(long, value_name = "USER", help_heading = after::NODES)]
    ssh_user: Option<String>,
    /// An option for ssh, as after its -o; may be repeated
    #[arg(long, value_name = "OPTION=VALUE", help_heading = after::NODES, hide_short_help = true)]
    ssh_option: Vec<String>,
    /// The command document that --nodes ssm runs; AWS-RunShellScript needs none of your own, and lets its users run any command as root
    #[arg(long, value_name = "NAME", value_parser = ssm_document, default_value = SSM_DOCUMENT, help_heading = after::NODES, hide_short_help = true)]
    ssm_document: String,
    /// Have nodes that are read by --nodes ssm also write their outputs to this bucket, and read from it those that are too long for Systems Manager
    #[arg(long, value_name = "s3://BUCKET[/PREFIX]", help_heading = after::NODES, hide_short_help = true)]
    ssm_output: Option<S3Arg>,
    /// The context for kubectl, which must be this cluster's; without it, the one that is
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new(), help_heading = after::NODES, hide_short_help = true)]
    pub(super) context: Option<String>,
    /// The kubeconfig file for kubectl
    #[arg(long, value_name = "FILE", help_heading = after::NODES, hide_short_help = true)]
    kubeconfig: Option<PathBuf>,
    /// The namespace of the Jobs that kubectl creates
    #[arg(long, value_name = "NAMESPACE", default_value = "kube-system", value_parser = kubernetes_name, help_heading = after::NODES, hide_short_help = true)]
    namespace: String,
    /// The image of their pods: any with the programs of busybox
    #[arg(long, value_name = "IMAGE", default_value = "public.ecr.aws/docker/library/busybox:1.37.0", value_parser = image, help_heading = after::NODES, hide_short_help = true)]
    image: String,
    /// Print the Jobs that kubectl would create, and create nothing
    #[arg(long, help_heading = after::NODES, hide_short_help = true)]
    pub(super) dry_run: bool,
    /// How many nodes are read at a time
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024), help_heading = after::NODES, hide_short_help = true)]
    concurrency: u16,
    /// The time limit for each AWS operation, name server and node, such as 30 (seconds), 30s or 5m; from 1s to 1h
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration(TIMEOUTS), help_heading = after::NETWORK)]
    timeout: Duration,
    /// Also resolve the endpoint's name with this name server; may be repeated
    #[arg(long, value_name = "IP[:PORT]", help_heading = after::NETWORK, hide_short_help = true)]
    resolver: Vec<ResolverArg>,
    /// What is probed, and from where
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = ProbeArg::All, help_heading = after::NETWORK)]
    probe: ProbeArg,
}

/// The name of a cluster that AWS is asked about.
pub(super) fn named(cluster: Option<String>) -> Result<String, String> {
    cluster.ok_or_else(|| "the name of the cluster is missing; pass --cluster NAME".to_owned())
}

pub(super) fn cluster_options(
    name: String,
    aws: AwsArgs,
    collection: CollectionArgs,
) -> Result<ClusterOptions, String> {
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
    pub(super) fn into_options(self) -> Result<CollectionOptions, String> {
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
            let name = value_name(*how);
            let before = &self.nodes[..number];
            if before.contains(how) {
                return Err(format!("--nodes {name}: it is given twice"));
            }
            if how.pods().is_some() && before.iter().any(|other| other.pods().is_some()) {
                return Err(format!(
                    "--nodes {name}: kubectl is given already; --nodes kubectl uses the pods of the node monitoring agent, and a Job on each node without one"
                ));
            }
            if *how == Nodes::None && self.nodes.len() > 1 {
                return Err("--nodes none excludes other values of --nodes".to_owned());
            }
            transports.extend(self.transport(*how));
        }
        let creates_jobs = |how: &Nodes| how.pods().is_some_and(ReadingPods::creates_jobs);
        if self.dry_run && !self.nodes.iter().any(creates_jobs) {
            return Err(
                "--dry-run is for --nodes kubectl and kubectl-jobs: other ways create nothing".to_owned()
            );
        }
        let named_files = self.named_files();
        let named = self.node.into_iter().map(|node| (node.name, node.target)).collect();
        let nodes = (!transports.is_empty()).then_some(NodeOptions { named, transports });
        Ok(CollectionOptions {
            nodes,
            named_files,
            resolvers: self.resolver.into_iter().map(|resolver| resolver.0).collect(),
            concurrency: self.concurrency.into(),
            // The programs and services that get it take whole seconds.
            timeout: Duration::from_secs(u64::from(self.timeout.subsec_nanos() > 0) + self.timeout.as_secs()),
            probes: matches!(self.probe, ProbeArg::All | ProbeArg::Here),
            probes_from_nodes: matches!(self.probe, ProbeArg::All | ProbeArg::Nodes),
        })
    }

    /// The transport of a value of `--nodes`, which `none` has not.
    fn transport(&self, how: Nodes) -> Option<TransportOptions> {
        Some(match how {
            Nodes::None => return None,
            Nodes::Ssm => TransportOptions::Ssm {
                document: self.ssm_document.clone(),
                output: self.ssm_output.clone().map(|output| (output.bucket, output.prefix)),
            },
            Nodes::Ssh => TransportOptions::Ssh {
                address: self.node_address.into(),
                user: self.ssh_user.clone(),
                options: self.ssh_option.clone(),
            },
            Nodes::Kubectl | Nodes::KubectlAgent | Nodes::KubectlJobs => TransportOptions::Kubectl {
                pods: how.pods()?,
                context: self.context.clone(),
                kubeconfig: self.kubeconfig.clone(),
                namespace: self.namespace.clone(),
                image: self.image.clone(),
            },
        })
    }

    /// The files that options name, whether or not the run reads them.
    fn named_files(&self) -> Vec<NamedFile> {
        let kubeconfig = self.kubeconfig.iter().cloned();
        let kubeconfig = kubeconfig.map(|path| NamedFile { what: "the kubeconfig file", path });
        let of_ssh = self.ssh_option.iter().flat_map(|option| files_of_ssh(option));
        kubeconfig.chain(of_ssh.map(|path| NamedFile { what: "a file of --ssh-option", path })).collect()
    }
}

/// The files that an option of ssh names, such as the keys of `IdentityFile`; none of an option of
/// another kind. Its name and value are separated by `=` or by a blank.
fn files_of_ssh(option: &str) -> impl Iterator<Item = PathBuf> {
    let (name, value) = option.split_once(['=', ' ']).unwrap_or((option, ""));
    let name = name.trim().to_ascii_lowercase();
    let names_files = name.ends_with("file") || name == "include" || name == "revokedhostkeys";
    let words = value.split_whitespace().filter(move |_| names_files);
    words.map(|word| PathBuf::from(word.trim_matches(['=', '"'])))
}

/// A value of `--nodes` as it is written.
fn value_name(how: Nodes) -> String {
    how.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}
