//! Evidence that is wrong: exit 2, one message that names the object and the
//! next step, and nothing on standard output.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::common::{Netcheck, Ran, copy_of, scratch, story};

fn refused(ran: &Ran, says: &[&str]) {
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert_eq!(ran.stdout, "");
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
    for text in says {
        assert!(ran.stderr.contains(text), "{text:?} is not in {}", ran.stderr);
    }
}

/// A story in which one file holds something else.
fn with_file(file: &str, text: &[u8]) -> Ran {
    let copy = copy_of("study-public");
    let path = copy.path().join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    Netcheck::audit(copy.path()).run()
}

#[test]
fn no_such_directory() {
    refused(&Netcheck::audit(Path::new("/nonexistent/dir")).run(), &["/nonexistent/dir", "No such file"]);
}

#[test]
fn a_directory_that_is_a_file() {
    let file = story("study-public").join("cluster.json");
    refused(&Netcheck::audit(&file).run(), &["cluster.json is a file", "--evidence takes the directory"]);
}

#[test]
fn a_missing_cluster_json() {
    refused(
        &Netcheck::audit(scratch().path()).run(),
        &["no cluster.json", "aws eks describe-cluster --name myeks"],
    );
}

#[test]
fn another_cluster() {
    let ran = Netcheck::new(["audit", "--cluster", "other", "--evidence"]).arg(story("study-public")).run();
    refused(&ran, &["cluster.json", "\"myeks\"", "\"other\"", "--cluster"]);
    // Names are case-sensitive.
    let ran = Netcheck::new(["audit", "--cluster", "MYEKS", "--evidence"]).arg(story("study-public")).run();
    refused(&ran, &["\"myeks\"", "\"MYEKS\""]);
}

#[test]
fn json_that_is_none_says_where() {
    refused(&with_file("cluster.json", b""), &["cluster.json: empty"]);
    refused(&with_file("cluster.json", b"{\n  \"cluster\": {\n"), &["cluster.json: line 3, column 0", "EOF"]);
    refused(&with_file("cluster.json", b"<html>Sign in</html>"), &["cluster.json: line 1, column 1"]);
    refused(
        &with_file("network-interfaces.json", b"{}"),
        &["network-interfaces.json: line 1, column 2", "NetworkInterfaces"],
    );
    refused(
        &with_file("network-interfaces.json", b"{\"NetworkInterfaces\": [\n{\"NetworkInterfaceId\": \"eni-1\", \"PrivateIpAddress\": \"1.2.3\"}]}"),
        &["network-interfaces.json: line 2, column", "NetworkInterfaces[0].PrivateIpAddress"],
    );
    refused(
        &with_file("network-interfaces.json", b"{\"NetworkInterfaces\": [], \"NextToken\": \"x\"}"),
        &["network-interfaces.json: NextToken", "--max-items"],
    );
    refused(&with_file("cluster.json", b"{\"cluster\": {\"name\": \"\"}}"), &["cluster.name: empty"]);
    refused(&with_file("vpc.json", b"[]"), &["vpc.json: line 1"]);
    refused(&with_file("manifest.json", b"{\"gaps\": 1}"), &["manifest.json: line 1", "gaps"]);
}

#[test]
fn every_json_file_cut_short_is_refused_by_name() {
    for file in [
        "cluster.json",
        "network-interfaces.json",
        "instances.json",
        "vpc.json",
        "subnets.json",
        "dhcp-options.json",
        "nat-gateways.json",
        "route-tables.json",
        "security-groups.json",
    ] {
        let whole = fs::read(story("study-public").join(file)).unwrap();
        refused(&with_file(file, &whole[..whole.len() / 2]), &[file, "line ", "EOF"]);
    }
}

