//! The context: the cluster's own, or none.

use super::*;

/// The certificate authority of another cluster.
const OTHER: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUMKLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=";

#[test]
fn the_context_of_the_cluster_is_found_whatever_the_current_one_is() {
    let kube = kube(Access::Public);
    kube.api.add_agent("n1");
    kube.api.add_agent("n2");
    let url = kube.api.url();
    kube.write_kubeconfig(
        &[("other", "http://198.51.100.7:1", Some(OTHER)), ("lab", &url, Some(CERTIFICATE_AUTHORITY))],
        "other",
    );
    let (report, _) = kube.audit(&["--nodes", "kubectl"]);
    assert!(report["nodes"].as_array().unwrap().iter().all(|node| node["status"] == "read"), "{report:#}");
    let (report, _) = kube.audit(&["--nodes", "kubectl", "--context", "lab"]);
    assert!(report["nodes"].as_array().unwrap().iter().all(|node| node["status"] == "read"), "{report:#}");
}

#[test]
fn a_context_of_another_cluster_is_refused_with_both_names() {
    let kube = kube(Access::Public);
    let url = kube.api.url();
    kube.write_kubeconfig(&[("other", &url, Some(OTHER))], "other");
    let ran = kube.run(&["audit", "--nodes", "kubectl", "--context", "other"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("cluster-other") && ran.stderr.contains("myeks"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("secret-token"));
    let ran = kube.run(&["audit", "--nodes", "kubectl", "--context", "gone"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("it has other"), "{}", ran.stderr);
    let ran = kube.run(&["trace", "--nodes", "kubectl", "--context", "other", "--", "true"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    let ran = kube.run(&["audit", "--nodes", "kubectl", "--context", "other", "--cluster", "second"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("--context is for one cluster"), "{}", ran.stderr);
    assert_eq!(kube.api.take_journal(), []);
}

#[test]
fn without_a_context_of_the_cluster_the_next_transport_is_tried() {
    let kube = kube(Access::Public);
    let url = kube.api.url();
    kube.write_kubeconfig(&[("other", &url, Some(OTHER))], "other");
    let (report, _) = kube.audit(&["--nodes", "kubectl"]);
    assert_eq!(report["nodes"][0]["status"], "not-supported", "{report:#}");
    let detail = gaps(&report, "node n1")[0]["detail"].as_str().unwrap();
    assert_eq!(detail, "the only context of the kubeconfig is another cluster's");
    let (report, _) = kube.audit(&["--nodes", "kubectl,ssh", "--ssh-user", "ec2-user"]);
    assert!(report["nodes"].as_array().unwrap().iter().all(|node| node["via"] == "ssh"), "{report:#}");
    assert_eq!(kube.api.take_journal(), [], "another cluster is asked for nothing");
}

#[test]
fn each_of_several_clusters_is_reached_by_its_own_context() {
    let kube = kube(Access::Public);
    let url = kube.api.url();
    kube.write_kubeconfig(&[("lab", &url, Some(CERTIFICATE_AUTHORITY))], "");
    kube.testbed.change_account(|account| {
        let mut second = account.clusters["myeks"].clone();
        second["name"] = json!("second");
        second["certificateAuthority"]["data"] = json!(OTHER);
        second["endpoint"] = json!("https://SECOND.gr7.ap-northeast-2.eks.amazonaws.com");
        account.clusters.insert("second".to_owned(), second);
        let mut reservation = account.reservations[0].clone();
        let text = reservation.to_string().replace("myeks", "second");
        reservation = serde_json::from_str(&text).unwrap();
        reservation["Instances"][0]["InstanceId"] = json!("i-0000000000000000f");
        reservation["Instances"][0]["PrivateDnsName"] = json!("n9");
        account.reservations.push(reservation);
    });
    let (reports, _) = kube.audit(&["--nodes", "kubectl", "--cluster", "second"]);
    let of = |name: &str| {
        let all = reports["reports"].as_array().unwrap();
        all.iter()
            .find(|report| report["cluster"]["name"] == name)
            .unwrap_or_else(|| panic!("{reports:#}"))
            .clone()
    };
    let statuses = |report: &Value| -> Vec<Value> {
        report["nodes"].as_array().unwrap().iter().map(|node| node["status"].clone()).collect()
    };
    assert_eq!(statuses(&of("myeks")), ["read", "read"], "{reports:#}");
    assert_eq!(statuses(&of("second")), ["not-supported"], "{reports:#}");
}

/// In a pod, kubectl uses the service account, if the kubeconfig has no contexts.
#[test]
fn in_a_pod_the_service_account_is_used_if_its_authority_is_the_clusters() {
    let kube = kube(Access::Public);
    kube.write_kubeconfig(&[], "");
    let dir = kube.testbed.lab.operator_root().join("run/secrets/kubernetes.io/serviceaccount");
    std::fs::create_dir_all(&dir).unwrap();
    let pem = |body: &str| format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
    for (body, part) in [("MIIB", "kubectl get nodes"), ("MIIC", "the kubeconfig has no contexts")] {
        std::fs::write(dir.join("ca.crt"), pem(body)).unwrap();
        let (report, _) = kube.audit(&["--nodes", "kubectl"]);
        let detail = gaps(&report, "node n1")[0]["detail"].as_str().unwrap();
        // The stand-in has no TLS, so that kubectl is not answered.
        assert!(detail.starts_with(part), "{detail}");
    }
    std::fs::remove_dir_all(dir).unwrap();
}
