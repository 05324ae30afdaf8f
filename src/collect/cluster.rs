//! The evidence of one cluster: AWS, DNS and the nodes, all at the same time.
//!
//! Nothing waits for what it does not need: instances are listed while the cluster is
//! described, and ssh logs in meanwhile. What cannot be obtained is a gap in the evidence;
//! only a cluster that cannot be described ends the collection.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::sync::watch;

use super::aws::batch::Batch;
use super::aws::cause::Cause;
pub use super::aws::client::AwsRequest;
use super::aws::client::Client;
pub use super::aws::profiles::Variables;
use super::dns::{VantagePoint, resolve};
use super::error::{Result, Undescribed};
use super::nodes::{Awaited, NodesRequest, nodes_left_out, record_nodes};
use super::progress::Progress;
use crate::evidence::aws::{CALLS, Call, DESCRIBE_CLUSTER, DESCRIBE_INSTANCES, parse_interfaces};
use crate::evidence::write::EvidenceWriter;
use crate::model::cluster::{Cluster, Hosting};
use crate::model::file::File;
use crate::model::gap::{Gap, GapReason};
use crate::model::name::NodeName;
use crate::model::net::{EKS_DESCRIPTION, INSTANCES, INTERFACES, Instance, NETWORK_ACLS};

/// The most names of existing clusters in a message.
const NAMES_MAX: usize = 100;

/// What to collect about a cluster.
#[derive(Debug, Clone)]
pub struct Request {
    /// The cluster's name.
    pub cluster: String,
    /// The account and region.
    pub aws: AwsRequest,
    /// How nodes are read; `None` to read none, for which the caller records a gap.
    pub nodes: Option<NodesRequest>,
    /// Bundles of nodes' logs, which are read instead.
    pub bundles: Vec<PathBuf>,
    /// Name servers to query in addition to the host's own.
    pub resolvers: Vec<SocketAddr>,
    /// The time-out of a DNS query.
    pub timeout: Duration,
    /// Whether network ACLs are asked for, which no rule needs.
    pub network_acls: bool,
}

impl Request {
    /// The vantage points other than the nodes.
    fn vantage_points(&self) -> impl Iterator<Item = VantagePoint> {
        let servers: BTreeSet<_> = self.resolvers.iter().copied().collect();
        std::iter::once(VantagePoint::here()).chain(servers.into_iter().map(VantagePoint::server))
    }

    /// The calls of EC2.
    fn calls(&self) -> impl Iterator<Item = &'static Call> {
        let network_acls = self.network_acls;
        CALLS.iter().filter(move |call| network_acls || call.file != NETWORK_ACLS)
    }

    /// The gap that is left where nodes are not to be read.
    pub(super) fn left_out(&self) -> Option<Gap> {
        self.nodes.is_none().then(nodes_left_out)
    }

    /// Ends on the nodes what is running there, because the run ends.
    pub(super) async fn cancel(&self) {
        if let Some(nodes) = &self.nodes {
            nodes.cancel().await;
        }
    }

    /// A node whose name is not unique: nodes, name servers and this machine share one set
    /// of names.
    #[must_use]
    pub fn duplicate_name(&self) -> Option<&NodeName> {
        let mut taken: BTreeSet<_> = self.vantage_points().map(|point| point.name).collect();
        let nodes = self.nodes.iter().flat_map(|nodes| &nodes.named).map(|(name, _)| name);
        { nodes }.find(|name| !taken.insert(name.to_string()))
    }
}

/// Collects and records everything.
///
/// # Errors
/// If the cluster cannot be described, the configuration cannot be used, or the evidence
/// cannot be written.
pub(super) async fn record(
    request: &Request,
    batch: &Batch,
    writer: &EvidenceWriter,
    progress: &Progress,
) -> Result<()> {
    writer.expect(File::CLUSTER);
    for call in request.calls() {
        writer.expect(call.file);
    }
    for point in request.vantage_points() {
        writer.expect(point.subject());
    }
    progress.expect((1 + request.calls().count() + request.vantage_points().count()) as u64);
    progress.set_message("AWS");
    let (host_sender, host) = watch::channel(None);
    let (peers_sender, peers) = watch::channel(None);
    let awaited = Awaited { host, peers: Some(peers) };
    let (cluster_sender, described) = watch::channel(None);
    let cluster = async {
        let cluster = describe_cluster(batch, &request.cluster, writer).await?;
        progress.answered();
        let endpoint = cluster.endpoint.as_ref().map(|endpoint| endpoint.host.as_str());
        cluster_sender.send_replace(Some(Arc::new(cluster.clone())));
        host_sender.send_replace(Some(endpoint.unwrap_or_default().to_owned()));
        let dns = try_join_all(request.vantage_points().map(async |point| {
            match endpoint {
                // The cluster has no endpoint.
                None => writer.skip(&point.subject()),
                Some(host) => record_answer(&point, host, request.timeout, writer).await?,
            }
            progress.answered();
            Ok(())
        }));
        let peers = request.nodes.as_ref().is_some_and(|nodes| nodes.may_filter).then_some(peers_sender);
        tokio::try_join!(dns, describe_network(request, batch, cluster, writer, progress, peers))
    };
    let nodes = async {
        let instances = describe_instances(batch, &request.cluster, writer).await?;
        progress.answered();
        if let Some(nodes) = &request.nodes {
            let client = batch.client();
            record_nodes(nodes, client, instances.as_deref(), &awaited, &described, writer, progress).await?;
        }
        Ok(())
    };
    tokio::try_join!(cluster, nodes)?;
    Ok(())
}

