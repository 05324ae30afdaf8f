//! Values on the command line: how each is parsed.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use clap::ValueEnum;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use ipnet::IpNet;

use super::options::{NamedPlace, WriteTo};
use crate::model::access::AccessMode;
use crate::model::kubernetes::ReadingPods;
use crate::model::name::{NodeName, is_cluster_name};
use crate::model::nearest::nearest;
use crate::model::net::{NodeAddress, PUBLIC_BLOCKS_MAX};
use crate::model::ranges::{RangeUse, canonical_block, range_use, reserved_range};
use crate::model::rule::{Severity, Threshold};
use crate::model::seen_from::HERE;
use crate::model::simulation::NamedClient;
use crate::report::format::Format;

/// The severity from which findings fail the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FailOnArg {
    Critical,
    High,
    Medium,
    Low,
    Never,
}

impl FailOnArg {
    pub(super) fn threshold(self) -> Threshold {
        match self {
            Self::Critical => Some(Severity::Critical),
            Self::High => Some(Severity::High),
            Self::Medium => Some(Severity::Medium),
            Self::Low => Some(Severity::Low),
            Self::Never => None,
        }
    }
}

/// An access mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum AccessArg {
    /// The public endpoint alone
    Public,
    /// Both endpoints
    PublicAndPrivate,
    /// The private endpoint alone
    Private,
}

impl AccessArg {
    pub(super) fn mode(self) -> AccessMode {
        match self {
            Self::Public => AccessMode::Public,
            Self::PublicAndPrivate => AccessMode::PublicAndPrivate,
            Self::Private => AccessMode::Private,
        }
    }
}

/// Parses a block, which has no bits set behind its prefix.
fn block(text: &str) -> Result<IpNet, String> {
    let block: IpNet = match (text.parse(), text.parse::<IpAddr>()) {
        (Ok(block), _) => block,
        (_, Ok(address)) => {
            return Err(format!("the prefix length is missing; write {}", IpNet::from(address)));
        }
        _ => return Err("expected a CIDR block, such as 203.0.113.0/24".to_owned()),
    };
    // The parser of blocks takes numbers with a leading zero, which others read as octal.
    if text.split('/').next().is_none_or(|address| address.parse::<IpAddr>().is_err()) {
        return Err("expected a CIDR block without leading zeros, such as 203.0.113.0/24".to_owned());
    }
    without_host_bits(block)?;
    Ok(block)
}

/// Refuses a block that has bits set behind its prefix: which block is meant is not clear.
fn without_host_bits(block: IpNet) -> Result<(), String> {
    if block.trunc() != block && block.prefix_len() == 0 {
        return Err(format!(
            "bits are set behind the prefix; did you mean {}, or all addresses, {}?",
            IpNet::from(block.addr()),
            block.trunc()
        ));
    }
    if block.trunc() != block {
        return Err(format!("bits are set behind the prefix; write {}", block.trunc()));
    }
    Ok(())
}

/// Parses a block of `publicAccessCidrs`.
pub(super) fn public_block(text: &str) -> Result<IpNet, String> {
    let block = block(text.trim())?;
    match reserved_range(&block) {
        Some(reserved) => Err(format!(
            "EKS refuses private and reserved blocks ({reserved}): clients have a public address at the public endpoint, such as that of a NAT gateway"
        )),
        None => Ok(block),
    }
}

/// Checks a list of blocks.
pub(super) fn public_blocks(blocks: &[IpNet]) -> Result<(), String> {
    if blocks.len() > PUBLIC_BLOCKS_MAX {
        return Err(format!(
            "--public-cidrs: {} blocks are given, and EKS accepts at most {PUBLIC_BLOCKS_MAX}",
            blocks.len()
        ));
    }
    Ok(())
}

/// `NAME=CIDR,...` of a client that is not recorded.
#[derive(Debug, Clone)]
pub(super) struct ClientArg(NamedClient);

impl FromStr for ClientArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const NAME_MAX: usize = 100;
        let (name, addresses) =
            text.split_once('=').ok_or("expected NAME=CIDR, such as ci=198.51.100.64/27")?;
        let name = name.trim();
        if name.is_empty() || name.chars().count() > NAME_MAX {
            return Err(format!("a name has 1 to {NAME_MAX} characters"));
        }
        if name.chars().any(char::is_control) {
            return Err("a name has no control characters".to_owned());
        }
        let parse = |text: &str| {
            let text = text.trim();
            text.parse::<IpAddr>().map(IpNet::from).or_else(|_| block(text))
        };
        let mut blocks = Vec::new();
        for block in addresses.split(',').map(parse) {
            let block = block?;
            if !blocks.contains(&block) {
                blocks.push(block);
            }
        }
        Ok(Self(NamedClient { name: name.to_owned(), blocks }))
    }
}

