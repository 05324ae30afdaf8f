//! `trace` with a scripted node: `ssh` is a script that answers with the samples a
//! test needs at the time it needs them, which a real node cannot do reliably.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use eks_netcheck_lab::aws::{Account, Api};
use serde_json::Value;

use crate::common::{scratch, story};
use crate::pty::Pty;

/// The first part of the script: reads what the tool sends before it requests samples,
/// and defines helpers. `sample` returns the rows of a sample and the exit status of
/// `ss`, `after` runs when the sample is sent; a test can redefine both. Files in the
/// script's directory mark how far the command is.
const SSH: &str = r#"#!/usr/bin/env python3
import os, sys, time

dir = os.path.dirname(os.path.abspath(__file__))
mark = sys.stdin.readline().strip()
# The sampling loop, which this script replaces, and the mark that the loop reads.
sys.stdin.readline(), sys.stdin.readline()
ALWAYS = [
    'LISTEN 0 0 *:10250 *:* users:(("kubelet",pid=7,fd=3))',
    'ESTAB 0 0 192.168.1.20:10250 192.168.1.55:43210 users:(("kubelet",pid=7,fd=2))',
]
EXEC = 'ESTAB 0 0 192.168.1.20:10250 192.168.1.55:49956 users:(("kubelet",pid=7,fd=9))'
CLOSE_EVENTS = ""

def send(text):
    print(text, end="", flush=True)

def has(file):
    return os.path.exists(f"{dir}/{file}")

def touch(file):
    open(f"{dir}/{file}", "w").close()

def seconds_since(file):
    return time.time() - os.stat(f"{dir}/{file}").st_mtime if has(file) else -1

def wait_for(file):
    for _ in range(1000):
        if has(file):
            return
        time.sleep(0.01)

def sample(number):
    return ALWAYS, 0

def after(number):
    pass

"#;

/// The last part of the script: answers each request for a sample.
const ANSWER: &str = r#"
def frame(number, rows, status):
    send(f"{mark} sample {100 + number}\n" + "".join(f"{row}\n" for row in rows) + f"{mark} end {status}\n")

send(f"{mark} login\n{mark} rights sudo {CLOSE_EVENTS}\n{mark} clock {time.time()} 100\n")
for number, _ in enumerate(sys.stdin, 1):
    rows, status = sample(number)
    frame(number, rows, status)
    touch("sampled")
    after(number)
"#;

/// A node that answers every request for a sample.
pub(crate) fn sampled_node() -> String {
    [SSH, ANSWER].concat()
}

/// A fake AWS with a cluster, and a directory with the script that answers as its node.
struct ScriptedNode {
    aws: Api,
    dir: tempfile::TempDir,
}

fn scripted_node(script: &str) -> ScriptedNode {
    let aws = Api::serve(Account::from_evidence(&story("study-public")).unwrap()).unwrap();
    let dir = scratch();
    let ssh = dir.path().join("ssh");
    std::fs::write(&ssh, [SSH, script, ANSWER].concat()).unwrap();
    std::fs::set_permissions(&ssh, Permissions::from_mode(0o755)).unwrap();
    ScriptedNode { aws, dir }
}

impl ScriptedNode {
    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn has(&self, name: &str) -> bool {
        self.file(name).exists()
    }

    /// A trace of a shell script, which runs in the directory of the marker files.
    fn trace(&self, args: &[&str], script: &str) -> Command {
        let mut path = std::ffi::OsString::from(self.dir.path());
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap());
        let mut trace = Command::new(env!("CARGO_BIN_EXE_eks-netcheck"));
        trace
            .env_clear()
            .env("PATH", path)
            .env("AWS_ENDPOINT_URL", self.aws.url())
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "not-a-secret")
            .env("AWS_REGION", "ap-northeast-2")
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .args(["trace", "--cluster", "myeks", "--node", "n1=192.168.1.20"])
            .args((!args.contains(&"-v")).then_some("-q"))
            .args(["--write", "json=trace.json"])
            .args(args)
            .args(["--", "sh", "-c", script]);
        trace
    }

    /// Runs such a trace; its report.
    fn run(&self, args: &[&str], script: &str) -> Value {
        let output: Output = self.trace(args, script).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.report()
    }

    fn report(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.file("trace.json")).unwrap()).unwrap()
    }
}

/// All changes, as `direction change`; those in the background in parentheses.
fn changes(report: &Value) -> Vec<String> {
    let line = |change: &Value| {
        let text =
            format!("{} {}", change["direction"].as_str().unwrap(), change["change"].as_str().unwrap());
        if change["background"] == true { format!("({text})") } else { text }
    };
    report["changes"].as_array().unwrap().iter().map(line).collect()
}

/// A socket that such a sample lacks is not reported as gone.
#[test]
fn a_failed_or_truncated_sample_is_discarded() {
    let trace_with = |result: &str| {
        let script = format!(
            "
def sample(number):
    if has('begun'):
        return {result}
    return ALWAYS, 0
"
        );
        scripted_node(&script).run(&["--settle", "300ms"], "touch begun; sleep 0.5")
    };
    assert_eq!(changes(&trace_with("ALWAYS[:1], 0")), ["inbound gone"]);
    for failed in ["[], 1", "ALWAYS[:1], 1", "['Killed'], 137"] {
        let report = trace_with(failed);
        assert_eq!(changes(&report), Vec::<String>::new(), "{failed}: {report:#}");
        assert!(report["missed"].as_u64().unwrap() >= 2, "{failed}: {report:#}");
    }
    let report = trace_with("[ALWAYS[0], ALWAYS[1][:30]], 0");
    assert_eq!(changes(&report), Vec::<String>::new(), "{report:#}");
    let gaps = report["gaps"].as_array().unwrap();
    assert!(gaps.iter().any(|gap| gap["what"] == "node n1" && gap["why"] == "incomplete"), "{report:#}");
}

