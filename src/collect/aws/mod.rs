//! AWS: the clients, their requests, and the failures of those.

pub(super) mod answer;
pub(super) mod batch;
pub(super) mod cause;
pub(super) mod client;
mod credentials;
mod ec2;
mod eks;
mod explanation;
pub(super) mod failure;
mod from_sdk;
mod http;
mod paging;
mod parts;
pub(super) mod profiles;
mod region;
mod roots;
pub(super) mod s3;
pub(super) mod ssm;
mod whole;
