//! A node looked at again and again over one ssh session: each look is asked for
//! by a line on its standard input, so that nothing runs on when the session ends.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use super::frame::{Framer, Part, TooMuch, whole_lines};
use super::ssh::{Client, Cut, Destination, Ending, Ssh, random};
use super::transcript::CAPTURE_MAX;
use super::trouble;
use crate::model::gap::Gap;
use crate::model::name::NodeName;
use crate::model::trace::{Moment, Phase};

/// The remote command, which never changes. It reads what it needs to know, and
/// what it is to run, from its standard input, and finds out how root's rights
/// are to be had: as root, by one sudo for all looks, or by one for each look,
/// where sudo allows `ss -tnp` and nothing else. `sudo -l` asks without being
/// refused, which administrators would be told of.
const REMOTE: &str = "sh -c '\
LC_ALL=C; export LC_ALL; PATH=$PATH:/usr/sbin:/sbin; IFS= read -r mark; IFS= read -r loop; echo \"$mark here\"; \
if [ -O / ]; then exec sh -c \"$loop\" loop root; fi; \
if sudo -n -l </dev/null 2>/dev/null | grep -q \"NOPASSWD: ALL\" && sudo -n true </dev/null 2>/dev/null; \
then exec sudo -n sh -c \"$loop\" loop root; fi; \
if sudo -n ss -tnp </dev/null >/dev/null; then exec sh -c \"$loop\" loop sudo; fi; \
exec sh -c \"$loop\" loop plain'";

/// What it runs: a look for each line that it reads, until there are no more.
/// Root is also told by the kernel of each socket that ends, on standard error,
/// where each line is a socket's: `ss -E` writes them by the block unless
/// `stdbuf` keeps it from that.
const LOOP: &str = "IFS= read -r mark; how=$1; watch=; \
if [ \"$how\" = sudo ]; then set -- sudo -n ss; else set -- ss; fi; \
if [ \"$how\" = root ] && command -v stdbuf >/dev/null && ss -h 2>&1 | head -c 9999 | grep -q -e --events; then \
stdbuf -oL ss -E -Htn </dev/null >&2 2>/dev/null & \
watch=$!; trap \"kill $watch 2>/dev/null\" EXIT; trap exit HUP INT PIPE TERM; fi; \
read -r up rest </proc/uptime; \
echo \"$mark how $how ${watch:+ends}\"; echo \"$mark clock $(date +%s.%N) $up\"; \
while IFS= read -r ask; do \
read -r up rest </proc/uptime; echo \"$mark ss $up\"; \
if [ \"$how\" = sudo ]; then ask=-tnp; fi; \"$@\" \"$ask\" </dev/null; \
echo \"$mark end $?\"; \
if [ -n \"$watch\" ] && ! kill -0 $watch 2>/dev/null; then watch=; echo \"$mark deaf\"; fi; done";

/// What `ss` is asked for. To find the processes of sockets costs it ten times
/// the rest, so that it is asked for them only when there are new sockets.
const ALL: &str = "-tanp";
const WITH_PROCESSES: &str = "-tnp";
const SOCKETS: &str = "-tn";
/// Where new sockets keep coming, processes are looked for no more often.
const PROCESSES_INTERVAL: Duration = Duration::from_secs(1);

/// Looks that may be on their way at a time; one more is missed.
const OUTSTANDING_MAX: usize = 4;
/// What a command does first is short, as a short exec is: it is looked at more
/// often.
const EAGER: Duration = Duration::from_secs(3);
const EAGER_INTERVAL: Duration = Duration::from_millis(50);
/// How long the last look may take.
const LAST_LOOK: Duration = Duration::from_secs(5);
/// How long ssh may take to say why it ends.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// More than any banner, before or between looks.
const STRAY_MAX: usize = 1 << 20;
/// What is kept of standard error that is no socket.
const STDERR_KEPT: usize = 8 << 10;

/// What the nodes are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Look, before the action.
    Before,
    /// Wait: the action is about to begin.
    Hold,
    /// Look, during the action.
    During,
    /// Look, after it.
    After,
    /// Look once more, and end.
    Last,
}

impl Stage {
    fn phase(self) -> Phase {
        match self {
            Self::Before | Self::Hold => Phase::Before,
            Self::During => Phase::During,
            Self::After | Self::Last => Phase::After,
        }
    }
}

/// What comes back from a node.
#[derive(Debug)]
pub(crate) enum Told {
    /// A look.
    Look {
        /// The part of the trace in which it was asked for.
        phase: Phase,
        moment: Moment,
        /// What `ss` printed.
        bytes: Vec<u8>,
    },
    /// Sockets that ended, as `ss` prints them.
    Ended { phase: Phase, moment: Moment, bytes: Vec<u8> },
    /// Nothing is on its way any more, as [`Stage::Hold`] wants it.
    Idle,
}

