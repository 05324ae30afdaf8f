//! Recordings that were mixed up: captures under the names of other nodes, of one machine under two
//! names, and lists of another VPC.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::bundles::archive;
use crate::common::{Netcheck, copy_of, edit_json};

/// The gap of a node that is about the machine of its capture.
fn machine(report: &Value, node: &str) -> String {
    let gaps = report["gaps"].as_array().unwrap().iter();
    let mut own = gaps.filter(|gap| gap["what"] == format!("node {node}"));
    own.next().map(|gap| gap["detail"].as_str().unwrap().to_owned()).unwrap_or_default()
}

/// The nodes that findings are about.
fn nodes_with_findings(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings.filter_map(|finding| finding["subject"].as_str()).filter(|name| name.starts_with('n')).collect()
}

fn paths(report: &Value) -> Vec<(&str, &str)> {
    let traffic = report["node_traffic"].as_array().unwrap().iter();
    traffic.map(|one| (one["node"].as_str().unwrap(), one["path"].as_str().unwrap())).collect()
}

fn swap(dir: &Path) {
    let path = |name: &str| dir.join("nodes").join(name);
    fs::rename(path("n1.txt"), dir.join("n1.txt")).unwrap();
    fs::rename(path("n2.txt"), path("n1.txt")).unwrap();
    fs::rename(dir.join("n1.txt"), path("n2.txt")).unwrap();
}

/// The machine of a capture is known by its addresses: nothing is said of the node whose name the
/// file has, and no command is for it.
#[test]
fn captures_under_the_names_of_other_nodes_are_no_pass() {
    let copy = copy_of("private-only");
    swap(copy.path());
    let (report, code) = Netcheck::audit(copy.path()).json();
    assert_eq!((code, report["verdict"].as_str()), (3, Some("inconclusive")), "{report:#}");
    assert_eq!(paths(&report), [("n1", "unknown"), ("n2", "unknown")]);
    let [n1, n2] = ["n1", "n2"].map(|node| machine(&report, node));
    assert!(
        n1.contains("the sockets of n2 (i-0488858d872db36eb)") && n1.contains("i-00d7b63458527ea51"),
        "{n1}"
    );
    assert!(
        n2.contains("the sockets of n1 (i-00d7b63458527ea51)") && n2.contains("i-0488858d872db36eb"),
        "{n2}"
    );
    // What the table says of an instance is not the wrong name.
    let text = Netcheck::audit(copy.path()).run().stdout;
    assert!(!text.contains("n2 (i-00d7") && !text.contains("n1 (i-0488"), "{text}");

    let copy = copy_of("public-and-private-stale");
    let (before, _) = Netcheck::audit(copy.path()).json();
    assert_eq!(paths(&before), [("n1", "public"), ("n2", "private")]);
    swap(copy.path());
    let (report, code) = Netcheck::audit(copy.path()).json();
    assert_eq!((code, paths(&report)), (3, vec![("n1", "unknown"), ("n2", "unknown")]), "{report:#}");
    assert_eq!(nodes_with_findings(&report), [] as [&str; 0], "{report:#}");
    let mut commands = Vec::new();
    crate::steps::commands_of(&report, &mut commands);
    assert!(!commands.is_empty() && !commands.iter().any(|one| one.contains("ssh")), "{commands:#?}");
    // The sockets of the other machine do not speak for the node.
    for node in ["n1", "n2"] {
        let ran = Netcheck::new(["reach", "--evidence"]).arg(copy.path()).args(&["--from", node]).run();
        assert!(!ran.stdout.contains("as seen: kube"), "{node}: {}", ran.stdout);
    }
}

/// Logs of a node under the name of another are found as a capture is, and a second one counts for no
/// node.
#[test]
fn bundles_are_held_against_their_names_too() {
    let bundle = |from: &Path, to: &Path| {
        let capture = fs::read(from).unwrap();
        fs::write(to, archive(&[("system/netstat.txt", capture)])).unwrap();
    };
    let copy = copy_of("public-and-private-stale");
    let path = |name: &str| copy.path().join("nodes").join(name);
    bundle(&path("n1.txt"), &path("n2.tar.gz"));
    bundle(&path("n2.txt"), &path("n1.tar.gz"));
    fs::remove_file(path("n1.txt")).unwrap();
    fs::remove_file(path("n2.txt")).unwrap();
    let (report, code) = Netcheck::audit(copy.path()).json();
    assert_eq!((code, paths(&report)), (3, vec![("n1", "unknown"), ("n2", "unknown")]), "{report:#}");
    assert_eq!(nodes_with_findings(&report), [] as [&str; 0], "{report:#}");

    let copy = copy_of("public-and-private-stale");
    let path = |name: &str| copy.path().join("nodes").join(name);
    bundle(&path("n1.txt"), &path("n9.tar.gz"));
    let (report, code) = Netcheck::audit(copy.path()).json();
    assert_eq!(code, 1, "{report:#}");
    assert_eq!(nodes_with_findings(&report), ["n1"], "{report:#}");
    assert!(machine(&report, "n9").contains("of the machine of n1 (i-"), "{report:#}");
}

