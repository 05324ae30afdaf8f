//! Reading nodes by Run Command: the script runs as real processes on the nodes.

use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use eks_netcheck_lab::aws::{Agent, Behaviour, Delivery, Fault, FaultKind};
use eks_netcheck_lab::sandbox::{ENDPOINT_HOST, ENIS, PUBLIC, View};
use serde_json::{Value, json};

use super::{Access, Testbed, remove_commands, testbed};
use crate::common::{Netcheck, scratch};

impl Testbed {
    /// Registers an agent on every node, and the document.
    fn manage(&self) {
        let ssm = self.aws.ssm();
        ssm.reset();
        ssm.create_document("eks-netcheck", &Netcheck::new(["ssm-document"]).run().stdout);
        for (index, node) in self.lab.nodes().iter().enumerate() {
            node.set_kubeconfig(&format!("https://{ENDPOINT_HOST}")).unwrap();
            ssm.set_agent(&id(index), Agent::online(node.runner()));
        }
    }

    /// The report on what `collect` recorded by ssh.
    fn recorded(&self) -> Value {
        let out = scratch();
        let dir = out.path().join("evidence");
        let dir = dir.to_str().unwrap();
        let ran = self.run(&["collect", "--ssh-user", "ec2-user", "--out", dir]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let capture = std::fs::read_to_string(out.path().join("evidence/nodes/n1.txt")).unwrap();
        assert!(!capture.contains("eks-netcheck") && capture.contains("\"sshd\""), "{capture}");
        let ran = self.run(&["audit", "--format", "json", "--evidence", dir]);
        serde_json::from_str(&ran.stdout).unwrap()
    }

    fn agent(&self, index: usize, change: impl FnOnce(&mut Agent)) {
        let mut agent = Agent::online(self.lab.node(index).runner());
        change(&mut agent);
        self.aws.ssm().set_agent(&id(index), agent);
    }

    /// The operations of Systems Manager that were called, since the call with this number.
    fn operations(&self, since: usize) -> Vec<String> {
        let calls = self.aws.calls().into_iter().skip(since);
        calls.filter(|call| call.service.name() == "ssm").map(|call| call.operation).collect()
    }
}

/// The id of the instance of a node.
fn id(index: usize) -> String {
    format!("i-{index:017x}")
}

/// What a report says, except what depends on when and how the nodes were read.
fn comparable(report: &Value) -> Value {
    let mut dns = report["dns"].as_array().unwrap().clone();
    for answer in &mut dns {
        answer["addresses"].as_array_mut().unwrap().sort_by_key(ToString::to_string);
    }
    let keys = ["verdict", "findings", "node_traffic", "connections", "gaps", "not_judged"];
    let mut same: serde_json::Map<_, _> =
        keys.iter().map(|key| ((*key).to_owned(), report[key].clone())).collect();
    remove_commands(&mut same["findings"]);
    same.insert("dns".to_owned(), json!(dns));
    Value::Object(same)
}

/// The same with the numbers of what is not listed, and without what is not recorded.
fn counted(report: &Value) -> Value {
    let mut same = comparable(report);
    same["not_judged"] = json!(null);
    same["other_connections"] = report["other_connections"].clone();
    same["nodes"] = report["nodes"].clone();
    same
}

/// The gap about a node, as its reason, detail and next step.
fn gap<'a>(report: &'a Value, what: &str) -> (&'a str, &'a str, &'a str) {
    let gaps = report["gaps"].as_array().unwrap();
    let gap = gaps.iter().find(|gap| gap["what"] == what);
    let gap = gap.unwrap_or_else(|| panic!("no gap about {what}: {gaps:#?}"));
    let text = |key: &str| gap[key].as_str().unwrap();
    (text("why"), text("detail"), text("hint"))
}

