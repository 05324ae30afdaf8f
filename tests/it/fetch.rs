//! `packaging/fetch`, which the action downloads a release with, against a server.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

use sha2::{Digest, Sha256};

use crate::common::{root, scratch};

/// What the server answers to any request for a path that ends with the name of the archive.
#[derive(Clone)]
enum Answer {
    /// These bytes.
    Whole(Vec<u8>),
    /// The first half of them, and then the end of the connection.
    Half(Vec<u8>),
    /// A redirect to another server.
    Elsewhere(String),
    /// No such file.
    Missing,
}

/// Serves an answer for the rest of the test run.
fn serve(answer: Answer) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
            let request = lines.next().unwrap();
            lines.find(String::is_empty);
            let wanted = format!("GET /v1.2.3/{}.tar.gz ", name());
            let (status, header, body) = match &answer {
                _ if !request.starts_with(&wanted) => ("404 Not Found", String::new(), &[][..]),
                Answer::Missing => ("404 Not Found", String::new(), &b"Not Found"[..]),
                Answer::Elsewhere(url) => {
                    ("302 Found", format!("location: {url}/v1.2.3/{}.tar.gz\r\n", name()), &[][..])
                }
                Answer::Whole(bytes) => ("200 OK", String::new(), &bytes[..]),
                Answer::Half(bytes) => ("200 OK", String::new(), &bytes[..bytes.len() / 2]),
            };
            let length = if let Answer::Half(bytes) = &answer { bytes.len() } else { body.len() };
            let head =
                format!("HTTP/1.1 {status}\r\n{header}content-length: {length}\r\nconnection: close\r\n\r\n");
            // Fails if curl has closed the connection.
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
        }
    });
    address
}

