//! Nodes read by kubectl: the same findings as by ssh, and nothing left behind.

use super::*;

const MODES: [Access; 3] = [Access::Public, Access::PublicAndPrivate, Access::Private];

#[test]
fn the_agents_pods_give_the_same_findings_as_ssh() {
    for access in MODES {
        let kube = kube(access);
        kube.api.add_agent("n1");
        kube.api.add_agent("n2");
        let (by_ssh, ssh_code) = kube.audit(&["--ssh-user", "ec2-user"]);
        let (report, code) = kube.audit(&["--nodes", "kubectl"]);
        assert_eq!(judgment(&report), judgment(&by_ssh), "{report:#}");
        assert_eq!(code, ssh_code);
        for node in report["nodes"].as_array().unwrap() {
            assert_eq!((&node["status"], &node["via"]), (&json!("read"), &json!("kubectl")), "{report:#}");
        }
        assert!(
            kube.api
                .take_journal()
                .iter()
                .all(|access| access.verb != "create" || access.resource == "pods/exec")
        );
    }
}

#[test]
fn jobs_give_the_same_findings_as_ssh_and_are_removed() {
    for access in MODES {
        let kube = kube(access);
        let (by_ssh, ssh_code) = kube.audit(&["--ssh-user", "ec2-user"]);
        let (report, code) = kube.audit(&["--nodes", "kubectl"]);
        assert_eq!(judgment(&report), judgment(&by_ssh), "{report:#}\n{by_ssh:#}");
        assert_eq!(code, ssh_code);
        let created = kube
            .api
            .take_journal()
            .into_iter()
            .filter(|access| access.verb == "create" && access.resource == "jobs");
        assert_eq!(created.count(), 2);
        assert_eq!(kube.api.jobs(), [Value::Null; 0]);
        assert_eq!(kube.api.pods(), [""; 0]);
    }
}

/// A node may be named by its name and by its id.
#[test]
fn a_node_that_is_named_twice_gets_one_job() {
    let kube = kube(Access::Public);
    let id = "i-00000000000000000";
    let (report, _) = kube.audit(&["--nodes", "kubectl", "--node", "n1", "--node", id]);
    let created = kube.api.take_journal();
    let created = created.iter().filter(|access| access.verb == "create" && access.resource == "jobs");
    assert_eq!(created.count(), 1);
    let status = |name: &str| {
        let nodes = report["nodes"].as_array().unwrap();
        nodes.iter().find(|node| node["name"] == name).unwrap()["status"].clone()
    };
    assert_eq!((status("n1"), status(id)), (json!("read"), json!("not-supported")), "{report:#}");
    let gap = gaps(&report, &format!("node {id}"))[0];
    assert_eq!(gap["detail"], "n1 is the same node n1");
    assert_eq!(gap["hint"], "name it once");
}

#[test]
fn bottlerocket_is_read_by_a_privileged_pod_and_without_its_programs() {
    let kube = kube(Access::PublicAndPrivate);
    let (by_ssh, _) = kube.audit(&["--ssh-user", "ec2-user"]);
    for node in ["n1", "n2"] {
        kube.api.change_node(node, |node| {
            node["status"]["nodeInfo"]["osImage"] = json!("Bottlerocket OS 1.52.0 (aws-k8s-1.34)");
        });
    }
    // It has no getent.
    for node in kube.testbed.lab.nodes() {
        assert!(node.run("mount --bind /dev/null /usr/bin/getent").unwrap().status.success());
    }
    let (report, _) = kube.audit(&["--nodes", "kubectl"]);
    for node in kube.testbed.lab.nodes() {
        assert!(node.run("umount /usr/bin/getent").unwrap().status.success());
    }
    assert_eq!(judgment(&report), judgment(&by_ssh), "{report:#}");
    let answers = |report: &Value| -> Vec<(Value, BTreeSet<String>)> {
        let addresses =
            |point: &Value| point["addresses"].as_array().unwrap().iter().map(ToString::to_string).collect();
        report["dns"]
            .as_array()
            .unwrap()
            .iter()
            .map(|point| (point["vantage"].clone(), addresses(point)))
            .collect()
    };
    assert_eq!(answers(&report), answers(&by_ssh));
}

