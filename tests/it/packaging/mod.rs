//! A distribution, made as for a release, from a static binary with the profile `dev`: each
//! package is installed with the program that it is for, and run.
//!
//! `tests/run` installs these programs: dpkg, lintian, skopeo, Ruby and kubectl, and with
//! `tests/validate --install` those of `PyPI`.

mod bill;
mod image;
mod manifests;
mod packages;
mod refusals;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use self::bill::bill;
use crate::common::{root, scratch, story};
use crate::docs::{code_block, links};

const TARGET: &str = "x86_64-unknown-linux-gnu";
const VERSION: &str = env!("CARGO_PKG_VERSION");
const REPOSITORY: &str = "example/eks-netcheck";

/// The distribution, made once.
static DIST: LazyLock<Dist> = LazyLock::new(Dist::make);

struct Dist {
    /// The static binary, without what only a debugger needs.
    binary: PathBuf,
    dir: PathBuf,
}

impl Dist {
    fn make() -> Self {
        let tmp = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packaging");
        let _ = fs::remove_dir_all(&tmp);
        fs::create_dir_all(&tmp).unwrap();
        let (build, dir) = (tmp.join("build"), tmp.join("dist"));
        // As documented, but with the profile that the tests were built with, and a binary
        // without what only a debugger needs, since compressing that takes minutes.
        let commands = documented("distribution", &dir)
            .replace("packaging/build ", "packaging/build --profile dev ")
            .replace("target/build", build.to_str().unwrap())
            .replace("OWNER/NAME", &format!("{REPOSITORY} --kubectl \"$KUBECTL\""))
            .replace("\npackaging/dist", "\nstrip \"$BINARY\"\npackaging/dist");
        let binary = build.join("eks-netcheck");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let mut shell = Command::new("bash");
        shell.args(["-euc", &commands]).current_dir(root()).env("CARGO_TARGET_DIR", target);
        succeeds(
            shell.env("BINARY", &binary).env("KUBECTL", program("kubectl")).env_remove("SOURCE_DATE_EPOCH"),
        );
        Self { binary, dir }
    }

    /// The file whose name begins and ends so.
    fn file(&self, prefix: &str, suffix: &str) -> PathBuf {
        let fits = |name: &str| name.starts_with(prefix) && name.ends_with(suffix);
        let entries = fs::read_dir(&self.dir).unwrap().map(|entry| entry.unwrap());
        let mut found: Vec<_> = entries.filter(|entry| fits(entry.file_name().to_str().unwrap())).collect();
        assert_eq!(found.len(), 1, "{prefix}*{suffix}: {found:?}");
        found.remove(0).path()
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.dir.join(name)).unwrap()
    }

    /// The archive, unpacked into a directory; its only entry.
    fn unpack_archive(&self, dir: &Path) -> PathBuf {
        let archive = self.dir.join(format!("{}.tar.gz", stem()));
        succeeds(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(dir));
        dir.join(stem())
    }
}

fn stem() -> String {
    format!("eks-netcheck-{VERSION}-{TARGET}")
}

/// The commands of a block of packaging/README.md, for a distribution in another directory.
fn documented(mark: &str, dir: &Path) -> String {
    code_block("packaging/README.md", mark).replace("target/dist", dir.to_str().unwrap())
}

/// A run of `packaging/dist` on a binary.
fn dist(binary: &Path, dir: &Path) -> Command {
    let mut command = Command::new(root().join("packaging/dist"));
    command.arg(binary).arg(dir).args(["--repository", REPOSITORY]);
    command.env_remove("DEBEMAIL").env_remove("DEBFULLNAME").env_remove("SOURCE_DATE_EPOCH");
    command
}

/// The path of a program.
fn program(name: &str) -> PathBuf {
    PathBuf::from(
        succeeds(Command::new("sh").args(["-c", "PATH=$PATH:/usr/sbin; command -v \"$0\"", name])).trim(),
    )
}

/// A tool that `tests/validate --install` installs.
fn validator(name: &str) -> Command {
    Command::new(root().join("target/validators/bin").join(name))
}

/// Runs a command that must succeed; its standard output.
fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", both(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn both(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat()
}

/// An installed tool says its version, and audits recorded evidence.
fn works(tool: &mut dyn FnMut() -> Command, evidence: &Path) {
    let version = succeeds(tool().arg("--version"));
    assert_eq!(version.split_whitespace().nth(1), Some(VERSION), "{version}");
    let report = succeeds(tool().args(["audit", "--cluster", "myeks", "--evidence"]).arg(evidence));
    assert!(report.starts_with("PASS  myeks: nothing at or above high\n"), "{report}");
}

