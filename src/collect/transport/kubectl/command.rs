//! One run of kubectl: its standard output, or why it failed.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tracing::debug;

use super::super::client::{Client, ClientError, Invocation, Pipes};

/// The program, looked up on the PATH.
pub(super) const KUBECTL: &str = "kubectl";
/// The largest output that is read: the nodes of the largest clusters.
const STDOUT_MAX: usize = 256 << 20;
/// The largest standard error that is read.
const STDERR_MAX: usize = 1 << 20;

/// Why a run of kubectl has no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// It cannot be run.
    Client(ClientError),
    /// It did not end in time.
    TimedOut(Duration),
    /// It printed more than any answer.
    TooMuchOutput,
    /// It failed.
    Failed {
        /// Its standard output.
        stdout: Vec<u8>,
        /// Its standard error.
        stderr: String,
    },
    /// Its output is not what was requested.
    Malformed(String),
}

/// Runs kubectl within `limit`. What it prints is not logged: it may contain secrets.
pub(super) async fn run(args: Vec<OsString>, stdin: &[u8], limit: Duration) -> Result<Vec<u8>, Failure> {
    let what = args.iter().map(|arg| arg.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let began = Instant::now();
    let result = run_silently(args, stdin, limit).await;
    let ms = began.elapsed().as_millis();
    match &result {
        Ok(output) => debug!(ms, bytes = output.len(), "kubectl {what}"),
        Err(Failure::Failed { stderr, .. }) => debug!(ms, stderr, "kubectl {what} failed"),
        Err(failure) => debug!(ms, ?failure, "kubectl {what} failed"),
    }
    result
}

/// The environment of kubectl: preferences (kuberc) may change what a request selects, or ask
/// before a removal.
pub(super) const ENV: &[(&str, &str)] = &[("KUBERC", "off")];

/// The option that limits the time of a request. kubectl uses the service account of its pod
/// only if no such option is given: without a context, there is none.
pub(super) fn time_limit(args: &[OsString], limit: Duration) -> Option<OsString> {
    let has_context = args.iter().any(|arg| arg == "--context");
    has_context.then(|| format!("--request-timeout={}s", limit.as_secs().max(1)).into())
}

async fn run_silently(args: Vec<OsString>, stdin: &[u8], limit: Duration) -> Result<Vec<u8>, Failure> {
    let invocation = Invocation { program: KUBECTL, args, env: ENV };
    let (mut client, pipes) = Client::start(&invocation).map_err(Failure::Client)?;
    let Pipes { stdin: mut input, mut stdout, mut stderr } = pipes;
    let whole = async {
        let write = async move {
            // Fails if kubectl has ended, whose standard error has the reason.
            let _ = input.write_all(stdin).await;
            Ok(())
        };
        // The first failure ends it: kubectl would block on a pipe that is not read any more.
        let (out, err, ()) =
            tokio::try_join!(read_all(&mut stdout, STDOUT_MAX), read_all(&mut stderr, STDERR_MAX), write)?;
        let status = client.wait().await.map_err(Failure::Client)?;
        Ok((out, err, status))
    };
    let ended = timeout(limit, whole).await.unwrap_or(Err(Failure::TimedOut(limit)));
    if ended.is_err() {
        client.stop().await;
    }
    let (out, err, status) = ended?;
    if status.success() {
        return Ok(out);
    }
    Err(Failure::Failed { stdout: out, stderr: String::from_utf8_lossy(&err).into_owned() })
}

async fn read_all(from: &mut (impl AsyncRead + Unpin), max: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let mut limited = from.take(max as u64 + 1);
    // An error of a pipe is its end: the exit status has the reason.
    let _ = limited.read_to_end(&mut bytes).await;
    if bytes.len() > max { Err(Failure::TooMuchOutput) } else { Ok(bytes) }
}