#[test]
fn processes_that_are_not_of_root_are_named() {
    let kube = kube(Access::Public);
    let n1 = &kube.testbed.lab.nodes()[0];
    let dial = "setpriv --reuid 65532 --regid 65532 --clear-groups bash -c 'exec 3<>/dev/tcp/203.0.113.10/443; exec sleep 60' </dev/null >/dev/null 2>&1 & sleep 0.3";
    n1.run(dial).unwrap();
    let (by_ssh, _) = kube.audit(&["--ssh-user", "ec2-user"]);
    let (report, _) = kube.audit(&["--nodes", "kubectl"]);
    n1.run("pkill -u 65532 sleep").unwrap();
    let of_sleep = |report: &Value| {
        let all = report["connections"].as_array().unwrap().clone();
        let mut all: Vec<_> = all.into_iter().filter(|connection| connection["process"] == "sleep").collect();
        for connection in &mut all {
            connection["pid"] = Value::Null;
        }
        all
    };
    assert_eq!(of_sleep(&report).len(), 1, "{report:#}");
    assert_eq!(of_sleep(&report), of_sleep(&by_ssh));
}

/// A node that EC2 does not list, such as a hybrid one, is read, and one on Fargate is not.
#[test]
fn nodes_that_only_the_cluster_lists_are_read() {
    let kube = kube(Access::Public);
    let (before, _) = kube.audit(&["--nodes", "kubectl"]);
    kube.testbed.change_account(|account| {
        account.reservations.retain(|reservation| !reservation.to_string().contains("\"n2\""));
    });
    kube.api.change_node("n2", |node| {
        node["spec"]["providerID"] = json!("eks-hybrid:///ap-northeast-2/myeks/mi-0123456789abcdef0");
    });
    let (report, _) = kube.audit(&["--nodes", "kubectl"]);
    assert_eq!(report["node_traffic"], before["node_traffic"], "{report:#}");
    kube.api.change_node("n2", |node| {
        node["spec"]["providerID"] = json!("aws:///ap-northeast-2a/0/fargate-ip-192-168-10-11");
        node["metadata"]["labels"]["eks.amazonaws.com/compute-type"] = json!("fargate");
    });
    let (report, _) = kube.audit(&["--nodes", "kubectl"]);
    let names: Vec<_> = report["nodes"].as_array().unwrap().iter().map(|node| &node["name"]).collect();
    assert_eq!(names, ["n1"], "{report:#}");
    // By ssh alone, such a node is missing.
    kube.api.change_node("n2", |node| {
        node["spec"]["providerID"] = json!("eks-hybrid:///ap-northeast-2/myeks/mi-0123456789abcdef0");
        node["metadata"]["labels"]["eks.amazonaws.com/compute-type"] = json!("hybrid");
    });
    let (report, _) = kube.audit(&["--nodes", "ssh,kubectl", "--ssh-user", "ec2-user"]);
    let via: Vec<_> = report["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| (node["name"].clone(), node["via"].clone()))
        .collect();
    assert_eq!(via, [(json!("n1"), json!("ssh")), (json!("n2"), json!("kubectl"))], "{report:#}");
}

#[test]
fn a_recording_is_judged_as_the_live_audit_was() {
    let kube = kube(Access::PublicAndPrivate);
    let (live, _) = kube.audit(&["--nodes", "kubectl"]);
    let out = kube.dir.path().join("out");
    let ran = kube.run(&["collect", "--nodes", "kubectl", "--out", out.to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(
        out.join("kubernetes/nodes.json").is_file() && out.join("kubernetes/endpointslices.json").is_file()
    );
    let (recorded, _) = kube.audit(&["--evidence", out.to_str().unwrap()]);
    assert_eq!(judgment(&recorded), judgment(&live), "{recorded:#}");
    assert!(recorded["nodes"].as_array().unwrap().iter().all(|node| node["via"] == "kubectl"));
}
