//! The edge: everything that reads files lives here, and turns what it reads
//! into the nouns of [`model`](crate::model).

pub mod aws;
pub mod dns;
pub mod evidence_dir;
pub mod json;
pub mod node;
