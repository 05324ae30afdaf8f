//! Malformed evidence: exit code 2, one message that names the object and the
//! next step, and no output. What is wrong with one node alone is a gap.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::common::{Netcheck, Ran, copy_of, scratch, story};

/// Checks that a run was refused with a message that contains all of `expected`.
fn assert_refused(ran: &Ran, expected: &[&str]) {
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert_eq!(ran.stdout, "");
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
    for text in expected {
        assert!(ran.stderr.contains(text), "{text:?} is not in {}", ran.stderr);
    }
}

/// An audit of a story whose `file` contains `text`.
fn with_file(file: &str, text: &[u8]) -> Ran {
    let copy = copy_of("study-public");
    let path = copy.path().join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    Netcheck::audit(copy.path()).run()
}

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
            "error: there is no such cluster",
            "cluster.json",
            "\"myeks\"",
            &format!("{name:?}"),
            "pass --cluster",
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

#[test]
fn files_with_an_unexpected_extension_are_refused() {
    assert_refused(&with_file("nodes/n3.log", b""), &["n3.log is not named NAME.txt"]);
    assert_refused(&with_file("dns/here.json", b""), &["here.json is not named NAME.txt"]);
}

#[test]
fn broken_links_and_links_to_special_files_are_refused() {
    let copy = copy_of("study-public");
    symlink("nodes", copy.path().join("loop")).unwrap();
    fs::remove_dir_all(copy.path().join("nodes")).unwrap();
    symlink("loop", copy.path().join("nodes")).unwrap();
    assert_refused(&Netcheck::audit(copy.path()).run(), &["nodes", "symbolic link"]);

    let copy = copy_of("study-public");
    fs::remove_file(copy.path().join("vpc.json")).unwrap();
    symlink("/nonexistent", copy.path().join("vpc.json")).unwrap();
    assert_refused(&Netcheck::audit(copy.path()).run(), &["vpc.json is a dangling symbolic link"]);

    for (target, message) in
        [("/dev/zero", "not a regular file"), ("/nonexistent", "a dangling symbolic link")]
    {
        let copy = copy_of("study-public");
        symlink(target, copy.path().join("nodes/n3.txt")).unwrap();
        assert_refused(&Netcheck::audit(copy.path()).run(), &["nodes/n3.txt", message]);
    }
}

#[test]
fn unreadable_files_are_refused() {
    let copy = copy_of("study-public");
    let path = copy.path().join("vpc.json");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    // Root can read it regardless.
    if fs::read(&path).is_err() {
        assert_refused(&Netcheck::audit(copy.path()).run(), &["vpc.json", "Permission denied"]);
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_refused(&Netcheck::audit(copy.path()).run(), &["vpc.json is not a regular file"]);
}

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

/// Unknown files are listed, without effect on the verdict; one whose name is almost right
/// is recognised.
#[test]
fn unknown_files_are_listed() {
    let copy = crate::common::copy_of("private-only");
    let listed = || {
        let (report, code) = Netcheck::audit(copy.path()).json();
        let gaps = report["gaps"].as_array().unwrap().iter();
        let of_unknown = gaps.filter(|gap| gap["detail"].as_str().unwrap().contains("not read"));
        let texts = of_unknown
            .map(|gap| format!("{}: {}", gap["what"].as_str().unwrap(), gap["detail"].as_str().unwrap()));
        (texts.collect::<Vec<_>>(), code)
    };
    assert_eq!(listed(), (Vec::new(), 0));
    std::fs::create_dir(copy.path().join("kubernetes")).unwrap();
    for name in ["NetworkInterfaces.json", "describe-vpc.json", "kubernetes/pods.json", "notes.md", ".hidden"]
    {
        std::fs::write(copy.path().join(name), "x").unwrap();
    }
    let (texts, code) = listed();
    assert_eq!(code, 0);
    assert_eq!(
        texts,
        [
            "NetworkInterfaces.json: not read; the name of that file is network-interfaces.json",
            "describe-vpc.json: not read; the name of that file is vpc.json",
            "kubernetes/pods.json: not a file of an evidence directory, and not read",
            "notes.md: not a file of an evidence directory, and not read",
        ]
    );
    for number in 0..100 {
        std::fs::write(copy.path().join(format!("x{number}")), "x").unwrap();
    }
    assert_eq!(listed().0.len(), 11);
}

/// A link to a file or a directory outside the evidence directory is refused, one that
/// stays inside is followed.
#[test]
fn links_must_stay_inside() {
    let outside = crate::common::scratch();
    std::fs::write(outside.path().join("private"), "password=SECRET\n").unwrap();
    std::fs::create_dir(outside.path().join("dir")).unwrap();
    std::fs::write(outside.path().join("dir/n9.txt"), "password=SECRET\n").unwrap();
    for (target, link) in [
        ("private", "dns/zz.txt"),
        ("private", "nodes/zz.txt"),
        ("private", "nodes.txt"),
        ("private", "manifest.json"),
        ("private", "cluster.json"),
        ("private", "subnets.json"),
        ("dir", "dns"),
        ("dir", "nodes"),
        ("dir", "kubernetes"),
        ("dir", "probe"),
    ] {
        let copy = crate::common::copy_of("private-only");
        let path = copy.path().join(link);
        let _ = std::fs::remove_file(&path);
        let _ = std::fs::remove_dir_all(&path);
        symlink(outside.path().join(target), &path).unwrap();
        let ran = Netcheck::audit(copy.path()).run();
        assert_eq!(ran.code, 2, "{link}: {}", ran.stdout);
        assert!(ran.stderr.contains(link) && ran.stderr.contains("leads out"), "{link}: {}", ran.stderr);
        assert!(!(ran.stderr + &ran.stdout).contains("SECRET"), "{link}");
    }
    let copy = crate::common::copy_of("private-only");
    std::fs::rename(copy.path().join("nodes"), copy.path().join("captures")).unwrap();
    symlink("captures", copy.path().join("nodes")).unwrap();
    assert_eq!(Netcheck::audit(copy.path()).run().code, 0);
}

/// Files that an evidence directory may have and that are not read yet are listed.
#[test]
fn files_that_are_not_read_are_listed() {
    let copy = crate::common::copy_of("private-only");
    std::fs::write(copy.path().join("nodes/n3.tar.gz"), "x").unwrap();
    std::fs::write(copy.path().join("nodes/n1.tar.gz"), "x").unwrap();
    let (report, code) = Netcheck::audit(copy.path()).json();
    let gaps = report["gaps"].as_array().unwrap();
    let rules_of = |what: &str| {
        let gap = gaps.iter().find(|gap| gap["what"] == what).unwrap();
        gap["rules"].as_array().unwrap().len()
    };
    // n1 was captured as well.
    assert_eq!((code, gaps.len()), (3, 2), "{gaps:?}");
    assert_eq!(rules_of("nodes/n1.tar.gz"), 0);
    assert!(rules_of("node n3") > 0);
    let node = report["nodes"].as_array().unwrap().iter().find(|node| node["name"] == "n3").unwrap();
    assert_eq!(node["status"], "malformed");
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
