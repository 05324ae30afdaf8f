//! Flags, exit codes, report files and standard output.

use std::fs;
use std::process::{Command, Stdio};

use crate::common::{Netcheck, scratch, story};

#[test]
fn fail_on_sets_the_exit_code_and_formats_do_not_change_it() {
    let dir = story("node-egress-missing");
    for (threshold, code) in [("critical", 0), ("high", 1), ("medium", 1), ("low", 1), ("never", 0)] {
        for format in ["table", "json"] {
            let ran = Netcheck::audit(&dir).args(&["--fail-on", threshold, "--format", format]).run();
            assert_eq!(ran.code, code, "{threshold} {format}");
        }
    }
    let ran = Netcheck::audit(&story("study-public")).args(&["--fail-on", "never"]).run();
    assert_eq!(ran.code, 0);
}

#[test]
fn usage_errors_exit_with_2() {
    for args in [
        &["audit"][..],
        &["audit", "--cluster", "x", "--nodes", "none"],
        &["audit", "--cluster", ""],
        &["audit", "--cluster", "x", "--node", "a=b", "--node", "a=c"],
        &["audit", "--cluster", "x", "--node", "here"],
        &["audit", "--cluster", "x", "--node", "10.0.0.2", "--resolver", "10.0.0.2"],
        &["audit", "--cluster", "x", "--evidence", "y", "--write", "json=f", "--write", "table=./f"],
        &["\u{1b}[31maudit"],
        &["frobnicate"],
        &["audit", "--cluster", "x", "--evidence", "y", "--fail-on", "bad"],
        &["audit", "--cluster", "x", "--evidence", "y", "--write", "json"],
        &["audit", "--cluster", "x", "--evidence", "y", "--write", "xml=f"],
        &[],
    ] {
        let ran = Netcheck::new(args).run();
        assert_eq!(ran.code, 2, "{args:?}");
        assert_eq!(ran.stdout, "");
        assert!(!ran.stderr.is_empty());
        assert!(!ran.stderr.contains('\u{1b}'), "{args:?}: {:?}", ran.stderr);
    }
}

#[test]
fn help_lists_the_exit_codes() {
    for args in [&["--help"][..], &["audit", "--help"]] {
        let ran = Netcheck::new(args).run();
        assert_eq!(ran.code, 0);
        for line in [
            "0   judged, and nothing",
            "1   judged, and findings",
            "2   usage",
            "3   could not judge",
            "4   nothing to judge",
            "70  a bug",
        ] {
            assert!(ran.stdout.contains(line), "{args:?} lacks {line}");
        }
    }
}

#[test]
fn colour_follows_clicolor_force_and_no_color() {
    let dir = story("study-public");
    let plain = Netcheck::audit(&dir).run().stdout;
    assert!(!plain.contains('\x1b'));
    let coloured = Netcheck::audit(&dir).env("CLICOLOR_FORCE", "1").run().stdout;
    assert!(coloured.contains("\x1b["));
    let without = Netcheck::audit(&dir).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1").run().stdout;
    assert_eq!(without, plain);
    // Without its escape sequences, coloured output equals plain output.
    assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain);
}

#[test]
fn one_run_can_write_several_reports() {
    let dir = scratch();
    let (json, table) = (dir.path().join("report.json"), dir.path().join("report.txt"));
    fs::write(&json, "an older and longer report".repeat(1000)).unwrap();
    let write = [format!("json={}", json.display()), format!("table={}", table.display())];
    let audit = Netcheck::audit(&story("study-public"));
    let ran = audit.args(&["--write", &write[0], "--write", &write[1]]).run();
    assert_eq!(ran.code, 1);
    let report: serde_json::Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    assert_eq!(report["verdict"], "fail");
    assert_eq!(fs::read_to_string(&table).unwrap(), ran.stdout);
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn an_unwritable_report_path_is_refused_before_the_audit() {
    let ran =
        Netcheck::audit(&story("study-public")).args(&["--write", "json=/nonexistent/report.json"]).run();
    assert_eq!(ran.code, 2);
    assert_eq!(ran.stdout, "");
    assert_eq!(
        ran.stderr,
        "error: cannot write to /nonexistent/report.json: there is no directory /nonexistent\n"
    );
}

#[test]
fn reports_get_default_permissions_and_keep_existing_ones() {
    use std::os::unix::fs::PermissionsExt;
    let dir = scratch();
    let file = dir.path().join("report.json");
    Netcheck::audit(&story("study-public")).args(&["--write", &format!("json={}", file.display())]).run();
    let other = dir.path().join("other");
    fs::write(&other, "").unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&file), mode(&other));
    // An existing file keeps its mode.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    Netcheck::audit(&story("study-public")).args(&["--write", &format!("json={}", file.display())]).run();
    assert_eq!(mode(&file) & 0o777, 0o600);
}

#[test]
fn writing_into_the_evidence_directory_is_refused() {
    let copy = crate::common::copy_of("study-public");
    for file in ["cluster.json", "nodes/n3.txt"] {
        let write = format!("json={}", copy.path().join(file).display());
        let ran = Netcheck::audit(copy.path()).args(&["--write", &write]).run();
        assert_eq!(ran.code, 2, "{file}");
        assert!(ran.stderr.contains("in the evidence directory"), "{}", ran.stderr);
    }
    assert_eq!(Netcheck::audit(copy.path()).run().code, 1);
}

#[test]
fn a_refused_run_keeps_the_existing_report() {
    let dir = scratch();
    let file = dir.path().join("report.json");
    fs::write(&file, "older").unwrap();
    let ran = Netcheck::audit(dir.path()).args(&["--write", &format!("json={}", file.display())]).run();
    assert_eq!(ran.code, 2);
    assert_eq!(fs::read_to_string(&file).unwrap(), "older");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn devices_are_written_to_and_not_replaced() {
    let ran = Netcheck::audit(&story("study-public")).args(&["--write", "json=/dev/null"]).run();
    assert_eq!(ran.code, 1);
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

#[test]
fn a_closed_standard_output_does_not_change_the_exit_code() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_eks-netcheck"))
        .args(["audit", "--cluster", "myeks", "--evidence"])
        .arg(story("study-public"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
