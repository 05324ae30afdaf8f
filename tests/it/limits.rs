//! Limits of the system that a run meets: the number of processes, and the size of a file.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use eks_netcheck_lab::aws::{Account, Api};

use crate::common::{Ran, scratch, story};

/// A user without processes, whose limit applies; root has none.
const USER: &str = "64321";

fn aws() -> Api {
    Api::serve(Account::from_evidence(&story("study-public")).unwrap()).unwrap()
}

/// Runs a command that sets a limit and then the tool, with its files below `dir`.
fn run(aws: &Api, dir: &Path, limit: &[&str], args: &[&str]) -> Ran {
    let mut command = Command::new(limit[0]);
    command.args(&limit[1..]).args(args).env_clear().current_dir(dir);
    command.envs([
        ("PATH", format!("{}:/usr/bin:/bin", dir.join("bin").display()).as_str()),
        ("TMPDIR", dir.to_str().unwrap()),
        ("AWS_ENDPOINT_URL", &aws.url()),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "not-a-secret"),
        ("AWS_REGION", "ap-northeast-2"),
    ]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    Ran {
        code: output.status.code().expect("not ended by a signal"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A directory that every user can write to, with a copy of the tool.
fn open_to_all() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let dir = scratch();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    std::fs::create_dir(dir.path().join("bin")).unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_eks-netcheck"), dir.path().join("bin/eks-netcheck")).unwrap();
    dir
}

/// The temporary files in a directory.
fn temporary_files(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| name.contains("eks-netcheck-")).collect()
}

#[test]
fn too_few_processes_are_an_error_and_no_panic() {
    let aws = aws();
    let dir = open_to_all();
    let is_root = rustix::process::geteuid().is_root();
    for processes in ["1", "2", "3", "5", "6", "7", "8", "12"] {
        for args in [
            &["audit", "--cluster", "myeks", "--node", "n1=192.0.2.1"][..],
            &["collect", "--cluster", "myeks", "--node", "n1=192.0.2.1", "--out", processes],
            &["trace", "--cluster", "myeks", "--node", "n1=192.0.2.1", "--", "true"],
            &["audit", "--all-clusters"],
        ] {
            let limit = format!("--nproc={processes}");
            let mut command = vec!["prlimit", limit.as_str(), "eks-netcheck"];
            if is_root {
                let user = ["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups"];
                command.splice(0..0, user);
            }
            let began = Instant::now();
            let ran = run(&aws, dir.path(), &command, &[args, &["--timeout", "2"]].concat());
            assert!(began.elapsed() < Duration::from_secs(10), "{processes}, {args:?}: {}", ran.stderr);
            // With enough of them, the cluster is judged, and its findings fail the run.
            assert!(matches!(ran.code, 1..=3), "{processes}, {args:?}: {}: {}", ran.code, ran.stderr);
            if matches!(processes, "1" | "2" | "3") {
                assert_eq!(ran.code, 2, "{processes}, {args:?}: {}", ran.stderr);
                assert!(ran.stderr.contains("cannot start threads"), "{args:?}: {}", ran.stderr);
                assert!(ran.stderr.contains("ulimit -u"), "{args:?}: {}", ran.stderr);
            }
            assert_eq!(temporary_files(dir.path()), [""; 0], "{processes}, {args:?}");
        }
    }
}

#[test]
fn recorded_evidence_is_judged_in_a_single_process() {
    let aws = aws();
    let dir = open_to_all();
    let evidence = dir.path().join("evidence");
    crate::common::copy(&story("study-public"), &evidence);
    let mut command = vec!["prlimit", "--nproc=1", "eks-netcheck"];
    if rustix::process::geteuid().is_root() {
        command.splice(0..0, ["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups"]);
    }
    let ran = run(&aws, dir.path(), &command, &["audit", "--cluster", "myeks", "--evidence", "evidence"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
}

#[test]
fn too_small_files_are_an_error_and_nothing_is_left() {
    let aws = aws();
    let dir = scratch();
    let tool = env!("CARGO_BIN_EXE_eks-netcheck");
    let evidence = story("study-public");
    let evidence = evidence.to_str().unwrap();
    let recorded = ["audit", "--cluster", "myeks", "--evidence", evidence, "--fail-on", "never"];
    let live = ["audit", "--cluster", "myeks", "--nodes", "none", "--fail-on", "never", "--timeout", "2"];
    for (args, file) in [
        ([&recorded[..], &["--write", "json=report.json"]].concat(), "report.json"),
        ([&live[..], &["--write", "json=report.json"]].concat(), "report.json"),
        (
            ["collect", "--cluster", "myeks", "--nodes", "none", "--timeout", "2", "--out", "evidence"]
                .into(),
            "evidence",
        ),
    ] {
        let ran = run(&aws, dir.path(), &["prlimit", "--fsize=700", tool], &args);
        assert_eq!(ran.code, 2, "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("File too large"), "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(file), "{args:?}: {}", ran.stderr);
        let names = std::fs::read_dir(dir.path()).unwrap();
        let left: Vec<_> = names.map(|entry| entry.unwrap().path()).collect();
        assert_eq!(left, [""; 0].map(Path::new), "{args:?}");
    }
}

#[test]
fn too_few_open_files_are_an_error_and_no_panic() {
    let aws = aws();
    let dir = scratch();
    for files in 4..20 {
        let limit = format!("--nofile={files}");
        let command = ["prlimit", &limit, env!("CARGO_BIN_EXE_eks-netcheck")];
        let ran = run(&aws, dir.path(), &command, &["audit", "--cluster", "myeks", "--nodes", "none"]);
        assert_eq!(ran.code, 2, "{files}: {}", ran.stderr);
        // Below, not even the working directory or the signals can be opened.
        assert!(files < 8 || ran.stderr.contains("ulimit -n"), "{files}: {}", ran.stderr);
    }
}

#[test]
fn a_policy_that_cannot_be_written_is_not_left_behind() {
    let dir = scratch();
    let command = ["prlimit", "--fsize=700", env!("CARGO_BIN_EXE_eks-netcheck")];
    let ran = run(&aws(), dir.path(), &command, &["policy", "init", "p.toml"]);
    assert_eq!((ran.code, dir.path().join("p.toml").exists()), (2, false), "{}", ran.stderr);
}

#[test]
fn files_of_the_aws_cli_without_end_are_refused() {
    let dir = scratch();
    let pipe = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for variable in ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE"] {
        for file in [Path::new("/dev/zero"), &pipe] {
            let assignment = format!("{variable}={}", file.display());
            let command = ["timeout", "10", "env", &assignment, env!("CARGO_BIN_EXE_eks-netcheck")];
            let ran = run(&aws(), dir.path(), &command, &["audit", "--cluster", "myeks", "--nodes", "none"]);
            assert_eq!(ran.code, 2, "{assignment}: {}", ran.stderr);
            assert!(ran.stderr.contains(variable) && ran.stderr.contains("regular file"), "{}", ran.stderr);
        }
    }
}
