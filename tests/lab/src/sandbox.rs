//! An emulated EKS cluster in network namespaces of one machine.
//!
//! `unshare` starts the sandbox in its own network, mount, PID, UTS and IPC
//! namespaces, without a route to the outside; all its files are on a tmpfs in
//! it. The sandbox's init process (PID 1) reads a pipe from this process and
//! exits at end of file, so that however this process ends, the sandbox ends
//! with it and leaves nothing on the machine.
//!
//! The sandbox's network namespace is the router between these hosts:
//!
//! - the nodes, each with a real sshd, real sudo and real `ss`, and with stub
//!   processes for kubelet and others, which have the real names and real TCP
//!   connections;
//! - the control plane: an API server that speaks TLS with a certificate of the
//!   cluster's CA and answers anonymous requests. It listens at the addresses of
//!   the public endpoint ([`PUBLIC`]), at those of the EKS-owned ENIs ([`ENIS`])
//!   and at the `ClusterIP` ([`CLUSTER_IP`]). A stub process connects to kubelets;
//! - the operator ([`OPERATOR`]), where tests run programs;
//! - two resolvers, the VPC's and the operator's, whose answers can differ;
//! - faulty hosts, each of which breaks ssh in one way ([`REFUSING_HOST`] and the
//!   constants after it).
//!
//! Every node has a user for each way in which a login or reading the socket
//! table can fail. All accept the operator's key unless noted:
//!
//! | user | failure |
//! | --- | --- |
//! | `ec2-user` | none; sudo asks for no password |
//! | `root` | none; needs no sudo |
//! | `onlyss` | sudo allows `ss -tnp` and nothing else |
//! | `nosudo` | not in sudoers |
//! | `askpass` | sudo requires a password |
//! | `requiretty` | sudo requires a terminal |
//! | `nosudobin` | no `sudo` on `PATH` |
//! | `noss` | no `ss` on `PATH`, nor on sudo's `secure_path` |
//! | `noawk` | no `awk`, `curl` or `timeout` on `PATH` |
//! | `nocurl` | no `curl` on `PATH` |
//! | `liar` | `curl` is the script `/tmp/curl` |
//! | `nologin` | the shell is `/usr/sbin/nologin` |
//! | `otherkey` | accepts another key only |
//! | `noisy` | banner, greeting, warnings and prompts in the output |
//! | `flood` | `ss` prints without end |
//! | `blank` | `ss` prints nothing |
//! | `hang` | `ss` prints two rows, then hangs |
//! | `cut` | `ss` prints two rows, then the connection is lost |

mod access;
mod account;
mod namespaces;
mod node;
mod stub;

use std::ffi::OsStr;
use std::fmt::{self, Write as _};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context, Result, bail, ensure};

pub use self::access::{EndpointAccess, Enforced};
use self::namespaces::Namespaces;
pub use self::node::{ExecConnection, Kubelet, Node};
use crate::aws::{Account, Api};
use crate::tls::{Answers, Shows, TlsServer};

/// The region in host names and AWS data.
pub const REGION: &str = "ap-northeast-2";
/// The cluster's name.
pub const CLUSTER: &str = "myeks";
/// The host name of the cluster endpoint, as in `DescribeCluster`.
pub const ENDPOINT_HOST: &str = "0123456789ABCDEF0123456789ABCDEF.gr7.ap-northeast-2.eks.amazonaws.com";
/// The addresses of the public endpoint; the control plane listens on port 443.
pub const PUBLIC: [Ipv4Addr; 2] = [Ipv4Addr::new(203, 0, 113, 10), Ipv4Addr::new(203, 0, 113, 11)];
/// The addresses of the EKS-owned ENIs; the control plane listens on port 443.
pub const ENIS: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 168, 1, 55), Ipv4Addr::new(192, 168, 2, 66)];
/// The `ClusterIP` of the `kubernetes` Service; the control plane listens on port
/// 443. Packets are routed there rather than translated (DNAT), which makes no
/// difference in a node's socket table.
pub const CLUSTER_IP: Ipv4Addr = Ipv4Addr::new(10, 100, 0, 1);
/// The operator's address.
pub const OPERATOR: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
/// The VPC's resolver, which the nodes use.
pub const VPC_RESOLVER: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 2);
/// The operator's resolver.
pub const OPERATOR_RESOLVER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 53);

/// A host that does not listen on port 22: "Connection refused".
pub const REFUSING_HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 66, 1);
/// A host to which all packets are dropped: "Connection timed out".
pub const DROPPING_HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 66, 2);
/// A host that the router reports as unreachable: "No route to host".
pub const UNREACHABLE_HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 66, 3);
/// A host that accepts connections on port 22 and never sends an SSH banner.
pub const NO_BANNER_HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 66, 4);
/// A proxy to the sshd of `n1` that closes the connection after 16 KiB from it.
pub const TRUNCATING_HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 66, 5);
/// A proxy to the sshd of `n1` that stops forwarding after 16 KiB from it.
pub const STALLING_HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 66, 6);
/// A host that accepts connections on port 22 and closes them at once.
pub const CLOSING_HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 66, 7);

