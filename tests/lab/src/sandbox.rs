//! A small EKS in network namespaces of one machine.
//!
//! One sandbox holds all of it: `unshare` gives it namespaces of its own, with
//! no way out, and whatever it needs of files lies on a tmpfs in it. Its first
//! process reads a pipe that this process holds: however this process ends, the
//! pipe does too, and with it the sandbox, and nothing stays on the machine.
//!
//! In it, the sandbox's own network namespace routes between
//!
//! - the nodes, each with a real sshd, real sudo and real `ss`, and stand-ins
//!   for kubelet and its like: processes so named, with real connections;
//! - the control plane: a stand-in for the API servers, at the public
//!   endpoint's addresses ([`PUBLIC`]), at those of the EKS-owned ENIs
//!   ([`ENIS`]) and at the `ClusterIP` ([`CLUSTER_IP`]);
//! - the operator ([`OPERATOR`]), in whose place a program is run;
//! - two resolvers, one of the VPC and one of the operator, which may answer
//!   differently;
//! - hosts that break ssh in one way each ([`REFUSES`] and its neighbours).
//!
//! Every node has an account for each way in which a login or a look at the
//! sockets goes wrong, all taking the operator's key unless said:
//!
//! | account | what is wrong |
//! | --- | --- |
//! | `ec2-user` | nothing; sudo asks for no password |
//! | `root` | nothing; needs no sudo |
//! | `onlyss` | sudo lets it run `ss -tnp` and nothing else |
//! | `nosudo` | not in sudoers |
//! | `askpass` | sudo asks for a password |
//! | `requiretty` | sudo wants a terminal |
//! | `nosudobin` | no `sudo` on the path |
//! | `noss` | no `ss` on the path, nor on sudo's |
//! | `nologin` | the shell is `/usr/sbin/nologin` |
//! | `otherkey` | takes another key only |
//! | `noisy` | banner, greeting, warnings and prompts around the output |
//! | `flood` | `ss` prints without end |
//! | `blank` | `ss` prints nothing |
//! | `hang` | `ss` prints two rows, then hangs |
//! | `cut` | `ss` prints two rows, then the connection is lost |

mod account;
mod entry;
mod node;
mod stand_in;

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

use self::entry::Entry;
pub use self::node::{Exec, Kubelet, Node};
use crate::aws::{Account, Api};

/// The region that names and records speak of.
pub const REGION: &str = "ap-northeast-2";
/// The cluster's name.
pub const CLUSTER: &str = "myeks";
/// The cluster endpoint's host name, as `DescribeCluster` would give it.
pub const ENDPOINT_HOST: &str = "0123456789ABCDEF0123456789ABCDEF.gr7.ap-northeast-2.eks.amazonaws.com";
/// The public endpoint's addresses, where port 443 answers.
pub const PUBLIC: [Ipv4Addr; 2] = [Ipv4Addr::new(203, 0, 113, 10), Ipv4Addr::new(203, 0, 113, 11)];
/// The addresses of the EKS-owned ENIs, where port 443 answers.
pub const ENIS: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 168, 1, 55), Ipv4Addr::new(192, 168, 2, 66)];
/// The `ClusterIP` of the `kubernetes` Service, where port 443 answers. A route
/// rather than a translation leads there, which no node can tell.
pub const CLUSTER_IP: Ipv4Addr = Ipv4Addr::new(10, 100, 0, 1);
/// The operator's address.
pub const OPERATOR: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
/// The VPC's resolver, which the nodes ask.
pub const VPC_RESOLVER: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 2);
/// The resolver that the operator asks.
pub const OPERATOR_RESOLVER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 53);

/// A host with nothing on port 22: "Connection refused".
pub const REFUSES: Ipv4Addr = Ipv4Addr::new(192, 168, 66, 1);
/// A host whose packets are lost: "Connection timed out".
pub const SILENT: Ipv4Addr = Ipv4Addr::new(192, 168, 66, 2);
/// A host to which no route leads: "No route to host".
pub const UNREACHABLE: Ipv4Addr = Ipv4Addr::new(192, 168, 66, 3);
/// A host that accepts on port 22 and never sends a banner.
pub const MUTE: Ipv4Addr = Ipv4Addr::new(192, 168, 66, 4);
/// Leads to the sshd of `n1`, and closes after 16 KB from there.
pub const CUTS: Ipv4Addr = Ipv4Addr::new(192, 168, 66, 5);
/// Leads to the sshd of `n1`, and passes nothing on after 16 KB from there.
pub const STALLS: Ipv4Addr = Ipv4Addr::new(192, 168, 66, 6);
/// A host that accepts on port 22 and closes at once.
pub const CLOSES: Ipv4Addr = Ipv4Addr::new(192, 168, 66, 7);

/// The operator's `PATH`.
pub const OPERATOR_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The operator's home, seen from the operator's programs. It holds
/// `.ssh/id_ed25519` and a `.ssh/known_hosts` with every node's key.
pub const OPERATOR_HOME: &str = "/run/operator";

/// What a lab is to be like.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many nodes, named `n1`, `n2` and so on, from 192.168.10.10 on.
    pub nodes: usize,
}

