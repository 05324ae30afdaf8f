//! What a change of endpoint access would do to each client of the API server.

use ipnet::IpNet;

use super::access::AccessMode;
use super::cluster::EndpointAccess;
use super::gap::Gap;
use super::name::NodeName;
use super::reachability::{EndpointSide, Reaches};
use super::rule::Step;

/// What a client can do in the place of turning private access off.
pub const LEAVE_PRIVATE_ACCESS_ON: &str =
    "Or leave private access on, with which nodes do not need the public endpoint";

/// A change of endpoint access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessChange {
    /// The access mode afterwards; `None` if it does not change.
    pub mode: Option<AccessMode>,
    /// `publicAccessCidrs` afterwards; `None` if they do not change.
    pub cidrs: Option<Vec<IpNet>>,
}

impl AccessChange {
    /// The access afterwards, for a cluster that has this mode and these blocks.
    ///
    /// # Errors
    /// If the change would have no effect: blocks without a public endpoint.
    pub fn apply(&self, mode: AccessMode, cidrs: &[IpNet]) -> Result<EndpointAccess, Ineffective> {
        let after = self.mode.unwrap_or(mode);
        match &self.cidrs {
            Some(_) if !after.public() => Err(Ineffective),
            Some(cidrs) => Ok(after.with(cidrs)),
            // What list EKS kept while the endpoint was off is not known.
            None if !mode.public() => Ok(after.with(&[])),
            None => Ok(after.with(cidrs)),
        }
    }
}

/// The error for `publicAccessCidrs` where the public endpoint is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ineffective;

/// A client of the API server that is not recorded and that the user names: a CI runner, a
/// VPN, a bastion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedClient {
    /// Its name.
    pub name: String,
    /// Its addresses, as the endpoint or the VPC sees them.
    pub blocks: Vec<IpNet>,
}

/// What a change of endpoint access would do.
#[derive(Debug)]
pub struct Simulation {
    /// The cluster's name.
    pub cluster: String,
    /// The access today, as recorded.
    pub from: EndpointAccess,
    /// The access afterwards.
    pub to: EndpointAccess,
    /// The clients, sorted by kind and name.
    pub clients: Vec<Client>,
    /// The steps of the change, in their order; none if nothing changes.
    pub steps: Vec<ChangeStep>,
    /// What the verdict would need and was not seen.
    pub gaps: Vec<Gap>,
    /// What readers should know and the verdict does not depend on.
    pub notes: Vec<String>,
    /// What rules find of the settings afterwards and not of those of today, and that a list is
    /// assumed. The verdict, which is about the clients, does not depend on it.
    pub warnings: Vec<String>,
    /// The verdict.
    pub verdict: SimulationVerdict,
}

/// A client of the API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Its name: that of a process with its node, of a node, or of a place.
    pub name: String,
    /// What it is.
    pub kind: ClientKind,
    /// The node on which it runs, if that was read.
    pub node: Option<NodeName>,
    /// The process, if it is one.
    pub process: Option<String>,
    /// Its path to the API server today.
    pub today: ClientPath,
    /// Whether it reaches the API server today.
    pub reaches_today: Reaches,
    /// Its path afterwards, once it has connected again.
    pub after: ClientPath,
    /// Whether it keeps connections that are established today until it is restarted.
    pub is_stale: bool,
    /// Whether it reaches the API server afterwards, once it has connected again.
    pub reaches: Reaches,
    /// What the change does to it.
    pub effect: Effect,
    /// The reason, as a sentence without a full stop.
    pub why: String,
    /// What it needs to reach the API server afterwards, or to use the new path.
    pub needs: Vec<Step>,
}

