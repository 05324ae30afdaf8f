//! `trace` in the lab: a real kubectl, an API server that opens the sockets that
//! a real one does, and every party killed midway.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use eks_netcheck_lab::kube::ApiServer;
use eks_netcheck_lab::sandbox::{ENIS, Node, OPERATOR, PUBLIC};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::common::{Ran, scratch};
use crate::lab::{Access, Scene, ran, scene};
use crate::pty::Pty;

/// The lab with its API server, and a place for reports and kubectl's files.
struct Stage {
    scene: MutexGuard<'static, Scene>,
    api: ApiServer,
    dir: tempfile::TempDir,
}

fn stage(access: Access) -> Stage {
    let scene = scene(access);
    scene.dial(match access {
        Access::Private => ENIS,
        Access::Public | Access::PublicAndPrivate => PUBLIC,
    });
    let kubelets: Vec<_> = scene.lab.nodes().iter().map(Node::kubelet).collect();
    let api =
        ApiServer::serve_in(&scene.lab.operator_netns(), (OPERATOR, 6443).into(), ENIS[0], kubelets).unwrap();
    Stage { scene, api, dir: scratch() }
}

/// One that speaks `WebSocket`.
fn kubectl() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let found = std::env::split_paths(&path).map(|dir| dir.join("kubectl")).find(|file| file.is_file());
    found.expect("no kubectl on the PATH; tests/run installs one")
}

impl Stage {
    fn report_file(&self) -> PathBuf {
        self.dir.path().join("trace.json")
    }

    /// `trace`, its JSON report going to a file.
    fn trace(&self, args: &[&str], command: &[&str]) -> Command {
        let write = format!("json={}", self.report_file().display());
        let mut trace = self.scene.netcheck(&["trace", "--ssh-user", "ec2-user", "--write", &write]);
        trace.args(args).env("KUBECACHEDIR", self.dir.path()).env("COLUMNS", "200");
        if !command.is_empty() {
            trace.arg("--").args(command);
        }
        trace
    }

    /// `kubectl exec` and the like, in the namespace and container of the story.
    fn kubectl(&self, words: &[&str]) -> Vec<String> {
        let (kubectl, url) = (kubectl(), self.api.url());
        let (first, rest) = words.split_at(words.len().min(2));
        let own = [kubectl.to_str().unwrap(), "--server", &url];
        let namespace = ["-n", "kube-system"];
        own.iter().chain(first).chain(&namespace).chain(rest).map(ToString::to_string).collect()
    }

    fn run(&self, args: &[&str], command: &[&str]) -> (Ran, Value) {
        let ran = ran(self.trace(args, command));
        let report =
            std::fs::read(self.report_file()).unwrap_or_else(|error| panic!("{error}: {}", ran.stderr));
        let report: Value = serde_json::from_slice(&report).unwrap();
        (ran, report)
    }

    /// A command that lasts some seconds, and says that it began.
    fn lasting(&self, seconds: u32) -> String {
        format!("touch {}; sleep {seconds}", self.begun().display())
    }

    fn begun(&self) -> PathBuf {
        self.dir.path().join("begun")
    }

