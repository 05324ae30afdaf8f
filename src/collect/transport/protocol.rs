//! The protocol between the sampler and a node: the script on the node, and the samples
//! in its output.
//!
//! ```text
//! (output of the login shell)
//! MARKER login
//! MARKER rights root events      (root | sudo | none, and whether closed sockets follow)
//! MARKER clock 1700565006.1 42.5 (the node's clock and uptime, in seconds)
//! MARKER sample 43.1 17          (the node's uptime; the inbound connections opened since its start)
//! (sockets)
//! MARKER end 0 43.2              (the exit status of ss, and the uptime)
//! MARKER events-lost             (some closed sockets were not reported)
//! MARKER opened 18               (the same number as above, after the last close was reported)
//! ```

use std::time::Duration;

use super::framing::{Frame, TooMuchOutput, complete_lines};
use super::transcript::{CAPTURE_MAX, PREAMBLE_KEPT};

/// The script on the node, which is constant: it reads its parameters and the loop from
/// standard input. It determines how `ss` runs as root: as root itself, by one sudo for
/// all samples, or by one sudo for each sample with processes, where sudo allows only
/// `ss -tnp`. `sudo -l` checks this without a refusal, which would be reported to
/// administrators.
pub(super) const SCRIPT: &str = "\
LC_ALL=C; export LC_ALL; PATH=$PATH:/usr/sbin:/sbin; IFS= read -r marker; IFS= read -r loop; echo \"$marker login\"; \
if [ -O / ]; then exec sh -c \"$loop\" loop root; fi; \
if sudo -n -l </dev/null 2>/dev/null | grep -q \"NOPASSWD: ALL\" && sudo -n true </dev/null 2>/dev/null; \
then exec sudo -n sh -c \"$loop\" loop root; fi; \
if sudo -n ss -tnp </dev/null >/dev/null; then exec sh -c \"$loop\" loop sudo; fi; \
exec sh -c \"$loop\" loop none";

/// The loop that the script runs: a sample for each line of standard input that has the
/// options of `ss`, until there are no more.
///
/// The kernel also reports each socket that is closed, to any user, on standard error, in
/// one line each. `ss -E` buffers its output unless it runs under `stdbuf`. No sample is
/// taken before the kernel lists the subscription. If more sockets close than it can read,
/// it ends, and is started again after the next sample. At the end, it is ended once it has
/// read what is queued.
///
/// If the network fails, standard input does not end, and a write may block for ever.
/// Therefore a watchdog ends the loop, and then its process group, unless a line `keep`
/// arrives in time. A process of root is not in its reach: its output is read at once. Of
/// lines `keep` that arrive together, one has an effect: a watchdog that has just been
/// started may ignore the signal that ends it.
pub(super) const LOOP: &str = "IFS= read -r marker; rights=$1; events=; watchdog=; \
watch() { \
read -r up rest </proc/uptime; if [ $((${up%.*} - ${since:-0})) -lt 2 ]; then return; fi; since=${up%.*}; \
if [ -n \"$watchdog\" ]; then kill $watchdog 2>/dev/null; fi; \
( trap : TERM; sleep 30 & timer=$!; trap 'kill $timer 2>/dev/null; exit' TERM; wait $timer; \
read -r pid name state parent rest </proc/self/stat; if [ \"$parent\" != $$ ]; then exit; fi; \
kill $$; sleep 2 & timer=$!; wait $timer; kill -KILL 0 ) </dev/null >/dev/null 2>&1 & watchdog=$!; }; \
follow() { stdbuf -oL ss -E -Htn </dev/null >&2 & \
events=$!; tries=0; \
until grep -q \" 4  *$events  *0*[1-9a-f]\" /proc/net/netlink; do tries=$((tries + 1)); \
if [ $tries -gt 200 ] || ! kill -0 $events 2>/dev/null; then kill $events 2>/dev/null; events=; break; fi; done; }; \
trap 'kill $watchdog $events 2>/dev/null' EXIT; trap exit HUP INT PIPE TERM; watch; \
if command -v stdbuf >/dev/null && ss -h 2>&1 | head -c 9999 | grep -q -e --events; then follow; fi; \
opened() { opened=; while read -r name a b c d e passive rest; do \
case $name$a in Tcp:[0-9]*) opened=$passive; break; esac; done </proc/net/snmp; }; \
as_root() { rows=$(sudo -n ss -tnp </dev/null); status=$?; printf '%s\\n' \"$rows\"; return $status; }; \
sockets() { case $rights$1 in \
sudo-tanp) as_root && ss -Htnl </dev/null;; \
sudo-tnp) as_root;; \
*) ss $1 </dev/null;; esac; }; \
read -r up rest </proc/uptime; \
echo \"$marker rights $rights ${events:+events}\"; echo \"$marker clock $(date +%s.%N) $up\"; \
while read -r options counted; do \
if [ \"$options\" = keep ]; then watch; continue; fi; \
opened=; if [ -n \"$counted\" ]; then opened; fi; \
read -r up rest </proc/uptime; echo \"$marker sample $up $opened\"; \
sockets $options; status=$?; \
read -r up rest </proc/uptime; echo \"$marker end $status $up\"; \
if [ -n \"$events\" ] && ! kill -0 $events 2>/dev/null; then echo \"$marker events-lost\"; follow; fi; done; \
if [ -n \"$events\" ]; then tries=0; \
while grep -q \" 4  *$events  *[0-9a-f]*  *[1-9]\" /proc/net/netlink; do tries=$((tries + 1)); \
if [ $tries -gt 200 ]; then echo \"$marker events-lost\"; break; fi; done; \
kill $events; wait $events 2>/dev/null; events=; fi; \
opened; echo \"$marker opened $opened\"";

