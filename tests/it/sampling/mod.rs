//! `trace` with a scripted node: `ssh` is a script that answers with the samples a
//! test needs at the time it needs them, which a real node cannot do reliably.

mod attribution;
mod interruption;
mod samples;
mod unseen;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use eks_netcheck_lab::aws::{Account, Api};
use serde_json::Value;

use crate::common::{scratch, story};

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
requests = (line for line in sys.stdin if line != "keep\n")
for number, _ in enumerate(requests, 1):
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
pub(crate) struct ScriptedNode {
    aws: Api,
    dir: tempfile::TempDir,
}

pub(crate) fn scripted_node(script: &str) -> ScriptedNode {
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

    /// The directory of the markers and reports.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn has(&self, name: &str) -> bool {
        self.file(name).exists()
    }

    /// A trace of a shell script, which runs in the directory of the marker files.
    pub(crate) fn trace(&self, args: &[&str], script: &str) -> Command {
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

/// The table in 100 columns, its lines joined.
fn table(node: &ScriptedNode, args: &[&str], script: &str) -> String {
    let output = node.trace(args, script).env("COLUMNS", "100").output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    stdout.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The fields `before`, `during` and `after` of lists of phases.
fn phases(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|phase| phase.as_str().unwrap()).collect()
}

const NO_CHANGE: &str = "no change was seen between the API server and the nodes (1 node compared)";
