//! Ends that come early, and what is left behind.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use eks_netcheck_lab::aws::{Fault, FaultKind};
use eks_netcheck_lab::sandbox::PUBLIC;
use serde_json::Value;

use super::{Access, Scene, scene};
use crate::common::scratch;

#[test]
fn an_interrupted_collect_keeps_what_it_had_and_leaves_nothing_running() {
    let scene = scene(Access::Public);
    scene.dial(PUBLIC);
    let out = scratch();
    let dir = out.path().join("evidence");
    let mut collect = scene.netcheck(&["collect", "--out", dir.to_str().unwrap(), "--ssh-user", "ec2-user"]);
    collect
        .args(["--node", "n1", "--node", "n2=hang@192.168.10.11"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = collect.spawn().unwrap();
    let began = Instant::now();
    while !dir.join("dns/n1.txt").exists() {
        assert!(began.elapsed() < Duration::from_secs(20), "n1 is read while n2 hangs");
        std::thread::sleep(Duration::from_millis(20));
    }
    let interrupted = Instant::now();
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert!(interrupted.elapsed() < Duration::from_secs(2), "{:?}", interrupted.elapsed());
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    let manifest: Value = serde_json::from_slice(&std::fs::read(dir.join("manifest.json")).unwrap()).unwrap();
    let n2 = manifest["gaps"].as_array().unwrap().iter().find(|gap| gap["what"] == "node n2").unwrap();
    assert_eq!(n2["why"], "interrupted");
    let left: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with('.')), "{left:?}");
    let judged = scene.run(&["audit", "--evidence", dir.to_str().unwrap(), "--format", "json"]);
    let report: Value = serde_json::from_str(&judged.stdout).unwrap();
    assert_eq!(report["nodes"][0]["status"], "read");
    assert_eq!(report["nodes"][1]["status"], "unreachable");
    // What was run on a node has ended with what it printed.
    let left = scene.lab.node(0).run("pgrep -u ec2-user -a || true").unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
}

#[test]
fn a_collect_that_found_nothing_is_not_in_its_own_way() {
    let scene = scene(Access::Public);
    let out = scratch();
    let dir = out.path().join("evidence");
    scene.aws.fault(Fault::always("DescribeCluster", FaultKind::Expired));
    scene.aws.fault(Fault::always("DescribeInstances", FaultKind::Expired));
    let collect = || scene.run(&["collect", "--out", dir.to_str().unwrap(), "--ssh-user", "ec2-user"]);
    let ran = collect();
    assert_eq!((ran.code, dir.exists()), (3, false), "{}", ran.stderr);
    scene.aws.clear_faults();
    let ran = collect();
    assert_eq!((ran.code, dir.join("cluster.json").exists()), (0, true), "{}", ran.stderr);
}

/// As a shell has it, and as nohup wants it.
#[test]
fn a_signal_ends_it_with_its_own_code_unless_it_is_ignored() {
    let scene = scene(Access::Public);
    scene.dial(PUBLIC);
    for (signal, code) in [("TERM", 143), ("HUP", 129), ("INT", 130)] {
        let out = scratch();
        let mut child = hanging_collect(&scene, out.path(), "default");
        signalled(&child, signal);
        assert_eq!(child.wait().unwrap().code(), Some(code), "{signal}");
    }
    let out = scratch();
    let mut child = hanging_collect(&scene, out.path(), "ignore");
    signalled(&child, "HUP");
    assert_eq!(child.wait().unwrap().code(), Some(0), "it goes on until the node's time is up");
}

/// What AWS and the nodes say is nobody else's to read.
#[test]
fn what_is_asked_lies_where_others_cannot_read_it() {
    let scene = scene(Access::Public);
    let tmp = scratch();
    let mut audit = scene.netcheck(&["audit", "--node", "n1=hang@192.168.10.10", "--timeout", "3"]);
    audit.env("TMPDIR", tmp.path()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = audit.spawn().unwrap();
    let began = Instant::now();
    let dir = loop {
        let mut entries = std::fs::read_dir(tmp.path()).unwrap();
        if let Some(entry) = entries.next() {
            break entry.unwrap();
        }
        assert!(began.elapsed() < Duration::from_secs(3), "nothing is written");
        std::thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(dir.metadata().unwrap().permissions().mode() & 0o7777, 0o700);
    child.wait().unwrap();
    assert_eq!(std::fs::read_dir(tmp.path()).unwrap().count(), 0, "it is left behind");
}

/// A collect that has read n1 and waits for n2; `hup` is what becomes of SIGHUP.
fn hanging_collect(scene: &Scene, out: &Path, hup: &str) -> Child {
    let dir = out.join("evidence");
    let mut collect = scene.lab.operator("env");
    collect.args([&format!("--{hup}-signal=HUP"), env!("CARGO_BIN_EXE_eks-netcheck"), "collect"]);
    collect.args(["--cluster", "myeks", "--timeout", "4", "--ssh-user", "ec2-user", "--node", "n1"]);
    collect.args(["--node", "n2=hang@192.168.10.11", "--out"]).arg(&dir);
    collect.envs(scene.netcheck(&[]).get_envs().filter_map(|(key, value)| Some((key, value?))));
    let child = collect.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    while !dir.join("dns/n1.txt").exists() {
        assert!(began.elapsed() < Duration::from_secs(20), "n1 is not read");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

fn signalled(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
}
