//! AWS, DNS and the nodes, all asked at once and recorded.
//!
//! Nothing waits for what it does not need: the nodes are listed while the
//! cluster is described, and ssh logs in meanwhile. What was not got is a gap
//! in the recording; only a cluster that cannot be described ends it.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use futures_util::future::try_join_all;
use serde::Serialize;
use tempfile::NamedTempFile;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::aws::batch::Part;
pub use super::aws::batch::Together;
use super::aws::failure::{Blames, Failure};
pub use super::aws::session::{AwsRequest, Session};
use super::dns::{VantagePoint, ask};
use super::progress::Progress;
pub use super::transport::ssh::Destination;
use super::transport::ssh::{self, Ssh};
use super::transport::trouble;
use crate::evidence::aws::{self as calls, Call};
use crate::evidence::aws::{self as ec2, eks};
use crate::evidence::write::{EvidenceWriter, TempDir};
use crate::model::cluster::{Cluster, Hosting};
use crate::model::file::File;
use crate::model::gap::{Gap, GapReason, Subject};
use crate::model::name::NodeName;
use crate::model::net::Instance;
use crate::model::net::{
    DHCP_OPTIONS, INSTANCES, INTERFACES, NAT_GATEWAYS, ROUTE_TABLES, SECURITY_GROUPS, SUBNETS, VPC,
};

/// Names shown of clusters that are there, when one is not.
const NAMES_MAX: usize = 100;

/// What is to be asked.
#[derive(Debug, Clone)]
pub struct Request {
    /// The cluster's name.
    pub cluster: String,
    /// Where AWS is and who asks it.
    pub aws: AwsRequest,
    /// How nodes are read; `None`: not at all, and who does not want them says so.
    pub nodes: Option<NodesRequest>,
    /// Name servers to ask beside the host's own.
    pub resolvers: Vec<SocketAddr>,
    /// The longest that a name server may take.
    pub timeout: Duration,
}

impl Request {
    /// Where names are resolved, beside the nodes.
    fn vantage_points(&self) -> impl Iterator<Item = VantagePoint> {
        let servers: BTreeSet<_> = self.resolvers.iter().copied().collect();
        std::iter::once(VantagePoint::here()).chain(servers.into_iter().map(VantagePoint::server))
    }

    /// A node whose files would be another's: nodes, name servers and this
    /// machine are told apart by name.
    #[must_use]
    pub fn name_taken_twice(&self) -> Option<&NodeName> {
        let mut taken: BTreeSet<_> = self.vantage_points().map(|point| point.name).collect();
        let nodes = self.nodes.iter().flat_map(|nodes| &nodes.named).map(|(name, _)| name);
        { nodes }.find(|name| !taken.insert(name.to_string()))
    }
}

/// How nodes are read.
#[derive(Debug, Clone)]
pub struct NodesRequest {
    /// The nodes, where the user names them; otherwise EC2 lists them.
    pub named: Vec<(NodeName, Option<Destination>)>,
    /// Which address of a listed node is taken.
    pub address: NodeAddress,
    /// The client.
    pub ssh: Ssh,
    /// A seat for each that may be read at a time.
    pub seats: Arc<Semaphore>,
}

/// Which address of a node ssh goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeAddress {
    /// Its primary private address.
    Private,
    /// Its public address.
    Public,
    /// Its private DNS name.
    Name,
    /// Its instance id, for an ssh configuration that goes by Session Manager.
    Id,
}

/// A cluster that cannot be described, so that nothing can be judged.
#[derive(Debug)]
pub struct NoCluster {
    /// Why, and the next step.
    pub message: String,
    /// The same as a gap.
    pub gap: Gap,
    /// There is no such cluster.
    pub is_absent: bool,
}

impl fmt::Display for NoCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for NoCluster {}

/// Asks and records everything.
///
/// # Errors
/// [`NoCluster`]; or if there is no region, or the recording cannot be written.
pub async fn record(
    request: &Request,
    together: &Together,
    writer: &EvidenceWriter,
    progress: &Progress,
) -> Result<()> {
    writer.expect(File::CLUSTER);
    for call in &calls::CALLS {
        writer.expect(call.file);
    }
    for point in request.vantage_points() {
        writer.expect(point.subject());
    }
    progress.expect(1 + calls::CALLS.len() as u64 + request.vantage_points().count() as u64);
    progress.say("AWS");
    let (tell_host, host) = watch::channel(None);
    let cluster = async {
        let cluster = describe_cluster(together, &request.cluster, writer).await?;
        progress.answered();
        let endpoint = cluster.endpoint.as_ref().map(|endpoint| endpoint.host.clone());
        tell_host.send_replace(Some(endpoint.clone().unwrap_or_default()));
        let dns = try_join_all(request.vantage_points().map(async |point| {
            match &endpoint {
                // The cluster itself says that it has none.
                None => writer.skip(&point.subject()),
                Some(host) => resolve(&point, host, request.timeout, writer).await?,
            }
            progress.answered();
            anyhow::Ok(())
        }));
        tokio::try_join!(dns, about_vpc(together, &cluster, writer, progress))?;
        anyhow::Ok(())
    };
    let nodes = async {
        let instances = instances(together, &request.cluster, writer).await?;
        progress.answered();
        if let Some(nodes) = &request.nodes {
            return read_nodes(nodes, instances.as_deref(), &host, writer, progress).await;
        }
        Ok(())
    };
    tokio::try_join!(cluster, nodes)?;
    Ok(())
}