/// What the nodes' sockets are: a name, the access mode, and what opens them.
type Story = (&'static str, Access, fn(&Testbed));

const STORIES: [Story; 7] = [
    ("public", Access::Public, |testbed| testbed.dial(PUBLIC)),
    ("private", Access::Private, |testbed| testbed.dial(ENIS)),
    ("stale", Access::PublicAndPrivate, |testbed| {
        testbed.dial(PUBLIC);
        let n2 = testbed.lab.node(1);
        n2.reset_connections().unwrap();
        n2.dial("kubelet", (ENIS[0], 443)).unwrap();
        n2.dial("kube-proxy", (ENIS[1], 443)).unwrap();
    }),
    ("agent", Access::PublicAndPrivate, |testbed| {
        testbed.dial(ENIS);
        testbed.lab.node(0).dial("cilium-agent", (PUBLIC[0], 443)).unwrap();
    }),
    ("dns", Access::PublicAndPrivate, |testbed| {
        testbed.dial(PUBLIC);
        // Name servers rotate several.
        testbed.lab.set_dns(View::Vpc, &[IpAddr::V4(PUBLIC[0])]).unwrap();
    }),
    ("hanging", Access::Public, |testbed| {
        testbed.dial(PUBLIC);
        testbed.lab.block(IpAddr::V4(testbed.lab.node(0).address()), IpAddr::V4(PUBLIC[1])).unwrap();
        testbed.lab.node(0).dial_nonblocking("kubelet", (PUBLIC[1], 443)).unwrap();
    }),
    ("dead", Access::Public, |testbed| {
        testbed.dial(PUBLIC);
        let n1 = testbed.lab.node(0);
        n1.reset_connections().unwrap();
        n1.dial("kube-proxy", (PUBLIC[1], 443)).unwrap();
    }),
];

/// Whatever the paths are, both transports read the same of them.
#[test]
fn ssm_and_ssh_give_the_same_report() {
    for (name, access, set) in STORIES {
        let testbed = testbed(access);
        testbed.manage();
        set(&testbed);
        let exec = testbed.lab.node(0).exec_from(ENIS[1]).unwrap();
        let expected = testbed.audit(&[]);
        let recorded = testbed.recorded();
        let (ssm, code) = testbed.audit(&["--nodes", "ssm"]);
        drop(exec);
        if name == "hanging" {
            testbed.lab.unblock(IpAddr::V4(testbed.lab.node(0).address()), IpAddr::V4(PUBLIC[1])).unwrap();
        }
        assert_eq!(comparable(&ssm), comparable(&expected.0), "{name}");
        assert_eq!(code, expected.1, "{name}");
        // Nor does it matter that a live audit has the rows filtered on the nodes.
        assert_eq!(counted(&recorded), counted(&expected.0), "{name}");
        for node in ssm["nodes"].as_array().unwrap() {
            assert_eq!((&node["via"], &node["status"]), (&json!("ssm"), &json!("read")), "{name}: {node:#}");
        }
        assert!(!ssm["connections"].as_array().unwrap().is_empty());
    }
}

/// The recorded capture says that it was filtered, and is judged as it was live.
#[test]
fn evidence_that_ssm_recorded_gives_the_same_report() {
    let testbed = testbed(Access::PublicAndPrivate);
    testbed.manage();
    testbed.dial(PUBLIC);
    let out = scratch();
    let dir = out.path().join("evidence");
    let dir = dir.to_str().unwrap();
    let ran = testbed.run(&["collect", "--out", dir, "--nodes", "ssm"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let (live, _) = testbed.audit(&["--nodes", "ssm"]);
    let ran = testbed.run(&["audit", "--format", "json", "--evidence", dir]);
    let recorded: Value = serde_json::from_str(&ran.stdout).unwrap();
    let comparable = |report: &Value| {
        let mut report = comparable(report);
        report["not_judged"] = json!(null);
        report
    };
    assert_eq!(comparable(&recorded), comparable(&live));
    assert_eq!(recorded["nodes"][0]["via"], "ssm");
    assert_eq!(recorded["nodes"][0]["skipped_lines"], 0);
    // A part of it is no evidence of what is not in it.
    let path = out.path().join("evidence/nodes/n1.txt");
    let capture = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = capture.lines().collect();
    for kept in [lines.len() - 1, lines.len() - 2] {
        std::fs::write(&path, lines[..kept].join("\n") + "\n").unwrap();
        let ran = testbed.run(&["audit", "--format", "json", "--evidence", dir]);
        let report: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(gap(&report, "node n1").0, "incomplete");
    }
}

/// What is wrong with an agent.
enum Fails {
    /// It is not connected: its state.
    Ping(&'static str),
    /// Its operating system.
    Platform(&'static str),
    /// Its commands end without having run, with this status and these details.
    Ends(&'static str, &'static str),
    /// Its commands stay pending.
    Never,
    /// It runs this instead.
    Runs(&'static str),
}

/// What is wrong, and the reason, detail and hint of the gap about it.
const FAILURES: [(Fails, &str, &str, &str); 13] = [
    (Fails::Ping("ConnectionLost"), "unreachable", "not connected", "amazon-ssm-agent"),
    (Fails::Platform("Bottlerocket OS"), "not-supported", "Bottlerocket", "--nodes"),
    (Fails::Platform("Windows Server"), "not-supported", "does not run Linux", "--nodes"),
    (Fails::Ends("Failed", "Undeliverable"), "unreachable", "could not deliver", "amazon-ssm-agent"),
    (Fails::Ends("TimedOut", "DeliveryTimedOut"), "unreachable", "could not deliver", "amazon-ssm-agent"),
    (Fails::Ends("TimedOut", "ExecutionTimedOut"), "timed-out", "within 60 s", "by hand"),
    (Fails::Ends("Cancelled", "Cancelled"), "interrupted", "cancelled", "try again"),
    (Fails::Never, "timed-out", "it is Pending", "--timeout"),
    (Fails::Runs("echo eks-netcheck missing ss"), "not-supported", "not installed on it: ss", "--nodes"),
    (Fails::Runs("echo eks-netcheck begin 0"), "not-supported", "another version", "update-document"),
    (
        Fails::Runs("echo hello; echo broken >&2; exit 3"),
        "failed",
        "did not print the sockets (Failed); it printed \"broken\"",
        "get-command-invocation",
    ),
    (Fails::Runs("exit 0"), "failed", "did not print the sockets", "get-command-invocation"),
    (
        Fails::Runs("echo eks-netcheck begin 1; echo AAAA; echo eks-netcheck end 0"),
        "failed",
        "not gzip",
        "get-command-invocation",
    ),
];

/// What Systems Manager, an agent or a node does not do is a gap of that node, with a next
/// step; the other node is read.
#[test]
fn each_failure_of_ssm_has_its_own_gap_and_hint() {
    let testbed = testbed(Access::Private);
    testbed.dial(ENIS);
    for (fails, why, detail, hint) in FAILURES {
        testbed.manage();
        testbed.agent(0, |agent| match fails {
            Fails::Ping(ping) => ping.clone_into(&mut agent.ping),
            Fails::Platform(platform) => platform.clone_into(&mut agent.platform),
            Fails::Ends(status, details) => {
                agent.delivery = Delivery::Ends(status.to_owned(), details.to_owned());
            }
            Fails::Never => agent.delivery = Delivery::Never,
            Fails::Runs(script) => {
                agent.runner = Arc::new(|_| Command::new("sh").args(["-c", script]).output());
            }
        });
        let (report, code) = testbed.audit(&["--nodes", "ssm", "--timeout", "4"]);
        let found = gap(&report, "node n1");
        assert!(found.0 == why && found.1.contains(detail) && found.2.contains(hint), "{detail}: {found:?}");
        assert_eq!((code, &report["nodes"][1]["status"]), (3, &json!("read")), "{report:#}");
    }
    testbed.manage();
    testbed.aws.ssm().reset();
    testbed.aws.ssm().set_agent(&id(1), Agent::online(testbed.lab.node(1).runner()));
    let (report, _) = testbed.audit(&["--nodes", "ssm"]);
    let (why, detail, hint) = gap(&report, "node n1");
    assert!(
        why == "not-supported"
            && detail.contains("no agent")
            && hint.contains("AmazonSSMManagedInstanceCore")
    );
    let (why, detail, hint) = gap(&report, "node n2");
    assert!(why == "not-found" && detail.contains("InvalidDocument"), "{detail}");
    assert!(
        hint.contains("create-document --name eks-netcheck ") && hint.contains("--ssm-document"),
        "{hint}"
    );
}

/// Systems Manager may be slow, late, and busy.
#[test]
fn slow_and_late_answers_are_waited_for() {
    let testbed = testbed(Access::Private);
    testbed.manage();
    testbed.dial(ENIS);
    testbed.aws.ssm().set_behaviour(Behaviour {
        appears_after: Duration::from_millis(1200),
        late_outputs: 2,
        page_size: Some(1),
        ..Behaviour::default()
    });
    testbed.agent(1, |agent| agent.delay = Duration::from_secs(2));
    // More than lists contain of an output.
    let runner = testbed.lab.node(0).runner();
    let noise = "i=0; while [ $i -lt 300 ]; do echo some noise; i=$((i + 1)); done\n";
    testbed.agent(0, |agent| {
        agent.runner = Arc::new(move |script| runner(&format!("{noise}{script}")));
    });
    let absent =
        FaultKind::Error { status: 400, code: "InvocationDoesNotExist".to_owned(), message: String::new() };
    testbed.aws.inject_fault(Fault::always("GetCommandInvocation", absent).times(1));
    let since = testbed.aws.calls().len();
    for operation in ["SendCommand", "ListCommandInvocations", "DescribeInstanceInformation"] {
        testbed.aws.inject_fault(Fault::always(operation, FaultKind::Throttled).times(2));
    }
    let (report, code) = testbed.audit(&["--nodes", "ssm"]);
    assert_eq!((code, &report["verdict"], &report["gaps"]), (0, &json!("pass"), &json!([])), "{report:#}");
    let outputs = testbed.operations(since).into_iter().filter(|name| name == "GetCommandInvocation");
    assert_eq!(outputs.count(), 4);
}

/// An output that is cut is not a smaller one, whether or not a marker says so.
#[test]
fn an_output_that_is_cut_is_a_gap() {
    let testbed = testbed(Access::Private);
    testbed.dial(ENIS);
    // Sockets that do not compress well enough.
    let run = |marker: &str, args: &[&str]| {
        testbed.manage();
        testbed.aws.ssm().set_behaviour(Behaviour { marker: marker.to_owned(), ..Behaviour::default() });
        let runner = testbed.lab.node(0).runner();
        let many = "ss() { command ss \"$@\"; awk 'BEGIN { srand(7); for (i = 0; i < 9000; i++) printf \"ESTAB 0 0 192.168.10.10:%d 10.%d.%d.%d:443 users:((\\\"agent\\\",pid=%d,fd=%d))\\n\", rand() * 60000, rand() * 250, rand() * 250, rand() * 250, rand() * 99999, rand() * 999 }'; }\n";
        testbed.agent(0, |agent| {
            agent.runner = Arc::new(move |script| runner(&format!("{many}{script}")));
        });
        let (report, code) = testbed.audit(&[&["--nodes", "ssm"], args].concat());
        assert_eq!(code, 3);
        let (why, detail, hint) = gap(&report, "node n1");
        let expected = if args.is_empty() { "too-much-output" } else { "not-found" };
        assert_eq!(why, expected, "{detail}");
        assert!(detail.contains("24,000 characters"), "{detail}");
        hint.to_owned()
    };
    for marker in ["", "---Output truncated---", "\n--output truncated--"] {
        assert!(run(marker, &[]).contains("--ssm-output s3://"));
    }
    // The bucket does not exist.
    let hint = run("", &["--ssm-output", "s3://my-bucket/some/prefix/"]);
    let key = "s3://my-bucket/some/prefix/00000000-0000-4000-8000-000000000000/i-00000000000000000/awsrunShellScript/eksNetcheck/stdout";
    assert!(hint.contains(key) && hint.contains("DIR/nodes/n1.txt"), "{hint}");
    let calls = testbed.aws.calls();
    let send = calls.iter().rfind(|call| call.operation == "SendCommand").unwrap();
    assert_eq!(send.parameter("OutputS3BucketName"), Some("my-bucket"));
    assert_eq!(send.parameter("OutputS3KeyPrefix"), Some("some/prefix"));
    // The whole output, as the hint adds it to a recording, closes the gap.
    let out = scratch();
    let dir = out.path().join("evidence");
    let ran = testbed.run(&["collect", "--nodes", "ssm", "--out", dir.to_str().unwrap()]);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    let script = Netcheck::new(["ssm-document"]).run().stdout;
    let script: Value = serde_json::from_str(&script).unwrap();
    let lines = script["mainSteps"][0]["inputs"]["runCommand"].as_array().unwrap().iter();
    let script: String = lines.flat_map(|line| [line.as_str().unwrap(), "\n"]).collect();
    let output = testbed.lab.node(0).runner()(&script).unwrap();
    std::fs::write(out.path().join("object"), output.stdout).unwrap();
    let (_, command) = hint.split_once(" - | ").unwrap();
    let command = format!("cat object | {}", command.replace("DIR", "evidence"));
    let added = Command::new("sh").args(["-c", &command]).current_dir(out.path()).status().unwrap();
    assert!(added.success(), "{command}");
    let audit = testbed.run(&["audit", "--evidence", dir.to_str().unwrap(), "--format", "json"]);
    let report: Value = serde_json::from_str(&audit.stdout).unwrap();
    assert_eq!((audit.code, &report["gaps"], &report["nodes"][0]["via"]), (0, &json!([]), &json!("file")));
}

/// What is not permitted is said with the action and how to get the permission.
#[test]
fn a_denied_action_is_named() {
    let testbed = testbed(Access::Private);
    testbed.manage();
    testbed.dial(ENIS);
    for operation in ["DescribeInstanceInformation", "SendCommand", "ListCommandInvocations"] {
        testbed.aws.clear_faults();
        testbed.aws.inject_fault(Fault::always(operation, FaultKind::Denied));
        let began = Instant::now();
        let (report, code) = testbed.audit(&["--nodes", "ssm"]);
        assert_eq!(code, 3);
        let (why, detail, hint) = gap(&report, "node n1");
        assert_eq!(why, "access-denied", "{detail}");
        assert!(
            detail.contains(&format!("ssm:{operation}")) && hint.contains("iam-policy --nodes ssm"),
            "{hint}"
        );
        assert!(began.elapsed() < Duration::from_secs(10), "{operation}");
    }
}

/// Each node is read by the first transport that reaches it.
#[test]
fn another_transport_reads_what_ssm_does_not() {
    let testbed = testbed(Access::Private);
    testbed.manage();
    testbed.dial(ENIS);
    testbed.agent(0, |agent| agent.ping = "ConnectionLost".to_owned());
    let (report, code) = testbed.audit(&["--nodes", "ssm,ssh"]);
    assert_eq!((code, &report["verdict"]), (0, &json!("pass")), "{report:#}");
    let via: Vec<_> = report["nodes"].as_array().unwrap().iter().map(|node| &node["via"]).collect();
    assert_eq!(via, ["ssh", "ssm"]);
}

/// The document is not the only one that runs the script, and a node need not be in EC2.
#[test]
fn a_node_outside_of_ec2_and_the_document_of_aws() {
    let testbed = testbed(Access::Private);
    testbed.manage();
    testbed.dial(ENIS);
    testbed.aws.ssm().reset();
    let hybrid = "mi-0123456789abcdef0";
    testbed.aws.ssm().set_agent(hybrid, Agent::online(testbed.lab.node(0).runner()));
    let args = ["--nodes", "ssm", "--ssm-document", "AWS-RunShellScript", "--node", hybrid];
    let (report, _) = testbed.audit(&args);
    let node = &report["nodes"][0];
    assert_eq!((&node["name"], &node["status"]), (&json!(hybrid), &json!("read")), "{report:#}");
    // So it is with a node that is not this cluster's.
    for (server, part) in [
        ("https://ABC.gr7.ap-northeast-2.eks.amazonaws.com", "not the endpoint of the cluster"),
        ("none", "no kubeconfig of its kubelet names the endpoint"),
    ] {
        testbed.lab.node(0).set_kubeconfig(server).unwrap();
        let foreign = "i-0fedcba9876543210";
        testbed.aws.ssm().set_agent(foreign, Agent::online(testbed.lab.node(0).runner()));
        for id in [hybrid, foreign] {
            let (report, code) = testbed.audit(&[&args[..4], &["--node", id]].concat());
            let (why, detail, _) = gap(&report, &format!("node {id}"));
            assert!(why == "not-supported" && detail.contains(part), "{detail}");
            assert_eq!((code, &report["node_traffic"][0]["path"]), (3, &json!("unknown")), "{report:#}");
            assert_eq!(report["connections"], json!([]));
        }
    }
    testbed.manage();
    let (report, _) = testbed.audit(&["--nodes", "ssm", "--node", "unknown"]);
    assert!(gap(&report, "node unknown").2.contains("--node mi-"));
}

/// A command that nobody waits for is cancelled.
#[test]
fn commands_are_cancelled() {
    let testbed = testbed(Access::Private);
    testbed.manage();
    testbed.agent(0, |agent| agent.delivery = Delivery::Never);
    testbed.agent(1, |agent| agent.delivery = Delivery::Never);
    let since = testbed.aws.calls().len();
    let (report, _) = testbed.audit(&["--nodes", "ssm", "--timeout", "2"]);
    assert_eq!(gap(&report, "node n2").0, "timed-out");
    assert_eq!(testbed.operations(since).last().map(String::as_str), Some("CancelCommand"));
    // So it is where the run is interrupted, which ends within a second.
    let since = testbed.aws.calls().len();
    for signal in ["INT", "TERM"] {
        for command in ["audit", "collect"] {
            let out = scratch();
            let dir = out.path().join("evidence");
            let mut args = vec![command, "--nodes", "ssm"];
            if command == "collect" {
                args.extend(["--out", dir.to_str().unwrap()]);
            }
            let count =
                |operation: &str| testbed.operations(since).iter().filter(|name| *name == operation).count();
            let (sent, cancelled) = (count("SendCommand"), count("CancelCommand"));
            let mut child = testbed.netcheck(&args);
            let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let began = Instant::now();
            while count("SendCommand") == sent {
                assert!(began.elapsed() < Duration::from_secs(20), "no command was sent");
                std::thread::sleep(Duration::from_millis(5));
            }
            let interrupted = Instant::now();
            let mut kill = Command::new("kill");
            kill.args([&format!("-{signal}"), &child.id().to_string()]);
            assert!(kill.status().unwrap().success());
            let code = child.wait().unwrap().code();
            assert!(interrupted.elapsed() < Duration::from_secs(1), "{:?}", interrupted.elapsed());
            assert_eq!(code, Some(if signal == "INT" { 130 } else { 143 }));
            assert_eq!(count("CancelCommand"), cancelled + 1, "{signal} {command}");
        }
    }
    assert!(testbed.aws.ssm().statuses().iter().all(|status| status == "Cancelled"));
}

/// A command is cancelled also if its id was not known when the signal arrived.
#[test]
fn a_command_that_is_being_sent_is_cancelled() {
    let testbed = testbed(Access::Private);
    testbed.manage();
    testbed.agent(0, |agent| agent.delivery = Delivery::Never);
    testbed.aws.inject_fault(Fault::always("SendCommand", FaultKind::Delay(Duration::from_millis(150))));
    let since = testbed.aws.calls().len();
    let mut child = testbed.netcheck(&["audit", "--nodes", "ssm"]);
    let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    while !testbed.operations(since).contains(&"SendCommand".to_owned()) {
        assert!(began.elapsed() < Duration::from_secs(20), "no command was sent");
        std::thread::sleep(Duration::from_millis(2));
    }
    let interrupted = Instant::now();
    let mut kill = Command::new("kill");
    assert!(kill.args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(interrupted.elapsed() < Duration::from_secs(1), "{:?}", interrupted.elapsed());
    assert_eq!(testbed.operations(since).last().map(String::as_str), Some("CancelCommand"));
}

#[test]
fn trace_refuses_ssm_with_the_reason() {
    let testbed = testbed(Access::Private);
    let ran = testbed.run(&["trace", "--nodes", "ssm"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("cannot sample") && ran.stderr.contains("--nodes ssh"), "{}", ran.stderr);
}
