//! Tells the commit that a release is built from, for `--version`.
//!
//! Only builds with the profile `release`, or one that inherits it, have it: others would be
//! compiled again after each commit. A tarball of a package names its commit in `.cargo_vcs_info.json`; an
//! archive without it has none.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = if is_release { of_checkout().or_else(of_package) } else { None };
    let live = if env::var_os("CARGO_FEATURE_LIVE").is_some() { "live" } else { "recorded evidence only" };
    let build: Vec<_> = commit.as_deref().into_iter().chain([live]).collect();
    println!("cargo::rustc-env=EKS_NETCHECK_BUILD={}", build.join(", "));
}

/// The commit and its date, if this is a checkout of its own and not a part of another one.
fn of_checkout() -> Option<String> {
    if !Path::new(".git").exists() {
        return None;
    }
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    if Path::new(&log).exists() {
        println!("cargo::rerun-if-changed={log}");
    }
    for path in ["src", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={path}");
    }
    let commit = git(&["describe", "--always", "--dirty=-modified", "--abbrev=10", "--exclude=*"])?;
    let date = git(&["log", "-1", "--format=%cs"])?;
    Some(format!("{commit} {date}"))
}

fn git(args: &[&str]) -> Option<String> {
    // A hook of another repository sets them.
    let mut git = Command::new("git");
    git.env_remove("GIT_DIR").env_remove("GIT_WORK_TREE").env_remove("GIT_INDEX_FILE");
    let output = git.args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}

/// The commit that a package was made of.
fn of_package() -> Option<String> {
    let text = std::fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let (_, rest) = text.split_once("\"sha1\":")?;
    let sha = rest.split('"').nth(1)?;
    let is_sha = sha.len() >= 10 && sha.bytes().all(|byte| byte.is_ascii_hexdigit());
    let modified = if rest.contains("\"dirty\": true") { "-modified" } else { "" };
    is_sha.then(|| format!("{}{modified}", &sha[..10]))
}
