//! The AWS API over HTTP, as far as a look at a cluster's endpoint access goes.
//!
//! EKS (REST and JSON), EC2 and STS (form in, XML out) answer on one address, for `AWS_ENDPOINT_URL`. What
//! they answer is an [`Account`]: the JSON that the aws CLI prints. A test may change it at any time, make
//! calls go wrong ([`Fault`]) and read what was asked ([`Call`]).
//!
//! - `server`: one request's way from the socket to its answer; `http` has the messages.
//! - `call`: which operation a request asks for, and what it was signed for.
//! - `eks`, `ec2`, `sts`: the answers; `select` has EC2's filters and pages, `xml` its wire form.

mod account;
mod call;
mod ec2;
mod eks;
mod error;
mod fault;
mod select;
mod server;
mod sts;
#[cfg(test)]
mod tests;
mod xml;

pub use account::Account;
pub use call::{Call, Service};
pub use fault::{Fault, FaultKind};
pub use server::Api;
