//! A node of the lab: its stub processes, its sshd and its entry in `known_hosts`.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::account::{private_dns_name, resource_id};
use super::namespaces::Namespaces;
use super::read_pid;
use super::stub::Stubs;
use crate::aws::Runner;

/// The unit of the CPU times in `/proc/PID/stat`: `sysconf(_SC_CLK_TCK)` is 100 on Linux.
const MILLISECONDS_PER_TICK: u64 = 10;

/// A node of the lab. Changes to a node do not affect the others.
#[derive(Debug)]
pub struct Node {
    name: String,
    address: Ipv4Addr,
    namespaces: Namespaces,
    stubs: Stubs,
    control_plane: Stubs,
    known_hosts: PathBuf,
    /// The file with the `known_hosts` line for its current key.
    host_key_line: PathBuf,
}

impl Node {
    pub(super) fn new(sandbox: &Path, index: usize, known_hosts: &Path) -> Result<Self> {
        let name = format!("n{}", index + 1);
        let directory = sandbox.join("run/lab/nodes").join(&name);
        let pid = read_pid(&directory.join("pid"))?;
        Ok(Self {
            address: Ipv4Addr::new(192, 168, 10, u8::try_from(10 + index)?),
            namespaces: Namespaces::new(sandbox.join(format!("proc/{pid}")), true),
            control_plane: Stubs::new(sandbox.join("run/lab/control")),
            known_hosts: known_hosts.to_owned(),
            host_key_line: directory.join("known_hosts"),
            stubs: Stubs::new(directory),
            name,
        })
    }

    /// The host name, which the lab's resolvers also resolve.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The private address, the source of its connections.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The public address, on which its sshd listens too.
    #[must_use]
    pub fn public_address(&self) -> Ipv4Addr {
        // 203.0.113.20 belongs to 192.168.10.10, and so on.
        Ipv4Addr::new(203, 0, 113, self.address.octets()[3] + 10)
    }

    /// The private DNS name, in EC2's form.
    #[must_use]
    pub fn dns_name(&self) -> String {
        private_dns_name(self.address)
    }

    /// The id of its instance in the account of [`Lab::account`](super::Lab::account).
    #[must_use]
    pub fn instance_id(&self) -> String {
        resource_id("i", self.address)
    }

