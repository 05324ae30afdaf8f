//! The client process of a transport.

use std::ffi::OsString;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Resource, Signal, getrlimit};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;
use tracing::debug;

use crate::cleanup::{self, Family};

/// The length of standard error that is kept: its end, which has the reason of a failure.
const STDERR_KEPT: usize = 8 << 10;
/// How long a client may take to end after a SIGTERM.
const TERMINATION: Duration = Duration::from_millis(300);

/// The files that a client keeps open: three pipes, the process, the capture.
const FILES_PER_CLIENT: u64 = 6;
/// The files that the rest of a cluster's audit keeps open.
const FILES_PER_CLUSTER: u64 = 64;

/// The largest number of clients within the limit of open files, if as many clusters are
/// audited at a time.
pub(super) fn processes_max(clusters: usize) -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let others = FILES_PER_CLUSTER.saturating_mul(clusters as u64);
    let clients = files.saturating_sub(others) / FILES_PER_CLIENT;
    usize::try_from(clients).unwrap_or(usize::MAX).max(1)
}

/// How a client is started.
#[derive(Debug)]
pub(crate) struct Invocation {
    /// The program, looked up on the PATH.
    pub(super) program: &'static str,
    pub(super) args: Vec<OsString>,
    /// Environment variables beside those of this process.
    pub(super) env: &'static [(&'static str, &'static str)],
}

/// Why a client could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// It did not start.
    #[error("cannot run {program}: {source}")]
    Start { program: &'static str, source: io::Error },
    /// Its exit status is not available.
    #[error("cannot wait for the client: {0}")]
    Wait(io::Error),
    /// Its output could not be stored.
    #[error("cannot write the capture: {0}")]
    Capture(io::Error),
}

/// How a client ended.
#[derive(Debug)]
pub(crate) struct Ending {
    /// Its exit status; `None` if it was stopped.
    pub(crate) status: Option<ExitStatus>,
    /// The end of what the client and the programs on the node wrote to standard error.
    pub(crate) stderr: String,
    /// Why it was stopped, if it was.
    pub(crate) stopped: Option<StopReason>,
}

/// Why a client was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// It took longer than this.
    TimedOut(Duration),
    /// Its output exceeded a limit.
    TooMuchOutput,
}

/// A running client, in a process group of its own: a Ctrl-C reaches this program only,
/// and what the client started is terminated with it.
#[derive(Debug)]
pub(super) struct Client {
    child: Child,
    group: Option<Pid>,
}

/// The standard streams of a client.
pub(super) struct Pipes {
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
}

impl Client {
    pub(super) fn start(invocation: &Invocation) -> Result<(Self, Pipes), ClientError> {
        let Invocation { program, args, env } = invocation;
        // Options may contain secrets, such as a proxy's password.
        debug!(program, "starting the client");
        let mut command = Command::new(program);
        command.args(args).envs(env.iter().copied()).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = cleanup::start(Family::Group, || command.spawn(), Child::id);
        let (mut child, group) = started.map_err(|source| ClientError::Start { program, source })?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            unreachable!("all three are pipes")
        };
        Ok((Self { child, group }, Pipes { stdin, stdout, stderr }))
    }

    /// Waits until it ends by itself. Cancel-safe.
    pub(super) async fn wait(&mut self) -> Result<ExitStatus, ClientError> {
        let status = self.child.wait().await.map_err(ClientError::Wait)?;
        self.ended();
        Ok(status)
    }

    /// Stops it: by SIGTERM, so that it can clean up, and by SIGKILL if that is not enough.
    pub(super) async fn stop(&mut self) {
        self.signal(Signal::TERM);
        let _ = timeout(TERMINATION, self.child.wait()).await;
        self.signal(Signal::KILL);
        let _ = self.child.wait().await;
        self.ended();
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            cleanup::signal(group, Family::Group, signal);
        }
    }

    /// Forgets the process, which was waited for: its number may be used again.
    fn ended(&mut self) {
        if let Some(group) = self.group.take() {
            cleanup::child_ended(group);
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It stays registered: the run is ending, which waits for it.
        self.signal(Signal::TERM);
    }
}

/// Reads to the end and keeps the last part.
pub(super) async fn read_end(from: &mut (impl AsyncRead + Unpin), kept: &mut Vec<u8>) {
    let mut piece = vec![0; 4 << 10];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        keep_end(kept, &piece[..length]);
    }
}

/// Appends to the end of standard error.
pub(super) fn keep_end(kept: &mut Vec<u8>, bytes: &[u8]) {
    kept.extend_from_slice(bytes);
    kept.drain(..kept.len().saturating_sub(STDERR_KEPT));
}
