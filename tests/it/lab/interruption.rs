//! Runs that are interrupted or fail, and what they leave on disk and on nodes.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use eks_netcheck_lab::aws::{Fault, FaultKind};
use eks_netcheck_lab::sandbox::{ENIS, PUBLIC};
use serde_json::Value;

use super::{Access, Testbed, testbed};
use crate::common::scratch;
use crate::pty::DEFAULT_SIGNALS;

#[test]
fn an_interrupted_collect_keeps_its_files_and_leaves_no_process() {
    let testbed = testbed(Access::Public);
    testbed.dial(PUBLIC);
    let out = scratch();
    let dir = out.path().join("evidence");
    let mut collect =
        testbed.netcheck(&["collect", "--out", dir.to_str().unwrap(), "--ssh-user", "ec2-user"]);
    collect
        .args(["--node", "n1", "--node", "n2=hang@192.168.10.11"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = collect.spawn().unwrap();
    let began = Instant::now();
    while !dir.join("dns/n1.txt").exists() {
        assert!(began.elapsed() < Duration::from_secs(20), "n1 was not read while n2 hangs");
        std::thread::sleep(Duration::from_millis(20));
    }
    let interrupted = Instant::now();
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert!(interrupted.elapsed() < Duration::from_secs(2), "{:?}", interrupted.elapsed());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    // What was outstanding, and the state of the directory.
    assert!(stderr.contains("answers had been received; not yet: nodes n2; "), "{stderr}");
    assert!(stderr.contains("has what was received, and manifest.json lists what is missing"), "{stderr}");
    let manifest: Value = serde_json::from_slice(&std::fs::read(dir.join("manifest.json")).unwrap()).unwrap();
    let n2 = manifest["gaps"].as_array().unwrap().iter().find(|gap| gap["what"] == "node n2").unwrap();
    assert_eq!(n2["why"], "interrupted");
    let left: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with('.')), "{left:?}");
    let audit = testbed.run(&["audit", "--evidence", dir.to_str().unwrap(), "--format", "json"]);
    let report: Value = serde_json::from_str(&audit.stdout).unwrap();
    assert_eq!(report["nodes"][0]["status"], "read");
    assert_eq!(report["nodes"][1]["status"], "unreachable");
    // No process of the tool is left on the node.
    let left = testbed.lab.node(0).run("pgrep -u ec2-user -a || true").unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
}

#[test]
fn a_failed_collect_can_be_repeated_with_the_same_directory() {
    let testbed = testbed(Access::Public);
    let out = scratch();
    let dir = out.path().join("evidence");
    testbed.aws.inject_fault(Fault::always("DescribeCluster", FaultKind::Expired));
    testbed.aws.inject_fault(Fault::always("DescribeInstances", FaultKind::Expired));
    let collect = || testbed.run(&["collect", "--out", dir.to_str().unwrap(), "--ssh-user", "ec2-user"]);
    let ran = collect();
    assert_eq!((ran.code, dir.exists()), (3, false), "{}", ran.stderr);
    testbed.aws.clear_faults();
    let ran = collect();
    assert_eq!((ran.code, dir.join("cluster.json").exists()), (0, true), "{}", ran.stderr);
}

