//! How nodes are reached.

mod frame;
pub mod sampling;
pub mod ssh;
pub(crate) mod transcript;
pub(crate) mod trouble;
