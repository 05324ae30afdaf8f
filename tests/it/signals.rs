//! Signals at any moment of a run: it ends within a second, with its children, without
//! temporary files, and with the terminal as before.

use std::fmt::Write as _;
use std::fs::Permissions;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use eks_netcheck_lab::aws::{Account, Api};
use rustix::process::{Pid, Signal, kill_process};

use crate::common::{scratch, story};
use crate::pty::{DEFAULT_SIGNALS, Pty};
use crate::sampling::sampled_node;

/// How many signals are sent, unless the environment variable `SIGNALS` says otherwise.
const SIGNALS: u64 = 300;
/// How many runs there are at a time.
const THREADS: u64 = 3;
/// The time within which a run must end.
const END_MAX: Duration = Duration::from_secs(1);

/// A node whose login hangs, behind a proxy; both ignore SIGTERM in some of the runs.
const HANGING_NODE: &str = r#"#!/bin/sh
test -n "$IGNORE_TERM" && trap '' TERM
sleep 31 &
sleep 32 &
wait
wait
"#;

/// A kubectl that keeps the Jobs in a file; each node hangs. It ignores SIGTERM in some of the
/// runs.
const HANGING_KUBECTL: &str = r#"#!/bin/sh
test -n "$IGNORE_TERM" && trap '' TERM
jobs=$SANDBOX/jobs
node() { echo '{"metadata":{"name":"'$1'"},"spec":{},"status":{}}'; }
pod() { echo '{"metadata":{"name":"pod-'$1'","labels":{"job-name":"'$1'"}},"spec":{"hostPID":true},
"status":{"phase":"Running","containerStatuses":[{"name":"sockets","state":{"running":{}}}]}}'; }
case "$*" in
*"config view"*) echo '{"clusters":[{"name":"c","cluster":{"server":"'$ENDPOINT'"}}],
"contexts":[{"name":"c","context":{"cluster":"c"}}]}';;
*"get nodes"*) echo '{"kind":"List","items":['; node n1; echo ,; node n2; echo ']}';;
*"get pods"*eks-netcheck/run*) separator=; echo '{"items":['
for name in $(grep -o 'eks-netcheck-[0-9a-f]*-[0-9]*' "$jobs/list"); do echo $separator; pod $name; separator=,; done
echo ']}';;
*" get "*) echo '{"kind":"List","items":[]}';;
*" create "*) cat >"$jobs/list"; grep -o 'eks-netcheck-[0-9a-f]*-[0-9]*' "$jobs/list" | sed 's|^|job.batch/|';;
*" delete jobs "*) rm -f "$jobs/list";;
*" exec "*) touch "$SANDBOX/executed"; sleep 35 & wait;;
esac
"#;

/// A directory whose `ssh` is this script, below which everything of a run is.
struct Sandbox {
    dir: tempfile::TempDir,
}

impl Sandbox {
    fn new(ssh: &str) -> Self {
        let dir = scratch();
        for name in ["bin", "tmp", "out", "jobs"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        for (name, text) in [("ssh", ssh), ("kubectl", HANGING_KUBECTL)] {
            let script = dir.path().join("bin").join(name);
            std::fs::write(&script, text).unwrap();
            std::fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
        }
        Self { dir }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A run of the tool against a fake AWS.
    fn netcheck(&self, aws: &Api, args: &[&str]) -> Command {
        let mut command = Command::new("env");
        command
            .args([DEFAULT_SIGNALS, env!("CARGO_BIN_EXE_eks-netcheck")])
            .args(args)
            .env_clear()
            .env("PATH", format!("{}/bin:/usr/bin:/bin", self.path().display()))
            .env("TMPDIR", self.path().join("tmp"))
            .env("SANDBOX", self.path())
            .env("ENDPOINT", ENDPOINT)
            .env("AWS_ENDPOINT_URL", aws.url())
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "not-a-secret")
            .env("AWS_REGION", "ap-northeast-2")
            .current_dir(self.path().join("out"))
            .stdin(Stdio::null());
        command
    }

    /// The processes that a run left behind: they inherited its environment.
    fn processes(&self) -> Vec<String> {
        let is_of_this = |process: &Path| {
            let environ = std::fs::read(process.join("environ")).unwrap_or_default();
            let variable = format!("SANDBOX={}", self.path().display());
            environ.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes())
        };
        let all = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
        let left = all.filter(|process| is_of_this(process));
        left.map(|process| {
            String::from_utf8_lossy(&std::fs::read(process.join("cmdline")).unwrap_or_default())
                .replace('\0', " ")
        })
        .collect()
    }

