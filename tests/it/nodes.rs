//! Which nodes a cluster has, according to EC2, Kubernetes, captures and interfaces.

use std::fs;

use serde_json::{Value, json};

use crate::common::{Netcheck, copy_of, edit_json};

/// Writes `kubernetes/nodes.json` with nodes of these names, addresses and provider ids.
fn kubernetes_nodes(dir: &std::path::Path, nodes: &[(&str, &str, &str)]) {
    let item = |(name, address, provider): &(&str, &str, &str)| {
        json!({
            "metadata": {"name": name},
            "spec": {"providerID": provider},
            "status": {"addresses": [{"type": "InternalIP", "address": address}]},
        })
    };
    let list = json!({"kind": "List", "items": nodes.iter().map(item).collect::<Vec<_>>()});
    fs::create_dir_all(dir.join("kubernetes")).unwrap();
    fs::write(dir.join("kubernetes/nodes.json"), list.to_string()).unwrap();
}

fn needed_gaps(report: &Value) -> Vec<String> {
    let gaps = report["gaps"].as_array().unwrap().iter();
    let needed = gaps.filter(|gap| !gap["rules"].as_array().unwrap().is_empty());
    needed.map(|gap| gap["what"].as_str().unwrap().to_owned()).collect()
}

/// Without nodes, shown by both EC2 and Kubernetes, the rules about access decide.
#[test]
fn a_cluster_without_nodes_can_pass() {
    let copy = copy_of("private-only");
    fs::remove_dir_all(copy.path().join("nodes")).unwrap();
    edit_json(copy.path(), "instances.json", |json| json["Reservations"] = json!([]));
    // EC2 alone is no proof: hybrid nodes are not in its list.
    assert_eq!(Netcheck::audit(copy.path()).run().code, 3);
    kubernetes_nodes(copy.path(), &[]);
    let ran = Netcheck::audit(copy.path()).run();
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    assert!(ran.stdout.contains("none, according to EC2 and Kubernetes"), "{}", ran.stdout);
    // Kubernetes alone is no proof either.
    fs::remove_file(copy.path().join("instances.json")).unwrap();
    assert_eq!(Netcheck::audit(copy.path()).run().code, 3);
}

/// A node that Kubernetes lists and EC2 does not is missing until it is read.
#[test]
fn a_node_that_only_kubernetes_lists_must_be_read() {
    let copy = copy_of("private-only");
    let known = [("n1", "192.168.1.20", "aws:///a/i-1"), ("n2", "192.168.2.94", "aws:///a/i-2")];
    kubernetes_nodes(copy.path(), &known);
    assert_eq!(Netcheck::audit(copy.path()).run().code, 0);
    let hybrid = ("mi-0a1b", "10.80.0.7", "eks-hybrid:///ap-northeast-2/myeks/mi-0a1b");
    kubernetes_nodes(copy.path(), &[&known[..], &[hybrid]].concat());
    let (report, code) = Netcheck::audit(copy.path()).json();
    assert_eq!((code, needed_gaps(&report)), (3, vec!["node mi-0a1b".to_owned()]));
    let capture = fs::read_to_string(copy.path().join("nodes/n1.txt")).unwrap();
    fs::write(copy.path().join("nodes/h.txt"), capture.replace("192.168.1.20", "10.80.0.7")).unwrap();
    assert_eq!(Netcheck::audit(copy.path()).run().code, 0);
    // A node on Fargate cannot be read.
    let fargate = ("fargate-x", "192.168.1.77", "aws:///a/0f1e/fargate-x");
    kubernetes_nodes(copy.path(), &[&known[..], &[hybrid, fargate]].concat());
    let (report, code) = Netcheck::audit(copy.path()).json();
    assert_eq!((code, needed_gaps(&report)), (3, vec!["Fargate pods".to_owned()]));
}

