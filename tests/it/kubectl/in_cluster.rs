//! The manifests of packaging/kubernetes: applied by a real kubectl, and run as the pod of the
//! `CronJob` would.

use std::net::TcpListener;
use std::path::Path;

use eks_netcheck_lab::kube::Tls;
use eks_netcheck_lab::sandbox::ENDPOINT_HOST;

use super::*;
use crate::common::{Netcheck, root};
use crate::docs::code_block;

/// The way in which the pod gets its AWS role: the directories to apply.
const WAYS: [&str; 2] = ["pod-identity", "irsa"];

/// The token of the service account.
const TOKEN: &str = "service-account-token";

/// A copy of the manifests, so that they can be changed.
fn manifests() -> tempfile::TempDir {
    let dir = scratch();
    let copied =
        Command::new("cp").arg("-r").arg(root().join("packaging/kubernetes")).arg(dir.path()).status();
    assert!(copied.unwrap().success());
    dir
}

/// Turns components on: of those in the comment of the kustomization, the named ones.
fn with_components(dir: &Path, way: &str, components: &[&str]) {
    let file = dir.join("kubernetes").join(way).join("kustomization.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let comment = "# components: [../agent, ../reports]\n";
    assert!(text.contains(comment), "{way}");
    let named: Vec<_> = components.iter().map(|name| format!("../{name}")).collect();
    std::fs::write(file, text.replace(comment, &format!("components: [{}]\n", named.join(", ")))).unwrap();
}

/// What `kubectl kustomize` prints for a directory.
fn kustomize(dir: &Path) -> String {
    let output = Command::new("kubectl").arg("kustomize").arg(dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The objects of a YAML stream.
fn objects(yaml: &str) -> Vec<Value> {
    yaml.split("\n---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}

/// The only object of a kind.
fn one<'o>(objects: &'o [Value], kind: &str) -> &'o Value {
    let mut found = objects.iter().filter(|object| object["kind"] == kind);
    let one = found.next().unwrap_or_else(|| panic!("no {kind}"));
    assert!(found.next().is_none(), "more than one {kind}");
    one
}

/// What `rbac` prints for the service account of the manifests.
fn printed_rights(nodes: &str) -> String {
    let account = ["--namespace", "eks-netcheck", "--service-account", "eks-netcheck:eks-netcheck"];
    let printed = Netcheck::new([&["rbac", "--nodes", nodes], &account[..]].concat()).run().stdout;
    assert_eq!(printed.matches("kind: ServiceAccount").count(), 3, "{printed}");
    assert!(!printed.contains("kind: Group"), "{printed}");
    printed
}

#[test]
fn the_rights_are_those_that_rbac_prints() {
    let file = root().join("packaging/kubernetes/base/rbac.yaml");
    let printed = printed_rights("kubectl-jobs");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, &printed).unwrap();
    }
    assert_eq!(std::fs::read_to_string(file).unwrap(), printed, "out of date, run with UPDATE_DOCS=1");
    // With the component, those of Jobs are replaced.
    let dir = manifests();
    with_components(dir.path(), "pod-identity", &["agent"]);
    let built = objects(&kustomize(&dir.path().join("kubernetes/pod-identity")));
    let is_right = |object: &&Value| object["apiVersion"] == "rbac.authorization.k8s.io/v1";
    let rights: Vec<_> = built.iter().filter(is_right).collect();
    let expected = objects(&printed_rights("kubectl-agent"));
    assert_eq!(rights.len(), expected.len(), "{rights:?}");
    for one in &expected {
        assert!(rights.contains(&one), "{one:#}: {rights:?}");
    }
}

/// Validates manifests against the schemas of a version of Kubernetes: whether they are valid,
/// and the output.
fn validate(dir: &Path, manifests: &str, version: &str) -> (bool, String) {
    let file = dir.join("manifests.yaml");
    std::fs::write(&file, manifests).unwrap();
    let program = root().join("target/validators/bin/kubernetes-validate");
    assert!(program.exists(), "it is missing; install it with: tests/validate --install");
    let output = Command::new(program).args(["--strict", "-k", version]).arg(&file).output().unwrap();
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[test]
fn the_manifests_are_valid() {
    let dir = manifests();
    for way in WAYS {
        let path = dir.path().join("kubernetes").join(way);
        let plain = kustomize(&path);
        with_components(dir.path(), way, &["agent", "reports"]);
        for text in [plain, kustomize(&path)] {
            for version in ["1.31", "1.37"] {
                let (is_valid, output) = validate(dir.path(), &text, version);
                assert!(is_valid, "{way}: {output}");
            }
            for (from, to) in [
                ("concurrencyPolicy:", "concurrencyPolicies:"),
                ("backoffLimit: 0", "backoffLimit: none"),
                ("readOnlyRootFilesystem:", "readonlyRootFilesystem:"),
            ] {
                assert!(text.contains(from));
                let (is_valid, output) = validate(dir.path(), &text.replacen(from, to, 1), "1.37");
                assert!(!is_valid, "{from}: {output}");
            }
        }
    }
}

/// The pods comply with the level "restricted" of Pod Security, and are bounded.
/// <https://kubernetes.io/docs/concepts/security/pod-security-standards/>
#[test]
fn the_pods_have_no_rights_on_their_node() {
    let dir = manifests();
    with_components(dir.path(), "irsa", &["reports"]);
    let objects = objects(&kustomize(&dir.path().join("kubernetes/irsa")));
    let job = &one(&objects, "CronJob")["spec"];
    assert_eq!(job["concurrencyPolicy"], "Forbid");
    assert!(job["successfulJobsHistoryLimit"].is_u64() && job["failedJobsHistoryLimit"].is_u64());
    let job = &job["jobTemplate"]["spec"];
    assert!(job["activeDeadlineSeconds"].is_u64());
    for pod in [&job["template"]["spec"], &one(&objects, "Deployment")["spec"]["template"]["spec"]] {
        let context = &pod["securityContext"];
        assert_eq!(
            (&context["runAsNonRoot"], &context["seccompProfile"]["type"]),
            (&json!(true), &json!("RuntimeDefault"))
        );
        assert!(context["runAsUser"].as_u64().unwrap() > 0);
        for key in ["hostPID", "hostNetwork", "hostIPC"] {
            assert!(pod[key].is_null(), "{key}");
        }
        for volume in pod["volumes"].as_array().unwrap() {
            assert!(volume["hostPath"].is_null(), "{volume}");
        }
        for container in pod["containers"].as_array().unwrap() {
            let context = &container["securityContext"];
            assert_eq!(context["allowPrivilegeEscalation"], false);
            assert_eq!(context["readOnlyRootFilesystem"], true);
            assert_eq!(context["capabilities"], json!({"drop": ["ALL"]}));
            let resources = &container["resources"];
            assert!(resources["requests"]["cpu"].is_string() && resources["limits"]["memory"].is_string());
        }
    }
    let account = one(&objects, "ServiceAccount");
    assert!(account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"].is_string());
}

/// Runs commands of docs/kubernetes.md with stand-ins for the programs that they need; the output.
fn documented(mark: &str, stand_ins: &str) -> (bool, String) {
    let script = format!("{stand_ins}\n{}", code_block("docs/kubernetes.md", mark));
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.success(), text)
}

#[test]
fn the_documented_wait_for_the_first_run_ends() {
    let kubectl =
        "sleep() { echo slept; }; kubectl() { echo \"$1\"; [ \"$1\" != logs ] || [ -e /nonexistent ]; }";
    let (_, text) = documented("first run", kubectl);
    assert_eq!((text.matches("logs\n").count(), text.matches("slept\n").count()), (60, 60), "{text}");
    let (has_succeeded, text) = documented("first run", "kubectl() { echo \"$1\"; }");
    assert!(has_succeeded);
    assert_eq!(text, "apply\ncreate\nlogs\n");
}

#[test]
fn the_documented_role_trusts_the_service_account() {
    let aws = "
        aws() {
            case \"$2\" in
                get-caller-identity) echo 111122223333 ;;
                describe-cluster) echo https://oidc.eks.ap-northeast-2.amazonaws.com/id/EXAMPLE ;;
                create-role) echo \"$6\" ;;
            esac
        }
        eks-netcheck() { :; }";
    let (has_succeeded, text) = documented("irsa", aws);
    assert!(has_succeeded, "{text}");
    let policy: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let provider = "oidc.eks.ap-northeast-2.amazonaws.com/id/EXAMPLE";
    let statement = &policy["Statement"][0];
    assert_eq!(
        statement["Principal"]["Federated"],
        format!("arn:aws:iam::111122223333:oidc-provider/{provider}")
    );
    let account = json!({
        format!("{provider}:aud"): "sts.amazonaws.com",
        format!("{provider}:sub"): "system:serviceaccount:eks-netcheck:eks-netcheck",
    });
    assert_eq!(statement["Condition"]["StringEquals"], account);
    // What is set in the manifests is named, where it is.
    let irsa = std::fs::read_to_string(root().join("packaging/kubernetes/irsa/kustomization.yaml")).unwrap();
    let docs = std::fs::read_to_string(root().join("docs/kubernetes.md")).unwrap();
    for part in ["eks.amazonaws.com/role-arn", "irsa/kustomization.yaml"] {
        assert!(docs.contains(part), "{part}");
    }
    assert!(irsa.contains("eks.amazonaws.com/role-arn: arn:aws:iam::"), "{irsa}");
}

