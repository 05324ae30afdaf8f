//! What comes back over ssh from a node that is read once.
//!
//! ```text
//! (whatever a login shell says)
//! MARK ss
//! (sockets)
//! MARK end 0
//! MARK dns
//! (addresses)
//! MARK end 0
//! ```

use std::io::{self, Write};

use super::frame::{Framer, Part, TooMuch, whole_lines};

/// Over this, a node's sockets are not what it prints.
pub(crate) const CAPTURE_MAX: u64 = 64 << 20;
/// Over this, addresses of one name are not what it prints.
const ANSWER_MAX: usize = 64 << 10;
/// How much is kept of what stands before the first mark.
const PREAMBLE_KEPT: usize = 1024;

/// What ran on the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    /// `ss` with root rights.
    Privileged,
    /// `ss` as the user, where that did not work.
    Plain,
    /// `getent ahosts`.
    Dns,
}

impl Section {
    /// Its word in the mark's line.
    fn from_word(word: &[u8]) -> Option<Self> {
        match word {
            b"ss" => Some(Self::Privileged),
            b"plain" => Some(Self::Plain),
            b"dns" => Some(Self::Dns),
            _ => None,
        }
    }
}

/// Why a transcript takes no more.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// More came than any such answer holds.
    TooMuch,
    /// The capture cannot be written.
    Io(io::Error),
}

impl From<TooMuch> for Refusal {
    fn from(_: TooMuch) -> Self {
        Self::TooMuch
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Takes the pieces of an ssh session's output, in order.
#[derive(Debug)]
pub(crate) struct Transcript<W> {
    framer: Framer,
    sections: Sections<W>,
}

/// What was found between the marks.
#[derive(Debug)]
pub(crate) struct Sections<W> {
    /// The section that is open.
    section: Option<Section>,
    capture: W,
    /// Bytes in the capture.
    pub(crate) captured: u64,
    /// What the node's resolver answers.
    pub(crate) answer: Vec<u8>,
    /// What was said before the first mark.
    pub(crate) preamble: Vec<u8>,
    /// The sections that ended, and their exit codes.
    pub(crate) ended: Vec<(Section, u32)>,
    /// Whether any mark was seen.
    pub(crate) began: bool,
}

impl<W: Write> Transcript<W> {
    /// A transcript whose sockets go to `capture`.
    pub(crate) fn new(mark: &str, capture: W) -> Self {
        let sections = Sections {
            section: None,
            capture,
            captured: 0,
            answer: Vec::new(),
            preamble: Vec::new(),
            ended: Vec::new(),
            began: false,
        };
        Self { framer: Framer::new(mark), sections }
    }

    /// Takes a piece.
    ///
    /// # Errors
    /// If the capture cannot be written, or the node says too much.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<(), Refusal> {
        let Self { framer, sections } = self;
        framer.push(piece, |part| match part {
            Part::Content(bytes) => sections.content(bytes),
            Part::Mark(words) => {
                sections.marked(words);
                Ok(())
            }
        })
    }

    /// Ends the transcript; a line that was cut off is dropped, since half an
    /// address is another address.
    pub(crate) fn finish(mut self) -> io::Result<Sections<W>> {
        if !self.sections.began {
            self.sections.keep_preamble(&self.framer.into_tail());
        }
        self.sections.capture.flush()?;
        Ok(self.sections)
    }
}

impl<W: Write> Sections<W> {
    /// The exit code of a section, if it ended.
    pub(crate) fn status(&self, section: Section) -> Option<u32> {
        self.ended.iter().find(|(ended, _)| *ended == section).map(|(_, status)| *status)
    }

    fn marked(&mut self, words: &[u8]) {
        self.began = true;
        if let Some(status) = words.strip_prefix(b"end ") {
            let status = std::str::from_utf8(status).ok().and_then(|status| status.parse().ok());
            if let (Some(section), Some(status)) = (self.section.take(), status) {
                self.ended.push((section, status));
            }
        } else {
            // What the privileged try printed counts, even if it failed then.
            let is_second = |section: &Section| *section == Section::Plain && self.captured > 0;
            self.section = Section::from_word(words).filter(|section| !is_second(section));
        }
    }