/// The operator's `PATH`.
pub const OPERATOR_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The operator's home directory, in the operator's mount namespace. It has
/// `.ssh/id_ed25519`, and `.ssh/known_hosts` with every node's host key.
pub const OPERATOR_HOME: &str = "/run/operator";

/// The answers of the API server to anonymous requests, as those of a cluster that has the
/// default roles: `/version` and the health paths are open.
pub const ANONYMOUS: Answers = Answers::Api(200, 200, 403);

/// The configuration of a lab.
#[derive(Clone, Copy, Debug)]
pub struct LabConfig {
    /// The number of nodes, named `n1`, `n2` and so on, with addresses from
    /// 192.168.10.10 on.
    pub nodes: usize,
}

impl Default for LabConfig {
    fn default() -> Self {
        Self { nodes: 2 }
    }
}

/// The reason why this machine or user cannot run a lab.
#[derive(Debug)]
pub struct Unsupported(String);

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unsupported {}

/// A view of the DNS, as in split-horizon DNS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// The answers that the nodes get.
    Vpc,
    /// The answers that the operator gets.
    Operator,
}

/// A running sandbox. It ends when this value is dropped, or when this process
/// ends for any reason.
#[derive(Debug)]
pub struct Lab {
    /// The `unshare` process, whose child is the sandbox's init.
    unshare: Child,
    /// The path of the sandbox's file system from the outside.
    root: PathBuf,
    sandbox: Namespaces,
    operator: Namespaces,
    nodes: Vec<Node>,
    /// The API server.
    api_server: TlsServer,
}

/// The files that the sandbox is built from, by their names in it.
const FILES: [(&str, &str); 8] = [
    ("faulty.pl", include_str!("sandbox/faulty.pl")),
    ("node.sh", include_str!("sandbox/node.sh")),
    ("sshd_config", include_str!("sandbox/sshd_config")),
    ("stub.pl", include_str!("sandbox/stub.pl")),
    ("sudoers", include_str!("sandbox/sudoers")),
    ("unbound.conf", include_str!("sandbox/unbound.conf")),
    ("up.sh", include_str!("sandbox/up.sh")),
    ("users.sh", include_str!("sandbox/users.sh")),
];

