//! The protocol between the sampler and a node: the script on the node, and the samples
//! in its output.
//!
//! ```text
//! (output of the login shell)
//! MARKER login
//! MARKER rights root events      (root | sudo | none, and whether closed sockets follow)
//! MARKER clock 1700565006.1 42.5 (the node's clock and uptime, in seconds)
//! MARKER sample 43.1             (the node's uptime)
//! (sockets)
//! MARKER end 0
//! MARKER events-ended
//! ```

use std::time::Duration;

use super::framing::{Frame, TooMuchOutput, complete_lines};
use super::transcript::{CAPTURE_MAX, PREAMBLE_KEPT};

/// The script on the node, which is constant: it reads its parameters and the loop from
/// standard input. It determines how `ss` runs as root: as root itself, by one sudo for
/// all samples, or by one sudo for each sample, where sudo allows only `ss -tnp`. `sudo -l`
/// checks this without a refusal, which would be reported to administrators.
pub(super) const SCRIPT: &str = "\
LC_ALL=C; export LC_ALL; PATH=$PATH:/usr/sbin:/sbin; IFS= read -r marker; IFS= read -r loop; echo \"$marker login\"; \
if [ -O / ]; then exec sh -c \"$loop\" loop root; fi; \
if sudo -n -l </dev/null 2>/dev/null | grep -q \"NOPASSWD: ALL\" && sudo -n true </dev/null 2>/dev/null; \
then exec sudo -n sh -c \"$loop\" loop root; fi; \
if sudo -n ss -tnp </dev/null >/dev/null; then exec sh -c \"$loop\" loop sudo; fi; \
exec sh -c \"$loop\" loop none";

/// The loop that the script runs: a sample for each line of standard input, which has the
/// options of `ss`, until there are no more. As root, the kernel also reports each socket
/// that is closed, on standard error, in one line each. `ss -E` buffers its output
/// unless it runs under `stdbuf`.
const LOOP: &str = "IFS= read -r marker; rights=$1; events=; \
if [ \"$rights\" = sudo ]; then set -- sudo -n ss; else set -- ss; fi; \
if [ \"$rights\" = root ] && command -v stdbuf >/dev/null && ss -h 2>&1 | head -c 9999 | grep -q -e --events; then \
stdbuf -oL ss -E -Htn </dev/null >&2 2>/dev/null & \
events=$!; trap \"kill $events 2>/dev/null\" EXIT; trap exit HUP INT PIPE TERM; fi; \
read -r up rest </proc/uptime; \
echo \"$marker rights $rights ${events:+events}\"; echo \"$marker clock $(date +%s.%N) $up\"; \
while IFS= read -r options; do \
read -r up rest </proc/uptime; echo \"$marker sample $up\"; \
if [ \"$rights\" = sudo ]; then options=-tnp; fi; \"$@\" \"$options\" </dev/null; \
echo \"$marker end $?\"; \
if [ -n \"$events\" ] && ! kill -0 $events 2>/dev/null; then events=; echo \"$marker events-ended\"; fi; done";

/// The output outside of samples that is accepted: more than any banner.
const STRAY_MAX: usize = 1 << 20;

/// The first lines of the standard input of the script: its marker, the loop, and the
/// loop's marker.
pub(super) fn parameters(marker: &str) -> String {
    format!("{marker}\n{LOOP}\n{marker}\n")
}

/// The options of `ss` in a sample. Finding the processes of sockets takes ten times as
/// long as the rest, so they are requested only for new sockets.
#[derive(Debug, Clone, Copy)]
pub(super) enum SampleKind {
    /// Listening sockets too, with processes.
    Full,
    /// Connections with processes.
    Processes,
    /// Connections alone.
    Sockets,
}

impl SampleKind {
    /// The line that requests such a sample.
    pub(super) fn request(self) -> &'static str {
        match self {
            Self::Full => "-tanp\n",
            Self::Processes => "-tnp\n",
            Self::Sockets => "-tn\n",
        }
    }
}

/// How `ss` runs on the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rights {
    /// As root.
    Root,
    /// By sudo, for each sample.
    Sudo,
    /// As the user.
    Unprivileged,
}

/// A sample that was received completely.
#[derive(Debug)]
pub(super) struct RawSample {
    /// When it was taken, by the node's clock.
    pub(super) time: Option<Duration>,
    /// The output of `ss`.
    pub(super) bytes: Vec<u8>,
    /// Whether `ss` failed.
    pub(super) has_failed: bool,
}

