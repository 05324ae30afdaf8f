//! The output of a node as markers and the content between them. The remote script frames
//! the output of its programs with lines that begin with a random marker, which no program
//! on the node knows in advance.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use memchr::memmem;

/// The longest line.
pub(super) const LINE_MAX: usize = 64 << 10;

/// An output exceeded a limit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooMuchOutput;

/// A new marker.
pub(super) fn new_marker() -> String {
    format!("eks-netcheck-{:016x}", random())
}

/// A random number. Each state of the standard library's hash maps has random keys.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A piece of an output: content, or a marker.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// Complete lines; the last one before a marker may lack its end.
    Content(&'a [u8]),
    /// The rest of a marker's line, trimmed.
    Marker(&'a [u8]),
}

/// A parser of an output that comes in pieces.
#[derive(Debug)]
pub(super) struct Framer {
    marker: Vec<u8>,
    /// A line that is not complete yet.
    tail: Vec<u8>,
}

impl Framer {
    pub(super) fn new(marker: &str) -> Self {
        Self { marker: marker.as_bytes().to_vec(), tail: Vec::new() }
    }

    /// Parses the next piece and passes each complete frame to `sink`.
    ///
    /// # Errors
    /// If `sink` fails, or a line is too long.
    pub(super) fn push<E: From<TooMuchOutput>>(
        &mut self,
        piece: &[u8],
        mut sink: impl FnMut(Frame<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut buffer = std::mem::take(&mut self.tail);
        buffer.extend_from_slice(piece);
        let mut rest = buffer.as_slice();
        let content = |bytes: &[u8], sink: &mut dyn FnMut(Frame<'_>) -> Result<(), E>| {
            if bytes.is_empty() { Ok(()) } else { sink(Frame::Content(bytes)) }
        };
        while let Some(at) = memmem::find(rest, &self.marker) {
            content(&rest[..at], &mut sink)?;
            let after = &rest[at + self.marker.len()..];
            let Some(end) = memchr::memchr(b'\n', after) else {
                // The marker's line is not complete yet.
                return self.keep(&rest[at..]).map_err(E::from);
            };
            sink(Frame::Marker(after[..end].trim_ascii()))?;
            rest = &after[end + 1..];
        }
        // Only complete lines are passed on: a marker may begin in the last one.
        let complete = complete_lines(rest);
        content(complete, &mut sink)?;
        self.keep(&rest[complete.len()..]).map_err(E::from)
    }

    /// The incomplete line at the end.
    pub(super) fn into_tail(self) -> Vec<u8> {
        self.tail
    }

    fn keep(&mut self, tail: &[u8]) -> Result<(), TooMuchOutput> {
        self.tail = tail.to_vec();
        if self.tail.len() > LINE_MAX { Err(TooMuchOutput) } else { Ok(()) }
    }
}

/// The complete lines at the beginning.
pub(super) fn complete_lines(bytes: &[u8]) -> &[u8] {
    &bytes[..memchr::memrchr(b'\n', bytes).map_or(0, |end| end + 1)]
}