/// What a client of the API server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClientKind {
    /// The kubelet of a node that was read.
    Kubelet,
    /// The kube-proxy of a node that was read.
    KubeProxy,
    /// Another process of a node that was read, such as the VPC CNI.
    Agent,
    /// A node that was not read, with all its processes.
    Node,
    /// A node outside the VPC that was not read.
    HybridNode,
    /// A pod on Fargate, which has a kubelet of its own.
    FargatePod,
    /// Pods, by the `ClusterIP` of the `kubernetes` Service.
    Pods,
    /// The machine on which this program runs.
    Operator,
    /// A client that the user named.
    Named,
}

/// The path of a client's traffic to the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClientPath {
    /// The public endpoint.
    Public,
    /// The EKS-owned ENIs.
    Private,
    /// The `ClusterIP` of the `kubernetes` Service, which ends on them too.
    ClusterIp,
    /// Several of these.
    Mixed,
    /// None: it does not reach the API server.
    None,
    /// Not known.
    Unknown,
}

impl From<Option<EndpointSide>> for ClientPath {
    fn from(side: Option<EndpointSide>) -> Self {
        match side {
            Some(EndpointSide::Public) => Self::Public,
            Some(EndpointSide::Private) => Self::Private,
            Some(EndpointSide::ClusterIp) => Self::ClusterIp,
            None => Self::Unknown,
        }
    }
}

/// What a change does to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// It reaches the API server today, or may do so, and does not afterwards.
    Breaks,
    /// Its connections are cut, and it reaches the API server again once it has connected
    /// again, as after a restart.
    Interrupted,
    /// It is not known whether it still reaches the API server.
    Unknown,
    /// It reaches the API server by another path.
    Moves,
    /// It does not reach the API server today, and does afterwards.
    Gains,
    /// Its path and what applies there do not change, or it reaches the API server neither
    /// today nor afterwards.
    Unchanged,
}

/// A step of a change, by several tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeStep {
    /// What to do, with the command of the aws CLI or kubectl and the check.
    pub step: Step,
    /// The same with eksctl.
    pub eksctl: Option<String>,
    /// The same in Terraform: arguments of `vpc_config` of an `aws_eks_cluster`.
    pub terraform: Option<String>,
    /// How to go back.
    pub back: Option<Step>,
}

/// The verdict of a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SimulationVerdict {
    /// No known client loses the API server.
    Safe,
    /// A client loses it, if only until it connects again.
    Breaks,
    /// It is not known whether a client loses it.
    Unknown,
}

impl ClientKind {
    /// Its name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kubelet => "kubelet",
            Self::KubeProxy => "kube-proxy",
            Self::Agent => "agent",
            Self::Node => "node",
            Self::HybridNode => "hybrid-node",
            Self::FargatePod => "fargate-pod",
            Self::Pods => "pods",
            Self::Operator => "operator",
            Self::Named => "client",
        }
    }
}

impl ClientPath {
    /// Its name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
            Self::ClusterIp => "cluster-ip",
            Self::Mixed => "mixed",
            Self::None => "none",
            Self::Unknown => "unknown",
        }
    }
}

impl Effect {
    /// Its name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Breaks => "breaks",
            Self::Interrupted => "interrupted",
            Self::Unknown => "unknown",
            Self::Moves => "moves",
            Self::Gains => "gains",
            Self::Unchanged => "unchanged",
        }
    }
}

impl SimulationVerdict {
    /// Its name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Safe => "safe",
            Self::Breaks => "breaks",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_that_are_not_recorded_leave_several_modes() {
        let unknown = |public, private| {
            AccessMode::possible(&EndpointAccess::Unknown { public, private, cidrs: Vec::new() })
        };
        assert_eq!(unknown(None, None), AccessMode::ALL);
        assert_eq!(unknown(Some(true), None), [AccessMode::Public, AccessMode::PublicAndPrivate]);
        assert_eq!(unknown(None, Some(true)), [AccessMode::PublicAndPrivate, AccessMode::Private]);
        assert_eq!(unknown(None, Some(false)), [AccessMode::Public]);
        assert_eq!(AccessMode::possible(&EndpointAccess::Private), [AccessMode::Private]);
    }
}