impl Default for Plan {
    fn default() -> Self {
        Self { nodes: 2 }
    }
}

/// Why no lab can be had on this machine, in a sentence.
#[derive(Debug)]
pub struct NotPossible(String);

impl fmt::Display for NotPossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotPossible {}

/// From where a name is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// From a node.
    Vpc,
    /// From the operator's machine.
    Operator,
}

/// A sandbox that is up. It ends when this is dropped, and when the process
/// ends, in whatever way.
#[derive(Debug)]
pub struct Lab {
    init: Child,
    /// The sandbox's file system, seen from here.
    root: PathBuf,
    sandbox: Entry,
    operator: Entry,
    nodes: Vec<Node>,
}

/// What the sandbox is made from, by its name in there.
const FILES: [(&str, &str); 8] = [
    ("accounts.sh", include_str!("sandbox/accounts.sh")),
    ("faulty.pl", include_str!("sandbox/faulty.pl")),
    ("node.sh", include_str!("sandbox/node.sh")),
    ("sshd_config", include_str!("sandbox/sshd_config")),
    ("stand-in.pl", include_str!("sandbox/stand-in.pl")),
    ("sudoers", include_str!("sandbox/sudoers")),
    ("unbound.conf", include_str!("sandbox/unbound.conf")),
    ("up.sh", include_str!("sandbox/up.sh")),
];

