//! The paths of nodes to the API server in each access mode.

use std::net::IpAddr;

use eks_netcheck_lab::aws::{Fault, FaultKind};
use eks_netcheck_lab::sandbox::{ENIS, PUBLIC, View};
use serde_json::{Value, json};

use super::{Access, counts, paths, remove_commands, rules, testbed};
use crate::common::scratch;

#[test]
fn public_nodes_are_on_the_public_path() {
    let testbed = testbed(Access::Public);
    testbed.dial(PUBLIC);
    let (report, code) = testbed.audit(&[]);
    assert_eq!(code, 1, "{report:#}");
    assert!(rules(&report).contains(&"node-egress-not-allowed"), "{report:#}");
    for node in ["n1", "n2"] {
        assert_eq!(
            paths(&report, node),
            counts(&[
                ("aws-k8s-agent outbound cluster-ip", 1),
                ("kube-proxy outbound public-endpoint", 1),
                ("kubelet outbound public-endpoint", 1),
            ])
        );
    }
    let vantages: Vec<_> = report["dns"].as_array().unwrap().iter().map(|dns| &dns["vantage"]).collect();
    assert_eq!(vantages, ["here", "n1", "n2"]);
    assert_eq!(report["dns"][0]["ttl"], 60);
    let owned = report["enis"].as_array().unwrap().iter().filter(|eni| eni["eks_owned"] == true).count();
    assert_eq!(owned, 2);
    assert_eq!(report["gaps"], json!([]), "{report:#}");
}

#[test]
fn a_node_whose_kubelet_is_dead_is_not_on_the_public_path_as_a_whole() {
    let testbed = testbed(Access::Public);
    let n1 = testbed.lab.node(0);
    testbed.dial(PUBLIC);
    n1.reset_connections().unwrap();
    n1.dial("kube-proxy", (PUBLIC[1], 443)).unwrap();
    let table = testbed.run(&["audit", "--ssh-user", "ec2-user"]).stdout;
    let table = table.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(!table.contains("2 of 2 nodes"), "{table}");
    assert!(table.contains("kubelet is not running or not connected"), "{table}");
}

#[test]
fn an_open_exec_is_one_private_peer_on_its_node() {
    let testbed = testbed(Access::Public);
    testbed.dial(PUBLIC);
    let exec = testbed.lab.node(0).exec_from(ENIS[1]).unwrap();
    let (report, _) = testbed.audit(&[]);
    assert_eq!(paths(&report, "n1").get("kubelet inbound private-eni"), Some(&1), "{report:#}");
    assert_eq!(paths(&report, "n2").get("kubelet inbound private-eni"), None);
    drop(exec);
}

#[test]
fn a_node_that_did_not_reconnect_after_the_mode_change_is_stale() {
    let testbed = testbed(Access::PublicAndPrivate);
    testbed.dial(PUBLIC);
    let n2 = testbed.lab.node(1);
    n2.reset_connections().unwrap();
    n2.dial("kubelet", (ENIS[0], 443)).unwrap();
    n2.dial("kube-proxy", (ENIS[1], 443)).unwrap();
    let (report, code) = testbed.audit(&[]);
    assert_eq!(code, 1);
    let stale: Vec<_> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["rule"] == "node-on-public-path")
        .collect();
    assert_eq!(stale.len(), 1, "{report:#}");
    assert_eq!(stale[0]["subject"], "n1");
    assert!(stale[0]["message"].as_str().unwrap().contains("stale"), "{report:#}");
    // With public addresses in the nodes' DNS, the cause is DNS, not a stale connection.
    testbed.lab.set_dns(View::Vpc, &PUBLIC.map(IpAddr::V4)).unwrap();
    let (report, _) = testbed.audit(&[]);
    assert!(report["findings"][0]["message"].as_str().unwrap().contains("public addresses"), "{report:#}");
}

#[test]
fn a_private_cluster_passes() {
    let testbed = testbed(Access::Private);
    testbed.dial(ENIS);
    let (report, code) = testbed.audit(&[]);
    assert_eq!((code, report["verdict"].as_str()), (0, Some("pass")), "{report:#}");
    assert_eq!(paths(&report, "n2").get("kubelet outbound private-eni"), Some(&1));
    // With one node unread, it no longer passes.
    let (report, code) = testbed.audit(&["--node", "n1"]);
    assert_eq!((code, report["verdict"].as_str()), (3, Some("inconclusive")), "{report:#}");
}

#[test]
fn recorded_evidence_gives_the_same_report_as_a_live_audit() {
    let testbed = testbed(Access::PublicAndPrivate);
    testbed.dial(PUBLIC);
    // One node is read without process names, and one call is denied.
    let out = scratch();
    let dir = out.path().join("evidence");
    let dir = dir.to_str().unwrap();
    let args = ["--ssh-user", "ec2-user", "--node", "n1", "--node", "n2=nosudo@192.168.10.11"];
    testbed.aws.inject_fault(Fault::always("DescribeRouteTables", FaultKind::Denied));
    let live = testbed.run(&[&["audit", "--format", "json"], &args[..]].concat());
    let ran = testbed.run(&[&["collect", "--out", dir], &args[..]].concat());
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    let recorded = testbed.run(&["audit", "--format", "json", "--evidence", dir]);
    assert_eq!(recorded.code, live.code);
    // Each ssh session adds sockets, also in TIME-WAIT, and name servers rotate their
    // answers.
    let comparable = |text: &str| {
        let mut report: Value = serde_json::from_str(text).unwrap();
        report["other_connections"] = json!(0);
        report["tool"]["time"] = json!(null);
        remove_commands(&mut report["findings"]);
        report["nodes"].as_array_mut().unwrap().iter_mut().for_each(|node| node["sockets"] = json!(0));
        for answer in report["dns"].as_array_mut().unwrap() {
            answer["addresses"].as_array_mut().unwrap().sort_by_key(ToString::to_string);
        }
        // What neither of the two has is described by its source.
        for one in report["not_judged"].as_array_mut().unwrap() {
            if one["what"].as_str().unwrap().starts_with("kubernetes/") {
                one["detail"] = json!(null);
                one["hint"] = json!(null);
            }
        }
        report
    };
    assert_eq!(comparable(&recorded.stdout), comparable(&live.stdout));
    // Only the run that read the nodes knows the login.
    assert!(live.stdout.contains("ssh -t -l ec2-user 192.168.10.10 sudo"), "{}", live.stdout);
    assert!(recorded.stdout.contains("ssh -t n1 sudo"), "{}", recorded.stdout);
    for missing in ["n2", "route-tables.json"] {
        assert!(ran.stderr.contains(missing), "missing in the messages: {}", ran.stderr);
    }
    // It is not mixed with the evidence of another run.
    let again = testbed.run(&["collect", "--out", dir]);
    assert_eq!(again.code, 2);
    assert!(again.stderr.contains("is not empty"), "{}", again.stderr);
}

#[test]
fn a_blocked_endpoint_is_reported_as_hanging() {
    let testbed = testbed(Access::Public);
    testbed.dial(PUBLIC);
    let n1 = testbed.lab.node(0);
    let (from, to) = (IpAddr::V4(n1.address()), IpAddr::V4(PUBLIC[0]));
    testbed.lab.block(from, to).unwrap();
    n1.dial_nonblocking("kubelet", (PUBLIC[0], 443)).unwrap();
    let (report, _) = testbed.audit(&[]);
    testbed.lab.unblock(from, to).unwrap();
    assert!(rules(&report).contains(&"endpoint-connection-hanging"), "{report:#}");
}
