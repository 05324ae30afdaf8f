//! A node read once: its sockets, and the addresses that its resolver returns for the
//! cluster's endpoint, and whether it reaches them.
//!
//! No text from outside becomes part of a shell command: the script is constant and reads
//! its parameters from standard input.

use std::io::{self, Write};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::Target;
use super::client::{Client, ClientError, Ending, Pipes, StopReason, read_end};
use super::framing::{new_marker, random};
use super::probe::{Asked, NodeTargets, ProbeTime, script};
use super::transcript::{Sections, Transcript, TranscriptError};
use crate::capture::filter::one_line;

/// The script on the node. `ss` needs root to name processes; sockets without names are
/// better than none. `ss` is in /usr/sbin on some systems, which the PATH of a login need
/// not contain. The owner of / is root, which `[` determines without a process of its own.
const SCRIPT: &str = concat!(
    "\
LC_ALL=C; export LC_ALL; PATH=$PATH:/usr/sbin:/sbin; IFS= read -r marker; \
echo \"$marker ss\"; \
if [ -O / ]; then ss -tnp </dev/null; else sudo -n ss -tnp </dev/null; fi; \
status=$?; echo \"$marker end $status\"; \
if [ $status -ne 0 ]; then echo \"$marker ss-unprivileged\"; ss -tnp </dev/null; echo \"$marker end $?\"; fi; \
IFS= read -r host; \
if [ -n \"$host\" ]; then echo \"$marker dns\"; getent ahosts \"$host\" </dev/null; echo \"$marker end $?\"; fi",
    script!()
);

/// The script that filters the rows on the node, which reads the filter and the addresses that
/// are always of interest. The filter does not need root, so sudo need allow no more than for
/// [`SCRIPT`]. `mawk` would collect 4 KiB before it prints a row, and a node whose `ss` hangs
/// would lose them. Without awk, or without the addresses, the table is read as a whole, as it
/// is where `ss` cannot run as root.
const FILTERING_SCRIPT: &str = concat!(
    "\
LC_ALL=C; export LC_ALL; PATH=$PATH:/usr/sbin:/sbin; IFS= read -r marker; \
echo \"$marker ss\"; \
IFS= read -r program; IFS= read -r peers; \
sockets() { if [ -O / ]; then ss -tnp </dev/null; else sudo -n ss -tnp </dev/null; fi; }; \
if [ -n \"$peers\" ] && command -v awk >/dev/null; then \
each=; case $(awk -W version </dev/null 2>&1) in mawk*) each=\"-W interactive\";; esac; \
{ sockets; echo \"eks-netcheck status $?\"; } | \
awk $each -v begin=\"# eks-netcheck filtered 1\" -v peers=\"$peers\" -v kinds=8 -v proxy=unread \"$program\"; \
else sockets; fi; \
status=$?; echo \"$marker end $status\"; \
if [ $status -ne 0 ]; then echo \"$marker ss-unprivileged\"; ss -tnp </dev/null; echo \"$marker end $?\"; fi; \
IFS= read -r host; \
if [ -n \"$host\" ]; then echo \"$marker dns\"; getent ahosts \"$host\" </dev/null; echo \"$marker end $?\"; fi",
    script!()
);

/// What stands for no addresses, if there are none.
const NO_PEERS: &str = "none";
/// How long the addresses are waited for. They are usually known before the login.
const PEERS_WAIT: Duration = Duration::from_secs(2);
/// How many addresses are passed to the filter.
const PEERS_MAX: usize = 100;

/// The addresses whose rows a filter on the node must not leave out: those of the interfaces
/// of the control plane. `None` until they are known, and an error if they never are: then
/// nothing is filtered.
pub(crate) type Peers = watch::Receiver<Option<Vec<IpAddr>>>;

/// How long the addresses to probe are waited for after the endpoint's name is known.
const TARGETS_WAIT: Duration = Duration::from_secs(5);