/// The name of the archive for this machine, without its ending.
fn name() -> String {
    format!("eks-netcheck-1.2.3-{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// An archive with this program as the binary.
fn archive(dir: &Path, program: &str) -> Vec<u8> {
    let inner = dir.join(name());
    fs::create_dir(&inner).unwrap();
    let binary = inner.join("eks-netcheck");
    fs::write(&binary, program).unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(inner.join("README.md"), "text").unwrap();
    let tar = Command::new("tar").arg("-cz").arg("-C").arg(dir).arg(name()).output().unwrap();
    assert!(tar.status.success());
    tar.stdout
}

/// The checksum in hexadecimal digits.
fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// A copy of the script with checksums of its own, and a directory for the binary.
pub(crate) struct Fetch {
    dir: tempfile::TempDir,
    archive: Vec<u8>,
}

impl Fetch {
    /// The binary prints where it is run, and its arguments.
    fn new() -> Self {
        Self::with_binary("#!/bin/sh\necho \"ran $0 $*\"\n")
    }

    /// The checksums are those of an archive with this program.
    pub(crate) fn with_binary(program: &str) -> Self {
        let dir = scratch();
        let archive = archive(dir.path(), program);
        let fetch = Self { dir, archive };
        fetch.checksums(&format!("{}  {}.tar.gz\n", sha256(&fetch.archive), name()));
        fs::copy(root().join("packaging/fetch"), fetch.dir.path().join("fetch")).unwrap();
        fetch
    }

    /// The directory with the script and the checksums.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The URL of a server that has the archive.
    pub(crate) fn serve(&self) -> String {
        format!("http://{}", serve(Answer::Whole(self.archive.clone())))
    }

    fn checksums(&self, lines: &str) {
        let other = format!("{}  eks-netcheck-1.2.3-riscv64-unknown-linux-gnu.tar.gz\n", "0".repeat(64));
        fs::write(self.dir.path().join("checksums.txt"), format!("# A comment.\n{lines}{other}")).unwrap();
    }

    fn out(&self) -> PathBuf {
        self.dir.path().join("out of the way/bin")
    }

    fn run(&self, env: &[(&str, &str)]) -> Output {
        self.run_in(&self.out(), env, "")
    }

    /// The same for another directory, after a command of the shell.
    fn run_in(&self, out: &Path, env: &[(&str, &str)], before: &str) -> Output {
        let mut command = Command::new("bash");
        command.args(["-c", &format!("{before}\nexec bash \"$0\" \"$@\"")]);
        command.arg(self.dir.path().join("fetch")).arg(out).current_dir(self.dir.path());
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").envs(env.iter().copied());
        command.output().unwrap()
    }

    /// A refusal, with its message; nothing is left of the download.
    #[track_caller]
    fn refused(&self, env: &[(&str, &str)]) -> String {
        let output = self.run(env);
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), &b""[..]), "{output:?}");
        let left = fs::read_dir(self.out()).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

#[test]
fn the_binary_of_a_release_is_downloaded_if_its_checksum_is_right() {
    let fetch = Fetch::new();
    let elsewhere = format!("http://{}", serve(Answer::Whole(fetch.archive.clone())));
    let redirect = format!("http://{}/", serve(Answer::Elsewhere(elsewhere.clone())));
    for (releases, version) in [(&elsewhere, ""), (&redirect, "1.2.3"), (&elsewhere, "v1.2.3")] {
        let output = fetch.run(&[("RELEASES", releases), ("VERSION", version)]);
        let path = String::from_utf8(output.stdout.clone()).unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{output:?}");
        assert_eq!(path, format!("{}\n", fetch.out().join("eks-netcheck").display()));
        let ran = Command::new(path.trim_end()).arg("--version").output().unwrap();
        assert!(String::from_utf8(ran.stdout).unwrap().ends_with("--version\n"));
        assert_eq!(fs::read_dir(fetch.out()).unwrap().count(), 1, "only the binary is left");
    }
    // A version that the file does not have, with a checksum of the user's, in any case.
    fetch.checksums("");
    let sum = sha256(&fetch.archive).to_uppercase();
    let output = fetch.run(&[("RELEASES", &elsewhere), ("VERSION", "1.2.3"), ("SHA256", &sum)]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

/// A directory whose name is an option elsewhere, and one that exists.
#[test]
fn the_directory_may_have_any_name() {
    let fetch = Fetch::new();
    let url = fetch.serve();
    for name in ["-x", "--", "-C", "a b", "again", "again"] {
        let output = fetch.run_in(Path::new(name), &[("RELEASES", &url)], "");
        let path = String::from_utf8(output.stdout.clone()).unwrap();
        assert_eq!(
            (output.status.code(), output.stderr.as_slice()),
            (Some(0), &b""[..]),
            "{name}: {output:?}"
        );
        // As the action runs it.
        let mut shell = Command::new("bash");
        shell.args(["-c", "command -v \"$0\" >/dev/null && \"$0\" --version", path.trim_end()]);
        let ran = shell.current_dir(fetch.dir()).output().unwrap();
        assert!(ran.status.success() && ran.stdout.starts_with(b"ran "), "{name}: {ran:?}");
    }
}

#[test]
fn a_directory_that_cannot_have_the_binary_is_refused_before_anything_is_requested() {
    let fetch = Fetch::new();
    fs::write(fetch.dir().join("file"), "").unwrap();
    fs::create_dir_all(fetch.dir().join("taken/eks-netcheck")).unwrap();
    for (out, part) in [
        ("", "give the directory for the binary"),
        ("file", "the directory file cannot be made (File exists): "),
        ("file/below", "the directory file/below cannot be made (Not a directory): "),
        ("/proc/below", "/proc/below cannot be made"),
        ("taken", "taken/eks-netcheck is a directory: remove it, or name another"),
    ] {
        let output = fetch.run_in(Path::new(out), &[("RELEASES", "http://127.0.0.1:9")], "");
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), &b""[..]), "{out}: {message}");
        assert!(message.contains(part) && message.lines().count() == 1, "{out}: {message}");
    }
    assert_eq!(fs::read_dir(fetch.dir().join("taken")).unwrap().count(), 1);
    assert_eq!(fs::read_dir(fetch.dir().join("taken/eks-netcheck")).unwrap().count(), 0);
}

/// The limit of a file's size stands in for a full disk: the archive fits or does not, and the
/// binary, which is larger, does not.
#[test]
fn a_full_disk_is_not_blamed_on_the_network() {
    let large = Fetch::with_binary(&format!("#!/bin/sh\n{}", "#".repeat(100_000)));
    assert!(large.archive.len() < 4096);
    let mut random = String::new();
    while random.len() < 20_000 {
        random += &sha256(random.as_bytes());
    }
    let incompressible = Fetch::with_binary(&random);
    assert!(incompressible.archive.len() > 8192);
    for (fetch, part) in
        [(&incompressible, "the archive cannot be written to "), (&large, "the binary cannot be written to ")]
    {
        let url = fetch.serve();
        let out = fetch.out();
        let output = fetch.run_in(&out, &[("RELEASES", &url)], "trap '' XFSZ; ulimit -f 8");
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), &b""[..]), "{message}");
        assert!(message.contains(part) && message.contains("make room there"), "{message}");
        assert!(!message.contains("proxy") && message.lines().count() == 1, "{message}");
        assert_eq!(fs::read_dir(out).unwrap().count(), 0, "{message}");
    }
}

