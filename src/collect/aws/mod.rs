//! AWS's shapes, as the aws CLI prints them, turned into the model once.
//!
//! Keys that are not named here are ignored; keys that are absent stay unknown.

pub mod ec2;
pub mod eks;
