//! The scripts of a target that does not run `ss`.

/// The scripts, which have the same input and output as those that run `ss`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scripts {
    /// Reads the node once.
    pub(super) read: &'static str,
    /// Starts the loop of samples.
    pub(super) sample: &'static str,
    /// The loop.
    pub(super) sample_loop: &'static str,
    /// What reads the sockets, in messages.
    pub(super) program: &'static str,
}
