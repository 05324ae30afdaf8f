//! The library behind the `eks-netcheck` command. Its interface is not
//! stable for other crates.
//!
//! Data flows in one direction, through the modules in this order:
//!
//! 1. [`cli`] parses the command line; [`run`] executes a command and is the only
//!    module that uses all others.
//! 2. `collect` queries AWS, DNS and the nodes (feature `live`).
//! 3. [`capture`] parses socket tables; [`evidence`] reads and writes the evidence
//!    directory.
//! 4. [`classify`] attributes each socket and derives facts.
//! 5. [`rules`] turn facts into findings, or into gaps where evidence is missing. The
//!    commands that they suggest are those of `steps`, which [`classify`] uses too.
//! 6. [`policy`] turns findings into a verdict.
//! 7. [`report`] writes the result in one of the formats.
//!
//! All of them use [`model`], which uses none of them. What a run must not leave behind
//! is registered in [`cleanup`], and [`signals`] end a run. Errors and warnings are
//! printed by [`messages`]. `tests/it/dependencies.rs`
//! enforces these rules.

pub mod cli;
pub mod run;

#[cfg(feature = "live")]
pub mod collect;

pub mod capture;

pub mod evidence;

pub mod classify;

pub mod rules;

mod steps;

pub mod policy;

pub mod report;

pub mod model;

pub mod cleanup;
pub mod messages;
pub mod signals;
