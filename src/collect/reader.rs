//! What is done with the evidence of a cluster while it is collected.

use super::probe::peers::UnexplainedPeers;
use crate::evidence::directory::EvidenceDir;
use crate::evidence::error::EvidenceError;

/// What to do with the evidence of a cluster.
#[derive(Debug)]
pub struct Reader<T> {
    /// Turns the evidence of a cluster of this name into a value.
    pub read: fn(&EvidenceDir, &str) -> Result<T, EvidenceError>,
    /// The peers of nodes that nothing in the evidence explains, if they can be probed.
    pub unexplained: fn(&T) -> Option<UnexplainedPeers>,
}

// A derived one would require the same of `T`.
impl<T> Clone for Reader<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Reader<T> {}
