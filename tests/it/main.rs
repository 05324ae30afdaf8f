//! Tests that meet the tool as its users do: they run the built binary, on
//! evidence as the ordinary tools print it.
//!
//! One binary, since each more would link everything once more.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

#[cfg(feature = "live")]
mod aws;
mod bad_input;
mod command_line;
mod common;
mod dialects;
mod diff;
mod docs;
#[cfg(feature = "live")]
mod fleet;
mod formats;
mod hostile;
#[cfg(feature = "live")]
mod lab;
#[cfg(feature = "live")]
mod looks;
#[cfg(feature = "live")]
mod pipelines;
mod policy;
mod properties;
#[cfg(feature = "live")]
mod pty;
mod rules;
mod stories;
#[cfg(feature = "live")]
mod trace;
mod walls;
