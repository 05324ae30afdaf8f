//! A node: what its processes are connected to, and how its sshd behaves.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context, Result, ensure};

use super::account::private_name;
use super::entry::Entry;
use super::read_pid;
use super::stand_in::StandIns;

/// A node of the lab. What is done to one stays on that one.
#[derive(Debug)]
pub struct Node {
    name: String,
    address: Ipv4Addr,
    entry: Entry,
    stand_ins: StandIns,
    control_plane: StandIns,
    known_hosts: PathBuf,
    /// The line of `known_hosts` that is true of it.
    host_key: PathBuf,
}

impl Node {
    pub(super) fn new(sandbox: &Path, index: usize, known_hosts: &Path) -> Result<Self> {
        let name = format!("n{}", index + 1);
        let directory = sandbox.join("run/lab/nodes").join(&name);
        let pid = read_pid(&directory.join("pid"))?;
        Ok(Self {
            address: Ipv4Addr::new(192, 168, 10, u8::try_from(10 + index)?),
            entry: Entry::new(sandbox.join(format!("proc/{pid}")), true),
            control_plane: StandIns::new(sandbox.join("run/lab/control")),
            known_hosts: known_hosts.to_owned(),
            host_key: directory.join("known_hosts"),
            stand_ins: StandIns::new(directory),
            name,
        })
    }

    /// Its host name, which the lab's resolvers know too.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its private address, from which it dials.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Its public address, where its sshd answers as well.
    #[must_use]
    pub fn public_address(&self) -> Ipv4Addr {
        // As many from 203.0.113.20 on as private ones from 192.168.10.10 on.
        Ipv4Addr::new(203, 0, 113, self.address.octets()[3] + 10)
    }

    /// Its private DNS name, as EC2 gives it.
    #[must_use]
    pub fn dns_name(&self) -> String {
        private_name(self.address)
    }

    /// Its file system, seen from here. `/etc`, `/home` and `/tmp` are its own, `/run`
    /// is the lab's, and the rest is the machine's, which it cannot write to.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.entry.root()
    }

    /// Has a process of that name connect to `peer` and hold the connection. Each
    /// name is one process: `kubelet` is there from the start, others begin with
    /// their first connection.
    ///
    /// # Errors
    ///
    /// If the peer does not answer within five seconds.
    pub fn dial(&self, process: &str, peer: impl Into<SocketAddr>) -> Result<()> {
        self.stand_ins.dial(process, peer.into(), None).map(drop)
    }

    /// Has a process try to connect, without waiting for the outcome: SYN-SENT, if
    /// nothing answers.
    ///
    /// # Errors
    ///
    /// If the process does not take the order.
    pub fn attempt(&self, process: &str, peer: impl Into<SocketAddr>) -> Result<()> {
        self.stand_ins.attempt(process, peer.into())
    }

    /// Ends all connections of the node's stand-ins, inbound ones too, at once and
    /// with no TIME-WAIT left to see.
    ///
    /// # Errors
    ///
    /// If a stand-in does not answer.
    pub fn reset(&self) -> Result<()> {
        self.stand_ins.close_all()
    }

    /// Has an API server connect from an ENI's address to kubelet, as for
    /// `kubectl exec`, and hold the connection as long as the returned value lives.
    ///
    /// # Errors
    ///
    /// If kubelet does not answer.
    pub fn exec_from(&self, eni: Ipv4Addr) -> Result<Exec> {
        self.kubelet().exec_from(eni)
    }

    /// What a server needs to have its API server connect to the kubelet.
    #[must_use]
    pub fn kubelet(&self) -> Kubelet {
        Kubelet {
            address: self.address,
            node: self.stand_ins.clone(),
            control_plane: self.control_plane.clone(),
        }
    }

    /// Runs a shell command as root on the node.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub fn run(&self, shell_command: &str) -> Result<Output> {
        self.entry.run(shell_command)
    }

    /// Sets a directive of sshd's configuration, outside of its `Match` blocks, and
    /// has sshd read it: `MaxStartups 10:30:100` gives back the default that the lab
    /// lifts.
    ///
    /// # Errors
    ///
    /// If sshd does not take it, or does not come back.
    pub fn set_sshd(&self, directive: &str) -> Result<()> {
        let path = self.root().join("etc/ssh/sshd_config");
        let config = fs::read_to_string(&path)?;
        let keyword = |line: &str| line.split_whitespace().next().map(str::to_ascii_lowercase);
        // Of most directives the first counts, of MaxStartups the last.
        let set = keyword(directive);
        let others = config.lines().filter(|line| line.starts_with(' ') || keyword(line) != set);
        let lines: Vec<_> = std::iter::once(directive).chain(others).collect();
        fs::write(&path, lines.join("\n") + "\n")?;
        self.restart_sshd()
    }

    /// Gives the node another host key, while the operator still knows the old one.
    ///
    /// # Errors
    ///
    /// If sshd does not come back.
    pub fn change_host_key(&self) -> Result<()> {
        self.run_ok(
            "cd /etc/ssh && rm host_key host_key.pub && ssh-keygen -q -t ed25519 -N '' -C '' -f host_key",
        )?;
        let known = fs::read_to_string(&self.host_key)?;
        let names = known.split_whitespace().next().context("a node without names")?;
        let key = fs::read_to_string(self.root().join("etc/ssh/host_key.pub"))?;
        fs::write(&self.host_key, format!("{names} {}\n", key.trim()))?;
        self.restart_sshd()
    }

    /// Removes the node's key from what the operator knows.
    ///
    /// # Errors
    ///
    /// If the lab is no longer there.
    pub fn forget_host_key(&self) -> Result<()> {
        let known = fs::read_to_string(&self.known_hosts)?;
        let others = known.lines().filter(|line| !line.starts_with(&format!("{},", self.name)));
        let others: String = others.flat_map(|line| [line, "\n"]).collect();
        fs::write(&self.known_hosts, others).with_context(|| self.known_hosts.display().to_string())
    }

    /// Has the operator know the node's present key.
    ///
    /// # Errors
    ///
    /// If the lab is no longer there.
    pub fn trust_host_key(&self) -> Result<()> {
        self.forget_host_key()?;
        let known = fs::read_to_string(&self.known_hosts)? + &fs::read_to_string(&self.host_key)?;
        fs::write(&self.known_hosts, known).with_context(|| self.known_hosts.display().to_string())
    }

    /// Returns once sshd listens again: it writes its process number then.
    fn restart_sshd(&self) -> Result<()> {
        self.run_ok(&format!(
            "sshd -t -f /etc/ssh/sshd_config && cd /run/lab/nodes/{} && read -r pid <sshd.pid && rm sshd.pid && \
             kill -HUP $pid && for i in {{1..500}}; do [ -s sshd.pid ] && exit; sleep 0.01; done; exit 1",
            self.name
        ))
    }

    fn run_ok(&self, shell_command: &str) -> Result<()> {
        let output = self.run(shell_command)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "on {}: {shell_command}: {}", self.name, said.trim());
        Ok(())
    }
}

