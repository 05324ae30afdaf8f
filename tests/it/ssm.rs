//! Run Command of Systems Manager: the script in several shells, and the calls of many nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use eks_netcheck_lab::aws::{Agent, Delivery, Runner};
use serde_json::{Value, json};

use crate::aws::Aws;
use crate::common::{Netcheck, copy_of_dir, root, scratch, story, subdirs};
use crate::pty::DEFAULT_SIGNALS;

/// The script of the document that the tool prints.
fn script() -> String {
    let document: Value = serde_json::from_str(&Netcheck::new(["ssm-document"]).run().stdout).unwrap();
    assert_eq!(document.get("parameters"), None);
    let lines = document["mainSteps"][0]["inputs"]["runCommand"].as_array().unwrap();
    lines.iter().flat_map(|line| [line.as_str().unwrap(), "\n"]).collect()
}

/// A directory with an `ss` that prints a capture.
fn programs(capture: &str) -> tempfile::TempDir {
    let dir = scratch();
    fs::write(dir.path().join("capture"), capture).unwrap();
    program(dir.path(), "ss", "#!/bin/sh\nexec cat \"${0%/*}/capture\"\n");
    dir
}

fn program(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn run(shell: &[&str], path: &str, script: &str) -> Output {
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).args(["-c", script]).env_clear().env("PATH", path).output().unwrap()
}

/// What the script printed, decoded by the programs that the documentation names.
fn decoded(output: &Output) -> String {
    let dir = scratch();
    fs::write(dir.path().join("stdout"), &output.stdout).unwrap();
    let decode = "sed '/^eks-netcheck/d' stdout | base64 -d | gunzip";
    let decoded = Command::new("sh").args(["-c", decode]).current_dir(dir.path()).output().unwrap();
    String::from_utf8(decoded.stdout).unwrap()
}

const USUAL: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const SHELLS: [&[&str]; 3] = [&["dash"], &["bash", "--posix"], &["busybox", "sh"]];

fn is_installed(program: &str) -> bool {
    Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap().status.success()
}

#[test]
fn the_script_keeps_the_rows_that_matter_in_any_shell() {
    let kept = [
        r#"ESTAB 0 0 10.0.0.1:40000 203.0.113.10:443 users:(("kubelet",pid=11,fd=3))"#,
        r#"ESTAB 0 0 10.0.0.1:40001 10.0.0.9:3128 users:(("kubelet",pid=11,fd=4))"#,
        r#"SYN-SENT 0 1 10.0.0.1:40002 203.0.113.10:443 users:(("kube-proxy",pid=12,fd=3))"#,
        r#"ESTAB 0 0 10.0.0.1:40003 203.0.113.10:443 users:(("aws-k8s-agent",pid=13,fd=3))"#,
        r#"ESTAB 0 0 [::ffff:10.0.0.1]:10250 [::ffff:192.168.1.55]:4444 users:(("kubelet",pid=11,fd=9))"#,
        "ESTAB 0 0 10.0.0.1:10250 10.0.0.3:5555",
        "TIME-WAIT 0 0 [fd00::1]:40004 [fd00::2]:443",
        r#"ESTAB 0 0 10.0.0.1:40005 203.0.113.10:443 users:(("a\b $x `y`",pid=14,fd=3))"#,
    ];
    let dropped = [
        r#"ESTAB 0 0 10.0.0.1:22 10.0.0.8:51000 users:(("sshd",pid=15,fd=3))"#,
        r#"ESTAB 0 0 10.0.0.1:443 10.0.0.8:4430 users:(("ingress",pid=16,fd=3))"#,
        "ESTAB 0 0 10.0.0.1:40006 10.0.0.8:102500",
        "TIME-WAIT 0 0 10.0.0.1:40007 10.0.0.8:80",
    ];
    let heading = "State Recv-Q Send-Q Local Address:Port Peer Address:Port Process";
    let rows: Vec<_> = kept.iter().zip(dropped.iter().cycle()).flat_map(|(a, b)| [*a, *b]).collect();
    let capture = format!("{heading}\n{}\n", rows.join("\n"));
    let dir = programs(&capture);
    let busybox = scratch();
    let mut paths = vec![format!("{}:{USUAL}", dir.path().display())];
    if is_installed("busybox") {
        for name in ["awk", "sed", "gzip", "base64", "timeout"] {
            let link = busybox.path().join(name);
            std::os::unix::fs::symlink("/usr/bin/busybox", &link).unwrap();
            if !link.exists() {
                fs::remove_file(link).unwrap();
            }
        }
        paths.push(format!("{}:{}:{USUAL}", dir.path().display(), busybox.path().display()));
    }
    let mut shells = 0;
    for shell in SHELLS.into_iter().filter(|shell| is_installed(shell[0])) {
        for path in &paths {
            shells += 1;
            let output = run(shell, path, &script());
            assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{shell:?} {path}");
            let text = decoded(&output);
            let lines: Vec<_> = text.lines().collect();
            assert_eq!(lines[0], "# eks-netcheck filtered 1", "{shell:?} {path}: {text}");
            let found: Vec<_> = lines.iter().filter(|line| !line.starts_with('#')).copied().collect();
            assert_eq!(found, [&[heading], &kept[..]].concat(), "{shell:?} {path}");
            let end = lines.last().unwrap().rsplit_once(' ').unwrap().0;
            assert_eq!(
                end, "# eks-netcheck end ss=0 sockets=16 kept=8 named=10 nameless=3",
                "{shell:?} {path}"
            );
        }
    }
    assert!(shells > 0);
}