/// What became of a node.
#[derive(Debug)]
pub struct Sampled {
    /// Its name.
    pub name: NodeName,
    /// Looks taken.
    pub samples: u64,
    /// Looks that were due and not taken.
    pub missed: u64,
    /// Whether the kernel told of sockets that ended.
    pub tells_ends: bool,
    /// What was not seen of it.
    pub gaps: Vec<Gap>,
}

/// How a node is looked at.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    pub(crate) ssh: Ssh,
    /// Between two looks.
    pub(crate) interval: Duration,
    /// When the trace began.
    pub(crate) began: Instant,
    pub(crate) stage: watch::Receiver<Stage>,
    /// Set where a look had sockets of which the processes are not known.
    pub(crate) wants_processes: Arc<AtomicBool>,
}

/// Looks at a node until it is told to end, or cannot. `seat` is given up after
/// the first look: it is for logins.
pub(crate) async fn sample(
    mut pace: Pace,
    name: NodeName,
    to: Destination,
    seat: Option<OwnedSemaphorePermit>,
    told: mpsc::Sender<(NodeName, Told)>,
) -> Sampled {
    let mut session = Session::new(&pace, name.clone(), told, seat);
    let mut client = match Client::spawn(pace.ssh.args(&to), REMOTE) {
        Ok(client) => client,
        Err(error) => return session.ended(vec![trouble::not_run(&name, &error)]),
    };
    let by_hand = pace.ssh.by_hand(&to);
    let (stdin, stdout, stderr) =
        (client.child.stdin.take(), client.child.stdout.take(), client.child.stderr.take());
    let (Some(stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
        unreachable!("all three are pipes")
    };
    let cut = session.run(&mut pace, Pipes { stdin, stdout, stderr }).await;
    let status = if cut.is_none() {
        timeout(Duration::from_millis(500), client.child.wait()).await.ok().and_then(Result::ok)
    } else {
        None
    };
    if status.is_none() {
        client.end().await;
    }
    let stderr = String::from_utf8_lossy(&session.complaints).into_owned();
    let ending = Ending { by_hand, status, stderr, cut };
    // While the command runs, the terminal is its own.
    if *pace.stage.borrow() != Stage::During {
        debug!(%name, samples = session.samples, missed = session.missed, ?ending, "ssh ended");
    }
    let mut gaps = Vec::new();
    if !session.is_done {
        gaps.push(match session.samples {
            0 => trouble::never_looked_at(&name, &to, &ending, session.is_here, &session.preamble),
            samples => trouble::dropped_out(&name, &ending, samples, pace.began.elapsed()),
        });
    }
    if session.how == Some(How::Plain) {
        gaps.push(trouble::nameless(&name, &ending));
    }
    session.ended(gaps)
}

/// By whose rights `ss` runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Root,
    Sudo,
    Plain,
}

struct Pipes {
    stdin: ChildStdin,
    stdout: ChildStdout,
    stderr: ChildStderr,
}

/// A session with a node.
struct Session {
    name: NodeName,
    told: mpsc::Sender<(NodeName, Told)>,
    seat: Option<OwnedSemaphorePermit>,
    mark: String,
    began: Instant,
    interval: Duration,
    /// Whether anything of ours runs there.
    is_here: bool,
    how: Option<How>,
    tells_ends: bool,
    /// The node's clock and uptime when it said them, in seconds.
    clock: Option<(f64, f64)>,
    /// The parts of the trace in which the looks on their way were asked for.
    asked: VecDeque<Phase>,
    /// The look that is coming in: the node's uptime, and what came so far.
    coming: Option<(Option<f64>, Vec<u8>)>,
    /// Looks that came in whole and are not told yet, and whether ss failed.
    came: Vec<(Option<f64>, Vec<u8>, bool)>,
    samples: u64,
    missed: u64,
    /// What stood before the first mark.
    preamble: Vec<u8>,
    /// How much came that is of no look.
    stray: usize,
    complaints: Vec<u8>,
    is_done: bool,
}

impl Session {
    fn new(
        pace: &Pace,
        name: NodeName,
        told: mpsc::Sender<(NodeName, Told)>,
        seat: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self {
            name,
            told,
            seat,
            mark: format!("eks-netcheck-{:016x}", random()),
            began: pace.began,
            interval: pace.interval,
            is_here: false,
            how: None,
            tells_ends: false,
            clock: None,
            asked: VecDeque::new(),
            coming: None,
            came: Vec::new(),
            samples: 0,
            missed: 0,
            preamble: Vec::new(),
            stray: 0,
            complaints: Vec::new(),
            is_done: false,
        }
    }

