//! The nodes of a cluster that AWS lists, read by a scripted ssh.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::{Aws, gap, text};
use crate::common::scratch;

/// A directory with an `ssh` whose node prints these lines below the headings of `ss`.
fn fake_ssh(lines: &str) -> tempfile::TempDir {
    let dir = scratch();
    let ssh = dir.path().join("ssh");
    let script = format!(
        r#"#!/bin/sh
IFS= read -r marker
echo "$marker ss"
echo "State Recv-Q Send-Q Local Address:Port Peer Address:Port Process"
echo '{lines}'
echo "$marker end 0"
IFS= read -r host
echo "$marker dns"
echo "192.168.1.55 STREAM"
echo "$marker end 0"
"#
    );
    std::fs::write(&ssh, script).unwrap();
    std::fs::set_permissions(&ssh, std::fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

fn path_with(dir: &tempfile::TempDir) -> String {
    format!("{}:/usr/bin:/bin", dir.path().display())
}

#[test]
fn rejected_lines_of_nodes_are_listed_on_request() {
    let aws = Aws::of("private-only");
    let ssh = fake_ssh("Warning: neither a socket");
    let expected = "node n1, line 2: ";
    let run = |command: &str, args: &[&str]| {
        let run = aws.run(command).env("PATH", &path_with(&ssh)).args(&["--node", "n1=a", "--timeout", "5"]);
        run.args(args).run().stderr
    };
    let out = scratch();
    let dir = |name: &str| out.path().join(name).to_str().unwrap().to_owned();
    for (command, args) in [("collect", vec!["--out".to_owned(), dir("v")]), ("audit", vec![])] {
        let args: Vec<_> = args.iter().map(String::as_str).chain(["-v"]).collect();
        let stderr = run(command, &args);
        assert!(stderr.contains(expected) && stderr.contains(": Warning: neither a socket"), "{stderr}");
    }
    assert!(!run("collect", &["--out", &dir("quiet")]).contains(expected));
}

/// Nodes that fail for the same reason are one line, and it is said that none was read.
#[test]
fn collect_says_that_no_node_was_read_and_why() {
    let aws = Aws::of("private-only");
    let home = scratch();
    let ssh = home.path().join("ssh");
    std::fs::write(&ssh, "#!/bin/sh\necho 'me@host: Permission denied (publickey).' >&2\nexit 255\n")
        .unwrap();
    std::fs::set_permissions(&ssh, std::fs::Permissions::from_mode(0o755)).unwrap();
    let dir = home.path().join("evidence");
    let nodes = ["--node", "n1=a", "--node", "n2=b", "--node", "n3=c"];
    let collect = aws.run("collect").env("PATH", &path_with(&home)).args(&nodes);
    let ran = collect.args(&["--timeout", "5", "--out"]).arg(&dir).run();
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("\n  none of the 3 nodes was read\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("\n  3 nodes (n1, n2, n3): it accepted none of your keys"), "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("Permission denied").count(), 1, "{}", ran.stderr);
}

/// The nodes of a cluster carry one of several tags, or none where EKS operates them.
#[test]
fn nodes_are_found_by_each_tag_and_by_their_operator() {
    let aws = Aws::of("private-only");
    let tags = |key: &str, value: &str| json!([{"Key": key, "Value": value}]);
    let eks = json!({"Managed": true, "Principal": "eks.amazonaws.com"});
    let other = json!({"Managed": true, "Principal": "workspaces.amazonaws.com"});
    aws.0.update_account(|account| {
        let subnet = account.clusters["myeks"]["resourcesVpcConfig"]["subnetIds"][0].clone();
        let elsewhere = json!("subnet-0000000000000000f");
        let model = account.reservations[0].clone();
        account.reservations.clear();
        for (number, (tags, operator, subnet)) in [
            (tags("kubernetes.io/cluster/myeks", "owned"), None, &subnet),
            (tags("kubernetes.io/cluster/myeks", ""), None, &subnet),
            (tags("kubernetes.io/cluster/myeks", "true"), None, &subnet),
            (tags("eks:cluster-name", "myeks"), None, &subnet),
            (tags("eks:eks-cluster-name", "myeks"), Some(&eks), &subnet),
            (tags("Name", "web"), Some(&eks), &subnet),
            // These are not nodes of the cluster.
            (tags("eks:eks-cluster-name", "other"), Some(&eks), &subnet),
            (tags("kubernetes.io/cluster/myeks-2", "owned"), None, &subnet),
            (tags("Name", "web"), Some(&eks), &elsewhere),
            (tags("Name", "web"), Some(&other), &subnet),
            (tags("Name", "web"), None, &subnet),
        ]
        .into_iter()
        .enumerate()
        {
            let mut reservation = model.clone();
            let instance = &mut reservation["Instances"][0];
            instance["InstanceId"] = json!(format!("i-{number:017}"));
            instance["PrivateDnsName"] = json!(format!("n{number}"));
            instance["SubnetId"] = subnet.clone();
            instance["Tags"] = tags;
            if let Some(operator) = operator {
                instance["Operator"] = operator.clone();
            }
            account.reservations.push(reservation);
        }
    });
    let (home, out) = (fake_ssh(""), scratch());
    let dir = out.path().join("evidence");
    let collect = aws.run("collect").env("PATH", &path_with(&home));
    let ran = collect.args(&["--timeout", "5", "--out"]).arg(&dir).run();
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    let recorded = std::fs::read_to_string(dir.join("instances.json")).unwrap();
    let recorded: Value = serde_json::from_str(&recorded).unwrap();
    let instances = recorded["Reservations"].as_array().unwrap().iter();
    let ids: Vec<_> = instances.map(|reservation| &reservation["Instances"][0]["InstanceId"]).collect();
    assert_eq!(
        ids.into_iter().map(text).collect::<Vec<_>>(),
        (0..6).map(|number| format!("i-{number:017}")).collect::<Vec<_>>()
    );
    assert_eq!(recorded["Reservations"][5]["Instances"][0]["Operator"], eks);
    let manifest = std::fs::read_to_string(dir.join("manifest.json")).unwrap();
    for node in ["node n4", "node n5"] {
        let manifest: Value = serde_json::from_str(&manifest).unwrap();
        let gap = gap(&manifest, node).unwrap_or_else(|| panic!("{node}: {manifest:#}"));
        assert_eq!(gap["why"], "not-supported", "{gap}");
        assert!(text(&gap["hint"]).contains("debug pod"), "{gap}");
    }
}

#[test]
fn skipped_nodes_are_a_gap_and_the_rest_is_judged() {
    let aws = Aws::of("study-public");
    let (report, code) = aws.audit().json();
    assert_eq!(code, 1);
    assert_eq!(gap(&report, "nodes").unwrap()["why"], "not-asked");
    assert_eq!(report["findings"][0]["rule"], "public-endpoint-open");
    assert!(aws.operations().contains("DescribeInstances"));
}

/// EKS Auto Mode nodes do not accept ssh, so it is not attempted.
#[test]
fn auto_mode_nodes_are_reported_as_not_supported() {
    let aws = Aws::of("private-only");
    aws.0.update_account(|account| {
        for reservation in &mut account.reservations {
            reservation["Instances"][0]["Operator"] =
                json!({"Managed": true, "Principal": "eks.amazonaws.com"});
        }
    });
    let (report, code) = aws.run("audit").args(&["--timeout", "3"]).json();
    assert_eq!(code, 3);
    let nodes: Vec<_> =
        report["nodes"].as_array().unwrap().iter().map(|node| text(&node["status"])).collect();
    assert_eq!(nodes, ["not-supported", "not-supported"], "{report:#}");
    assert!(report["gaps"].to_string().contains("EKS Auto Mode runs it"));
    assert!(report["gaps"].to_string().contains("--evidence"));
}