#[test]
fn a_node_without_the_programs_says_which_are_missing() {
    let dir = scratch();
    for name in ["awk", "base64"] {
        program(dir.path(), name, "#!/bin/sh\n");
    }
    // The script appends the directories of ss.
    let script = script().replace(":/usr/sbin:/sbin", "");
    for shell in SHELLS.into_iter().filter(|shell| is_installed(shell[0])) {
        let program = Command::new("sh").args(["-c", &format!("command -v {}", shell[0])]).output().unwrap();
        let program = String::from_utf8(program.stdout).unwrap();
        let shell = [&[program.trim()], &shell[1..]].concat();
        let output = run(&shell, dir.path().to_str().unwrap(), &script);
        let text = String::from_utf8_lossy(&output.stdout);
        // The applets of busybox are programs too.
        let missing =
            text.strip_prefix("eks-netcheck missing ").unwrap_or_else(|| panic!("{shell:?}: {text}"));
        assert!(missing.contains("ss"), "{shell:?}: {text}");
    }
}

/// Captures that the script filtered lead to the same findings as whole ones, and to the same
/// traffic of nodes.
#[test]
fn the_filter_changes_no_verdict_of_any_story() {
    let script = script();
    let mut filtered_nodes = 0;
    let of = |dir: std::path::PathBuf| subdirs(&dir).into_iter().map(move |name| dir.join(name));
    let rules = of(root().join("fixtures/rules")).flat_map(of);
    for original in of(root().join("fixtures/evidence")).chain(rules) {
        let name = original.display().to_string();
        let copy = copy_of_dir(&original);
        let Ok(nodes) = fs::read_dir(copy.path().join("nodes")) else { continue };
        for node in nodes {
            let path = node.unwrap().path();
            let Ok(capture) = fs::read_to_string(&path) else { continue };
            // Captures by root of all sockets, whole and of one node.
            let is_whole = capture.starts_with("State ") && capture.contains("users:((\"sshd\"");
            if !is_whole || capture.contains("\n\t") || !capture.contains("kubelet") {
                continue;
            }
            let dir = programs(&capture);
            let output = run(&["sh"], &format!("{}:{USUAL}", dir.path().display()), &script);
            let text = decoded(&output);
            // Whether a process exists is not in a capture.
            let runs = if capture.contains("\"kube-proxy\"") { "yes" } else { "no" };
            let (before, _) = text.rsplit_once('=').unwrap();
            let text = format!("{before}={runs}\n");
            assert!(text.lines().count() < capture.lines().count() + 3, "{name}");
            fs::write(&path, text).unwrap();
            filtered_nodes += 1;
        }
        let Ok(cluster) = fs::read(copy.path().join("cluster.json")) else { continue };
        let cluster: Value = serde_json::from_slice(&cluster).unwrap();
        let cluster = cluster["cluster"]["name"].as_str().unwrap().to_owned();
        let audit = |dir: &Path| {
            let dir = dir.to_str().unwrap();
            let args = ["audit", "--cluster", &cluster, "--evidence", dir, "--format", "json"];
            let ran = Netcheck::new(args).run();
            // Hints name the directory.
            let text = ran.stdout.replace(dir, "DIR");
            let report: Value = serde_json::from_str(&text).unwrap_or_default();
            (report, ran.code)
        };
        let ((whole, whole_code), (filtered, code)) = (audit(&original), audit(copy.path()));
        for key in ["verdict", "findings", "node_traffic", "gaps", "not_judged", "other_connections"] {
            assert_eq!(filtered[key], whole[key], "{name}: {key}");
        }
        let sockets = |report: &Value| -> Vec<_> {
            report["nodes"].as_array().into_iter().flatten().map(|node| node["sockets"].clone()).collect()
        };
        assert_eq!(sockets(&filtered), sockets(&whole), "{name}");
        assert_eq!(code, whole_code, "{name}");
    }
    assert!(filtered_nodes > 10, "{filtered_nodes}");
}

