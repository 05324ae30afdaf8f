//! The commands of the steps can be pasted into a shell.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{commands_of, every_dir, findings, steps};
use crate::common::{Netcheck, copy_of, of_another_machine, story};

/// Every command can be pasted into a shell.
#[test]
fn every_command_parses() {
    let mut script = String::new();
    for dir in every_dir() {
        let (report, _) = Netcheck::audit(&dir).json();
        for finding in report["findings"].as_array().unwrap() {
            for step in finding["steps"].as_array().unwrap() {
                for command in [&step["command"], &step["check"]["command"]] {
                    script += &command.as_str().map(|command| format!("{command}\n")).unwrap_or_default();
                }
            }
        }
    }
    assert!(script.lines().count() > 50);
    let mut bash =
        Command::new("bash").arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    bash.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = bash.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// EKS refuses an update while another one runs: every command that updates waits for its end.
#[test]
fn every_update_is_waited_for() {
    let mut commands = Vec::new();
    for dir in every_dir() {
        let (report, _) = Netcheck::audit(&dir).json();
        commands_of(&report, &mut commands);
        for access in
            [&["--access", "private"][..], &["--access", "public"], &["--public-cidrs", "192.0.2.0/24"]]
        {
            let simulate = ["simulate", "--cluster", "myeks", "--format", "json"];
            let ran = Netcheck::new(simulate).args(access).arg("--evidence").arg(&dir).run();
            // Not every change is one of every cluster.
            if let Ok(report) = serde_json::from_str(&ran.stdout) {
                commands_of(&report, &mut commands);
            }
        }
    }
    let updates: Vec<_> = commands.iter().filter(|one| one.contains("update-cluster-config")).collect();
    assert!(updates.len() > 50, "{}", updates.len());
    for update in &updates {
        let (update, wait) = update.split_once(" && ").unwrap_or_else(|| panic!("{update}"));
        let (of, _) = update.split_once(" --resources-vpc-config ").unwrap();
        let of = of.strip_prefix("id=$(aws eks update-cluster-config").unwrap_or_else(|| panic!("{update}"));
        assert!(update.ends_with(" --query update.id --output text)"), "{update}");
        let waits =
            format!("while state=$(aws eks describe-update{of} --update-id \"$id\" --query update.status ");
        assert!(wait.starts_with(&waits), "{update}: {wait}");
    }
    // The update may be seen before it begins, and it may fail, or not be described.
    let ends = [
        ("sh", "echo Successful", "Successful\nwent on\n"),
        ("bash", "echo Failed", "Failed\n"),
        ("sh", "return 254", "\n"),
    ];
    for (shell, end, expected) in ends {
        let dir = crate::common::scratch();
        let script = format!(
            "cd '{}'; aws() {{ echo \"$*\" >>calls; case \"$*\" in *describe-update*'--update-id u-1 '*) \
             if test \"$(wc -l <calls)\" -lt 4; then echo InProgress; else {end}; fi;; \
             *update-cluster-config*) echo u-1;; esac; }}; sleep() {{ :; }}; {} && echo went on",
            dir.path().display(),
            updates[0]
        );
        let ran = Command::new(shell).args(["-c", &script]).output().unwrap();
        let printed = String::from_utf8(ran.stdout).unwrap();
        assert_eq!(printed, expected, "{}", String::from_utf8_lossy(&ran.stderr));
        let calls = std::fs::read_to_string(dir.path().join("calls")).unwrap();
        assert_eq!(calls.matches("describe-update").count(), 3, "{calls}");
    }
    // What EKS refuses is not waited for.
    let script = format!("aws() {{ echo \"$2\" >&2; return 254; }}; {}", updates[0]);
    let ran = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&ran.stderr), "update-cluster-config\n");
    assert_eq!((ran.status.code(), ran.stdout), (Some(254), Vec::new()));
}

