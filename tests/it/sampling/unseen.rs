//! Nodes of which samples are missing are not compared.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{changes, phases, scripted_node, table};

/// What follows the last sample of a node is not known: neither of a socket that was there
/// nor of one that was opened later.
#[test]
fn a_node_that_is_lost_is_not_compared_and_its_rows_are_not_known() {
    // Lost during the command, before it, and with a socket of the command open.
    let lost = |script: &str| {
        let node = scripted_node(script);
        let table = table(&node, &["--settle", "400ms"], "touch begun; sleep 1.2");
        (node.report(), table)
    };
    let during = "
def after(number):
    if has('begun') and seconds_since('begun') > 0.3:
        sys.exit(255)
";
    let (report, text) = lost(during);
    crate::docs::is_valid_trace(&report);
    assert_eq!(phases(&report["nodes"][0]["unknown"]), ["during", "after"], "{report:#}");
    assert_eq!((&report["unchanged"], &report["undetermined"]), (&0.into(), &1.into()), "{report:#}");
    let headline = text.split("Node Process").next().unwrap();
    assert!(headline.contains("no node could be compared."), "{text}");
    assert!(headline.contains("1 node not seen completely; see below."), "{text}");
    assert!(text.contains("192.168.1.55:43210 + + ?") && text.contains("not known"), "{text}");
    assert!(!text.contains("node compared") && text.contains("? the node was not seen"), "{text}");
    let before = "
def after(number):
    if number == 2:
        sys.exit(255)
";
    let (report, text) = lost(before);
    assert_eq!(phases(&report["nodes"][0]["unknown"]), ["during", "after"], "{report:#}");
    assert!(text.contains("192.168.1.55:43210 + ? ?"), "{text}");
    // The first part of the command was seen: the connection of an exec, and the end of another.
    let (report, text) = lost(&format!(
        "{during}
def sample(number):
    if not has('begun'):
        return [*ALWAYS, EXEC.replace('49956', '40001')], 0
    return [*ALWAYS, EXEC], 0
"
    ));
    let all: Vec<_> = report["changes"].as_array().unwrap().iter().collect();
    let change = |port: &str| {
        let of_port = |change: &&&Value| change["peer"].as_str().unwrap().ends_with(port);
        let change = all.iter().find(of_port).unwrap();
        (change["change"].as_str().unwrap(), phases(&change["there"]), phases(&change["unknown"]))
    };
    assert_eq!(change("49956"), ("appeared", vec!["during"], vec!["after"]), "{report:#}");
    // The command's first sample may have been taken before the script creates the file.
    let (gone, there, unknown) = change("40001");
    assert_eq!((gone, there[0], unknown.contains(&"after")), ("gone", "before", false), "{report:#}");
    assert!(text.contains("appeared (whether it stayed is not known)."), "{text}");
    assert!(text.contains("192.168.1.55:49956 - + ?"), "{text}");
    // The close of a socket of the last sample was reported before the node was lost.
    let (report, text) = lost(
        "
CLOSE_EVENTS = 'events'
def after(number):
    if has('begun') and seconds_since('begun') > 0.3:
        # After the tool has read the sample.
        time.sleep(0.2)
        print('UNCONN 0 0 192.168.1.20:10250 192.168.1.55:43210', file=sys.stderr, flush=True)
        time.sleep(0.2)
        sys.exit(255)
",
    );
    assert_eq!(changes(&report), ["(inbound gone)"], "{report:#}");
    assert!(!text.contains("43210 + + +"), "{text}");
}