impl Lab {
    /// Brings a lab up, with nothing dialed yet and the endpoint's name
    /// resolving to [`PUBLIC`] everywhere.
    ///
    /// # Errors
    ///
    /// [`NotPossible`] where this machine, or this user, cannot have one.
    pub fn up(plan: Plan) -> Result<Self> {
        possible()?;
        ensure!(plan.nodes <= 200, "a lab has 200 nodes at most, not {}", plan.nodes);
        let mut init = Command::new("unshare")
            .args(["--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child=SIGKILL"])
            .args(["bash", "-s", "--", &plan.nodes.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A Ctrl-C at this process is not the sandbox's to act on.
            .process_group(0)
            .spawn()
            .context("starting unshare")?;
        let pid = start(&mut init).inspect_err(|_| {
            _ = init.kill();
            _ = init.wait();
        })?;

        let root = PathBuf::from(format!("/proc/{pid}/root"));
        let operator = read_pid(&root.join("run/lab/operator/pid"))?;
        let known_hosts = root.join("run/operator/.ssh/known_hosts");
        let nodes =
            (0..plan.nodes).map(|index| Node::new(&root, index, &known_hosts)).collect::<Result<Vec<_>>>()?;
        let lab = Self {
            sandbox: Entry::new(format!("/proc/{pid}").into(), true),
            operator: Entry::new(root.join(format!("proc/{operator}")), false),
            init,
            root,
            nodes,
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

    /// A node, counted from 0: `n1` is `node(0)`.
    ///
    /// # Panics
    ///
    /// If the plan has no such node.
    #[must_use]
    pub fn node(&self, index: usize) -> &Node {
        &self.nodes[index]
    }

    /// A command that runs `program` as the operator would: on that network, with
    /// that home and resolver, and with an environment of `PATH`, `HOME`, `USER`,
    /// `LANG` and `TERM`. The process is this one's child, with its own number and
    /// with the working directory of the command.
    ///
    /// The machine's files are as they are, but for `/etc` and `/run`: the working
    /// directory cannot be in there. The process is killed when the thread that
    /// started it ends.
    #[must_use]
    pub fn operator(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.operator.command(
            // The shell knows the working directory, which nsenter would lose.
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

    /// The operator's network namespace, for a thread of this process that is to
    /// serve there: at [`OPERATOR`], or at 127.0.0.1.
    #[must_use]
    pub fn operator_netns(&self) -> PathBuf {
        self.operator.namespace("net")
    }

    /// The operator's file system, seen from here: `operator_root()` joined with
    /// `run/operator/.ssh/known_hosts` is that file.
    #[must_use]
    pub fn operator_root(&self) -> PathBuf {
        self.operator.root()
    }

    /// What the cluster endpoint's name resolves to from now on, seen from one
    /// place. No address at all: there is no such name.
    ///
    /// # Errors
    ///
    /// If the resolver does not take it.
    pub fn set_dns(&self, view: View, addresses: &[IpAddr]) -> Result<()> {
        let view = match view {
            View::Vpc => "vpc",
            View::Operator => "operator",
        };
        self.resolver(&format!("view_local_zone {view} {ENDPOINT_HOST}. static"))?;
        self.resolver(&format!("view_local_data_remove {view} {ENDPOINT_HOST}."))?;
        for address in addresses {
            let kind = if address.is_ipv4() { "A" } else { "AAAA" };
            self.resolver(&format!("view_local_data {view} {ENDPOINT_HOST}. 60 IN {kind} {address}"))?;
        }
        Ok(())
    }

    /// Says what `unbound-control` would say.
    fn resolver(&self, order: &str) -> Result<()> {
        let mut stream =
            UnixStream::connect(self.root.join("run/lab/unbound.sock")).context("the resolver's socket")?;
        writeln!(stream, "UBCT1 {order}")?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        ensure!(reply == "ok\n", "the resolver, told to {order}: {reply}");
        Ok(())
    }

    /// Gives the control plane one more address, where port 443 answers and from
    /// where [`Node::exec_from`] can come: an ENI or an endpoint that was replaced.
    ///
    /// # Errors
    ///
    /// If it has it already.
    pub fn add_address(&self, address: Ipv4Addr) -> Result<()> {
        let hardware = "lladdr 02:00:00:02:ff:01 nud permanent";
        self.sandbox_ok(&format!(
            "ip -netns control addr add {address}/32 dev eth0 && ip route add {address} dev control && \
             ip neigh add {address} dev control {hardware}"
        ))
    }

    /// What AWS would say of this lab: the public cluster [`CLUSTER`], its EKS-owned
    /// ENIs at [`ENIS`], and an instance for each node.
    #[must_use]
    pub fn account(&self) -> Account {
        account::account(&self.nodes)
    }

    /// Serves the AWS API to the operator, as [`Lab::account`] at first. Its
    /// [`url`](Api::url) is for `AWS_ENDPOINT_URL`.
    ///
    /// # Errors
    ///
    /// If there is no socket to be had.
    pub fn serve_aws(&self) -> Result<Api> {
        let address = (Ipv4Addr::LOCALHOST, 0).into();
        Api::serve_in(&self.operator_netns(), address, self.account()).context("serving the AWS API")
    }

    /// Drops what goes from one address to another, in silence: a firewall, or an
    /// endpoint whose CIDRs leave the sender out. The other way stays open.
    ///
    /// # Errors
    ///
    /// If the lab is no longer there.
    pub fn block(&self, from: IpAddr, to: IpAddr) -> Result<()> {
        self.sandbox_ok(&format!("ip rule add from {from} to {to} blackhole"))
    }

    /// Ends a [`Lab::block`].
    ///
    /// # Errors
    ///
    /// If there was none.
    pub fn unblock(&self, from: IpAddr, to: IpAddr) -> Result<()> {
        self.sandbox_ok(&format!("ip rule del from {from} to {to} blackhole"))
    }

    /// Resets the scene: every stand-in's connections, on every node.
    ///
    /// # Errors
    ///
    /// If a stand-in does not answer.
    pub fn reset(&self) -> Result<()> {
        self.nodes.iter().try_for_each(Node::reset)
    }

    /// Runs a shell command in the sandbox itself: as root, on the router between
    /// all, whose interfaces are `n1` and so on, `control`, `operator`, `faulty`.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub fn run(&self, shell_command: &str) -> Result<Output> {
        self.sandbox.run(shell_command)
    }

    fn sandbox_ok(&self, shell_command: &str) -> Result<()> {
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
        drop(self.init.stdin.take());
        _ = self.init.wait();
    }
}

/// Has the sandbox built, and tells the number of its first process.
fn start(init: &mut Child) -> Result<u32> {
    let mut script =
        String::from("mount -t tmpfs -o mode=755 lab /run && mkdir /run/lab && cd /run/lab || exit\n");
    for (name, text) in FILES {
        _ = write!(script, "cat >{name} <<'END OF FILE'\n{text}END OF FILE\n");
    }
    script.push_str(". ./up.sh\n");
    // Kept in the child, and so open, until the lab is dropped.
    let stdin = init.stdin.as_mut().context("no pipe to the sandbox")?;
    let written = stdin.write_all(script.as_bytes());

    let mut line = String::new();
    BufReader::new(init.stdout.take().context("no pipe from the sandbox")?).read_line(&mut line)?;
    if let Some(pid) = line.strip_prefix("ready ") {
        return pid.trim().parse().context("the sandbox's process number");
    }
    _ = init.kill();
    let mut said = String::new();
    if let Some(mut stderr) = init.stderr.take() {
        _ = stderr.read_to_string(&mut said);
    }
    written.with_context(|| said.clone())?;
    bail!("the lab did not come up: {line}{}", said.trim())
}

fn read_pid(path: &Path) -> Result<u32> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    text.trim().parse().with_context(|| path.display().to_string())
}

/// What the lab runs, and the Debian package that has it.
const PROGRAMS: [(&str, &str); 11] = [
    ("bash", "bash"),
    ("ip", "iproute2"),
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

fn possible() -> Result<(), NotPossible> {
    if !rustix::process::geteuid().is_root() {
        return Err(NotPossible("the lab needs root, to make namespaces".to_owned()));
    }
    let found =
        |program: &str| OPERATOR_PATH.split(':').any(|directory| Path::new(directory).join(program).exists());
    for (program, package) in PROGRAMS {
        if !found(program) {
            return Err(NotPossible(format!("the lab needs {program}: apt-get install {package}")));
        }
    }
    let tried = Command::new("unshare").args(["--net", "--mount", "--pid", "--fork", "true"]).output();
    match tried {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(NotPossible(format!(
            "the lab may not make namespaces here (in a container, it wants --privileged): {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ))),
        Err(error) => Err(NotPossible(format!("the lab cannot run unshare: {error}"))),
    }
}