/// Without the permission for EC2's list, that of Kubernetes tells which nodes there are.
#[test]
fn the_list_of_kubernetes_stands_in_for_that_of_ec2() {
    let copy = copy_of("private-only");
    fs::remove_file(copy.path().join("instances.json")).unwrap();
    assert_eq!(Netcheck::audit(copy.path()).run().code, 3);
    let known = [("n1", "192.168.1.20", "aws:///a/i-1"), ("n2", "192.168.2.94", "aws:///a/i-2")];
    kubernetes_nodes(copy.path(), &known);
    assert_eq!(Netcheck::audit(copy.path()).run().code, 0);
    fs::remove_file(copy.path().join("nodes/n2.txt")).unwrap();
    let (report, code) = Netcheck::audit(copy.path()).json();
    assert_eq!((code, needed_gaps(&report)), (3, vec!["node n2".to_owned()]));
}

/// Instances count as nodes by any of the tags, whatever the value of the cluster tag is,
/// and instances of Auto Mode by their operator and subnet.
#[test]
fn tags_and_operator_identify_nodes() {
    let auto = json!({"Managed": true, "Principal": "eks.amazonaws.com"});
    for (tags, operator, code) in [
        (json!([{"Key": "kubernetes.io/cluster/myeks", "Value": "owned"}]), Value::Null, 3),
        (json!([{"Key": "kubernetes.io/cluster/myeks", "Value": "any"}]), Value::Null, 3),
        (json!([{"Key": "kubernetes.io/cluster/myeks"}]), Value::Null, 3),
        (json!([{"Key": "eks:cluster-name", "Value": "myeks"}]), Value::Null, 3),
        (json!([{"Key": "eks:eks-cluster-name", "Value": "myeks"}]), Value::Null, 3),
        (json!([]), auto.clone(), 3),
        (json!([{"Key": "Name", "Value": "x"}]), auto.clone(), 3),
        (json!([{"Key": "eks:eks-cluster-name", "Value": "other"}]), auto.clone(), 0),
        (json!([{"Key": "kubernetes.io/cluster/other", "Value": "owned"}]), auto, 0),
        (json!([{"Key": "Name", "Value": "x"}]), Value::Null, 0),
    ] {
        let copy = copy_of("private-only");
        let cluster = fs::read_to_string(copy.path().join("cluster.json")).unwrap();
        let cluster: Value = serde_json::from_str(&cluster).unwrap();
        edit_json(copy.path(), "instances.json", |json| {
            let reservations = json["Reservations"].as_array_mut().unwrap();
            let mut extra = reservations[0].clone();
            let instance = &mut extra["Instances"][0];
            instance["InstanceId"] = json!("i-0extra");
            instance["PrivateIpAddress"] = json!("192.168.1.99");
            instance["NetworkInterfaces"] = json!([]);
            instance["SubnetId"] = cluster["cluster"]["resourcesVpcConfig"]["subnetIds"][0].clone();
            instance["Tags"] = tags.clone();
            instance["Operator"] = operator.clone();
            reservations.push(extra);
        });
        let (report, exit_code) = Netcheck::audit(copy.path()).json();
        assert_eq!(exit_code, code, "{tags} {operator}: {:?}", needed_gaps(&report));
    }
}

/// A capture in which every row is of kubelet was filtered, though it has its headings.
#[test]
fn a_capture_of_kubelet_alone_is_filtered() {
    let filtered = |keep: fn(&str) -> bool| {
        let copy = copy_of("private-only");
        for node in ["n1", "n2"] {
            let path = copy.path().join("nodes").join(format!("{node}.txt"));
            let text = fs::read_to_string(&path).unwrap();
            let lines: Vec<_> = text.lines().filter(|line| keep(line)).collect();
            fs::write(path, lines.join("\n") + "\n").unwrap();
        }
        Netcheck::audit(copy.path()).run().code
    };
    assert_eq!(filtered(|_| true), 0);
    assert_eq!(filtered(|line| line.contains("State") || line.contains("kubelet")), 3);
    assert_eq!(filtered(|line| line.contains("kubelet")), 3);
    // A cluster may have no kube-proxy.
    assert_eq!(filtered(|line| !line.contains("kube-proxy")), 0);
}

