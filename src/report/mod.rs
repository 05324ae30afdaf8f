//! The reports: facts and judgments in, bytes out. One file for each format. No format
//! looks anything up, reads a clock or changes the verdict.

mod alike;
mod answer;
mod architecture;
mod asff;
mod change;
mod command;
mod compliance;
mod drawing;
mod entry;
pub mod explain;
pub mod format;
pub mod github;
mod gitlab;
pub mod html;
pub mod json;
mod junit;
pub mod markdown;
mod names;
mod node_traffic;
mod ocsf;
mod openmetrics;
pub mod pretty;
mod probe;
mod remediation;
mod sarif;
mod seen_from;
pub mod style;
pub mod table;
pub mod text;
mod traffic_change;
mod via;
pub mod yaml;

use self::format::{AuditFormat, ExplainFormat, ReachFormat, SimulationFormat, TraceFormat};

/// The formats of `audit`, in the order of `--help`.
pub const FORMATS: [&AuditFormat; 11] = [
    &table::FORMAT,
    &html::FORMAT,
    &json::FORMAT,
    &sarif::FORMAT,
    &junit::FORMAT,
    &markdown::FORMAT,
    &github::FORMAT,
    &gitlab::FORMAT,
    &ocsf::FORMAT,
    &asff::FORMAT,
    &openmetrics::FORMAT,
];

/// The formats of `trace` and `diff`.
pub const TRACE_FORMATS: [&TraceFormat; 3] =
    [&table::trace::FORMAT, &json::trace::FORMAT, &markdown::trace::FORMAT];

/// The formats of `explain`.
pub const EXPLAIN_FORMATS: [&ExplainFormat; 2] = [&explain::FORMAT, &json::rules::FORMAT];

/// The formats of `reach`.
pub const REACH_FORMATS: [&ReachFormat; 2] = [&table::reach::FORMAT, &json::reach::FORMAT];

/// The formats of `simulate`.
pub const SIMULATION_FORMATS: [&SimulationFormat; 3] =
    [&table::simulation::FORMAT, &json::simulation::FORMAT, &markdown::simulation::FORMAT];
