//! `init`: a policy and a workflow that work as they are.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::Value;

use crate::common::{Netcheck, scratch};

const POLICY: &str = "eks-netcheck.toml";
const WORKFLOW: &str = ".github/workflows/eks-netcheck.yml";

#[test]
fn both_files_are_written_and_valid() {
    let dir = scratch();
    let ran = Netcheck::new(["init"]).dir(dir.path()).run();
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    for text in [POLICY, WORKFLOW, "Next, "] {
        assert!(ran.stdout.contains(text), "{}", ran.stdout);
    }
    let checked = Netcheck::new(["policy", "check"]).dir(dir.path()).run();
    assert_eq!(checked.code, 0, "{}", checked.stderr);

    let text = fs::read_to_string(dir.path().join(WORKFLOW)).unwrap();
    let workflow: Value = serde_saphyr::from_str(&text).unwrap();
    assert!(workflow["on"]["schedule"].is_array());
    let job = &workflow["jobs"]["endpoints"];
    assert_eq!(job["permissions"]["id-token"], "write");
    let mut scripts = 0;
    for step in job["steps"].as_array().unwrap() {
        // GitHub runs a step by `uses` or by `run`.
        assert!(step["uses"].is_string() != step["run"].is_string(), "{step}");
        if let Some(script) = step["run"].as_str() {
            assert!(!script.contains("${{"), "{script}");
            let parsed = Command::new("bash").args(["-n", "-c", script]).output().unwrap();
            assert!(parsed.status.success(), "{script}: {parsed:?}");
            scripts += 1;
        }
    }
    assert_eq!(scripts, 3);
    // Each variable that it uses is one that its beginning says how to set.
    for name in text.split("${{ vars.").skip(1).map(|rest| rest.split(' ').next().unwrap()) {
        assert!(text.contains(&format!("#   gh variable set {name} --body ")), "{name}");
    }
}

/// A checkout may be from somebody else: nothing is written where a link of it leads.
#[test]
fn nothing_is_written_behind_a_link() {
    for link in [".github", ".github/workflows"] {
        let (dir, outside) = (scratch(), scratch());
        let path = dir.path().join(link);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(outside.path(), &path).unwrap();
        let ran = Netcheck::new(["init"]).dir(dir.path()).run();
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{}", ran.stderr);
        assert!(ran.stderr.contains(&format!("{link} is a symbolic link")), "{}", ran.stderr);
        assert!(!dir.path().join(POLICY).exists());
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}

#[test]
fn nothing_is_overwritten() {
    for existing in [POLICY, WORKFLOW] {
        let dir = scratch();
        let path = dir.path().join(existing);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "mine").unwrap();
        let ran = Netcheck::new(["init"]).dir(dir.path()).run();
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{existing}");
        assert!(ran.stderr.contains(&format!("{existing} exists already")), "{}", ran.stderr);
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        let other = if existing == POLICY { WORKFLOW } else { POLICY };
        assert!(!dir.path().join(other).exists());
    }
    // A link that leads nowhere is not followed.
    let dir = scratch();
    std::os::unix::fs::symlink("elsewhere", dir.path().join(POLICY)).unwrap();
    assert_eq!(Netcheck::new(["init"]).dir(dir.path()).run().code, 2);
    assert!(!dir.path().join("elsewhere").exists());
    // Nor is a half left behind if the second file cannot be written.
    let dir = scratch();
    fs::write(dir.path().join(".github"), "a file").unwrap();
    let ran = Netcheck::new(["init"]).dir(dir.path()).run();
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("cannot create the directory .github/workflows"), "{}", ran.stderr);
    assert!(!dir.path().join(POLICY).exists());
}

#[test]
fn files_have_default_permissions() {
    let dir = scratch();
    Netcheck::new(["init"]).dir(dir.path()).run();
    fs::write(dir.path().join("other"), "").unwrap();
    let mode = |file: &str| fs::metadata(dir.path().join(file)).unwrap().permissions().mode();
    assert_eq!((mode(POLICY), mode(WORKFLOW)), (mode("other"), mode("other")));
}

#[test]
fn a_directory_of_a_repository_that_is_not_its_root_is_refused() {
    let dir = scratch();
    fs::create_dir(dir.path().join(".git")).unwrap();
    let inner = dir.path().join("infra");
    fs::create_dir(&inner).unwrap();
    let ran = Netcheck::new(["init"]).dir(&inner).run();
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    assert!(ran.stderr.contains("not the root of its repository"), "{}", ran.stderr);
    assert!(fs::read_dir(&inner).unwrap().next().is_none());
    assert_eq!(Netcheck::new(["init"]).dir(dir.path()).run().code, 0);
}