/// The state of the protocol.
#[derive(Debug, Default)]
pub(super) struct Protocol {
    /// Whether the script began.
    pub(super) has_begun: bool,
    pub(super) rights: Option<Rights>,
    /// Whether closed sockets are reported on standard error.
    pub(super) has_close_events: bool,
    /// The node's clock and uptime at the same time, in seconds.
    clock: Option<(f64, f64)>,
    /// The sample that is being received: its uptime, and the output so far.
    incoming: Option<(Option<f64>, Vec<u8>)>,
    /// Complete samples that were not returned yet.
    complete: Vec<RawSample>,
    /// The beginning of the output before the first marker.
    pub(super) preamble: Vec<u8>,
    /// The length of the output outside of samples.
    stray: usize,
}

impl Protocol {
    /// Applies a frame of the output.
    pub(super) fn frame(&mut self, frame: Frame<'_>) -> Result<(), TooMuchOutput> {
        match (frame, &mut self.incoming) {
            (Frame::Content(bytes), Some((_, sample))) => {
                let bytes = complete_lines(bytes);
                if (sample.len() + bytes.len()) as u64 > CAPTURE_MAX {
                    return Err(TooMuchOutput);
                }
                sample.extend_from_slice(bytes);
            }
            (Frame::Content(bytes), None) => {
                self.stray += bytes.len();
                if self.stray > STRAY_MAX {
                    return Err(TooMuchOutput);
                }
                if !self.has_begun {
                    self.preamble.extend_from_slice(bytes);
                    self.preamble.truncate(PREAMBLE_KEPT);
                }
            }
            (Frame::Marker(words), _) => self.marker(&String::from_utf8_lossy(words)),
        }
        Ok(())
    }

    fn marker(&mut self, words: &str) {
        let mut words = words.split_ascii_whitespace();
        let number = |word: Option<&str>| word.and_then(|word| word.parse::<f64>().ok());
        match words.next() {
            Some("login") => self.has_begun = true,
            Some("rights") => {
                self.rights = Some(match words.next() {
                    Some("root") => Rights::Root,
                    Some("sudo") => Rights::Sudo,
                    _ => Rights::Unprivileged,
                });
                self.has_close_events = words.next() == Some("events");
            }
            Some("clock") => self.clock = number(words.next()).zip(number(words.next())),
            Some("sample") => self.incoming = Some((number(words.next()), Vec::new())),
            Some("end") => {
                if let Some((uptime, bytes)) = self.incoming.take() {
                    let has_failed = words.next() != Some("0");
                    self.complete.push(RawSample { time: self.time(uptime), bytes, has_failed });
                }
            }
            Some("events-ended") => self.has_close_events = false,
            _ => {}
        }
    }

    /// The node's clock at an uptime.
    fn time(&self, uptime: Option<f64>) -> Option<Duration> {
        let (clock, then) = self.clock?;
        Duration::try_from_secs_f64(clock + uptime? - then).ok()
    }

    /// The samples that were received since the last call.
    pub(super) fn take_samples(&mut self) -> Vec<RawSample> {
        std::mem::take(&mut self.complete)
    }

    /// Whether part of a sample was received.
    pub(super) fn is_receiving(&self) -> bool {
        self.incoming.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_one_quoted_word_in_any_shell() {
        assert!(!SCRIPT.contains(['\'', '\n', '!', '\\']));
        // It is read as one line.
        assert!(!LOOP.contains('\n'));
    }

    #[test]
    fn a_sample_has_the_time_of_the_node() {
        let mut protocol = Protocol::default();
        for words in ["login", "rights sudo", "clock 1000.5 20.0", "sample 21.0"] {
            protocol.frame(Frame::Marker(words.as_bytes())).expect("a marker");
        }
        protocol.frame(Frame::Content(b"whole\ntrunca")).expect("content");
        protocol.frame(Frame::Marker(b"end 0")).expect("a marker");
        let samples = protocol.take_samples();
        let [sample] = samples.as_slice() else { panic!("{samples:?}") };
        assert_eq!(sample.time, Some(Duration::from_millis(1_001_500)));
        assert_eq!((sample.bytes.as_slice(), sample.has_failed), (&b"whole\n"[..], false));
        assert_eq!((protocol.rights, protocol.has_close_events), (Some(Rights::Sudo), false));
    }
}