/// How often a client is started that may be retried.
const ATTEMPTS_MAX: u32 = 5;
/// How long standard error is read after the end of the client: its last lines may still
/// be in the pipe, and a process that it left behind may keep the pipe open.
const STDERR_WAIT: Duration = Duration::from_millis(200);

/// One run of a client.
#[derive(Debug)]
pub(crate) struct Run<W> {
    /// Its output.
    pub(crate) transcript: Sections<W>,
    /// How it ended.
    pub(crate) ending: Ending,
    /// Whether the node was asked to probe; `None` if the client ended before.
    pub(crate) asked: Option<Asked>,
}

/// What a node is sent while it is read. All of it may become known after the login.
#[derive(Debug, Clone)]
pub(crate) struct Parameters {
    /// The endpoint's host name.
    pub(crate) host: watch::Receiver<Option<String>>,
    /// Which rows a filter on the node must not leave out; `None` if there is to be none.
    pub(crate) peers: Option<Peers>,
    /// What the node probes; `None` if it does not.
    pub(crate) probing: Option<Probing>,
}

/// What is probed from nodes, and how long that may take.
#[derive(Debug, Clone)]
pub(crate) struct Probing {
    pub(crate) targets: NodeTargets,
    pub(crate) time: Arc<ProbeTime>,
}

impl Probing {
    /// What a node is to be asked, once that is known.
    async fn ask(mut self) -> Asked {
        let known = timeout(TARGETS_WAIT, self.targets.wait_for(Option::is_some)).await;
        let known = match known {
            Err(_) => return Asked::Unknown,
            Ok(known) => known.ok().and_then(|known| known.clone().flatten()),
        };
        match known {
            None => Asked::Nothing,
            Some(_) if !self.time.reserve() => Asked::NoTime,
            Some(probe) => Asked::Probe(probe),
        }
    }
}

/// Reads a node within `timeout`. The capture is created anew for each attempt. The rows are
/// filtered on the node where that is wanted and it can do that.
///
/// # Errors
/// If the client cannot be run, or the capture not be written.
pub(crate) async fn read<W: Write>(
    target: &Target,
    timeout: Duration,
    parameters: &Parameters,
    mut capture: impl FnMut() -> io::Result<W>,
) -> Result<Run<W>, ClientError> {
    let began = Instant::now();
    for attempt in 1.. {
        let capture = capture().map_err(ClientError::Capture)?;
        let run = attempt_read(target, timeout, began, parameters.clone(), capture).await?;
        let ms = began.elapsed().as_millis();
        let captured = run.transcript.captured;
        debug!(%target, attempt, ms, captured, status = ?run.ending.status, stopped = ?run.ending.stopped, stderr = run.ending.stderr, "the client ended");
        let pause = Duration::from_millis(250 << attempt) + jitter();
        let may_retry = attempt < ATTEMPTS_MAX
            && pause < timeout.saturating_sub(began.elapsed())
            && !run.transcript.has_begun
            && run.ending.stopped.is_none()
            && target.may_retry(&run.ending);
        if !may_retry {
            return Ok(run);
        }
        sleep(pause).await;
    }
    unreachable!("the last attempt returns")
}