#[test]
fn what_eks_never_says() {
    let text = fs::read_to_string(story("study-public").join("cluster.json")).unwrap();
    let neither = text.replace("\"endpointPublicAccess\": true", "\"endpointPublicAccess\": false");
    assert_ne!(neither, text);
    refused(&with_file("cluster.json", neither.as_bytes()), &["endpointPublicAccess", "both false"]);
    let cidr = text.replace("\"0.0.0.0/0\"", "\"everyone\"");
    refused(&with_file("cluster.json", cidr.as_bytes()), &["cluster.json: line ", "publicAccessCidrs[0]"]);
}

#[test]
fn names_that_leave_the_directory() {
    refused(
        &with_file("nodes.txt", b">> node ../../etc/passwd <<\nESTAB 0 0 1.1.1.1:1 2.2.2.2:443\n"),
        &["nodes.txt: line 1", "../../etc/passwd", "names no node"],
    );
    refused(
        &with_file("nodes.txt", b">> node -oProxyCommand=x <<\n"),
        &["nodes.txt: line 1", "-oProxyCommand=x"],
    );
    refused(&with_file("nodes/a b.txt", b""), &["a b.txt names no node"]);
    refused(
        &with_file("manifest.json", b"{\"gaps\": [{\"what\": \"node ../x\", \"why\": \"unreachable\"}]}"),
        &["manifest.json", "../x"],
    );
}

#[test]
fn rows_of_nobody_knows_which_node() {
    refused(
        &with_file("nodes.txt", b"ESTAB 0 0 1.1.1.1:1 2.2.2.2:443\n>> node n9 <<\n"),
        &["nodes.txt", "above the first `>> node NAME <<`"],
    );
    refused(&with_file("nodes.txt", b"nothing\n"), &["nodes.txt", "no `>> node NAME <<` line"]);
    refused(
        &with_file("nodes.txt", b">> node n1 <<\nESTAB 0 0 1.1.1.1:1 2.2.2.2:443\n"),
        &["nodes/n1.txt", "both hold node n1"],
    );
}

#[test]
fn files_that_are_no_captures() {
    refused(&with_file("nodes/n3.log", b""), &["n3.log is not named NAME.txt"]);
    refused(&with_file("dns/here.json", b""), &["here.json is not named NAME.txt"]);
}

#[test]
fn links_that_lead_nowhere_or_to_no_file() {
    let copy = copy_of("study-public");
    symlink("nodes", copy.path().join("loop")).unwrap();
    fs::remove_dir_all(copy.path().join("nodes")).unwrap();
    symlink("loop", copy.path().join("nodes")).unwrap();
    refused(&Netcheck::audit(copy.path()).run(), &["nodes", "symbolic link"]);

    let copy = copy_of("study-public");
    fs::remove_file(copy.path().join("vpc.json")).unwrap();
    symlink("/nonexistent", copy.path().join("vpc.json")).unwrap();
    refused(&Netcheck::audit(copy.path()).run(), &["vpc.json is a link to nothing"]);

    for (target, says) in [("/dev/zero", "not a regular file"), ("/nonexistent", "a link to nothing")] {
        let copy = copy_of("study-public");
        symlink(target, copy.path().join("nodes/n3.txt")).unwrap();
        refused(&Netcheck::audit(copy.path()).run(), &["nodes/n3.txt", says]);
    }
}

