//! `trace` in the lab: a real kubectl, an API server that opens the same sockets as
//! a real one, and failures of the tool, the command and the nodes during a trace.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use eks_netcheck_lab::kube::ApiServer;
use eks_netcheck_lab::sandbox::{CLUSTER_IP, ENIS, Node, OPERATOR, PUBLIC};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::common::{Ran, scratch};
use crate::lab::{Access, Testbed, run_command, testbed};
use crate::pty::Pty;

/// The testbed with an API server, and a directory for reports and kubectl's files.
struct KubeTestbed {
    // Dropped before the testbed is free for another test.
    api: ApiServer,
    testbed: MutexGuard<'static, Testbed>,
    dir: tempfile::TempDir,
}

fn kube_testbed(access: Access) -> KubeTestbed {
    let testbed = testbed(access);
    testbed.dial(match access {
        Access::Private => ENIS,
        Access::Public | Access::PublicAndPrivate => PUBLIC,
    });
    let kubelets: Vec<_> = testbed.lab.nodes().iter().map(Node::kubelet).collect();
    let api = ApiServer::serve_in(&testbed.lab.operator_netns(), (OPERATOR, 6443).into(), ENIS[0], kubelets)
        .unwrap();
    KubeTestbed { testbed, api, dir: scratch() }
}

/// The kubectl on the PATH, which has to support `WebSocket`s (1.30 or later).
fn kubectl() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let found = std::env::split_paths(&path).map(|dir| dir.join("kubectl")).find(|file| file.is_file());
    found.expect("no kubectl on the PATH; tests/run installs one")
}

impl KubeTestbed {
    fn report_file(&self) -> PathBuf {
        self.dir.path().join("trace.json")
    }

    /// `trace`, its JSON report going to a file.
    fn trace(&self, args: &[&str], command: &[&str]) -> Command {
        let write = format!("json={}", self.report_file().display());
        let mut trace = self.testbed.netcheck(&["trace", "--ssh-user", "ec2-user", "--write", &write]);
        trace.args(args).env("KUBECACHEDIR", self.dir.path()).env("COLUMNS", "200");
        if !command.is_empty() {
            trace.arg("--").args(command);
        }
        trace
    }

    /// The command line of `kubectl exec` and the like, in the namespace of the nodes' pods.
    fn kubectl(&self, args: &[&str]) -> Vec<String> {
        let (kubectl, url) = (kubectl(), self.api.url());
        let (first, rest) = args.split_at(args.len().min(2));
        let own = [kubectl.to_str().unwrap(), "--server", &url];
        let namespace = ["-n", "kube-system"];
        own.iter().chain(first).chain(&namespace).chain(rest).map(ToString::to_string).collect()
    }

    /// Runs a trace; its output and report.
    fn run(&self, args: &[&str], command: &[&str]) -> (Ran, Value) {
        let ran = run_command(self.trace(args, command));
        let report =
            std::fs::read(self.report_file()).unwrap_or_else(|error| panic!("{error}: {}", ran.stderr));
        let report: Value = serde_json::from_slice(&report).unwrap();
        (ran, report)
    }

    /// A shell script that creates a file when it begins, and then sleeps.
    fn sleep_script(&self, seconds: u32) -> String {
        format!("touch {}; sleep {seconds}", self.begun_file().display())
    }

    fn begun_file(&self) -> PathBuf {
        self.dir.path().join("begun")
    }

