//! The context: the cluster's own, or none.

use std::net::SocketAddr;

use eks_netcheck_lab::kube::Tls;
use eks_netcheck_lab::sandbox::{ENDPOINT_HOST, View};

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
fn a_kubeconfig_that_does_not_exist_is_refused_before_aws_is_asked() {
    let aws = crate::aws::Aws::of("study-public");
    for (command, rest) in
        [("audit", vec![]), ("collect", vec!["--out", "evidence"]), ("trace", vec!["--", "true"])]
    {
        let run = aws.run(command).args(&["--nodes", "kubectl", "--kubeconfig", "/nonexistent/config"]);
        let ran = run.args(&rest).run();
        assert_eq!(ran.code, 2, "{}", ran.stderr);
        assert!(ran.stderr.contains("/nonexistent/config"), "{}", ran.stderr);
    }
    assert_eq!(aws.0.calls().len(), 0);
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

/// The nodes are read through TLS whose certificate is valid for the endpoint's name and
/// for one address.
fn tls(kube: &Kube, listeners: &[SocketAddr]) -> Tls {
    kube.api.add_agent("n1");
    kube.api.set_token(Some("secret-token"));
    let names = [ENDPOINT_HOST];
    Tls::start(&kube.testbed.lab, kube.api.address(), listeners, &names, &[OPERATOR.into()]).unwrap()
}

/// Both nodes are read, one in the agent's pod and the other in a Job's.
fn assert_read(kube: &Kube, args: &[&str]) {
    let (report, _) = kube.audit(&[&["--nodes", "kubectl"], args].concat());
    for node in report["nodes"].as_array().unwrap() {
        assert_eq!((&node["status"], &node["via"]), (&json!("read"), &json!("kubectl")), "{report:#}");
    }
    kube.assert_clean("an audit through TLS");
}

#[test]
fn a_context_with_the_server_of_the_cluster_is_used_through_tls() {
    let kube = kube(Access::Public);
    let tls = tls(&kube, &[(OPERATOR, 443).into()]);
    kube.testbed.lab.set_dns(View::Operator, &[OPERATOR.into()]).unwrap();
    // EKS names another authority, so that only the server is equal.
    let (server, ca) = (format!("https://{ENDPOINT_HOST}"), tls.authority_data());
    kube.write_kubeconfig(&[("lab", &server, Some(&ca))], "");
    assert_read(&kube, &[]);
    assert_read(&kube, &["--context", "lab"]);
    // An authority that did not sign the certificate.
    kube.write_kubeconfig(&[("lab", &server, Some(OTHER))], "");
    let (report, _) = kube.audit(&["--nodes", "kubectl"]);
    let detail = gaps(&report, "node n1")[0]["detail"].as_str().unwrap();
    assert!(detail.contains("certificate"), "{detail}");
}

#[test]
fn a_tunnel_with_the_authority_of_the_cluster_is_used_through_tls() {
    let kube = kube(Access::Public);
    let tunnel = SocketAddr::from(([127, 0, 0, 1], 6444));
    let tls = tls(&kube, &[tunnel]);
    let ca = tls.authority_data();
    kube.testbed.change_account(|account| {
        let cluster = account.clusters.get_mut("myeks").unwrap();
        cluster["certificateAuthority"]["data"] = json!(ca);
    });
    kube.write_kubeconfig(&[("tunnel", &format!("https://{tunnel}"), Some(&ca))], "");
    // The certificate is not valid for the address of the tunnel.
    kube.change_kubeconfig(|config| {
        config["clusters"][0]["cluster"]["tls-server-name"] = json!(ENDPOINT_HOST);
    });
    assert_read(&kube, &[]);
    assert_read(&kube, &["--context", "tunnel"]);
}

/// In a pod, kubectl uses the service account, if the kubeconfig has no contexts.
#[test]
fn in_a_pod_the_service_account_is_used_if_its_authority_is_the_clusters() {
    let kube = kube(Access::Public);
    let tls = tls(&kube, &[(OPERATOR, 6444).into()]);
    kube.write_kubeconfig(&[], "");
    let dir = kube.testbed.lab.operator_root().join("run/secrets/kubernetes.io/serviceaccount");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("token"), "secret-token").unwrap();
    std::fs::write(dir.join("ca.crt"), tls.authority()).unwrap();
    let audit = || {
        let mut command = kube.netcheck(&["audit", "--format", "json", "--nodes", "kubectl"]);
        command.env("KUBERNETES_SERVICE_HOST", OPERATOR.to_string()).env("KUBERNETES_SERVICE_PORT", "6444");
        serde_json::from_str::<Value>(&run_command(command).stdout).unwrap()
    };
    let of_another = audit();
    kube.testbed.change_account(|account| {
        let cluster = account.clusters.get_mut("myeks").unwrap();
        cluster["certificateAuthority"]["data"] = json!(tls.authority_data());
    });
    let report = audit();
    std::fs::remove_dir_all(dir).unwrap();
    let detail = gaps(&of_another, "node n1")[0]["detail"].as_str().unwrap();
    assert_eq!(detail, "the kubeconfig has no contexts");
    for node in report["nodes"].as_array().unwrap() {
        assert_eq!((&node["status"], &node["via"]), (&json!("read"), &json!("kubectl")), "{report:#}");
    }
    kube.assert_clean("an audit in a pod");
}

