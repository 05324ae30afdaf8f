//! The wheel and the Debian package.

use std::fs;
use std::process::Command;

use super::{DIST, REPOSITORY, VERSION, documented, files_below, succeeds, validator, works};
use crate::common::{root, scratch, story};

/// The documented command that begins so.
fn documented_line(start: &str) -> String {
    let commands = documented("install", &DIST.dir);
    let mut found = commands.lines().filter(|line| line.starts_with(start));
    found.next().unwrap_or_else(|| panic!("no command begins with {start:?}: {commands}")).to_owned()
}

#[test]
fn a_wheel_puts_the_tool_on_path_and_leaves_nothing() {
    let wheel = DIST.file("eks_netcheck-", ".whl");
    succeeds(validator("twine").args(["check", "--strict"]).arg(&wheel));
    // W007: it has no Python module, and is not to have one.
    succeeds(validator("check-wheel-contents").args(["--ignore", "W007"]).arg(&wheel));
    let dir = scratch();
    // This compares the checksums of RECORD.
    succeeds(validator("wheel").args(["unpack", "--dest"]).arg(dir.path()).arg(&wheel));

    let venv = dir.path().join("venv");
    // As documented, but in this environment, and without the registry.
    let run = |start: &str| {
        let line = documented_line(start).replace("~/.local/share/eks-netcheck", venv.to_str().unwrap());
        succeeds(Command::new("bash").args(["-euc", &line]).env("PIP_NO_INDEX", "1"));
    };
    run("python3 -m venv ~/.local/share/eks-netcheck");
    let bare = files_below(&venv);
    let pip = |args: &[&str]| {
        let mut pip = Command::new(venv.join("bin/pip"));
        pip.args(["--disable-pip-version-check", "--no-cache-dir"]).args(args);
        pip
    };
    run("~/.local/share/eks-netcheck/bin/pip install ");
    works(&mut || Command::new(venv.join("bin/eks-netcheck")), &story("private-only"));
    // As an earlier build of the same version: the documented commands replace it.
    fs::write(venv.join("bin/eks-netcheck"), "#!/bin/sh\necho an earlier build\n").unwrap();
    run("~/.local/share/eks-netcheck/bin/pip install ");
    let home = dir.path().join("home");
    for line in ["mkdir -p ~/.local/bin", "ln -sf ~/.local/share", "ln -sf ~/.local/share"] {
        let line = documented_line(line).replace("~/.local/share/eks-netcheck", venv.to_str().unwrap());
        succeeds(Command::new("bash").args(["-euc", &line]).env("HOME", &home));
    }
    works(&mut || Command::new(home.join(".local/bin/eks-netcheck")), &story("private-only"));
    let installed = files_below(&venv);
    for file in [
        "share/man/man1/eks-netcheck-audit.1",
        "share/bash-completion/completions/eks-netcheck",
        "share/zsh/site-functions/_eks-netcheck",
        "share/fish/vendor_completions.d/eks-netcheck.fish",
    ] {
        assert!(installed.contains(file), "{file} is not in {installed:?}");
    }
    let shown = succeeds(&mut pip(&["show", "--verbose", "eks-netcheck"]));
    assert!(shown.contains(&format!("\nVersion: {VERSION}\n")), "{shown}");
    for link in ["", "/issues", &format!("/blob/v{VERSION}/docs/README.md")] {
        assert!(shown.contains(&format!(", https://github.com/{REPOSITORY}{link}\n")), "{shown}");
    }
    succeeds(&mut pip(&["uninstall", "--yes", "eks-netcheck"]));
    // pip's own modules are compiled when they are used first.
    let left = files_below(&venv).difference(&bare).filter(|file| !file.contains("__pycache__")).count();
    assert_eq!(left, 0);
}

#[test]
fn a_debian_package_can_be_installed_and_removed() {
    let package = DIST.file("eks-netcheck_", "_amd64.deb");
    let lint = succeeds(Command::new("lintian").args(["--fail-on", "error", "--allow-root"]).arg(&package));
    assert!(!lint.contains("E: "), "{lint}");
    let fields = succeeds(Command::new("dpkg-deb").arg("--field").arg(&package));
    assert!(fields.contains("\nRecommends: ca-certificates, openssh-client\n"), "{fields}");
    assert!(!fields.contains("\nDepends:"), "a static binary depends on nothing: {fields}");

    let dir = scratch();
    let database = dir.path().join("var/lib/dpkg");
    fs::create_dir_all(database.join("info")).unwrap();
    fs::create_dir(database.join("updates")).unwrap();
    fs::write(database.join("status"), "").unwrap();
    fs::write(database.join("available"), "").unwrap();
    let dpkg = |args: &[&str]| {
        let mut dpkg = Command::new("dpkg");
        dpkg.arg(format!("--root={}", dir.path().display())).arg("--force-not-root").args(args);
        dpkg
    };
    // As documented, but into this directory.
    let root = format!("dpkg --root={} --force-not-root ", dir.path().display());
    let install = documented_line("sudo dpkg ").replace("sudo dpkg ", &root);
    succeeds(Command::new("bash").args(["-euc", &install]));
    works(&mut || Command::new(dir.path().join("usr/bin/eks-netcheck")), &story("private-only"));
    // Its files are as the package has them, and so are their checksums.
    let verified = succeeds(&mut dpkg(&["--verify", "eks-netcheck"]));
    assert_eq!(verified, "");
    let page = dir.path().join("usr/share/man/man1/eks-netcheck-audit.1.gz");
    let page = succeeds(Command::new("mandoc").args(["-T", "utf8"]).arg(page));
    assert!(page.contains("--all-clusters"), "{page}");
    let completion = dir.path().join("usr/share/bash-completion/completions/eks-netcheck");
    let registered =
        succeeds(Command::new("bash").args(["-c", ". \"$0\"; complete -p eks-netcheck"]).arg(completion));
    assert!(registered.contains("eks-netcheck"), "{registered}");

    succeeds(&mut dpkg(&["--purge", "eks-netcheck"]));
    let left: Vec<_> =
        files_below(dir.path()).into_iter().filter(|file| !file.starts_with("var/lib/dpkg/")).collect();
    assert_eq!(left, [""; 0]);
    assert!(!dir.path().join("usr").exists(), "directories are left");
}

#[test]
fn the_file_of_a_pre_release_has_a_name_that_github_keeps() {
    let name = "from types import SimpleNamespace
from parts import deb
print(deb.file_stem(SimpleNamespace(version='1.2.0-rc.1')), deb.file_stem(SimpleNamespace(version='1.2.0')))";
    let mut python = Command::new("python3");
    python.args(["-B", "-c", name]).current_dir(root().join("packaging"));
    assert_eq!(succeeds(&mut python), "eks-netcheck_1.2.0.rc.1-1_ eks-netcheck_1.2.0-1_\n");
}