/// The clients, each of which has a name of its own.
pub(super) fn named_clients(args: Vec<ClientArg>) -> Result<Vec<NamedClient>, String> {
    const CLIENTS_MAX: usize = 1000;
    let clients: Vec<_> = args.into_iter().map(|ClientArg(client)| client).collect();
    if clients.iter().map(|client| client.blocks.len()).sum::<usize>() > CLIENTS_MAX {
        return Err(format!("--client: at most {CLIENTS_MAX} blocks can be given"));
    }
    let mut names = HashSet::new();
    match clients.iter().find(|client| !names.insert(client.name.as_str())) {
        Some(NamedClient { name, .. }) => Err(format!(
            "--client: {name} is given twice; pass its blocks together, as in {name}=198.51.100.64/27,203.0.113.7"
        )),
        None => Ok(clients),
    }
}

/// How nodes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Nodes {
    /// With your own ssh, and sudo where the user is not root
    Ssh,
    /// With Run Command of AWS Systems Manager, and the document that `ssm-document` prints
    Ssm,
    /// With your own kubectl: in the pods of the EKS node monitoring agent, or in a Job on each node, which is removed at the end
    Kubectl,
    /// With kubectl, in the pods of the node monitoring agent alone: nothing is created
    KubectlAgent,
    /// With kubectl, in Jobs alone: no pod that exists is used
    KubectlJobs,
    /// Not at all: what only they can show is not judged
    None,
}

impl Nodes {
    /// The pods in which kubectl reads nodes, if it does.
    pub(super) fn pods(self) -> Option<ReadingPods> {
        match self {
            Self::Kubectl => Some(ReadingPods::Any),
            Self::KubectlAgent => Some(ReadingPods::OfAgent),
            Self::KubectlJobs => Some(ReadingPods::OfJobs),
            Self::Ssh | Self::Ssm | Self::None => None,
        }
    }
}

/// What is probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ProbeArg {
    /// Each address of the endpoint and of the EKS-owned ENIs: TCP, TLS, and anonymous requests without credentials; from this machine and from the nodes
    All,
    /// The same, from this machine alone
    Here,
    /// The same, from the nodes alone
    Nodes,
    /// Nothing: what only the answers can show is not judged
    None,
}

/// What nodes are read with that needs permissions of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum NodesWithPermissions {
    /// Run Command of AWS Systems Manager
    Ssm,
}

/// How nodes are read with rights in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum NodesWithRights {
    /// In the pods of the EKS node monitoring agent, or in a Job on each node without one
    Kubectl,
    /// In the pods of the node monitoring agent alone
    KubectlAgent,
    /// In Jobs alone
    KubectlJobs,
}

impl From<NodesWithRights> for ReadingPods {
    fn from(nodes: NodesWithRights) -> Self {
        match nodes {
            NodesWithRights::Kubectl => Self::Any,
            NodesWithRights::KubectlAgent => Self::OfAgent,
            NodesWithRights::KubectlJobs => Self::OfJobs,
        }
    }
}

/// A bucket and the prefix of keys in it.
#[derive(Debug, Clone)]
pub(super) struct S3Arg {
    pub(super) bucket: String,
    pub(super) prefix: Option<String>,
}

impl FromStr for S3Arg {
    type Err = String;

    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>
    fn from_str(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("s3://").ok_or("expected s3://BUCKET or s3://BUCKET/PREFIX")?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_bucket =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte);
        if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(is_bucket) {
            return Err(format!("{bucket:?} is not the name of a bucket"));
        }
        let prefix = prefix.trim_end_matches('/');
        // A command to copy may contain it.
        let is_key = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/=+@".contains(&byte);
        if !prefix.bytes().all(is_key) || prefix.len() > 500 {
            return Err("a prefix has letters, digits and - . _ / = + @ only".to_owned());
        }
        let prefix = (!prefix.is_empty()).then(|| prefix.to_owned());
        Ok(Self { bucket: bucket.to_owned(), prefix })
    }
}

/// The longest wrong name that a message repeats in full, in characters.
const SHOWN_MAX: usize = 100;

/// Checks the name of a cluster to ask AWS about.
///
/// # Errors
/// If no cluster can have it.
pub(super) fn cluster_name(text: &str) -> Result<(), String> {
    if is_cluster_name(text) {
        return Ok(());
    }
    let mut shown: String = text.chars().take(SHOWN_MAX).collect();
    if shown.len() < text.len() {
        shown.push_str("...");
    }
    Err(format!(
        "--cluster {shown:?}: the name of a cluster has 1 to 100 letters, digits, - and _, and begins with a letter or a digit"
    ))
}

/// Parses the name or the ARN of a command document.
pub(super) fn ssm_document(text: &str) -> Result<String, String> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:/".contains(&byte);
    if (3..=128).contains(&text.len()) && text.bytes().all(is_name) && !text.starts_with('-') {
        Ok(text.to_owned())
    } else {
        Err("a document's name has 3 to 128 letters, digits and - . _ : /".to_owned())
    }
}

/// The address of a listed node that ssh connects to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum NodeAddressArg {
    /// Its primary private address
    Private,
    /// Its public address
    Public,
    /// Its private DNS name, which your ssh configuration may resolve
    Name,
    /// Its instance id, for an ssh configuration that goes through Session Manager
    Id,
}

