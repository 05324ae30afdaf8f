//! Where reports are written: each to a file of its own.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use crate::common::{Netcheck, scratch, story};

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
