//! Evidence that is refused.

use std::fs;
use std::path::Path;

use super::{assert_refused, with_file};
use crate::common::{Netcheck, scratch, story};

#[test]
fn a_missing_directory_is_refused() {
    assert_refused(
        &Netcheck::audit(Path::new("/nonexistent/dir")).run(),
        &["/nonexistent/dir", "No such file"],
    );
}

#[test]
fn a_file_instead_of_a_directory_is_refused() {
    let file = story("study-public").join("cluster.json");
    assert_refused(
        &Netcheck::audit(&file).run(),
        &["cluster.json is a file", "--evidence expects the directory"],
    );
}

#[test]
fn a_missing_cluster_json_is_refused() {
    assert_refused(
        &Netcheck::audit(scratch().path()).run(),
        &["no cluster.json", "aws eks describe-cluster --name myeks"],
    );
}

#[test]
fn evidence_of_another_cluster_is_nothing_to_judge() {
    // Names are case-sensitive.
    for name in ["other", "MYEKS"] {
        let dir = scratch();
        let file = dir.path().join("report.json");
        let ran = Netcheck::new(["audit", "--cluster", name, "--evidence"]).arg(story("study-public"));
        let ran = ran.arg("--write").arg(format!("json={}", file.display())).run();
        assert_eq!((ran.code, ran.stdout.as_str()), (4, ""), "{}", ran.stderr);
        for part in [
            "error: nothing to judge: ",
            "cluster.json",
            "\"myeks\"",
            &format!("{name:?}"),
            "pass --cluster myeks, or the evidence of",
        ] {
            assert!(ran.stderr.contains(part), "no {part}: {}", ran.stderr);
        }
        // Files are written whole.
        let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!(report["verdict"], "inconclusive", "{report}");
        assert!(report["gaps"].to_string().contains("describes the cluster"), "{report}");
    }
}

#[test]
fn malformed_json_is_refused_with_its_position() {
    assert_refused(&with_file("cluster.json", b""), &["cluster.json: empty"]);
    assert_refused(
        &with_file("cluster.json", b"{\n  \"cluster\": {\n"),
        &["cluster.json: line 3, column 0", "EOF"],
    );
    assert_refused(
        &with_file("cluster.json", b"<html>Sign in</html>"),
        &["cluster.json: line 1, column 1", "aws CLI", "--output json"],
    );
    assert_refused(
        &with_file("network-interfaces.json", b"{}"),
        &["network-interfaces.json: line 1, column 2", "NetworkInterfaces"],
    );
    assert_refused(
        &with_file("network-interfaces.json", b"{\"NetworkInterfaces\": [\n{\"NetworkInterfaceId\": \"eni-1\", \"PrivateIpAddress\": \"1.2.3\"}]}"),
        &["network-interfaces.json: line 2, column", "NetworkInterfaces[0].PrivateIpAddress"],
    );
    assert_refused(
        &with_file("network-interfaces.json", b"{\"NetworkInterfaces\": [], \"NextToken\": \"x\"}"),
        &["network-interfaces.json: NextToken", "--max-items"],
    );
    assert_refused(&with_file("cluster.json", b"{\"cluster\": {\"name\": \"\"}}"), &["cluster.name: empty"]);
    assert_refused(&with_file("vpc.json", b"[]"), &["vpc.json: line 1", "leave out --query"]);
    assert_refused(&with_file("manifest.json", b"{\"gaps\": 1}"), &["manifest.json: line 1", "gaps"]);
}

#[test]
fn truncated_json_is_refused_with_its_file() {
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
        assert_refused(&with_file(file, &whole[..whole.len() / 2]), &[file, "line ", "EOF"]);
    }
}

#[test]
fn impossible_cluster_settings_are_refused() {
    let text = fs::read_to_string(story("study-public").join("cluster.json")).unwrap();
    let neither = text.replace("\"endpointPublicAccess\": true", "\"endpointPublicAccess\": false");
    assert_ne!(neither, text);
    assert_refused(&with_file("cluster.json", neither.as_bytes()), &["endpointPublicAccess", "both false"]);
    let cidr = text.replace("\"0.0.0.0/0\"", "\"everyone\"");
    assert_refused(
        &with_file("cluster.json", cidr.as_bytes()),
        &["cluster.json: line ", "publicAccessCidrs[0]"],
    );
}

#[test]
fn node_names_that_escape_the_directory_are_refused() {
    assert_refused(
        &with_file("nodes.txt", b">> node ../../etc/passwd <<\nESTAB 0 0 1.1.1.1:1 2.2.2.2:443\n"),
        &["nodes.txt: line 1", "../../etc/passwd", "is not a node name"],
    );
    assert_refused(
        &with_file("nodes.txt", b">> node -oProxyCommand=x <<\n"),
        &["nodes.txt: line 1", "-oProxyCommand=x"],
    );
    assert_refused(&with_file("nodes/a b.txt", b""), &["a b.txt is not named after a node"]);
    // The evidence of a node with this name would be taken for that of this machine.
    for file in ["nodes/here.txt", "nodes/HERE.txt", "dns/Here.txt", "probe/HERE.json"] {
        assert_refused(&with_file(file, b""), &["is not named after a node", "the name here is reserved"]);
    }
    assert_refused(
        &with_file("nodes.txt", b">> node here <<\nESTAB 0 0 192.168.1.20:1 3.39.55.189:443\n"),
        &["nodes.txt: line 1", "the name here is reserved"],
    );
    assert_refused(
        &with_file("manifest.json", b"{\"gaps\": [{\"what\": \"node ../x\", \"why\": \"unreachable\"}]}"),
        &["manifest.json", "../x"],
    );
}

#[test]
fn rows_of_an_ambiguous_node_are_refused() {
    assert_refused(
        &with_file("nodes.txt", b"ESTAB 0 0 1.1.1.1:1 2.2.2.2:443\n>> node n9 <<\n"),
        &["nodes.txt", "precedes the first `>> node NAME <<` line"],
    );
    assert_refused(&with_file("nodes.txt", b"nothing\n"), &["nodes.txt", "no `>> node NAME <<` line"]);
    assert_refused(
        &with_file("nodes.txt", b">> node n1 <<\nESTAB 0 0 1.1.1.1:1 2.2.2.2:443\n"),
        &["nodes/n1.txt", "both contain node n1"],
    );
}
