//! The command of a trace, and the program that is its parent: what is left of it when
//! the tool is killed.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::pty::Pty;
use crate::sampling::scripted_node;

/// The processes whose arguments contain `text`, by id.
fn processes(text: &str) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).contains(text) {
            found.push(id);
        }
    }
    found
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A shell without job control does not restore the terminal after a program that was
/// killed.
#[test]
fn a_killed_tool_leaves_neither_its_command_nor_a_changed_terminal() {
    for script in [
        "stty raw -echo; echo begun; sleep 1007",
        // A command and its child that ignore the first signal.
        "trap '' TERM HUP INT; stty raw -echo; echo begun; sleep 1007; sleep 1007; :",
    ] {
        let node = scripted_node("");
        let trace = node.trace(&["--settle", "0s"], script);
        let mut shell = Command::new("bash");
        // It gives the terminal's owner a moment to restore it.
        shell
            .args(["-c", "\"$@\"; code=$?; sleep 1; exit $code", "bash"])
            .arg(trace.get_program())
            .args(trace.get_args());
        shell.current_dir(node.dir());
        shell.envs(trace.get_envs().filter_map(|(key, value)| Some((key, value?))));
        let pty = Pty::run(&shell);
        pty.wait_for("begun");
        let dir = node.dir().display().to_string();
        let of_this = || {
            let is_here = |id: &i32| {
                std::fs::read_link(format!("/proc/{id}/cwd"))
                    .is_ok_and(|cwd| cwd.display().to_string() == dir)
            };
            processes("").into_iter().filter(is_here).collect::<Vec<_>>()
        };
        let line = |id: &i32| {
            let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).replace('\0', " ")
        };
        let is_tool = |id: &i32| line(id).contains(" trace --cluster") && !line(id).starts_with("bash");
        let tool: Vec<_> = of_this().into_iter().filter(is_tool).collect();
        let [tool] = tool.as_slice() else { panic!("{:?}", of_this().iter().map(line).collect::<Vec<_>>()) };
        assert!(of_this().iter().any(|id| line(id).starts_with("sleep 1007")));
        kill_process(Pid::from_raw(*tool).unwrap(), Signal::KILL).unwrap();
        wait_until("the command still runs", || {
            !of_this().iter().any(|id| line(id).contains("sleep 1007") && !line(id).starts_with("bash"))
        });
        // `Pty::end` compares the terminal's settings.
        let (code, screen) = pty.end();
        assert_eq!(code, 128 + 9, "{screen}");
    }
}

/// An interactive shell stops itself, in a process group of its own.
#[test]
fn a_command_that_suspends_itself_returns_to_the_shell_and_goes_on_with_fg() {
    let node = scripted_node("");
    let trace = node.trace(&["--settle", "0s"], "exec env PS1=inner: bash --norc -i");
    let mut shell = Command::new("bash");
    shell.args(["--norc", "-i"]).current_dir(node.dir()).env("PS1", "outer$ ");
    let line = std::iter::once(trace.get_program()).chain(trace.get_args());
    let words: Vec<_> = line.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    shell.envs(trace.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let mut pty = Pty::run(&shell);
    let mut type_and_wait = |keys: &str, text: &str| {
        let before = pty.screen().matches(text).count();
        pty.type_in(keys);
        let began = Instant::now();
        while pty.screen().matches(text).count() <= before {
            assert!(began.elapsed() < Duration::from_secs(10), "no {text:?} in {}", pty.screen());
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    type_and_wait(&format!("{}\r", words.join(" ")), "inner:");
    type_and_wait("echo in''side\r", "inside");
    type_and_wait("suspend\r", "Stopped");
    type_and_wait("echo out''side\r", "outside");
    type_and_wait("fg\r", "exec env");
    type_and_wait("echo back in''side\r", "back inside");
    type_and_wait("exit 3\r", "exit code 3");
    type_and_wait("echo code $?.\r", "code 3.");
    pty.type_in("exit\r");
    assert_eq!(pty.end().0, 0);
}

#[test]
fn a_supervised_command_has_the_streams_and_the_exit_code_of_its_own() {
    let node = scripted_node("");
    let run = |script: &str| {
        let mut trace = node.trace(&["--settle", "0s", "--format", "json"], script);
        let mut child =
            trace.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"typed\n").unwrap();
        let ended = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        (ended.status.code().unwrap(), text(&ended.stdout), text(&ended.stderr))
    };
    let (code, stdout, stderr) = run("read line; echo \"got $line\"; echo problem >&2; exit 7");
    assert_eq!((code, stdout.starts_with("got typed\n{")), (7, true), "{stdout}");
    assert!(stderr.contains("problem\n"), "{stderr}");
    for (script, code) in
        [("kill -KILL $$", 137), ("kill -TERM $$", 143), ("kill -SEGV $$", 139), ("exit 255", 255)]
    {
        assert_eq!(run(script).0, code, "{script}");
    }
    // The socket to its supervisor is not open, and signals are as without the tool.
    let script = "ls -l /proc/$$/fd; echo; grep SigIgn /proc/$$/status; echo $0";
    let direct = Command::new("sh").args(["-c", script]).output().unwrap();
    let direct = String::from_utf8(direct.stdout).unwrap();
    let (_, stdout, _) = run(script);
    let (_, state) = direct.split_once("\n\n").unwrap();
    let (files, rest) = stdout.split_once("\n\n").unwrap();
    assert!(files.contains(" 0 -> pipe:") && !files.contains("socket:"), "{files}");
    assert!(rest.starts_with(state) && state.ends_with("sh\n"), "{rest}, not {state}");
}

#[test]
fn a_command_that_does_not_start_has_the_message_and_exit_code_of_a_shell() {
    let node = scripted_node("");
    let run = |program: &str| {
        let mut trace = Command::new(env!("CARGO_BIN_EXE_eks-netcheck"));
        let example = node.trace(&["--settle", "0s"], "");
        trace.envs(example.get_envs().filter_map(|(key, value)| Some((key, value?))));
        let args: Vec<_> = example.get_args().collect();
        let (_command, options) = args.split_last_chunk::<3>().map(|(head, tail)| (tail, head)).unwrap();
        let ended = trace.current_dir(node.dir()).args(options).arg(program).output().unwrap();
        (ended.status.code().unwrap(), String::from_utf8_lossy(&ended.stderr).into_owned())
    };
    let (code, stderr) = run("no-such-program");
    assert_eq!(
        (code, stderr.trim()),
        (127, "error: cannot run no-such-program: No such file or directory (os error 2)")
    );
    let (code, stderr) = run("/etc/passwd");
    assert_eq!(
        (code, stderr.trim()),
        (126, "error: cannot run /etc/passwd: Permission denied (os error 13)")
    );
}
