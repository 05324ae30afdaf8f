//! Output of a node taken apart into marks and what stands between them: the
//! remote command frames what it runs in lines that begin with a mark, which
//! nothing on the node can know before it is there.

use memchr::memmem;

/// Over this, a line without an end is no line.
pub(super) const LINE_MAX: usize = 64 << 10;

/// More came than any such answer holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooMuch;

/// A part of the output.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// Whole lines; the last before a mark may lack its end.
    Content(&'a [u8]),
    /// What stands behind the mark in its line, without blanks around it.
    Mark(&'a [u8]),
}

/// Takes the pieces of an output, in order.
#[derive(Debug)]
pub(super) struct Framer {
    mark: Vec<u8>,
    /// What is not yet a whole line.
    tail: Vec<u8>,
}

impl Framer {
    pub(super) fn new(mark: &str) -> Self {
        Self { mark: mark.as_bytes().to_vec(), tail: Vec::new() }
    }

    /// Takes a piece and hands on what is whole.
    ///
    /// # Errors
    /// What `sink` says, or a line without an end.
    pub(super) fn push<E: From<TooMuch>>(
        &mut self,
        piece: &[u8],
        mut sink: impl FnMut(Part<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut buffer = std::mem::take(&mut self.tail);
        buffer.extend_from_slice(piece);
        let mut rest = buffer.as_slice();
        let content = |bytes: &[u8], sink: &mut dyn FnMut(Part<'_>) -> Result<(), E>| {
            if bytes.is_empty() { Ok(()) } else { sink(Part::Content(bytes)) }
        };
        while let Some(at) = memmem::find(rest, &self.mark) {
            content(&rest[..at], &mut sink)?;
            let behind = &rest[at + self.mark.len()..];
            let Some(end) = memchr::memchr(b'\n', behind) else {
                // The mark's line is not whole yet.
                return self.keep(&rest[at..]).map_err(E::from);
            };
            sink(Part::Mark(behind[..end].trim_ascii()))?;
            rest = &behind[end + 1..];
        }
        // Only whole lines are handed on: a mark may begin in the last one.
        let whole = memchr::memrchr(b'\n', rest).map_or(0, |end| end + 1);
        content(&rest[..whole], &mut sink)?;
        self.keep(&rest[whole..]).map_err(E::from)
    }

    /// What was no whole line at the end.
    pub(super) fn into_tail(self) -> Vec<u8> {
        self.tail
    }

    fn keep(&mut self, tail: &[u8]) -> Result<(), TooMuch> {
        self.tail = tail.to_vec();
        if self.tail.len() > LINE_MAX { Err(TooMuch) } else { Ok(()) }
    }
}

/// The lines before a mark that are whole.
pub(super) fn whole_lines(bytes: &[u8]) -> &[u8] {
    &bytes[..memchr::memrchr(b'\n', bytes).map_or(0, |end| end + 1)]
}
