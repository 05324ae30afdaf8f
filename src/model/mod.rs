//! The nouns every other module shares: no IO, no clock, no SDK.

pub mod audit;
pub mod cluster;
pub mod connection;
pub mod evidence;
pub mod expected;
pub mod facts;
pub mod net;
pub mod node;
pub mod socket;
pub mod trace;
pub mod verdict;
