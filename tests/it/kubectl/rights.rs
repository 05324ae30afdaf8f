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
    kube.audit(args);
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

/// The options of an audit that `rbac` takes too.
const OPTIONS: [&[&str]; 4] = [
    &["--nodes", "kubectl"],
    &["--nodes", "kubectl", "--namespace", "audits"],
    &["--nodes", "kubectl-agent"],
    &["--nodes", "kubectl-jobs", "--namespace", "audits"],
];

#[test]
fn the_printed_roles_are_enough_and_none_is_unused() {
    let kube = kube(Access::Public);
    for args in OPTIONS {
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
        // What a stream needs depends on the version of the cluster.
        let expected: BTreeSet<_> =
            allowed(&roles).into_iter().filter(|right| !right.starts_with("get /pods/exec ")).collect();
        assert_eq!(used, expected, "{args:?}");
    }
}

/// Who gets the rights of one way has none of the other.
#[test]
fn the_rights_of_the_agents_pods_and_of_jobs_are_apart() {
    let agent = allowed(&printed_roles(&["--nodes", "kubectl-agent"]));
    assert!(agent.contains("create /pods/exec kube-system"), "{agent:?}");
    for right in &agent {
        let changes = ["create ", "delete ", "update ", "patch "].iter().any(|verb| right.starts_with(verb));
        assert!(!changes || right.contains("/pods/exec "), "{right}");
    }
    let jobs = allowed(&printed_roles(&["--nodes", "kubectl-jobs", "--namespace", "audits"]));
    assert!(jobs.contains("create batch/jobs audits"), "{jobs:?}");
    assert!(!jobs.iter().any(|right| right.ends_with(" kube-system")), "{jobs:?}");
    // Both are what both need.
    let both = allowed(&printed_roles(&["--namespace", "audits"]));
    assert_eq!(both, &agent | &jobs);
}

/// How each node was read, and the text of the gap of each that was not.
fn results(kube: &Kube, args: &[&str]) -> Vec<String> {
    let (report, _) = kube.audit(args);
    kube.assert_clean("an audit with few rights");
    let nodes = report["nodes"].as_array().unwrap().iter();
    nodes
        .map(|node| {
            if node["status"] == "read" {
                return format!("by {}", node["via"].as_str().unwrap());
            }
            let gap = gaps(&report, &format!("node {}", node["name"].as_str().unwrap()))[0];
            ["why", "detail", "hint"].map(|key| gap[key].as_str().unwrap()).join(": ")
        })
        .collect()
}

#[test]
fn an_audit_in_the_agents_pods_alone_creates_nothing() {
    let kube = kube(Access::Public);
    kube.api.add_agent("n1");
    kube.api.set_roles(Some(printed_roles(&["--nodes", "kubectl-agent"])));
    let _ = kube.api.take_journal();
    let found = results(&kube, &["--nodes", "kubectl-agent"]);
    assert_eq!(found[0], "by kubectl");
    assert!(
        found[1].starts_with("not-supported: no pod of the EKS node monitoring agent is ready on it: ")
            && found[1].ends_with("--nodes kubectl"),
        "{found:?}"
    );
    let journal = kube.api.take_journal();
    assert!(journal.iter().all(|access| access.resource != "jobs"), "{journal:?}");
    // What it does not reach is read another way.
    let found = results(&kube, &["--nodes", "kubectl-agent,ssh", "--ssh-user", "ec2-user"]);
    assert_eq!(found, ["by kubectl", "by ssh"]);
    // With these rights, a Job is not created.
    let found = results(&kube, &["--nodes", "kubectl"]);
    assert_eq!(found[0], "by kubectl");
    assert!(
        found[1].starts_with("access-denied: ")
            && found[1].contains("cannot create resource \\\"jobs\\\"")
            && found[1].contains("`eks-netcheck rbac` prints, with --nodes and --namespace as here"),
        "{found:?}"
    );
}

#[test]
fn an_audit_in_jobs_alone_uses_no_pod_that_exists() {
    let kube = kube(Access::Public);
    kube.api.add_agent("n1");
    let args = ["--nodes", "kubectl-jobs", "--namespace", "audits"];
    kube.api.set_roles(Some(printed_roles(&args)));
    let _ = kube.api.take_journal();
    assert_eq!(results(&kube, &args), ["by kubectl", "by kubectl"]);
    let journal = kube.api.take_journal();
    assert!(journal.iter().all(|access| access.namespace != "kube-system"), "{journal:?}");
    // The pods of the agent are refused, and Jobs are created instead.
    assert_eq!(
        results(&kube, &["--nodes", "kubectl", "--namespace", "audits"]),
        ["by kubectl", "by kubectl"]
    );
    // Without them, that is the gap of each node.
    for gap in results(&kube, &["--nodes", "kubectl-agent"]) {
        assert!(
            gap.starts_with("access-denied: kubectl get pods: ") && gap.contains("pods is forbidden"),
            "{gap}"
        );
        assert!(gap.contains("`eks-netcheck rbac` prints"), "{gap}");
    }
    // The same without the right to run programs in them.
    let mut roles = printed_roles(&["--nodes", "kubectl-agent"]);
    for role in &mut roles {
        role["rules"].as_array_mut().unwrap().retain(|rule| rule["resources"] != json!(["pods/exec"]));
    }
    kube.api.set_roles(Some(roles));
    let found = results(&kube, &["--nodes", "kubectl-agent"]);
    for gap in &found {
        assert!(
            gap.starts_with("access-denied: kubectl exec in pod kube-system/") && gap.contains("pods/exec"),
            "{gap}"
        );
    }
}

#[test]
fn the_ways_of_kubectl_exclude_each_other() {
    let kube = kube(Access::Public);
    for (nodes, part) in [
        ("kubectl-agent,kubectl-jobs", "--nodes kubectl-jobs: kubectl is given already"),
        ("kubectl,ssm,kubectl-agent", "--nodes kubectl-agent: kubectl is given already"),
        ("kubectl-agent,kubectl-agent", "--nodes kubectl-agent: it is given twice"),
    ] {
        let ran = kube.run(&["audit", "--nodes", nodes]);
        assert_eq!(ran.code, 2, "{nodes}");
        assert!(ran.stderr.contains(part), "{}", ran.stderr);
    }
    let ran = kube.run(&["audit", "--nodes", "kubectl-agent", "--dry-run"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("other ways create nothing"), "{}", ran.stderr);
    // Jobs are planned for all nodes, also those with a pod of the agent.
    kube.api.add_agent("n1");
    let ran = kube.run(&["audit", "--nodes", "kubectl-jobs", "--dry-run"]);
    assert_eq!((ran.code, documents(&ran.stdout).len()), (0, 2), "{}", ran.stderr);
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
