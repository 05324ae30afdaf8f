//! Signals, and the terminal.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::scripted_node;
use crate::pty::Pty;

/// The report says what was seen until then.
#[test]
fn a_signal_ends_a_trace_whose_command_does_not_end_and_the_report_is_written() {
    for trap in ["trap '' TERM", "trap 'sleep 0.1; exit 9' TERM"] {
        let node = scripted_node("");
        let mut child = node
            .trace(&["--settle", "0s"], &format!("{trap}; touch begun; while :; do sleep 0.05; done"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let began = Instant::now();
        while !node.has("begun") {
            assert!(began.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(10));
        }
        let signaled = Instant::now();
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(143));
        assert!(signaled.elapsed() < Duration::from_secs(1), "{:?}", signaled.elapsed());
        let exit_code = if trap.contains("exit 9") { 9 } else { 137 };
        assert_eq!(node.report()["exit_code"], exit_code, "{trap}");
    }
}

#[test]
fn ctrl_c_before_the_command_begins_ends_the_run() {
    let node = scripted_node("");
    let began = Instant::now();
    let mut pty = Pty::run(&node.trace(&["--settle", "60s"], "touch begun"));
    while !node.has("sampled") {
        assert!(began.elapsed() < Duration::from_secs(20), "{}", pty.screen());
        std::thread::sleep(Duration::from_millis(10));
    }
    pty.type_in("\x03");
    let (code, screen) = pty.end();
    assert_eq!(code, 130, "{screen}");
    assert!(!node.has("begun"), "{screen}");
    assert!(began.elapsed() < Duration::from_secs(30), "{screen}");
}

/// A shell with job control stops a background job that changes the terminal's
/// settings.
#[test]
fn a_background_job_does_not_touch_the_terminal() {
    let node = scripted_node("");
    let trace = node.trace(&["--settle", "0s"], "touch begun");
    let mut shell = Command::new("bash");
    // The trace's program and arguments become the shell's positional parameters.
    shell.args(["-c", "set -m; \"$@\" >table.txt & wait $!; echo \"ended with $?\"", "bash"]);
    shell.arg(trace.get_program()).args(trace.get_args()).current_dir(node.dir.path());
    shell.envs(trace.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let (code, screen) = Pty::run(&shell).end();
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("ended with 0"), "{screen}");
    assert!(node.has("begun"), "{screen}");
}

#[test]
fn the_terminal_is_restored_where_standard_input_is_no_terminal() {
    let node = scripted_node("");
    let trace = node.trace(&["--settle", "0s"], "stty -echo raw </dev/tty; kill -KILL $$");
    let mut shell = Command::new("bash");
    shell.args(["-c", "\"$@\" </dev/null", "bash"]);
    shell.arg(trace.get_program()).args(trace.get_args()).current_dir(node.dir.path());
    shell.envs(trace.get_envs().filter_map(|(key, value)| Some((key, value?))));
    // `Pty::end` compares the terminal's settings.
    let (code, screen) = Pty::run(&shell).end();
    assert_eq!(code, 128 + 9, "{screen}");
}