    fn ended(self, gaps: Vec<Gap>) -> Sampled {
        Sampled {
            name: self.name,
            samples: self.samples,
            missed: self.missed,
            tells_ends: self.tells_ends,
            gaps,
        }
    }

    /// Looks until it is told to end; why we have to end ssh, if we have to.
    async fn run(&mut self, pace: &mut Pace, mut pipes: Pipes) -> Option<Cut> {
        let login_until = Instant::now() + pace.ssh.timeout();
        let mut stage = *pace.stage.borrow_and_update();
        let mut eager_until = Instant::now();
        let mut due = Instant::now();
        let mut last_until = None;
        let mut processes_asked = due;
        let (mut is_idle, mut is_heard) = (false, true);
        let mut framer = Framer::new(&self.mark);
        let mut rows = Vec::new();
        let (mut piece, mut said) = (vec![0; 32 << 10], vec![0; 4 << 10]);
        // Once for the shell that finds out how, and once for the loop.
        let hello = format!("{0}\n{LOOP}\n{0}\n", self.mark);
        // How ssh ends tells why, if it takes none.
        let _ = pipes.stdin.write_all(hello.as_bytes()).await;
        loop {
            let is_looking = self.samples > 0 && !matches!(stage, Stage::Hold | Stage::Last);
            let deadline = if self.samples == 0 { Some(login_until) } else { last_until };
            tokio::select! {
                read = pipes.stdout.read(&mut piece) => {
                    let Ok(length @ 1..) = read else {
                        self.hear_out(&mut pipes.stderr, rows, stage.phase()).await;
                        return None;
                    };
                    if framer.push(&piece[..length], |part| self.part(part)).is_err() {
                        return Some(Cut::TooMuch);
                    }
                    if self.is_waiting_for_first() {
                        self.ask(&mut pipes.stdin, stage.phase(), ALL).await;
                    }
                    self.tell_looks().await;
                    if self.samples == 1 && self.seat.take().is_some() {
                        due = Instant::now() + self.interval;
                    }
                }
                read = pipes.stderr.read(&mut said), if is_heard => {
                    let length = read.unwrap_or(0);
                    is_heard = length > 0;
                    rows.extend_from_slice(&said[..length]);
                    self.heard(&mut rows, stage.phase()).await;
                }
                changed = pace.stage.changed() => {
                    if changed.is_err() {
                        return None;
                    }
                    stage = *pace.stage.borrow_and_update();
                    is_idle = false;
                    match stage {
                        Stage::During => {
                            // What is on its way still comes while it lasts.
                            self.asked.make_contiguous().fill(Phase::During);
                            (due, eager_until) = (Instant::now(), Instant::now() + EAGER);
                        }
                        Stage::After => (due, eager_until) = (Instant::now(), Instant::now()),
                        Stage::Last => {
                            last_until = Some(Instant::now() + LAST_LOOK);
                            self.ask(&mut pipes.stdin, Phase::After, WITH_PROCESSES).await;
                        }
                        Stage::Before | Stage::Hold => {}
                    }
                }
                () = sleep_until(due), if is_looking => {
                    if self.asked.len() < OUTSTANDING_MAX {
                        let is_time = processes_asked.elapsed() >= PROCESSES_INTERVAL;
                        let what = if is_time && pace.wants_processes.swap(false, Ordering::Relaxed) {
                            processes_asked = Instant::now();
                            WITH_PROCESSES
                        } else {
                            SOCKETS
                        };
                        self.ask(&mut pipes.stdin, stage.phase(), what).await;
                    } else {
                        self.missed += 1;
                    }
                    let now = Instant::now();
                    let interval =
                        if now < eager_until { self.interval.min(EAGER_INTERVAL) } else { self.interval };
                    due += interval;
                    while due < now {
                        due += interval;
                        self.missed += 1;
                    }
                }
                () = sleep_until(deadline.unwrap_or(login_until)), if deadline.is_some() => {
                    let after = if self.samples == 0 { pace.ssh.timeout() } else { LAST_LOOK };
                    return Some(Cut::TimedOut(after));
                }
            }
            if self.asked.is_empty() && self.coming.is_none() && self.samples > 0 {
                match stage {
                    Stage::Last => {
                        self.is_done = true;
                        return None;
                    }
                    Stage::Hold if !is_idle => {
                        is_idle = true;
                        self.tell(Told::Idle).await;
                    }
                    _ => {}
                }
            }
        }
    }

    async fn ask(&mut self, stdin: &mut ChildStdin, phase: Phase, what: &str) {
        // A session that ended takes nothing more; how it ended is told elsewhere.
        let _ = stdin.write_all(format!("{what}\n").as_bytes()).await;
        self.asked.push_back(phase);
    }

