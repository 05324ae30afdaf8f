//! `trace` in the lab: a real kubectl, an API server that opens the same sockets as
//! a real one, and failures of the tool, the command and the nodes during a trace.

mod attribution;
mod exec;
mod interruption;
mod nodes;

use std::path::PathBuf;
use std::process::Command;
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use eks_netcheck_lab::kube::ApiServer;
use eks_netcheck_lab::sandbox::{ENIS, Node, OPERATOR, PUBLIC};
use serde_json::Value;

use crate::common::{Ran, scratch};
use crate::lab::{Access, Testbed, run_command, testbed};

/// The testbed with an API server, and a directory for reports and kubectl's files.
struct KubeTestbed {
    // Dropped before the testbed is free for another test.
    api: ApiServer,
    testbed: MutexGuard<'static, Testbed>,
    dir: tempfile::TempDir,
}

fn kube_testbed(access: Access) -> KubeTestbed {
    let testbed = testbed(access);
    testbed.dial(match access {
        Access::Private => ENIS,
        Access::Public | Access::PublicAndPrivate => PUBLIC,
    });
    let kubelets: Vec<_> = testbed.lab.nodes().iter().map(Node::kubelet).collect();
    let api = ApiServer::serve_in(&testbed.lab.operator_netns(), (OPERATOR, 6443).into(), ENIS[0], kubelets)
        .unwrap();
    KubeTestbed { testbed, api, dir: scratch() }
}

/// The kubectl on the PATH, which has to support `WebSocket`s (1.30 or later).
fn kubectl() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let found = std::env::split_paths(&path).map(|dir| dir.join("kubectl")).find(|file| file.is_file());
    found.expect("no kubectl on the PATH; tests/run installs one")
}

impl KubeTestbed {
    fn report_file(&self) -> PathBuf {
        self.dir.path().join("trace.json")
    }

    /// `trace`, its JSON report going to a file.
    fn trace(&self, args: &[&str], command: &[&str]) -> Command {
        let write = format!("json={}", self.report_file().display());
        let mut trace = self.testbed.netcheck(&["trace", "--ssh-user", "ec2-user", "--write", &write]);
        trace.args(args).env("KUBECACHEDIR", self.dir.path()).env("COLUMNS", "200");
        if !command.is_empty() {
            trace.arg("--").args(command);
        }
        trace
    }

    /// The command line of `kubectl exec` and the like, in the namespace of the nodes' pods.
    fn kubectl(&self, args: &[&str]) -> Vec<String> {
        let (kubectl, url) = (kubectl(), self.api.url());
        let (first, rest) = args.split_at(args.len().min(2));
        let own = [kubectl.to_str().unwrap(), "--server", &url];
        let namespace = ["-n", "kube-system"];
        own.iter().chain(first).chain(&namespace).chain(rest).map(ToString::to_string).collect()
    }

    /// Runs a trace; its output and report.
    fn run(&self, args: &[&str], command: &[&str]) -> (Ran, Value) {
        let ran = run_command(self.trace(args, command));
        let report =
            std::fs::read(self.report_file()).unwrap_or_else(|error| panic!("{error}: {}", ran.stderr));
        let report: Value = serde_json::from_slice(&report).unwrap();
        (ran, report)
    }

    /// A shell script that creates a file when it begins, and then sleeps.
    fn sleep_script(&self, seconds: u32) -> String {
        format!("touch {}; sleep {seconds}", self.begun_file().display())
    }

    fn begun_file(&self) -> PathBuf {
        self.dir.path().join("begun")
    }

    /// Waits until [`Self::sleep_script`] has begun.
    fn wait_until_begun(&self) {
        let started = Instant::now();
        while !self.begun_file().exists() {
            assert!(started.elapsed() < Duration::from_secs(20), "the command did not begin");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs a trace of a kubectl command.
    fn run_kubectl(&self, args: &[&str], kubectl: &[&str]) -> (Ran, Value) {
        let command = self.kubectl(kubectl);
        let command: Vec<_> = command.iter().map(String::as_str).collect();
        self.run(args, &command)
    }
}

const EXEC: [&str; 4] = ["exec", "ds/aws-node", "-c", "aws-eks-nodeagent"];

/// The changes that are not in the background, as `node process direction path change`.
fn changes(report: &Value) -> Vec<String> {
    let all = report["changes"].as_array().unwrap().iter();
    let fields = ["node", "process", "direction", "path", "change"];
    let line =
        |change: &Value| fields.map(|field| change[field].as_str().unwrap_or("-").to_owned()).join(" ");
    all.filter(|change| change["background"] == false).map(line).collect()
}

/// The first node, on which the first pod of the `DaemonSet` runs.
const NODE: &str = "n1";
