//! A node read over the user's own OpenSSH client: its configuration, agent,
//! keys, jumps and known hosts all count.
//!
//! Nothing from outside goes into a shell's words: the remote command never
//! changes, and what it needs to know it reads from its standard input.

use std::collections::hash_map::RandomState;
use std::ffi::OsString;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::io::Write;
use std::process::{ExitStatus, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tracing::debug;

use super::transcript::{Refusal, Sections, Transcript};
use crate::model::shell::shell_quoted;

/// The remote command. `ss` needs root rights to name processes; where they are
/// not to be had, sockets without names are better than none. `ss` is in
/// /usr/sbin of some systems, where a login's PATH does not lead. Root is who
/// owns /, which costs the node no process of its own to find out.
const REMOTE: &str = "sh -c '\
LC_ALL=C; export LC_ALL; PATH=$PATH:/usr/sbin:/sbin; IFS= read -r mark; \
echo \"$mark ss\"; \
if [ -O / ]; then ss -tnp </dev/null; else sudo -n ss -tnp </dev/null; fi; \
status=$?; echo \"$mark end $status\"; \
if [ $status -ne 0 ]; then echo \"$mark plain\"; ss -tnp </dev/null; echo \"$mark end $?\"; fi; \
IFS= read -r host; \
if [ -n \"$host\" ]; then echo \"$mark dns\"; getent ahosts \"$host\" </dev/null; echo \"$mark end $?\"; fi'";

/// What is kept of standard error: its end, where ssh says why it gave up.
const STDERR_KEPT: usize = 8 << 10;
/// How often a login is tried that the server dropped before it asked for a key,
/// as one with too many logins at once does.
const LOGINS_MAX: u32 = 5;

/// Files that a session has open: three pipes, the process, the capture.
const FILES_OF_SESSION: u64 = 6;
/// Files that everything else about a cluster has open.
const FILES_OF_OTHERS: u64 = 64;

/// How many sessions the limit of open files leaves room for, where so many
/// clusters are asked about at a time.
#[must_use]
pub fn sessions_max(clusters: usize) -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let others = FILES_OF_OTHERS.saturating_mul(clusters as u64);
    let sessions = files.saturating_sub(others) / FILES_OF_SESSION;
    usize::try_from(sessions).unwrap_or(usize::MAX).max(1)
}

/// Where ssh goes: a host, `user@host`, a name of the ssh configuration, or
/// `ssh://user@host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination(String);

/// Why a text is no [`Destination`].
#[derive(Debug, PartialEq, Eq)]
pub struct NotADestination;

impl fmt::Display for NotADestination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "no ssh destination: one holds letters, digits and . _ : @ / % + , = ~ [ ] - only, and neither it nor its host begins with -",
        )
    }
}

impl std::error::Error for NotADestination {}

impl FromStr for Destination {
    type Err = NotADestination;

    /// Takes what can be neither an option of ssh nor, by way of `%h` in the
    /// user's ssh configuration, a word of a shell.
    fn from_str(text: &str) -> Result<Self, NotADestination> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:@/%+,=~[]-".contains(&byte);
        let authority = text.strip_prefix("ssh://").unwrap_or(text);
        let host = authority.rsplit('@').next().unwrap_or_default();
        let fits = !host.is_empty()
            && text.len() <= 512
            && text.bytes().all(allowed)
            && ![text, authority, host].iter().any(|part| part.starts_with('-'));
        if fits { Ok(Self(text.to_owned())) } else { Err(NotADestination) }
    }
}

