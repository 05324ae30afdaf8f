//! What is refused before anything is made, and what is left where something cannot be written.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{DIST, REPOSITORY, TARGET, VERSION, both, dist, files_below, program, stem, succeeds};
use crate::common::{root, scratch};

/// Runs a command that must be refused; each line of its message. A build of the tests names no
/// commit, which `dist` says.
#[track_caller]
fn refused(command: &mut Command) -> Vec<String> {
    let output = command.output().unwrap();
    let text = both(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(!text.contains("Traceback"), "{text}");
    text.lines().filter(|line| !line.contains("names no commit")).map(str::to_owned).collect()
}

/// Python itself, where `python3` is a script that finds it.
fn python() -> PathBuf {
    succeeds(Command::new("python3").args(["-c", "import sys; print(sys.executable, end='')"])).into()
}

/// Runs a line of Python with the parts of `packaging/dist`; what it prints.
fn parts(code: &str) -> String {
    let mut python = Command::new(python());
    python.args(["-B", "-c", code]).current_dir(root().join("packaging"));
    succeeds(&mut python)
}

#[test]
fn a_binary_of_another_version_is_not_packaged() {
    let (source, dir) = (scratch(), scratch());
    succeeds(Command::new("cp").arg("-r").arg(root().join("packaging")).arg(source.path()));
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let other = manifest.replacen(&format!("version = \"{VERSION}\""), "version = \"98.7.6\"", 1);
    fs::write(source.path().join("Cargo.toml"), other).unwrap();
    let mut dist = Command::new(source.path().join("packaging/dist"));
    let lines = refused(dist.arg(&DIST.binary).arg(dir.path()));
    assert_eq!(
        lines,
        [format!(
            "packaging/dist: {} is version {VERSION}, and Cargo.toml has 98.7.6: make the binary again with \
             packaging/build, or check out the source of {VERSION}",
            DIST.binary.display()
        )]
    );
    assert_eq!(files_below(dir.path()), BTreeSet::new());
}

/// Each with what `--version` prints, the commit of the checkout, and whether its source differs.
#[test]
fn a_binary_is_of_the_commit_that_is_checked_out() {
    let code = "
from types import SimpleNamespace
from parts import binary, release
def compare(said, commit, modified):
    try:
        checkout = SimpleNamespace(version='1.2.3', commit=commit, source_modified=modified)
        binary.compare(f'{said}\\n', 'BINARY', checkout)
        print('accepted')
    except release.Failure as failure:
        print(*failure.args)
at = 'aaaaaaaaaa' + 30 * '0'
for said, commit, modified in (
    ('eks-netcheck 1.2.3 (aaaaaaaaaa 2026-01-31, live)', at, False),
    ('eks-netcheck 1.2.3 (aaaaaaaaaa 2026-01-31, live)', at + '-modified', False),
    ('eks-netcheck 1.2.3 (aaaaaaaaaa-modified 2026-01-31, live)', at + '-modified', True),
    ('eks-netcheck 1.2.3 (aaaaaaaaaa, live)', at, False),
    ('eks-netcheck 1.2.3 (live)', at, False),
    ('eks-netcheck 1.2.3 (bbbbbbbbbb 2026-01-31, live)', None, False),
    ('eks-netcheck 1.2.3 (bbbbbbbbbb 2026-01-31, live)', at, False),
    ('eks-netcheck 1.2.3 (aaaaaaaaaa 2026-01-31, live)', at + '-modified', True),
    ('eks-netcheck 1.2.3 (aaaaaaaaaa-modified 2026-01-31, live)', at, False),
    ('eks-netcheck 1.2.3-rc.1 (aaaaaaaaaa 2026-01-31, live)', at, False),
    ('eks-netcheck 1.2.3 (aaaaaaaaaa 2026-01-31, recorded evidence only)', at, False),
    ('BusyBox v1.35.0', at, False),
): compare(said, commit, modified)";
    let printed = parts(code);
    let lines: Vec<_> = printed.lines().collect();
    let (accepted, refused) = lines.split_at(6);
    assert_eq!(accepted, ["accepted"; 6]);
    for (line, part) in refused.iter().zip([
        "from the commit bbbbbbbbbb, and the checkout is at aaaaaaaaaa: make the binary again",
        "the checkout has changes to its source that are not committed: make the binary again",
        "with changes, and the checkout has none: `touch build.rs`, and make the binary again",
        "is version 1.2.3-rc.1, and Cargo.toml has 1.2.3: make the binary again",
        "without the feature live (recorded evidence only), which every package has: make the binary",
        "is not eks-netcheck, by what its --version prints: name the binary",
    ]) {
        assert!(line.contains(part), "{line}");
    }
    assert_eq!(refused.len(), 6);
}

/// A binary for this machine that is static and something else, and one that does not start.
#[test]
fn what_is_not_the_tool_is_not_packaged() {
    let dir = scratch();
    // A header without code.
    let broken = dir.path().join("broken");
    fs::write(&broken, fake_binary(TARGET)).unwrap();
    fs::set_permissions(&broken, fs::Permissions::from_mode(0o755)).unwrap();
    let out = scratch();
    let [line] = refused(&mut dist(&broken, out.path())).try_into().unwrap();
    assert!(line.contains("broken") && line.contains(&format!("run packaging/dist on {TARGET}")), "{line}");
    let kubectl = program("kubectl");
    let lines = refused(&mut dist(&kubectl, out.path()));
    assert!(lines.iter().all(|line| line.contains(kubectl.to_str().unwrap())), "{lines:?}");
    assert_eq!(files_below(out.path()), BTreeSet::new());
}

#[test]
fn a_file_without_ca_certificates_is_refused() {
    let (dir, out) = (scratch(), scratch());
    let file = dir.path().join("roots.pem");
    let roots = fs::read("/etc/ssl/certs/ca-certificates.crt").unwrap();
    let key = b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----\n";
    let no_der = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (contents, part) in [
        (&b""[..], "has no certificate"),
        (b"# none\n", "has no certificate"),
        (&roots[..roots.len() - 100], "has a certificate that is damaged"),
        (no_der, "has a certificate that is damaged"),
        (&[&roots, &key[..]].concat(), "has a private key"),
    ] {
        fs::write(&file, contents).unwrap();
        let [line] =
            refused(dist(&DIST.binary, out.path()).arg("--ca-certificates").arg(&file)).try_into().unwrap();
        assert!(line.contains(&format!("packaging/dist: {} {part}", file.display())), "{line}");
        assert!(line.contains("with --ca-certificates, or install ca-certificates"), "{line}");
    }
    for path in [dir.path().to_owned(), dir.path().join("none")] {
        let [line] =
            refused(dist(&DIST.binary, out.path()).arg("--ca-certificates").arg(&path)).try_into().unwrap();
        assert!(line.contains(path.to_str().unwrap()) && line.contains("cannot be read"), "{line}");
    }
    assert_eq!(files_below(out.path()), BTreeSet::new());
    // Comments may have any characters.
    let code = format!(
        "from pathlib import Path; from parts import certificates; print(certificates.read(Path('{}'))[1])",
        file.display()
    );
    fs::write(&file, ["# Autorité\n".as_bytes(), &roots].concat()).unwrap();
    assert_eq!(parts(&code), "CA certificates, named with --ca-certificates\n");
}

#[test]
fn what_is_no_kubectl_for_the_image_is_refused() {
    let out = scratch();
    for (path, part) in [
        (root().join("README.md"), format!("is not one for {TARGET}")),
        (env!("CARGO_BIN_EXE_eks-netcheck").into(), "is not static".to_owned()),
        (DIST.binary.clone(), "is no kubectl that can be run".to_owned()),
        ("/nonexistent".into(), "cannot be read: No such file".to_owned()),
        (root().to_owned(), "cannot be read: Is a directory".to_owned()),
    ] {
        let [line] = refused(dist(&DIST.binary, out.path()).arg("--kubectl").arg(&path)).try_into().unwrap();
        assert!(line.starts_with(&format!("packaging/dist: --kubectl {} {part}", path.display())), "{line}");
    }
    assert_eq!(files_below(out.path()), BTreeSet::new());
}

#[test]
fn all_that_is_missing_is_named_at_once() {
    let empty = scratch();
    let file = empty.path().join("file");
    fs::write(&file, "").unwrap();
    let mut command = Command::new(python());
    command.arg(root().join("packaging/dist")).arg("/nonexistent/binary").arg(&file);
    command.args(["--kubectl", "/nonexistent/kubectl", "--ca-certificates", "/nonexistent/roots"]);
    let lines = refused(command.env("PATH", empty.path()).env("SOURCE_DATE_EPOCH", "1700000000"));
    for part in [
        &format!("{} is not a directory", file.display())[..],
        "cargo, which lists the crates of the binary, is not on PATH: install Rust",
        "rustc, which ",
        "getconf, which ",
        "dpkg-deb, which makes the Debian package, is not on PATH: install dpkg",
        "the binary /nonexistent/binary cannot be read",
        "the CA certificates /nonexistent/roots cannot be read",
        "--kubectl /nonexistent/kubectl cannot be read",
    ] {
        let found = lines.iter().filter(|line| line.starts_with(&format!("packaging/dist: {part}"))).count();
        assert_eq!(found, 1, "{part}: {lines:#?}");
    }
    assert_eq!(lines.len(), 8, "{lines:#?}");
    let mut manifests = Command::new(root().join("packaging/dist"));
    let [line] = refused(manifests.args(["--manifests-only", "/nonexistent/dist"])).try_into().unwrap();
    assert!(line.contains("/nonexistent/dist does not exist: name the directory"), "{line}");
}

#[test]
fn the_build_names_all_that_is_missing_before_it_compiles() {
    let dir = scratch();
    let bin = dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    for name in ["bash", "dirname", "mkdir", "sed"] {
        symlink(program(name), bin.join(name)).unwrap();
    }
    let build = |out: &Path| {
        let mut build = Command::new(program("bash"));
        build.arg(root().join("packaging/build")).arg("--out").arg(out);
        build.env("PATH", &bin).env("CARGO_TARGET_DIR", dir.path().join("target"));
        build
    };
    let lines = refused(&mut build(Path::new("/proc/below")));
    for part in [
        "cargo, which compiles the tool, is not on PATH: install Rust",
        "rustc, which ",
        "readelf, which checks that the binary is static, is not on PATH: install binutils",
        "strip, which ",
        "flock, which ",
        "realpath, which ",
        "cc, the C compiler, is not on PATH",
        "the directory /proc/below cannot be made",
    ] {
        let found = lines.iter().filter(|line| line.starts_with(&format!("packaging/build: {part}"))).count();
        assert_eq!(found, 1, "{part}: {lines:#?}");
    }
    assert_eq!(lines.len(), 8, "{lines:#?}");
    // Stand-ins: a compiler that has no static C library, and one for another system.
    for (name, script) in [
        ("cargo", "exit 9"),
        ("readelf", ""),
        ("strip", ""),
        ("flock", ""),
        ("realpath", ""),
        ("cc", "echo libc.a"),
        ("rustc", "echo host: x86_64-unknown-linux-musl"),
    ] {
        fs::write(bin.join(name), format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::create_dir_all(dir.path().join("out/eks-netcheck")).unwrap();
    let lines = refused(&mut build(&dir.path().join("out")));
    for (line, part) in lines.iter().zip([
        "on x86-64 or ARM, not on x86_64-unknown-linux-musl",
        "the static C library, libc.a, is missing: install libc6-dev on Debian",
        "/out/eks-netcheck is a directory: remove it",
    ]) {
        assert!(line.contains(part), "{line}");
    }
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(!dir.path().join("target").exists(), "something was compiled");
}

/// The limit of a file's size stands in for a full disk.
#[test]
fn files_of_an_earlier_run_stay_if_a_disk_is_full() {
    let dir = scratch();
    let earlier = [format!("{}.tar.gz", stem()), "SHA256SUMS".to_owned()];
    for name in &earlier {
        fs::write(dir.path().join(name), "before").unwrap();
    }
    let run = dist(&DIST.binary, dir.path());
    let mut shell = Command::new("bash");
    shell.args(["-c", "ulimit -f 2000; exec \"$0\" \"$@\""]).arg(run.get_program()).args(run.get_args());
    let lines = refused(shell.env_remove("SOURCE_DATE_EPOCH"));
    let expected = format!("packaging/dist: cannot write {}.tar.gz: File too large; make room", stem());
    assert!(lines.last().unwrap().starts_with(&expected), "{lines:?}");
    assert_eq!(files_below(dir.path()), earlier.clone().into());
    for name in &earlier {
        assert_eq!(fs::read_to_string(dir.path().join(name)).unwrap(), "before");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "a directory is left");
}

/// The header of a binary for a target.
pub(super) fn fake_binary(target: &str) -> Vec<u8> {
    let mut header = vec![0; 64];
    let (magic, at, kind): (&[u8], usize, u32) = match target {
        "x86_64-unknown-linux-gnu" => (b"\x7fELF\x02\x01\x01", 18, 62),
        "aarch64-unknown-linux-gnu" => (b"\x7fELF\x02\x01\x01", 18, 183),
        "x86_64-apple-darwin" => (b"\xcf\xfa\xed\xfe", 4, 0x0100_0007),
        _ => (b"\xcf\xfa\xed\xfe", 4, 0x0100_000c),
    };
    header[..magic.len()].copy_from_slice(magic);
    header[at..at + 4].copy_from_slice(&kind.to_le_bytes());
    header
}

/// Writes an archive of a target, with a binary.
pub(super) fn fake_archive(dir: &Path, target: &str, binary: &[u8]) -> PathBuf {
    let source = scratch();
    let stem = format!("eks-netcheck-{VERSION}-{target}");
    fs::create_dir(source.path().join(&stem)).unwrap();
    fs::write(source.path().join(&stem).join("eks-netcheck"), binary).unwrap();
    let archive = dir.join(format!("{stem}.tar.gz"));
    succeeds(Command::new("tar").arg("-czf").arg(&archive).arg("-C").arg(source.path()).arg(&stem));
    archive
}

fn manifests(dir: &Path) -> Command {
    let mut manifests = Command::new(root().join("packaging/dist"));
    manifests.args(["--manifests-only", "--repository", REPOSITORY]).arg(dir);
    manifests
}

#[test]
fn a_package_that_is_not_whole_gets_no_checksum() {
    let names = [
        format!("{}.tar.gz", stem()),
        DIST.file("eks_netcheck-", ".whl").file_name().unwrap().to_str().unwrap().to_owned(),
        DIST.file("eks-netcheck_", ".deb").file_name().unwrap().to_str().unwrap().to_owned(),
    ];
    let dir = scratch();
    for name in &names {
        fs::copy(DIST.dir.join(name), dir.path().join(name)).unwrap();
    }
    succeeds(&mut manifests(dir.path()));
    fs::remove_file(dir.path().join("SHA256SUMS")).unwrap();
    for name in &names {
        let path = dir.path().join(name);
        let whole = fs::read(&path).unwrap();
        let mut damaged = whole.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0xff;
        for contents in [&whole[..whole.len() - 1], &whole[..middle], &damaged, &b"text"[..], b""] {
            fs::write(&path, contents).unwrap();
            let [line] = refused(&mut manifests(dir.path())).try_into().unwrap();
            assert!(line.starts_with(&format!("packaging/dist: {name} is not whole (")), "{line}");
            assert!(
                line.ends_with("make the package again with packaging/dist BINARY, or remove it"),
                "{line}"
            );
            assert!(!dir.path().join("SHA256SUMS").exists());
        }
        fs::write(&path, whole).unwrap();
    }
}

#[test]
fn an_archive_without_the_binary_of_its_name_gets_no_checksum() {
    let dir = scratch();
    let target = "aarch64-apple-darwin";
    for (binary, part) in [
        (fake_binary("x86_64-apple-darwin"), "is not one for aarch64-apple-darwin"),
        (fake_binary(TARGET), "is one for Linux, not for aarch64-apple-darwin"),
        (b"#!/bin/sh\n".to_vec(), "is not one for aarch64-apple-darwin"),
    ] {
        fake_archive(dir.path(), target, &binary);
        let [line] = refused(&mut manifests(dir.path())).try_into().unwrap();
        assert!(
            line.contains(&format!("the binary in eks-netcheck-{VERSION}-{target}.tar.gz {part}")),
            "{line}"
        );
    }
    // The archive of another target under this name.
    let other = fake_archive(dir.path(), TARGET, &fake_binary(TARGET));
    fs::rename(other, dir.path().join(format!("eks-netcheck-{VERSION}-{target}.tar.gz"))).unwrap();
    let [line] = refused(&mut manifests(dir.path())).try_into().unwrap();
    assert!(line.contains(&format!("it has no eks-netcheck-{VERSION}-{target}/eks-netcheck")), "{line}");
}