/// What a filter leaves out has neither appeared nor gone.
#[test]
fn a_filtered_recording_compares_with_a_whole_one() {
    let (whole, filtered) = (story("private-only"), copy_of_dir(&story("private-only")));
    let path = filtered.path().join("nodes/n1.txt");
    let capture = fs::read_to_string(&path).unwrap();
    let public = r#"ESTAB 0 0 192.168.1.20:50000 3.39.1.1:443 users:(("kubelet",pid=3011,fd=99))"#;
    let dir = programs(&format!("{capture}{public}\n"));
    let output = run(&["sh"], &format!("{}:{USUAL}", dir.path().display()), &script());
    fs::write(&path, decoded(&output)).unwrap();
    for (before, after, change) in
        [(&*whole, filtered.path(), "appeared"), (filtered.path(), &*whole, "gone")]
    {
        let (report, code) = Netcheck::diff(before, after).json();
        let listed = report["changes"].as_array().unwrap();
        let changed: Vec<_> = listed.iter().map(|one| (&one["peer"], &one["change"])).collect();
        assert_eq!((code, changed), (0, vec![(&json!("3.39.1.1:443"), &json!(change))]), "{report:#}");
    }
}

/// A fake AWS with many nodes, all of which print the same.
pub(crate) fn many_nodes(count: usize, output: Output) -> Aws {
    let aws = Aws::of("private-only");
    aws.0.update_account(|account| {
        let is_node = |reservation: &&Value| reservation.to_string().contains("cluster/myeks");
        let model = account.reservations.iter().find(is_node).unwrap().clone();
        account.reservations = (0..count)
            .map(|number| {
                let mut reservation = model.clone();
                let instance = &mut reservation["Instances"][0];
                instance["InstanceId"] = json!(id(number));
                instance["PrivateDnsName"] = json!(format!("n{number}"));
                reservation
            })
            .collect();
    });
    let runner: Runner = Arc::new(move |_| Ok(output.clone()));
    for number in 0..count {
        aws.0.ssm().set_agent(&id(number), Agent::online(Arc::clone(&runner)));
    }
    aws.0.ssm().create_document("eks-netcheck", &Netcheck::new(["ssm-document"]).run().stdout);
    aws
}

pub(crate) fn id(number: usize) -> String {
    format!("i-{number:017x}")
}

/// The output of the script on the first node of a story.
pub(crate) fn output() -> Output {
    output_with("")
}

/// The same with further rows.
pub(crate) fn output_with(rows: &str) -> Output {
    let capture = fs::read_to_string(story("private-only").join("nodes/n1.txt")).unwrap();
    let dir = programs(&(capture + rows));
    run(&["sh"], &format!("{}:{USUAL}", dir.path().display()), &script())
}

pub(crate) fn calls(aws: &Aws) -> BTreeMap<String, usize> {
    let mut calls = BTreeMap::new();
    for call in aws.0.calls().into_iter().filter(|call| call.service.name() == "ssm") {
        *calls.entry(call.operation).or_default() += 1;
    }
    calls
}