impl Destination {
    /// The host alone.
    pub(crate) fn host(&self) -> &str {
        let authority = self.0.strip_prefix("ssh://").unwrap_or(&self.0);
        authority.rsplit('@').next().unwrap_or_default()
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How nodes are read.
#[derive(Debug, Clone)]
pub struct Ssh {
    /// The user's options, as after ssh's `-o`.
    options: Vec<String>,
    args: Vec<OsString>,
    user: Option<String>,
    timeout: Duration,
}

impl Ssh {
    /// `options` are as after ssh's `-o`, and go before ours: ssh keeps the
    /// first value of each.
    #[must_use]
    pub fn new(user: Option<&str>, options: &[String], timeout: Duration) -> Self {
        // What ssh says of a host that does not answer is better than our own end.
        let connect = (timeout.as_secs() / 2).clamp(1, 10);
        let ours = [
            // Nobody is there to answer a question.
            "BatchMode=yes".to_owned(),
            format!("ConnectTimeout={connect}"),
            // Without these a path that is cut midway hangs until the time-out.
            "ServerAliveInterval=3".to_owned(),
            "ServerAliveCountMax=3".to_owned(),
            // Hides banners, and no error.
            "LogLevel=ERROR".to_owned(),
            // What the user's configuration may say for other uses of the host.
            "RemoteCommand=none".to_owned(),
            "RequestTTY=no".to_owned(),
            "ClearAllForwardings=yes".to_owned(),
            "ForwardX11=no".to_owned(),
            "ForwardAgent=no".to_owned(),
        ];
        let mut args: Vec<OsString> = Vec::new();
        for option in options.iter().chain(&ours) {
            args.extend(["-o".into(), option.into()]);
        }
        Self { options: options.to_owned(), args, user: user.map(ToOwned::to_owned), timeout }
    }

    /// The longest that a node may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// What to type to log in alike, and see.
    pub(crate) fn by_hand(&self, to: &Destination) -> String {
        let options = self.options.iter().map(|option| format!("-o {} ", shell_quoted(option)));
        let user = self.user.as_ref().filter(|_| !to.0.contains('@'));
        let user = user.map(|user| format!("-l {} ", shell_quoted(user))).unwrap_or_default();
        format!("ssh {}{user}{to}", options.collect::<String>())
    }

    /// ssh's arguments up to the remote command. A user that the destination
    /// names goes before the general one, which ssh has the other way round.
    pub(super) fn args(&self, to: &Destination) -> Vec<OsString> {
        let mut args = self.args.clone();
        if let Some(user) = self.user.as_ref().filter(|_| !to.0.contains('@')) {
            args.extend(["-l".into(), user.into()]);
        }
        args.extend(["--".into(), (&to.0).into()]);
        args
    }
}

/// How a session with a node ended.
#[derive(Debug)]
pub(crate) struct Session<W> {
    /// What it printed.
    pub(crate) transcript: Sections<W>,
    /// How it ended.
    pub(crate) ending: Ending,
}

/// How ssh ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ending {
    /// What to type to log in alike.
    pub(crate) by_hand: String,
    /// Its exit; `None` where we ended it.
    pub(crate) status: Option<ExitStatus>,
    /// The end of what ssh and the remote programs said.
    pub(crate) stderr: String,
    /// Why we ended it, if we did.
    pub(crate) cut: Option<Cut>,
}

/// Why we ended a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// It took too long.
    TimedOut(Duration),
    /// It said too much.
    TooMuch,
}

/// Reads a node. The endpoint's host may become known while ssh logs in.
///
/// # Errors
/// If ssh cannot be run, or the capture not be written.
pub(crate) async fn read<W: Write>(
    ssh: &Ssh,
    to: &Destination,
    mut host: watch::Receiver<Option<String>>,
    mut capture: impl FnMut() -> std::io::Result<W>,
) -> std::io::Result<Session<W>> {
    let began = Instant::now();
    for login in 1.. {
        let left = ssh.timeout.saturating_sub(began.elapsed());
        let capture = capture().map_err(|error| because("cannot keep what it prints", &error))?;
        let session = log_in(ssh, to, &mut host, capture, left).await?;
        let ms = began.elapsed().as_millis();
        debug!(%to, login, ms, status = ?session.ending.status, cut = ?session.ending.cut, stderr = session.ending.stderr, "ssh ended");
        let pause = Duration::from_millis(250 << login) + jitter();
        let may_retry = login < LOGINS_MAX && pause < ssh.timeout.saturating_sub(began.elapsed());
        if !(may_retry && was_dropped(&session)) {
            return Ok(session);
        }
        tokio::time::sleep(pause).await;
    }
    unreachable!("the last login returns")
}

