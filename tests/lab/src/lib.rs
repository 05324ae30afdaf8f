//! A small EKS on one machine, to test `eks-netcheck` in.
//!
//! - [`aws`]: the AWS API, as far as the tool asks it.
//! - [`dns`]: a name server that answers, or fails, as told.
//! - [`kube`]: a Kubernetes API server, as far as `kubectl exec` asks it.
//! - [`metadata`]: where an instance, a container or somebody signed in has credentials from.
//! - [`sandbox`]: nodes, control plane, operator and resolver in network
//!   namespaces of their own.

pub mod aws;
pub mod dns;
mod http;
pub mod kube;
mod listen;
pub mod metadata;
pub mod sandbox;
