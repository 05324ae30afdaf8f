//! The inside of `eks-netcheck`, which promises nothing to other crates.
//!
//! Data flows one way, in the order of the modules below:
//!
//! 1. [`cli`] is what was typed; [`run`] is the corridor that the rest opens on.
//! 2. [`collect`] reads evidence: AWS's answers, DNS's, and each node's `ss -tnp`.
//! 3. [`history`] puts several looks at the same node together.
//! 4. [`classify`] says what each socket's peer is, and by what evidence.
//! 5. [`rules`] say what is wrong with that, or what they needed and did not see.
//! 6. [`policy`] makes a verdict of it, and [`exit`] an exit code.
//! 7. [`report`] writes it down.
//!
//! All of them look at [`model`], which looks at none of them. `tests/it/walls.rs`
//! holds these walls.

pub mod cli;
pub mod run;

pub mod collect;

pub mod history;

pub mod classify;

pub mod rules;

pub mod policy;

pub mod exit;

pub mod report;

pub mod model;