/// The steps that the rule `explain` describes wait for an update that another one follows.
#[test]
fn the_steps_of_explain_wait_for_an_update_as_those_of_a_cluster_do() {
    let ran = Netcheck::new(["explain", "public-endpoint-open"]).run();
    let text = crate::common::joined(&ran.stdout);
    let commands: Vec<_> =
        text.lines().filter(|line| line.contains("aws eks update-cluster-config")).collect();
    let [first, second] = commands.as_slice() else { panic!("{commands:#?}") };
    assert!(first.contains("endpointPrivateAccess=true") && second.contains("publicAccessCidrs="), "{text}");
    let (report, _) = Netcheck::audit(&story("study-public")).json();
    let all = steps(&report, "public-endpoint-open").into_iter().filter_map(|(_, command)| command);
    let computed = all.into_iter().find(|command| command.contains("endpointPrivateAccess=true")).unwrap();
    let general = computed.replace("ap-northeast-2", "REGION").replace("myeks", "CLUSTER");
    assert_eq!(first.trim(), general);
}

/// A command that records what is missing works in a directory without the subdirectory.
#[test]
fn what_is_recorded_has_a_directory() {
    let copy = copy_of("public-and-private-stale");
    for dir in ["nodes", "dns", "kubernetes"] {
        let path = copy.path().join(dir);
        assert!(!path.exists() || std::fs::remove_dir_all(path).is_ok());
    }
    let (report, _) = Netcheck::audit(copy.path()).json();
    let hints = report.to_string();
    let hints: Vec<_> = hints.split('"').filter(|text| text.contains(" > ")).collect();
    let mut dirs = std::collections::BTreeSet::new();
    for hint in hints {
        let Some((_, command)) = hint.split_once(": ") else { continue };
        let programs = "aws() { :; }; kubectl() { :; }; ssh() { :; }; dig() { :; }; set -e";
        let ran = Command::new("bash").args(["-c", &format!("{programs}; {command}")]).output().unwrap();
        assert!(ran.status.success(), "{command}: {}", String::from_utf8_lossy(&ran.stderr));
        let file = Path::new(command.rsplit_once(' ').unwrap().1);
        assert!(file.is_file(), "{command}");
        dirs.insert(file.parent().unwrap().file_name().unwrap().to_owned());
    }
    assert!(dirs.iter().any(|dir| dir == "nodes"), "{dirs:?}");
    assert!(dirs.iter().any(|dir| dir == "dns" || dir == "kubernetes"), "{dirs:?}");
}

/// Which command of a shell is run where, when the commands of a report are pasted.
fn pasted(command: &str) -> Vec<String> {
    let programs = r#"ssh() { echo "ssh $*"; }; sudo() { echo "here: $*"; }"#;
    let ran = Command::new("bash").args(["-c", &format!("{programs}; {command}")]).output().unwrap();
    assert!(ran.status.success(), "{command}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap().lines().map(ToOwned::to_owned).collect()
}

/// A command for a node is run there: whoever pastes it is elsewhere.
#[test]
fn commands_for_nodes_are_run_on_the_nodes() {
    let restarts = |dir: &Path, rule: &str| {
        let (report, _) = Netcheck::audit(dir).json();
        let all = steps(&report, rule).into_iter();
        let restart = all.filter(|(text, _)| text.starts_with("Restart kubelet"));
        restart.flat_map(|(_, command)| pasted(&command.unwrap())).collect::<Vec<_>>()
    };
    let one = restarts(&story("public-and-private-stale"), "node-on-public-path");
    assert_eq!(one, ["ssh -t n1 sudo systemctl restart kubelet"]);
    let two = restarts(&story("study-public"), "public-endpoint-open");
    let expected = ["n1", "n2"].map(|node| format!("ssh -t {node} sudo systemctl restart kubelet"));
    assert_eq!(two, expected);
    // Of nodes that are not known by name, each is to be filled in.
    let copy = copy_of("study-public");
    std::fs::remove_dir_all(copy.path().join("nodes")).unwrap();
    let unknown = restarts(copy.path(), "public-endpoint-open");
    assert_eq!(unknown, ["ssh -t NODE sudo systemctl restart kubelet"]);
    // A few of many nodes are in the command, and the step says so.
    let copy = copy_of("study-public");
    let capture = std::fs::read_to_string(copy.path().join("nodes/n1.txt")).unwrap();
    for number in 3..15 {
        let path = copy.path().join(format!("nodes/n{number:02}.txt"));
        std::fs::write(path, of_another_machine(&capture, number)).unwrap();
    }
    assert_eq!(restarts(copy.path(), "public-endpoint-open").len(), 10);
    assert!(findings(copy.path()).contains("; the command has 10 of 14 nodes"));
}
