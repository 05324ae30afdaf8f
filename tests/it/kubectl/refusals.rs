//! What the cluster refuses is the gap of each node, with the message and the next step, and
//! the next transport is tried.

use eks_netcheck_lab::kube::{Admission, Faults};

use super::*;

/// The text of n1's gap, after an audit by kubectl alone. The Jobs are gone.
fn gap_of_n1(kube: &Kube, args: &[&str]) -> String {
    let (report, code) = kube.audit(&[&["--nodes", "kubectl", "--fail-on", "critical"], args].concat());
    kube.assert_clean("Jobs that did not run");
    let gaps = gaps(&report, "node n1");
    assert_eq!(gaps.len(), 1, "{report:#}");
    assert_eq!(code, 0, "no critical rule needs the nodes: {report:#}");
    format!(
        "{}: {}; {}",
        gaps[0]["why"].as_str().unwrap(),
        gaps[0]["detail"].as_str().unwrap(),
        gaps[0]["hint"].as_str().unwrap()
    )
}

#[test]
fn pods_that_are_refused_or_do_not_start_are_gaps() {
    let kube = kube(Access::Public);
    let with = |faults: Faults, args: &[&str]| {
        kube.api.set_faults(faults);
        gap_of_n1(&kube, args)
    };
    let admission = |admission| Faults { admission, ..Faults::default() };
    let text = with(admission(Admission::PodSecurity { level: "baseline" }), &[]);
    assert!(
        text.starts_with(
            "access-denied: an admission policy refuses the pod: FailedCreate: Error creating: pods"
        ),
        "{text}"
    );
    assert!(
        text.contains("violates PodSecurity \"baseline:latest\"") && text.contains("--namespace"),
        "{text}"
    );
    let denied =
        "admission webhook \"validate.kyverno.svc-fail\" denied the request: disallow-host-namespaces";
    let text = with(admission(Admission::Webhook(denied.to_owned())), &[]);
    assert!(text.contains("disallow-host-namespaces") && text.contains("--namespace"), "{text}");
    let text = with(admission(Admission::WithoutHostPid), &[]);
    assert!(text.contains("hostPID"), "{text}");
    let text = with(Faults { no_image: true, ..Faults::default() }, &[]);
    assert!(
        text.contains("ImagePullBackOff") && text.contains("busybox:1.37.0") && text.contains("--image"),
        "{text}"
    );
    let text = with(Faults { full: vec!["n1".to_owned()], ..Faults::default() }, &["--timeout", "3"]);
    assert!(text.contains("Unschedulable: 0/2 nodes are available: 1 Too many pods."), "{text}");
    let text = with(Faults { not_ready: vec!["n1".to_owned()], ..Faults::default() }, &["--timeout", "3"]);
    assert!(
        text.contains("timed-out: its pod did not run within 3 s") && text.contains("kubectl describe node"),
        "{text}"
    );
}

#[test]
fn a_node_that_kubectl_does_not_reach_is_read_by_the_next_transport() {
    let kube = kube(Access::PublicAndPrivate);
    let (by_ssh, _) = kube.audit(&["--ssh-user", "ec2-user"]);
    kube.api.set_faults(Faults { no_image: true, ..Faults::default() });
    let (report, _) = kube.audit(&["--nodes", "kubectl,ssh", "--ssh-user", "ec2-user"]);
    assert_eq!(judgment(&report), judgment(&by_ssh), "{report:#}");
    assert!(report["nodes"].as_array().unwrap().iter().all(|node| node["via"] == "ssh"), "{report:#}");
    kube.assert_clean("Jobs that did not run");
}

#[test]
fn rights_that_are_missing_are_named() {
    let kube = kube(Access::Public);
    kube.api.set_roles(Some(Vec::new()));
    let text = gap_of_n1(&kube, &[]);
    assert!(text.contains("nodes is forbidden") && text.contains("eks-netcheck rbac"), "{text}");
    // All but the Jobs.
    let may_list = json!({"kind": "ClusterRole", "rules": [{"apiGroups": ["", "batch", "discovery.k8s.io"], "resources": ["*"], "verbs": ["list"]}]});
    kube.api.set_roles(Some(vec![may_list]));
    let text = gap_of_n1(&kube, &[]);
    assert!(text.contains("cannot create resource") && text.contains("eks-netcheck rbac"), "{text}");
}