#[test]
fn files_that_may_not_be_read() {
    let copy = copy_of("study-public");
    let path = copy.path().join("vpc.json");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    // Root reads everything.
    if fs::read(&path).is_err() {
        refused(&Netcheck::audit(copy.path()).run(), &["vpc.json", "Permission denied"]);
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    refused(&Netcheck::audit(copy.path()).run(), &["vpc.json is not a regular file"]);
}

/// Trouble with one node is a gap, not the end.
#[test]
fn a_node_that_gave_no_sockets_is_a_gap() {
    for (text, status, says) in [
        (&b""[..], "malformed", "empty"),
        (b"ssh: connect to host n3 port 22: Connection timed out\n", "malformed", "Connection timed out"),
        (b"sudo: a password is required\n", "malformed", "a password is required"),
        (b"\xff\xfeE\0S\0T\0A\0B\0\r\0\n\0", "malformed", "UTF-16"),
        (b"ESTAB 0 0 1.1.1.1:1 2.2.2.2:443\n", "no-process-names", "no row of its capture names a process"),
    ] {
        let copy = copy_of("private-only");
        fs::write(copy.path().join("nodes/n3.txt"), text).unwrap();
        let (report, code) = Netcheck::audit(copy.path()).json();
        assert_eq!(code, 3, "{says}");
        assert_eq!(report["verdict"], "inconclusive");
        let nodes = report["nodes"].as_array().unwrap();
        assert_eq!(nodes.iter().find(|node| node["name"] == "n3").unwrap()["status"], status);
        let gap = report["gaps"].as_array().unwrap().iter().find(|gap| gap["what"] == "node n3").unwrap();
        assert!(gap["detail"].as_str().unwrap().contains(says), "{gap}");
        assert!(!gap["hint"].as_str().unwrap().is_empty());
    }
}

/// A node may have more than one trouble, and none of them hides another.
#[test]
fn every_trouble_of_a_node_is_told() {
    let copy = copy_of("private-only");
    let rows = "ESTAB 0 0 192.168.1.20:10250 192.168.1.55:5\nESTAB 0 0 192.168.1.20:10250 198.51.\n";
    fs::write(copy.path().join("nodes/n1.txt"), rows).unwrap();
    let manifest =
        r#"{"gaps": [{"what": "node n1", "why": "incomplete", "detail": "ssh ended after 2 lines"}]}"#;
    fs::write(copy.path().join("manifest.json"), manifest).unwrap();
    let (report, _) = Netcheck::audit(copy.path()).json();
    let gaps = report["gaps"].as_array().unwrap().iter().filter(|gap| gap["what"] == "node n1");
    let gaps: Vec<_> = gaps.collect();
    for says in ["names a process", "1 socket of its capture cannot be read", "ssh ended after 2 lines"] {
        let gap = gaps.iter().find(|gap| gap["detail"].as_str().unwrap().contains(says));
        // Names apart, what is missing is missing for rules about addresses too.
        let rules = gap.unwrap_or_else(|| panic!("{says}: {gaps:?}"))["rules"].to_string();
        assert_eq!(rules.contains("unexpected-kubelet-client"), says != "names a process", "{says}: {rules}");
    }
}

/// A process can put a line feed into its name: that forges no other node.
#[test]
fn a_marker_inside_a_single_capture_moves_no_rows() {
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
    assert!(gaps.contains("the marker of another node"), "{gaps}");
}

/// What `collect` could not get is told in its own words.
#[test]
fn a_manifest_says_why_something_is_missing() {
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

/// A cluster that cannot be judged says why.
#[test]
fn clusters_without_an_endpoint() {
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

/// EC2 lists no hybrid node, so that reading all it lists is not reading all.
#[test]
fn a_cluster_that_takes_hybrid_nodes_has_nodes_that_ec2_does_not_list() {
    let text = fs::read_to_string(story("private-only").join("cluster.json")).unwrap();
    let mut cluster: serde_json::Value = serde_json::from_str(&text).unwrap();
    let networks = serde_json::json!({"remoteNodeNetworks": [{"cidrs": ["10.80.0.0/16"]}]});
    cluster["cluster"]["remoteNetworkConfig"] = networks;
    let copy = copy_of("private-only");
    fs::write(copy.path().join("cluster.json"), cluster.to_string()).unwrap();
    let (report, code) = Netcheck::audit(copy.path()).json();
    assert_eq!(code, 3, "{report:#}");
    assert_eq!(report["gaps"][0]["what"], "hybrid nodes");
    // One that was read elsewhere is one of them.
    let hybrid =
        fs::read_to_string(copy.path().join("nodes/n1.txt")).unwrap().replace("192.168.1.20", "10.80.0.7");
    fs::write(copy.path().join("nodes/h1.txt"), hybrid).unwrap();
    let (report, _) = Netcheck::audit(copy.path()).json();
    assert!(!report["gaps"].to_string().contains("hybrid nodes"), "{report:#}");
}