async fn describe_cluster(together: &Together, name: &str, writer: &EvidenceWriter) -> Result<Cluster> {
    let failure = match together.describe_cluster(name).await {
        Ok(bytes) => match eks::parse_cluster(&bytes) {
            Ok(cluster) if cluster.name == name => {
                writer.write(File::CLUSTER, &bytes)?;
                return Ok(cluster);
            }
            Ok(cluster) => Failure::malformed(format!("the answer is about the cluster {:?}", cluster.name)),
            Err(error) => Failure::malformed(error.to_string()),
        },
        Err(failure) => failure,
    };
    let session = together.session();
    let region = session.region();
    let next = match failure.blames {
        Blames::Name => others(session).await,
        _ => failure.hint(calls::DESCRIBE_CLUSTER),
    };
    let gap = Gap {
        subject: File::CLUSTER.into(),
        why: failure.why,
        detail: failure.detail.clone(),
        hint: next.clone(),
    };
    writer.gap(gap.clone());
    let message = format!("cannot describe the cluster {name:?} in {region}: {}; {next}", failure.detail);
    if failure.blames == Blames::Configuration {
        bail!("{message}");
    }
    Err(NoCluster { message, gap, is_absent: failure.blames == Blames::Name }.into())
}

/// The clusters that there are, as the next step for one that is not.
async fn others(session: &Session) -> String {
    let region = session.region();
    match session.list_clusters().await {
        Ok(names) if names.is_empty() => {
            format!("there is no cluster in {region}; pass another --region or --profile")
        }
        Ok(names) => {
            let more = if names.len() > NAMES_MAX { ", ..." } else { "" };
            let names = names[..names.len().min(NAMES_MAX)].join(", ");
            format!("the clusters in {region} are {names}{more}; names are case-sensitive")
        }
        Err(failure) => format!(
            "see which there are with: aws eks list-clusters --region {region} (asked here: {})",
            failure.detail
        ),
    }
}

/// Everything that is known by the VPC's id.
async fn about_vpc(
    together: &Together,
    cluster: &Cluster,
    writer: &EvidenceWriter,
    progress: &Progress,
) -> Result<()> {
    let Some(vpc) = &cluster.vpc else {
        let (why, detail, hint) = match cluster.hosting {
            Hosting::Connector => (
                GapReason::NotSupported,
                "the cluster is registered through EKS Connector and has no VPC that EKS knows",
                "ask whoever runs that control plane",
            ),
            _ => (
                GapReason::NotRecorded,
                "DescribeCluster names no VPC",
                "ask again when the cluster is ACTIVE",
            ),
        };
        for call in calls::CALLS.iter().filter(|call| call.file != INSTANCES) {
            writer.gap(Gap {
                subject: call.file.into(),
                why,
                detail: detail.to_owned(),
                hint: hint.to_owned(),
            });
            progress.answered();
        }
        return Ok(());
    };
    let keep = |call: &Call, answer: Result<Part<'_>, Failure>| {
        progress.answered();
        keep(writer, call, answer)
    };
    let vpc_itself = async {
        let (answer, lacks) = together.vpc(vpc).await;
        progress.answered();
        self::keep(writer, call_of(VPC), answer)?;
        for (attribute, failure) in lacks {
            let action = calls::DESCRIBE_VPC_ATTRIBUTE;
            writer.gap(Gap {
                subject: attribute.into(),
                why: failure.why,
                detail: format!("{action}: {}", failure.detail),
                hint: failure.hint(action),
            });
        }
        anyhow::Ok(())
    };
    tokio::try_join!(
        vpc_itself,
        async { keep(call_of(INTERFACES), together.interfaces(vpc).await) },
        async { keep(call_of(SUBNETS), together.subnets(vpc).await) },
        async { keep(call_of(DHCP_OPTIONS), together.dhcp_options().await) },
        async { keep(call_of(NAT_GATEWAYS), together.nat_gateways(vpc).await) },
        async { keep(call_of(ROUTE_TABLES), together.route_tables(vpc).await) },
        async { keep(call_of(SECURITY_GROUPS), together.security_groups(vpc).await) },
    )?;
    Ok(())
}