/// What was not created is not removed.
#[test]
fn jobs_that_were_all_refused_are_not_removed() {
    let kube = kube(Access::Public);
    let may_list = json!({"kind": "ClusterRole", "rules": [{
        "apiGroups": ["", "discovery.k8s.io"], "resources": ["nodes", "endpointslices"], "verbs": ["list"],
    }]});
    kube.api.set_roles(Some(vec![may_list]));
    let _ = kube.api.take_journal();
    let ran = kube.run(&["audit", "--nodes", "kubectl"]);
    assert!(!ran.stderr.contains("warning"), "{}", ran.stderr);
    let journal = kube.api.take_journal();
    let count =
        |verb: &str| journal.iter().filter(|access| access.verb == verb && access.resource == "jobs").count();
    // The list is of what earlier runs left.
    assert_eq!((count("create"), count("list"), count("delete")), (2, 1, 0), "{journal:?}");
}

#[test]
fn the_command_that_removes_what_is_left_works() {
    let kube = kube(Access::Public);
    let may_all_but_delete = json!({"kind": "ClusterRole", "rules": [{"apiGroups": ["", "batch", "discovery.k8s.io"], "resources": ["*"], "verbs": ["list", "get", "create"]}]});
    kube.api.set_roles(Some(vec![may_all_but_delete]));
    // The current context is not the cluster's.
    let url = kube.api.url();
    let other = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUMKLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=";
    kube.write_kubeconfig(
        &[("other", "http://127.0.0.1:1", Some(other)), ("the lab", &url, Some(CERTIFICATE_AUTHORITY))],
        "other",
    );
    let kubeconfig = kube.kubeconfig();
    let ran = kube.run(&["audit", "--nodes", "kubectl", "--kubeconfig", kubeconfig.to_str().unwrap()]);
    let (_, by_hand) =
        ran.stderr.split_once("remove them with: ").unwrap_or_else(|| panic!("{}", ran.stderr));
    assert_eq!(kube.api.jobs().len(), 2);
    kube.api.set_roles(None);
    let mut shell = kube.testbed.lab.operator_command("sh");
    shell.args(["-c", by_hand]);
    let removed = run_command(shell);
    assert_eq!(removed.code, 0, "{by_hand}: {}", removed.stderr);
    kube.assert_clean("removed by hand");
}

#[test]
fn without_kubectl_or_a_server_the_nodes_are_gaps() {
    let kube = kube(Access::Public);
    kube.write_kubeconfig(&[("gone", "http://198.51.100.7:1", Some(CERTIFICATE_AUTHORITY))], "");
    let text = gap_of_n1(&kube, &[]);
    assert!(text.starts_with("connection-refused: ") && text.contains("only from the VPC"), "{text}");
    let mut command = kube.netcheck(&["audit", "--format", "json", "--nodes", "kubectl"]);
    // What starts the run is all that is left on the PATH.
    let bin = kube.dir.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    for name in ["nsenter", "setpriv", "env"] {
        std::os::unix::fs::symlink(format!("/usr/bin/{name}"), bin.join(name)).unwrap();
    }
    command.env("PATH", &bin);
    let ran = run_command(command);
    assert!(ran.stdout.contains("check that kubectl is installed"), "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn without_the_right_to_see_processes_their_names_are_missing() {
    let kube = kube(Access::Public);
    kube.api
        .set_faults(Faults { admission: Admission::WithoutCapability("SYS_PTRACE"), ..Faults::default() });
    let (report, _) = kube.audit(&["--nodes", "kubectl"]);
    assert_eq!(report["nodes"][0]["status"], "no-process-names", "{report:#}");
    let gap = gaps(&report, "node n1")[0];
    assert_eq!(gap["why"], "no-process-names", "{report:#}");
    assert!(gap["detail"].as_str().unwrap().contains("SYS_PTRACE"), "{report:#}");
    assert_eq!(report["node_traffic"][0]["path"], "unknown", "{report:#}");
    let (report, _) = kube.audit(&["--nodes", "kubectl,ssh", "--ssh-user", "ec2-user"]);
    assert!(
        report["nodes"][0]["via"] == "ssh" || report["nodes"][0]["status"] == "no-process-names",
        "{report:#}"
    );
}
