//! Transports: how a node is reached.
//!
//! A transport starts a client process on this machine whose standard input and
//! output are connected to a POSIX shell on the node. What differs between transports
//! is behind [`Transport`] and [`Target`], so that a new one costs a file and a variant
//! of each: how a target is named, how the client is invoked, and what its ending means.
//! The rest is common: the client process, reading a node once, sampling it, and what
//! sudo, `ss` and `getent` report.
//!
//! Run Command of Systems Manager is different: [`ssm`] reads many nodes by one request, each
//! once, and has neither a client process nor targets.

pub(super) mod client;
pub(super) mod diagnosis;
pub(super) mod failure;
mod framing;
pub mod kubectl;
pub(super) mod probe;
mod protocol;
pub(super) mod read;
pub(super) mod sampler;
mod schedule;
mod scripts;
pub mod ssh;
pub mod ssm;
mod transcript;

use std::fmt;

use self::client::{Ending, Invocation};
use self::diagnosis::Diagnosis;
use self::kubectl::{KubectlConfig, KubectlTarget};
use self::scripts::Scripts;
use self::ssh::{InvalidDestination, Ssh, SshTarget};
use self::ssm::Ssm;
use crate::model::gap::GapReason;
use crate::model::name::NodeName;
use crate::model::net::Instance;
use crate::model::node::Via;
use crate::model::tools::Login;

/// How to read a node as root, as a next step that does not know the transport.
pub(super) const ROOT_HINTS: &str = ssh::ROOT_HINT;

/// A transport, as the user configured it.
#[derive(Debug, Clone)]
pub enum Transport {
    /// The user's OpenSSH client.
    Ssh(Ssh),
    /// Run Command of Systems Manager, which reads many nodes at a time and has no targets.
    Ssm(Ssm),
    /// The user's kubectl.
    Kubectl(KubectlConfig),
}

/// A node as a transport addresses it, with the transport's configuration.
#[derive(Debug, Clone)]
pub enum Target {
    /// An ssh destination.
    Ssh(SshTarget),
    /// A pod on the node.
    Kubectl(KubectlTarget),
}

/// Why a text does not name a target.
#[derive(Debug, thiserror::Error)]
pub enum InvalidTarget {
    /// It is not an ssh destination.
    #[error(transparent)]
    Ssh(#[from] InvalidDestination),
}

impl Transport {
    /// Parses a target that the user gave; `None` if the transport has no targets that users
    /// name.
    #[must_use]
    pub fn parse_target(&self, text: &str) -> Option<Result<Target, InvalidTarget>> {
        match self {
            Self::Ssh(ssh) => Some(ssh.parse_target(text).map(Target::Ssh).map_err(InvalidTarget::from)),
            Self::Ssm(_) | Self::Kubectl(_) => None,
        }
    }

    /// The target of a node that EC2 lists, or why it has none.
    pub(crate) fn listed_target(&self, instance: &Instance) -> Result<Target, Diagnosis> {
        match self {
            Self::Ssh(ssh) => ssh.listed_target(instance).map(Target::Ssh),
            Self::Ssm(_) => Err(no_session()),
            Self::Kubectl(_) => Err(kubectl::without_cluster()),
        }
    }

    /// The target of a node that the user named and gave no target for; `instance` is
    /// the one that EC2 lists under this name.
    pub(crate) fn named_target(
        &self,
        name: &NodeName,
        instance: Option<&Instance>,
    ) -> Result<Target, Diagnosis> {
        match self {
            Self::Ssh(ssh) => ssh.named_target(name, instance).map(Target::Ssh),
            Self::Ssm(_) => Err(no_session()),
            Self::Kubectl(_) => Err(kubectl::without_cluster()),
        }
    }

    /// The transport of nodes that were read by it.
    pub(crate) fn via(&self) -> Via {
        match self {
            Self::Ssh(_) => Via::Ssh,
            Self::Ssm(_) => Via::Ssm,
            Self::Kubectl(_) => Via::Kubectl,
        }
    }

