//! The output of a node that is read once.
//!
//! ```text
//! (output of the login shell)
//! MARKER ss
//! (sockets)
//! MARKER end 0
//! MARKER dns
//! (addresses)
//! MARKER end 0
//! MARKER probe
//! (what addresses answered)
//! MARKER end 0
//! ```

use std::io::{self, Write};
use std::time::{Duration, Instant};

use super::framing::{Frame, Framer, TooMuchOutput, complete_lines};

/// The line that replaces a truncated one. It makes the capture incomplete.
const TRUNCATED: &[u8] = b"[truncated]\n";

/// The largest capture of a node's sockets.
pub(crate) const CAPTURE_MAX: u64 = 64 << 20;
/// The largest answer of a node's resolver.
const ANSWER_MAX: usize = 64 << 10;
/// The largest answer to probes: a short line for each of 16 addresses.
const PROBE_MAX: usize = 8 << 10;
/// The length that is kept of the output before the first marker.
pub(super) const PREAMBLE_KEPT: usize = 1024;

/// A program that ran on the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    /// `ss` as root.
    Privileged,
    /// `ss` as the user, after it failed as root.
    Unprivileged,
    /// `getent ahosts`.
    Dns,
    /// `curl` or bash.
    Probe,
}

impl Section {
    /// The section of a word in a marker's line.
    fn from_word(word: &[u8]) -> Option<Self> {
        match word {
            b"ss" => Some(Self::Privileged),
            b"ss-unprivileged" => Some(Self::Unprivileged),
            b"dns" => Some(Self::Dns),
            b"probe" => Some(Self::Probe),
            _ => None,
        }
    }
}

/// Why an output was not read to its end.
#[derive(Debug)]
pub(super) enum TranscriptError {
    /// It exceeded a limit.
    TooMuchOutput,
    /// The client's pipe cannot be read, or the capture not be written.
    Io(io::Error),
}

impl From<TooMuchOutput> for TranscriptError {
    fn from(_: TooMuchOutput) -> Self {
        Self::TooMuchOutput
    }
}

impl From<io::Error> for TranscriptError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A parser of the output, which comes in pieces.
#[derive(Debug)]
pub(crate) struct Transcript<W> {
    framer: Framer,
    sections: Sections<W>,
}

/// The content between the markers.
#[derive(Debug)]
pub(crate) struct Sections<W> {
    /// The section that has not ended.
    section: Option<Section>,
    capture: W,
    /// The length of the capture.
    pub(crate) captured: u64,
    /// The answer of the node's resolver.
    pub(crate) answer: Vec<u8>,
    /// What addresses answered to the node.
    pub(crate) probe: Vec<u8>,
    /// When the node began to probe.
    probe_began: Option<Instant>,
    /// The beginning of the output before the first marker.
    pub(crate) preamble: Vec<u8>,
    /// The sections that ended, with their exit codes.
    pub(crate) ended: Vec<(Section, u32)>,
    /// Whether the script began: any marker was read.
    pub(crate) has_begun: bool,
}

impl<W: Write> Transcript<W> {
    /// A parser that writes the sockets to `capture`.
    pub(crate) fn new(marker: &str, capture: W) -> Self {
        let sections = Sections {
            section: None,
            capture,
            captured: 0,
            answer: Vec::new(),
            probe: Vec::new(),
            probe_began: None,
            preamble: Vec::new(),
            ended: Vec::new(),
            has_begun: false,
        };
        Self { framer: Framer::new(marker), sections }
    }

    /// Parses the next piece.
    ///
    /// # Errors
    /// If the capture cannot be written, or the output exceeds a limit.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<(), TranscriptError> {
        let Self { framer, sections } = self;
        framer.push(piece, |frame| match frame {
            Frame::Content(bytes) => sections.content(bytes),
            Frame::Marker(words) => {
                sections.marker(words);
                Ok(())
            }
        })
    }

    /// How long the node has been probing, or zero.
    pub(crate) fn probing_for(&self) -> Duration {
        self.sections.probe_began.map(|began| began.elapsed()).unwrap_or_default()
    }

    /// Ends the output. An incomplete line is dropped: a truncated address is another
    /// address.
    pub(crate) fn finish(mut self) -> io::Result<Sections<W>> {
        if !self.sections.has_begun {
            self.sections.keep_preamble(&self.framer.into_tail());
        }
        self.sections.capture.flush()?;
        Ok(self.sections)
    }
}

impl<W> Sections<W> {
    /// The exit code of a section, if it ended.
    pub(crate) fn status(&self, section: Section) -> Option<u32> {
        self.ended.iter().find(|(ended, _)| *ended == section).map(|(_, status)| *status)
    }
}

