//! The static executable in a file system with nothing else but random numbers.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use eks_netcheck_lab::dns::{Behaviour, Entry, NameServer};
use eks_netcheck_lab::sandbox::{ENDPOINT_HOST, OPERATOR, PUBLIC};
use eks_netcheck_lab::tls::Authority;
use serde_json::Value;
use tempfile::TempDir;

use super::{Access, Testbed, run_command, testbed};
use crate::common::{Netcheck, Ran, copy, root, story};

/// The name of the AWS endpoint, which the name server or the hosts file knows.
const AWS: &str = "aws.netcheck.test";
/// The port of the lab's name server, the only one that `/etc/resolv.conf` can name.
const DNS_PORT: u16 = 53;

/// The static executable.
fn executable() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let target = Path::new(env!("CARGO_BIN_EXE_eks-netcheck")).ancestors().nth(2).unwrap();
        let out = target.join("static-dev/alone");
        let built = Command::new(root().join("packaging/build"))
            .args(["--profile", "dev", "--out"])
            .arg(&out)
            .env("CARGO_TARGET_DIR", target)
            .output()
            .unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        out.join("eks-netcheck")
    })
}

/// A file system with the executable and these files.
fn file_system(files: &[(&str, &str)]) -> TempDir {
    let executable = executable();
    // Beside the executable, which is large, for a hard link to it.
    let dir = TempDir::new_in(executable.parent().unwrap()).unwrap();
    fs::hard_link(executable, dir.path().join("eks-netcheck")).unwrap();
    // Only a release does without: see `packaging/build`.
    fs::create_dir(dir.path().join("dev")).unwrap();
    for (name, minor) in [("random", "8"), ("urandom", "9")] {
        let node = dir.path().join("dev").join(name);
        let made = Command::new("mknod").arg(node).args(["c", "1", minor]).status().unwrap();
        assert!(made.success());
    }
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

/// A run with this root directory on the operator's host, with credentials for the fake AWS.
fn chroot(testbed: &Testbed, dir: &TempDir, args: &[&str], variables: &[(&str, &str)]) -> Ran {
    let mut command = testbed.lab.operator_command("chroot");
    command
        .arg(dir.path())
        .arg("/eks-netcheck")
        .args(args)
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "not-a-secret")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("COLUMNS", "100")
        .envs(variables.iter().copied())
        .stdin(Stdio::null());
    run_command(command)
}

/// A live audit of the cluster.
const AUDIT: [&str; 13] = [
    "audit",
    "--cluster",
    "myeks",
    "--nodes",
    "none",
    "--region",
    "ap-northeast-2",
    "--format",
    "json",
    "--timeout",
    "20",
    "--probe",
    "none",
];

#[test]
fn a_static_executable_runs_where_there_is_nothing_else() {
    let testbed = testbed(Access::Public);
    let dir = file_system(&[]);
    copy(&story("study-public"), &dir.path().join("evidence"));
    let version = Netcheck::new(["--version"]).run();
    assert_eq!(chroot(&testbed, &dir, &["--version"], &[]).stdout, version.stdout);
    let args = ["audit", "--cluster", "myeks", "--evidence", "/evidence", "--format", "markdown"];
    let audited = chroot(&testbed, &dir, &args, &[]);
    let expected = Netcheck::new(["audit", "--cluster", "myeks", "--format", "markdown", "--evidence"])
        .arg(story("study-public"))
        .env("COLUMNS", "100")
        .run();
    assert_eq!(audited.code, expected.code, "{}", audited.stderr);
    // The time of the run is not in this format.
    assert_eq!(audited.stdout, expected.stdout);
}