/// Describes and records the cluster.
async fn describe_cluster<'a>(batch: &'a Batch, name: &str, writer: &EvidenceWriter) -> Result<&'a Cluster> {
    let failure = match batch.description(name).await {
        Ok(description) => {
            writer.write(File::CLUSTER, description.json.clone())?;
            return Ok(&description.cluster);
        }
        Err(failure) => failure,
    };
    let is_absent = failure.cause == Cause::NotFound;
    let hint =
        if is_absent { existing_clusters(batch.client()).await } else { failure.hint(DESCRIBE_CLUSTER) };
    let region = batch.client().region();
    let gap = Gap { subject: File::CLUSTER.into(), why: failure.why, detail: failure.detail, hint };
    let message = format!("cannot describe the cluster {name:?} in {region}: {}", gap.cause());
    writer.gap(gap.clone());
    let is_configuration = failure.cause == Cause::Configuration;
    Err(Undescribed { message, gap, is_absent, is_configuration }.into())
}

/// The names of the clusters that exist, as the next step for one that does not.
async fn existing_clusters(client: &Client) -> String {
    let region = client.region();
    match client.list_clusters().await {
        Ok(names) if names.is_empty() => {
            format!("there is no cluster in {region}; pass another --region or --profile")
        }
        Ok(names) => {
            let more = if names.len() > NAMES_MAX { ", ..." } else { "" };
            let names = names[..names.len().min(NAMES_MAX)].join(", ");
            format!("the clusters in {region} are {names}{more}; names are case-sensitive")
        }
        Err(failure) => format!(
            "list those that exist with: aws eks list-clusters --region {region} (tried: {})",
            failure.detail
        ),
    }
}

/// Records the answers about the cluster's VPC.
async fn describe_network(
    request: &Request,
    batch: &Batch,
    cluster: &Cluster,
    writer: &EvidenceWriter,
    progress: &Progress,
    peers: Option<watch::Sender<Option<Vec<IpAddr>>>>,
) -> Result<()> {
    let peers = &peers;
    let calls = request.calls().filter(|call| call.file != INSTANCES);
    let Some(vpc) = &cluster.vpc else {
        for call in calls {
            writer.gap(no_vpc(call, cluster));
            progress.answered();
        }
        return Ok(());
    };
    let recorded = calls.map(async |call| -> Result<()> {
        let part = batch.part(call, &cluster.name, Some(vpc)).await;
        progress.answered();
        match part {
            Ok(part) => {
                let json = part.to_json();
                if let (INTERFACES, Some(peers), Ok(json)) = (call.file, peers, &json) {
                    peers.send_replace(control_plane(json, cluster));
                }
                writer.write_compact(call.file, json)?;
                for missing in part.missing {
                    writer.gap(missing.failure.gap(missing.field, &[missing.action]));
                }
            }
            Err(failure) => writer.gap(failure.gap(call.file, call.actions)),
        }
        Ok(())
    });
    try_join_all(recorded).await?;
    Ok(())
}

/// The addresses of the interfaces that may be of the cluster's control plane; `None` if they
/// cannot be read, or if its API server has another port than the filter on nodes expects.
fn control_plane(interfaces: &[u8], cluster: &Cluster) -> Option<Vec<IpAddr>> {
    let interfaces = parse_interfaces(interfaces).ok().filter(|_| cluster.api_port() == 443)?;
    let of_eks = interfaces.iter().filter(|interface| interface.description.starts_with(EKS_DESCRIPTION));
    let addresses: BTreeSet<_> = of_eks.flat_map(|interface| interface.addresses.iter().copied()).collect();
    Some(addresses.into_iter().collect())
}

/// The gap for an answer about the VPC of a cluster that has none.
fn no_vpc(call: &Call, cluster: &Cluster) -> Gap {
    let (why, detail, hint) = match cluster.hosting {
        Hosting::Connector => (
            GapReason::NotSupported,
            "the cluster is registered through EKS Connector and EKS records no VPC for it",
            "ask the operator of that control plane",
        ),
        _ => (GapReason::NotRecorded, "DescribeCluster names no VPC", "try again when the cluster is ACTIVE"),
    };
    Gap { subject: call.file.into(), why, detail: detail.to_owned(), hint: hint.to_owned() }
}

/// Records the cluster's running nodes and returns them; `None` if they cannot be listed.
async fn describe_instances(
    batch: &Batch,
    cluster: &str,
    writer: &EvidenceWriter,
) -> Result<Option<Vec<Instance>>> {
    let call = &DESCRIBE_INSTANCES;
    match batch.part(call, cluster, None).await {
        Ok(part) => {
            writer.write_compact(call.file, part.to_json())?;
            Ok(Some(part.instances()))
        }
        Err(failure) => {
            writer.gap(failure.gap(call.file, call.actions));
            Ok(None)
        }
    }
}

/// Records the answer of a vantage point.
async fn record_answer(
    point: &VantagePoint,
    host: &str,
    timeout: Duration,
    writer: &EvidenceWriter,
) -> Result<()> {
    let resolved = resolve(point, host, timeout).await;
    match resolved.text {
        Ok(text) => writer.write(point.subject(), text.into_bytes())?,
        Err(gap) => writer.gap(gap),
    }
    if let Some(gap) = resolved.missing {
        writer.gap(gap);
    }
    Ok(())
}
