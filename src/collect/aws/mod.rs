//! AWS: the clients, their requests, and the failures of those.

mod answer;
pub(super) mod batch;
pub(super) mod client;
mod ec2;
mod eks;
pub(super) mod failure;
mod from_sdk;
mod paging;
mod whole;
