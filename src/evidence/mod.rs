//! Evidence: the evidence directory and the formats of its files, read and written.

pub mod aws;
pub mod baseline;
mod bundle;
pub mod directory;
pub mod dns;
pub mod error;
pub(crate) mod files;
mod hosts;
pub mod json;
pub mod kubernetes;
mod manifest;
pub mod next_step;
pub mod nodes;
mod own_addresses;
pub mod probe;
pub mod rbac;
pub mod terraform;
pub mod write;