    /// The path of its file system from the outside. `/etc`, `/home` and `/tmp` belong
    /// to the node, `/run` to the lab; the rest is the machine's, mounted read-only.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.namespaces.root()
    }

    /// Connects the process named `process` to `peer` and keeps the connection open.
    /// There is one process per name: `kubelet` runs from the start, others are
    /// started on first use.
    ///
    /// # Errors
    ///
    /// If the connection fails or is not established within five seconds.
    pub fn dial(&self, process: &str, peer: impl Into<SocketAddr>) -> Result<()> {
        self.stubs.dial(process, peer.into(), None).map(drop)
    }

    /// Starts a connection without waiting for it to be established: the socket stays
    /// in SYN-SENT if the peer does not respond.
    ///
    /// # Errors
    ///
    /// If the process cannot start the connection.
    pub fn dial_nonblocking(&self, process: &str, peer: impl Into<SocketAddr>) -> Result<()> {
        self.stubs.dial_nonblocking(process, peer.into())
    }

    /// Resets all connections of the node's stub processes, inbound ones included,
    /// so that none remains in TIME-WAIT.
    ///
    /// # Errors
    ///
    /// If a stub process does not respond.
    pub fn reset_connections(&self) -> Result<()> {
        self.stubs.reset_all()
    }

    /// Restarts the process named `process`: its connections end, and it has another id.
    ///
    /// # Errors
    ///
    /// If it was not started.
    pub fn restart(&self, process: &str) -> Result<()> {
        self.stubs.restart(process)
    }

    /// Connects the API server from an ENI's address to the kubelet, as for
    /// `kubectl exec`, until the returned value is dropped.
    ///
    /// # Errors
    ///
    /// If the kubelet does not respond.
    pub fn exec_from(&self, eni: Ipv4Addr) -> Result<ExecConnection> {
        self.kubelet().exec_from(eni)
    }

    /// A handle with which a server can connect the control plane to the kubelet.
    #[must_use]
    pub fn kubelet(&self) -> Kubelet {
        Kubelet {
            name: self.name.clone(),
            address: self.address,
            namespaces: self.namespaces.clone(),
            node: self.stubs.clone(),
            control_plane: self.control_plane.clone(),
        }
    }

    /// Runs a shell command as root on the node.
    ///
    /// # Errors
    ///
    /// If the command cannot be started.
    pub fn run(&self, shell_command: &str) -> Result<Output> {
        self.namespaces.run(shell_command)
    }

    /// Runs shell scripts on the node as root, as the agent of Systems Manager does: from a file,
    /// by `sh`.
    #[must_use]
    pub fn runner(&self) -> Runner {
        let namespaces = self.namespaces.clone();
        Arc::new(move |script| {
            namespaces.run_script("sh", script).map_err(|error| std::io::Error::other(error.to_string()))
        })
    }

    /// Writes the kubeconfig of the node's kubelet, which names an API server.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn set_kubeconfig(&self, server: &str) -> Result<()> {
        let path = self.root().join("etc/kubernetes/kubelet.conf");
        fs::create_dir_all(path.parent().unwrap_or(&path))?;
        let text = format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- cluster:\n    certificate-authority: \
             /etc/kubernetes/pki/ca.crt\n    server: {server}\n  name: kubernetes\n"
        );
        fs::write(&path, text).with_context(|| path.display().to_string())
    }

    /// The CPU time used so far by the processes of logins, sshd's own too, and by their
    /// children that have ended.
    ///
    /// # Errors
    ///
    /// If the command cannot be started.
    pub fn login_cpu_time(&self) -> Result<Duration> {
        // The stand-ins of the node's own processes are perl.
        let script = "for exe in /proc/[0-9]*/exe; do case $(readlink $exe) in *perl*) ;; *) cat ${exe%exe}stat;; esac; done";
        let output = self.run(script)?;
        let stat = String::from_utf8_lossy(&output.stdout);
        // Fields 12 to 15 after the name are utime, stime, cutime and cstime.
        // https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
        let fields = stat.lines().filter_map(|line| line.rsplit_once(')'));
        let ticks = fields.flat_map(|(_, fields)| fields.split_whitespace().skip(11).take(4));
        let ticks: u64 = ticks.filter_map(|field| field.parse::<u64>().ok()).sum();
        Ok(Duration::from_millis(ticks * MILLISECONDS_PER_TICK))
    }

    /// Sets an option in the global section of `sshd_config` and restarts sshd. For
    /// example, `MaxStartups 10:30:100` restores the default that the lab raises.
    ///
    /// # Errors
    ///
    /// If sshd rejects the option or does not restart.
    pub fn set_sshd_option(&self, option: &str) -> Result<()> {
        let path = self.root().join("etc/ssh/sshd_config");
        let config = fs::read_to_string(&path)?;
        let keyword = |line: &str| line.split_whitespace().next().map(str::to_ascii_lowercase);
        // sshd uses the first value of most keywords, but the last of MaxStartups:
        // remove the old one.
        let set = keyword(option);
        let others = config.lines().filter(|line| line.starts_with(' ') || keyword(line) != set);
        let lines: Vec<_> = std::iter::once(option).chain(others).collect();
        fs::write(&path, lines.join("\n") + "\n")?;
        self.restart_sshd()
    }

    /// Replaces the node's host key, and keeps the old one in the operator's
    /// `known_hosts`.
    ///
    /// # Errors
    ///
    /// If sshd does not restart.
    pub fn change_host_key(&self) -> Result<()> {
        self.run_checked(
            "cd /etc/ssh && rm host_key host_key.pub && ssh-keygen -q -t ed25519 -N '' -C '' -f host_key",
        )?;
        let known = fs::read_to_string(&self.host_key_line)?;
        let names = known.split_whitespace().next().context("the known_hosts line is empty")?;
        let key = fs::read_to_string(self.root().join("etc/ssh/host_key.pub"))?;
        fs::write(&self.host_key_line, format!("{names} {}\n", key.trim()))?;
        self.restart_sshd()
    }

    /// Removes the node from the operator's `known_hosts`.
    ///
    /// # Errors
    ///
    /// If the sandbox has ended.
    pub fn forget_host_key(&self) -> Result<()> {
        let known = fs::read_to_string(&self.known_hosts)?;
        let others = known.lines().filter(|line| !line.starts_with(&format!("{},", self.name)));
        let others: String = others.flat_map(|line| [line, "\n"]).collect();
        fs::write(&self.known_hosts, others).with_context(|| self.known_hosts.display().to_string())
    }

    /// Adds the node's current host key to the operator's `known_hosts`.
    ///
    /// # Errors
    ///
    /// If the sandbox has ended.
    pub fn trust_host_key(&self) -> Result<()> {
        self.forget_host_key()?;
        let known = fs::read_to_string(&self.known_hosts)? + &fs::read_to_string(&self.host_key_line)?;
        fs::write(&self.known_hosts, known).with_context(|| self.known_hosts.display().to_string())
    }

    /// Restarts sshd and waits until it listens, which is when it writes its PID file.
    fn restart_sshd(&self) -> Result<()> {
        self.run_checked(&format!(
            "sshd -t -f /etc/ssh/sshd_config && cd /run/lab/nodes/{} && read -r pid <sshd.pid && rm sshd.pid && \
             kill -HUP $pid && for i in {{1..500}}; do [ -s sshd.pid ] && exit; sleep 0.01; done; exit 1",
            self.name
        ))
    }

    fn run_checked(&self, shell_command: &str) -> Result<()> {
        let output = self.run(shell_command)?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "on {}: {shell_command}: {}", self.name, stderr.trim());
        Ok(())
    }
}