/// One command reads 50 nodes, and its results come in one answer.
#[test]
fn the_number_of_calls_grows_with_every_fifty_nodes() {
    let output = output();
    for (nodes, groups) in [(1, 1), (50, 1), (51, 2), (120, 3)] {
        let aws = many_nodes(nodes, output.clone());
        let (report, _) = aws.run("audit").args(&["--nodes", "ssm"]).json();
        let read = report["nodes"].as_array().unwrap();
        assert!(read.len() == nodes && read.iter().all(|node| node["status"] == "read"), "{report:#}");
        let mut calls = calls(&aws);
        let polls = calls.remove("ListCommandInvocations").unwrap();
        assert!((groups..=6 * groups).contains(&polls), "{nodes}: {polls}");
        let expected = ["DescribeInstanceInformation", "SendCommand"].map(|name| (name.to_owned(), groups));
        assert_eq!(calls, expected.into(), "{nodes} nodes");
        let sent = aws.0.calls().into_iter().filter(|call| call.operation == "SendCommand");
        for call in sent {
            assert_eq!(call.parameter("MaxErrors"), Some("100%"));
            assert_eq!(call.parameter("MaxConcurrency"), Some("32"));
            assert_eq!(call.parameter("Parameters"), None);
        }
    }
}

/// Each cluster is read by commands of its own.
#[test]
fn several_clusters_are_read_in_one_run() {
    let aws = many_nodes(2, output());
    aws.0.update_account(|account| {
        let mut other = account.clusters["myeks"].clone();
        other["name"] = json!("other");
        account.clusters.insert("other".to_owned(), other);
        let mut reservation = account.reservations[1].clone();
        let text = reservation.to_string().replace("myeks", "other").replace(&id(1), &id(7));
        reservation = serde_json::from_str(&text).unwrap();
        account.reservations.push(reservation);
    });
    let same = output();
    aws.0.ssm().set_agent(&id(7), Agent::online(Arc::new(move |_| Ok(same.clone()))));
    let args = ["--cluster", "other", "--nodes", "ssm"];
    let (reports, _) = aws.run("audit").args(&args).json();
    let read: Vec<_> = reports["reports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|report| {
            let nodes = report["nodes"].as_array().unwrap();
            nodes.iter().filter(|node| node["status"] == "read" && node["via"] == "ssm").count()
        })
        .collect();
    assert_eq!(read, [2, 1], "{reports:#}");
    assert_eq!(calls(&aws)["SendCommand"], 2);
}

/// One node that Systems Manager refuses does not cost the others.
#[test]
fn a_node_that_is_refused_is_the_only_one_not_read() {
    let aws = many_nodes(20, output());
    // Its agent is listed, and gone when the command is sent.
    aws.0.ssm().refuse(&id(7));
    let (report, _) = aws.run("audit").args(&["--nodes", "ssm"]).json();
    let statuses: Vec<_> =
        report["nodes"].as_array().unwrap().iter().map(|node| node["status"].clone()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == "read").count(), 19, "{statuses:?}");
    let gaps = report["gaps"].as_array().unwrap();
    let gap = gaps.iter().find(|gap| gap["what"] == "node n7").unwrap();
    assert!(gap["detail"].as_str().unwrap().contains("InvalidInstanceId"), "{gap:#}");
}

/// A signal ends the run within a second, whenever it arrives, and no command goes on.
#[test]
fn a_signal_at_any_moment_leaves_no_command_running() {
    let aws = many_nodes(3, output());
    for number in 0..3 {
        let mut agent = Agent::online(Arc::new(|_| Command::new("true").output()));
        agent.delay = Duration::from_secs(5);
        aws.0.ssm().set_agent(&id(number), agent);
    }
    for moment in 0..20 {
        let mut run = Command::new("env");
        run.args([DEFAULT_SIGNALS, env!("CARGO_BIN_EXE_eks-netcheck"), "audit", "--cluster", "myeks"]);
        run.args(["--nodes", "ssm"]).env("AWS_ENDPOINT_URL", aws.0.url());
        run.env("AWS_ACCESS_KEY_ID", "A")
            .env("AWS_SECRET_ACCESS_KEY", "B")
            .env("AWS_REGION", "ap-northeast-2");
        let mut child = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(20 + moment * 20));
        let sent = Instant::now();
        let kill = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        let code = child.wait().unwrap().code();
        assert!(sent.elapsed() < Duration::from_secs(1), "{moment}: {:?}", sent.elapsed());
        // 143 also where the signal arrived before the program listened to it.
        assert!(matches!(code, Some(143) | None), "{moment}: {code:?}");
    }
    let statuses = aws.0.ssm().statuses();
    assert!(statuses.len() >= 3 && statuses.iter().all(|status| status == "Cancelled"), "{statuses:?}");
}

