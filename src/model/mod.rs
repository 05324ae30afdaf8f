//! The types that all other modules share. No I/O, no clock, no SDK.

pub mod audit;
pub mod cluster;
pub mod connection;
pub mod egress;
pub mod evidence;
pub mod expectations;
pub mod facts;
pub mod file;
pub mod gap;
pub mod judgment;
pub mod kubernetes;
pub mod name;
pub mod net;
pub mod node;
pub mod probe;
pub mod reach;
pub mod reachability;
pub mod rule;
pub mod shell;
pub mod simulation;
pub mod socket;
pub mod text;
pub mod trace;
pub mod traffic;
