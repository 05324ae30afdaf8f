//! The workflows of this repository, of `init` and of the documentation, and the action, are
//! accepted by zizmor, jactionlint (a fork of actionlint) and shellcheck, with nothing to say.
//!
//! `tests/validate --install` installs them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::{Netcheck, root, scratch};
use crate::docs::code_block;

/// A program of the validators, with the others on its PATH.
fn validator(name: &str, dir: &Path) -> Command {
    let bin = root().join("target/validators/bin");
    let program = bin.join(name);
    assert!(program.exists(), "{name} is missing; install it with: tests/validate --install");
    let mut command = Command::new(program);
    command.current_dir(dir).env_clear().env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
    command
}

/// What zizmor and jactionlint say of a repository, each at its strictest: the persona
/// `auditor`, and the profile `pedantic`.
fn findings(dir: &Path) -> [(bool, String); 2] {
    let git = Command::new("git").args(["init", "--quiet"]).current_dir(dir).status().unwrap();
    assert!(git.success());
    let zizmor = ["--offline", "--persona=auditor", "--format=plain", "--no-progress", "--quiet", "."];
    let jactionlint = ["--profile=pedantic", "--strict-exit", "--no-color"];
    [("zizmor", &zizmor[..]), ("jactionlint", &jactionlint)].map(|(name, args)| {
        let output = validator(name, dir).args(args).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    })
}

/// The directory of workflows in a repository.
const WORKFLOWS: &str = ".github/workflows";

/// A repository as ours is to GitHub.
fn ours() -> tempfile::TempDir {
    let dir = scratch();
    fs::create_dir_all(dir.path().join(WORKFLOWS)).unwrap();
    for entry in fs::read_dir(root().join(WORKFLOWS)).unwrap() {
        let file = entry.unwrap().file_name();
        let from = root().join(WORKFLOWS).join(&file);
        fs::copy(from, dir.path().join(WORKFLOWS).join(file)).unwrap();
    }
    fs::copy(root().join("action.yml"), dir.path().join("action.yml")).unwrap();
    dir
}

/// The repository of a user, with what `init` writes and the example of docs/ci.md.
fn theirs() -> tempfile::TempDir {
    let dir = scratch();
    let ran = Netcheck::new(["init"]).dir(dir.path()).run();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let example = code_block("docs/ci.md", "github of a release");
    assert!(example.contains("OWNER/eks-netcheck@COMMIT"), "{example}");
    // What the user is told to replace.
    let example = example.replace("@COMMIT", &format!("@{}", "0123456789".repeat(4)));
    fs::write(dir.path().join(WORKFLOWS).join("example.yml"), example).unwrap();
    dir
}

/// An action as it is to be named.
const CHECKOUT: &str = "actions/checkout@9c091bb21b7c1c1d1991bb908d89e4e9dddfe3e0 # v7.0.0";

#[test]
fn the_workflows_and_the_action_have_no_findings() {
    for dir in [ours(), theirs()] {
        for (accepted, output) in findings(dir.path()) {
            assert!(accepted, "{output}");
        }
    }
}

#[test]
fn a_workflow_with_mistakes_has_findings() {
    let ci = fs::read_to_string(root().join(WORKFLOWS).join("ci.yml")).unwrap();
    for (what, from, to, by_both) in [
        ("unpinned", CHECKOUT, "actions/checkout@v7", true),
        ("injection", "run: sudo", "run: echo ${{ github.head_ref }}; sudo", true),
        ("permissions", "permissions: {}", "permissions: write-all", true),
        ("credentials", "persist-credentials: false", "persist-credentials: true", false),
    ] {
        let dir = ours();
        assert!(ci.contains(from), "{what}");
        fs::write(dir.path().join(WORKFLOWS).join("ci.yml"), ci.replace(from, to)).unwrap();
        let [zizmor, jactionlint] = findings(dir.path());
        for (accepted, output) in std::iter::once(zizmor).chain(by_both.then_some(jactionlint)) {
            assert!(!accepted && output.contains("ci.yml"), "{what}: {output}");
        }
    }
}