/// The commands of the steps, and those that show that they worked.
fn commands(report: &Value) -> Vec<String> {
    let steps =
        report["findings"].as_array().unwrap().iter().flat_map(|one| one["steps"].as_array().unwrap());
    let of_step = |step: &Value| [step["command"].clone(), step["check"]["command"].clone()];
    let commands = steps.flat_map(of_step).filter_map(|one| one.as_str().map(ToOwned::to_owned));
    commands.collect::<BTreeSet<_>>().into_iter().collect()
}

/// What is pasted reaches the cluster of the report, whatever the current context is.
#[test]
fn commands_that_are_printed_select_the_cluster_of_the_run() {
    let kube = kube(Access::Public);
    let url = kube.api.url();
    kube.write_kubeconfig(
        &[("other", "http://198.51.100.7:1", Some(OTHER)), ("my lab", &url, Some(CERTIFICATE_AUTHORITY))],
        "other",
    );
    let of_kubectl = |report: &Value| -> Vec<_> {
        let all =
            commands(report).into_iter().filter(|one| one.contains("kubectl ") && !one.contains("netcheck"));
        let all: Vec<_> = all.collect();
        assert!(all.len() > 2, "{all:#?}");
        all
    };
    let (report, _) = kube.audit(&["--nodes", "kubectl"]);
    for command in of_kubectl(&report) {
        assert!(command.contains("kubectl --context 'my lab' "), "{command}");
    }
    let restart = "for node in n1 n2; do kubectl --context 'my lab' debug \"node/$node\" --profile=sysadmin --image=public.ecr.aws/docker/library/busybox:1.37.0 -- chroot /host systemctl restart kubelet; done";
    assert!(commands(&report).iter().any(|one| one == restart), "{:#?}", commands(&report));
    let file = kube.kubeconfig();
    let args = ["--nodes", "kubectl", "--context", "my lab", "--kubeconfig", file.to_str().unwrap()];
    let (report, _) = kube.audit(&args);
    let options = format!("kubectl --kubeconfig {} --context 'my lab' ", file.display());
    for command in of_kubectl(&report) {
        assert!(command.contains(&options), "{command}");
    }
    let own = format!(
        "eks-netcheck audit --cluster myeks --region ap-northeast-2 --nodes kubectl --context 'my lab' --kubeconfig {}",
        file.display()
    );
    assert!(commands(&report).contains(&own), "{:#?}", commands(&report));
    // Another transport does not know a context, and its nodes are reached by it.
    let (report, _) = kube.audit(&["--ssh-user", "ec2-user", "--ssh-option", "ConnectTimeout=5"]);
    assert!(commands(&report).iter().all(|one| !one.contains("--context")), "{:#?}", commands(&report));
    let restart = "for node in 192.168.10.10 192.168.10.11; do ssh -t -o ConnectTimeout=5 -l ec2-user \"$node\" sudo systemctl restart kubelet; done";
    assert!(commands(&report).iter().any(|one| one == restart), "{:#?}", commands(&report));
    let own = "eks-netcheck audit --cluster myeks --region ap-northeast-2 --ssh-user ec2-user --ssh-option ConnectTimeout=5";
    assert!(commands(&report).iter().any(|one| one == own), "{:#?}", commands(&report));
}