impl<W: Write> Sections<W> {
    fn marker(&mut self, words: &[u8]) {
        self.has_begun = true;
        if let Some(status) = words.strip_prefix(b"end ") {
            let status = std::str::from_utf8(status).ok().and_then(|status| status.parse().ok());
            if let (Some(section), Some(status)) = (self.section.take(), status) {
                self.ended.push((section, status));
            }
        } else {
            // Rows of the privileged ss are kept even if it failed afterwards.
            let is_second = |section: &Section| *section == Section::Unprivileged && self.captured > 0;
            self.section = Section::from_word(words).filter(|section| !is_second(section));
            if self.section == Some(Section::Probe) {
                self.probe_began.get_or_insert_with(Instant::now);
            }
        }
    }

    fn content(&mut self, bytes: &[u8]) -> Result<(), TranscriptError> {
        match self.section {
            None if !self.has_begun => self.keep_preamble(bytes),
            None => {}
            Some(Section::Privileged | Section::Unprivileged) => {
                // A line without an end before a marker is truncated: an address in it
                // may be another one.
                let complete = complete_lines(bytes);
                self.captured += complete.len() as u64;
                if self.captured > CAPTURE_MAX {
                    return Err(TranscriptError::TooMuchOutput);
                }
                self.capture.write_all(complete)?;
                if !bytes[complete.len()..].trim_ascii().is_empty() {
                    self.capture.write_all(TRUNCATED)?;
                }
            }
            Some(Section::Dns) => {
                if self.answer.len() + bytes.len() > ANSWER_MAX {
                    return Err(TranscriptError::TooMuchOutput);
                }
                self.answer.extend_from_slice(bytes);
            }
            Some(Section::Probe) => {
                if self.probe.len() + bytes.len() > PROBE_MAX {
                    return Err(TranscriptError::TooMuchOutput);
                }
                self.probe.extend_from_slice(bytes);
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
    use super::super::framing::LINE_MAX;
    use super::*;

    const MARKER: &str = "marker-5eed";
    const WHOLE: &str = "\
Welcome!
marker-5eed ss
State Recv-Q Send-Q
ESTAB 0 0 10.0.0.1:1 10.0.0.2:443
marker-5eed end 0
marker-5eed dns
10.0.0.2 STREAM a.example
marker-5eed end 0
";

    fn read(text: &str, step: usize) -> (Sections<Vec<u8>>, bool) {
        let mut transcript = Transcript::new(MARKER, Vec::new());
        let mut fits = true;
        for piece in text.as_bytes().chunks(step) {
            if transcript.push(piece).is_err() {
                fits = false;
                break;
            }
        }
        (transcript.finish().expect("a vector"), fits)
    }

    #[test]
    fn the_size_of_pieces_does_not_matter() {
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
    fn a_truncated_line_is_dropped() {
        for end in 0..WHOLE.len() {
            let (transcript, _) = read(&WHOLE[..end], 5);
            assert!(transcript.capture.is_empty() || transcript.capture.ends_with(b"\n"), "{end}");
        }
    }

    #[test]
    fn a_truncated_row_before_a_marker_is_replaced() {
        let text = format!("{MARKER} ss\nwhole\nESTAB 0 0 10.0.0.1:1 10.0.0.2:44{MARKER} end 137\n");
        let (transcript, _) = read(&text, 3);
        assert_eq!(String::from_utf8_lossy(&transcript.capture), "whole\n[truncated]\n");
        assert_eq!(transcript.status(Section::Privileged), Some(137));
    }

    #[test]
    fn unprivileged_rows_are_used_if_there_are_no_privileged_ones() {
        let both = |first: &str| {
            let text = format!(
                "{MARKER} ss\n{first}{MARKER} end 1\n{MARKER} ss-unprivileged\nsecond\n{MARKER} end 0\n"
            );
            String::from_utf8(read(&text, 3).0.capture).expect("UTF-8")
        };
        assert_eq!(both(""), "second\n");
        assert_eq!(both("first\n"), "first\n");
    }

    #[test]
    fn output_that_exceeds_a_limit_is_refused() {
        assert!(!read(&"x".repeat(LINE_MAX * 2), 4096).1);
        assert!(!read(&format!("{MARKER} dns\n{}", "10.0.0.2\n".repeat(ANSWER_MAX)), 4096).1);
        let (transcript, fits) = read(&"noise\n".repeat(LINE_MAX), 4096);
        assert!(fits && transcript.preamble.len() == PREAMBLE_KEPT);
    }
}
