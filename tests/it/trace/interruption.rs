//! Signals, the terminal, and a report that cannot be written.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use eks_netcheck_lab::sandbox::ENIS;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::kube_testbed;
use crate::lab::{Access, run_command};
use crate::pty::Pty;

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