#[test]
fn the_last_version_of_the_checksums_is_downloaded() {
    let fetch = Fetch::new();
    let sums = format!("{}  {}.tar.gz\n", sha256(&fetch.archive), name());
    fetch.checksums(&(sums.replace("1.2.3", "1.2.2") + &sums));
    let url = format!("http://{}", serve(Answer::Whole(fetch.archive.clone())));
    let output = fetch.run(&[("RELEASES", &url)]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn a_pre_release_is_downloaded_only_if_it_is_named() {
    let fetch = Fetch::new();
    let url = format!("http://{}", serve(Answer::Whole(fetch.archive.clone())));
    let sums = format!("{}  {}.tar.gz\n", sha256(&fetch.archive), name());
    let pre = format!("{}  {}.tar.gz\n", "ab".repeat(32), name().replace("1.2.3", "1.3.0-rc.1"));
    fetch.checksums(&(sums + &pre));
    let output = fetch.run(&[("RELEASES", &url)]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    fs::remove_dir_all(fetch.out()).unwrap();
    let message = fetch.refused(&[("RELEASES", &url), ("VERSION", "1.3.0-rc.1")]);
    assert!(message.contains("/v1.3.0-rc.1/"), "{message}");
    fetch.checksums(&pre);
    let message = fetch.refused(&[("RELEASES", &url)]);
    assert!(message.contains("the checksum of no release"), "{message}");
    assert!(message.contains("a pre-release is used if the input version names it"), "{message}");
}

#[test]
fn a_missing_program_is_named_before_anything_is_requested() {
    let fetch = Fetch::new();
    let bin = fetch.dir().join("bin");
    let needed = ["bash", "uname", "dirname", "sed", "tail", "curl", "tar", "sha256sum"];
    for (missing, part) in [
        ("curl", "curl is not on PATH: install it, or install eks-netcheck another way"),
        ("tar", "tar is not on PATH"),
        ("sha256sum", "neither sha256sum nor shasum is on PATH"),
    ] {
        let _ = fs::remove_dir_all(&bin);
        fs::create_dir(&bin).unwrap();
        for program in needed {
            if program == missing {
                continue;
            }
            let found = Command::new("sh").args(["-c", "command -v \"$0\"", program]).output().unwrap();
            let path = String::from_utf8(found.stdout).unwrap();
            std::os::unix::fs::symlink(path.trim_end(), bin.join(program)).unwrap();
        }
        let message = fetch.refused(&[("RELEASES", "http://127.0.0.1:9"), ("PATH", bin.to_str().unwrap())]);
        assert!(message.contains(part), "{missing}: {message}");
    }
}

/// With a stand-in for curl that prints its arguments and fails.
#[test]
fn curl_may_leave_tls_only_if_the_url_has_none() {
    let fetch = Fetch::new();
    let bin = fetch.dir().join("bin");
    fs::create_dir(&bin).unwrap();
    fs::write(bin.join("curl"), "#!/bin/sh\necho \"$@\" >&2\nexit 7\n").unwrap();
    fs::set_permissions(bin.join("curl"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display());
    for (releases, protocols) in [
        ("https://127.0.0.1:9", "--proto =https --proto-redir =https --"),
        ("http://127.0.0.1:9", "--proto =http,https --proto-redir =http,https --"),
    ] {
        let message = fetch.refused(&[("RELEASES", releases), ("PATH", &path)]);
        assert!(message.contains(protocols), "{message}");
    }
}

#[test]
fn inputs_add_no_command_of_github_to_an_error() {
    let fetch = Fetch::new();
    let version = "1%0A\r\n::add-mask::x";
    let message = fetch.refused(&[("VERSION", version), ("GITHUB_ACTIONS", "true")]);
    assert!(
        message.starts_with("::error title=eks-netcheck::the version \"1%250A%0D%0A::add-mask::x\" is not")
    );
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[test]
fn an_archive_with_another_checksum_is_refused_and_nothing_is_left() {
    let fetch = Fetch::new();
    let mut other = fetch.archive.clone();
    *other.last_mut().unwrap() ^= 1;
    let url = format!("http://{}", serve(Answer::Whole(other.clone())));
    let message = fetch.refused(&[("RELEASES", &url)]);
    for part in [&sha256(&other), &sha256(&fetch.archive), "nothing of it was unpacked or run"] {
        assert!(message.contains(part), "{message}");
    }
    // The checksum that the user gives is the one that counts.
    let url = format!("http://{}", serve(Answer::Whole(fetch.archive.clone())));
    let message = fetch.refused(&[("RELEASES", &url), ("SHA256", &"ab".repeat(32))]);
    assert!(message.contains(&"ab".repeat(32)), "{message}");
    // As GitHub shows an error.
    let message =
        fetch.refused(&[("RELEASES", &url), ("SHA256", &"ab".repeat(32)), ("GITHUB_ACTIONS", "true")]);
    assert!(message.starts_with("::error title=eks-netcheck::http://"), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[test]
fn a_binary_from_before_stays_if_the_download_is_refused() {
    let fetch = Fetch::new();
    fs::create_dir_all(fetch.out()).unwrap();
    fs::write(fetch.out().join("eks-netcheck"), "before").unwrap();
    let url = format!("http://{}", serve(Answer::Whole(b"other".to_vec())));
    assert_eq!(fetch.run(&[("RELEASES", &url)]).status.code(), Some(2));
    assert_eq!(fs::read(fetch.out().join("eks-netcheck")).unwrap(), b"before");
    assert_eq!(fs::read_dir(fetch.out()).unwrap().count(), 1);
}

#[test]
fn downloads_that_fail_say_what_to_do_next() {
    let fetch = Fetch::new();
    let closed = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    for (address, parts) in [
        (serve(Answer::Missing), ["404", "does that release exist"]),
        (serve(Answer::Half(fetch.archive.clone())), ["ended early", "run it again"]),
        (closed, ["cannot be downloaded", "is a proxy missing"]),
    ] {
        let url = format!("http://{address}");
        let message = fetch.refused(&[("RELEASES", &url)]);
        for part in parts {
            assert!(message.contains(part), "{message}");
        }
        assert!(message.contains(&format!("{url}/v1.2.3/{}.tar.gz", name())), "{message}");
    }
    // The binary is where the name of the archive says.
    let text = b"no archive".to_vec();
    let url = format!("http://{}", serve(Answer::Whole(text.clone())));
    let message = fetch.refused(&[("RELEASES", &url), ("SHA256", &sha256(&text))]);
    assert!(message.contains(&format!("has no {}/eks-netcheck", name())), "{message}");
}

#[test]
fn what_is_not_known_or_well_formed_is_refused_before_anything_is_requested() {
    let fetch = Fetch::new();
    // Nothing listens there.
    let url = ("RELEASES", "http://127.0.0.1:9");
    for (env, part) in [
        (&[url, ("VERSION", "1.2.4")][..], "no checksum of eks-netcheck-1.2.4-"),
        (&[url, ("VERSION", "latest")], "not one such as 1.2.3"),
        (&[url, ("VERSION", "1.2.3/../../x")], "not one such as 1.2.3"),
        (&[url, ("VERSION", "1.2.3"), ("SHA256", "abc")], "64 hexadecimal digits"),
        (&[], "not OWNER/NAME"),
        (&[("REPOSITORY", "a/b/c")], "not OWNER/NAME"),
        (&[("REPOSITORY", "a/b?x")], "not OWNER/NAME"),
        (&[("RELEASES", "file:///etc")], "begins with https://"),
        (&[("RELEASES", "-o/etc/x")], "begins with https://"),
    ] {
        let message = fetch.refused(env);
        assert!(message.contains(part), "{env:?}: {message}");
    }
    // As long as there is no release.
    fetch.checksums("");
    let message = fetch.refused(&[url]);
    assert!(message.contains("the checksum of no release"), "{message}");
    assert!(message.contains("set the input binary to its path"), "{message}");
}

/// Whether a line is one of SHA256SUMS, for an archive.
fn is_checksum(line: &str) -> bool {
    let Some((sum, name)) = line.split_once("  ") else { return false };
    sum.len() == 64
        && sum.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        && name.starts_with("eks-netcheck-")
        && (name.ends_with("-unknown-linux-gnu.tar.gz") || name.ends_with("-apple-darwin.tar.gz"))
}

#[test]
fn checksums_have_the_form_of_sha256sums() {
    let sum = "0123456789abcdef".repeat(4);
    assert!(is_checksum(&format!("{sum}  {}.tar.gz", name())));
    for line in [
        format!("{sum} {}.tar.gz", name()),
        format!("{}  {}.tar.gz", &sum[1..], name()),
        format!("{}  {}.tar.gz", sum.to_uppercase(), name()),
        format!("{sum}  {}.cdx.json", name()),
        String::new(),
    ] {
        assert!(!is_checksum(&line), "{line}");
    }
    // The file has none as long as no version is released.
    let text = fs::read_to_string(root().join("packaging/checksums.txt")).unwrap();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        assert!(is_checksum(line), "{line}");
    }
}