#[test]
fn a_static_executable_looks_names_up_by_itself() {
    let testbed = testbed(Access::Public);
    let dns = SocketAddr::from((OPERATOR, DNS_PORT));
    let server = NameServer::serve_in(&testbed.lab.operator_netns(), dns).unwrap();
    server.set(AWS, Entry::addresses([IpAddr::V4(OPERATOR)]));
    server.set(ENDPOINT_HOST, Entry::addresses(PUBLIC.map(IpAddr::V4)));
    let url = testbed.aws.url().replace(&OPERATOR.to_string(), AWS);
    let endpoint: &[(&str, &str)] = &[("AWS_ENDPOINT_URL", &url)];
    let resolv = format!("nameserver {OPERATOR}\noptions timeout:2 attempts:1\n");
    let dir = file_system(&[("etc/resolv.conf", &resolv)]);

    let ran = chroot(&testbed, &dir, &AUDIT, endpoint);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{}", ran.stderr));
    assert_eq!(report["cluster"]["name"], "myeks", "{}", ran.stdout);
    assert!(server.queries().iter().any(|query| query.name.contains(AWS)), "{:?}", server.queries());
    let here = report["dns"].as_array().unwrap().iter().find(|dns| dns["vantage"] == "here").unwrap();
    assert_eq!(here["addresses"], serde_json::json!(PUBLIC), "{here}");

    for (behaviour, message) in [
        (Behaviour::NxDomain, "does not exist"),
        (Behaviour::NoData, "does not exist"),
        (Behaviour::ServFail, "cannot be resolved"),
        (Behaviour::Refused, "cannot be resolved"),
    ] {
        server.set(AWS, Entry::failing(behaviour));
        let ran = chroot(&testbed, &dir, &AUDIT, endpoint);
        assert!(ran.stderr.contains(AWS) && ran.stderr.contains(message), "{behaviour:?}: {}", ran.stderr);
    }

    // The hosts file comes first, and needs no server.
    let hosts = format!("{OPERATOR} other {AWS}\n");
    for files in [&[("etc/hosts", &*hosts), ("etc/resolv.conf", &*resolv)][..], &[("etc/hosts", &*hosts)]] {
        let ran = chroot(&testbed, &file_system(files), &AUDIT, endpoint);
        let report: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{}", ran.stderr));
        assert_eq!(report["cluster"]["name"], "myeks", "{}", ran.stdout);
    }

    // There is no server to ask.
    let ran = chroot(&testbed, &file_system(&[]), &AUDIT, endpoint);
    assert!(ran.stderr.contains(AWS) && ran.stderr.contains("/etc/resolv.conf"), "{}", ran.stderr);

    // A proxy has a name too.
    let proxy = format!("http://{AWS}:4566");
    let ran = chroot(&testbed, &dir, &AUDIT, &[("HTTPS_PROXY", &proxy)]);
    assert!(ran.stderr.contains("the host name of the proxy"), "{}", ran.stderr);
}

#[test]
fn a_static_executable_has_root_certificates_where_there_are_none() {
    let testbed = testbed(Access::Public);
    let hosts = format!("{} {ENDPOINT_HOST}\n", PUBLIC[0]);
    let url = format!("https://{ENDPOINT_HOST}");
    let with = |variables: &[(&str, &str)], files: &[(&str, &str)]| {
        let files = [&[("etc/hosts", &*hosts)], files].concat();
        let variables = [&[("AWS_ENDPOINT_URL", &*url)], variables].concat();
        chroot(&testbed, &file_system(&files), &[&AUDIT[..], &["-vv"]].concat(), &variables)
    };
    let built_in = "the system has no root certificates";
    let own = [("ca.pem", Authority::First.pem())];
    let stored = [("etc/ssl/certs/ca-certificates.crt", Authority::First.pem())];

    let ran = with(&[], &[]);
    assert!(ran.stderr.contains(built_in), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("no TLS connection") && ran.stderr.contains("UnknownIssuer"),
        "{}",
        ran.stderr
    );
    for (variables, files) in
        [(&[("SSL_CERT_FILE", "/ca.pem")][..], &own), (&[("AWS_CA_BUNDLE", "/ca.pem")], &own), (&[], &stored)]
    {
        let ran = with(variables, files);
        assert!(!ran.stderr.contains("no TLS connection"), "{variables:?}: {}", ran.stderr);
        let has_built_in = variables.first().is_some_and(|(name, _)| *name == "AWS_CA_BUNDLE");
        assert_eq!(ran.stderr.contains(built_in), has_built_in, "{variables:?}: {}", ran.stderr);
    }
}
