//! The user's kubectl: its kubeconfig, credential programs and proxies apply.
//!
//! A node is read by `kubectl exec` in a pod on it: in that of the EKS node monitoring agent
//! where it runs, which creates nothing, or else in that of a Job of its own, which is removed
//! at the end. A Job whose creator was killed removes itself. The user may exclude either.

mod command;
mod config;
mod context;
mod failure;
mod jobs;
mod pem;
mod placement;
mod pods;
mod process;
mod script;
mod session;
pub(super) mod target;

pub use self::config::{DEFAULT_IMAGE, DEFAULT_NAMESPACE, KubectlConfig};
pub(crate) use self::failure::Refusal;
pub(crate) use self::placement::Jobs;
pub(crate) use self::session::{Placed, Session};
pub use self::target::KubectlTarget;

use super::diagnosis::Diagnosis;
use crate::model::gap::GapReason;

/// A node whose cluster was not asked for its nodes.
pub(super) fn without_cluster() -> Diagnosis {
    Diagnosis::new(GapReason::NotSupported, "kubectl reaches nodes through the cluster only", "")
}

/// A node that was not chosen.
pub(crate) fn skipped() -> Diagnosis {
    Diagnosis::new(GapReason::NotAsked, "it was not chosen", "")
}