async fn attempt_read<W: Write>(
    target: &Target,
    limit: Duration,
    began: Instant,
    Parameters { mut host, peers, probing }: Parameters,
    capture: W,
) -> Result<Run<W>, ClientError> {
    let marker = new_marker();
    let own = target.own_scripts();
    let peers = peers.filter(|_| own.is_none());
    let script = match own {
        Some(own) => own.read,
        None if peers.is_some() => FILTERING_SCRIPT,
        None => SCRIPT,
    };
    let (mut client, pipes) = Client::start(&target.invocation(script))?;
    let Pipes { mut stdin, mut stdout, mut stderr } = pipes;
    let mut transcript = Transcript::new(&marker, capture);
    let mut stderr_end = Vec::new();
    let asked = OnceLock::new();
    let (is_asked, time) = (&asked, probing.as_ref().map(|probing| Arc::clone(&probing.time)));
    let send_parameters = async move {
        // Fails if the client has ended, whose ending has the reason.
        let _ = stdin.write_all(format!("{marker}\n").as_bytes()).await;
        if let Some(peers) = peers {
            let _ = stdin.write_all(format!("{}\n", one_line()).as_bytes()).await;
            let line = timeout(PEERS_WAIT, peers_line(peers)).await.ok().flatten().unwrap_or_default();
            let _ = stdin.write_all(format!("{line}\n").as_bytes()).await;
        }
        let known = host.wait_for(Option::is_some).await.map(|host| host.clone().unwrap_or_default());
        if let Ok(host) = known {
            let _ = stdin.write_all(format!("{host}\n").as_bytes()).await;
            if let Some(probing) = probing {
                let limits = probing.time.limits;
                let ask = probing.ask().await;
                let line = if let Asked::Probe(probe) = &ask { probe.line(limits) } else { String::new() };
                let _ = is_asked.set(ask);
                let _ = stdin.write_all(line.as_bytes()).await;
            }
        }
    };
    let parse_output = async {
        match transcribe(&mut stdout, &mut transcript).await {
            Ok(()) => client.wait().await.map(|status| (Some(status), None)),
            Err(TranscriptError::TooMuchOutput) => Ok((None, Some(StopReason::TooMuchOutput))),
            Err(TranscriptError::Io(error)) => Err(ClientError::Capture(error)),
        }
    };
    let others = async { tokio::join!(send_parameters, read_end(&mut stderr, &mut stderr_end)) };
    let whole = async {
        tokio::pin!(parse_output, others);
        tokio::select! {
            ended = &mut parse_output => {
                let _ = timeout(STDERR_WAIT, others).await;
                ended
            }
            _ = &mut others => parse_output.await,
        }
    };
    let ended = timeout(limit.saturating_sub(began.elapsed()), whole).await;
    let ended = ended.unwrap_or(Ok((None, Some(StopReason::TimedOut(limit)))));
    let asked = asked.get().cloned();
    if let (Some(Asked::Probe(_)), Some(time)) = (&asked, time) {
        time.give_back(transcript.probing_for());
    }
    if !matches!(ended, Ok((Some(_), _))) {
        client.stop().await;
    }
    let (status, stopped) = ended?;
    let stderr = String::from_utf8_lossy(&stderr_end).into_owned();
    let transcript = transcript.finish().map_err(ClientError::Capture)?;
    Ok(Run { transcript, ending: Ending { status, stderr, stopped }, asked })
}

/// The addresses in one line, once they are known; `None` if they never are, or if there are
/// too many.
async fn peers_line(mut peers: Peers) -> Option<String> {
    let known = peers.wait_for(Option::is_some).await.ok()?.clone()?;
    match known.as_slice() {
        [] => Some(NO_PEERS.to_owned()),
        known if known.len() > PEERS_MAX => None,
        known => Some(known.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")),
    }
}

async fn transcribe<W: Write>(
    stdout: &mut (impl AsyncRead + Unpin),
    transcript: &mut Transcript<W>,
) -> Result<(), TranscriptError> {
    let mut piece = vec![0; 8 << 10];
    loop {
        let length = stdout.read(&mut piece).await?;
        if length == 0 {
            return Ok(());
        }
        transcript.push(&piece[..length])?;
    }
}

/// Spreads the retries of clients that a server refused at the same time.
fn jitter() -> Duration {
    Duration::from_millis(random() % 250)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_one_quoted_word_in_any_shell() {
        for script in [SCRIPT, FILTERING_SCRIPT] {
            assert!(!script.contains(['\'', '\n', '!', '\\']));
        }
        assert!(!one_line().contains('\n'));
    }
}
