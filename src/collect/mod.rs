//! The edge: everything that reads files or asks AWS, DNS and nodes lives here,
//! and turns what it gets into the nouns of [`model`](crate::model).
//!
//! What is asked is recorded as an evidence directory first, and judged from
//! there: what was seen live and what was recorded go the same way.

pub mod aws;
pub mod dns;
pub mod evidence_dir;
#[cfg(feature = "live")]
pub mod fleet;
pub mod json;
#[cfg(feature = "live")]
pub mod live;
pub mod node;
#[cfg(feature = "live")]
pub mod progress;
#[cfg(feature = "live")]
pub mod watch;
