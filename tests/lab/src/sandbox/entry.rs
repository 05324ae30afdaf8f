//! The way into a host of the lab: its first process's namespaces.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result};

/// A host's namespaces, by the directory of one of its processes under `/proc`.
#[derive(Debug)]
pub(super) struct Entry {
    process: PathBuf,
    own_pids: bool,
}

impl Entry {
    pub(super) fn new(process: PathBuf, own_pids: bool) -> Self {
        Self { process, own_pids }
    }

    pub(super) fn namespace(&self, kind: &str) -> PathBuf {
        self.process.join("ns").join(kind)
    }

    pub(super) fn root(&self) -> PathBuf {
        self.process.join("root")
    }

    /// A shell's command, with the directory of the namespaces as `$0` and
    /// arguments to follow.
    pub(super) fn command(&self, script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).arg(self.process.join("ns"));
        command
    }

    /// Runs a shell command as root in there.
    pub(super) fn run(&self, shell_command: &str) -> Result<Output> {
        let pids = if self.own_pids { r#"--pid="$0/pid""# } else { "" };
        self.command(&format!(
            r#"exec nsenter --net="$0/net" --mount="$0/mnt" --uts="$0/uts" {pids} --wdns=/ -- bash -c "$1""#
        ))
        .arg(shell_command)
        .env_clear()
        .env("PATH", super::OPERATOR_PATH)
        .env("HOME", "/")
        .env("LANG", "C.UTF-8")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("running in the lab: {shell_command}"))
    }
}
