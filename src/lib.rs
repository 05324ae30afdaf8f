//! The inside of `eks-netcheck`, which promises nothing to other crates.

pub mod collect;

pub mod classify;

pub mod rules;

pub mod model;
