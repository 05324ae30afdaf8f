//! A test lab for `eks-netcheck`: an emulated EKS cluster on one machine.
//!
//! - [`aws`]: an AWS API server with the EKS, EC2 and STS operations that the tool calls.
//! - [`credentials`]: the HTTP credential sources: IMDS, container credentials, IAM Identity Center.
//! - [`dns`]: a name server with configurable answers and failures.
//! - [`kube`]: a Kubernetes API server that supports `kubectl exec`, `attach` and `logs`.
//! - [`sandbox`]: nodes, control plane, operator and resolvers, each in its own network namespace.
//! - [`tls`]: TLS servers of every kind, as an address of the endpoint may be, and a proxy.

pub mod aws;
pub mod credentials;
pub mod dns;
mod http;
pub mod kube;
mod listen;
pub mod sandbox;
pub mod tls;
