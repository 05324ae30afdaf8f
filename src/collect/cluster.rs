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

use super::aws::answer::Part;
use super::aws::batch::Batch;
use super::aws::cause::Cause;
pub use super::aws::client::AwsRequest;
use super::aws::client::Client;
pub use super::aws::profiles::Variables;
use super::dns::{VantagePoint, resolve};
use super::error::{CollectError, Result, Undescribed};
use super::nodes::{Awaited, NodesRecording, NodesRequest, nodes_left_out, record_nodes};
use super::probe::{ProbeRequest, Prober};
use super::progress::Progress;
use super::transport::probe::NodeProbe;
use crate::evidence::aws::interfaces::NetworkInterface;
use crate::evidence::aws::{CALLS, Call, DESCRIBE_CLUSTER, DESCRIBE_INSTANCES, parse_interfaces};
use crate::evidence::write::EvidenceWriter;
use crate::model::cluster::{Cluster, Hosting};
use crate::model::file::File;
use crate::model::gap::{Gap, GapReason, Subject};
use crate::model::name::NodeName;
use crate::model::net::{EKS_DESCRIPTION, INSTANCES, INTERFACES, Instance, Interface, NETWORK_ACLS};
use crate::model::probe::{Probe, ProbeTarget, ProbeTool};
use crate::model::seen_from::HERE;
use crate::model::tools::Tools;

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
    /// How the endpoint is probed; `None` if it is not.
    pub probe: Option<ProbeRequest>,
    /// How the tools of the user reach the cluster, as far as it is known before.
    pub tools: Tools,
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

    /// The gap that is left where nodes are not to be read. Rules on probes that are not made
    /// are listed as not judged.
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

