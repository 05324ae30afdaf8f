//! The report: facts and judgment in, bytes out. One file a format; nothing
//! here looks anything up or reads a clock.

pub mod explain;
pub mod json;
pub mod remediation;
pub mod table;
pub mod text;
