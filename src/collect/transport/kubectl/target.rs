//! A node as kubectl reaches it: `kubectl exec` in a pod on it.

use std::ffi::OsString;
use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use super::super::client::{Ending, Invocation};
use super::super::diagnosis::Diagnosis;
use super::super::scripts::Scripts;
use super::command::{ENV, KUBECTL};
use super::{failure, script};
use crate::model::gap::GapReason;

/// The state of a node's pod.
#[derive(Debug, Clone)]
pub(super) enum Placement {
    /// It is being started.
    Starting,
    /// This pod runs.
    Running(Arc<str>),
    /// It does not run.
    Failed(Diagnosis),
}

/// In which pod the script runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PodKind {
    /// The EKS node monitoring agent's, in which the host's own programs run.
    Agent,
    /// One of this program's Jobs.
    Job,
}

/// A node, with the pod on it.
#[derive(Debug, Clone)]
pub struct KubectlTarget {
    /// The arguments of kubectl that select the cluster.
    pub(super) args: Arc<[OsString]>,
    pub(super) namespace: Arc<str>,
    pub(super) container: Arc<str>,
    pub(super) kind: PodKind,
    pub(super) placement: watch::Receiver<Placement>,
}

/// The program of the agent's image that runs the host's programs.
pub(super) const CHROOT: [&str; 2] = ["/opt/bin/chroot", "/host"];

impl KubectlTarget {
    /// Waits until the pod runs.
    ///
    /// # Errors
    /// If it does not.
    pub(crate) async fn ready(&self) -> Result<(), Diagnosis> {
        let mut placement = self.placement.clone();
        let settled = placement.wait_for(|placement| !matches!(placement, Placement::Starting)).await;
        match settled.as_deref() {
            Ok(Placement::Failed(diagnosis)) => Err(diagnosis.clone()),
            // Without a sender, the run is ending.
            _ => Ok(()),
        }
    }

    /// How kubectl is invoked so that `script` runs in the pod.
    pub(crate) fn invocation(&self, script: &str) -> Invocation {
        let mut args = self.args.to_vec();
        args.extend(
            ["exec", "-i", "-n", &self.namespace, &self.pod(), "-c", &self.container, "--"].map(Into::into),
        );
        if self.kind == PodKind::Agent {
            args.extend(CHROOT.map(Into::into));
        }
        args.extend(["sh", "-c", script].map(Into::into));
        Invocation { program: KUBECTL, args, env: ENV }
    }

    /// What the ending of a client means that ended before the script began.
    pub(crate) fn diagnose(&self, ending: &Ending) -> Diagnosis {
        failure::of_exec(&format!("kubectl exec in {self}"), failure::message(&ending.stderr))
    }

    /// The scripts in a pod without the host's programs.
    pub(crate) fn scripts(&self) -> Option<Scripts> {
        let of_proc = Scripts {
            read: script::READ,
            sample: script::SAMPLE,
            sample_loop: script::LOOP,
            program: "reading /proc/1/net/tcp",
        };
        (self.kind == PodKind::Job).then_some(of_proc)
    }

    /// A pod in which the owners of sockets cannot be read.
    pub(crate) fn no_process_names(&self) -> Diagnosis {
        let detail = format!(
            "{self} may not look at the host's processes, so no process is named: an admission webhook took SYS_PTRACE away from it, or SELinux or AppArmor of the node forbids it"
        );
        Diagnosis::new(GapReason::NoProcessNames, detail, failure::ADMISSION_HINT)
    }

    /// Whether the pod has a network of its own.
    pub(crate) fn has_own_network(&self) -> bool {
        self.kind == PodKind::Job
    }

    fn pod(&self) -> Arc<str> {
        match &*self.placement.borrow() {
            Placement::Running(pod) => Arc::clone(pod),
            _ => "".into(),
        }
    }
}

impl fmt::Display for KubectlTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pod {}/{}", self.namespace, self.pod())
    }
}

/// Whether a client that ended before the script began may succeed a moment later: the
/// connection to the node failed, or the kubelet does not know the container yet.
pub(crate) fn may_retry(ending: &Ending) -> bool {
    let signs = [
        "error dialing backend",
        "unable to upgrade connection",
        "container not found",
        "EOF",
        "TLS handshake",
    ];
    signs.iter().any(|sign| ending.stderr.contains(sign)) && !ending.stderr.contains("orbidden")
}
