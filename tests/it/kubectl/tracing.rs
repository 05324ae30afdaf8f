//! `trace` through pods: the same changes as by ssh.

use std::net::SocketAddr;
use std::process::Stdio;

use super::*;
use crate::exec_catch::{short_execs, wait_for};

fn trace(kube: &Kube, args: &[&str], command: &[&str]) -> Ran {
    let mut trace = kube.netcheck(&[&["trace"], args].concat());
    trace.arg("--").args(command);
    run_command(trace)
}

/// The changes of a trace of `kubectl exec` on n1: node, process, direction, path and change.
fn changes(kube: &Kube, args: &[&str]) -> (Vec<String>, Value) {
    kube.api.set_exec_duration(Duration::from_millis(900));
    let url = kube.api.url();
    let exec = ["kubectl", "--server", &url, "exec", "-n", "kube-system", "aws-node-1", "--", "true"];
    let ran = trace(kube, &[&["--settle", "500ms", "--format", "json"], args].concat(), &exec);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let part = |change: &Value, key: &str| change[key].as_str().unwrap_or("-").to_owned();
    let line = |change: &Value| {
        ["node", "process", "direction", "path", "change"].map(|key| part(change, key)).join(" ")
    };
    let mut changes: Vec<_> = report["changes"].as_array().unwrap().iter().map(line).collect();
    changes.sort();
    (changes, report)
}

#[test]
fn an_exec_is_seen_through_the_agents_pods_and_through_jobs() {
    let kube = kube(Access::Public);
    let expected = ["n1 kubelet inbound private-eni transient", "n1 kubelet none loopback transient"];
    let (by_ssh, report) = changes(&kube, &["--ssh-user", "ec2-user"]);
    assert!(expected.iter().all(|change| by_ssh.contains(&(*change).to_owned())), "{report:#}");
    let (by_jobs, report) = changes(&kube, &["--nodes", "kubectl"]);
    // Without reports of closed sockets, samples on a busy machine may lack the stream, or its
    // client's process.
    let without_process = |changes: &[String]| -> BTreeSet<String> {
        let words = |change: &String| change.split(' ').map(ToOwned::to_owned).collect::<Vec<_>>();
        changes.iter().map(words).map(|words| [&words[..1], &words[2..]].concat().join(" ")).collect()
    };
    assert!(without_process(&by_jobs).is_subset(&without_process(&by_ssh)), "{report:#}");
    assert!(by_jobs.contains(&expected[0].to_owned()), "{report:#}");
    assert_eq!(report["gaps"], json!([]), "{report:#}");
    kube.assert_clean("a trace");
    kube.api.add_agent("n1");
    kube.api.add_agent("n2");
    let (by_agents, report) = changes(&kube, &["--nodes", "kubectl"]);
    assert_eq!(by_agents, by_ssh, "{report:#}");
    assert_eq!(report["gaps"], json!([]), "{report:#}");
}

#[test]
fn a_trace_creates_pods_on_the_chosen_nodes_only() {
    let kube = kube(Access::Public);
    let ran = trace(&kube, &["--nodes", "kubectl", "--only", "n2", "--settle", "0s"], &["true"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let created = kube
        .api
        .take_journal()
        .into_iter()
        .filter(|access| access.verb == "create" && access.resource == "jobs");
    assert_eq!(created.count(), 1);
    kube.assert_clean("a trace");
}

/// A pod without `ss` has samples alone. What they lack is counted.
#[test]
#[expect(clippy::print_stdout, reason = "the figures")]
fn short_execs_that_samples_through_jobs_lack_are_counted() {
    const EXECS: u32 = 40;
    let kube = kube(Access::Public);
    let dir = scratch();
    let marker = dir.path().join("begun");
    let mut trace = kube.netcheck(&["trace", "-q", "--nodes", "kubectl", "--only", "n1", "--format", "json"]);
    trace.args(["--settle", "500ms", "--", "sh", "-c", &format!("touch {}; sleep 16", marker.display())]);
    let trace = trace.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    wait_for(&marker);
    let began = Instant::now();
    let node = kube.testbed.lab.node(0);
    let at_first = short_execs(node, EXECS);
    sleep(Duration::from_secs(8).saturating_sub(began.elapsed()));
    let later = short_execs(node, EXECS);
    assert!(began.elapsed() < Duration::from_secs(16), "the machine is too slow for this test");
    let report: Value = serde_json::from_slice(&trace.wait_with_output().unwrap().stdout).unwrap();
    let changes = report["changes"].as_array().unwrap();
    let detected = |peers: &[SocketAddr]| {
        let is_detected = |peer: &&SocketAddr| {
            changes.iter().any(|change| {
                change["peer"] == peer.to_string()
                    && (&change["direction"], &change["change"]) == (&json!("inbound"), &json!("transient"))
            })
        };
        peers.iter().filter(is_detected).count()
    };
    let (first, second) = (detected(&at_first), detected(&later));
    println!(
        "of {EXECS} connections of 40 to 100 ms: {first} at the beginning, {second} later; {}",
        report["nodes"][0]
    );
    let missed = 2 * EXECS as usize - first - second;
    let unseen = report["nodes"][0]["unseen_inbound"].as_u64().unwrap();
    assert!(unseen >= missed as u64, "{missed} were missed, {unseen} are reported");
    assert!(first + second >= EXECS as usize / 2, "{first}, {second}");
    assert_eq!(report["nodes"][0]["tells_ends"], false, "{report:#}");
}