/// Writes an answer, or why there is none.
fn keep(writer: &EvidenceWriter, call: &Call, answer: Result<impl Serialize, Failure>) -> Result<()> {
    match answer {
        Ok(value) => Ok(writer.write_json(call.file, &value)?),
        Err(failure) => {
            writer.gap(gap_of(call, &failure));
            Ok(())
        }
    }
}

/// The call that makes a file.
fn call_of(file: File) -> &'static Call {
    calls::CALLS.iter().find(|call| call.file == file).unwrap_or(&calls::CALLS[0])
}

fn gap_of(call: &Call, failure: &Failure) -> Gap {
    let actions = call.actions.join(" and ");
    Gap {
        subject: call.file.into(),
        why: failure.why,
        detail: format!("{}: {}", call.actions[0], failure.detail),
        hint: failure.hint(&actions),
    }
}

/// The cluster's running nodes, as the model has them; `None` if they are not
/// to be had.
async fn instances(
    together: &Together,
    cluster: &str,
    writer: &EvidenceWriter,
) -> Result<Option<Vec<Instance>>> {
    let answer = together.instances(cluster).await;
    let call = call_of(INSTANCES);
    let failure = match answer {
        Ok(value) => match ec2::parse_instances(&serde_json::to_vec(&value)?) {
            Ok(instances) => {
                writer.write_json(call.file, &value)?;
                return Ok(Some(instances));
            }
            Err(error) => Failure::malformed(error.to_string()),
        },
        Err(failure) => failure,
    };
    writer.gap(gap_of(call, &failure));
    Ok(None)
}

async fn resolve(point: &VantagePoint, host: &str, timeout: Duration, writer: &EvidenceWriter) -> Result<()> {
    let answered = ask(point, host, timeout).await;
    match answered.text {
        Ok(text) => writer.write(point.subject(), text.as_bytes())?,
        Err(gap) => writer.gap(gap),
    }
    if let Some(gap) = answered.lacks {
        writer.gap(gap);
    }
    Ok(())
}

/// A node and where ssh finds it, or why it cannot.
pub(super) type Target = (NodeName, Result<Destination, Gap>);

async fn read_nodes(
    request: &NodesRequest,
    instances: Option<&[Instance]>,
    host: &watch::Receiver<Option<String>>,
    writer: &EvidenceWriter,
    progress: &Progress,
) -> Result<()> {
    let targets = targets(request, instances.unwrap_or_default());
    if targets.is_empty() {
        writer.gap(no_nodes(instances.is_some()));
    }
    for (name, _) in &targets {
        writer.expect(name.clone());
    }
    progress.expect(targets.len() as u64);
    progress.say("nodes");
    let seats = &request.seats;
    let mut sessions = JoinSet::new();
    for (name, target) in targets {
        let to = match target {
            Ok(to) => to,
            Err(gap) => {
                writer.gap(gap);
                progress.answered();
                continue;
            }
        };
        let (ssh, host, seats) = (request.ssh.clone(), host.clone(), Arc::clone(seats));
        let place = writer.temp_dir();
        sessions.spawn(async move {
            let _seat = seats.acquire_owned().await;
            read_node(&ssh, name, to, host, &place).await
        });
    }
    while let Some(read) = sessions.join_next().await {
        let read = read?;
        progress.answered();
        progress.say(format!("node {}", read.name));
        if let Some(capture) = read.capture {
            writer.keep_capture(&read.name, capture)?;
        }
        match read.answer {
            Some(Ok(answer)) => writer.write(Subject::Vantage(read.name.to_string()), &answer)?,
            Some(Err(gap)) => writer.gap(gap),
            None => {}
        }
        if let Some(gap) = read.gap {
            writer.gap(gap);
        }
    }
    Ok(())
}

/// What a node gave.
struct NodeRead {
    name: NodeName,
    /// Its sockets, unless it gave none.
    capture: Option<NamedTempFile>,
    /// What its resolver says; `None` where it was not come to that.
    answer: Option<Result<Vec<u8>, Gap>>,
    gap: Option<Gap>,
}

async fn read_node(
    ssh: &Ssh,
    name: NodeName,
    to: Destination,
    host: watch::Receiver<Option<String>>,
    place: &TempDir,
) -> NodeRead {
    let known_host = host.clone();
    let mut capture = None;
    let open = || {
        let file = capture.insert(place.temp_file()?);
        file.reopen().map(std::io::BufWriter::new)
    };
    let session = match ssh::read(ssh, &to, host, open).await {
        Ok(session) => session,
        Err(error) => {
            let gap = trouble::not_run(&name, &error);
            return NodeRead { name, capture: None, answer: None, gap: Some(gap) };
        }
    };
    let gap = trouble::gap(&name, &to, &session);
    let has_ended = !session.transcript.ended.is_empty();
    let is_asked = known_host.borrow().as_deref().is_some_and(|host| !host.is_empty());
    let answer = (has_ended && is_asked).then(|| trouble::answer(&name, &session));
    let is_read = session.transcript.captured > 0;
    NodeRead { capture: capture.filter(|_| is_read), answer, gap, name }
}

