//! Evidence that is missing or incomplete is a gap.

use std::fs;

use crate::common::{Netcheck, copy_of, story};

#[test]
fn manifest_gaps_give_the_reason_for_missing_files() {
    let copy = copy_of("private-only");
    fs::remove_file(copy.path().join("network-interfaces.json")).unwrap();
    fs::remove_file(copy.path().join("nodes/n2.txt")).unwrap();
    let manifest = r#"{"version": "0.1.0", "gaps": [
        {"what": "network-interfaces.json", "why": "access-denied", "detail": "ec2:DescribeNetworkInterfaces is not allowed"},
        {"what": "node n2", "why": "unreachable", "detail": "timed out after 10 s"}]}"#;
    fs::write(copy.path().join("manifest.json"), manifest).unwrap();
    let (report, code) = Netcheck::audit(copy.path()).json();
    assert_eq!(code, 3);
    let nodes = report["nodes"].as_array().unwrap();
    assert_eq!(nodes.iter().find(|node| node["name"] == "n2").unwrap()["status"], "unreachable");
    let gaps = report["gaps"].as_array().unwrap();
    let why = |what: &str| gaps.iter().find(|gap| gap["what"] == what).unwrap()["why"].clone();
    assert_eq!(why("network-interfaces.json"), "access-denied");
    assert_eq!(why("node n2"), "unreachable");
}

/// The verdict and the gap about `what` of a story whose manifest says that it is incomplete.
fn with_incomplete(story: &str, what: &str) -> (i32, serde_json::Value) {
    let copy = copy_of(story);
    let gap = serde_json::json!({"what": what, "why": "incomplete", "detail": "the first page only"});
    let manifest = serde_json::json!({"gaps": [gap]}).to_string();
    fs::write(copy.path().join("manifest.json"), manifest).unwrap();
    let (report, code) = Netcheck::audit(copy.path()).json();
    let gap = report["gaps"].as_array().unwrap().iter().find(|gap| gap["what"] == what);
    (code, gap.unwrap_or_else(|| panic!("{what}: {report:#}")).clone())
}

/// What the source of the evidence calls a part is needed by the rules that read it.
#[test]
fn recorded_evidence_that_is_incomplete_is_needed_by_the_rules_that_read_it() {
    assert_eq!(Netcheck::audit(&story("private-only")).run().code, 0);
    for (what, code, rule) in [
        ("cluster.json", 3, Some("public-endpoint-open")),
        ("network-interfaces.json", 3, Some("control-plane-enis-missing")),
        ("instances.json", 3, Some("node-on-public-path")),
        ("vpc.json", 3, Some("private-dns-unavailable")),
        ("dns/here.txt", 0, None),
        ("dns", 3, Some("node-on-public-path")),
        ("nodes", 3, Some("node-on-public-path")),
        ("sockets", 3, Some("node-on-public-path")),
        // No rule reads these where private access is on and the public endpoint is off.
        ("nat-gateways.json", 0, None),
        ("route-tables.json", 0, None),
        ("AAAA records from n1", 0, None),
        ("the operator's notes", 0, None),
    ] {
        let (ended, gap) = with_incomplete("private-only", what);
        assert_eq!(ended, code, "{what}: {gap}");
        let rules = gap["rules"].as_array().unwrap();
        assert_eq!(rules.is_empty(), rule.is_none(), "{gap}");
        assert!(rule.is_none_or(|rule| rules.contains(&rule.into())), "{gap}");
    }
    // What is seen in the part stands.
    for what in ["network-interfaces.json", "instances.json", "nodes"] {
        let (ended, gap) = with_incomplete("public-and-private-stale", what);
        assert_eq!(ended, 1, "{gap}");
    }
}

/// The attributes of a VPC, put beside `Vpcs` as `describe-vpc-attribute` prints them.
#[test]
fn the_attributes_of_another_vpc_do_not_count() {
    let audit = |id: Option<&str>| {
        let copy = copy_of("private-only");
        let path = copy.path().join("vpc.json");
        let mut vpc: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(vpc["EnableDnsSupport"]["Value"], true, "the story has them beside Vpcs");
        if let Some(id) = id {
            vpc["VpcId"] = id.into();
        }
        fs::write(&path, vpc.to_string()).unwrap();
        Netcheck::audit(copy.path()).json()
    };
    let vpc = "vpc-0743da384fd1e48f4";
    assert_eq!(audit(None).1, 0);
    assert_eq!(audit(Some(vpc)).1, 0);
    let (report, code) = audit(Some("vpc-00000000000000001"));
    assert_eq!(code, 3, "{report:#}");
    let gaps = report["gaps"].as_array().unwrap();
    let gap = gaps.iter().find(|gap| gap["what"] == "vpc.json: enableDnsSupport").unwrap();
    assert_eq!(gap["rules"], serde_json::json!(["private-dns-unavailable"]));
}

#[test]
fn a_cluster_without_an_endpoint_is_inconclusive() {
    let text = fs::read_to_string(story("private-only").join("cluster.json")).unwrap();
    let mut cluster: serde_json::Value = serde_json::from_str(&text).unwrap();
    cluster["cluster"]["status"] = "CREATING".into();
    cluster["cluster"].as_object_mut().unwrap().remove("endpoint");
    let copy = copy_of("private-only");
    fs::write(copy.path().join("cluster.json"), cluster.to_string()).unwrap();
    fs::remove_dir_all(copy.path().join("nodes")).unwrap();
    fs::remove_dir_all(copy.path().join("dns")).unwrap();
    let ran = Netcheck::audit(copy.path()).run();
    assert_eq!(ran.code, 3);
    assert!(ran.stdout.contains("CREATING") && ran.stdout.contains("none yet"), "{}", ran.stdout);

    let connector = crate::common::fixtures().join("rules/public-endpoint-open/unseen");
    let ran = Netcheck::audit(&connector).run();
    assert_eq!(ran.code, 3);
    assert!(ran.stdout.contains("EKS Connector"), "{}", ran.stdout);
}

/// EC2 does not list hybrid nodes: reading every node that it lists is incomplete.
#[test]
fn unread_hybrid_nodes_are_a_gap() {
    let text = fs::read_to_string(story("private-only").join("cluster.json")).unwrap();
    let mut cluster: serde_json::Value = serde_json::from_str(&text).unwrap();
    let networks = serde_json::json!({"remoteNodeNetworks": [{"cidrs": ["10.80.0.0/16"]}]});
    cluster["cluster"]["remoteNetworkConfig"] = networks;
    let copy = copy_of("private-only");
    fs::write(copy.path().join("cluster.json"), cluster.to_string()).unwrap();
    let (report, code) = Netcheck::audit(copy.path()).json();
    assert_eq!(code, 3, "{report:#}");
    assert_eq!(report["gaps"][0]["what"], "hybrid nodes");
    // A capture from an address in the remote network is of a hybrid node.
    let hybrid =
        fs::read_to_string(copy.path().join("nodes/n1.txt")).unwrap().replace("192.168.1.20", "10.80.0.7");
    fs::write(copy.path().join("nodes/h1.txt"), hybrid).unwrap();
    let (report, _) = Netcheck::audit(copy.path()).json();
    assert!(!report["gaps"].to_string().contains("hybrid nodes"), "{report:#}");
}
