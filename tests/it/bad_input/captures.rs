//! What is wrong with the capture of a node is a gap.

use std::fs;

use crate::common::{Netcheck, copy_of, story};

#[test]
fn an_unusable_capture_is_a_gap() {
    for (text, status, detail) in [
        (&b""[..], "malformed", "empty"),
        (b"ssh: connect to host n3 port 22: Connection timed out\n", "malformed", "Connection timed out"),
        (b"sudo: a password is required\n", "malformed", "a password is required"),
        (b"\xff\xfeE\0S\0T\0A\0B\0\r\0\n\0", "malformed", "UTF-16"),
        (b"ESTAB 0 0 1.1.1.1:1 2.2.2.2:443\n", "no-process-names", "no row of its capture lists a process"),
    ] {
        let copy = copy_of("private-only");
        fs::write(copy.path().join("nodes/n3.txt"), text).unwrap();
        let (report, code) = Netcheck::audit(copy.path()).json();
        assert_eq!(code, 3, "{detail}");
        assert_eq!(report["verdict"], "inconclusive");
        let nodes = report["nodes"].as_array().unwrap();
        assert_eq!(nodes.iter().find(|node| node["name"] == "n3").unwrap()["status"], status);
        let gap = report["gaps"].as_array().unwrap().iter().find(|gap| gap["what"] == "node n3").unwrap();
        assert!(gap["detail"].as_str().unwrap().contains(detail), "{gap}");
        assert!(!gap["hint"].as_str().unwrap().is_empty());
    }
}

#[test]
fn all_gaps_of_a_node_are_reported() {
    let copy = copy_of("private-only");
    let rows = "ESTAB 0 0 192.168.1.20:10250 192.168.1.55:5\nESTAB 0 0 192.168.1.20:10250 198.51.\n";
    fs::write(copy.path().join("nodes/n1.txt"), rows).unwrap();
    let manifest =
        r#"{"gaps": [{"what": "node n1", "why": "incomplete", "detail": "ssh ended after 2 lines"}]}"#;
    fs::write(copy.path().join("manifest.json"), manifest).unwrap();
    let (report, _) = Netcheck::audit(copy.path()).json();
    let gaps = report["gaps"].as_array().unwrap().iter().filter(|gap| gap["what"] == "node n1");
    let gaps: Vec<_> = gaps.collect();
    for detail in ["lists a process", "1 socket of its capture cannot be parsed", "ssh ended after 2 lines"] {
        let gap = gaps.iter().find(|gap| gap["detail"].as_str().unwrap().contains(detail));
        // Missing process names do not affect rules about addresses; missing rows do.
        let rules = gap.unwrap_or_else(|| panic!("{detail}: {gaps:?}"))["rules"].to_string();
        assert_eq!(
            rules.contains("unexpected-kubelet-client"),
            detail != "lists a process",
            "{detail}: {rules}"
        );
    }
}

/// A process name can contain a line feed and so forge a node marker.
#[test]
fn a_node_marker_in_a_nodes_own_file_moves_no_rows() {
    let copy = copy_of("private-only");
    let path = copy.path().join("nodes/n1.txt");
    let mut text = fs::read_to_string(&path).unwrap();
    text.push_str(
        ">> node n2 <<\nESTAB 0 0 192.168.1.20:50000 3.39.55.189:443 users:((\"kubelet\",pid=1,fd=3))\n",
    );
    fs::write(&path, text).unwrap();
    let (report, code) = Netcheck::audit(copy.path()).json();
    assert_eq!(code, 3);
    let rows = report["connections"].as_array().unwrap().iter();
    let moved: Vec<_> = rows.filter(|row| row["peer"] == "3.39.55.189:443").collect();
    assert_eq!(moved.len(), 1);
    assert_eq!(moved[0]["node"], "n1");
    let gaps = report["gaps"].to_string();
    assert!(gaps.contains("the marker line of another node"), "{gaps}");
}

/// Nodes of Auto Mode and Bottlerocket accept no login, so that ssh is no next step.
#[test]
fn a_node_that_accepts_no_login_is_not_to_be_captured_by_ssh() {
    let text = fs::read_to_string(story("private-only").join("instances.json")).unwrap();
    let mut instances: serde_json::Value = serde_json::from_str(&text).unwrap();
    let nodes = instances["Reservations"].as_array_mut().unwrap().iter_mut();
    let mut nodes = nodes.flat_map(|reservation| reservation["Instances"].as_array_mut().unwrap());
    let n2 = nodes.find(|instance| instance["PrivateIpAddress"] == "192.168.2.94").unwrap();
    let id = n2["InstanceId"].as_str().unwrap().to_owned();
    n2["Tags"] = serde_json::json!([{"Key": "eks:eks-cluster-name", "Value": "myeks"}]);
    let kubernetes = |image: &str, compute: &str| {
        serde_json::json!({"kind": "List", "items": [{
            "kind": "Node",
            "metadata": {"name": "n2", "labels": {"eks.amazonaws.com/compute-type": compute}},
            "spec": {"providerID": format!("aws:///ap-northeast-2a/{id}")},
            "status": {"nodeInfo": {"osImage": image}},
        }]})
    };
    let linux = "Amazon Linux 2023.8.20250818";
    for (auto_mode, nodes, by_ssh) in [
        (None, None, true),
        (None, Some(kubernetes(linux, "")), true),
        (Some(&instances), None, false),
        (None, Some(kubernetes(linux, "auto")), false),
        (None, Some(kubernetes("Bottlerocket OS 1.44.0 (aws-k8s-1.33)", "")), false),
    ] {
        let copy = copy_of("private-only");
        fs::remove_file(copy.path().join("nodes/n2.txt")).unwrap();
        if let Some(instances) = auto_mode {
            fs::write(copy.path().join("instances.json"), instances.to_string()).unwrap();
        }
        if let Some(nodes) = nodes {
            fs::create_dir(copy.path().join("kubernetes")).unwrap();
            fs::write(copy.path().join("kubernetes/nodes.json"), nodes.to_string()).unwrap();
        }
        let (report, _) = Netcheck::audit(copy.path()).json();
        let gap = report["gaps"].as_array().unwrap().iter().find(|gap| gap["what"] == format!("node {id}"));
        let gap = gap.unwrap_or_else(|| panic!("{report:#}"));
        let hint = gap["hint"].as_str().unwrap();
        assert_eq!((hint.contains("ssh"), hint.contains("debug pod")), (by_ssh, !by_ssh), "{gap}");
    }
}

/// A manifest may name what is incomplete by its file, as `docs/evidence.md` does.
#[test]
fn a_capture_that_the_manifest_calls_incomplete_is_incomplete_by_any_name() {
    for (what, code) in [
        ("node n1", 3),
        ("nodes/n1.txt", 3),
        ("nodes/n1.tar.gz", 3),
        ("nodes.txt", 3),
        ("instances.json", 3),
        ("nodes/-x.txt", 2),
    ] {
        let copy = crate::common::copy_of("private-only");
        let manifest = serde_json::json!({"gaps": [{"what": what, "why": "incomplete", "detail": "the first 100 lines only"}]});
        std::fs::write(copy.path().join("manifest.json"), manifest.to_string()).unwrap();
        let ran = crate::common::Netcheck::audit(copy.path()).run();
        assert_eq!(ran.code, code, "{what}: {}{}", ran.stdout, ran.stderr);
        assert_eq!(ran.stdout.contains("the first 100 lines only"), code == 3, "{what}: {}", ran.stdout);
    }
}