/// The pod of the `CronJob` is on the node of the exporter, since a volume of EBS is attached to one:
/// what selects nodes for the one selects them for the other.
#[test]
fn the_exporter_runs_where_the_audit_can() {
    let dir = manifests();
    with_components(dir.path(), "pod-identity", &["reports"]);
    let objects = objects(&kustomize(&dir.path().join("kubernetes/pod-identity")));
    let audit = &one(&objects, "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    let exporter = &one(&objects, "Deployment")["spec"]["template"];
    let rule = &audit["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0];
    assert_eq!(rule["topologyKey"], "kubernetes.io/hostname");
    assert_eq!(rule["labelSelector"]["matchLabels"], exporter["metadata"]["labels"]);
    let selector = json!({"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"});
    assert_eq!(audit["nodeSelector"], selector);
    for key in ["nodeSelector", "tolerations"] {
        assert_eq!(exporter["spec"][key], audit[key], "{key}");
    }
}

/// The label by which the tool's own Jobs are removed is not one of the `CronJob`'s.
#[test]
fn the_jobs_of_the_cronjob_are_not_removed_as_those_of_the_tool() {
    let objects = objects(&kustomize(&root().join("packaging/kubernetes/pod-identity")));
    let labels = &one(&objects, "CronJob")["spec"]["jobTemplate"]["metadata"]["labels"];
    let docs = std::fs::read_to_string(root().join("docs/live.md")).unwrap();
    assert!(docs.contains("kubectl delete jobs -n kube-system -l app.kubernetes.io/name=eks-netcheck\n"));
    assert_ne!(labels["app.kubernetes.io/name"], "eks-netcheck");
}

/// A Job that fails is a verdict, by the alert of docs/kubernetes.md: a node that goes away is none.
#[test]
fn a_drained_node_is_no_failed_audit() {
    let objects = objects(&kustomize(&root().join("packaging/kubernetes/pod-identity")));
    let job = &one(&objects, "CronJob")["spec"]["jobTemplate"]["spec"];
    let rule =
        json!({"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]});
    assert_eq!(job["podFailurePolicy"]["rules"], json!([rule]));
    // The API server refuses such a policy for pods that are restarted in place.
    assert_eq!(job["template"]["spec"]["restartPolicy"], "Never");
    assert_eq!(job["template"]["metadata"]["annotations"]["karpenter.sh/do-not-disrupt"], "true");
}

/// `kubectl apply -k` of a directory.
fn apply(kube: &Kube, dir: &Path) {
    let mut kubectl = kube.testbed.lab.operator_command("kubectl");
    kubectl.env("KUBECONFIG", kube.kubeconfig()).env("HOME", kube.dir.path());
    kubectl.env("PATH", std::env::var_os("PATH").unwrap());
    // The validation by the server needs its schemas.
    kubectl.args(["--context", "lab", "apply", "--server-side", "--validate=false", "-k"]).arg(dir);
    let ran = run_command(kubectl);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

/// The command of the only container of a pod: its arguments, and its environment.
fn container(pod: &Value, maps: &[Value]) -> (Vec<String>, Vec<(String, String)>) {
    let container = &pod["containers"][0];
    let mut env = Vec::new();
    for from in container["envFrom"].as_array().unwrap() {
        let is_it = |object: &&Value| {
            object["kind"] == "ConfigMap" && object["metadata"]["name"] == from["configMapRef"]["name"]
        };
        let map = maps.iter().find(is_it).unwrap();
        for (key, value) in map["data"].as_object().unwrap() {
            env.push((key.clone(), value.as_str().unwrap().to_owned()));
        }
    }
    for variable in container["env"].as_array().unwrap() {
        let text = |key: &str| variable[key].as_str().unwrap().to_owned();
        env.push((text("name"), text("value")));
    }
    let expand = |arg: &Value| {
        let arg = arg.as_str().unwrap().to_owned();
        env.iter().fold(arg, |arg, (key, value)| arg.replace(&format!("$({key})"), value))
    };
    (container["args"].as_array().unwrap().iter().map(expand).collect(), env)
}

/// A run of the pod of the `CronJob`, with the rights that were applied.
struct CronJob {
    applied: Vec<Value>,
    report: Value,
    /// The directory of the reports.
    reports: tempfile::TempDir,
}

/// Applies the manifests with components, and runs the pod.
fn run_cronjob(kube: &Kube, components: &[&str]) -> CronJob {
    let dir = manifests();
    with_components(dir.path(), "pod-identity", components);
    apply(kube, &dir.path().join("kubernetes/pod-identity"));
    let applied = kube.api.applied();
    let _ = kube.api.take_journal();

    // What the bindings give to the service account of the pod.
    let pod = &one(&applied, "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    let account = json!({
        "kind": "ServiceAccount", "namespace": "eks-netcheck", "name": pod["serviceAccountName"],
    });
    let bound = applied.iter().filter(|object| object["subjects"] == json!([account]));
    let roles: Vec<_> = bound
        .map(|binding| {
            let is_it = |role: &&Value| {
                role["kind"] == binding["roleRef"]["kind"]
                    && role["metadata"]["name"] == binding["roleRef"]["name"]
                    && role["metadata"]["namespace"] == binding["metadata"]["namespace"]
            };
            applied.iter().find(is_it).unwrap().clone()
        })
        .collect();
    assert_eq!(roles.len(), 3);
    kube.api.set_roles(Some(roles));
    kube.api.set_token(Some(TOKEN));

    // What a pod has: the files of its service account, the address of the API server, and no kubeconfig.
    let listener = std::net::SocketAddr::from((OPERATOR, 6444));
    let tls =
        Tls::start(&kube.testbed.lab, kube.api.address(), &[listener], &[ENDPOINT_HOST], &[OPERATOR.into()])
            .unwrap();
    kube.testbed.change_account(|account| {
        let cluster = account.clusters.get_mut("myeks").unwrap();
        cluster["certificateAuthority"]["data"] = json!(tls.authority_data());
    });
    let secrets = kube.testbed.lab.operator_root().join("run/secrets/kubernetes.io/serviceaccount");
    std::fs::create_dir_all(&secrets).unwrap();
    std::fs::write(secrets.join("token"), TOKEN).unwrap();
    std::fs::write(secrets.join("namespace"), "eks-netcheck").unwrap();
    std::fs::write(secrets.join("ca.crt"), tls.authority()).unwrap();
    let (args, env) = container(pod, &applied);
    let reports = scratch();
    let in_reports = |arg: &String| arg.replace("=/reports/", &format!("={}/", reports.path().display()));
    let mut command = kube.testbed.lab.operator_command(env!("CARGO_BIN_EXE_eks-netcheck"));
    command.args(args.iter().map(in_reports)).env_remove("USER").env_remove("TERM");
    command.env("PATH", std::env::var_os("PATH").unwrap()).envs(env);
    command.env("AWS_ENDPOINT_URL", kube.testbed.aws_url());
    command.env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE").env("AWS_SECRET_ACCESS_KEY", "not-a-secret");
    command.env("KUBERNETES_SERVICE_HOST", OPERATOR.to_string()).env("KUBERNETES_SERVICE_PORT", "6444");
    let ran = run_command(command);
    std::fs::remove_dir_all(secrets).unwrap();

    assert_eq!((ran.code, ran.stderr.as_str()), (1, ""), "{}", ran.stdout);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    for node in report["nodes"].as_array().unwrap() {
        assert_eq!((&node["status"], &node["via"]), (&json!("read"), &json!("kubectl")), "{report:#}");
    }
    CronJob { applied, report, reports }
}

#[test]
fn the_cronjob_reads_the_nodes_with_the_rights_that_were_applied() {
    let kube = kube(Access::Public);
    // It is not used.
    kube.api.add_agent("n1");
    let CronJob { applied, report, reports } = run_cronjob(&kube, &["reports"]);
    let kinds: BTreeSet<_> = applied.iter().map(|object| object["kind"].as_str().unwrap()).collect();
    for kind in ["Namespace", "ServiceAccount", "ConfigMap", "ClusterRole", "Role", "CronJob", "Deployment"] {
        assert!(kinds.contains(kind), "{kind}: {kinds:?}");
    }
    let journal = kube.api.take_journal();
    assert!(journal.iter().any(|access| access.verb == "create" && access.namespace == "eks-netcheck"));
    assert!(journal.iter().all(|access| access.namespace != "kube-system"), "{journal:?}");
    kube.assert_clean("the audit of a CronJob");

    let pod = &one(&applied, "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    let is_mounted = |mount: &Value| mount["name"] == "reports" && mount["mountPath"] == "/reports";
    assert!(pod["containers"][0]["volumeMounts"].as_array().unwrap().iter().any(is_mounted));
    let written: Value =
        serde_json::from_slice(&std::fs::read(reports.path().join("eks-netcheck.json")).unwrap()).unwrap();
    assert_eq!(written, report);
    let exporter = &one(&applied, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    is_exported(exporter, reports.path());
}

#[test]
fn the_cronjob_with_the_agents_pods_creates_nothing() {
    let kube = kube(Access::Public);
    kube.api.add_agent("n1");
    kube.api.add_agent("n2");
    let CronJob { applied, .. } = run_cronjob(&kube, &["agent"]);
    let namespace = one(&applied, "Namespace");
    assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
    let journal = kube.api.take_journal();
    for access in &journal {
        let is_read = matches!(access.verb.as_str(), "get" | "list") && access.resource != "jobs";
        assert!(is_read || access.resource == "pods/exec", "{access:?}");
        assert!(access.namespace != "eks-netcheck", "{access:?}");
    }
    assert!(journal.iter().any(|access| access.resource == "pods/exec"), "{journal:?}");
}

/// The exporter of the manifests serves the metrics in a directory.
fn is_exported(container: &Value, reports: &Path) {
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let args = container["args"].as_array().unwrap().iter().map(|arg| {
        let arg = arg.as_str().unwrap();
        arg.replace("=/reports", &format!("={}", reports.display()))
            .replace("=:9100", &format!("=127.0.0.1:{port}"))
    });
    let installed = root().join("target/validators/debian/usr/bin/prometheus-node-exporter");
    let program = if installed.exists() { installed } else { "prometheus-node-exporter".into() };
    let mut exporter = Command::new(program).args(args).stderr(std::process::Stdio::null()).spawn().unwrap();
    let mut metrics = String::new();
    for _ in 0..100 {
        let url = format!("http://127.0.0.1:{port}/metrics");
        let output = Command::new("curl").args(["--silent", "--noproxy", "*", &url]).output().unwrap();
        metrics = String::from_utf8(output.stdout).unwrap();
        if !metrics.is_empty() {
            break;
        }
        sleep(Duration::from_millis(100));
    }
    exporter.kill().unwrap();
    exporter.wait().unwrap();
    assert!(metrics.contains("\nnode_textfile_scrape_error 0\n"), "{metrics}");
    assert!(metrics.contains("\neks_netcheck_run_verdict{verdict=\"fail\"} 1\n"), "{metrics}");
}
