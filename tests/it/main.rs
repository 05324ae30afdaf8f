//! Integration tests. Most run the built binary, on evidence in the form in
//! which `ss`, `dig` and the aws CLI print it.
//!
//! They are one test binary, since each further one would link all dependencies
//! again.

#![expect(clippy::unwrap_used, reason = "a panic in a test names the line that failed")]

// The fuzz targets name the crate of their macro.
extern crate self as libfuzzer_sys;
pub(crate) use fuzz_targets::fuzz_target;

mod agreement;
mod architecture;
mod asff;
#[cfg(feature = "live")]
mod aws;
#[cfg(feature = "live")]
mod aws_bounds;
#[cfg(feature = "live")]
mod aws_errors;
mod bad_input;
mod baseline;
mod bounds;
mod bugs;
mod bundles;
mod captures;
mod cases;
#[cfg(feature = "live")]
mod cloudformation;
mod command_line;
mod common;
mod compliance;
#[cfg(feature = "live")]
mod consumers;
mod dependencies;
mod dialects;
mod diff;
mod docs;
mod exceptions;
#[cfg(feature = "live")]
mod exec_catch;
#[cfg(feature = "live")]
mod fetch;
#[cfg(feature = "live")]
mod fleet;
mod formats;
mod fuzz_targets;
mod help;
mod hostile;
mod html;
mod init;
mod inputs;
mod invariance;
#[cfg(feature = "live")]
mod kubectl;
#[cfg(feature = "live")]
mod lab;
#[cfg(feature = "live")]
mod limits;
mod linear;
mod mixed_up;
mod mutations;
mod needs;
mod network;
mod nodes;
mod openmetrics;
mod outcomes;
mod outputs;
#[cfg(feature = "live")]
mod packaging;
mod pages;
mod peers;
#[cfg(feature = "live")]
mod pipelines;
mod policy;
mod policy_search;
mod prediction_properties;
mod predictions;
mod presets;
mod probes;
#[cfg(feature = "live")]
mod probing;
mod properties;
#[cfg_attr(
    not(feature = "live"),
    expect(dead_code, reason = "without it, only the width of a terminal is tested")
)]
mod pty;
mod reach;
mod reach_command;
mod reachability;
#[cfg(feature = "live")]
mod roots;
mod rules;
#[cfg(feature = "live")]
mod sampling;
mod security_groups;
mod seen_from;
mod selection;
#[cfg(feature = "live")]
mod signals;
mod simulate;
#[cfg(feature = "live")]
mod simulate_live;
mod special_files;
#[cfg(feature = "live")]
mod ssm;
#[cfg(feature = "live")]
mod ssm_output;
mod steps;
mod stories;
#[cfg(feature = "live")]
mod supervision;
mod tables;
mod terminal;
#[cfg(feature = "live")]
mod trace;
mod traffic;
#[cfg(feature = "live")]
mod workflows;