    /// Waits until [`Self::lasting`] has begun.
    fn when_begun(&self) {
        let from = Instant::now();
        while !self.begun().exists() {
            assert!(from.elapsed() < Duration::from_secs(20), "the command did not begin");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn run_kubectl(&self, args: &[&str], words: &[&str]) -> (Ran, Value) {
        let words = self.kubectl(words);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        self.run(args, &words)
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

/// What EC2 calls the first node, whose pod comes first.
const NODE: &str = "n1";

/// A short exec is over before most looks: the kernel tells of its end.
#[test]
fn a_short_exec_is_caught_in_every_access_mode() {
    for access in [Access::Public, Access::PublicAndPrivate, Access::Private] {
        let stage = stage(access);
        let (ran, report) = stage.run_kubectl(&[], &[&EXEC[..], &["--", "true"]].concat());
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
        assert!(
            ran.stdout.contains(&format!("from 192.168.1.55 (the EKS-owned ENI {eni}) came and went")),
            "{}",
            ran.stdout
        );
    }
}

#[test]
fn an_exec_that_is_typed_into_has_the_terminal_to_itself() {
    let stage = stage(Access::Public);
    let words = stage.kubectl(&[&EXEC[..], &["-it", "--", "bash"]].concat());
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let mut pty = Pty::run(&stage.trace(&["-q"], &words));
    pty.wait_for("bash-5.2# ");
    pty.type_in("ls\r");
    pty.wait_for("bash: ls");
    // Long enough for looks that something could be said of.
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(pty.screen(), "bash-5.2# ls\r\nbash: ls\nbash-5.2# ");
    pty.type_in("exit 3\r");
    let (code, screen) = pty.end();
    assert_eq!(code, 3, "{screen}");
    let report: Value = serde_json::from_slice(&std::fs::read(stage.report_file()).unwrap()).unwrap();
    let node = NODE;
    let expected = [
        format!("{node} containerd none loopback transient"),
        format!("{node} kubelet none loopback transient"),
        format!("{node} kubelet inbound private-eni transient"),
    ];
    assert_eq!(changes(&report), expected, "{report:#}");
    assert_eq!((&report["exit_code"], &report["cluster"]), (&Value::from(3), &Value::from("myeks")));
    // Seen many times, by both clocks, and in order.
    let inbound = &report["changes"][2];
    assert!(inbound["samples"].as_u64().unwrap() > 3, "{inbound}");
    let (first, last) = (&inbound["first_seen"], &inbound["last_seen"]);
    assert!(first["arrived"].as_f64().unwrap() < last["arrived"].as_f64().unwrap(), "{inbound}");
    assert!(first["node_clock"].as_f64().unwrap() > 1.7e9, "{inbound}");
    let (_, table) = screen.split_once("exit 3\r\n").or_else(|| screen.split_once("exit 3\r")).unwrap();
    let table = anstream::adapter::strip_str(table).to_string();
    // As it is typed where kubectl is on the PATH and knows its server.
    let typed = table.replace(kubectl().to_str().unwrap(), "kubectl");
    let typed = typed.replace(&format!("--server {} ", stage.api.url()), "");
    assert!(typed.contains("(exit code 3, "), "{screen}");
    // How many looks there were is as it comes.
    let (shown, _) = typed.trim().rsplit_once("\n\n").unwrap();
    crate::docs::check_block_but_numbers("docs/trace.md", "trace", &format!("```text\n{shown}\n```\n"));
}

#[test]
fn the_commands_exit_code_is_ours_unless_findings_are_to_fail() {
    let stage = stage(Access::Public);
    let missing = ran(stage.trace(&[], &["no-such-program"]));
    assert_eq!((missing.code, missing.stdout.as_str()), (127, ""), "{}", missing.stderr);
    let fails = [&EXEC[..], &["--", "sh", "-c", "exit 7"]].concat();
    assert_eq!(stage.run_kubectl(&[], &fails).0.code, 7);
    drop(stage);
    let stage = self::stage(Access::PublicAndPrivate);
    let (ran, report) = stage.run_kubectl(&["--fail-on", "high"], &fails);
    assert_eq!((ran.code, report["verdict"].as_str()), (1, Some("fail")), "{}", ran.stdout);
    assert!(report["findings"].to_string().contains("node-on-public-path"), "{report:#}");
    let (ran, report) = stage.run(&["--fail-on", "critical"], &["sh", "-c", "exit 4"]);
    assert_eq!((ran.code, report["verdict"].as_str()), (4, Some("pass")), "{}", ran.stdout);
    // Without the other node it is not known.
    let (ran, _) = stage.run(&["--fail-on", "critical", "--node", "n9=nobody"], &["true"]);
    assert_eq!(ran.code, 3, "{}", ran.stdout);
    assert_eq!(stage.run(&[], &["sh", "-c", "kill -TERM $$"]).0.code, 143);
}

#[test]
fn several_at_once_are_as_many_connections() {
    let stage = stage(Access::Public);
    stage.api.set_takes(Duration::from_millis(300));
    let exec = stage.kubectl(&[&EXEC[..], &["--", "true"]].concat()).join(" ");
    let attach = stage.kubectl(&["attach", "aws-node-2", "-c", "aws-eks-nodeagent"]).join(" ");
    let (ran, report) = stage.run(&[], &["sh", "-c", &format!("{exec} & {exec} & {attach} & wait")]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let inbound = |node: &str| {
        let line = format!("{node} kubelet inbound private-eni transient");
        changes(&report).iter().filter(|change| **change == line).count()
    };
    assert_eq!((inbound("n1"), inbound("n2")), (2, 1), "{report:#}");
    assert!(ran.stdout.contains("n1: 2 connections to kubelet from 192.168.1.55"), "{}", ran.stdout);
}

#[test]
fn the_api_server_may_come_by_its_other_eni() {
    let stage = stage(Access::Private);
    stage.api.set_eni(ENIS[1]);
    let (_, report) = stage.run_kubectl(&[], &[&EXEC[..], &["--", "true"]].concat());
    let inbound =
        report["changes"].as_array().unwrap().iter().find(|change| change["direction"] == "inbound");
    assert_eq!(inbound.unwrap()["eni"], "eni-0e5f7db893a212944", "{report:#}");
}

/// The API server keeps a connection after `logs`: it stays, and is there before
/// the next command.
#[test]
fn a_pooled_connection_is_no_open_exec() {
    let stage = stage(Access::Public);
    let logs = ["logs", "aws-node-1", "-c", "aws-eks-nodeagent"];
    let (_, report) = stage.run_kubectl(&[], &logs);
    let inbound = format!("{NODE} kubelet inbound private-eni appeared");
    assert_eq!(changes(&report), [inbound], "{report:#}");
    let (_, report) = stage.run(&[], &["true"]);
    assert_eq!(changes(&report), Vec::<String>::new(), "{report:#}");
    stage.api.forget_pooled();
}

#[test]
fn what_others_do_meanwhile_is_not_the_commands() {
    let stage = stage(Access::Public);
    let (n1, n2) = (stage.scene.lab.node(0), stage.scene.lab.node(1));
    let report = std::thread::scope(|scope| {
        scope.spawn(|| {
            stage.when_begun();
            // As metrics-server does.
            n2.dial("metrics-server", (n1.address(), 10250)).unwrap();
        });
        stage.run(&[], &["sh", "-c", &stage.lasting(2)]).1
    });
    assert_eq!(changes(&report), Vec::<String>::new(), "{report:#}");
    let others: Vec<_> = report["changes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|change| change["process"] == "kubelet")
        .collect();
    assert_eq!(others.len(), 1, "{report:#}");
    assert_eq!(
        (&others[0]["change"], &others[0]["background"]),
        (&Value::from("appeared"), &Value::from(true))
    );
}

/// Processes of ours on a node, less what has ended and is not reaped yet.
fn left_on(stage: &Stage, index: usize) -> String {
    let list = "ps -eo stat=,user=,args= | grep -v '^Z' | grep -E ' [e]c2-user |[l]oop root|[s]s -E'; true";
    let left = stage.scene.lab.node(index).run(list);
    String::from_utf8(left.unwrap().stdout).unwrap()
}

#[test]
fn nothing_is_left_on_nodes_when_the_tool_is_killed() {
    let stage = stage(Access::Public);
    let mut child =
        stage.trace(&[], &["sleep", "30"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    let looks_on = |index| left_on(&stage, index).contains("ss -E");
    while !(looks_on(0) && looks_on(1)) || began.elapsed() < Duration::from_secs(2) {
        assert!(began.elapsed() < Duration::from_secs(20), "{}{}", left_on(&stage, 0), left_on(&stage, 1));
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let killed = Instant::now();
    while !(left_on(&stage, 0) + &left_on(&stage, 1)).is_empty() {
        let all = || {
            let nodes =
                [0, 1].map(|index| stage.scene.lab.node(index).run("ps -eo pid,ppid,stat,wchan:20,args"));
            nodes.map(|listed| String::from_utf8_lossy(&listed.unwrap().stdout).into_owned()).join("\n")
        };
        assert!(killed.elapsed() < Duration::from_secs(10), "{}", all());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Looks that a node does not come to are counted, and it is caught up with.
#[test]
fn looks_that_were_missed_are_counted() {
    let stage = stage(Access::Public);
    let n1 = stage.scene.lab.node(0);
    let (ran, report) = std::thread::scope(|scope| {
        scope.spawn(|| {
            stage.when_begun();
            n1.run("pkill -STOP -f '^sh .*loop root'").unwrap();
            std::thread::sleep(Duration::from_millis(1500));
            // sudo stops with its shell; woken before it, it stops again for good.
            n1.run("pkill -CONT -f '^sh .*loop root'; sleep 0.1; pkill -CONT -f 'loop root'").unwrap();
        });
        stage.run(&[], &["sh", "-c", &stage.lasting(3)])
    });
    let missed = |index: usize| report["nodes"][index]["missed"].as_u64().unwrap();
    assert!(missed(0) >= 3 && missed(1) < missed(0), "{report:#}");
    assert_eq!(report["missed"].as_u64().unwrap(), missed(0) + missed(1));
    assert!(ran.stdout.contains(&format!(", {} missed", missed(0))), "{}", ran.stdout);
    assert_eq!(report["gaps"], Value::from(Vec::<Value>::new()), "{report:#}");
}

#[test]
fn a_node_that_drops_out_costs_that_node_from_then_on() {
    let stage = stage(Access::Public);
    let report = std::thread::scope(|scope| {
        scope.spawn(|| {
            stage.when_begun();
            stage.scene.lab.node(1).run("pkill -KILL -u ec2-user").unwrap();
        });
        stage.run(&[], &["sh", "-c", &stage.lasting(2)]).1
    });
    let gap = &report["gaps"][0];
    assert_eq!((&gap["what"], &gap["why"]), (&Value::from("node n2"), &Value::from("connection-lost")));
    let detail = gap["detail"].as_str().unwrap();
    assert!(detail.contains("s after the trace began and "), "{detail}");
    assert_eq!(report["nodes"].as_array().unwrap().len(), 2, "{report:#}");
}

#[test]
fn a_ctrl_c_is_the_commands_and_the_report_still_comes() {
    let stage = stage(Access::Public);
    let mut pty = Pty::run(&stage.trace(&["-q"], &["sh", "-c", "echo begun; sleep 60"]));
    pty.wait_for("begun");
    pty.type_in("\x03");
    let (code, screen) = pty.end();
    assert_eq!(code, 130, "{screen}");
    assert!(screen.contains("nothing changed between the API server and the nodes"), "{screen}");
    // A command that makes nothing of it goes on.
    let mut pty =
        Pty::run(&stage.trace(&["-q"], &["sh", "-c", "trap : INT; echo begun; sleep 1; sleep 1; exit 5"]));
    pty.wait_for("begun");
    pty.type_in("\x03");
    let (code, screen) = pty.end();
    assert_eq!(code, 5, "{screen}");
}

#[test]
fn the_terminal_is_put_right_after_a_command_that_could_not() {
    let stage = stage(Access::Public);
    let pty = Pty::run(&stage.trace(&["-q"], &["sh", "-c", "stty raw -echo; kill -KILL $$"]));
    let (code, screen) = pty.end();
    assert_eq!(code, 137, "{screen}");
}

#[test]
fn without_a_command_nodes_are_looked_at_until_ctrl_c() {
    let stage = stage(Access::Public);
    let mut pty = Pty::run(&stage.trace(&[], &[]));
    pty.wait_for("Ctrl-C ends it");
    let exec = stage.scene.lab.node(0).exec_from(ENIS[0]).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    drop(exec);
    pty.type_in("\x03");
    let (code, screen) = pty.end();
    assert_eq!(code, 0, "{screen}");
    assert!(screen.split_whitespace().collect::<Vec<_>>().join(" ").contains("came and went"), "{screen}");
}

#[test]
fn a_signal_that_is_not_of_the_keyboard_is_told_after_the_report() {
    let stage = stage(Access::Public);
    let mut child = stage.trace(&[], &[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(line.contains("Ctrl-C ends it"), "{line}");
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::TERM).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(143));
    let table = String::from_utf8(ended.stdout).unwrap();
    assert!(table.contains("nothing changed between the API server and the nodes"), "{table}");
}

/// Whoever ran the command waits for how it ended.
#[test]
fn a_report_that_cannot_be_written_does_not_hide_that_the_command_failed() {
    let stage = stage(Access::Public);
    for (command, code) in [("exit 7", 7), ("exit 0", 2)] {
        let ran = ran(stage.trace(&["--write", "table=/dev/full"], &["sh", "-c", command]));
        assert_eq!(ran.code, code, "{}", ran.stderr);
        assert!(ran.stderr.contains("/dev/full"), "{}", ran.stderr);
        // The others are whole.
        assert!(ran.stdout.contains("nothing changed"), "{}", ran.stdout);
        let report = std::fs::read(stage.report_file()).unwrap();
        assert!(serde_json::from_slice::<Value>(&report).is_ok());
    }
}

#[test]
fn a_node_that_floods_is_told_as_one() {
    let stage = stage(Access::Public);
    let began = Instant::now();
    let (_, report) = stage.run(&["--node", NODE, "--node", "f=flood@192.168.10.11"], &["true"]);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let gap = &report["gaps"][0];
    assert_eq!((&gap["what"], &gap["why"]), (&"node f".into(), &"too-much-output".into()), "{report:#}");
    while !stage.scene.lab.node(1).run("pgrep -a -u flood; true").unwrap().stdout.is_empty() {
        assert!(began.elapsed() < Duration::from_secs(25), "it still runs there");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn without_any_node_the_command_is_not_run() {
    let stage = stage(Access::Public);
    let witness = stage.dir.path().join("ran");
    let ran = ran(stage.trace(&["--node", "n9=nobody-has-this-name"], &["touch", witness.to_str().unwrap()]));
    assert_eq!((ran.code, witness.exists()), (3, false), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("the command was not run") && ran.stderr.contains("does not resolve"),
        "{}",
        ran.stderr
    );
}

#[test]
fn one_node_alone_can_be_looked_at() {
    let stage = stage(Access::Public);
    for only in [NODE, "192.168.10.10", "i-00000000000000000"] {
        let (_, report) = stage.run(&["--only", only], &["true"]);
        let nodes: Vec<_> =
            report["nodes"].as_array().unwrap().iter().map(|node| node["name"].clone()).collect();
        assert_eq!(nodes, [NODE], "{only}");
    }
    let ran = ran(stage.trace(&["--only", "nobody"], &["true"]));
    assert_eq!(ran.code, 3);
    assert!(ran.stderr.contains("node nobody: no node is called so; there are "), "{}", ran.stderr);
    assert!(ran.stderr.contains(NODE), "{}", ran.stderr);
}

/// Rights differ by account: one sudo for all, one for each look, none.
#[test]
fn least_rights_still_tell_what_they_can() {
    let stage = stage(Access::Public);
    let nodes = [
        "--node",
        "r=root@192.168.10.10",
        "--node",
        "s=onlyss@192.168.10.10",
        "--node",
        "p=nosudo@192.168.10.10",
    ];
    let exec = stage.kubectl(&[&EXEC[..], &["--", "true"]].concat());
    let exec: Vec<_> = exec.iter().map(String::as_str).collect();
    stage.api.set_takes(Duration::from_millis(400));
    let (ran, report) = stage.run(&nodes, &exec);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for node in ["r", "s", "p"] {
        let inbound = |change: &&Value| change["node"] == node && change["direction"] == "inbound";
        let seen = report["changes"].as_array().unwrap().iter().find(inbound);
        assert_eq!(seen.unwrap()["change"], "transient", "{node}: {report:#}");
    }
    let ends: Vec<_> =
        report["nodes"].as_array().unwrap().iter().map(|node| node["tells_ends"] == true).collect();
    assert_eq!(ends, [false, true, false], "p, r, s: {report:#}");
    let gaps: Vec<_> = report["gaps"].as_array().unwrap().iter().map(|gap| gap["what"].clone()).collect();
    assert_eq!(gaps, ["node p"], "{report:#}");
}