const API_SERVER: &str = "kube-apiserver";

/// A node's kubelet, as the control plane reaches it.
#[derive(Clone, Debug)]
pub struct Kubelet {
    address: Ipv4Addr,
    node: StandIns,
    control_plane: StandIns,
}

impl Kubelet {
    /// As [`Node::exec_from`].
    ///
    /// # Errors
    ///
    /// If kubelet does not answer.
    pub fn exec_from(&self, eni: Ipv4Addr) -> Result<Exec> {
        let kubelet = (self.address, 10250).into();
        let port = self.control_plane.dial(API_SERVER, kubelet, Some(IpAddr::V4(eni)))?;
        let peer = SocketAddr::from((eni, port));
        Ok(Exec { control_plane: self.control_plane.clone(), peer, stream: None })
    }

    /// The same, with the stream that kubelet hands on to containerd over loopback.
    ///
    /// # Errors
    ///
    /// If kubelet or containerd does not answer.
    pub fn stream_from(&self, eni: Ipv4Addr) -> Result<Exec> {
        let mut exec = self.exec_from(eni)?;
        let port = self.node.dial(KUBELET, CONTAINERD.into(), None)?;
        exec.stream = Some((self.node.clone(), port));
        Ok(exec)
    }
}

const KUBELET: &str = "kubelet";
/// Where containerd serves streams.
const CONTAINERD: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 38671);

/// A connection from the control plane to a kubelet, ended when this is dropped.
#[derive(Debug)]
pub struct Exec {
    control_plane: StandIns,
    peer: SocketAddr,
    /// The kubelet's port to containerd.
    stream: Option<(StandIns, u16)>,
}

impl Exec {
    /// The control plane's end: what the node sees as the peer.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }
}

impl Drop for Exec {
    fn drop(&mut self) {
        if let Some((node, port)) = &self.stream {
            _ = node.close(KUBELET, *port);
        }
        _ = self.control_plane.close(API_SERVER, self.peer.port());
    }
}
