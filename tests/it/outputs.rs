//! Where reports are written: each to a file of its own, and what becomes of the others if one
//! cannot be written.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{Netcheck, copy_of, scratch, story};

/// Two reports never get one file, and none replaces what standard output or standard error is.
#[test]
fn a_file_has_one_report() {
    let dir = scratch();
    let dir = dir.path();
    fs::create_dir(dir.join("real")).unwrap();
    symlink("real", dir.join("linked")).unwrap();
    symlink("new.json", dir.join("dangling.json")).unwrap();
    let audit = |writes: &[&str]| {
        let all = writes.iter().flat_map(|write| ["--write", *write]);
        Netcheck::audit(&story("private-only")).args(&all.collect::<Vec<_>>()).dir(dir).run()
    };
    for writes in [
        ["json=real/a.json", "html=linked/a.json"],
        ["json=a.json", "html=real/../a.json"],
        ["json=new.json", "html=dangling.json"],
        ["json=dangling.json", "html=dangling.json"],
    ] {
        let ran = audit(&writes);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{writes:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("twice"), "{writes:?}: {}", ran.stderr);
    }
    assert!(!dir.join("a.json").exists() && !dir.join("new.json").exists());
    // The target of a link is written, not the link, also if it does not exist yet.
    let ran = audit(&["json=dangling.json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(dir.join("dangling.json").is_symlink() && dir.join("new.json").is_file());
    // The name of a directory is no name of a file, before the work and not after it.
    let ran = audit(&["json=none/"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("none/ is the name of a directory"), "{}", ran.stderr);
    for (stream, redirection) in [("standard output", ">out"), ("standard error", "2>out")] {
        for write in ["json=out", "json=/dev/stdout", "json=/dev/stderr"] {
            let mut shell = Command::new("sh");
            let script = format!("exec \"$0\" audit --evidence \"$1\" --write {write} {redirection}");
            shell.env_clear().current_dir(dir).args(["-c", &script, env!("CARGO_BIN_EXE_eks-netcheck")]);
            let ran = shell.arg(story("private-only")).output().unwrap();
            let out = fs::read_to_string(dir.join("out")).unwrap();
            let is_own = write == "json=out" || (write == "json=/dev/stdout") == (redirection == ">out");
            if is_own {
                let stderr = String::from_utf8(ran.stderr).unwrap() + &out;
                assert_eq!(ran.status.code(), Some(2), "{write} {redirection}: {stderr}");
                assert!(stderr.contains(&format!("is also {stream}")), "{write} {redirection}: {stderr}");
            } else {
                // A pipe gets both.
                assert_eq!(ran.status.code(), Some(0), "{write} {redirection}");
            }
        }
    }
}

/// Exit codes other than 2 say that each report is whole. The others are written all the same.
#[test]
fn a_report_that_cannot_be_written_is_an_error_whatever_the_answer_is() {
    let dir = scratch();
    let file = dir.path().join("report.json");
    let unseen = copy_of("private-only");
    fs::remove_dir_all(unseen.path().join("nodes")).unwrap();
    let (fails, passes) = (story("study-public"), story("private-only"));
    let mut codes = Vec::new();
    for (evidence, args) in [
        (fails.as_path(), "audit"),
        (&passes, "audit"),
        (unseen.path(), "audit"),
        (&passes, "audit --cluster other"),
        (&fails, "simulate --access private"),
        (&passes, "simulate --access private"),
        (&passes, "simulate --cluster other --access private"),
        (unseen.path(), "simulate --access public"),
        (&fails, "reach --from 203.0.113.7"),
        (&passes, "reach --from 203.0.113.7"),
        (&story("public-and-private-stale"), "reach --from 10.8.0.0/16"),
        (&passes, "reach --cluster other"),
    ] {
        let run = || Netcheck::new(args.split(' ')).arg("--evidence").arg(evidence);
        let plain = run().run();
        codes.push((args.split(' ').next().unwrap(), plain.code));
        let to_file = format!("json={}", file.display());
        let both = run().args(&["--write", "json=/dev/full", "--write", &to_file]).run();
        let what = format!("{args} ({}): {}", plain.code, both.stderr);
        assert_eq!((both.code, both.stdout), (2, plain.stdout), "{what}");
        assert!(both.stderr.contains("cannot write to /dev/full"), "{what}");
        assert!(both.stderr.trim_end().ends_with("complete"), "{what}");
        // The reason for which nothing was judged is not lost.
        let reason = plain.stderr.trim_end();
        assert!(plain.code != 4 || both.stderr.starts_with(reason) && !reason.is_empty(), "{what}");
        let report = fs::read(&file).unwrap();
        assert!(serde_json::from_slice::<serde_json::Value>(&report).is_ok(), "{what}");
        fs::remove_file(&file).unwrap();
    }
    codes.sort_unstable();
    codes.dedup();
    for command in ["audit", "simulate", "reach"] {
        for code in [0, 1, 3, 4] {
            assert!(codes.contains(&(command, code)), "{command} {code}: {codes:?}");
        }
    }
    let ran = Netcheck::diff(&passes, &passes).args(&["--write", "json=/dev/full"]).run();
    assert!(ran.code == 2 && !ran.stdout.is_empty(), "{}", ran.stderr);
    assert!(ran.stderr.contains("/dev/full") && ran.stderr.contains("the other report is complete"));
    // Each that cannot be written is named.
    let two = ["--write", "json=/dev/full", "--write", "html=/dev/full"];
    let ran = Netcheck::audit(&passes).args(&two).run();
    assert_eq!((ran.code, ran.stderr.matches("/dev/full").count()), (2, 2), "{}", ran.stderr);
}

/// Whatever the format, the error has the file and the cause: here a limit on the size of files,
/// which is as a full disk.
#[test]
fn every_format_names_the_file_and_why_it_cannot_be_written() {
    let dir = scratch();
    let formats = eks_netcheck::report::FORMATS.iter().map(|format| format.name);
    let traces = eks_netcheck::report::TRACE_FORMATS.iter().map(|format| format.name);
    let of_audit = formats.map(|name| ("audit --evidence", vec![story("study-public")], name));
    let of_diff = traces.map(|name| ("diff", vec![story("study-public"), story("private-only")], name));
    for (command, recordings, format) in of_audit.chain(of_diff) {
        let file = dir.path().join(format!("report.{format}"));
        let script = "trap '' XFSZ; ulimit -f 0; exec \"$@\"";
        let mut run = Command::new("bash");
        run.args(["-c", script, "bash", env!("CARGO_BIN_EXE_eks-netcheck")]).args(command.split(' '));
        run.args(&recordings).arg("--write").arg(format!("{format}={}", file.display()));
        let ran = run.output().unwrap();
        let error = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(2), "{format}: {error}");
        let start = format!("error: cannot write to {}: File too large (os error 27)", file.display());
        assert!(error.starts_with(&start), "{format}: {error}");
        assert!(!file.exists(), "{format}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "no temporary file is left");
}

/// Waits until a run has opened its files, which shows in a temporary file beside each.
fn wait_until_opened(dir: &Path, number: usize) {
    let began = Instant::now();
    let is_temporary = |name: &str| name.starts_with(".eks-netcheck-");
    loop {
        let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
        if names.filter(|name| is_temporary(name.to_str().unwrap())).count() == number {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "the files are opened");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What fails once the run has begun: the report before remains, and the others are written.
#[test]
fn a_file_that_cannot_be_replaced_at_the_end_is_an_error() {
    let dir = scratch();
    let dir = dir.path();
    fs::write(dir.join("a.json"), "before").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_eks-netcheck"));
    command.env_clear().current_dir(dir).args(["audit", "--policy", "-", "--evidence"]);
    command.arg(story("private-only")).args(["--write", "json=a.json", "--write", "html=b.html"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    wait_until_opened(dir, 2);
    fs::rename(dir.join("a.json"), dir.join("old")).unwrap();
    fs::create_dir(dir.join("a.json")).unwrap();
    child.stdin.take().unwrap().write_all(b"fail-on = \"never\"\n").unwrap();
    let ran = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("a.json") && stderr.contains("the other reports are complete"), "{stderr}");
    assert!(fs::read_to_string(dir.join("b.html")).unwrap().contains("</html>"));
    assert!(!ran.stdout.is_empty() && dir.join("a.json").is_dir());
    assert_eq!(fs::read_dir(dir).unwrap().count(), 3, "no temporary file is left behind");
}
