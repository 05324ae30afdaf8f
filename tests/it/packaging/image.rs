//! The images, run by chroot with nothing else in it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::bill::{bill, named};
use super::{DIST, REPOSITORY, VERSION, files_below, program, succeeds, works};
use crate::common::{copy, root, scratch, story};

/// The SHA-256 of bytes, in hexadecimal digits.
fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

/// An image, read and unpacked as a container runtime does.
struct Image {
    config: Value,
    root: tempfile::TempDir,
}

impl Image {
    fn unpack(tag: &str) -> Self {
        let layout = DIST.file("eks-netcheck-", ".oci");
        let inspected: Value = serde_json::from_str(&succeeds(
            Command::new("skopeo").arg("inspect").arg(format!("oci:{}:{tag}", layout.display())),
        ))
        .unwrap();
        assert_eq!(inspected["Architecture"], "amd64");
        let label = |name: &str| &inspected["Labels"][format!("org.opencontainers.image.{name}")];
        assert_eq!(label("version"), VERSION);
        assert_eq!(label("source"), &format!("https://github.com/{REPOSITORY}"));
        // A checkout has a commit, and an archive of the source has none.
        let commit = label("revision").as_str().map(|text| text.trim_end_matches("-modified"));
        assert_eq!(commit.map(str::len), root().join(".git").exists().then_some(40));
        // skopeo checks all checksums and sizes while it copies.
        let root = scratch();
        fs::set_permissions(&root, Permissions::from_mode(0o755)).unwrap();
        let copied = root.path().join("copied");
        succeeds(
            Command::new("skopeo")
                .args(["copy", "--insecure-policy"])
                .args([format!("oci:{}:{tag}", layout.display()), format!("dir:{}", copied.display())]),
        );
        let json =
            |name: &str| -> Value { serde_json::from_slice(&fs::read(copied.join(name)).unwrap()).unwrap() };
        let digest =
            |descriptor: &Value| descriptor["digest"].as_str().unwrap()["sha256:".len()..].to_owned();
        let manifest = json("manifest.json");
        let config = json(&digest(&manifest["config"]));
        for (layer, expected) in manifest["layers"]
            .as_array()
            .unwrap()
            .iter()
            .zip(config["rootfs"]["diff_ids"].as_array().unwrap())
        {
            let layer = copied.join(digest(layer));
            let tar = Command::new("gzip").arg("-dc").arg(&layer).output().unwrap().stdout;
            let actual = format!("sha256:{}", sha256(&tar));
            assert_eq!(&actual, expected);
            succeeds(Command::new("tar").arg("-xpzf").arg(&layer).arg("-C").arg(root.path()));
        }
        fs::remove_dir_all(copied).unwrap();
        Self { config: config["config"].clone(), root }
    }

    /// A command in the image, with its user, environment and working directory, and nothing else.
    fn run(&self, path: &str) -> Command {
        let user = self.config["User"].as_str().unwrap();
        // Without root, there is no other user to be.
        let is_root = succeeds(Command::new("id").arg("-u")).trim() == "0";
        let mut command = Command::new(program(if is_root { "chroot" } else { "unshare" }));
        command.args(if is_root { [format!("--userspec={user}")] } else { ["--map-root-user".to_owned()] });
        command.args((!is_root).then(|| program("chroot")));
        command.arg(self.root.path()).arg(path);
        command.env_clear().env("HOME", "/tmp");
        for variable in self.config["Env"].as_array().unwrap() {
            let (name, value) = variable.as_str().unwrap().split_once('=').unwrap();
            command.env(name, value);
        }
        command
    }
}

#[test]
fn an_image_has_what_the_tool_needs_and_nothing_else() {
    let image = Image::unpack(VERSION);
    let documents = "usr/share/doc/eks-netcheck";
    let mut expected: BTreeSet<String> =
        ["LICENSE-APACHE", "LICENSE-MIT", "LICENSES-THIRD-PARTY", "eks-netcheck.cdx.json"]
            .map(|name| format!("{documents}/{name}"))
            .into();
    expected.extend(
        ["etc/group", "etc/passwd", "etc/ssl/certs/ca-certificates.crt", "usr/bin/eks-netcheck"]
            .map(str::to_owned),
    );
    assert_eq!(files_below(image.root.path()), expected);
    assert_eq!(image.config["User"], "65532:65532");
    assert_eq!(image.config["WorkingDir"], "/tmp");
    // The user of the image can write to /tmp, and to no other place.
    let modes =
        succeeds(Command::new("find").arg(image.root.path()).args(["-perm", "/022", "!", "-type", "l"]));
    assert_eq!(modes.trim(), image.root.path().join("tmp").display().to_string());
    copy(&story("private-only"), &image.root.path().join("tmp/evidence"));
    let entrypoint = image.config["Entrypoint"][0].as_str().unwrap();
    works(&mut || image.run(entrypoint), Path::new("/tmp/evidence"));
    let written = succeeds(image.run(entrypoint).args([
        "audit",
        "--evidence",
        "/tmp/evidence",
        "--format",
        "json",
        "--write",
        "html=/tmp/report.html",
    ]));
    assert!(written.contains("\"verdict\": \"pass\""), "{written}");
    assert!(image.root.path().join("tmp/report.html").exists());

    // The bill in the image has the certificates, with their checksum.
    let certificates = fs::read(image.root.path().join("etc/ssl/certs/ca-certificates.crt")).unwrap();
    assert_eq!(certificates, fs::read("/etc/ssl/certs/ca-certificates.crt").unwrap());
    let text = fs::read_to_string(image.root.path().join(documents).join("eks-netcheck.cdx.json")).unwrap();
    let bill = bill(&text);
    let entry = named(&bill, "ca-certificates.crt");
    assert_eq!(entry["hashes"][0]["content"], sha256(&certificates));
}

#[test]
fn the_image_for_a_cluster_has_kubectl_too() {
    let image = Image::unpack(&format!("{VERSION}-kubectl"));
    let version = succeeds(image.run("/usr/bin/kubectl").args(["version", "--client", "--output=json"]));
    let version: Value = serde_json::from_str(&version).unwrap();
    let version = version["clientVersion"]["gitVersion"].as_str().unwrap();
    let text = fs::read_to_string(image.root.path().join("usr/share/doc/eks-netcheck/eks-netcheck.cdx.json"))
        .unwrap();
    let bill = bill(&text);
    let kubectl = named(&bill, "kubectl");
    assert_eq!(format!("v{}", kubectl["version"].as_str().unwrap()), version);
    // The module k8s.io/kubectl has versions of its own (v0.X.Y).
    assert_eq!(kubectl["purl"], format!("pkg:golang/k8s.io/kubernetes@{version}").as_str());
    copy(&story("private-only"), &image.root.path().join("tmp/evidence"));
    works(&mut || image.run("/usr/bin/eks-netcheck"), Path::new("/tmp/evidence"));
}