/// Whether the server closed the connection before it asked for a key, and
/// nothing else was wrong: ssh says the same of a jump host that it does not
/// reach, and then why.
fn was_dropped<W: Write>(session: &Session<W>) -> bool {
    let is_drop = |line: &str| {
        ["kex_exchange_identification: ", "Connection closed by ", "Connection reset by "]
            .iter()
            .any(|says| line.starts_with(says))
    };
    !session.transcript.began
        && session.ending.cut.is_none()
        && session.ending.stderr.contains("kex_exchange_identification: ")
        && session.ending.stderr.lines().map(str::trim).filter(|line| !line.is_empty()).all(is_drop)
}

fn because(what: &str, error: &std::io::Error) -> std::io::Error {
    std::io::Error::new(error.kind(), format!("{what}: {error}"))
}

async fn log_in<W: Write>(
    ssh: &Ssh,
    to: &Destination,
    host: &mut watch::Receiver<Option<String>>,
    capture: W,
    timeout: Duration,
) -> std::io::Result<Session<W>> {
    let mark = format!("eks-netcheck-{:016x}", random());
    let args = ssh.args(to);
    debug!(?args, "ssh begins");
    let mut client = Client::spawn(args, REMOTE)?;
    let mut stdin = client.child.stdin.take();
    let mut stdout = client.child.stdout.take();
    let mut stderr = client.child.stderr.take();
    let mut said = Vec::new();
    let mut transcript = Transcript::new(&mark, capture);
    let tell = async {
        let Some(mut stdin) = stdin.take() else { return };
        // A session that ended takes nothing more; how it ended is told elsewhere.
        let _ = stdin.write_all(format!("{mark}\n").as_bytes()).await;
        let known = host.wait_for(Option::is_some).await.map(|host| host.clone().unwrap_or_default());
        if let Ok(host) = known {
            let _ = stdin.write_all(format!("{host}\n").as_bytes()).await;
        }
    };
    let listen = async {
        let result = match &mut stdout {
            Some(stdout) => transcribe(stdout, &mut transcript).await,
            None => Ok(()),
        };
        match result {
            Ok(()) => client.child.wait().await.map(|status| (Some(status), None)),
            Err(Refusal::TooMuch) => Ok((None, Some(Cut::TooMuch))),
            Err(Refusal::Io(error)) => Err(because("cannot keep what it prints", &error)),
        }
    };
    let complain = async {
        if let Some(stderr) = &mut stderr {
            keep_end(stderr, &mut said).await;
        }
    };
    let whole = async {
        let others = async { tokio::join!(tell, complain) };
        tokio::pin!(listen, others);
        tokio::select! {
            ended = &mut listen => {
                // What ssh said last is in the pipe; a master connection that it
                // left behind may hold the other end open.
                let _ = tokio::time::timeout(Duration::from_millis(200), others).await;
                ended
            }
            _ = &mut others => listen.await,
        }
    };
    let (status, cut) = match tokio::time::timeout(timeout, whole).await {
        Ok(ended) => ended?,
        Err(_) => (None, Some(Cut::TimedOut(ssh.timeout))),
    };
    if cut.is_some() {
        client.end().await;
    }
    let stderr = String::from_utf8_lossy(&said).into_owned();
    let ending = Ending { by_hand: ssh.by_hand(to), status, stderr, cut };
    Ok(Session { transcript: transcript.finish()?, ending })
}