/// `collect` ends with 0 only if it got everything that it was to get.
#[test]
fn the_exit_code_of_collect_says_whether_anything_is_missing() {
    let testbed = testbed(Access::Private);
    testbed.dial(ENIS);
    let out = scratch();
    let collect = |name: &str, args: &[&str]| {
        let dir = out.path().join(name);
        let first = ["collect", "--timeout", "5", "--ssh-user", "ec2-user", "--out", dir.to_str().unwrap()];
        let ran = testbed.run(&[&first, args].concat());
        let manifest: Value =
            serde_json::from_slice(&std::fs::read(dir.join("manifest.json")).unwrap()).unwrap();
        (ran.code, manifest["gaps"].as_array().unwrap().len())
    };
    assert_eq!(collect("whole", &[]), (0, 0));
    assert_eq!(collect("no-nodes", &["--nodes", "none"]), (0, 1), "nodes were not requested");
    for (name, args) in [
        ("login", &["--node", "n1", "--node", "n2=nobody@192.168.10.11"][..]),
        ("root", &["--node", "n1", "--node", "n2=nosudo@192.168.10.11"]),
        ("name", &["--node", "n1", "--node", "n2=nobody-has-this-name"]),
        ("server", &["--resolver", "192.0.2.1"]),
    ] {
        let (code, gaps) = collect(name, args);
        assert!(code == 3 && gaps > 0, "{name}: {code}, {gaps} gaps");
    }
    for operation in ["DescribeSecurityGroups", "DescribeInstances", "DescribeVpcAttribute"] {
        testbed.aws.clear_faults();
        testbed.aws.inject_fault(Fault::always(operation, FaultKind::Denied));
        let (code, gaps) = collect(operation, &[]);
        assert!(code == 3 && gaps > 0, "{operation}: {code}, {gaps} gaps");
    }
}

/// 128 + N for a signal N, as in a shell; with SIGHUP ignored, as by nohup, the run
/// continues.
#[test]
fn signals_set_the_exit_code_unless_ignored() {
    let testbed = testbed(Access::Public);
    testbed.dial(PUBLIC);
    for (signal, code) in [("TERM", 143), ("HUP", 129), ("INT", 130)] {
        let out = scratch();
        let mut child = hanging_collect(&testbed, out.path(), "default");
        send_signal(&child, signal);
        assert_eq!(child.wait().unwrap().code(), Some(code), "{signal}");
    }
    let out = scratch();
    let mut child = hanging_collect(&testbed, out.path(), "ignore");
    send_signal(&child, "HUP");
    assert_eq!(child.wait().unwrap().code(), Some(3), "it continues until the node times out");
}

#[test]
fn temporary_evidence_is_private_and_removed() {
    let testbed = testbed(Access::Public);
    let tmp = scratch();
    let mut audit = testbed.netcheck(&["audit", "--node", "n1=hang@192.168.10.10", "--timeout", "3"]);
    audit.env("TMPDIR", tmp.path()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = audit.spawn().unwrap();
    let began = Instant::now();
    let dir = loop {
        let mut entries = std::fs::read_dir(tmp.path()).unwrap();
        if let Some(entry) = entries.next() {
            break entry.unwrap();
        }
        assert!(began.elapsed() < Duration::from_secs(3), "no temporary directory");
        std::thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(dir.metadata().unwrap().permissions().mode() & 0o7777, 0o700);
    child.wait().unwrap();
    assert_eq!(std::fs::read_dir(tmp.path()).unwrap().count(), 0, "the temporary directory is left behind");
}

/// A collect that has read n1 and waits for n2; `hup` is its disposition of SIGHUP,
/// `default` or `ignore`.
fn hanging_collect(testbed: &Testbed, out: &Path, hup: &str) -> Child {
    let dir = out.join("evidence");
    let mut collect = testbed.lab.operator_command("env");
    collect.args([
        DEFAULT_SIGNALS,
        &format!("--{hup}-signal=HUP"),
        env!("CARGO_BIN_EXE_eks-netcheck"),
        "collect",
    ]);
    collect.args(["--cluster", "myeks", "--timeout", "4", "--ssh-user", "ec2-user", "--node", "n1"]);
    collect.args(["--node", "n2=hang@192.168.10.11", "--out"]).arg(&dir);
    collect.envs(testbed.netcheck(&[]).get_envs().filter_map(|(key, value)| Some((key, value?))));
    let child = collect.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    while !dir.join("dns/n1.txt").exists() {
        assert!(began.elapsed() < Duration::from_secs(20), "n1 is not read");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

fn send_signal(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
}
