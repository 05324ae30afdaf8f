//! `kubectl exec` and the like: its connection, its terminal and its exit code.

use std::time::Duration;

use eks_netcheck_lab::sandbox::ENIS;
use serde_json::Value;

use super::{EXEC, NODE, changes, kube_testbed, kubectl};
use crate::lab::{Access, run_command};
use crate::pty::Pty;

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
