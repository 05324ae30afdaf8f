//! What all tests share: paths of fixtures, and runs of the built binary.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use eks_netcheck::classify::Classifier;
use eks_netcheck::evidence::directory::EvidenceDir;
use eks_netcheck::evidence::error::EvidenceError;
use eks_netcheck::evidence::nodes::read_nodes;
use eks_netcheck::model::evidence::Evidence;
use eks_netcheck::model::facts::Facts;

/// The package's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn fixtures() -> PathBuf {
    root().join("fixtures")
}

/// The evidence directory of a story: one scenario, recorded or composed.
pub(crate) fn story(name: &str) -> PathBuf {
    fixtures().join("evidence").join(name)
}

/// The sub-directories of a directory, by name.
pub(crate) fn subdirs(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let dirs = entries.filter(|entry| entry.file_type().unwrap().is_dir());
    let mut names: Vec<_> = dirs.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The facts of an evidence directory about the cluster `myeks`; `None` if it is refused (exit code
/// 2).
pub(crate) fn facts_of(dir: &Path) -> Option<Facts> {
    let dir = EvidenceDir::open(dir).ok()?;
    with_nodes(dir.read("myeks").ok()?, &dir).ok()
}

/// The facts of evidence, and of the sockets of nodes that a directory has.
pub(crate) fn with_nodes(evidence: Evidence, dir: &EvidenceDir) -> Result<Facts, EvidenceError> {
    let mut classifier = Classifier::new(evidence);
    let nodes = read_nodes(dir, |node, row| {
        classifier.add(node, row.socket, row.processes.map(|process| (process.comm, process.pid())));
    })?;
    Ok(classifier.finish(nodes))
}

/// A run of the built binary, with an empty environment but for what is set here.
pub(crate) struct Netcheck(Command);

/// The exit code and output of a run.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Netcheck {
    pub(crate) fn new<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_eks-netcheck"));
        // No test should wait for the instance metadata service.
        command.env_clear().env("AWS_EC2_METADATA_DISABLED", "true");
        command.env("COLUMNS", "100").stdin(Stdio::null()).args(args);
        Self(command)
    }

    /// An audit of recorded evidence about the cluster `myeks`.
    pub(crate) fn audit(evidence: &Path) -> Self {
        Self::new([
            OsStr::new("audit"),
            OsStr::new("--cluster"),
            OsStr::new("myeks"),
            OsStr::new("--evidence"),
        ])
        .arg(evidence)
    }

    /// A comparison of two recordings.
    pub(crate) fn diff(before: &Path, after: &Path) -> Self {
        Self::new([OsStr::new("diff"), before.as_os_str(), after.as_os_str()])
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.0.arg(arg);
        self
    }

    pub(crate) fn args(mut self, args: &[&str]) -> Self {
        self.0.args(args);
        self
    }

    pub(crate) fn env(mut self, key: &str, value: &str) -> Self {
        self.0.env(key, value);
        self
    }

    /// Sets the working directory.
    pub(crate) fn dir(mut self, dir: &Path) -> Self {
        self.0.current_dir(dir);
        self
    }

    /// Runs it in a mount namespace of its own, which `prepare`, commands of sh, has changed.
    #[cfg(feature = "live")]
    pub(crate) fn run_after(self, prepare: &str) -> Ran {
        let mut command = Command::new("unshare");
        command
            .args(["--map-root-user", "--mount", "sh", "-ec"])
            .arg(format!("{prepare}\nexec \"$@\""))
            .arg("sh");
        command.arg(self.0.get_program()).args(self.0.get_args()).env_clear().stdin(Stdio::null());
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.envs(self.0.get_envs().filter_map(|(key, value)| Some((key, value?))));
        Self(command).run()
    }

    pub(crate) fn run(mut self) -> Ran {
        let output = self.0.output().unwrap();
        Ran {
            code: output.status.code().expect("not ended by a signal"),
            stdout: String::from_utf8(output.stdout).expect("output is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("output is UTF-8"),
        }
    }

    /// Runs it, and returns also the most memory that it had, in MiB (`VmHWM` of proc(5)).
    #[cfg(feature = "live")]
    pub(crate) fn run_measured(mut self) -> (Ran, u64) {
        let mut child = self.0.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let stdout = std::thread::spawn(move || std::io::read_to_string(&mut stdout).unwrap());
        let stderr = std::thread::spawn(move || std::io::read_to_string(&mut stderr).unwrap());
        let status = PathBuf::from(format!("/proc/{}/status", child.id()));
        let mut peak = 0;
        let ended = loop {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
            peak = peak.max(kib.unwrap_or_default() / 1024);
            if let Some(ended) = child.try_wait().unwrap() {
                break ended;
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        };
        let code = ended.code().expect("not ended by a signal");
        (Ran { code, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }, peak)
    }

    /// The JSON report, without the time of the run, and the exit code.
    pub(crate) fn json(self) -> (serde_json::Value, i32) {
        let ran = self.args(&["--format", "json"]).run();
        let mut report: serde_json::Value =
            serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.stderr));
        remove_time(&mut report);
        for one in report["reports"].as_array_mut().into_iter().flatten() {
            remove_time(one);
        }
        (report, ran.code)
    }
}