#[test]
fn shellcheck_accepts_the_scripts() {
    let mut scripts = vec![".ci/run".to_owned(), "tests/run".to_owned(), "tests/validate".to_owned()];
    for entry in fs::read_dir(root().join("packaging")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read(&path).unwrap_or_default();
        if text.starts_with(b"#!/usr/bin/env bash") {
            scripts.push(path.strip_prefix(root()).unwrap().display().to_string());
        }
    }
    assert!(scripts.contains(&"packaging/fetch".to_owned()));
    // In `A && B || C`, B is a test here, as in A.
    let output = validator("shellcheck", root()).arg("--exclude=SC2015").args(&scripts).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// `python.txt` is made of `python.in`; npm itself compares its two files.
#[test]
fn what_the_tests_install_is_pinned_by_checksums() {
    let read = |name: &str| fs::read_to_string(root().join("tests/validators").join(name)).unwrap();
    let (wanted, locked) = (read("python.in"), read("python.txt"));
    let locked: Vec<_> = locked.lines().filter_map(|line| line.strip_suffix(" \\")).collect();
    for line in wanted.lines().filter(|line| !line.starts_with('#')) {
        let (name, version) = line.split_once("==").unwrap();
        let pin = format!("{}=={version}", name.split('[').next().unwrap());
        assert!(locked.contains(&pin.as_str()), "{pin} is not in python.txt: make it as python.in says");
    }
}

/// One commit of an action, with one comment, wherever it is used.
#[test]
fn an_action_is_pinned_to_one_commit_everywhere() {
    let mut pins: BTreeMap<String, String> = BTreeMap::new();
    for dir in [ours(), theirs()] {
        for entry in fs::read_dir(dir.path().join(WORKFLOWS)).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            let uses = text.lines().filter_map(|line| line.split_once("uses: "));
            for (action, pin) in uses.map(|(_, action)| action.split_once('@').unwrap()) {
                let known = pins.entry(action.to_owned()).or_insert_with(|| pin.to_owned());
                assert_eq!(known, pin, "{action}");
            }
        }
    }
    assert!(pins.len() >= 8, "{pins:?}");
}

/// A step of a job of our workflows, run as a runner does.
fn step(workflow: &str, job: &str, name: &str, env: &[(&str, &str)]) -> (Option<i32>, String) {
    let text = fs::read_to_string(root().join(WORKFLOWS).join(workflow)).unwrap();
    let workflow: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
    let steps = workflow["jobs"][job]["steps"].as_array().unwrap();
    let step = steps.iter().find(|step| step["name"] == name).unwrap();
    let mut bash = Command::new("bash");
    bash.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"].as_str().unwrap()]);
    let output = bash.current_dir(root()).envs(env.iter().copied()).output().unwrap();
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[test]
fn a_tag_that_is_not_the_version_is_not_released() {
    let name = "Compare the tag with the version of Cargo.toml";
    let tag = concat!("v", env!("CARGO_PKG_VERSION"));
    assert_eq!(step("release.yml", "build", name, &[("TAG", tag)]), (Some(0), String::new()));
    for tag in [env!("CARGO_PKG_VERSION"), "v99.0.0", ""] {
        let (code, output) = step("release.yml", "build", name, &[("TAG", tag)]);
        assert_eq!(code, Some(1), "{tag}");
        assert!(output.starts_with("::error::the tag is "), "{output}");
    }
}

/// With stand-ins for rustup and cargo that print their arguments.
#[test]
fn the_lowest_version_of_rust_is_that_of_the_manifest() {
    let dir = scratch();
    for program in ["rustup", "cargo"] {
        let path = dir.path().join(program);
        fs::write(&path, format!("#!/bin/sh\necho {program} \"$@\"\n")).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:/usr/bin:/bin", dir.path().display());
    let name = "Check with the rust-version of Cargo.toml";
    let (code, output) = step("ci.yml", "lowest-rust", name, &[("PATH", &path)]);
    let lowest = env!("CARGO_PKG_RUST_VERSION");
    let expected = format!(
        "rustup toolchain install {lowest} --profile minimal\n\
         cargo +{lowest} check --locked --workspace --all-targets\n\
         cargo +{lowest} check --locked --no-default-features --all-targets\n"
    );
    assert_eq!((code, output), (Some(0), expected));
}
