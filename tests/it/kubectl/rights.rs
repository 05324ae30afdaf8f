//! What `eks-netcheck rbac` prints is enough, and what `--dry-run` prints is what is created.

use eks_netcheck_lab::kube::{Access as Request, Admission, Faults};

use super::*;

/// The documents of a YAML stream.
fn documents(yaml: &str) -> Vec<Value> {
    let documents = yaml.split("---\n").map(|document| {
        serde_saphyr::from_str(document).unwrap_or_else(|error| panic!("{error}: {document}"))
    });
    documents.collect()
}

/// What an audit requests of the cluster: `VERB GROUP/RESOURCE NAMESPACE`.
fn requests(kube: &Kube, args: &[&str]) -> BTreeSet<String> {
    kube.audit(&[&["--nodes", "kubectl"], args].concat());
    let line = |Request { verb, group, resource, namespace, .. }: Request| {
        format!("{verb} {group}/{resource} {namespace}")
    };
    kube.api.take_journal().into_iter().map(line).collect()
}

/// The roles that `eks-netcheck rbac` prints.
fn printed_roles(args: &[&str]) -> Vec<Value> {
    let mut rbac = Command::new(env!("CARGO_BIN_EXE_eks-netcheck"));
    rbac.arg("rbac").args(args);
    let ran = run_command(rbac);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let (roles, bindings): (Vec<_>, Vec<_>) =
        documents(&ran.stdout).into_iter().partition(|object| object["rules"].is_array());
    for (role, binding) in roles.iter().zip(&bindings) {
        assert_eq!(role["metadata"], binding["metadata"]);
        assert_eq!(binding["subjects"][0]["name"], "eks-netcheck");
    }
    assert_eq!(roles.len(), bindings.len());
    roles
}

/// What roles allow, in the same form.
fn allowed(roles: &[Value]) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for role in roles {
        let namespace = role["metadata"]["namespace"].as_str().unwrap_or_default();
        for rule in role["rules"].as_array().unwrap() {
            for verb in rule["verbs"].as_array().unwrap() {
                let (group, resource) = (&rule["apiGroups"][0], &rule["resources"][0]);
                let part = |value: &Value| value.as_str().unwrap().to_owned();
                all.insert(format!("{} {}/{} {namespace}", part(verb), part(group), part(resource)));
            }
        }
    }
    all
}

#[test]
fn the_printed_roles_are_enough_and_none_is_unused() {
    let kube = kube(Access::Public);
    for args in [&[][..], &["--namespace", "audits"]] {
        kube.api.reset();
        let roles = printed_roles(args);
        let refused = Faults { admission: Admission::PodSecurity { level: "baseline" }, ..Faults::default() };
        let mut used = BTreeSet::new();
        for (with_agent, faults) in [(false, Faults::default()), (false, refused), (true, Faults::default())]
        {
            if with_agent {
                kube.api.add_agent("n1");
            }
            kube.api.set_faults(faults.clone());
            let all = requests(&kube, args);
            kube.api.set_roles(Some(roles.clone()));
            assert_eq!(requests(&kube, args), all, "with these rights, less was requested");
            kube.assert_clean("an audit with few rights");
            kube.api.set_roles(None);
            used.extend(all);
        }
        let namespaces = ["kube-system", "audits"];
        // What a stream needs depends on the version of the cluster.
        let mut expected = allowed(&roles);
        for namespace in namespaces {
            expected.remove(&format!("get /pods/exec {namespace}"));
        }
        assert_eq!(used, expected);
    }
}

#[test]
fn a_dry_run_prints_what_is_created_and_creates_nothing() {
    let kube = kube(Access::Public);
    kube.api.change_node("n2", |node| {
        node["status"]["nodeInfo"]["osImage"] = json!("Bottlerocket OS 1.52.0 (aws-k8s-1.34)");
    });
    for command in [&["audit"][..], &["collect", "--out", "/nowhere"], &["trace"]] {
        let ran = kube.run(&[command, &["--nodes", "kubectl", "--dry-run"]].concat());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert!(kube.api.take_journal().iter().all(|access| access.verb == "list"), "nothing is changed");
        let jobs = documents(&ran.stdout);
        assert_eq!(jobs.len(), 2, "{}", ran.stdout);
        for (job, is_privileged) in jobs.iter().zip([false, true]) {
            assert_eq!((&job["kind"], &job["spec"]["backoffLimit"]), (&json!("Job"), &json!(0)), "{job:#}");
            let pod = &job["spec"]["template"]["spec"];
            let context = &pod["containers"][0]["securityContext"];
            assert_eq!(context["privileged"] == true, is_privileged, "{job:#}");
            assert_eq!(
                (&pod["hostPID"], &pod["hostNetwork"], &pod["volumes"]),
                (&json!(true), &Value::Null, &Value::Null)
            );
        }
        let deadline = jobs[0]["spec"]["activeDeadlineSeconds"].as_u64().unwrap();
        assert_eq!(deadline, if command == ["trace"] { 3720 } else { 120 });
    }
    // What is created differs in the names, and in what says by whom.
    kube.api.set_faults(Faults { start: Duration::from_millis(500), ..Faults::default() });
    let mut running = kube.netcheck(&["audit", "--nodes", "kubectl"]);
    let mut running = running.stdout(std::process::Stdio::null()).spawn().unwrap();
    while kube.api.jobs().len() < 2 {
        sleep(Duration::from_millis(10));
    }
    let created = kube.api.jobs();
    running.wait().unwrap();
    let ran = kube.run(&["audit", "--nodes", "kubectl", "--dry-run"]);
    let planned = documents(&ran.stdout);
    let pods = |jobs: &[Value]| -> Vec<Value> {
        jobs.iter().map(|job| job["spec"]["template"]["spec"].clone()).collect()
    };
    assert_eq!(pods(&planned), pods(&created));
    kube.api.add_agent("n1");
    kube.api.add_agent("n2");
    let ran = kube.run(&["audit", "--nodes", "kubectl", "--dry-run"]);
    assert!(ran.stdout.contains("No Job is created."), "{}", ran.stdout);
    let ran = kube.run(&["audit", "--nodes", "ssh", "--dry-run"]);
    assert_eq!(ran.code, 2, "{}", ran.stdout);
}
