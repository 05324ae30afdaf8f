//! The path of each node's traffic: one fact, which the rule, the table and JSON agree on.

use serde_json::Value;

use crate::common::{Netcheck, copy_of, fixtures, story, subdirs};

const HEADER: &str = "State Recv-Q Send-Q Local Address:Port Peer Address:Port Process\n";

/// A story in which private access is on and n2 is private, with other sockets on n1.
fn with_n1(rows: &[(&str, &str, &str)]) -> tempfile::TempDir {
    let copy = copy_of("public-and-private-stale");
    let rows = rows.iter().enumerate().map(|(number, (state, peer, process))| {
        let port = 40000 + number;
        format!("{state} 0 0 192.168.1.20:{port} {peer} users:((\"{process}\",pid=7,fd=3))\n")
    });
    std::fs::write(copy.path().join("nodes/n1.txt"), HEADER.to_owned() + &rows.collect::<String>()).unwrap();
    copy
}

/// The path of n1 and of its components.
fn traffic_of_n1(report: &Value) -> (String, Vec<String>) {
    let nodes = report["node_traffic"].as_array().unwrap();
    let n1 = nodes.iter().find(|node| node["node"] == "n1").unwrap();
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let components = n1["components"].as_array().unwrap().iter();
    let components = components.map(|one| format!("{} {}", word(&one["component"]), word(&one["path"])));
    (word(&n1["path"]), components.collect())
}

const ENI: &str = "192.168.1.55:443";
const PUBLIC: &str = "3.39.55.189:443";
const CLUSTER_IP: &str = "10.100.0.1:443";
const UNKNOWN: &str = "198.51.100.9:443";

#[test]
fn the_path_comes_from_established_connections_alone() {
    let kubelet = ("ESTAB", ENI, "kubelet");
    for (rows, path, components, code, is_found) in [
        (vec![kubelet, ("ESTAB", ENI, "kube-proxy")], "private", ["private", "private"], 0, false),
        (vec![kubelet, ("ESTAB", CLUSTER_IP, "kube-proxy")], "private", ["private", "private"], 0, false),
        (vec![kubelet, ("ESTAB", PUBLIC, "kube-proxy")], "mixed", ["private", "public"], 1, true),
        (
            vec![("ESTAB", PUBLIC, "kubelet"), ("ESTAB", PUBLIC, "kube-proxy")],
            "public",
            ["public", "public"],
            1,
            true,
        ),
        (
            vec![kubelet, ("ESTAB", PUBLIC, "kubelet"), ("ESTAB", ENI, "kube-proxy")],
            "mixed",
            ["mixed", "private"],
            1,
            true,
        ),
        // Attempts are no path: they leave it unknown, and never pass.
        (vec![kubelet, ("SYN-SENT", PUBLIC, "kube-proxy")], "unknown", ["private", "none"], 3, false),
        (vec![kubelet, ("SYN-SENT", ENI, "kube-proxy")], "unknown", ["private", "none"], 3, false),
        (
            vec![kubelet, ("SYN-SENT", PUBLIC, "kubelet"), ("ESTAB", ENI, "kube-proxy")],
            "private",
            ["private", "private"],
            3,
            false,
        ),
        (
            vec![("SYN-SENT", ENI, "kubelet"), ("SYN-SENT", ENI, "kube-proxy")],
            "none",
            ["none", "none"],
            1,
            false,
        ),
        // A peer that nothing explains may be the API server.
        (vec![kubelet, ("ESTAB", UNKNOWN, "kube-proxy")], "unknown", ["private", "unknown"], 3, false),
        (vec![("ESTAB", PUBLIC, "kubelet")], "public", ["public", "unknown"], 1, true),
        (vec![kubelet], "unknown", ["private", "unknown"], 3, false),
        // A socket of kube-proxy that is no connection to the API server.
        (vec![kubelet, ("CLOSE-WAIT", ENI, "kube-proxy")], "unknown", ["private", "unknown"], 3, false),
        (vec![kubelet, ("LISTEN", "0.0.0.0:*", "kube-proxy")], "unknown", ["private", "unknown"], 3, false),
        (
            vec![kubelet, ("ESTAB", "192.168.1.131:443", "kube-proxy")],
            "unknown",
            ["private", "unknown"],
            3,
            false,
        ),
    ] {
        let copy = with_n1(&rows);
        let (report, exit) = Netcheck::audit(copy.path()).json();
        let [kubelet, kube_proxy] = components;
        let components = vec![format!("kubelet {kubelet}"), format!("kube-proxy {kube_proxy}")];
        assert_eq!(traffic_of_n1(&report), (path.to_owned(), components), "{rows:?}");
        assert_eq!(exit, code, "{rows:?}: {} {}", report["findings"], report["gaps"]);
        let found = report["findings"].as_array().unwrap().iter();
        let found = { found }.any(|finding| finding["rule"] == "node-on-public-path");
        assert_eq!(found, is_found, "{rows:?}");
        // The first lines of the table state the same.
        let table = Netcheck::audit(copy.path()).env("COLUMNS", "200").run().stdout;
        let head = table.split("\n\n").next().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        let expected = match path {
            "private" => "private on 2 of 2 nodes",
            "public" if kube_proxy == "unknown" => {
                "public for kubelet alone (kube-proxy: not known) on 1 of 2"
            }
            "public" => "public on 1 of 2 nodes (n1)",
            "mixed" => "partly public on 1 of 2 nodes (n1)",
            "none" => "hanging in SYN-SENT on 1 of 2 nodes",
            _ => match [kubelet, kube_proxy] {
                ["private", _] => "not known for kube-proxy on 1 of 2 nodes",
                _ => "not known on 1 of 2 nodes",
            },
        };
        assert!(head.contains(expected), "{rows:?}: {head}");
    }
}

/// In every recorded cluster with private access, a node is on the public path exactly
/// where the rule has a finding about it.
#[test]
fn the_rule_agrees_with_node_traffic() {
    let stories = subdirs(&fixtures().join("evidence")).into_iter().map(|name| story(&name));
    let rules = subdirs(&fixtures().join("rules")).into_iter().flat_map(|rule| {
        let dir = fixtures().join("rules").join(rule);
        subdirs(&dir).into_iter().map(move |case| dir.join(case))
    });
    let mut compared = 0;
    for dir in stories.chain(rules) {
        let (report, _) = Netcheck::audit(&dir).json();
        let is_private =
            matches!(report["cluster"]["access"].as_str(), Some("private" | "public-and-private"));
        for traffic in report["node_traffic"].as_array().unwrap() {
            let is_public = traffic["path"] == "public" || traffic["path"] == "mixed";
            let findings = report["findings"].as_array().unwrap().iter();
            let is_found = { findings }.any(|finding| {
                finding["rule"] == "node-on-public-path" && finding["subject"] == traffic["node"]
            });
            assert_eq!(is_found, is_private && is_public, "{}: {traffic}", dir.display());
            compared += 1;
        }
    }
    assert!(compared > 30, "{compared}");
}