    /// The temporary files that a run left behind.
    fn temporary_files(&self) -> Vec<String> {
        let mut left = Vec::new();
        let mut dirs = vec![self.path().join("tmp"), self.path().join("out")];
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(&dir).unwrap() {
                let entry = entry.unwrap();
                if entry.path().is_dir() {
                    dirs.push(entry.path());
                }
                let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
                if is_hidden || entry.path().starts_with(self.path().join("tmp")) {
                    left.push(entry.path().display().to_string());
                }
            }
        }
        left
    }

    /// Nothing of a run is left.
    fn assert_clean(&self, what: &str) {
        // A process that was killed disappears a moment later.
        let until = Instant::now() + Duration::from_millis(200);
        while !self.processes().is_empty() && Instant::now() < until {
            sleep(Duration::from_millis(10));
        }
        assert_eq!(self.processes(), [""; 0], "{what}");
        assert!(!self.path().join("jobs/list").exists(), "{what}: Jobs are left");
        assert_eq!(self.temporary_files(), [""; 0], "{what}");
    }
}

/// The endpoint of the cluster.
const ENDPOINT: &str = "https://0123456789ABCDEF0123456789ABCDEF.gr7.ap-northeast-2.eks.amazonaws.com";

fn aws() -> Api {
    let mut account = Account::from_evidence(&story("study-public")).unwrap();
    account.clusters.get_mut("myeks").unwrap()["endpoint"] = serde_json::json!(ENDPOINT);
    let mut second = account.clusters["myeks"].clone();
    second["name"] = serde_json::json!("second");
    account.clusters.insert("second".to_owned(), second);
    Api::serve(account).unwrap()
}

/// Waits for the end, which must be soon after the signal that was sent.
fn ended(child: &mut Child, what: &str) -> ExitStatus {
    let sent = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if sent.elapsed() > END_MAX {
            child.kill().unwrap();
            panic!("{what}: still running {END_MAX:?} after the signal");
        }
        sleep(Duration::from_millis(5));
    }
}

/// A pseudo-random number (splitmix64).
fn random(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The commands of one cluster and of many.
const RUNS: [(&str, &[&str]); 10] = [
    (
        "audit",
        &["audit", "--cluster", "myeks", "--node", "n1=a", "--node", "n2=b", "--write", "json=report.json"],
    ),
    ("collect", &["collect", "--cluster", "myeks", "--node", "n1=a", "--out", "evidence"]),
    (
        "trace",
        &[
            "trace",
            "--cluster",
            "myeks",
            "--node",
            "n1=192.168.1.20",
            "--settle",
            "50ms",
            "--write",
            "json=trace.json",
            "--",
            "sh",
            "-c",
            "sleep 33; :",
        ],
    ),
    ("kubectl audit", &["audit", "--cluster", "myeks", "--nodes", "kubectl", "--node", "n1", "--node", "n2"]),
    (
        "kubectl collect",
        &["collect", "--cluster", "myeks", "--nodes", "kubectl", "--node", "n1", "--out", "evidence"],
    ),
    ("many clusters", &["audit", "--all-clusters", "--write", "sarif=report.sarif"]),
    (
        "simulate",
        &[
            "simulate",
            "--cluster",
            "myeks",
            "--access",
            "private",
            "--node",
            "n1=a",
            "--write",
            "markdown=change.md",
        ],
    ),
    (
        "kubectl simulate",
        &["simulate", "--cluster", "myeks", "--access", "private", "--nodes", "kubectl", "--node", "n1"],
    ),
    (
        "reach",
        &["reach", "--cluster", "myeks", "--from", "n1", "--node", "n1=a", "--write", "json=reach.json"],
    ),
    ("kubectl reach", &["reach", "--cluster", "myeks", "--from", "n1", "--nodes", "kubectl", "--node", "n1"]),
];

#[test]
#[expect(clippy::print_stdout, reason = "the figures")]
fn a_signal_at_any_moment_ends_the_run_with_nothing_left() {
    let count = std::env::var("SIGNALS").map_or(SIGNALS, |count| count.parse().unwrap());
    let aws = aws();
    let next = AtomicU64::new(0);
    let times = Mutex::new(Vec::new());
    scope(|threads| {
        for _ in 0..THREADS {
            threads.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= count {
                        return;
                    }
                    let time = signal_once(&aws, seed);
                    times.lock().unwrap().push(time);
                }
            });
        }
    });
    let mut times = times.into_inner().unwrap();
    times.sort();
    println!(
        "{count} signals; runs ended after {:?} (median), {:?} (maximum)",
        times[times.len() / 2],
        times.last()
    );
}

