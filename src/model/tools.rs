//! How the tools of the user reach a cluster and its nodes, for commands that are printed.

use std::collections::BTreeMap;

use super::name::NodeName;

/// What a run was told about the way to a cluster, and what it found out. It is of the machine and
/// the user that ran, so that nothing of it is recorded.
#[derive(Debug, Clone, Default)]
pub struct Tools {
    /// The profile of `~/.aws/config`, if one was named.
    pub profile: Option<String>,
    /// The words with which this program reads nodes in the same way.
    pub own: Vec<String>,
    /// kubectl, if it reached the cluster.
    pub kubectl: Option<Kubectl>,
    /// How nodes were reached by ssh.
    pub logins: BTreeMap<NodeName, Login>,
}

/// How kubectl reached a cluster.
#[derive(Debug, Clone, Default)]
pub struct Kubectl {
    /// The words that select the cluster.
    pub options: Vec<String>,
    /// The image for pods on nodes.
    pub image: String,
}

/// How a node was reached by ssh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The words before the destination.
    pub options: Vec<String>,
    /// The destination.
    pub destination: String,
}
