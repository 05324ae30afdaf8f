//! The commands of the steps can be pasted into a shell.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::every_dir;
use crate::common::{Netcheck, copy_of};

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
    for update in updates {
        let (update, wait) = update.split_once(" && ").unwrap_or_else(|| panic!("{update}"));
        let (of, _) = update.split_once(" --resources-vpc-config ").unwrap();
        assert_eq!(wait, of.replace("update-cluster-config", "wait cluster-active"));
    }
}

/// All commands of a report, wherever they stand.
fn commands_of(report: &Value, commands: &mut Vec<String>) {
    match report {
        Value::Array(all) => all.iter().for_each(|one| commands_of(one, commands)),
        Value::Object(all) => {
            commands.extend(all.get("command").and_then(Value::as_str).map(ToOwned::to_owned));
            all.values().for_each(|one| commands_of(one, commands));
        }
        _ => {}
    }
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
        let file = Path::new(command.rsplit_once(" > ").unwrap().1);
        assert!(file.is_file(), "{command}");
        dirs.insert(file.parent().unwrap().file_name().unwrap().to_owned());
    }
    assert!(dirs.iter().any(|dir| dir == "nodes"), "{dirs:?}");
    assert!(dirs.iter().any(|dir| dir == "dns" || dir == "kubernetes"), "{dirs:?}");
}
