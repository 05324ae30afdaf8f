//! What `trace` makes of a node that tells one thing and then another: `ssh` is
//! a script here, since a real node does not do so when a test wants it to.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use eks_netcheck_lab::aws::{Account, Api};
use serde_json::Value;

use crate::common::{scratch, story};
use crate::pty::Pty;

/// Answers as the loop on a node does, with the rows that `look` has for it.
/// Files beside it say what the command has come to.
const SSH: &str = r#"#!/usr/bin/env python3
import os, sys, time

dir = os.path.dirname(os.path.abspath(__file__))
mark = sys.stdin.readline().strip()
# The loop, which this is in the place of, and its mark.
sys.stdin.readline(), sys.stdin.readline()
ALWAYS = [
    'LISTEN 0 0 *:10250 *:* users:(("kubelet",pid=7,fd=3))',
    'ESTAB 0 0 192.168.1.20:10250 192.168.1.55:43210 users:(("kubelet",pid=7,fd=2))',
]
EXEC = 'ESTAB 0 0 192.168.1.20:10250 192.168.1.55:49956 users:(("kubelet",pid=7,fd=9))'
ENDS = ""

def say(text):
    print(text, end="", flush=True)

def has(file):
    return os.path.exists(f"{dir}/{file}")

def note(file):
    open(f"{dir}/{file}", "w").close()

def since(file):
    return time.time() - os.stat(f"{dir}/{file}").st_mtime if has(file) else -1

def wait_for(file):
    for _ in range(1000):
        if has(file):
            return
        time.sleep(0.01)

def look(number):
    return ALWAYS, 0

def after(number):
    pass

"#;

const ANSWER: &str = r#"
def frame(number, rows, status):
    say(f"{mark} ss {100 + number}\n" + "".join(f"{row}\n" for row in rows) + f"{mark} end {status}\n")

say(f"{mark} here\n{mark} how sudo {ENDS}\n{mark} clock {time.time()} 100\n")
for number, _ in enumerate(sys.stdin, 1):
    rows, status = look(number)
    frame(number, rows, status)
    note("looked")
    after(number)
"#;

/// A cluster with one node, which tells what a script says.
struct Scripted {
    aws: Api,
    dir: tempfile::TempDir,
}

fn scripted(script: &str) -> Scripted {
    let aws = Api::serve(Account::from_evidence(&story("study-public")).unwrap()).unwrap();
    let dir = scratch();
    let ssh = dir.path().join("ssh");
    std::fs::write(&ssh, [SSH, script, ANSWER].concat()).unwrap();
    std::fs::set_permissions(&ssh, Permissions::from_mode(0o755)).unwrap();
    Scripted { aws, dir }
}

impl Scripted {
    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn has(&self, name: &str) -> bool {
        self.file(name).exists()
    }

    /// A trace of a shell's script, which runs in the directory of the files.
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
            .args(["trace", "--cluster", "myeks", "--node", "n1=192.168.1.20", "-q"])
            .args(["--write", "json=trace.json"])
            .args(args)
            .args(["--", "sh", "-c", script]);
        trace
    }

    fn run(&self, args: &[&str], script: &str) -> Value {
        let output: Output = self.trace(args, script).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.report()
    }

    fn report(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.file("trace.json")).unwrap()).unwrap()
    }
}

/// All changes, as `direction change`, those in the background in brackets.
fn changes(report: &Value) -> Vec<String> {
    let line = |change: &Value| {
        let said =
            format!("{} {}", change["direction"].as_str().unwrap(), change["change"].as_str().unwrap());
        if change["background"] == true { format!("({said})") } else { said }
    };
    report["changes"].as_array().unwrap().iter().map(line).collect()
}

/// What it does not print is not gone.
#[test]
fn a_look_whose_ss_failed_or_broke_off_is_none() {
    let told = |wrong: &str| {
        let script = format!(
            "
def look(number):
    if has('begun'):
        return {wrong}
    return ALWAYS, 0
"
        );
        scripted(&script).run(&["--settle", "300ms"], "touch begun; sleep 0.5")
    };
    assert_eq!(changes(&told("ALWAYS[:1], 0")), ["inbound gone"]);
    for failed in ["[], 1", "ALWAYS[:1], 1", "['Killed'], 137"] {
        let report = told(failed);
        assert_eq!(changes(&report), Vec::<String>::new(), "{failed}: {report:#}");
        assert!(report["missed"].as_u64().unwrap() >= 2, "{failed}: {report:#}");
    }
    let report = told("[ALWAYS[0], ALWAYS[1][:30]], 0");
    assert_eq!(changes(&report), Vec::<String>::new(), "{report:#}");
    let gaps = report["gaps"].as_array().unwrap();
    assert!(gaps.iter().any(|gap| gap["what"] == "node n1" && gap["why"] == "incomplete"), "{report:#}");
}