    /// The largest number of nodes that can be read at a time, if as many clusters are
    /// audited at a time.
    #[must_use]
    pub fn sessions_max(&self, clusters: usize) -> usize {
        match self {
            Self::Ssh(_) | Self::Kubectl(_) => client::processes_max(clusters),
            Self::Ssm(_) => usize::MAX,
        }
    }
}

/// A transport that runs one command and keeps no session.
fn no_session() -> Diagnosis {
    Diagnosis::new(GapReason::NotSupported, "Run Command keeps no session with it", "use --nodes ssh")
}

impl Target {
    /// Waits until the node can be reached, such as until a pod runs on it.
    ///
    /// # Errors
    /// If it cannot.
    pub(super) async fn ready(&self) -> Result<(), Diagnosis> {
        match self {
            Self::Ssh(_) => Ok(()),
            Self::Kubectl(target) => target.ready().await,
        }
    }

    /// The scripts that run on the node instead of those that run `ss`.
    fn own_scripts(&self) -> Option<Scripts> {
        match self {
            Self::Ssh(_) => None,
            Self::Kubectl(target) => target.scripts(),
        }
    }

    /// How to log in to the node in the same way, if that is a login.
    pub(super) fn login(&self) -> Option<Login> {
        match self {
            Self::Ssh(target) => Some(target.login()),
            Self::Kubectl(_) => None,
        }
    }

    /// What a client does before the script begins.
    fn opening(&self) -> &'static str {
        match self {
            Self::Ssh(_) => "the login",
            Self::Kubectl(_) => "the start of kubectl exec",
        }
    }

    /// The next step where that, or the script, takes too long.
    fn time_out_hint(&self) -> &'static str {
        match self {
            Self::Ssh(_) => "log in by hand to see what takes so long, or pass a longer --timeout",
            Self::Kubectl(_) => "pass a longer --timeout",
        }
    }

    /// Why the scripts name no process where they have no rights, if that does not depend on
    /// sudo.
    fn no_process_names(&self) -> Option<Diagnosis> {
        match self {
            Self::Ssh(_) => None,
            Self::Kubectl(target) => Some(target.no_process_names()),
        }
    }

    /// Whether the script that reads a node once also probes from the node's network.
    pub(super) fn can_probe(&self) -> bool {
        self.own_scripts().is_none() && !self.has_own_network()
    }

    /// Whether the scripts run in another network than the node's.
    fn has_own_network(&self) -> bool {
        match self {
            Self::Kubectl(target) => target.has_own_network(),
            Self::Ssh(_) => false,
        }
    }

    /// How the client is invoked so that the node runs `script`, a line for `sh` without
    /// single quotes, backslashes and exclamation marks.
    fn invocation(&self, script: &str) -> Invocation {
        match self {
            Self::Ssh(target) => target.invocation(script),
            Self::Kubectl(target) => target.invocation(script),
        }
    }

    /// What the ending of a client means that ended before the script began; `None` if
    /// it is inconclusive.
    fn diagnose(&self, ending: &Ending) -> Option<Diagnosis> {
        match self {
            Self::Ssh(target) => target.diagnose(ending),
            Self::Kubectl(target) => Some(target.diagnose(ending)),
        }
    }

    /// Whether a client that ended before the script began may succeed a moment later.
    fn may_retry(&self, ending: &Ending) -> bool {
        match self {
            Self::Ssh(_) => ssh::may_retry(ending),
            Self::Kubectl(_) => kubectl::target::may_retry(ending),
        }
    }

    /// How to run the script as root, as a next step.
    fn root_hint(&self) -> &'static str {
        match self {
            Self::Ssh(_) => ssh::ROOT_HINT,
            Self::Kubectl(_) => "read it by ssh as root",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ssh(target) => target.fmt(f),
            Self::Kubectl(target) => target.fmt(f),
        }
    }
}