    fn content(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        match self.section {
            None if !self.began => self.keep_preamble(bytes),
            None => {}
            Some(Section::Privileged | Section::Plain) => {
                // Before a mark, a line without an end is one that was cut off.
                let bytes = whole_lines(bytes);
                self.captured += bytes.len() as u64;
                if self.captured > CAPTURE_MAX {
                    return Err(Refusal::TooMuch);
                }
                self.capture.write_all(bytes)?;
            }
            Some(Section::Dns) => {
                if self.answer.len() + bytes.len() > ANSWER_MAX {
                    return Err(Refusal::TooMuch);
                }
                self.answer.extend_from_slice(bytes);
            }
        }
        Ok(())
    }

    fn keep_preamble(&mut self, bytes: &[u8]) {
        let room = PREAMBLE_KEPT - self.preamble.len();
        self.preamble.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::LINE_MAX;
    use super::*;

    const MARK: &str = "mark-5eed";
    const WHOLE: &str = "\
Welcome!
mark-5eed ss
State Recv-Q Send-Q
ESTAB 0 0 10.0.0.1:1 10.0.0.2:443
mark-5eed end 0
mark-5eed dns
10.0.0.2 STREAM a.example
mark-5eed end 0
";

    fn read(text: &str, step: usize) -> (Sections<Vec<u8>>, bool) {
        let mut transcript = Transcript::new(MARK, Vec::new());
        let mut fits = true;
        for piece in text.as_bytes().chunks(step) {
            if transcript.push(piece).is_err() {
                fits = false;
                break;
            }
        }
        (transcript.finish().expect("a vector takes all"), fits)
    }

    #[test]
    fn pieces_of_any_size_give_the_same() {
        for step in [1, 2, 7, 64, 4096] {
            let (transcript, _) = read(WHOLE, step);
            assert_eq!(transcript.preamble, b"Welcome!\n", "{step}");
            assert_eq!(
                String::from_utf8_lossy(&transcript.capture),
                "State Recv-Q Send-Q\nESTAB 0 0 10.0.0.1:1 10.0.0.2:443\n",
                "{step}"
            );
            assert_eq!(transcript.answer, b"10.0.0.2 STREAM a.example\n", "{step}");
            assert_eq!(transcript.ended, [(Section::Privileged, 0), (Section::Dns, 0)], "{step}");
        }
    }

    #[test]
    fn a_line_that_was_cut_off_is_dropped() {
        for end in 0..WHOLE.len() {
            let (transcript, _) = read(&WHOLE[..end], 5);
            assert!(transcript.capture.is_empty() || transcript.capture.ends_with(b"\n"), "{end}");
        }
    }

    #[test]
    fn half_a_row_before_a_mark_is_dropped() {
        let text = format!("{MARK} ss\nwhole\nESTAB 0 0 10.0.0.1:1 10.0.0.2:44{MARK} end 137\n");
        let (transcript, _) = read(&text, 3);
        assert_eq!(String::from_utf8_lossy(&transcript.capture), "whole\n");
        assert_eq!(transcript.status(Section::Privileged), Some(137));
    }

    #[test]
    fn the_second_try_counts_where_the_first_gave_nothing() {
        let both = |first: &str| {
            let text = format!("{MARK} ss\n{first}{MARK} end 1\n{MARK} plain\nsecond\n{MARK} end 0\n");
            String::from_utf8(read(&text, 3).0.capture).expect("UTF-8")
        };
        assert_eq!(both(""), "second\n");
        assert_eq!(both("first\n"), "first\n");
    }

    #[test]
    fn what_never_ends_is_cut() {
        assert!(!read(&"x".repeat(LINE_MAX * 2), 4096).1);
        assert!(!read(&format!("{MARK} dns\n{}", "10.0.0.2\n".repeat(ANSWER_MAX)), 4096).1);
        let (transcript, fits) = read(&"noise\n".repeat(LINE_MAX), 4096);
        assert!(fits && transcript.preamble.len() == PREAMBLE_KEPT);
    }
}
