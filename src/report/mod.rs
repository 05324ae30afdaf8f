//! The report: facts and judgment in, bytes out. One file a format; nothing
//! here looks anything up or reads a clock.

mod entry;
pub mod explain;
pub mod github;
pub mod gitlab;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod ocsf;
pub mod remediation;
pub mod sarif;
pub mod table;
pub mod text;