    fn part(&mut self, part: Part<'_>) -> Result<(), TooMuch> {
        match (part, &mut self.coming) {
            (Part::Content(bytes), Some((_, look))) => {
                let bytes = whole_lines(bytes);
                if (look.len() + bytes.len()) as u64 > CAPTURE_MAX {
                    return Err(TooMuch);
                }
                look.extend_from_slice(bytes);
            }
            (Part::Content(bytes), None) => {
                self.stray += bytes.len();
                if self.stray > STRAY_MAX {
                    return Err(TooMuch);
                }
                if !self.is_here {
                    self.preamble.extend_from_slice(bytes);
                    self.preamble.truncate(1024);
                }
            }
            (Part::Mark(words), _) => self.marked(&String::from_utf8_lossy(words)),
        }
        Ok(())
    }

    fn marked(&mut self, words: &str) {
        let mut words = words.split_ascii_whitespace();
        let number = |word: Option<&str>| word.and_then(|word| word.parse::<f64>().ok());
        match words.next() {
            Some("here") => self.is_here = true,
            Some("how") => {
                self.how = Some(match words.next() {
                    Some("root") => How::Root,
                    Some("sudo") => How::Sudo,
                    _ => How::Plain,
                });
                self.tells_ends = words.next() == Some("ends");
            }
            Some("clock") => self.clock = number(words.next()).zip(number(words.next())),
            Some("ss") => self.coming = Some((number(words.next()), Vec::new())),
            Some("end") => {
                let has_failed = words.next() != Some("0");
                self.came.extend(self.coming.take().map(|(uptime, bytes)| (uptime, bytes, has_failed)));
            }
            // Nobody tells of sockets that end any more.
            Some("deaf") => self.tells_ends = false,
            _ => {}
        }
    }

    async fn tell_looks(&mut self) {
        for (uptime, bytes, has_failed) in std::mem::take(&mut self.came) {
            // One that nobody asked for is none.
            let Some(phase) = self.asked.pop_front() else { continue };
            // That it fails from the first on shows in what it does not print.
            if has_failed && self.samples > 0 {
                self.missed += 1;
                continue;
            }
            self.samples += 1;
            let moment = Moment { arrived: self.began.elapsed(), node: self.node_time(uptime) };
            self.tell(Told::Look { phase, moment, bytes }).await;
        }
    }

    /// The node's time at an uptime, by what it said of both.
    fn node_time(&self, uptime: Option<f64>) -> Option<Duration> {
        let (clock, then) = self.clock?;
        Duration::try_from_secs_f64(clock + uptime? - then).ok()
    }

    /// Takes lines of standard error: sockets that ended, and complaints.
    async fn heard(&mut self, rows: &mut Vec<u8>, phase: Phase) {
        let whole = whole_lines(rows).len();
        if !self.tells_ends || self.samples == 0 {
            self.complain(rows);
            rows.clear();
        } else if whole > 0 {
            let bytes: Vec<u8> = rows.drain(..whole).collect();
            // What ssh itself says stands among them.
            let others = bytes.split_inclusive(|byte| *byte == b'\n');
            others.filter(|line| !line.starts_with(b"UNCONN")).for_each(|line| self.complain(line));
            let moment = Moment { arrived: self.began.elapsed(), node: None };
            self.tell(Told::Ended { phase, moment, bytes }).await;
        } else if rows.len() > super::frame::LINE_MAX {
            rows.clear();
        }
    }

    fn is_waiting_for_first(&self) -> bool {
        self.how.is_some() && self.samples == 0 && self.asked.is_empty() && self.came.is_empty()
    }

    /// What ssh said last is in the pipe.
    async fn hear_out(&mut self, stderr: &mut ChildStderr, mut rows: Vec<u8>, phase: Phase) {
        let mut said = vec![0; 4 << 10];
        let rest = async {
            while let Ok(length @ 1..) = stderr.read(&mut said).await {
                rows.extend_from_slice(&said[..length]);
                self.heard(&mut rows, phase).await;
            }
        };
        let _ = timeout(LAST_WORDS, rest).await;
    }

    fn complain(&mut self, bytes: &[u8]) {
        self.complaints.extend_from_slice(bytes);
        self.complaints.drain(..self.complaints.len().saturating_sub(STDERR_KEPT));
    }

    async fn tell(&self, told: Told) {
        // Nobody listens any more only when all ends.
        let _ = self.told.send((self.name.clone(), told)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remote_command_is_one_word_for_any_shell() {
        let inside = REMOTE.strip_prefix("sh -c '").and_then(|rest| rest.strip_suffix('\'')).expect("quoted");
        assert!(!inside.contains(['\'', '\n', '!', '\\']));
        // It is read as one line.
        assert!(!LOOP.contains('\n'));
    }
}