impl From<NodeAddressArg> for NodeAddress {
    fn from(address: NodeAddressArg) -> Self {
        match address {
            NodeAddressArg::Private => Self::Private,
            NodeAddressArg::Public => Self::Public,
            NodeAddressArg::Name => Self::Name,
            NodeAddressArg::Id => Self::Id,
        }
    }
}

/// `NAME[=TARGET]`.
#[derive(Debug, Clone)]
pub(super) struct NodeArg {
    pub(super) name: NodeName,
    pub(super) target: Option<String>,
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

/// A block that hosts of a network can have addresses of.
///
/// # Errors
/// If no host has such addresses, or those of several hosts are equal.
fn host_block(text: &str, block: IpNet) -> Result<IpNet, String> {
    if reserved_range(&block).is_some() && range_use(block.network()) == Some(RangeUse::Special) {
        return Err(format!(
            "{text:?} is not an address of a place: such addresses are those of no host, of groups, or of a host's or link's own"
        ));
    }
    Ok(block)
}

/// `here`, a node, an address or a block.
#[derive(Debug, Clone)]
pub(super) struct FromArg(pub(super) NamedPlace);

impl FromStr for FromArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == HERE {
            return Ok(Self(NamedPlace::Here));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            let address = address.to_canonical();
            return host_block(text, address.into()).map(|_| Self(NamedPlace::Address(address)));
        }
        if text.contains('/') {
            let has_address =
                |_: &IpNet| text.split('/').next().is_some_and(|address| address.parse::<IpAddr>().is_ok());
            let block = text.parse::<IpNet>().ok().filter(has_address);
            let block = block.ok_or_else(|| {
                format!("{text:?} is not a CIDR block, such as 10.1.0.0/16 or 2001:db8::/32")
            })?;
            without_host_bits(block)?;
            return host_block(text, canonical_block(block)).map(|block| Self(NamedPlace::Block(block)));
        }
        // A node's name may begin with an address, and not be a wrong one.
        let is_numeric = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
            || text.contains(':');
        if is_numeric {
            return Err(format!("{text:?} is not an address"));
        }
        let node: NodeName =
            text.parse().map_err(|error| format!("{text:?} is no address and no block, and {error}"))?;
        Ok(Self(NamedPlace::Node(node)))
    }
}

/// `IP[:PORT]` of a name server.
#[derive(Debug, Clone, Copy)]
pub(super) struct ResolverArg(pub(super) SocketAddr);

impl FromStr for ResolverArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let server = text.parse().or_else(|_| text.parse().map(|ip: IpAddr| SocketAddr::new(ip, 53)));
        server
            .map(Self)
            .map_err(|_| "expected an address, such as 10.0.0.2, 10.0.0.2:5353 or [fd00::2]:53".to_owned())
    }
}

/// Parses the name of a namespace: a DNS label.
pub(super) fn kubernetes_name(text: &str) -> Result<String, String> {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_name = (1..=63).contains(&text.len())
        && text.bytes().all(is_allowed)
        && !text.starts_with('-')
        && !text.ends_with('-');
    if is_name { Ok(text.to_owned()) } else { Err("expected lower-case letters, digits and -".to_owned()) }
}

/// Parses the reference of an image.
pub(super) fn image(text: &str) -> Result<String, String> {
    let is_image = !text.is_empty() && text.len() <= 512 && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_image { Ok(text.to_owned()) } else { Err("expected an image, such as busybox:1.37.0".to_owned()) }
}

/// Parses the name of one of `formats`.
pub(super) fn format_of<F>(
    formats: &'static [&'static Format<F>],
) -> impl TypedValueParser<Value = &'static Format<F>>
where
    F: Send + Sync + 'static,
{
    let names = formats.iter().map(|format| PossibleValue::new(format.name).help(format.help));
    PossibleValuesParser::new(names)
        .try_map(|name| formats.iter().copied().find(|format| format.name == name).ok_or("no such format"))
}

/// Parses `FORMAT=FILE`.
pub(super) fn write_to<F>(
    formats: &'static [&'static Format<F>],
) -> impl Fn(&str) -> Result<WriteTo<F>, String> + Clone + Send + Sync + 'static
where
    F: Send + Sync,
{
    |text| {
        let (name, file) = text.split_once('=').ok_or("expected FORMAT=FILE, such as json=report.json")?;
        if file.is_empty() {
            return Err("the file after `=` is missing".to_owned());
        }
        if file == "-" {
            return Err(format!("use --format {name} for standard output"));
        }
        let format = formats.iter().copied().find(|format| format.name == name).ok_or_else(|| {
            let known: Vec<_> = formats.iter().map(|format| format.name).collect();
            match nearest(name, known.iter().copied(), 1).first() {
                Some(near) => format!("there is no format {name:?}; did you mean {near}={file}?"),
                None => format!("the formats are {}", known.join(", ")),
            }
        })?;
        Ok(WriteTo { format, file: file.into() })
    }
}
