//! AWS, DNS and the nodes, all asked at once and recorded.
//!
//! Nothing waits for what it does not need: the nodes are listed while the
//! cluster is described, and ssh logs in meanwhile. What was not got is a gap
//! in the recording; only a cluster that cannot be described ends it.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, bail};
use futures_util::future::try_join_all;
use serde::Serialize;
use tokio::sync::watch;

use super::aws::batch::Part;
pub use super::aws::batch::Together;
use super::aws::failure::{Blames, Failure};
pub use super::aws::session::{AwsRequest, Session};
use super::dns::{VantagePoint, ask};
use super::nodes::{NodesRequest, record_nodes};
use super::progress::Progress;
use crate::evidence::aws::{self as calls, Call};
use crate::evidence::aws::{self as ec2, eks};
use crate::evidence::write::EvidenceWriter;
use crate::model::cluster::{Cluster, Hosting};
use crate::model::file::File;
use crate::model::gap::{Gap, GapReason};
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
            record_nodes(nodes, instances.as_deref(), &host, writer, progress).await?;
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