/// Replaces the time of the run in a report.
fn remove_time(report: &mut serde_json::Value) {
    if let Some(time) = report.pointer_mut("/tool/time") {
        *time = "TIME".into();
    }
}

/// A temporary directory, removed when it is dropped.
pub(crate) fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// The capture of n1 or n2 of a story, as of another machine: one that no list has.
pub(crate) fn of_another_machine(capture: &str, number: usize) -> String {
    let address = format!("10.9.{}.{}", number / 250, 1 + number % 250);
    capture.replace("192.168.1.20", &address).replace("192.168.2.94", &address)
}

/// A copy of a story, for a test to change.
pub(crate) fn copy_of(name: &str) -> tempfile::TempDir {
    copy_of_dir(&story(name))
}

/// A copy of an evidence directory, for a test to change.
pub(crate) fn copy_of_dir(dir: &Path) -> tempfile::TempDir {
    let scratch = scratch();
    copy(dir, scratch.path());
    scratch
}

/// A copy of the story `private-only`, with endpoint slices that name its EKS-owned ENIs.
pub(crate) fn private_only_with_slices() -> tempfile::TempDir {
    let copied = copy_of("private-only");
    let slices = fixtures().join("rules/endpoint-witnesses-disagree/quiet/kubernetes");
    copy(&slices, &copied.path().join("kubernetes"));
    copied
}

/// Changes a JSON file.
pub(crate) fn edit_json(dir: &Path, file: &str, change: impl FnOnce(&mut serde_json::Value)) {
    let path = dir.join(file);
    let mut json = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut json);
    std::fs::write(&path, json.to_string()).unwrap();
}

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Text in which what a shell joins is joined: the lines of a command that is continued.
pub(crate) fn joined(text: &str) -> String {
    let mut joined = String::new();
    let mut is_continued = false;
    for line in text.lines() {
        let begun = line.strip_suffix(" \\");
        if is_continued {
            joined.push(' ');
        }
        joined.push_str(if is_continued {
            begun.unwrap_or(line).trim_start()
        } else {
            begun.unwrap_or(line)
        });
        is_continued = begun.is_some();
        if !is_continued {
            joined.push('\n');
        }
    }
    joined
}

/// Copies the probe of a fixture into recorded evidence, as one of its own endpoint.
pub(crate) fn copy_probe(fixture: &Path, evidence: &Path) {
    let read = |path: PathBuf| std::fs::read_to_string(path).unwrap();
    let cluster: serde_json::Value = serde_json::from_str(&read(evidence.join("cluster.json"))).unwrap();
    let endpoint = cluster["cluster"]["endpoint"].as_str().unwrap().trim_start_matches("https://");
    let mut probe: serde_json::Value = serde_json::from_str(&read(fixture.join("probe/here.json"))).unwrap();
    probe["host"] = endpoint.into();
    std::fs::create_dir_all(evidence.join("probe")).unwrap();
    std::fs::write(evidence.join("probe/here.json"), probe.to_string()).unwrap();
}
