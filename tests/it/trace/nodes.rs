//! Nodes that are not sampled to the end, and what is left on them.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{EXEC, KubeTestbed, NODE, kube_testbed};
use crate::lab::{Access, run_command};

/// The tool's processes on a node, without zombies.
fn processes_on(kube: &KubeTestbed, index: usize) -> String {
    let list = "ps -eo stat=,user=,args= | grep -v '^Z' | grep -E ' [e]c2-user |[l]oop root|[s]s -E'; true";
    let output = kube.testbed.lab.node(index).run(list);
    String::from_utf8(output.unwrap().stdout).unwrap()
}

#[test]
fn no_process_is_left_on_nodes_when_the_tool_is_killed() {
    let kube = kube_testbed(Access::Public);
    let mut child =
        kube.trace(&[], &["sleep", "30"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    let is_sampled = |index| processes_on(&kube, index).contains("ss -E");
    while !(is_sampled(0) && is_sampled(1)) || began.elapsed() < Duration::from_secs(2) {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{}{}",
            processes_on(&kube, 0),
            processes_on(&kube, 1)
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let killed = Instant::now();
    while !(processes_on(&kube, 0) + &processes_on(&kube, 1)).is_empty() {
        let all = || {
            let nodes =
                [0, 1].map(|index| kube.testbed.lab.node(index).run("ps -eo pid,ppid,stat,wchan:20,args"));
            nodes.map(|listed| String::from_utf8_lossy(&listed.unwrap().stdout).into_owned()).join("\n")
        };
        assert!(killed.elapsed() < Duration::from_secs(10), "{}", all());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Samples that a stopped node does not take are counted; then it continues.
#[test]
fn missed_samples_are_counted() {
    let kube = kube_testbed(Access::Public);
    let n1 = kube.testbed.lab.node(0);
    let (ran, report) = std::thread::scope(|scope| {
        scope.spawn(|| {
            kube.wait_until_begun();
            n1.run("pkill -STOP -f '^sh .*loop root'").unwrap();
            std::thread::sleep(Duration::from_millis(2500));
            // sudo stops when its shell does. The shell has to be continued first, or
            // sudo stops again.
            n1.run("pkill -CONT -f '^sh .*loop root'; sleep 0.1; pkill -CONT -f 'loop root'").unwrap();
        });
        kube.run(&[], &["sh", "-c", &kube.sleep_script(4)])
    });
    let missed = |index: usize| report["nodes"][index]["missed"].as_u64().unwrap();
    assert!(missed(0) >= 3 && missed(1) < missed(0), "{report:#}");
    assert_eq!(report["missed"].as_u64().unwrap(), missed(0) + missed(1));
    assert!(ran.stdout.contains(&format!(", {} missed", missed(0))), "{}", ran.stdout);
    assert_eq!(report["gaps"], Value::from(Vec::<Value>::new()), "{report:#}");
}

#[test]
fn a_node_lost_during_the_trace_is_a_gap() {
    let kube = kube_testbed(Access::Public);
    let (ran, report) = std::thread::scope(|scope| {
        scope.spawn(|| {
            kube.wait_until_begun();
            let n2 = kube.testbed.lab.node(1);
            n2.run("pkill -KILL -u ec2-user").unwrap();
            // Its connections end unseen.
            std::thread::sleep(Duration::from_millis(300));
            n2.reset_connections().unwrap();
        });
        kube.run(&[], &["sh", "-c", &kube.sleep_script(2)])
    });
    let gap = &report["gaps"][0];
    assert_eq!((&gap["what"], &gap["why"]), (&Value::from("node n2"), &Value::from("connection-lost")));
    let detail = gap["detail"].as_str().unwrap();
    assert!(detail.contains("s after the trace began, after "), "{detail}");
    assert_eq!(report["nodes"].as_array().unwrap().len(), 2, "{report:#}");
    // Only the other node is compared.
    let unknown = |index: usize| report["nodes"][index]["unknown"].clone();
    assert_eq!((unknown(0), unknown(1)), (json!([]), json!(["during", "after"])), "{report:#}");
    assert_eq!((&report["unchanged"], &report["undetermined"]), (&3.into(), &3.into()), "{report:#}");
    assert!(ran.stdout.contains("(1 node compared)"), "{}", ran.stdout);
    let rows = |node: &str| -> Vec<_> {
        let words = ran.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        words.filter(|words| words.first() == Some(&node) && words.len() > 8).collect()
    };
    assert!(rows("n1").iter().all(|row| row.ends_with(&["yes", "yes", "yes"])), "{}", ran.stdout);
    // Whether a sample came between the beginning of the command and the loss is a matter of
    // timing.
    let is_undetermined = |row: &Vec<&str>| {
        row.ends_with(&["yes", "yes", "?", "not", "known"])
            || row.ends_with(&["yes", "?", "?", "not", "known"])
    };
    assert!(rows("n2").iter().all(is_undetermined), "{}", ran.stdout);
    assert_eq!((rows("n1").len(), rows("n2").len()), (3, 3), "{}", ran.stdout);
}

/// The sockets of such a node may be on the public path.
#[test]
fn a_node_that_was_not_sampled_to_the_end_is_not_judged() {
    let kube = kube_testbed(Access::Private);
    let judged = ["--fail-on", "high"];
    let (ran, report) = kube.run(&judged, &["true"]);
    assert_eq!((ran.code, report["verdict"].as_str()), (0, Some("pass")), "{report:#}");
    // Lost before the command: EC2 does not list n3, so that nothing else is missing.
    let nodes = ["--node", "n1", "--node", "n2", "--node", "n3=nobody-has-this-name"];
    let (ran, report) = kube.run(&[&judged, &nodes[..]].concat(), &["true"]);
    assert_eq!((ran.code, report["verdict"].as_str()), (3, Some("inconclusive")), "{report:#}");
    // Lost during the command.
    let (ran, report) = std::thread::scope(|scope| {
        scope.spawn(|| {
            kube.wait_until_begun();
            kube.testbed.lab.node(1).run("pkill -KILL -u ec2-user").unwrap();
        });
        kube.run(&judged, &["sh", "-c", &kube.sleep_script(2)])
    });
    assert_eq!((ran.code, report["verdict"].as_str()), (3, Some("inconclusive")), "{report:#}");
    // Without a judgment the command's exit code is returned.
    assert_eq!(kube.run(&nodes, &["sh", "-c", "exit 6"]).0.code, 6);
}

#[test]
fn a_node_with_endless_output_is_a_gap() {
    let kube = kube_testbed(Access::Public);
    let began = Instant::now();
    let (_, report) = kube.run(&["--node", NODE, "--node", "f=flood@192.168.10.11"], &["true"]);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let gap = &report["gaps"][0];
    assert_eq!((&gap["what"], &gap["why"]), (&"node f".into(), &"too-much-output".into()), "{report:#}");
    while !kube.testbed.lab.node(1).run("pgrep -a -u flood; true").unwrap().stdout.is_empty() {
        assert!(began.elapsed() < Duration::from_secs(25), "its process still runs on the node");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_command_is_not_run_without_a_reachable_node() {
    let kube = kube_testbed(Access::Public);
    let marker = kube.dir.path().join("ran");
    let ran =
        run_command(kube.trace(&["--node", "n9=nobody-has-this-name"], &["touch", marker.to_str().unwrap()]));
    assert_eq!((ran.code, marker.exists()), (3, false), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("the command was not run") && ran.stderr.contains("does not resolve"),
        "{}",
        ran.stderr
    );
}

#[test]
fn only_restricts_the_trace_to_one_node() {
    let kube = kube_testbed(Access::Public);
    for only in [NODE, "192.168.10.10", "i-00000000000000000"] {
        let (_, report) = kube.run(&["--only", only], &["true"]);
        let nodes: Vec<_> =
            report["nodes"].as_array().unwrap().iter().map(|node| node["name"].clone()).collect();
        assert_eq!(nodes, [NODE], "{only}");
    }
    let ran = run_command(kube.trace(&["--only", "nobody"], &["true"]));
    assert_eq!(ran.code, 3);
    assert!(ran.stderr.contains("node nobody: no node has this name; the nodes are "), "{}", ran.stderr);
    assert!(ran.stderr.contains(NODE), "{}", ran.stderr);
}

/// Accounts with different rights: root, sudo for `ss` alone (one call a sample), no
/// sudo.
#[test]
fn limited_sudo_rights_still_give_samples() {
    let kube = kube_testbed(Access::Public);
    let nodes = [
        "--node",
        "r=root@192.168.10.10",
        "--node",
        "s=onlyss@192.168.10.10",
        "--node",
        "p=nosudo@192.168.10.10",
    ];
    let exec = kube.kubectl(&[&EXEC[..], &["--", "true"]].concat());
    let exec: Vec<_> = exec.iter().map(String::as_str).collect();
    kube.api.set_exec_duration(Duration::from_millis(400));
    let (ran, report) = kube.run(&nodes, &exec);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for node in ["r", "s", "p"] {
        let inbound = |change: &&Value| change["node"] == node && change["direction"] == "inbound";
        let seen = report["changes"].as_array().unwrap().iter().find(inbound);
        assert_eq!(seen.unwrap()["change"], "transient", "{node}: {report:#}");
    }
    let close_events: Vec<_> =
        report["nodes"].as_array().unwrap().iter().map(|node| node["tells_ends"] == true).collect();
    assert_eq!(close_events, [true; 3], "p, r, s: {report:#}");
    let gaps: Vec<_> = report["gaps"].as_array().unwrap().iter().map(|gap| gap["what"].clone()).collect();
    assert_eq!(gaps, ["node p"], "{report:#}");
}
