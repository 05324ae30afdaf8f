//! AWS's shapes, as the aws CLI prints them, turned into the model once.
//!
//! Keys that are not named here are ignored; keys that are absent stay unknown.

#[cfg(feature = "live")]
pub(super) mod ask;
pub mod calls;
pub mod ec2;
pub mod eks;
#[cfg(feature = "live")]
pub(super) mod error;
#[cfg(feature = "live")]
pub(super) mod session;
#[cfg(feature = "live")]
pub(super) mod together;
