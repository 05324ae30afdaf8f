//! An AWS API server with the operations that an audit of a cluster's endpoint access calls.
//!
//! EKS (REST with JSON), Systems Manager (JSON 1.1), EC2 and STS (query protocol with XML responses) and S3
//! (`GetObject`, bucket in the path) share one address, the value for
//! `AWS_ENDPOINT_URL`. The data served is an [`Account`], in the JSON that the aws CLI prints. A test can
//! change it at any time, inject faults ([`Fault`]) and read the calls received ([`Call`]).
//!
//! - `server`: accepts connections and dispatches requests; the HTTP messages are in `crate::http`.
//! - `call`: parses a request into an operation, its parameters and the scope of its signature.
//! - `eks`, `ssm`, `ec2`, `sts`, `s3`: the responses; `select` has EC2's filters and pagination, `xml` its XML.

mod account;
mod call;
mod ec2;
mod eks;
mod error;
mod fault;
mod s3;
mod select;
mod server;
mod ssm;
mod sts;
#[cfg(test)]
mod tests;
mod xml;

pub use account::Account;
pub use call::{Call, Service};
pub use fault::{Fault, FaultKind};
pub use s3::{Bucket, S3};
pub use server::Api;
pub use ssm::{Agent, Behaviour, Delivery, Runner, Ssm};