/// All files below a directory, relative to it.
fn files_below(dir: &Path) -> BTreeSet<String> {
    let found = succeeds(Command::new("find").args([".", "!", "-type", "d"]).current_dir(dir));
    found.lines().map(|line| line.trim_start_matches("./").to_owned()).collect()
}

#[test]
fn both_documents_make_the_distribution_alike() {
    let [short, long] = ["README.md", "packaging/README.md"].map(|file| code_block(file, "distribution"));
    assert_eq!(short, long);
}

#[test]
fn the_archive_has_the_tool_its_pages_and_completions_and_licences() {
    let scratch = scratch();
    let unpacked = DIST.unpack_archive(scratch.path());
    works(&mut || Command::new(unpacked.join("eks-netcheck")), &story("private-only"));
    let files = files_below(&unpacked);
    let expected = ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "LICENSES-THIRD-PARTY"];
    let completions =
        ["completions/eks-netcheck.bash", "completions/_eks-netcheck", "completions/eks-netcheck.fish"];
    for file in expected.iter().chain(&completions).chain(&["man/eks-netcheck.1", "man/eks-netcheck-audit.1"])
    {
        assert!(files.contains(*file), "{file} is not in {files:?}");
    }
    // Each library is named with the text of its licence.
    let licences = fs::read_to_string(unpacked.join("LICENSES-THIRD-PARTY")).unwrap();
    for part in [
        "\nGNU C Library (LGPL-2.1-or-later)\n",
        "\nThe standard library of Rust ",
        "GNU LESSER GENERAL PUBLIC",
    ] {
        assert!(licences.contains(part), "{part}");
    }
    for component in bill(&DIST.text(&format!("{}.cdx.json", stem())))["components"].as_array().unwrap() {
        if component["purl"].as_str().unwrap().starts_with("pkg:cargo/") {
            let licence = component["licenses"][0]["expression"].as_str().unwrap();
            let line = format!(
                "\n{} {} ({licence})\n",
                component["name"].as_str().unwrap(),
                component["version"].as_str().unwrap()
            );
            assert!(licences.contains(&line), "{line}");
        }
    }
}

#[test]
fn checksums_cover_every_file_and_two_runs_give_the_same_bytes() {
    succeeds(Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(&DIST.dir));
    let sums = DIST.text("SHA256SUMS");
    let mut listed: BTreeSet<_> = sums.lines().map(|line| line[66..].to_owned()).collect();
    listed.insert("SHA256SUMS".to_owned());
    assert_eq!(listed, files_below(&DIST.dir));
    // In another place, with another time zone, language and umask, and onto an older run.
    let again = scratch();
    let oci = again.path().join(format!("{}.oci/blobs/sha256", stem()));
    fs::create_dir_all(&oci).unwrap();
    fs::write(oci.join("0".repeat(64)), "of an older run").unwrap();
    let run = dist(&DIST.binary, again.path());
    let mut shell = Command::new("sh");
    shell.args(["-c", "umask 077; exec \"$@\"", "sh"]).arg(run.get_program()).args(run.get_args());
    shell.arg("--kubectl").arg(program("kubectl"));
    shell.env_remove("SOURCE_DATE_EPOCH").env("TZ", "Asia/Seoul").env("LC_ALL", "C.UTF-8").current_dir("/");
    succeeds(&mut shell);
    let others = fs::read_to_string(again.path().join("SHA256SUMS")).unwrap();
    assert_eq!(sums, others);
}

/// Else the next run would leave an image that has an older binary, or none.
#[test]
fn a_run_without_kubectl_keeps_that_of_the_run_before() {
    let scratch = scratch();
    let dir = scratch.path().join("dist");
    succeeds(Command::new("cp").arg("-r").arg(&DIST.dir).arg(&dir));
    let output = dist(&DIST.binary, &dir).output().unwrap();
    assert!(output.status.success(), "{}", both(&output));
    let index = format!("{}.oci/index.json", stem());
    assert!(DIST.text(&index).contains(&format!("\"{VERSION}-kubectl\"")));
    assert_eq!(fs::read_to_string(dir.join("SHA256SUMS")).unwrap(), DIST.text("SHA256SUMS"));
    assert!(both(&output).contains("the image with kubectl is made again, with the kubectl "), "{output:?}");
    // One that is damaged is not taken over.
    let layout = dir.join(format!("{}.oci", stem()));
    for blob in files_below(&layout.join("blobs/sha256")) {
        fs::write(layout.join("blobs/sha256").join(blob), "damaged").unwrap();
    }
    let output = dist(&DIST.binary, &dir).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", both(&output));
    assert!(both(&output).contains("is not whole (the blob "), "{}", both(&output));
}

