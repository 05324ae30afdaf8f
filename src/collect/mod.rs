//! Live collection: requests to AWS, DNS and the nodes, whose answers are recorded as
//! evidence.

mod aws;
mod command;
mod dns;
pub mod error;
pub mod fleet;
pub mod live;
pub(crate) mod next_step;
pub mod nodes;
pub mod progress;
mod sampling;
pub mod signals;
pub mod trace;
pub mod transport;