/// The ssh client, in a process group of its own: a Ctrl-C is ours to take, and
/// what the client started ends with it.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) child: Child,
    group: Option<Pid>,
}

impl Client {
    pub(super) fn spawn(args: Vec<OsString>, remote: &str) -> std::io::Result<Self> {
        let mut command = Command::new("ssh");
        command.args(args).arg(remote).process_group(0).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // BatchMode is not handed on to the client of a ProxyJump, which would
        // wait for an answer on the terminal.
        command.env("SSH_ASKPASS_REQUIRE", "force").env("SSH_ASKPASS", "false");
        let child = command.spawn().map_err(|error| because("cannot run ssh", &error))?;
        let group = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        Ok(Self { child, group })
    }

    /// Ends it so that it can clean up, and if need be at once.
    pub(super) async fn end(&mut self) {
        self.signal(Signal::TERM);
        let _ = tokio::time::timeout(Duration::from_millis(300), self.child.wait()).await;
        self.signal(Signal::KILL);
        let _ = self.child.wait().await;
        self.group = None;
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // What has ended already takes none.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Once it was waited for, its number may be another's.
        if self.child.id().is_some() {
            self.signal(Signal::TERM);
        }
    }
}

async fn transcribe<W: Write>(
    stdout: &mut (impl AsyncRead + Unpin),
    transcript: &mut Transcript<W>,
) -> Result<(), Refusal> {
    let mut piece = vec![0; 8 << 10];
    loop {
        let length = stdout.read(&mut piece).await?;
        if length == 0 {
            return Ok(());
        }
        transcript.push(&piece[..length])?;
    }
}

/// Reads to the end and keeps the last of it.
async fn keep_end(from: &mut (impl AsyncRead + Unpin), kept: &mut Vec<u8>) {
    let mut piece = vec![0; 4 << 10];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        kept.extend_from_slice(&piece[..length]);
        kept.drain(..kept.len().saturating_sub(STDERR_KEPT));
    }
}

pub(super) fn random() -> u64 {
    // The standard library's one source of randomness: each state has new keys.
    RandomState::new().build_hasher().finish()
}

/// Spreads logins that a server dropped together.
fn jitter() -> Duration {
    Duration::from_millis(random() % 250)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn a_destination_is_no_option_and_no_shell() {
        for good in [
            "10.0.0.1",
            "ec2-user@10.0.0.1",
            "bastion",
            "ssh://a@b.example:2222",
            "fe80::1%eth0",
            "i-0abc",
            "a-b@c",
        ] {
            assert!(good.parse::<Destination>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "-oProxyCommand=x",
            "user@-oProxyCommand=x",
            "ssh://-oProxyCommand=x",
            "a b",
            "a\nb",
            "a;b",
            "$(a)",
            "a`b`",
            "a|b",
            "a'b",
            "user@",
            "\u{1b}[0m",
            "ä",
        ] {
            assert_eq!(bad.parse::<Destination>(), Err(NotADestination), "{bad:?}");
        }
    }

    #[test]
    fn the_users_options_go_first() {
        let ssh = Ssh::new(Some("me"), &["ConnectTimeout=1".to_owned()], Duration::from_secs(30));
        let args = |to: &str| ssh.args(&to.parse().expect("a destination")).join(OsStr::new(" "));
        let args = |to: &str| args(to).into_string().expect("UTF-8");
        assert!(args("host").starts_with("-o ConnectTimeout=1 -o "));
        assert!(args("host").ends_with(" -l me -- host"));
        assert!(args("you@host").ends_with("=no -- you@host"));
        assert!(!args("host").contains("StrictHostKeyChecking"));
    }

    #[test]
    fn the_remote_command_is_one_word_for_any_shell() {
        let inside = REMOTE.strip_prefix("sh -c '").and_then(|rest| rest.strip_suffix('\'')).expect("quoted");
        assert!(!inside.contains(['\'', '\n', '!', '\\']));
    }
}
