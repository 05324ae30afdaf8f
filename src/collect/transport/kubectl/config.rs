//! What the user configured: which kubectl context is used, and what Jobs are made of.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::model::kubernetes::ReadingPods;

/// The image of the pods, of which the programs of `BusyBox` are used.
pub const DEFAULT_IMAGE: &str = "public.ecr.aws/docker/library/busybox:1.37.0";
/// The namespace of the Jobs. Admission policies usually exempt it.
pub const DEFAULT_NAMESPACE: &str = "kube-system";

/// The configuration of the transport.
#[derive(Debug, Clone)]
pub struct KubectlConfig {
    /// The pods in which nodes are read.
    pub pods: ReadingPods,
    /// The context; without one, that of the cluster is found.
    pub context: Option<String>,
    /// The kubeconfig file; without one, kubectl's own default.
    pub kubeconfig: Option<PathBuf>,
    /// The namespace of the Jobs.
    pub namespace: String,
    /// The image of their pods.
    pub image: String,
    /// How long a request, and the start of a pod, may take.
    pub timeout: Duration,
    /// How long a Job may run beyond the time that reading all nodes takes: for a trace.
    pub extra_lifetime: Duration,
    /// How many nodes are read at a time.
    pub concurrency: usize,
}

impl KubectlConfig {
    /// The arguments of every kubectl.
    pub(super) fn args(&self) -> Vec<OsString> {
        match &self.kubeconfig {
            Some(path) => vec!["--kubeconfig".into(), path.into()],
            None => Vec::new(),
        }
    }
}