/// The policy lists exactly what is called, and allows to run one document.
#[test]
fn the_policy_of_ssm_lists_exactly_the_actions_called() {
    let mut long = output();
    // More than lists contain.
    long.stdout = [b"noise\n".repeat(500), long.stdout].concat();
    let aws = many_nodes(2, long);
    let mut agent = Agent::online(Arc::new(|_| unreachable!("it does not run")));
    agent.delivery = Delivery::Never;
    aws.0.ssm().set_agent(&id(1), agent);
    let args = ["--nodes", "ssm", "--timeout", "2"];
    let (report, _) = aws.run("audit").args(&args).json();
    let statuses: Vec<_> = report["nodes"].as_array().unwrap().iter().map(|node| &node["status"]).collect();
    assert_eq!(statuses, ["read", "unreachable"], "{report:#}");
    let policy = |args: &[&str]| -> Value {
        let args = [&["iam-policy", "--nodes", "ssm"], args].concat();
        serde_json::from_str(&Netcheck::new(args).run().stdout).unwrap()
    };
    let statements = policy(&[])["Statement"].clone();
    let allowed: BTreeSet<_> = statements
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|statement| statement["Action"].as_array().unwrap())
        .map(|action| action.as_str().unwrap().strip_prefix("ssm:").unwrap().to_owned())
        .collect();
    let called: BTreeSet<_> = calls(&aws).into_keys().collect();
    assert_eq!(called, allowed);
    let document = |policy: &Value| policy["Statement"][0]["Resource"][0].clone();
    assert_eq!(document(&policy(&[])), "arn:aws:ssm:*:*:document/eks-netcheck");
    let of_aws = policy(&["--ssm-document", "AWS-RunShellScript"]);
    assert_eq!(document(&of_aws), "arn:aws:ssm:*::document/AWS-RunShellScript");
    // It is separate: what only reads does not permit to run anything.
    assert!(!Netcheck::new(["iam-policy"]).run().stdout.contains("ssm:"));
}

#[test]
fn wrong_values_of_the_options_are_refused() {
    for (args, message) in [
        (&["--ssm-output", "my-bucket"][..], "s3://BUCKET"),
        (&["--ssm-output", "s3://My_Bucket"], "not the name of a bucket"),
        (&["--ssm-output", "s3://bucket/$(id)"], "a prefix has"),
        (&["--ssm-document", "a b"], "a document's name"),
        (&["--ssm-document", "-x"], ""),
        (&["--nodes", "ssm", "--node", "n1=10.0.0.1"], "only ssh has targets"),
        (&["--nodes", "ssm,ssm"], "given twice"),
    ] {
        let ran = Netcheck::new([&["audit", "--cluster", "myeks"], args].concat()).run();
        assert!(ran.code == 2 && ran.stderr.contains(message), "{args:?}: {} {}", ran.code, ran.stderr);
    }
}

/// Commands for a node that Run Command read are run by it too.
#[test]
fn steps_reach_a_node_by_run_command() {
    let capture = fs::read_to_string(story("study-public").join("nodes/n1.txt")).unwrap();
    let dir = programs(&capture);
    let output = run(&["sh"], &format!("{}:{USUAL}", dir.path().display()), &script());
    let aws = many_nodes(1, output);
    let public = Aws::of("study-public");
    let mut cluster = Value::Null;
    public.0.update_account(|account| cluster = account.clusters["myeks"].clone());
    aws.0.update_account(|account| {
        let vpc = account.clusters["myeks"]["resourcesVpcConfig"]["vpcId"].clone();
        cluster["resourcesVpcConfig"]["vpcId"] = vpc;
        account.clusters.insert("myeks".to_owned(), cluster);
    });
    let run = aws.run("audit").args(&["--nodes", "ssm,ssh", "--ssm-document", "eks-netcheck"]);
    let (report, _) = run.json();
    let mut commands = Vec::new();
    crate::steps::commands_of(&report, &mut commands);
    let restart = format!(
        "aws ssm send-command --region ap-northeast-2 --document-name AWS-RunShellScript --max-concurrency 1 --parameters 'commands=[\"systemctl restart kubelet\"]' --instance-ids {}",
        id(0)
    );
    assert!(commands.contains(&restart), "{commands:#?}");
    let own = "eks-netcheck audit --cluster myeks --region ap-northeast-2 --nodes ssm,ssh";
    assert!(commands.iter().any(|one| one == own), "{commands:#?}");
}
