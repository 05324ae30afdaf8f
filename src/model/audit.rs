//! A run of `audit`: what was found out, and what it comes to.

use super::facts::Facts;
use super::verdict::{Judgment, PolicyNote};

/// The whole run.
#[derive(Debug)]
pub struct Audit {
    /// The cluster.
    pub cluster: Audited,
    /// The policy, where there is one.
    pub policy: Option<PolicyUsed>,
}

/// A cluster, judged.
#[derive(Debug)]
pub struct Audited {
    /// What is known of it.
    pub facts: Facts,
    /// What that comes to.
    pub judgment: Judgment,
}

/// The policy that was judged by.
#[derive(Debug, Clone)]
pub struct PolicyUsed {
    /// The file.
    pub path: String,
    /// What its owner should know of it.
    pub notes: Vec<PolicyNote>,
}
