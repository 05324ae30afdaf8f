//! The search for a policy file: where it ends, whose files are obeyed, and that every
//! report names the policy.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::geteuid;

use crate::common::{Netcheck, Ran, scratch, story};

/// A user that runs no test.
const STRANGER: u32 = 65534;

/// A directory `work/deep` below a directory with a policy by which nothing fails.
struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        let tree = Self(scratch());
        fs::create_dir_all(tree.path("work/deep")).unwrap();
        fs::write(tree.policy(), "fail-on = \"never\"\n").unwrap();
        tree
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    fn policy(&self) -> PathBuf {
        self.path("eks-netcheck.toml")
    }

    /// An audit in `work/deep` that fails by the default policy.
    fn audit(&self) -> Netcheck {
        Netcheck::audit(&story("study-public")).dir(&self.path("work/deep"))
    }

    fn code(&self) -> i32 {
        self.audit().run().code
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn the_search_ends_at_the_root_of_the_repository() {
    let tree = Tree::new();
    assert_eq!(tree.code(), 0);
    fs::create_dir(tree.path("work/.git")).unwrap();
    let ran = tree.audit().run();
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stdout.contains("default policy"), "{}", ran.stdout);
    let check = || Netcheck::new(["policy", "check"]).dir(&tree.path("work/deep")).run();
    let ran = check();
    assert!(ran.code == 2 && ran.stderr.contains("up to the root of the repository"), "{}", ran.stderr);
    // A policy at the root of the repository is found.
    fs::rename(tree.policy(), tree.path("work/eks-netcheck.toml")).unwrap();
    assert_eq!((tree.code(), check().code), (0, 0));
    fs::rename(tree.path("work/eks-netcheck.toml"), tree.policy()).unwrap();
    // In a worktree or a submodule, .git is a file.
    fs::remove_dir(tree.path("work/.git")).unwrap();
    fs::write(tree.path("work/.git"), "gitdir: ../elsewhere\n").unwrap();
    assert_eq!(tree.code(), 1);
}

#[test]
fn the_search_ends_at_the_home_directory() {
    let tree = Tree::new();
    let code = |home: &Path| tree.audit().env("HOME", home.to_str().unwrap()).run().code;
    assert_eq!(code(&tree.path("work")), 1);
    assert_eq!(code(tree.0.path()), 0);
    let link = tree.path("home");
    symlink("work", &link).unwrap();
    assert_eq!(code(&link), 1);
    for home in ["/nonexistent", "", ".", "work"] {
        assert_eq!(code(Path::new(home)), 0, "{home}");
    }
}

/// Checks that the policy that is found is refused, and obeyed by its name.
fn assert_not_obeyed(tree: &Tree, reason: &str) {
    for ran in [
        tree.audit().run(),
        tree.audit().arg("--write").arg(format!("json={}", tree.path("report.json").display())).run(),
    ] {
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{reason}: {}", ran.stderr);
        let named = format!("pass --policy {}", tree.policy().display());
        assert!(ran.stderr.contains(reason) && ran.stderr.contains(&named), "{reason}: {}", ran.stderr);
    }
    assert!(!tree.path("report.json").exists());
    let check = || Netcheck::new(["policy", "check"]).dir(&tree.path("work"));
    let ran = check().run();
    let named = format!("run eks-netcheck policy check {}", tree.policy().display());
    assert!(ran.code == 2 && ran.stderr.contains(&named), "{}", ran.stderr);
    assert_eq!(check().arg(tree.policy()).run().code, 0);
    let ran = tree.audit().arg("--policy").arg(tree.policy()).run();
    assert_eq!(ran.code, 0, "{reason}: {}", ran.stderr);
}

#[test]
fn a_policy_that_everybody_can_write_is_not_obeyed() {
    let tree = Tree::new();
    set_mode(&tree.policy(), 0o666);
    assert_not_obeyed(&tree, "every user of this machine can write to it");
    // A group is trusted, since many systems create files with a writable one.
    set_mode(&tree.policy(), 0o664);
    assert_eq!(tree.code(), 0);
    set_mode(tree.0.path(), 0o777);
    assert_not_obeyed(&tree, "every user of this machine can replace files in");
    set_mode(tree.0.path(), 0o1777);
    assert_eq!(tree.code(), 0);
}