#[test]
fn a_look_that_comes_when_the_command_has_begun_is_of_its_time() {
    let node = scripted(
        "
def look(number):
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
fn what_only_the_first_look_after_has_is_the_commands() {
    let node = scripted(
        "
told = 0
def look(number):
    global told
    if has('begun') and told == 0:
        time.sleep(0.3)
        told = 1
        return [*ALWAYS, EXEC], 0
    return ALWAYS, 0
",
    );
    // It is over while the node still looks.
    let report = node.run(&[], "touch begun");
    assert_eq!(changes(&report), ["inbound transient"], "{report:#}");
}

#[test]
fn what_comes_long_after_a_command_is_not_its_own() {
    let node = scripted(
        "
def look(number):
    return ([*ALWAYS, EXEC] if since('begun') > 1 else ALWAYS), 0
",
    );
    let report = node.run(&["--settle", "2s"], "touch begun");
    assert!(changes(&report).iter().all(|change| change.starts_with('(')), "{report:#}");
}

#[test]
fn a_look_that_nobody_asked_for_is_none() {
    let node = scripted(
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
fn a_node_that_no_longer_tells_of_ends_says_so() {
    let script = |after| format!("\nENDS = 'ends'\ndef after(number):\n    {after}\n");
    for (after, tells) in [("pass", true), (r#"say(f"{mark} deaf\n") if number == 2 else None"#, false)] {
        let node = scripted(&script(after));
        let output = node.trace(&["--settle", "500ms"], "sleep 0.5").output().unwrap();
        let report = node.report();
        assert_eq!(report["nodes"][0]["tells_ends"], tells, "{report:#}");
        let stdout = String::from_utf8(output.stdout).unwrap();
        let unseen = "what came and went between two of them was not seen";
        assert_eq!(stdout.split_whitespace().collect::<Vec<_>>().join(" ").contains(unseen), !tells);
    }
}

/// Nobody is left waiting for a command that is not wanted any more.
#[test]
fn a_ctrl_c_before_the_command_ends_the_run() {
    let node = scripted("");
    let began = Instant::now();
    let mut pty = Pty::run(&node.trace(&["--settle", "60s"], "touch begun"));
    while !node.has("looked") {
        assert!(began.elapsed() < Duration::from_secs(20), "{}", pty.screen());
        std::thread::sleep(Duration::from_millis(10));
    }
    pty.type_in("\x03");
    let (code, screen) = pty.end();
    assert_eq!(code, 130, "{screen}");
    assert!(!node.has("begun"), "{screen}");
    assert!(began.elapsed() < Duration::from_secs(30), "{screen}");
}

/// A shell with job control stops what in the background changes the terminal.
#[test]
fn in_the_background_the_terminal_is_left_alone() {
    let node = scripted("");
    let trace = node.trace(&["--settle", "0s"], "touch begun");
    let mut shell = Command::new("bash");
    // The trace's own words are the shell's.
    shell.args(["-c", "set -m; \"$@\" >table.txt & wait $!; echo \"ended with $?\"", "bash"]);
    shell.arg(trace.get_program()).args(trace.get_args()).current_dir(node.dir.path());
    shell.envs(trace.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let (code, screen) = Pty::run(&shell).end();
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("ended with 0"), "{screen}");
    assert!(node.has("begun"), "{screen}");
}

/// What a command does to the terminal is put right also where standard input is none.
#[test]
fn the_terminal_is_put_right_where_standard_input_is_none() {
    let node = scripted("");
    let trace = node.trace(&["--settle", "0s"], "stty -echo raw </dev/tty; kill -KILL $$");
    let mut shell = Command::new("bash");
    shell.args(["-c", "\"$@\" </dev/null", "bash"]);
    shell.arg(trace.get_program()).args(trace.get_args()).current_dir(node.dir.path());
    shell.envs(trace.get_envs().filter_map(|(key, value)| Some((key, value?))));
    // It looks at the terminal's settings.
    let (code, screen) = Pty::run(&shell).end();
    assert_eq!(code, 128 + 9, "{screen}");
}