/// Runs a command, sends a signal after a random time, and checks what is left. Returns how
/// long the run took to end.
fn signal_once(aws: &Api, seed: u64) -> Duration {
    let number = random(seed);
    let (name, args) = RUNS[usize::try_from(seed).unwrap() % RUNS.len()];
    let (signal, code) =
        [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)][usize::try_from(number % 3).unwrap()];
    let delay = Duration::from_millis((number >> 8) % 700);
    let ignores = (number >> 24).is_multiple_of(4);
    let what = format!("seed {seed}: {name}, {signal:?} after {delay:?}, SIGTERM ignored: {ignores}");
    let sandbox = Sandbox::new(&if name == "trace" { sampled_node() } else { HANGING_NODE.to_owned() });
    let mut command = sandbox.netcheck(aws, args);
    if ignores {
        command.env("IGNORE_TERM", "1");
    }
    let log = std::fs::File::create(sandbox.path().join("stderr")).unwrap();
    let mut child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
    sleep(delay);
    let sent = Instant::now();
    kill_process(Pid::from_child(&child), signal).unwrap();
    let status = ended(&mut child, &what);
    let time = sent.elapsed();
    let stderr = std::fs::read_to_string(sandbox.path().join("stderr")).unwrap();
    // Before it listens, a signal has its default effect.
    let by_default = std::os::unix::process::ExitStatusExt::signal(&status) == Some(signal.as_raw());
    assert!(by_default || status.code() == Some(code), "{what}: {status:?}: {stderr}");
    sandbox.assert_clean(&format!("{what}: {stderr}"));
    time
}

/// Standard output blocks while nobody reads it.
#[test]
fn a_signal_ends_a_run_whose_output_is_not_read() {
    let aws = aws();
    let sandbox = Sandbox::new(HANGING_NODE);
    let evidence = many_rows(sandbox.path());
    for (args, nodes) in [
        (vec!["audit", "--cluster", "myeks", "--evidence", &evidence, "--format", "json"], false),
        (vec!["audit", "--cluster", "myeks", "--nodes", "none", "--format", "json", "--timeout", "2"], true),
    ] {
        // The live report is small: the pipe is full already.
        let (mut reader, writer) = std::io::pipe().unwrap();
        if nodes {
            let mut full = writer.try_clone().unwrap();
            std::thread::spawn(move || {
                let _ = std::io::Write::write_all(&mut full, &vec![b'.'; 1 << 20]);
            });
        }
        for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
            let mut command = sandbox.netcheck(&aws, &args);
            let mut child =
                command.stdout(writer.try_clone().unwrap()).stderr(Stdio::null()).spawn().unwrap();
            sleep(Duration::from_secs(if nodes { 4 } else { 1 }));
            assert!(child.try_wait().unwrap().is_none(), "{args:?} does not block");
            kill_process(Pid::from_child(&child), signal).unwrap();
            assert_eq!(ended(&mut child, "a blocked run").code(), Some(code));
        }
        drop(writer);
        drop(std::thread::spawn(move || reader.read_to_end(&mut Vec::new())));
        sandbox.assert_clean("a blocked run");
    }
}

