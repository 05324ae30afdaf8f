//! Objects of the Kubernetes API, and the files of the evidence directory that record them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::file::File;
use super::gap::{Gap, Observed};

/// `kubectl get nodes`.
pub const NODES: File = File::new("kubernetes/nodes.json");
/// `kubectl get endpointslices` of the namespace `default`.
pub const ENDPOINT_SLICES: File = File::new("kubernetes/endpointslices.json");

/// The pods in which kubectl reads nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadingPods {
    /// Those of the EKS node monitoring agent, and on each node without one that of a Job.
    Any,
    /// Those of the node monitoring agent alone: nothing is created.
    OfAgent,
    /// Those of Jobs alone: no pod that exists is used.
    OfJobs,
}

impl ReadingPods {
    /// Whether programs are run in the pods of the node monitoring agent.
    #[must_use]
    pub fn uses_agent(self) -> bool {
        self != Self::OfJobs
    }

    /// Whether Jobs are created.
    #[must_use]
    pub fn creates_jobs(self) -> bool {
        self != Self::OfAgent
    }
}

/// What the Kubernetes API answered: a second witness beside EC2. Missing answers are gaps
/// only for the rules that need them.
#[derive(Debug, Clone)]
pub struct Kubernetes {
    /// The nodes, sorted by name.
    pub nodes: Observed<Vec<KubernetesNode>>,
    /// The addresses of the API server in the endpoint slices of the `kubernetes` Service.
    /// EKS keeps them equal to those of the EKS-owned ENIs.
    pub api_addresses: Observed<BTreeSet<IpAddr>>,
}

impl Kubernetes {
    /// Nothing obtained, with one gap as the reason.
    #[must_use]
    pub fn unseen(gap: &Gap) -> Self {
        Self { nodes: Observed::Unseen(gap.clone()), api_addresses: Observed::Unseen(gap.clone()) }
    }

    /// Whether an answer is missing.
    #[must_use]
    pub fn lacks(&self, file: File) -> bool {
        match file {
            NODES => self.nodes.seen().is_none(),
            ENDPOINT_SLICES => self.api_addresses.seen().is_none(),
            _ => false,
        }
    }

    /// Takes an answer away, with a gap as the reason.
    pub fn take_away(&mut self, file: File, gap: &Gap) {
        match file {
            NODES => self.nodes = Observed::Unseen(gap.clone()),
            ENDPOINT_SLICES => self.api_addresses = Observed::Unseen(gap.clone()),
            _ => {}
        }
    }
}

/// A node as the Kubernetes API lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesNode {
    /// Its name.
    pub name: String,
    /// Its addresses of the type `InternalIP`.
    pub addresses: Vec<IpAddr>,
    /// `providerID`, such as `aws:///ap-northeast-2a/i-0123456789abcdef0`.
    pub provider_id: Option<String>,
    /// The label `eks.amazonaws.com/compute-type`: `auto`, `fargate`, `hybrid`, ...
    pub compute_type: Option<String>,
    /// `osImage`.
    pub os_image: Option<String>,
    /// Whether its operating system is Windows.
    pub is_windows: bool,
    /// Its `podCIDRs`.
    pub pod_cidrs: Vec<IpNet>,
}

impl KubernetesNode {
    /// Whether it accepts no login: nodes of EKS Auto Mode, and of Bottlerocket unless its
    /// admin container is on.
    #[must_use]
    pub fn accepts_no_login(&self) -> bool {
        self.compute_type.as_deref() == Some("auto")
            || self.os_image.as_deref().is_some_and(|image| image.starts_with("Bottlerocket"))
    }

    /// Its instance id, read from `providerID`; `None` for a node that is not an EC2
    /// instance.
    #[must_use]
    pub fn instance_id(&self) -> Option<&str> {
        let id = self.provider_id.as_deref()?.strip_prefix("aws://")?.rsplit('/').next()?;
        id.starts_with("i-").then_some(id)
    }

    /// Whether it runs one pod on a host that AWS owns.
    #[must_use]
    pub fn is_fargate(&self) -> bool {
        self.compute_type.as_deref() == Some("fargate")
            || self.provider_id.as_deref().is_some_and(|id| id.contains("/fargate-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_instances_have_an_instance_id() {
        for (provider_id, expected) in [
            (Some("aws:///ap-northeast-2a/i-0123456789abcdef0"), Some("i-0123456789abcdef0")),
            (Some("aws:///ap-northeast-2a/fargate-ip-192-168-1-7.ap-northeast-2.compute.internal"), None),
            (Some("eks-hybrid:///ap-northeast-2/myeks/mi-0123456789abcdef0"), None),
            (None, None),
        ] {
            let node = KubernetesNode {
                name: "n1".to_owned(),
                addresses: Vec::new(),
                provider_id: provider_id.map(ToOwned::to_owned),
                compute_type: None,
                os_image: None,
                is_windows: false,
                pod_cidrs: Vec::new(),
            };
            assert_eq!(node.instance_id(), expected, "{provider_id:?}");
        }
    }
}