/// A name that is of no listed node, or of several, contradicts nothing.
#[test]
fn a_name_that_is_of_no_node_contradicts_nothing() {
    let copy = copy_of("private-only");
    let path = |name: &str| copy.path().join("nodes").join(name);
    fs::rename(path("n1.txt"), path("worker-a.txt")).unwrap();
    assert_eq!(Netcheck::audit(copy.path()).run().code, 0);
    fs::rename(path("worker-a.txt"), path("ip-192-168-1-20.txt")).unwrap();
    assert_eq!(Netcheck::audit(copy.path()).run().code, 0);
    fs::rename(path("ip-192-168-1-20.txt"), path("192.168.1.20.txt")).unwrap();
    assert_eq!(Netcheck::audit(copy.path()).run().code, 0);
    fs::rename(path("192.168.1.20.txt"), path("192.168.2.94.txt")).unwrap();
    fs::remove_file(path("n2.txt")).unwrap();
    let (report, code) = Netcheck::audit(copy.path()).json();
    assert_eq!(code, 3);
    assert!(machine(&report, "192.168.2.94").contains("the sockets of n1"), "{report:#}");
    // A node group has one tag for all.
    let copy = copy_of("private-only");
    swap(copy.path());
    edit_json(copy.path(), "instances.json", |list| {
        for reservation in list["Reservations"].as_array_mut().unwrap() {
            for instance in reservation["Instances"].as_array_mut().unwrap() {
                instance["Tags"].as_array_mut().unwrap().push(json!({"Key": "Name", "Value": "group"}));
                instance["Tags"]
                    .as_array_mut()
                    .unwrap()
                    .retain(|tag| tag["Key"] != "Name" || tag["Value"] == "group");
            }
        }
    });
    assert_eq!(Netcheck::audit(copy.path()).run().code, 0);
}

/// A copy of a capture is no second node.
#[test]
fn a_machine_counts_once_whatever_its_captures_are_named() {
    for name in ["n0", "n3"] {
        let copy = copy_of("private-only");
        let path = |name: &str| copy.path().join("nodes").join(format!("{name}.txt"));
        fs::copy(path("n1"), path(name)).unwrap();
        let (report, code) = Netcheck::audit(copy.path()).json();
        let detail = machine(&report, name);
        assert_eq!(code, 3, "{report:#}");
        assert!(detail.contains("of the machine of n1 (i-00d7b63458527ea51)"), "{detail:?} {report:#}");
        assert_eq!(machine(&report, "n1"), "");
        assert!(paths(&report).contains(&(name, "unknown")), "{report:#}");
        let text = Netcheck::audit(copy.path()).run().stdout;
        let head = format!("private on 2 of 3 nodes, not known on 1 of 3 nodes ({name})");
        assert!(text.contains(&head), "{text}");
    }
    // The name of a listed node: that one was not read.
    let copy = copy_of("private-only");
    let path = |name: &str| copy.path().join("nodes").join(name);
    fs::copy(path("n1.txt"), path("n2.txt")).unwrap();
    let (report, code) = Netcheck::audit(copy.path()).json();
    assert_eq!((code, paths(&report)), (3, vec![("n1", "private"), ("n2", "unknown")]), "{report:#}");
    assert!(machine(&report, "n2").contains("the sockets of n1 (i-00d7b63458527ea51)"), "{report:#}");
}

/// Lists of another VPC than the cluster's are of other nodes and ENIs: nothing follows from them.
#[test]
fn lists_of_another_vpc_are_not_those_of_the_cluster() {
    let copy = copy_of("private-only");
    edit_json(copy.path(), "cluster.json", |json| {
        let config = &mut json["cluster"]["resourcesVpcConfig"];
        config["vpcId"] = json!("vpc-0ffffffffffffffff");
        config["endpointPublicAccess"] = json!(true);
        config["endpointPrivateAccess"] = json!(false);
        config["publicAccessCidrs"] = json!(["203.0.113.0/24"]);
    });
    let (report, code) = Netcheck::audit(copy.path()).json();
    assert_eq!(code, 3, "{report:#}");
    let gaps = report["gaps"].as_array().unwrap();
    for (file, of) in [("instances.json", "its nodes are of"), ("network-interfaces.json", "it is of")] {
        let gap = gaps.iter().find(|gap| gap["what"] == file).unwrap_or_else(|| panic!("{file}: {gaps:#?}"));
        let detail = gap["detail"].as_str().unwrap();
        assert!(
            detail.starts_with(&format!("{of} vpc-0743da384fd1e48f4, and cluster.json is of vpc-0fff")),
            "{detail}"
        );
    }
    // No private address is the public endpoint, and no finding is made of the lists.
    let rows = report["connections"].as_array().unwrap();
    assert!(!rows.is_empty() && rows.iter().all(|row| row["path"] != "public-endpoint"), "{rows:#?}");
    assert_eq!(paths(&report), [("n1", "unknown"), ("n2", "unknown")]);
    let findings = report["findings"].as_array().unwrap().iter();
    let rules: Vec<_> = findings.map(|finding| finding["rule"].as_str().unwrap()).collect();
    assert!(!rules.contains(&"control-plane-enis-missing"), "{rules:?}");
    for from in ["n1", "192.168.1.20", "here"] {
        let ran = Netcheck::new(["reach", "--evidence"]).arg(copy.path()).args(&["--from", from]).run();
        assert_eq!(ran.code, 3, "{from}: {}", ran.stdout);
    }
    // Of several clusters' nodes and of all interfaces of an account, those of the VPC are.
    let copy = copy_of("private-only");
    edit_json(copy.path(), "instances.json", |list| {
        list["Reservations"][0]["Instances"][0]["VpcId"] = json!("vpc-0ffffffffffffffff");
    });
    assert_eq!(Netcheck::audit(copy.path()).run().code, 0);
}