/// The name of a step: the probe of the endpoint.
const PROBE: &str = "the probe of the endpoint";

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
    writer.tools(request.tools.clone());
    writer.expect(File::CLUSTER);
    for call in request.calls() {
        writer.expect(call.file);
    }
    for point in request.vantage_points() {
        writer.expect(point.subject());
    }
    if request.probe.is_some() {
        writer.expect(here());
        progress.expect_step(PROBE);
    }
    progress.expect_step(File::CLUSTER.name());
    request.calls().for_each(|call| progress.expect_step(call.file.name()));
    request.vantage_points().for_each(|point| progress.expect_step(point.subject().to_string()));
    let (host_sender, host) = watch::channel(None);
    let (peers_sender, peers) = watch::channel(None);
    let (targets_sender, targets) = watch::channel(None);
    let awaited = Awaited { host, peers: Some(peers), targets };
    let (cluster_sender, described) = watch::channel(None);
    let cluster = async {
        let cluster = describe_cluster(batch, &request.cluster, writer).await?;
        progress.answered_step(File::CLUSTER.name());
        let endpoint = cluster.endpoint.as_ref().map(|endpoint| endpoint.host.as_str());
        cluster_sender.send_replace(Some(Arc::new(cluster.clone())));
        host_sender.send_replace(Some(endpoint.unwrap_or_default().to_owned()));
        let (answer_sender, answer) = watch::channel(None);
        let (enis_sender, enis) = watch::channel(None);
        let dns = async {
            try_join_all(request.vantage_points().map(async |point| {
                let addresses = match endpoint {
                    // The cluster has no endpoint.
                    None => {
                        writer.skip(&point.subject());
                        BTreeSet::new()
                    }
                    Some(host) => record_answer(&point, host, request.timeout, writer).await?,
                };
                if point.is_here() {
                    answer_sender.send_replace(Some(addresses));
                }
                progress.answered_step(&point.subject().to_string());
                Ok::<_, CollectError>(())
            }))
            .await
        };
        let for_nodes = {
            let (mut answer, mut enis) = (answer.clone(), enis.clone());
            async move {
                let (endpoint, enis) = (seen(&mut answer).await, seen(&mut enis).await);
                targets_sender.send_replace(Some(NodeProbe::new(cluster, &endpoint, &enis).map(Arc::new)));
                Ok(())
            }
        };
        let probe = async {
            if let Some(probe) = &request.probe {
                record_probe(probe, cluster, answer, enis, writer).await?;
                progress.answered_step(PROBE);
            }
            Ok(())
        };
        let peers = request.nodes.as_ref().is_some_and(|nodes| nodes.may_filter).then_some(peers_sender);
        let network = describe_network(request, batch, cluster, &enis_sender, writer, progress, peers);
        tokio::try_join!(dns, network, probe, for_nodes)
    };
    let nodes = async {
        let instances = describe_instances(batch, &request.cluster, writer).await?;
        progress.answered_step(INSTANCES.name());
        if let Some(nodes) = &request.nodes {
            let client = batch.client();
            let recording = NodesRecording { request: nodes, client, awaited: &awaited, writer, progress };
            record_nodes(recording, instances.as_deref(), &described).await?;
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
    enis: &watch::Sender<Option<BTreeSet<IpAddr>>>,
    writer: &EvidenceWriter,
    progress: &Progress,
    peers: Option<watch::Sender<Option<Vec<IpAddr>>>>,
) -> Result<()> {
    let peers = &peers;
    let calls = request.calls().filter(|call| call.file != INSTANCES);
    let Some(vpc) = &cluster.vpc else {
        for call in calls {
            writer.gap(no_vpc(call, cluster));
            progress.answered_step(call.file.name());
        }
        enis.send_replace(Some(BTreeSet::new()));
        return Ok(());
    };
    let recorded = calls.map(async |call| -> Result<()> {
        let part = batch.part(call, &cluster.name, Some(vpc)).await;
        progress.answered_step(call.file.name());
        if call.file == INTERFACES {
            enis.send_replace(Some(
                part.as_ref().map(|part| eni_addresses(part, cluster)).unwrap_or_default(),
            ));
        }
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

/// The addresses of the cluster's EKS-owned ENIs.
fn eni_addresses(part: &Part<'_>, cluster: &Cluster) -> BTreeSet<IpAddr> {
    // A VPC may have many interfaces: only those with the description are parsed again.
    let described =
        part.items().filter(|json| memchr::memmem::find(json, EKS_DESCRIPTION.as_bytes()).is_some());
    let interfaces = described.filter_map(|json| serde_json::from_slice::<NetworkInterface>(json).ok());
    let owned = interfaces.map(Interface::from).filter(|interface| interface.is_eks_owned(cluster));
    owned.flat_map(|interface| interface.addresses).collect()
}

/// What this machine's probes are.
fn here() -> Subject {
    Subject::Probe(HERE.to_owned())
}

/// Addresses, once they are known; none if they never are.
async fn seen(receiver: &mut watch::Receiver<Option<BTreeSet<IpAddr>>>) -> BTreeSet<IpAddr> {
    let seen = receiver.wait_for(Option::is_some).await;
    seen.ok().and_then(|seen| seen.clone()).unwrap_or_default()
}

/// Probes the addresses of the endpoint, as soon as they are resolved, and those of the
/// EKS-owned ENIs, and records the answers.
async fn record_probe(
    request: &ProbeRequest,
    cluster: &Cluster,
    mut answer: watch::Receiver<Option<BTreeSet<IpAddr>>>,
    mut enis: watch::Receiver<Option<BTreeSet<IpAddr>>>,
    writer: &EvidenceWriter,
) -> Result<()> {
    let Some(prober) = Prober::new(request, cluster) else {
        writer.skip(&here());
        return Ok(());
    };
    let endpoint = seen(&mut answer).await;
    let of_enis = async {
        let enis: BTreeSet<_> = seen(&mut enis).await.difference(&endpoint).copied().collect();
        prober.probe(&enis, ProbeTarget::Eni).await
    };
    let (mut answers, of_enis) = tokio::join!(prober.probe(&endpoint, ProbeTarget::Endpoint), of_enis);
    answers.extend(of_enis);
    if answers.is_empty() {
        writer.gap(Gap {
            subject: here(),
            why: GapReason::NoAnswer,
            detail: "no address of the endpoint or of an EKS-owned ENI is known to probe".to_owned(),
            hint: "see the gaps in DNS and in the network interfaces".to_owned(),
        });
        return Ok(());
    }
    let probe =
        Probe { vantage: HERE.to_owned(), host: prober.host().to_owned(), tool: ProbeTool::Own, answers };
    writer.write_probe(&probe)?;
    Ok(())
}

/// Records the answer of a vantage point. Returns its addresses.
async fn record_answer(
    point: &VantagePoint,
    host: &str,
    timeout: Duration,
    writer: &EvidenceWriter,
) -> Result<BTreeSet<IpAddr>> {
    let resolved = resolve(point, host, timeout).await;
    let mut addresses = BTreeSet::new();
    match resolved.text {
        Ok(text) => {
            addresses.extend(text.lines().filter_map(|line| line.parse::<IpAddr>().ok()));
            writer.write(point.subject(), text.into_bytes())?;
        }
        Err(gap) => writer.gap(gap),
    }
    if let Some(gap) = resolved.missing {
        writer.gap(gap);
    }
    Ok(addresses)
}