/// The nodes to read: those that the user named, or else those that EC2 lists.
pub(super) fn targets(request: &NodesRequest, instances: &[Instance]) -> Vec<Target> {
    if request.named.is_empty() {
        let mut taken = BTreeSet::new();
        // An instance whose id is no name is not EC2's; as one that nobody read
        // it is missed later.
        let listed = instances.iter().filter_map(|instance| {
            // Two that share a name are still two.
            let name = node_name(instance).filter(|name| taken.insert(name.clone()));
            let name = name.or_else(|| instance.id.parse().ok())?;
            let target = target(&name, instance, request.address);
            Some((name, target))
        });
        return listed.collect();
    }
    let named = request.named.iter().map(|(name, target)| {
        let listed = instances.iter().find(|instance| is_called(instance, name.as_str()));
        let target = match (target, listed) {
            (Some(target), _) => Ok(target.clone()),
            // Who names an instance by its id has an ssh configuration that knows
            // ids, as for Session Manager.
            (None, Some(instance)) if instance.id == name.as_str() => {
                self::target(name, instance, NodeAddress::Id)
            }
            (None, Some(instance)) => self::target(name, instance, request.address),
            (None, None) => destination(name, name.as_str()),
        };
        (name.clone(), target)
    });
    named.collect()
}

/// What Kubernetes calls a node: its instance's private DNS name.
fn node_name(instance: &Instance) -> Option<NodeName> {
    instance.dns_name.as_deref()?.parse().ok()
}

pub(super) fn is_called(instance: &Instance, name: &str) -> bool {
    let dns_name = instance.dns_name.as_deref().unwrap_or_default();
    instance.id == name
        || dns_name == name
        || dns_name.split('.').next() == Some(name)
        || instance.name_tag() == Some(name)
        || instance.addresses.iter().any(|address| address.to_string() == name)
}

fn target(name: &NodeName, instance: &Instance, which: NodeAddress) -> Result<Destination, Gap> {
    if instance.auto_mode {
        return Err(Gap {
            subject: name.clone().into(),
            why: GapReason::NotSupported,
            detail: "EKS Auto Mode runs it, and its nodes cannot be read over ssh".to_owned(),
            hint: "capture `ss -tnp` in a debug pod (kubectl debug node/NODE --profile=sysadmin) and judge it with --evidence".to_owned(),
        });
    }
    let (text, word) = match which {
        NodeAddress::Private => (instance.addresses.first().map(ToString::to_string), "private address"),
        NodeAddress::Public => (instance.public_ip.map(|ip| ip.to_string()), "public address"),
        NodeAddress::Name => (instance.dns_name.clone(), "private DNS name"),
        NodeAddress::Id => (Some(instance.id.clone()), "id"),
    };
    let Some(text) = text else {
        return Err(Gap {
            subject: name.clone().into(),
            why: GapReason::Unreachable,
            detail: format!("EC2 knows no {word} of it"),
            hint: "choose another with --node-address, or pass --node NAME=TARGET".to_owned(),
        });
    };
    destination(name, &text)
}

fn destination(name: &NodeName, text: &str) -> Result<Destination, Gap> {
    text.parse().map_err(|error| Gap {
        subject: name.clone().into(),
        why: GapReason::Unreachable,
        detail: format!("{text:?} is {error}"),
        hint: "pass --node NAME=TARGET".to_owned(),
    })
}

/// Nodes that the user does not want read.
#[must_use]
pub fn nodes_left_out() -> Gap {
    Gap {
        subject: Subject::Nodes,
        why: GapReason::NotAsked,
        detail: "no node was to be read (--nodes none)".to_owned(),
        hint: "leave out --nodes none to have their connections judged".to_owned(),
    }
}

/// Nobody says which nodes there are.
pub(super) fn no_nodes(is_listed: bool) -> Gap {
    let detail = if is_listed {
        "EC2 lists no running instance with the cluster's tags: there are none, or they are on Fargate or outside of EC2, where ssh does not reach"
    } else {
        "EC2 did not say which instances are nodes"
    };
    Gap {
        subject: Subject::Nodes,
        why: GapReason::NotRecorded,
        detail: detail.to_owned(),
        hint: "name them with --node NAME=TARGET".to_owned(),
    }
}
