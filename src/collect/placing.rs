//! The targets of the nodes by a transport. Where nodes are reached through the cluster, it is
//! asked for its nodes first, and pods are placed on them.

use std::sync::Arc;

use tokio::sync::watch;

use super::transport::kubectl::{Jobs, KubectlConfig, Placed, Refusal, Session, skipped};
use super::transport::{Target, Transport};
use crate::model::cluster::Cluster;
use crate::model::gap::{Gap, Subject};
use crate::model::kubernetes::{ENDPOINT_SLICES, NODES};
use crate::model::name::NodeName;
use crate::model::net::Instance;
use crate::model::tools::Kubectl;

/// The cluster, once it is described.
pub(super) type Described = watch::Receiver<Option<Arc<Cluster>>>;

/// A node to read or to sample.
#[derive(Debug, Clone)]
pub(super) struct WantedNode {
    pub(super) name: NodeName,
    /// The instance that EC2 lists under this name.
    pub(super) instance: Option<Instance>,
    /// Whether the user named it.
    pub(super) is_named: bool,
    /// The target that the user gave, which is one of ssh.
    pub(super) target: Option<Target>,
}

/// The targets by one transport.
#[derive(Default)]
pub(super) struct Targets {
    /// Each node with its target, or why it has none.
    pub(super) nodes: Vec<(WantedNode, Result<Target, Gap>)>,
    /// What was created in the cluster.
    pub(super) jobs: Option<Jobs>,
    /// What the cluster answered.
    pub(super) kubernetes: Option<Answers>,
    /// How kubectl reached the cluster, if it did.
    pub(super) kubectl: Option<Kubectl>,
}

/// What the cluster answered about itself: recorded as evidence.
pub(super) struct Answers {
    pub(super) nodes: Result<Vec<u8>, Gap>,
    pub(super) slices: Result<Vec<u8>, Gap>,
}

/// The user's configuration is wrong.
#[derive(Debug)]
pub(super) struct WrongConfiguration(pub(super) String);

/// Finds the target of each node in `wanted`. The nodes of which only the cluster knows are
/// added, unless the user named nodes; `known` are those that were wanted at first. Nothing is
/// created for those that are not chosen.
///
/// # Errors
/// If the user's configuration is wrong.
pub(super) async fn find_targets(
    transport: &Transport,
    wanted: Vec<WantedNode>,
    known: &[WantedNode],
    are_named: bool,
    is_chosen: &(dyn Fn(&WantedNode) -> bool + Sync),
    cluster: &Described,
) -> Result<Targets, WrongConfiguration> {
    match transport {
        // Systems Manager needs none: it reads all nodes at a time.
        Transport::Ssh(_) | Transport::Ssm(_) => {
            let nodes = wanted.into_iter().map(|node| {
                let target = target(transport, &node);
                (node, target)
            });
            Ok(Targets { nodes: nodes.collect(), ..Targets::default() })
        }
        Transport::Kubectl(config) => {
            let known = (!are_named).then_some(known);
            through_cluster(config, wanted, known, is_chosen, cluster.clone()).await
        }
    }
}

/// The target of a node, or why it has none.
pub(super) fn target(transport: &Transport, node: &WantedNode) -> Result<Target, Gap> {
    if let Some(target) = &node.target {
        return Ok(target.clone());
    }
    let target = match &node.instance {
        Some(instance) if !node.is_named => transport.listed_target(instance),
        instance => transport.named_target(&node.name, instance.as_ref()),
    };
    target.map_err(|diagnosis| diagnosis.gap(node.name.clone()))
}

/// Places a pod on each node. `known` is `None` if no nodes are added.
async fn through_cluster(
    config: &KubectlConfig,
    mut wanted: Vec<WantedNode>,
    known: Option<&[WantedNode]>,
    is_chosen: &(dyn Fn(&WantedNode) -> bool + Sync),
    mut cluster: Described,
) -> Result<Targets, WrongConfiguration> {
    let described = cluster.wait_for(Option::is_some).await.ok().and_then(|cluster| cluster.clone());
    // If it cannot be described, the run is ending.
    let Some(cluster) = described else { return Ok(Targets::default()) };
    let session = match Session::open(config, &cluster).await {
        Ok(session) => session,
        Err(Refusal::Usage(message)) => return Err(WrongConfiguration(message)),
        Err(Refusal::Gap(why)) => {
            let gap = |subject: Subject| why.clone().gap(subject);
            let nodes = wanted.into_iter().map(|node| {
                let gap = gap(Subject::Node(node.name.clone()));
                (node, Err(gap))
            });
            let kubernetes =
                Answers { nodes: Err(gap(NODES.into())), slices: Err(gap(ENDPOINT_SLICES.into())) };
            let nodes = nodes.collect();
            return Ok(Targets { nodes, kubernetes: Some(kubernetes), ..Targets::default() });
        }
    };
    if let Some(known) = known {
        wanted.extend(only_of_cluster(&session, known));
    }
    // The others are named in messages only.
    let (wanted, not_chosen): (Vec<_>, Vec<_>) = wanted.into_iter().partition(is_chosen);
    let nodes = session.find_all(wanted.iter().map(|node| {
        let instance = node.instance.as_ref().map(|instance| instance.id.as_str());
        (&node.name, instance)
    }));
    let Placed { targets, jobs } = session.place(nodes).await;
    let nodes = wanted.into_iter().zip(targets).map(|(node, target)| {
        // A target that the user gave is one of another transport.
        let target = target.map(Target::Kubectl).map_err(|why| why.gap(node.name.clone()));
        (node, target)
    });
    let skipped = not_chosen.into_iter().map(|node| {
        let gap = skipped().gap(node.name.clone());
        (node, Err(gap))
    });
    let nodes = nodes.chain(skipped).collect();
    let kubectl = Some(session.kubectl());
    let kubernetes = Some(Answers { nodes: Ok(session.nodes_json), slices: session.slices_json });
    Ok(Targets { nodes, jobs, kubernetes, kubectl })
}

/// The nodes that the cluster lists and EC2 does not. On Fargate, the host is AWS's.
pub(super) fn only_of_cluster<'a>(
    session: &'a Session,
    known: &'a [WantedNode],
) -> impl Iterator<Item = WantedNode> + 'a {
    let is_known = |name: &str, id: Option<&str>| {
        known.iter().any(|node| {
            node.name.as_str() == name
                || node.instance.as_ref().is_some_and(|instance| Some(instance.id.as_str()) == id)
        })
    };
    let others = session
        .nodes
        .iter()
        .filter(move |node| !node.is_fargate() && !is_known(&node.name, node.instance_id()));
    others.filter_map(|node| {
        let name = node.name.parse().ok()?;
        Some(WantedNode { name, instance: None, is_named: false, target: None })
    })
}
