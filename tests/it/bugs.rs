//! A bug in the tool: one line, exit code 70, and reports that say that nothing was judged.
//!
//! The tool has no known bug to test with, so that this binary runs itself with a command
//! that panics.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Output};

use eks_netcheck::cli;
use eks_netcheck::run::bug;
use eks_netcheck::run::exit::Exit;
use serde_json::Value;

use crate::common::{scratch, story};

/// The formats of `audit` and of `trace`, with a text that each must have here.
const AUDIT: [(&str, &str); 11] = [
    ("table", "INCONCLUSIVE"),
    ("html", "bug in eks-netcheck"),
    ("json", "\"verdict\": \"inconclusive\""),
    ("markdown", "bug in eks-netcheck"),
    ("sarif", "bug in eks-netcheck"),
    ("junit", "bug in eks-netcheck"),
    ("gitlab", "bug in eks-netcheck"),
    ("github", "::"),
    ("ocsf", "bug in eks-netcheck"),
    // Nothing is imported.
    ("asff", "[]"),
    ("openmetrics", "eks_netcheck_run_verdict{verdict=\"inconclusive\"} 1\n"),
];

/// Runs a test of this binary, which calls [`run_if_child`], with a command line.
fn run(way: &str, args: &[OsString]) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([
        "bugs::a_panic_ends_with_70_and_one_line_that_asks_for_a_report",
        "--exact",
        "--nocapture",
    ]);
    command.env("BUG_WAY", way).env("BUG_ARGS", std::env::join_paths(args).unwrap());
    command.env("RUST_BACKTRACE", "1");
    command.output().unwrap()
}

/// Runs the command line in the environment, if there is one, and ends the process.
fn run_if_child() {
    let Some(args) = std::env::var_os("BUG_ARGS") else { return };
    let args = std::env::split_paths(&args).map(OsString::from);
    let (options, _) = cli::parse([OsString::from("eks-netcheck")].into_iter().chain(args)).unwrap();
    bug::install_hook();
    let ended = bug::guard(&options, |options| {
        assert_ne!(std::env::var("BUG_WAY").unwrap(), "this thread", "of a kind\nnot known");
        let ended = eks_netcheck::run::run(options);
        let other = std::thread::spawn(|| panic!("of a kind\nnot known"));
        assert!(other.join().is_err());
        ended
    });
    let is_bug = ended.is_ok_and(|ended| ended.exit == Exit::Bug && ended.message.is_none());
    std::process::exit(if is_bug && bug::has_panicked() { 70 } else { 1 });
}

/// One line, and the exit code.
fn assert_bug(output: &Output) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(70), "{stderr}");
    let [line] = stderr.lines().collect::<Vec<_>>()[..] else { panic!("{stderr}") };
    assert!(line.starts_with("bug in eks-netcheck") && line.contains("please report"), "{line}");
    assert!(line.contains("of a kind\\nnot known"), "{line}");
}

fn args(words: &[&str], write: &Path, formats: impl Iterator<Item = &'static str>) -> Vec<OsString> {
    let mut args: Vec<_> = words.iter().map(OsString::from).collect();
    for format in formats {
        let mut value = OsString::from(format!("{format}="));
        value.push(write.join(format));
        args.extend(["--write".into(), value]);
    }
    args
}

#[test]
fn a_panic_ends_with_70_and_one_line_that_asks_for_a_report() {
    run_if_child();
    let formats = eks_netcheck::report::FORMATS.iter().map(|format| format.name);
    assert_eq!(
        formats.collect::<std::collections::BTreeSet<_>>(),
        AUDIT.iter().map(|(format, _)| *format).collect(),
        "every format is tested"
    );
    let out = scratch();
    let story = story("study-public");
    let audit = ["audit", "--cluster", "myeks", "--format", "json", "--evidence", story.to_str().unwrap()];
    let audit = args(&audit, out.path(), AUDIT.map(|(format, _)| format).into_iter());
    for way in ["this thread", "another thread"] {
        for (format, _) in AUDIT {
            std::fs::write(out.path().join(format), "an old report").unwrap();
        }
        assert_bug(&run(way, &audit));
        for (format, expected) in AUDIT {
            let report = std::fs::read_to_string(out.path().join(format)).unwrap();
            assert!(report.contains(expected), "{way}, {format}: {report}");
            assert!(!report.contains("an old report"), "{way}, {format}: {report}");
        }
        let json: Value = serde_json::from_slice(&std::fs::read(out.path().join("json")).unwrap()).unwrap();
        assert_eq!(json["verdict"], "inconclusive");
    }
    // No temporary file is left beside them.
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), AUDIT.len());
}

#[test]
fn a_panic_of_diff_leaves_reports_with_a_gap() {
    let out = scratch();
    let story = story("study-public");
    let story = story.to_str().unwrap();
    let diff = args(&["diff", story, story], out.path(), ["table", "json"].into_iter());
    assert_bug(&run("this thread", &diff));
    let json: Value = serde_json::from_slice(&std::fs::read(out.path().join("json")).unwrap()).unwrap();
    assert_eq!(json["gaps"][0]["what"], "the run", "{json:#}");
    assert_eq!(json["changes"], serde_json::json!([]));
    let table = std::fs::read_to_string(out.path().join("table")).unwrap();
    assert!(table.contains("bug in eks-netcheck") && !table.contains("no change was seen"), "{table}");
}

#[test]
fn a_panic_of_simulate_leaves_reports_with_a_gap() {
    let out = scratch();
    let story = story("study-public");
    let simulate = ["simulate", "--cluster", "myeks", "--access", "private", "--evidence"];
    let simulate = [&simulate[..], &[story.to_str().unwrap()]].concat();
    let simulate = args(&simulate, out.path(), ["table", "json", "markdown"].into_iter());
    assert_bug(&run("this thread", &simulate));
    let json: Value = serde_json::from_slice(&std::fs::read(out.path().join("json")).unwrap()).unwrap();
    assert_eq!(
        (&json["verdict"], &json["gaps"][0]["what"]),
        (&"unknown".into(), &"the run".into()),
        "{json:#}"
    );
    for format in ["table", "markdown"] {
        let report = std::fs::read_to_string(out.path().join(format)).unwrap();
        assert!(report.contains("bug in eks") && !report.contains("safe"), "{report}");
    }
}

#[test]
fn a_panic_of_reach_leaves_reports_with_a_gap() {
    let out = scratch();
    let story = story("study-public");
    let reach = ["reach", "--cluster", "myeks", "--from", "n1", "--evidence", story.to_str().unwrap()];
    let reach = args(&reach, out.path(), ["table", "json"].into_iter());
    for way in ["this thread", "another thread"] {
        for format in ["table", "json"] {
            std::fs::write(out.path().join(format), "an old report").unwrap();
        }
        assert_bug(&run(way, &reach));
        let json: Value = serde_json::from_slice(&std::fs::read(out.path().join("json")).unwrap()).unwrap();
        let said = (&json["verdict"], &json["from"], &json["gaps"][0]["what"]);
        assert_eq!(said, (&"unknown".into(), &"n1".into(), &"the run".into()), "{json:#}");
        assert_eq!(json["steps"], serde_json::json!([]));
        let table = std::fs::read_to_string(out.path().join("table")).unwrap();
        assert!(table.contains("bug in eks") && table.contains("not known"), "{table}");
        assert!(!table.contains("an old report"), "{table}");
    }
}
