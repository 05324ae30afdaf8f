//! Running commands in the namespaces of a host of the lab.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result};

/// A host's namespaces, given by the `/proc` directory of one of its processes.
#[derive(Clone, Debug)]
pub(super) struct Namespaces {
    process: PathBuf,
    /// Whether the host has its own PID namespace.
    has_pid_namespace: bool,
}

impl Namespaces {
    pub(super) fn new(process: PathBuf, has_pid_namespace: bool) -> Self {
        Self { process, has_pid_namespace }
    }

    /// The path of a namespace, such as `net`.
    pub(super) fn namespace(&self, kind: &str) -> PathBuf {
        self.process.join("ns").join(kind)
    }

    /// The path of the host's file system from the outside.
    pub(super) fn root(&self) -> PathBuf {
        self.process.join("root")
    }

    /// A command that runs a shell script with the directory of the namespaces as
    /// `$0`. The caller can append arguments.
    pub(super) fn command(&self, script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).arg(self.process.join("ns"));
        command
    }

    /// A command that runs a script of a shell in the namespaces, as root. Its output is the
    /// caller's to redirect, and its arguments to append.
    fn shell(&self, shell: &str, script: &str) -> Command {
        let pids = if self.has_pid_namespace { r#"--pid="$0/pid""# } else { "" };
        let mut command = self.command(&format!(
            r#"exec nsenter --net="$0/net" --mount="$0/mnt" --uts="$0/uts" {pids} --wdns=/ -- {shell} -c "$@""#
        ));
        command.args([script, shell]);
        command.env_clear().env("PATH", super::OPERATOR_PATH).env("HOME", "/").env("LANG", "C.UTF-8");
        command
    }

    /// The same with bash.
    pub(super) fn bash(&self, script: &str) -> Command {
        self.shell("bash", script)
    }

    /// Runs a shell command in the namespaces, as root.
    pub(super) fn run(&self, shell_command: &str) -> Result<Output> {
        self.run_script("bash", shell_command)
    }

    /// Runs a script of a shell in the namespaces, as root.
    pub(super) fn run_script(&self, shell: &str, script: &str) -> Result<Output> {
        let run = self.shell(shell, script).stdin(Stdio::null()).output();
        run.with_context(|| format!("running in the lab: {script}"))
    }
}
