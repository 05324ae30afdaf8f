//! Live collection: AWS, DNS and the nodes are asked, and the answers recorded as
//! evidence.

mod aws;
mod dns;
pub mod fleet;
pub mod live;
pub(crate) mod next_step;
pub mod progress;
pub mod transport;
pub mod watch;
