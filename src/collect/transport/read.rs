//! A node read once: its sockets, and the addresses that its resolver returns for the
//! cluster's endpoint.
//!
//! No text from outside becomes part of a shell command: the script is constant and reads
//! its parameters from standard input.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::Target;
use super::client::{Client, ClientError, Ending, Pipes, StopReason, read_end};
use super::framing::{new_marker, random};
use super::transcript::{Sections, Transcript, TranscriptError};

/// The script on the node. `ss` needs root to name processes; sockets without names are
/// better than none. `ss` is in /usr/sbin on some systems, which the PATH of a login need
/// not contain. The owner of / is root, which `[` determines without a process of its own.
const SCRIPT: &str = "\
LC_ALL=C; export LC_ALL; PATH=$PATH:/usr/sbin:/sbin; IFS= read -r marker; \
echo \"$marker ss\"; \
if [ -O / ]; then ss -tnp </dev/null; else sudo -n ss -tnp </dev/null; fi; \
status=$?; echo \"$marker end $status\"; \
if [ $status -ne 0 ]; then echo \"$marker ss-unprivileged\"; ss -tnp </dev/null; echo \"$marker end $?\"; fi; \
IFS= read -r host; \
if [ -n \"$host\" ]; then echo \"$marker dns\"; getent ahosts \"$host\" </dev/null; echo \"$marker end $?\"; fi";

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
}

/// Reads a node within `timeout`. The endpoint's host name may become known after the
/// login; the capture is created anew for each attempt.
///
/// # Errors
/// If the client cannot be run, or the capture not be written.
pub(crate) async fn read<W: Write>(
    target: &Target,
    timeout: Duration,
    mut host: watch::Receiver<Option<String>>,
    mut capture: impl FnMut() -> io::Result<W>,
) -> Result<Run<W>, ClientError> {
    let began = Instant::now();
    for attempt in 1.. {
        let capture = capture().map_err(ClientError::Capture)?;
        let run = attempt_read(target, timeout, began, &mut host, capture).await?;
        let ms = began.elapsed().as_millis();
        debug!(%target, attempt, ms, status = ?run.ending.status, stopped = ?run.ending.stopped, stderr = run.ending.stderr, "the client ended");
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
    host: &mut watch::Receiver<Option<String>>,
    capture: W,
) -> Result<Run<W>, ClientError> {
    let marker = new_marker();
    let (mut client, pipes) =
        Client::start(&target.invocation(target.own_scripts().map_or(SCRIPT, |own| own.read)))?;
    let Pipes { mut stdin, mut stdout, mut stderr } = pipes;
    let mut transcript = Transcript::new(&marker, capture);
    let mut stderr_end = Vec::new();
    let send_parameters = async move {
        // Fails if the client has ended, whose ending has the reason.
        let _ = stdin.write_all(format!("{marker}\n").as_bytes()).await;
        let known = host.wait_for(Option::is_some).await.map(|host| host.clone().unwrap_or_default());
        if let Ok(host) = known {
            let _ = stdin.write_all(format!("{host}\n").as_bytes()).await;
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
    if !matches!(ended, Ok((Some(_), _))) {
        client.stop().await;
    }
    let (status, stopped) = ended?;
    let stderr = String::from_utf8_lossy(&stderr_end).into_owned();
    let transcript = transcript.finish().map_err(ClientError::Capture)?;
    Ok(Run { transcript, ending: Ending { status, stderr, stopped } })
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
        assert!(!SCRIPT.contains(['\'', '\n', '!', '\\']));
    }
}
