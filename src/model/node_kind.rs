//! The kind of a node, as far as it decides how its processes are restarted.

use std::collections::HashMap;

use super::facts::Facts;
use super::kubernetes::KubernetesNode;
use super::name::NodeName;
use super::net::Instance;
use super::node::{NodeStatus, Via};

/// The kind of a node, as far as it decides how its processes are restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeKind {
    /// A Linux host with a login and systemd: Amazon Linux, Ubuntu, or a hybrid node.
    Linux,
    /// A Windows host.
    Windows,
    /// Bottlerocket, whose host has no shell.
    ///
    /// <https://bottlerocket.dev/en/os/latest/concepts/components/>
    Bottlerocket,
    /// EKS Auto Mode: no login of any kind, and kube-proxy and the VPC CNI run as services of
    /// the host.
    ///
    /// <https://docs.aws.amazon.com/eks/latest/userguide/automode.html>
    AutoMode,
    /// Fargate: one pod on a host that AWS owns.
    Fargate,
    /// Not known.
    Unknown,
}

impl NodeKind {
    /// The kind of a node that Kubernetes lists; `Unknown` if it does not show it.
    #[must_use]
    pub fn of_kubernetes(node: &KubernetesNode) -> Self {
        match (node.compute_type.as_deref(), node.os_image.as_deref()) {
            _ if node.is_fargate() => Self::Fargate,
            (Some("auto"), _) => Self::AutoMode,
            _ if node.is_windows => Self::Windows,
            (_, Some(image)) if image.starts_with("Bottlerocket") => Self::Bottlerocket,
            (Some("hybrid"), _) => Self::Linux,
            (_, Some(image)) if !image.is_empty() => Self::Linux,
            _ => Self::Unknown,
        }
    }

    /// The kind of an instance; `Unknown` unless EKS Auto Mode manages it.
    #[must_use]
    pub fn of_instance(instance: &Instance) -> Self {
        if instance.auto_mode { Self::AutoMode } else { Self::Unknown }
    }
}

/// What decides the kinds of nodes, by their names and ids, of which there may be many.
#[derive(Debug)]
pub struct NodeKinds<'a> {
    facts: &'a Facts,
    /// All instances.
    instances: HashMap<&'a str, &'a Instance>,
    /// The nodes that Kubernetes lists, by the instances that it names, with their places in the
    /// list.
    by_instance: HashMap<&'a str, (usize, &'a KubernetesNode)>,
    /// Those by name.
    by_name: HashMap<&'a str, (usize, &'a KubernetesNode)>,
    /// Those by name of which Kubernetes names no instance.
    without_instance: HashMap<&'a str, (usize, &'a KubernetesNode)>,
}

impl<'a> NodeKinds<'a> {
    /// The kinds of the nodes of these facts.
    #[must_use]
    pub fn new(facts: &'a Facts) -> Self {
        let evidence = &facts.evidence;
        let mut kinds = Self {
            facts,
            instances: HashMap::new(),
            by_instance: HashMap::new(),
            by_name: HashMap::new(),
            without_instance: HashMap::new(),
        };
        // Of several with the same name, the first one counts.
        for instance in evidence.network.instances.seen().into_iter().flatten() {
            kinds.instances.entry(&instance.id).or_insert(instance);
        }
        for known in evidence.kubernetes.nodes.seen().into_iter().flatten().enumerate() {
            let (_, node) = known;
            kinds.by_name.entry(&node.name).or_insert(known);
            match node.instance_id() {
                Some(id) => kinds.by_instance.entry(id).or_insert(known),
                None => kinds.without_instance.entry(&node.name).or_insert(known),
            };
        }
        kinds
    }

    /// The node of Kubernetes that a captured one is: the one with its instance, or where that is
    /// not known, the one with its name.
    fn listed(&self, node: &NodeName, id: Option<&str>) -> Option<&'a KubernetesNode> {
        let found = match id {
            Some(id) => {
                let nodes = [self.by_instance.get(id), self.without_instance.get(node.as_str())];
                nodes.into_iter().flatten().min_by_key(|(at, _)| *at)
            }
            None => self.by_name.get(node.as_str()),
        };
        found.map(|(_, node)| *node)
    }

    /// The kind of a captured node: by its instance, by what Kubernetes says of it, or by the
    /// way in which its sockets were read.
    #[must_use]
    pub fn of(&self, node: &NodeName) -> NodeKind {
        let facts = self.facts;
        let machine = match facts.machines_of(node) {
            [] => None,
            [only] => Some(only),
            _ => return NodeKind::Unknown,
        };
        let id = machine.and_then(|machine| machine.instance.as_deref());
        let by_instance = id.and_then(|id| self.instances.get(id)).map(|one| NodeKind::of_instance(one));
        let by_kubernetes = self.listed(node, id).map(NodeKind::of_kubernetes);
        let kinds = [by_instance, by_kubernetes];
        let known = kinds.into_iter().flatten().find(|kind| *kind != NodeKind::Unknown);
        known.unwrap_or_else(|| {
            let read = facts.node(node);
            // Bottlerocket's containers for logins and for Systems Manager have no `ss` that
            // shows the processes of the host.
            let by_login = read.is_some_and(|read| {
                read.status == NodeStatus::Read && matches!(read.via, Some(Via::Ssh | Via::Ssm))
            });
            if by_login || facts.is_hybrid(node) { NodeKind::Linux } else { NodeKind::Unknown }
        })
    }

    /// The kind that all nodes have which EC2 and Kubernetes list; `Unknown` if they differ, or
    /// if there are none.
    #[must_use]
    pub fn only(&self) -> NodeKind {
        let evidence = &self.facts.evidence;
        let listed = evidence.kubernetes.nodes.seen();
        let mut kinds: Vec<_> = listed.into_iter().flatten().map(NodeKind::of_kubernetes).collect();
        if listed.is_none() {
            kinds.extend(evidence.node_instances().map(NodeKind::of_instance));
        }
        kinds.retain(|kind| *kind != NodeKind::Fargate);
        match kinds.split_first() {
            Some((first, rest)) if rest.iter().all(|kind| kind == first) => *first,
            _ => NodeKind::Unknown,
        }
    }
}