#[test]
fn rejected_lines_of_samples_are_listed_on_request() {
    let node = scripted_node(
        "
def sample(number):
    return ALWAYS + (['neither a socket'] if number == 1 else [ALWAYS[1][:30]]), 0
",
    );
    let trace = |args: &[&str]| {
        let output = node.trace(args, "sleep 0.5").output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(!trace(&[]).contains("node n1, line"));
    let stderr = trace(&["-v"]);
    assert!(stderr.contains("node n1, line 3: ") && stderr.contains(": neither a socket"), "{stderr}");
    assert!(stderr.contains(": ESTAB 0 0 192.168.1.20:10250 1"), "{stderr}");
}

#[test]
fn a_sample_that_arrives_after_the_command_began_counts_as_during() {
    let node = scripted_node(
        "
def sample(number):
    if number == 2:
        wait_for('begun')
        return [*ALWAYS, EXEC], 0
    return ALWAYS, 0
",
    );
    let report = node.run(&[], "touch begun; sleep 1");
    assert_eq!(changes(&report), ["inbound transient"], "{report:#}");
}

#[test]
fn a_socket_only_in_the_first_sample_after_the_command_is_transient() {
    let node = scripted_node(
        "
sent = False
def sample(number):
    global sent
    if has('begun') and not sent:
        time.sleep(0.3)
        sent = True
        return [*ALWAYS, EXEC], 0
    return ALWAYS, 0
",
    );
    // The command ends while this sample is being taken.
    let report = node.run(&[], "touch begun");
    assert_eq!(changes(&report), ["inbound transient"], "{report:#}");
}

#[test]
fn sockets_opened_long_after_the_command_are_background() {
    let node = scripted_node(
        "
def sample(number):
    return ([*ALWAYS, EXEC] if seconds_since('begun') > 1 else ALWAYS), 0
",
    );
    let report = node.run(&["--settle", "2s"], "touch begun");
    assert!(changes(&report).iter().all(|change| change.starts_with('(')), "{report:#}");
}

#[test]
fn an_unrequested_sample_is_ignored() {
    let node = scripted_node(
        "
def after(number):
    if number == 1:
        frame(number, [*ALWAYS, EXEC], 0)
",
    );
    let report = node.run(&["--settle", "500ms"], "sleep 0.5");
    assert_eq!(changes(&report), Vec::<String>::new(), "{report:#}");
}

#[test]
fn losing_socket_close_events_is_reported() {
    let script = |after| format!("\nCLOSE_EVENTS = 'events'\ndef after(number):\n    {after}\n");
    for (after, has_close_events) in
        [("pass", true), (r#"send(f"{mark} events-ended\n") if number == 2 else None"#, false)]
    {
        let node = scripted_node(&script(after));
        let output = node.trace(&["--settle", "500ms"], "sleep 0.5").output().unwrap();
        let report = node.report();
        assert_eq!(report["nodes"][0]["tells_ends"], has_close_events, "{report:#}");
        let stdout = String::from_utf8(output.stdout).unwrap();
        let unseen = "what appeared and disappeared between two samples was not seen";
        assert_eq!(
            stdout.split_whitespace().collect::<Vec<_>>().join(" ").contains(unseen),
            !has_close_events
        );
    }
}

#[test]
fn ctrl_c_before_the_command_begins_ends_the_run() {
    let node = scripted_node("");
    let began = Instant::now();
    let mut pty = Pty::run(&node.trace(&["--settle", "60s"], "touch begun"));
    while !node.has("sampled") {
        assert!(began.elapsed() < Duration::from_secs(20), "{}", pty.screen());
        std::thread::sleep(Duration::from_millis(10));
    }
    pty.type_in("\x03");
    let (code, screen) = pty.end();
    assert_eq!(code, 130, "{screen}");
    assert!(!node.has("begun"), "{screen}");
    assert!(began.elapsed() < Duration::from_secs(30), "{screen}");
}

/// A shell with job control stops a background job that changes the terminal's
/// settings.
#[test]
fn a_background_job_does_not_touch_the_terminal() {
    let node = scripted_node("");
    let trace = node.trace(&["--settle", "0s"], "touch begun");
    let mut shell = Command::new("bash");
    // The trace's program and arguments become the shell's positional parameters.
    shell.args(["-c", "set -m; \"$@\" >table.txt & wait $!; echo \"ended with $?\"", "bash"]);
    shell.arg(trace.get_program()).args(trace.get_args()).current_dir(node.dir.path());
    shell.envs(trace.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let (code, screen) = Pty::run(&shell).end();
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("ended with 0"), "{screen}");
    assert!(node.has("begun"), "{screen}");
}

#[test]
fn the_terminal_is_restored_where_standard_input_is_no_terminal() {
    let node = scripted_node("");
    let trace = node.trace(&["--settle", "0s"], "stty -echo raw </dev/tty; kill -KILL $$");
    let mut shell = Command::new("bash");
    shell.args(["-c", "\"$@\" </dev/null", "bash"]);
    shell.arg(trace.get_program()).args(trace.get_args()).current_dir(node.dir.path());
    shell.envs(trace.get_envs().filter_map(|(key, value)| Some((key, value?))));
    // `Pty::end` compares the terminal's settings.
    let (code, screen) = Pty::run(&shell).end();
    assert_eq!(code, 128 + 9, "{screen}");
}