/// A kubelet that is dead in public mode: a second complete capture would not have its
/// sockets either, and kube-proxy's path is not the kubelet's.
#[test]
fn a_node_without_kubelet_is_not_counted_as_one_path() {
    let audit = |keep: fn(&str) -> bool| audit_of_n1(&keep);
    let whole = "node traffic: public on 2 of 2 nodes";
    assert!(audit(|_| true).contains(whole));
    let dead = "is not running or not connected, or the capture is only a part find out why on the node: systemctl status kubelet";
    let complete = "capture its complete output";
    let table = audit(|line| !line.contains("\"kubelet\""));
    assert!(!table.contains(whole) && !table.contains(complete) && table.contains(dead), "{table}");
    let partly = "public for kube-proxy alone (kubelet: not known) on 1 of 2 nodes";
    assert!(table.contains(partly), "{table}");
    // It has no connection to the API server, and serves others.
    let table = audit(|line| !line.contains("\"kubelet\"") || line.contains(":10250"));
    assert!(!table.contains(whole) && !table.contains(complete), "{table}");
    // Neither of the two runs, or it is not a node.
    let table = audit(|line| !line.contains("\"kube"));
    assert!(!table.contains("as root") && table.contains("both are not running or not connected"), "{table}");
    // These may have been filtered.
    let table = audit(|line| line.contains("State") || line.contains("kube-proxy"));
    assert!(!table.contains(whole) && table.contains(complete) && !table.contains(dead), "{table}");
    for filtered in ["\"kube-proxy\"", "\"kube-proxy\"|\"aws-k8s-agent\"", "sshd"] {
        let is_kept =
            |line: &str| line.contains("State") || filtered.split('|').any(|word| line.contains(word));
        assert!(!audit_of_n1(&is_kept).contains("not running"), "{filtered}");
    }
}

/// The table of an audit in which the capture of n1 has these lines alone.
fn audit_of_n1(keep: &dyn Fn(&str) -> bool) -> String {
    let copy = copy_of("study-public");
    let path = copy.path().join("nodes/n1.txt");
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| keep(line)).collect();
    fs::write(path, lines.join("\n") + "\n").unwrap();
    Netcheck::audit(copy.path()).run().stdout.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// In a shared VPC, clusters of two accounts may have one name. Without the account of this
/// one, its security group tells which ENIs are its own.
#[test]
fn enis_of_two_accounts_are_told_apart_by_the_cluster_security_group() {
    const OTHER: &str = "192.168.1.77";
    for (arn, has_group, peer, code, path) in [
        ("arn:aws:eks:ap-northeast-2:111122223333:cluster/myeks", true, "192.168.1.55", 0, "private"),
        ("arn:aws:eks:ap-northeast-2:111122223333:cluster/myeks", true, OTHER, 3, "unknown"),
        ("arn:aws:eks:ap-northeast-2:XXXXXXXXXXXX:cluster/myeks", false, "192.168.1.55", 0, "private"),
        ("arn:aws:eks:ap-northeast-2:XXXXXXXXXXXX:cluster/myeks", false, OTHER, 3, "unknown"),
        ("", false, OTHER, 3, "unknown"),
        // Nothing decides.
        ("", true, OTHER, 3, "unknown"),
        ("", true, "192.168.1.55", 3, "unknown"),
    ] {
        let copy = copy_of("private-only");
        edit_json(copy.path(), "cluster.json", |json| json["cluster"]["arn"] = json!(arn));
        edit_json(copy.path(), "network-interfaces.json", |json| {
            let all = json["NetworkInterfaces"].as_array_mut().unwrap();
            let mut other = all.iter().find(|one| one["Description"] == "Amazon EKS myeks").unwrap().clone();
            other["NetworkInterfaceId"] = json!("eni-0ffffffffffffffff");
            other["OwnerId"] = json!("999988887777");
            other["PrivateIpAddress"] = json!(OTHER);
            other["PrivateIpAddresses"] = json!([{"Primary": true, "PrivateIpAddress": OTHER}]);
            if !has_group {
                other["Groups"] = json!([{"GroupId": "sg-0ffffffffffffffff"}]);
            }
            all.push(other);
        });
        let path_of_capture = copy.path().join("nodes/n1.txt");
        let capture = fs::read_to_string(&path_of_capture).unwrap();
        fs::write(&path_of_capture, capture.replace("192.168.1.55:443", &format!("{peer}:443"))).unwrap();
        let (report, exit_code) = Netcheck::audit(copy.path()).args(&["--fail-on", "medium"]).json();
        let case = format!("{arn} {has_group} {peer}");
        assert_eq!(exit_code, code, "{case}: {:?} {}", needed_gaps(&report), report["findings"]);
        assert_eq!(report["node_traffic"][0]["path"], path, "{case}");
    }
}

