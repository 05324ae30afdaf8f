//! Live collection: requests to AWS, DNS and the nodes, whose answers are recorded as
//! evidence.

mod aws;
pub mod cluster;
pub mod clusters;
mod command;
mod dns;
pub mod dry_run;
pub mod error;
pub mod fleet;
pub mod log;
pub mod names;
mod next_step;
pub mod nodes;
mod placing;
pub mod probe;
mod progress;
pub mod reader;
pub mod recording;
pub mod runtime;
mod sampling;
mod signals;
pub mod supervisor;
mod terminal;
pub mod trace;
pub mod transport;