const API_SERVER: &str = "kube-apiserver";

/// A node's kubelet, for connections from the control plane.
#[derive(Clone, Debug)]
pub struct Kubelet {
    name: String,
    address: Ipv4Addr,
    namespaces: Namespaces,
    node: Stubs,
    control_plane: Stubs,
}

impl Kubelet {
    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The node's address.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The address of a pod on the node, by a number.
    pub(crate) fn pod_address(&self, number: u64) -> String {
        format!("100.64.{}.{}", self.address.octets()[3], number % 250 + 2)
    }

    /// A command that runs a script of bash on the node, as root.
    pub(crate) fn command(&self, script: &str) -> Command {
        self.namespaces.bash(script)
    }

    /// Like [`Node::exec_from`].
    ///
    /// # Errors
    ///
    /// If the kubelet does not respond.
    pub fn exec_from(&self, eni: Ipv4Addr) -> Result<ExecConnection> {
        let kubelet = (self.address, 10250).into();
        let port = self.control_plane.dial(API_SERVER, kubelet, Some(IpAddr::V4(eni)))?;
        let peer = SocketAddr::from((eni, port));
        Ok(ExecConnection { control_plane: self.control_plane.clone(), peer, stream: None })
    }

    /// Like [`Self::exec_from`], and opens the kubelet's loopback connection to
    /// containerd for the stream.
    ///
    /// # Errors
    ///
    /// If the kubelet or containerd does not respond.
    pub fn exec_with_stream_from(&self, eni: Ipv4Addr) -> Result<ExecConnection> {
        let mut exec = self.exec_from(eni)?;
        let port = self.node.dial(KUBELET, CONTAINERD.into(), None)?;
        exec.stream = Some((self.node.clone(), port));
        Ok(exec)
    }
}

const KUBELET: &str = "kubelet";
/// The address of containerd's streaming server.
const CONTAINERD: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 38671);

/// A connection from the control plane to a kubelet, reset on drop.
#[derive(Debug)]
pub struct ExecConnection {
    control_plane: Stubs,
    peer: SocketAddr,
    /// The local port of the kubelet's connection to containerd.
    stream: Option<(Stubs, u16)>,
}

impl ExecConnection {
    /// The address of the control plane's end, which is the peer in the node's socket table.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }
}

impl Drop for ExecConnection {
    fn drop(&mut self) {
        if let Some((node, port)) = &self.stream {
            _ = node.reset(KUBELET, *port);
        }
        _ = self.control_plane.reset(API_SERVER, self.peer.port());
    }
}