/// The message says what the run was doing.
#[test]
fn an_interrupted_run_says_what_it_was_doing() {
    let aws = aws();
    let sandbox = Sandbox::new(HANGING_NODE);
    let evidence = many_rows(sandbox.path());
    let slow = sandbox.path().join("slow");
    crate::common::copy(&story("study-public"), &slow);
    let row = "ESTAB 0 0 192.168.1.20:20000 10.9.1.1:443 users:((\"kubelet\",pid=7,fd=9))\n";
    std::fs::write(slow.join("nodes/n1.txt"), row.repeat(1_000_000)).unwrap();
    let slow = slow.to_str().unwrap().to_owned();
    let reading = format!("while reading the evidence in {slow}; no report was written");
    for (args, wanted) in [
        (vec!["audit", "--evidence", &slow], &*reading),
        (vec!["simulate", "--evidence", &slow, "--access", "private"], &reading),
        (vec!["reach", "--evidence", &slow, "--from", "n1"], &reading),
        (vec!["diff", &slow, &slow], "while comparing the two recordings; no report was written"),
        (vec!["audit", "--evidence", &evidence, "--format", "json"], "while writing "),
        (vec!["audit", "--evidence", &evidence, "--policy", "-"], "while reading standard input"),
        (vec!["policy", "check", "-"], "while reading standard input"),
        (vec!["simulate", "--evidence", &evidence, "--plan", "-"], "while reading standard input"),
        (vec!["audit", "--cluster", "myeks", "--node", "n1=a"], "answers had been received"),
        (
            vec!["simulate", "--cluster", "myeks", "--access", "private", "--node", "n1=a"],
            "answers had been received",
        ),
        (vec!["reach", "--cluster", "myeks", "--from", "n1", "--node", "n1=a"], "answers had been received"),
    ] {
        let is_live = args.contains(&"--cluster");
        let mut command = sandbox.netcheck(&aws, &args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        sleep(Duration::from_millis(if is_live { 3000 } else { 1200 }));
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        let status = ended(&mut child, &format!("{args:?}"));
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!(status.code(), Some(143), "{args:?}: {stderr}");
        let last = stderr.lines().last().unwrap();
        assert!(last.starts_with("error: interrupted") && last.contains(wanted), "{args:?}: {stderr}");
        sandbox.assert_clean(&stderr);
    }
}

/// Evidence whose report is larger than a pipe.
fn many_rows(dir: &Path) -> String {
    let evidence = dir.join("evidence");
    crate::common::copy(&story("study-public"), &evidence);
    let capture = evidence.join("nodes/n1.txt");
    let mut rows = std::fs::read_to_string(&capture).unwrap();
    for port in 0..800 {
        writeln!(
            rows,
            "ESTAB 0 0 192.168.1.20:{} 10.9.{}.{}:443 users:((\"kubelet\",pid=7,fd=9))",
            20000 + port,
            port / 200,
            port % 200
        )
        .unwrap();
    }
    std::fs::write(&capture, rows).unwrap();
    evidence.to_str().unwrap().to_owned()
}

/// The first signal is answered in order, which may take some time; the second is not.
#[test]
fn a_second_signal_ends_the_run_at_once() {
    let aws = aws();
    let sandbox = Sandbox::new(&sampled_node());
    let marker = sandbox.path().join("begun");
    let script = format!("trap '' INT TERM; touch {}; while :; do sleep 1; done", marker.display());
    let args = ["trace", "--cluster", "myeks", "--node", "n1=a", "-q", "--settle", "50ms", "--"];
    let args = [&args[..], &["sh", "-c", &script]].concat();
    let mut child = sandbox.netcheck(&aws, &args).stdout(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    while !marker.exists() {
        assert!(began.elapsed() < Duration::from_secs(20), "the command is not run");
        sleep(Duration::from_millis(10));
    }
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::INT).unwrap();
    sleep(Duration::from_millis(100));
    assert!(child.try_wait().unwrap().is_none(), "the command ignores the signal");
    let second = Instant::now();
    kill_process(pid, Signal::INT).unwrap();
    assert_eq!(ended(&mut child, "a second signal").code(), Some(130));
    assert!(second.elapsed() < Duration::from_millis(600), "{:?}", second.elapsed());
    sandbox.assert_clean("a second signal");
}

/// A key is for the command, which may ignore it; pressed again, it ends the run.
#[test]
fn a_second_ctrl_c_ends_a_command_that_ignores_it() {
    let aws = aws();
    let sandbox = Sandbox::new(&sampled_node());
    let script = "stty -echo; trap '' INT; echo begun; while :; do sleep 1; done";
    let args = ["trace", "--cluster", "myeks", "--node", "n1=a", "-q", "--settle", "50ms", "--"];
    let args = [&args[..], &["sh", "-c", script]].concat();
    let mut pty = Pty::run(&sandbox.netcheck(&aws, &args));
    pty.wait_for("begun");
    pty.type_in("\x03");
    sleep(Duration::from_millis(1500));
    assert_ne!(sandbox.processes(), [""; 0], "the first one is for the command");
    let second = Instant::now();
    pty.type_in("\x03");
    // `Pty::end` compares the terminal's settings.
    let (code, screen) = pty.end();
    assert_eq!(code, 130, "{screen}");
    assert!(second.elapsed() < Duration::from_secs(1), "{:?}", second.elapsed());
    sandbox.assert_clean(&screen);
}

/// The SDK starts the process that prints credentials.
#[test]
fn a_process_that_prints_credentials_ends_with_the_run() {
    let aws = aws();
    for signal in [Signal::TERM, Signal::HUP] {
        let sandbox = Sandbox::new(HANGING_NODE);
        let config = sandbox.path().join("config");
        std::fs::write(&config, "[profile slow]\ncredential_process = sleep 34\n").unwrap();
        let args = ["audit", "--cluster", "myeks", "--nodes", "none", "--profile", "slow"];
        let mut command = sandbox.netcheck(&aws, &args);
        command
            .env("AWS_CONFIG_FILE", &config)
            .env_remove("AWS_ACCESS_KEY_ID")
            .env_remove("AWS_SECRET_ACCESS_KEY");
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let began = Instant::now();
        while !sandbox.processes().iter().any(|process| process.starts_with("sleep 34")) {
            assert!(began.elapsed() < Duration::from_secs(20), "the process is not started");
            sleep(Duration::from_millis(10));
        }
        kill_process(Pid::from_child(&child), signal).unwrap();
        ended(&mut child, "a run that waits for credentials");
        sandbox.assert_clean("a run that waits for credentials");
    }
}
