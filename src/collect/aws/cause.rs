//! Causes of failures, and the texts of errors.

use std::error::Error;

use crate::collect::error::CollectError;
use crate::model::text::cut;

/// The longest text that is kept, in characters.
pub(super) const TEXT_MAX: usize = 400;

/// What has to change before the request can succeed, where the reason does not state it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Whatever the reason names.
    Reason,
    /// The name, which no resource has.
    NotFound,
    /// The configuration, of which no request could be made.
    Configuration,
    /// Credentials that have expired.
    ExpiredCredentials,
    /// Credentials that AWS rejects.
    InvalidCredentials,
    /// The region, which is not enabled for the account.
    RegionDisabled,
    /// The command document, which does not exist or cannot be used.
    InvalidDocument,
    /// One of the nodes, on which Systems Manager runs no command.
    InvalidInstance,
    /// The command, whose results are not there yet.
    NoInvocationYet,
}

/// Why there are no credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub(super) struct NoCredentials {
    /// The cause.
    pub(super) detail: String,
    /// The next step.
    pub(super) next: String,
    /// What has to change.
    pub(super) cause: Cause,
}

/// An error and its sources.
pub(super) fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

/// The error of this type among an error and its sources.
pub(super) fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    chain(error).find_map(|error| error.downcast_ref())
}

/// The error that the configuration cannot be used, with its causes.
pub(super) fn configuration(problem: &str, error: &(dyn Error + 'static)) -> CollectError {
    CollectError::Configuration(format!("{problem}: {}", causes(error)))
}

/// The causes of an error from the outermost in, each once.
pub(super) fn causes(error: &(dyn Error + 'static)) -> String {
    let mut causes: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        let text = text.lines().next().unwrap_or_default().trim_end_matches([':', '.', ' ']).to_owned();
        // Wrappers often repeat what they wrap, or say no more than that there was an error.
        let is_wrapper = ["other", "io error", "dispatch failure", "response error"].contains(&text.as_str())
            || text.starts_with("client error (");
        if !is_wrapper && !causes.iter().any(|before| before.contains(&text)) {
            causes.push(text);
        }
        next = error.source();
    }
    cut(&causes.join(": "), TEXT_MAX).into_owned()
}