/// The line that keeps the loop running.
pub(super) const KEEP: &[u8] = b"keep\n";

/// The output outside of samples that is accepted: more than any banner.
const STRAY_MAX: usize = 1 << 20;

/// The first lines of the standard input of the script: its marker, the loop, and the
/// loop's marker.
pub(super) fn parameters(marker: &str, sample_loop: &str) -> String {
    format!("{marker}\n{sample_loop}\n{marker}\n")
}

/// The options of `ss` in a sample. Finding the processes of sockets takes ten times as
/// long as the rest, so they are requested only for new sockets.
#[derive(Debug, Clone, Copy)]
pub(super) enum SampleKind {
    /// Listening sockets too, with processes.
    Full,
    /// Connections with processes.
    Processes,
    /// The same, and before it the number of connections that were opened.
    Baseline,
    /// Connections alone.
    Sockets,
}

impl SampleKind {
    /// The line that requests such a sample.
    pub(super) fn request(self) -> &'static str {
        match self {
            Self::Full => "-tanp\n",
            Self::Processes => "-tnp\n",
            Self::Baseline => "-tnp counted\n",
            Self::Sockets => "-tn\n",
        }
    }
}

/// How `ss` runs on the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rights {
    /// As root.
    Root,
    /// By sudo, for each sample with processes.
    Sudo,
    /// As the user.
    Unprivileged,
}

/// A sample that was received completely.
#[derive(Debug)]
pub(super) struct RawSample {
    /// When it was taken, by the node's clock.
    pub(super) time: Option<Duration>,
    /// How long it took.
    pub(super) took: Duration,
    /// The number of inbound connections that had been opened before it.
    pub(super) opened: Option<u64>,
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
    /// Whether some were not.
    pub(super) has_lost_events: bool,
    /// The node's clock and uptime at the same time, in seconds.
    clock: Option<(f64, f64)>,
    /// The sample that is being received.
    incoming: Option<Incoming>,
    /// Complete samples that were not returned yet.
    complete: Vec<RawSample>,
    /// The beginning of the output before the first marker.
    pub(super) preamble: Vec<u8>,
    /// The length of the output outside of samples.
    stray: usize,
    /// The number of inbound connections that had been opened at the end.
    pub(super) opened: Option<u64>,
}

/// A sample that is being received.
#[derive(Debug)]
struct Incoming {
    uptime: Option<f64>,
    opened: Option<u64>,
    bytes: Vec<u8>,
}

impl Protocol {
    /// Applies a frame of the output.
    pub(super) fn frame(&mut self, frame: Frame<'_>) -> Result<(), TooMuchOutput> {
        match (frame, &mut self.incoming) {
            (Frame::Content(bytes), Some(sample)) => {
                let bytes = complete_lines(bytes);
                if (sample.bytes.len() + bytes.len()) as u64 > CAPTURE_MAX {
                    return Err(TooMuchOutput);
                }
                sample.bytes.extend_from_slice(bytes);
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
        let count = |word: Option<&str>| word.and_then(|word| word.parse::<u64>().ok());
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
            Some("sample") => {
                let uptime = number(words.next());
                self.incoming = Some(Incoming { uptime, opened: count(words.next()), bytes: Vec::new() });
            }
            Some("end") => {
                if let Some(Incoming { uptime, opened, bytes }) = self.incoming.take() {
                    let has_failed = words.next() != Some("0");
                    let took = number(words.next()).zip(uptime).map(|(end, begin)| end - begin);
                    let took =
                        took.and_then(|took| Duration::try_from_secs_f64(took).ok()).unwrap_or_default();
                    let time = self.time(uptime);
                    self.complete.push(RawSample { time, took, opened, bytes, has_failed });
                }
            }
            Some("opened") => self.opened = count(words.next()),
            Some("events-lost") => self.has_lost_events = true,
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