/// A node that EC2 does not list is a hybrid node only with an address in the networks of those.
#[test]
fn a_node_of_the_vpc_that_is_not_listed_is_no_hybrid_node() {
    for (address, code) in [("10.80.0.7", 0), ("192.168.3.71", 3)] {
        let copy = copy_of("private-only");
        edit_json(copy.path(), "cluster.json", |json| {
            json["cluster"]["remoteNetworkConfig"] =
                json!({"remoteNodeNetworks": [{"cidrs": ["10.80.0.0/16"]}]});
        });
        let capture = fs::read_to_string(copy.path().join("nodes/n1.txt")).unwrap();
        fs::write(copy.path().join("nodes/n3.txt"), capture.replace("192.168.1.20", address)).unwrap();
        let (report, exit_code) = Netcheck::audit(copy.path()).json();
        let gaps = needed_gaps(&report);
        assert_eq!(exit_code, code, "{address}: {gaps:?}");
        assert_eq!(gaps.contains(&"hybrid nodes".to_owned()), code == 3, "{address}: {gaps:?}");
    }
}

/// The name of a process is compared as ss prints it: that of another case is of another program.
#[test]
fn a_process_whose_name_has_another_case_is_not_kubelet() {
    let copy = copy_of("private-only");
    let path = copy.path().join("nodes/n1.txt");
    let capture = fs::read_to_string(&path).unwrap();
    fs::write(&path, capture.replace("\"kubelet\"", "\"Kubelet\"")).unwrap();
    let (report, code) = Netcheck::audit(copy.path()).json();
    assert_eq!((code, needed_gaps(&report)), (3, vec!["node n1".to_owned()]), "{report:#}");
    let rows = report["connections"].as_array().unwrap().iter().filter(|row| row["node"] == "n1");
    assert!(rows.clone().count() > 0 && rows.clone().all(|row| row["process"] != "kubelet"), "{report:#}");
    let traffic = report["node_traffic"].as_array().unwrap();
    assert_eq!(traffic[0]["components"][0], json!({"component": "kubelet", "path": "unknown"}));
}

/// The command that records a node which is missing has its name, where the others are recorded by
/// names of the same kind; else it says what is to be filled in.
#[test]
fn the_command_for_a_missing_node_has_its_name() {
    let host = "ip-192-168-2-94";
    for (others, name) in
        [("n1", "n2"), ("ip-192-168-1-20", host), ("192.168.1.20", "192.168.2.94"), ("worker-a", "NODE")]
    {
        let copy = copy_of("private-only");
        let path = |name: &str| copy.path().join("nodes").join(name);
        fs::remove_file(path("n2.txt")).unwrap();
        fs::rename(path("n1.txt"), path(&format!("{others}.txt"))).unwrap();
        let (report, code) = Netcheck::audit(copy.path()).json();
        assert_eq!((code, needed_gaps(&report)), (3, vec!["node i-0488858d872db36eb".to_owned()]));
        let gaps = report["gaps"].as_array().unwrap();
        let gap = gaps.iter().find(|gap| gap["what"] == "node i-0488858d872db36eb").unwrap();
        let hint = gap["hint"].as_str().unwrap();
        assert!(hint.contains(&format!("ssh {name} sudo ss -tnp > ")), "{hint}");
        assert!(hint.contains(&format!("/nodes/{name}.txt")), "{hint}");
        assert_eq!(hint.contains("NODE being its name or address"), name == "NODE", "{hint}");
    }
}