impl Lab {
    /// Starts a lab without connections, in which the endpoint's name resolves to
    /// [`PUBLIC`] in both views.
    ///
    /// # Errors
    ///
    /// [`Unsupported`] if this machine or user cannot run a lab.
    pub fn start(config: LabConfig) -> Result<Self> {
        check_support()?;
        ensure!(config.nodes <= 200, "a lab can have at most 200 nodes, not {}", config.nodes);
        let mut unshare = Command::new("unshare")
            .args(["--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child=SIGKILL"])
            .args(["bash", "-s", "--", &config.nodes.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Keeps a Ctrl-C in the terminal from ending the sandbox.
            .process_group(0)
            .spawn()
            .context("starting unshare")?;
        let pid = build(&mut unshare).inspect_err(|_| {
            _ = unshare.kill();
            _ = unshare.wait();
        })?;

        let root = PathBuf::from(format!("/proc/{pid}/root"));
        let operator = read_pid(&root.join("run/lab/operator/pid"))?;
        let known_hosts = root.join("run/operator/.ssh/known_hosts");
        let nodes = (0..config.nodes)
            .map(|index| Node::new(&root, index, &known_hosts))
            .collect::<Result<Vec<_>>>()?;
        let listener = (Ipv4Addr::UNSPECIFIED, 443).into();
        let api_server =
            TlsServer::serve_in(&root.join("run/netns/control"), listener, Shows::Endpoint, ANONYMOUS)?;
        let lab = Self {
            sandbox: Namespaces::new(format!("/proc/{pid}").into(), true),
            operator: Namespaces::new(root.join(format!("proc/{operator}")), false),
            unshare,
            root,
            nodes,
            api_server,
        };
        lab.set_dns(View::Vpc, &PUBLIC.map(IpAddr::V4))?;
        lab.set_dns(View::Operator, &PUBLIC.map(IpAddr::V4))?;
        Ok(lab)
    }

    /// The nodes, `n1` first.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node with an index from 0: `n1` is `node(0)`.
    ///
    /// # Panics
    ///
    /// If the lab has fewer nodes.
    #[must_use]
    pub fn node(&self, index: usize) -> &Node {
        &self.nodes[index]
    }

    /// A command that runs `program` as the operator: with the operator's network,
    /// home directory and resolver, and with only `PATH`, `HOME`, `USER`, `LANG` and
    /// `TERM` in its environment. The program itself becomes the child process, so
    /// that the child's PID is the program's.
    ///
    /// The program sees the machine's files except for `/etc` and `/run`, so its
    /// working directory cannot be in these two. It is killed when the thread that
    /// spawned it ends.
    #[must_use]
    pub fn operator_command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.operator.command(
            // The shell passes on its working directory, which nsenter would lose otherwise.
            r#"exec nsenter --net="$0/net" --mount="$0/mnt" --uts="$0/uts" --wdns="$PWD" -- setpriv --pdeathsig KILL -- "$@""#,
        );
        command
            .arg(program)
            .env_clear()
            .env("PATH", OPERATOR_PATH)
            .env("HOME", OPERATOR_HOME)
            .env("USER", "operator")
            .env("LANG", "C.UTF-8")
            .env("TERM", std::env::var_os("TERM").unwrap_or_else(|| "dumb".into()));
        command
    }

    /// The operator's network namespace, for a server in this process to listen in,
    /// at [`OPERATOR`] or at 127.0.0.1.
    #[must_use]
    pub fn operator_netns(&self) -> PathBuf {
        self.operator.namespace("net")
    }

    /// The path of the operator's file system from the outside:
    /// `operator_root().join("run/operator/.ssh/known_hosts")` is that file.
    #[must_use]
    pub fn operator_root(&self) -> PathBuf {
        self.operator.root()
    }

    /// Sets the addresses that the cluster endpoint's name resolves to in one view.
    /// Without addresses, the name does not exist there.
    ///
    /// # Errors
    ///
    /// If the resolver rejects the change.
    pub fn set_dns(&self, view: View, addresses: &[IpAddr]) -> Result<()> {
        let view = match view {
            View::Vpc => "vpc",
            View::Operator => "operator",
        };
        self.unbound_control(&format!("view_local_zone {view} {ENDPOINT_HOST}. static"))?;
        self.unbound_control(&format!("view_local_data_remove {view} {ENDPOINT_HOST}."))?;
        for address in addresses {
            let kind = if address.is_ipv4() { "A" } else { "AAAA" };
            self.unbound_control(&format!("view_local_data {view} {ENDPOINT_HOST}. 60 IN {kind} {address}"))?;
        }
        Ok(())
    }

    /// Sends a command to the resolvers, in the protocol of `unbound-control`.
    fn unbound_control(&self, command: &str) -> Result<()> {
        let mut stream =
            UnixStream::connect(self.root.join("run/lab/unbound.sock")).context("the resolver's socket")?;
        writeln!(stream, "UBCT1 {command}")?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        ensure!(reply == "ok\n", "unbound-control {command}: {reply}");
        Ok(())
    }

    /// The API server.
    #[must_use]
    pub fn api_server(&self) -> &TlsServer {
        &self.api_server
    }

    /// Adds an address to the control plane, such as that of a replaced ENI or
    /// endpoint. It listens on port 443, and [`Node::exec_from`] can use it as source.
    ///
    /// # Errors
    ///
    /// If the control plane already has the address.
    pub fn add_address(&self, address: Ipv4Addr) -> Result<()> {
        let hardware = "lladdr 02:00:00:02:ff:01 nud permanent";
        self.run_checked(&format!(
            "ip -netns control addr add {address}/32 dev eth0 && ip route add {address} dev control && \
             ip neigh add {address} dev control {hardware}"
        ))
    }

    /// Adds an address to the host of [`REFUSING_HOST`], and returns the host's network namespace,
    /// for a server in this process to listen in. An address that the host has is no error.
    ///
    /// # Errors
    ///
    /// If the sandbox has ended.
    pub fn add_other_address(&self, address: Ipv4Addr) -> Result<PathBuf> {
        let hardware = "lladdr 02:00:00:02:ff:03 nud permanent";
        self.run_checked(&format!(
            "ip -netns faulty addr replace {address}/32 dev eth0 && ip route replace {address} dev faulty && \
             ip neigh replace {address} dev faulty {hardware}"
        ))?;
        Ok(self.root.join("run/netns/faulty"))
    }

    /// The AWS account of this lab: the cluster [`CLUSTER`] with public access, its
    /// EKS-owned ENIs at [`ENIS`], and an instance for each node.
    #[must_use]
    pub fn account(&self) -> Account {
        account::account(&self.nodes)
    }

    /// Serves the AWS API in the operator's network namespace, initially with the
    /// data of [`Lab::account`]. Its [`url`](Api::url) is the value for
    /// `AWS_ENDPOINT_URL`.
    ///
    /// # Errors
    ///
    /// If no socket can be bound.
    pub fn serve_aws(&self) -> Result<Api> {
        let address = (Ipv4Addr::LOCALHOST, 0).into();
        Api::serve_in(&self.operator_netns(), address, self.account()).context("serving the AWS API")
    }

    /// Drops packets from one address to another, as a firewall does, or a public
    /// endpoint for an address that is not in its allowed CIDRs. The opposite
    /// direction is not affected.
    ///
    /// # Errors
    ///
    /// If the sandbox has ended.
    pub fn block(&self, from: IpAddr, to: IpAddr) -> Result<()> {
        self.run_checked(&format!("ip rule add from {from} to {to} blackhole"))
    }

    /// Undoes a [`Lab::block`].
    ///
    /// # Errors
    ///
    /// If these addresses are not blocked.
    pub fn unblock(&self, from: IpAddr, to: IpAddr) -> Result<()> {
        self.run_checked(&format!("ip rule del from {from} to {to} blackhole"))
    }

    /// Resets all connections of the stub processes on every node.
    ///
    /// # Errors
    ///
    /// If a stub process does not respond.
    pub fn reset_connections(&self) -> Result<()> {
        self.nodes.iter().try_for_each(Node::reset_connections)
    }

    /// Runs a shell command as root in the sandbox itself, which is the router. Its
    /// interfaces are `n1` and so on, `control`, `operator` and `faulty`.
    ///
    /// # Errors
    ///
    /// If the command cannot be started.
    pub fn run(&self, shell_command: &str) -> Result<Output> {
        self.sandbox.run(shell_command)
    }

    fn run_checked(&self, shell_command: &str) -> Result<()> {
        let output = self.run(shell_command)?;
        ensure!(
            output.status.success(),
            "{shell_command}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        drop(self.unshare.stdin.take());
        _ = self.unshare.wait();
    }
}

/// Builds the sandbox and returns the PID of its init process.
fn build(unshare: &mut Child) -> Result<u32> {
    let mut script =
        String::from("mount -t tmpfs -o mode=755 lab /run && mkdir /run/lab && cd /run/lab || exit\n");
    for (name, text) in FILES {
        _ = write!(script, "cat >{name} <<'END OF FILE'\n{text}END OF FILE\n");
    }
    script.push_str(". ./up.sh\n");
    // The pipe stays open in `Child` until the lab is dropped.
    let stdin = unshare.stdin.as_mut().context("no pipe to the sandbox")?;
    let write_result = stdin.write_all(script.as_bytes());

    let mut line = String::new();
    BufReader::new(unshare.stdout.take().context("no pipe from the sandbox")?).read_line(&mut line)?;
    if let Some(pid) = line.strip_prefix("ready ") {
        return pid.trim().parse().context("the PID of the sandbox's init process");
    }
    _ = unshare.kill();
    let mut stderr_text = String::new();
    if let Some(mut stderr) = unshare.stderr.take() {
        _ = stderr.read_to_string(&mut stderr_text);
    }
    write_result.with_context(|| stderr_text.clone())?;
    bail!("the lab did not start: {line}{}", stderr_text.trim())
}

fn read_pid(path: &Path) -> Result<u32> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    text.trim().parse().with_context(|| path.display().to_string())
}

/// The programs that the lab runs, each with the Debian package that provides it.
const PROGRAMS: [(&str, &str); 13] = [
    ("bash", "bash"),
    ("busybox", "busybox"),
    ("ip", "iproute2"),
    ("iptables-restore", "iptables"),
    ("mount", "mount"),
    ("nsenter", "util-linux"),
    ("perl", "perl-base"),
    ("ss", "iproute2"),
    ("ssh", "openssh-client"),
    ("sshd", "openssh-server"),
    ("sudo", "sudo"),
    ("unbound", "unbound"),
    ("unshare", "util-linux"),
];

/// Checks that this machine and user can run a lab.
fn check_support() -> Result<(), Unsupported> {
    if !rustix::process::geteuid().is_root() {
        return Err(Unsupported("the lab requires root, to create namespaces".to_owned()));
    }
    let is_installed =
        |program: &str| OPERATOR_PATH.split(':').any(|directory| Path::new(directory).join(program).exists());
    for (program, package) in PROGRAMS {
        if !is_installed(program) {
            return Err(Unsupported(format!("the lab requires {program}: apt-get install {package}")));
        }
    }
    let result = Command::new("unshare").args(["--net", "--mount", "--pid", "--fork", "true"]).output();
    match result {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(Unsupported(format!(
            "creating namespaces is not permitted (in a container, run it with --privileged): {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ))),
        Err(error) => Err(Unsupported(format!("cannot run unshare: {error}"))),
    }
}