#[test]
fn a_policy_behind_a_link_is_held_against_the_same() {
    let tree = Tree::new();
    let real = tree.path("real");
    fs::create_dir(&real).unwrap();
    fs::rename(tree.policy(), real.join("policy.toml")).unwrap();
    symlink("real/policy.toml", tree.policy()).unwrap();
    assert_eq!(tree.code(), 0);
    set_mode(&real.join("policy.toml"), 0o666);
    assert_not_obeyed(&tree, "every user of this machine can write to it");
    set_mode(&real.join("policy.toml"), 0o644);
    set_mode(&real, 0o777);
    assert_not_obeyed(&tree, "every user of this machine can replace files in");
}

/// Only root can give a file away.
#[test]
fn a_policy_of_another_user_is_obeyed_in_a_repository_of_his_alone() {
    if !geteuid().is_root() {
        return;
    }
    let tree = Tree::new();
    chown(tree.policy(), Some(STRANGER), None).unwrap();
    assert_not_obeyed(&tree, "it belongs to user id 65534, neither to you (0) nor to root;");
    fs::create_dir(tree.path(".git")).unwrap();
    assert_not_obeyed(&tree, "nor to root, nor to the owner of the repository;");
    // As in a container, where root works in a checkout of another user.
    chown(tree.0.path(), Some(STRANGER), None).unwrap();
    assert_eq!(tree.code(), 0);
    // The repository below has another owner, and ends the search.
    fs::create_dir(tree.path("work/.git")).unwrap();
    assert_eq!(tree.code(), 1);

    let tree = Tree::new();
    fs::rename(tree.policy(), tree.path("policy.toml")).unwrap();
    symlink("policy.toml", tree.policy()).unwrap();
    lchown(tree.policy(), Some(STRANGER), None).unwrap();
    assert_not_obeyed(&tree, "it, or the link to it, belongs to user id 65534");
    lchown(tree.policy(), Some(0), None).unwrap();
    chown(tree.path("policy.toml"), Some(STRANGER), None).unwrap();
    assert_not_obeyed(&tree, "it, or the link to it, belongs to user id 65534");
}

/// An audit with a policy on standard input.
fn with_stdin(policy: &str, args: &[&str]) -> Ran {
    let mut command = Command::new("sh");
    command.args(["-c", "printf %s \"$POLICY\" | \"$@\"", "sh", env!("CARGO_BIN_EXE_eks-netcheck")]);
    command.args(args).env("POLICY", policy).stdin(Stdio::null());
    let output = command.output().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn a_policy_is_read_from_standard_input() {
    let story = story("study-public");
    let audit = ["audit", "--cluster", "myeks", "--evidence", story.to_str().unwrap(), "--policy", "-"];
    let ran = with_stdin("fail-on = \"never\"\n", &audit);
    assert!(ran.code == 0 && ran.stdout.contains("\nPolicy: standard input\n"), "{}", ran.stdout);
    assert_eq!(with_stdin("fail-on = \"low\"\n", &audit).code, 1);
    let ran = with_stdin("fail-on = \"lwo\"\n", &audit);
    assert!(ran.code == 2 && ran.stderr.contains("-:1:"), "{}", ran.stderr);
    let ran = with_stdin(&"#".repeat(100_000), &["policy", "check", "-"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

#[test]
fn every_report_names_the_policy() {
    let tree = Tree::new();
    let found = tree.policy();
    let found = found.to_str().unwrap();
    let named = ["--policy", found];
    let none = tree.path("work/none");
    for (dir, args, origin, text) in [
        ("work/deep", &[][..], "found", found),
        ("work/deep", &named, "named", found),
        ("work/none", &[], "default", "default policy (no eks-netcheck.toml was found)"),
    ] {
        fs::create_dir_all(none.join(".git")).unwrap();
        let report = |format: &str| {
            let audit = Netcheck::audit(&story("study-public")).dir(&tree.path(dir)).args(args);
            audit.args(&["--format", format]).run().stdout
        };
        let table = report("table");
        assert!(table.contains("\nPolicy: "), "{table}");
        // A long path is broken over lines.
        let unbroken: String = table.split_whitespace().collect();
        assert!(unbroken.contains(&text.replace(' ', "")), "{table}");
        let json: serde_json::Value = serde_json::from_str(&report("json")).unwrap();
        assert_eq!(json["policy_origin"], origin);
        let file = if origin == "default" { None } else { Some(found) };
        assert_eq!(json["policy"]["file"].as_str(), file);
        let sarif: serde_json::Value = serde_json::from_str(&report("sarif")).unwrap();
        assert_eq!(sarif["runs"][0]["properties"]["policy"], text);
        assert!(report("junit").contains(&format!("<property name=\"policy\" value=\"{text}\"/>")), "{text}");
        let markdown = report("markdown").replace('\\', "");
        assert!(markdown.contains(&format!("\nPolicy: {text}")), "{markdown}");
    }
}