    /// Waits until [`Self::sleep_script`] has begun.
    fn wait_until_begun(&self) {
        let started = Instant::now();
        while !self.begun_file().exists() {
            assert!(started.elapsed() < Duration::from_secs(20), "the command did not begin");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs a trace of a kubectl command.
    fn run_kubectl(&self, args: &[&str], kubectl: &[&str]) -> (Ran, Value) {
        let command = self.kubectl(kubectl);
        let command: Vec<_> = command.iter().map(String::as_str).collect();
        self.run(args, &command)
    }
}

const EXEC: [&str; 4] = ["exec", "ds/aws-node", "-c", "aws-eks-nodeagent"];

/// The changes that are not in the background, as `node process direction path change`.
fn changes(report: &Value) -> Vec<String> {
    let all = report["changes"].as_array().unwrap().iter();
    let fields = ["node", "process", "direction", "path", "change"];
    let line =
        |change: &Value| fields.map(|field| change[field].as_str().unwrap_or("-").to_owned()).join(" ");
    all.filter(|change| change["background"] == false).map(line).collect()
}

/// The first node, on which the first pod of the `DaemonSet` runs.
const NODE: &str = "n1";

/// A short exec ends between two samples: it is seen by the kernel's close event.
#[test]
fn a_short_exec_is_detected_in_every_access_mode() {
    for access in [Access::Public, Access::PublicAndPrivate, Access::Private] {
        let kube = kube_testbed(access);
        let (ran, report) = kube.run_kubectl(&[], &[&EXEC[..], &["--", "true"]].concat());
        crate::docs::is_valid_trace(&report);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let node = NODE;
        let inbound = format!("{node} kubelet inbound private-eni transient");
        assert!(changes(&report).contains(&inbound), "{report:#}");
        assert!(changes(&report).iter().all(|change| change.starts_with(node)), "{report:#}");
        let change =
            report["changes"].as_array().unwrap().iter().find(|change| change["direction"] == "inbound");
        let eni = match access {
            Access::Public => "eni-077ce071c27ecbaab",
            Access::PublicAndPrivate | Access::Private => "eni-0e926ff3709b35657",
        };
        assert_eq!(change.unwrap()["eni"], eni, "{report:#}");
        // Lines are wrapped.
        let text = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            text.contains(&format!("from 192.168.1.55 (the EKS-owned ENI {eni}) appeared and disappeared")),
            "{}",
            ran.stdout
        );
    }
}

#[test]
fn an_interactive_exec_has_the_terminal_to_itself() {
    let kube = kube_testbed(Access::Public);
    let command = kube.kubectl(&[&EXEC[..], &["-it", "--", "bash"]].concat());
    let command: Vec<_> = command.iter().map(String::as_str).collect();
    let mut pty = Pty::run(&kube.trace(&["-q"], &command));
    pty.wait_for("bash-5.2# ");
    pty.type_in("ls\r");
    pty.wait_for("bash: ls");
    // Long enough for several samples, none of which may print anything.
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(pty.screen(), "bash-5.2# ls\r\nbash: ls\nbash-5.2# ");
    pty.type_in("exit 3\r");
    let (code, screen) = pty.end();
    assert_eq!(code, 3, "{screen}");
    let report: Value = serde_json::from_slice(&std::fs::read(kube.report_file()).unwrap()).unwrap();
    let node = NODE;
    let expected = [
        format!("{node} containerd none loopback transient"),
        format!("{node} kubelet none loopback transient"),
        format!("{node} kubelet inbound private-eni transient"),
    ];
    assert_eq!(changes(&report), expected, "{report:#}");
    assert_eq!((&report["exit_code"], &report["cluster"]), (&Value::from(3), &Value::from("myeks")));
    // In several samples, with times by both clocks, in order.
    let inbound = &report["changes"][2];
    assert!(inbound["samples"].as_u64().unwrap() > 1, "{inbound}");
    let (first, last) = (&inbound["first_seen"], &inbound["last_seen"]);
    assert!(first["arrived"].as_f64().unwrap() < last["arrived"].as_f64().unwrap(), "{inbound}");
    assert!(first["node_clock"].as_f64().unwrap() > 1.7e9, "{inbound}");
    let (_, table) = screen.split_once("exit 3\r\n").or_else(|| screen.split_once("exit 3\r")).unwrap();
    let table = anstream::adapter::strip_str(table).to_string();
    // The command as a user types it, without kubectl's path and --server.
    let typed = table.replace(kubectl().to_str().unwrap(), "kubectl");
    let typed = typed.replace(&format!("--server {} ", kube.api.url()), "");
    assert!(typed.contains("(exit code 3, "), "{screen}");
    // The number of samples varies; after it, the answer stands once more.
    let (shown, _) = typed.split_once(" samples").unwrap();
    let (shown, _) = shown.trim().rsplit_once("\n\n").unwrap();
    crate::docs::check_block_but_numbers("docs/trace.md", "trace", &format!("```text\n{shown}\n```\n"));
    // The README has the answer and the rows, without the command's own output and the notes.
    let (_, answer) = shown.split_once('\n').unwrap();
    let (answer, _) = answer.split_once("\nB/D/A: ").unwrap();
    crate::docs::check_block_but_numbers("README.md", "trace", &format!("```text\n{answer}\n```\n"));
}

#[test]
fn the_commands_exit_code_is_returned_unless_fail_on_applies() {
    let kube = kube_testbed(Access::Public);
    let missing = run_command(kube.trace(&[], &["no-such-program"]));
    assert_eq!((missing.code, missing.stdout.as_str()), (127, ""), "{}", missing.stderr);
    let fails = [&EXEC[..], &["--", "sh", "-c", "exit 7"]].concat();
    assert_eq!(kube.run_kubectl(&[], &fails).0.code, 7);
    drop(kube);
    let kube = kube_testbed(Access::PublicAndPrivate);
    let (ran, report) = kube.run_kubectl(&["--fail-on", "high"], &fails);
    assert_eq!((ran.code, report["verdict"].as_str()), (1, Some("fail")), "{}", ran.stdout);
    assert!(report["findings"].to_string().contains("node-on-public-path"), "{report:#}");
    assert_eq!(report["policy_origin"], "default", "{report:#}");
    assert!(ran.stdout.contains("policy: default policy"), "{}", ran.stdout);
    let (ran, report) = kube.run(&["--fail-on", "critical"], &["sh", "-c", "exit 4"]);
    assert_eq!((ran.code, report["verdict"].as_str()), (4, Some("pass")), "{}", ran.stdout);
    // Without the other node's sockets the run is inconclusive.
    let (ran, _) = kube.run(&["--fail-on", "critical", "--node", "n9=nobody"], &["true"]);
    assert_eq!(ran.code, 3, "{}", ran.stdout);
    assert_eq!(kube.run(&[], &["sh", "-c", "kill -TERM $$"]).0.code, 143);
}

#[test]
fn concurrent_execs_are_separate_connections() {
    let kube = kube_testbed(Access::Public);
    kube.api.set_exec_duration(Duration::from_millis(300));
    let exec = kube.kubectl(&[&EXEC[..], &["--", "true"]].concat()).join(" ");
    let attach = kube.kubectl(&["attach", "aws-node-2", "-c", "aws-eks-nodeagent"]).join(" ");
    let (ran, report) = kube.run(&[], &["sh", "-c", &format!("{exec} & {exec} & {attach} & wait")]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let inbound = |node: &str| {
        let line = format!("{node} kubelet inbound private-eni transient");
        changes(&report).iter().filter(|change| **change == line).count()
    };
    assert_eq!((inbound("n1"), inbound("n2")), (2, 1), "{report:#}");
    assert!(ran.stdout.contains("n1: 2 connections to kubelet from 192.168.1.55"), "{}", ran.stdout);
}

#[test]
fn an_exec_by_the_second_eni_is_attributed_to_it() {
    let kube = kube_testbed(Access::Private);
    kube.api.set_source_eni(ENIS[1]);
    let (_, report) = kube.run_kubectl(&[], &[&EXEC[..], &["--", "true"]].concat());
    let inbound =
        report["changes"].as_array().unwrap().iter().find(|change| change["direction"] == "inbound");
    assert_eq!(inbound.unwrap()["eni"], "eni-0e5f7db893a212944", "{report:#}");
}

/// The API server keeps its connection after `logs`: it appears then, and is unchanged
/// in the next trace.
#[test]
fn a_pooled_connection_appears_once() {
    let kube = kube_testbed(Access::Public);
    let logs = ["logs", "aws-node-1", "-c", "aws-eks-nodeagent"];
    let (_, report) = kube.run_kubectl(&[], &logs);
    let inbound = format!("{NODE} kubelet inbound private-eni appeared");
    assert_eq!(changes(&report), [inbound], "{report:#}");
    let (ran, report) = kube.run(&[], &["true"]);
    assert_eq!(changes(&report), Vec::<String>::new(), "{report:#}");
    assert!(is_pool_named(&ran), "{}", ran.stdout);
    let headline = ran.stdout.split("\n\n").next().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(headline.contains("(2 nodes compared); by the kernel's count, "), "{headline}");
    kube.api.close_pooled_connections();
}

/// Whether the report says that requests may have used the connection that existed before.
fn is_pool_named(ran: &Ran) -> bool {
    let pooled = "1 connection from the API server to kubelet (n1) existed before: logs, proxy and metrics may have used it";
    ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ").contains(pooled)
}

/// Such a request opens no connection, and no sample shows it.
#[test]
fn logs_over_a_pooled_connection_are_not_reported_as_nothing() {
    let kube = kube_testbed(Access::Public);
    let logs = ["logs", "aws-node-1", "-c", "aws-eks-nodeagent"];
    kube.run_kubectl(&[], &logs);
    let (ran, report) = kube.run_kubectl(&[], &logs);
    assert_eq!(changes(&report), Vec::<String>::new(), "{report:#}");
    assert_eq!(report["pooled"], 1, "{report:#}");
    assert!(is_pool_named(&ran) && !ran.stdout.contains("nothing changed"), "{}", ran.stdout);
    kube.api.close_pooled_connections();
}

/// The API server closes idle connections during whatever command runs then.
#[test]
fn the_end_of_a_pooled_connection_is_not_blamed_on_the_command() {
    let kube = kube_testbed(Access::Public);
    kube.run_kubectl(&[], &["logs", "aws-node-1", "-c", "aws-eks-nodeagent"]);
    for exec in ["true", "exec"] {
        let (ran, report) = std::thread::scope(|scope| {
            scope.spawn(|| {
                kube.wait_until_begun();
                kube.api.close_pooled_connections();
            });
            let exec = match exec {
                "exec" => kube.kubectl(&[&EXEC[..], &["--", "true"]].concat()).join(" "),
                other => other.to_owned(),
            };
            kube.run(&[], &["sh", "-c", &format!("{}; {exec}", kube.sleep_script(1))])
        });
        let inbound: Vec<_> = report["changes"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|change| change["change"] == "gone" && change["direction"] == "inbound")
            .collect();
        assert_eq!(inbound.len(), 1, "{report:#}");
        assert_eq!((&inbound[0]["background"], &inbound[0]["role"]), (&true.into(), &"pool".into()));
        let headline = ran.stdout.split("\n\n").next().unwrap();
        assert!(!headline.contains("disappeared") || headline.contains("appeared and"), "{headline}");
        assert_eq!(headline.contains("1 connection to kubelet"), exec == "exec", "{headline}");
        assert!(ran.stdout.contains("the API server closes idle ones"), "{}", ran.stdout);
        std::fs::remove_file(kube.begun_file()).unwrap();
        kube.run_kubectl(&[], &["logs", "aws-node-1", "-c", "aws-eks-nodeagent"]);
    }
    kube.api.close_pooled_connections();
}

/// The headline is that of the exec, whatever else happens on the node.
#[test]
fn curl_and_restarts_beside_an_exec_stand_below_it() {
    let kube = kube_testbed(Access::Public);
    let n1 = kube.testbed.lab.node(0);
    let exec = kube.kubectl(&[&EXEC[..], &["--", "true"]].concat()).join(" ");
    let (ran, report) = std::thread::scope(|scope| {
        scope.spawn(|| {
            kube.wait_until_begun();
            n1.dial("curl", (PUBLIC[0], 443)).unwrap();
            n1.dial("curl", (CLUSTER_IP, 443)).unwrap();
            for (process, peer) in
                [("kubelet", PUBLIC[1]), ("kube-proxy", PUBLIC[0]), ("aws-k8s-agent", CLUSTER_IP)]
            {
                n1.restart(process).unwrap();
                n1.dial(process, (peer, 443)).unwrap();
            }
            // Processes are named once a second.
            std::thread::sleep(Duration::from_millis(1500));
            n1.restart("curl").unwrap();
        });
        kube.run(&[], &["sh", "-c", &format!("{}; {exec}", kube.sleep_script(3))])
    });
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let (headline, rows) = ran.stdout.split_once("Node").unwrap();
    let headline = headline.split_whitespace().collect::<Vec<_>>().join(" ");
    let names = "appeared and disappeared. 2 outbound connections changed as well. Restarted: aws-k8s-agent on n1, kube-proxy on n1, kubelet on n1.";
    assert!(
        headline.contains("n1: 1 connection to kubelet from 192.168.1.55") && headline.ends_with(names),
        "{headline}"
    );
    let roles = |role: &str| {
        let all = report["changes"].as_array().unwrap().iter();
        all.filter(|change| change["role"] == role).count()
    };
    assert_eq!((roles("inbound"), roles("outbound"), roles("restart")), (1, 2, 6), "{report:#}");
    let (above, below) = rows.split_once("Restarts of processes").unwrap();
    assert!(above.find("192.168.1.55").unwrap() < above.find("curl").unwrap(), "{rows}");
    assert!(!above.contains("gone") && below.contains("gone") && below.contains("appeared"), "{rows}");
}

#[test]
fn connections_of_other_clients_are_background() {
    let kube = kube_testbed(Access::Public);
    let (n1, n2) = (kube.testbed.lab.node(0), kube.testbed.lab.node(1));
    let report = std::thread::scope(|scope| {
        scope.spawn(|| {
            kube.wait_until_begun();
            // Like metrics-server, which scrapes every kubelet.
            n2.dial("metrics-server", (n1.address(), 10250)).unwrap();
        });
        kube.run(&[], &["sh", "-c", &kube.sleep_script(2)]).1
    });
    assert_eq!(changes(&report), Vec::<String>::new(), "{report:#}");
    let inbound: Vec<_> = report["changes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|change| change["process"] == "kubelet")
        .collect();
    assert_eq!(inbound.len(), 1, "{report:#}");
    assert_eq!(
        (&inbound[0]["change"], &inbound[0]["background"]),
        (&Value::from("appeared"), &Value::from(true))
    );
}

/// The tool's processes on a node, without zombies.
fn processes_on(kube: &KubeTestbed, index: usize) -> String {
    let list = "ps -eo stat=,user=,args= | grep -v '^Z' | grep -E ' [e]c2-user |[l]oop root|[s]s -E'; true";
    let output = kube.testbed.lab.node(index).run(list);
    String::from_utf8(output.unwrap().stdout).unwrap()
}

#[test]
fn no_process_is_left_on_nodes_when_the_tool_is_killed() {
    let kube = kube_testbed(Access::Public);
    let mut child =
        kube.trace(&[], &["sleep", "30"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    let is_sampled = |index| processes_on(&kube, index).contains("ss -E");
    while !(is_sampled(0) && is_sampled(1)) || began.elapsed() < Duration::from_secs(2) {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{}{}",
            processes_on(&kube, 0),
            processes_on(&kube, 1)
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let killed = Instant::now();
    while !(processes_on(&kube, 0) + &processes_on(&kube, 1)).is_empty() {
        let all = || {
            let nodes =
                [0, 1].map(|index| kube.testbed.lab.node(index).run("ps -eo pid,ppid,stat,wchan:20,args"));
            nodes.map(|listed| String::from_utf8_lossy(&listed.unwrap().stdout).into_owned()).join("\n")
        };
        assert!(killed.elapsed() < Duration::from_secs(10), "{}", all());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Samples that a stopped node does not take are counted; then it continues.
#[test]
fn missed_samples_are_counted() {
    let kube = kube_testbed(Access::Public);
    let n1 = kube.testbed.lab.node(0);
    let (ran, report) = std::thread::scope(|scope| {
        scope.spawn(|| {
            kube.wait_until_begun();
            n1.run("pkill -STOP -f '^sh .*loop root'").unwrap();
            std::thread::sleep(Duration::from_millis(2500));
            // sudo stops when its shell does. The shell has to be continued first, or
            // sudo stops again.
            n1.run("pkill -CONT -f '^sh .*loop root'; sleep 0.1; pkill -CONT -f 'loop root'").unwrap();
        });
        kube.run(&[], &["sh", "-c", &kube.sleep_script(4)])
    });
    let missed = |index: usize| report["nodes"][index]["missed"].as_u64().unwrap();
    assert!(missed(0) >= 3 && missed(1) < missed(0), "{report:#}");
    assert_eq!(report["missed"].as_u64().unwrap(), missed(0) + missed(1));
    assert!(ran.stdout.contains(&format!(", {} missed", missed(0))), "{}", ran.stdout);
    assert_eq!(report["gaps"], Value::from(Vec::<Value>::new()), "{report:#}");
}

#[test]
fn a_node_lost_during_the_trace_is_a_gap() {
    let kube = kube_testbed(Access::Public);
    let (ran, report) = std::thread::scope(|scope| {
        scope.spawn(|| {
            kube.wait_until_begun();
            let n2 = kube.testbed.lab.node(1);
            n2.run("pkill -KILL -u ec2-user").unwrap();
            // Its connections end unseen.
            std::thread::sleep(Duration::from_millis(300));
            n2.reset_connections().unwrap();
        });
        kube.run(&[], &["sh", "-c", &kube.sleep_script(2)])
    });
    let gap = &report["gaps"][0];
    assert_eq!((&gap["what"], &gap["why"]), (&Value::from("node n2"), &Value::from("connection-lost")));
    let detail = gap["detail"].as_str().unwrap();
    assert!(detail.contains("s after the trace began, after "), "{detail}");
    assert_eq!(report["nodes"].as_array().unwrap().len(), 2, "{report:#}");
    // Only the other node is compared.
    let unknown = |index: usize| report["nodes"][index]["unknown"].clone();
    assert_eq!((unknown(0), unknown(1)), (json!([]), json!(["during", "after"])), "{report:#}");
    assert_eq!((&report["unchanged"], &report["undetermined"]), (&3.into(), &3.into()), "{report:#}");
    assert!(ran.stdout.contains("(1 node compared)"), "{}", ran.stdout);
    let rows = |node: &str| -> Vec<_> {
        let words = ran.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        words.filter(|words| words.first() == Some(&node) && words.len() > 8).collect()
    };
    assert!(rows("n1").iter().all(|row| row.ends_with(&["yes", "yes", "yes"])), "{}", ran.stdout);
    // Whether a sample came between the beginning of the command and the loss is a matter of
    // timing.
    let is_undetermined = |row: &Vec<&str>| {
        row.ends_with(&["yes", "yes", "?", "not", "known"])
            || row.ends_with(&["yes", "?", "?", "not", "known"])
    };
    assert!(rows("n2").iter().all(is_undetermined), "{}", ran.stdout);
    assert_eq!((rows("n1").len(), rows("n2").len()), (3, 3), "{}", ran.stdout);
}

/// The sockets of such a node may be on the public path.
#[test]
fn a_node_that_was_not_sampled_to_the_end_is_not_judged() {
    let kube = kube_testbed(Access::Private);
    let judged = ["--fail-on", "high"];
    let (ran, report) = kube.run(&judged, &["true"]);
    assert_eq!((ran.code, report["verdict"].as_str()), (0, Some("pass")), "{report:#}");
    // Lost before the command: EC2 does not list n3, so that nothing else is missing.
    let nodes = ["--node", "n1", "--node", "n2", "--node", "n3=nobody-has-this-name"];
    let (ran, report) = kube.run(&[&judged, &nodes[..]].concat(), &["true"]);
    assert_eq!((ran.code, report["verdict"].as_str()), (3, Some("inconclusive")), "{report:#}");
    // Lost during the command.
    let (ran, report) = std::thread::scope(|scope| {
        scope.spawn(|| {
            kube.wait_until_begun();
            kube.testbed.lab.node(1).run("pkill -KILL -u ec2-user").unwrap();
        });
        kube.run(&judged, &["sh", "-c", &kube.sleep_script(2)])
    });
    assert_eq!((ran.code, report["verdict"].as_str()), (3, Some("inconclusive")), "{report:#}");
    // Without a judgment the command's exit code is returned.
    assert_eq!(kube.run(&nodes, &["sh", "-c", "exit 6"]).0.code, 6);
}

#[test]
fn ctrl_c_goes_to_the_command_and_the_report_is_printed() {
    let kube = kube_testbed(Access::Public);
    let mut pty = Pty::run(&kube.trace(&["-q"], &["sh", "-c", "echo begun; sleep 60"]));
    pty.wait_for("begun");
    pty.type_in("\x03");
    let (code, screen) = pty.end();
    assert_eq!(code, 130, "{screen}");
    assert!(screen.contains("no change was seen between the API server and the nodes"), "{screen}");
    // A command that ignores it continues, and so does the trace.
    let mut pty =
        Pty::run(&kube.trace(&["-q"], &["sh", "-c", "trap : INT; echo begun; sleep 1; sleep 1; exit 5"]));
    pty.wait_for("begun");
    pty.type_in("\x03");
    let (code, screen) = pty.end();
    assert_eq!(code, 5, "{screen}");
}

#[test]
fn the_terminal_is_restored_after_a_killed_command() {
    let kube = kube_testbed(Access::Public);
    let pty = Pty::run(&kube.trace(&["-q"], &["sh", "-c", "stty raw -echo; kill -KILL $$"]));
    let (code, screen) = pty.end();
    assert_eq!(code, 137, "{screen}");
}

#[test]
fn without_a_command_nodes_are_sampled_until_ctrl_c() {
    let kube = kube_testbed(Access::Public);
    let mut pty = Pty::run(&kube.trace(&[], &[]));
    pty.wait_for("Ctrl-C ends it");
    let exec = kube.testbed.lab.node(0).exec_from(ENIS[0]).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    drop(exec);
    pty.type_in("\x03");
    let (code, screen) = pty.end();
    assert_eq!(code, 0, "{screen}");
    assert!(
        screen.split_whitespace().collect::<Vec<_>>().join(" ").contains("appeared and disappeared"),
        "{screen}"
    );
}

#[test]
fn sigterm_prints_the_report_and_exits_with_143() {
    let kube = kube_testbed(Access::Public);
    let mut child = kube.trace(&[], &[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert!(line.contains("Ctrl-C ends it"), "{line}");
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::TERM).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(143));
    let table = String::from_utf8(ended.stdout).unwrap();
    assert!(table.contains("no change was seen between the API server and the nodes"), "{table}");
}

#[test]
fn an_unwritable_report_does_not_hide_that_the_command_failed() {
    let kube = kube_testbed(Access::Public);
    for (command, code) in [("exit 7", 7), ("exit 0", 2)] {
        let ran = run_command(kube.trace(&["--write", "table=/dev/full"], &["sh", "-c", command]));
        assert_eq!(ran.code, code, "{}", ran.stderr);
        assert!(ran.stderr.contains("/dev/full"), "{}", ran.stderr);
        // The other reports are complete.
        assert!(ran.stdout.contains("no change was seen"), "{}", ran.stdout);
        let report = std::fs::read(kube.report_file()).unwrap();
        assert!(serde_json::from_slice::<Value>(&report).is_ok());
    }
}

#[test]
fn a_node_with_endless_output_is_a_gap() {
    let kube = kube_testbed(Access::Public);
    let began = Instant::now();
    let (_, report) = kube.run(&["--node", NODE, "--node", "f=flood@192.168.10.11"], &["true"]);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let gap = &report["gaps"][0];
    assert_eq!((&gap["what"], &gap["why"]), (&"node f".into(), &"too-much-output".into()), "{report:#}");
    while !kube.testbed.lab.node(1).run("pgrep -a -u flood; true").unwrap().stdout.is_empty() {
        assert!(began.elapsed() < Duration::from_secs(25), "its process still runs on the node");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_command_is_not_run_without_a_reachable_node() {
    let kube = kube_testbed(Access::Public);
    let marker = kube.dir.path().join("ran");
    let ran =
        run_command(kube.trace(&["--node", "n9=nobody-has-this-name"], &["touch", marker.to_str().unwrap()]));
    assert_eq!((ran.code, marker.exists()), (3, false), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("the command was not run") && ran.stderr.contains("does not resolve"),
        "{}",
        ran.stderr
    );
}

#[test]
fn only_restricts_the_trace_to_one_node() {
    let kube = kube_testbed(Access::Public);
    for only in [NODE, "192.168.10.10", "i-00000000000000000"] {
        let (_, report) = kube.run(&["--only", only], &["true"]);
        let nodes: Vec<_> =
            report["nodes"].as_array().unwrap().iter().map(|node| node["name"].clone()).collect();
        assert_eq!(nodes, [NODE], "{only}");
    }
    let ran = run_command(kube.trace(&["--only", "nobody"], &["true"]));
    assert_eq!(ran.code, 3);
    assert!(ran.stderr.contains("node nobody: no node has this name; the nodes are "), "{}", ran.stderr);
    assert!(ran.stderr.contains(NODE), "{}", ran.stderr);
}

/// Accounts with different rights: root, sudo for `ss` alone (one call a sample), no
/// sudo.
#[test]
fn limited_sudo_rights_still_give_samples() {
    let kube = kube_testbed(Access::Public);
    let nodes = [
        "--node",
        "r=root@192.168.10.10",
        "--node",
        "s=onlyss@192.168.10.10",
        "--node",
        "p=nosudo@192.168.10.10",
    ];
    let exec = kube.kubectl(&[&EXEC[..], &["--", "true"]].concat());
    let exec: Vec<_> = exec.iter().map(String::as_str).collect();
    kube.api.set_exec_duration(Duration::from_millis(400));
    let (ran, report) = kube.run(&nodes, &exec);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for node in ["r", "s", "p"] {
        let inbound = |change: &&Value| change["node"] == node && change["direction"] == "inbound";
        let seen = report["changes"].as_array().unwrap().iter().find(inbound);
        assert_eq!(seen.unwrap()["change"], "transient", "{node}: {report:#}");
    }
    let close_events: Vec<_> =
        report["nodes"].as_array().unwrap().iter().map(|node| node["tells_ends"] == true).collect();
    assert_eq!(close_events, [true; 3], "p, r, s: {report:#}");
    let gaps: Vec<_> = report["gaps"].as_array().unwrap().iter().map(|gap| gap["what"].clone()).collect();
    assert_eq!(gaps, ["node p"], "{report:#}");
}