/// The files that a link of a README leads to are not beside it.
#[test]
fn no_link_of_a_packaged_page_is_relative_or_dead() {
    let scratch = scratch();
    let unpacked = DIST.unpack_archive(scratch.path());
    let wheel = DIST.file("eks_netcheck-", ".whl");
    succeeds(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(wheel).arg(scratch.path()));
    let metadata = format!("eks_netcheck-{VERSION}.dist-info/METADATA");
    let start = format!("https://github.com/{REPOSITORY}/blob/v{VERSION}/");
    for (page, least) in [
        (unpacked.join("README.md"), 30),
        (unpacked.join("CHANGELOG.md"), 1),
        (scratch.path().join(metadata), 30),
    ] {
        let links = links(&fs::read_to_string(&page).unwrap());
        assert!(links.len() >= least, "{page:?}: {links:?}");
        for link in links {
            match link.strip_prefix(&start) {
                Some(path) => {
                    assert!(root().join(path.split('#').next().unwrap()).exists(), "{page:?}: {link}");
                }
                None => assert!(link.starts_with("https://"), "{page:?}: {link}"),
            }
        }
    }
    // Without a repository, there is nothing to lead to.
    let print = "from types import SimpleNamespace
from parts import pages
print(pages.text(SimpleNamespace(page=None), 'README.md').decode())";
    let mut python = Command::new("python3");
    let text = succeeds(python.args(["-B", "-c", print]).current_dir(root().join("packaging")));
    assert_eq!(links(&text), [""; 0]);
    assert!(text.contains("The whole\nreport goes on") && text.contains("LICENSE-APACHE"), "{text}");
}

#[test]
fn a_directory_with_packages_of_another_version_is_refused() {
    for name in [
        "eks-netcheck-0.0.1-x86_64-unknown-linux-gnu.tar.gz".to_owned(),
        "eks_netcheck-0.0.1-py3-none-macosx_11_0_arm64.whl".to_owned(),
        "eks-netcheck_0.0.1-1_amd64.deb".to_owned(),
        format!("eks-netcheck-{VERSION}-rc.1-{TARGET}.tar.gz"),
    ] {
        let dir = scratch();
        fs::write(dir.path().join(&name), "").unwrap();
        let output = dist(&DIST.binary, dir.path()).output().unwrap();
        let text = both(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("files of another version than") && text.contains(&name), "{text}");
        assert_eq!(files_below(dir.path()), BTreeSet::from([name]));
    }
}

#[test]
fn what_would_not_run_is_not_packaged() {
    let refused = |command: &mut Command, reason: &str| {
        let output = command.output().unwrap();
        let text = both(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(reason) && !text.contains("Traceback"), "{text}");
    };
    let dir = scratch();
    let dynamic = Path::new(env!("CARGO_BIN_EXE_eks-netcheck"));
    refused(&mut dist(dynamic, dir.path()), "the binary is not static");
    refused(
        dist(&DIST.binary, dir.path()).args(["--target", "aarch64-unknown-linux-gnu"]),
        "not one for aarch64",
    );
    refused(dist(&DIST.binary, dir.path()).args(["--target", "aarch64-apple-darwin"]), "one for Linux");
    refused(&mut dist(&root().join("README.md"), dir.path()), "not one for x86_64");
    refused(&mut dist(Path::new("/nonexistent"), dir.path()), "No such file");
    refused(dist(&DIST.binary, dir.path()).env("SOURCE_DATE_EPOCH", "yesterday"), "SOURCE_DATE_EPOCH");
    // The date of a checkout is that of its commit, or the run fails.
    if root().join(".git").exists() {
        refused(
            dist(&DIST.binary, dir.path()).env("GIT_DIR", "/nonexistent"),
            "git does not give the date of the commit: ",
        );
    }
    let mut manifests = Command::new(root().join("packaging/dist"));
    refused(manifests.arg("--manifests-only").arg(dir.path()), "has no archive");
    assert_eq!(files_below(dir.path()), BTreeSet::new());
}