/// Sockets that such samples lack may still exist, or exist no longer.
#[test]
fn a_node_whose_last_samples_are_incomplete_is_not_compared() {
    let broken = "[ALWAYS[0], ALWAYS[1][:30]], 0";
    let trace_with = |condition: &str, result: &str| {
        let node = scripted_node(&format!(
            "
def sample(number):
    if {condition}:
        return {result}
    return ALWAYS, 0
"
        ));
        let table = table(&node, &["--settle", "400ms"], "touch begun; sleep 0.4; touch ended");
        (node.report(), table)
    };
    let (report, text) = trace_with("has('ended')", broken);
    assert_eq!(phases(&report["nodes"][0]["unknown"]), ["during", "after"], "{report:#}");
    assert_eq!(report["undetermined"], 1, "{report:#}");
    assert!(text.contains("no node could be compared.") && text.contains("+ + ?"), "{text}");
    // Those after the command failed altogether.
    let (report, text) = trace_with("has('ended')", "[], 1");
    assert_eq!(phases(&report["nodes"][0]["unknown"]), ["during", "after"], "{report:#}");
    assert!(!text.contains("compared)"), "{text}");
    // Only the first samples: what existed before the command is not known.
    let (report, text) = trace_with("not has('begun')", broken);
    assert_eq!(phases(&report["nodes"][0]["unknown"]), ["before"], "{report:#}");
    assert_eq!(changes(&report), Vec::<String>::new(), "{report:#}");
    assert!(text.contains("no node could be compared.") && text.contains("43210 ? + +"), "{text}");
    // Some in the middle, which show the exec nevertheless.
    let (report, text) =
        trace_with("has('begun') and seconds_since('begun') < 0.2", "[ALWAYS[0], ALWAYS[1][:30], EXEC], 0");
    assert_eq!(phases(&report["nodes"][0]["unknown"]), Vec::<&str>::new(), "{report:#}");
    assert_eq!(changes(&report), ["inbound transient"], "{report:#}");
    assert!(text.contains("1 node not seen completely"), "{text}");
}

/// What was seen until the last good sample remains.
#[test]
fn a_node_whose_last_sample_failed_is_not_compared() {
    let node = scripted_node(
        "
def sample(number):
    if has('ended'):
        print('ss: cannot open netlink socket', file=sys.stderr, flush=True)
        return [], 1
    return ALWAYS, 0
",
    );
    let text = table(&node, &["--settle", "400ms"], "sleep 0.5; touch ended");
    let report = node.report();
    assert_eq!(phases(&report["nodes"][0]["unknown"]), ["during", "after"], "{report:#}");
    assert_eq!((&report["unchanged"], &report["undetermined"]), (&0.into(), &1.into()), "{report:#}");
    let gap = "node n1: ss failed in the last sample; it printed \"ss: cannot open netlink socket\"";
    assert!(text.contains(gap), "{text}");
}

/// The lines that keep the loop on the node running arrive together after the network was
/// slow: the loop neither ends nor leaves a process.
#[test]
fn a_node_that_hears_nothing_for_a_while_is_sampled_to_the_end() {
    let node = scripted_node("");
    let relay = r#"#!/usr/bin/env python3
import os, subprocess, sys, time
script = sys.argv[-1].removeprefix("sh -c '").removesuffix("'")
node = subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE)
began = time.time()
while data := os.read(0, 65536):
    # From the first sample on.
    if 3 < time.time() - began < 20:
        time.sleep(20 - (time.time() - began))
        data += os.read(0, 65536)
    node.stdin.write(data)
    node.stdin.flush()
node.stdin.close()
sys.exit(node.wait())
"#;
    std::fs::write(node.file("ssh"), relay).unwrap();
    let report = node.run(&["--settle", "0s", "--interval", "1s"], "sleep 56");
    let gaps = report["gaps"].as_array().unwrap().iter();
    let of_nodes: Vec<_> = gaps.filter(|gap| gap["what"].as_str().unwrap().starts_with("node ")).collect();
    assert!(of_nodes.is_empty(), "{report:#}");
    assert_eq!(report["nodes"][0]["unknown"].as_array().map(Vec::len), Some(0), "{report:#}");
}

/// A signal from another process leaves the samplers 450 ms.
#[test]
fn a_node_without_its_final_sample_is_not_compared_after_a_signal() {
    let node = scripted_node(
        "
def sample(number):
    if has('ended'):
        time.sleep(5)
    return ALWAYS, 0
",
    );
    let mut child = node
        .trace(&[], "touch begun; sleep 0.5; touch ended; sleep 20")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while !node.has("ended") {
        assert!(began.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(300));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    let report = node.report();
    assert_eq!(report["nodes"][0]["name"], "n1", "{report:#}");
    assert_eq!(phases(&report["nodes"][0]["unknown"]), ["during", "after"], "{report:#}");
    assert_eq!((&report["unchanged"], &report["undetermined"]), (&0.into(), &1.into()), "{report:#}");
}
