//! A pod: a real process on a node, with the namespaces, the root file system and the rights
//! that the pod's specification asks for. Its programs are those of `BusyBox`.

use std::io::Read;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::sandbox::Kubelet;

/// Creates the file system and the network of a container, and becomes its main process. It
/// runs on the node. The arguments are a number, the node's pod network (empty for the host's
/// network), `agent` for a container that has the host's files, and those of `container.pl`.
const START: &str = r#"
set -eu
number=$1 network=$2 kind=$3; shift 3
directory=/run/lab/pods/$number
mkdir -p "$directory"
mount -t tmpfs -o mode=755 pod "$directory"
cd "$directory"
mkdir -p bin dev usr/bin usr/sbin sbin proc tmp etc opt/bin
mount --rbind /dev dev
busybox=$(command -v busybox)
cp "$busybox" bin/busybox
for library in $(ldd "$busybox" | grep -o '/[^ ]*'); do
    mkdir -p ".${library%/*}"
    cp "$library" ".$library"
done
chroot . /bin/busybox --install -s /bin
if [ "$kind" = agent ]; then
    mkdir host
    mount --rbind / host
    ln -s /bin/busybox opt/bin/chroot
fi
mount --rbind /proc proc
if [ -n "$network" ]; then
    ip link set lo up
    nsenter --net=/proc/1/ns/net sh -euc '
        echo 1 >/proc/sys/net/ipv4/ip_forward
        ip link add "p$1" address 02:00:00:00:03:01 type veth peer name eth0 address 02:00:00:00:03:02 netns "$2"
        ip link set "p$1" up
        ip route add "$3" dev "p$1"
        ip neigh add "$3" dev "p$1" lladdr 02:00:00:00:03:02 nud permanent
    ' sh "$number" $$ "$network"
    ip addr add "$network/32" dev eth0
    ip link set eth0 up
    ip neigh add 169.254.1.1 dev eth0 lladdr 02:00:00:00:03:01 nud permanent
    ip route add default via 169.254.1.1 dev eth0 onlink
fi
exec perl "$@"
"#;

/// Enters the root directory, keeps the capabilities whose numbers are given, and executes a
/// program. It ends with its parent. The first argument is the directory; then come the
/// numbers, separated by commas, or `all`; and a word that is printed before.
const CONTAINER: &str = r#"
my ($root, $kept, $word) = splice(@ARGV, 0, 3);
my %prctl = (x86_64 => 157, aarch64 => 167);
my $machine = `uname -m`; chomp $machine;
my $prctl = $prctl{$machine} or die "no system calls for $machine\n";
syscall($prctl, 1, 9, 0, 0, 0);
chroot($root) or die "chroot $root: $!\n";
chdir("/") or die "chdir: $!\n";
if ($kept ne "all") {
    my %kept = map { $_ => 1 } split(/,/, $kept);
    for my $capability (0 .. 63) {
        syscall($prctl, 24, $capability, 0, 0, 0) unless $kept{$capability};
    }
}
if ($word ne "") { $| = 1; print "$word $$\n"; }
%ENV = (PATH => "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", HOME => "/");
exec { $ARGV[0] } @ARGV or die "exec $ARGV[0]: $!\n";
"#;

/// The capabilities of a container by default, and those that tests add.
/// <https://github.com/containerd/containerd/blob/main/pkg/oci/spec.go>
const CAPABILITIES: [(&str, u8); 16] = [
    ("CHOWN", 0),
    ("DAC_OVERRIDE", 1),
    ("DAC_READ_SEARCH", 2),
    ("FOWNER", 3),
    ("FSETID", 4),
    ("KILL", 5),
    ("SETGID", 6),
    ("SETUID", 7),
    ("SETPCAP", 8),
    ("NET_BIND_SERVICE", 10),
    ("NET_RAW", 13),
    ("SYS_CHROOT", 18),
    ("SYS_PTRACE", 19),
    ("MKNOD", 27),
    ("AUDIT_WRITE", 29),
    ("SETFCAP", 31),
];
const NOT_BY_DEFAULT: [&str; 2] = ["DAC_READ_SEARCH", "SYS_PTRACE"];

/// A running pod. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct RunningPod {
    main: Child,
    kubelet: Kubelet,
    /// The id of its main process on the node.
    id: u32,
    capabilities: String,
    has_own_network: bool,
}

impl RunningPod {
    /// Starts a pod on a node.
    pub(super) fn start(kubelet: &Kubelet, number: u64, spec: &Value) -> Result<Self> {
        let container = &spec["containers"][0];
        let capabilities = capabilities(&container["securityContext"]);
        let has_own_network = spec["hostNetwork"] != true;
        let network = if has_own_network { kubelet.pod_address(number) } else { String::new() };
        let is_agent = spec["volumes"][0]["hostPath"]["path"] == "/";
        let command: Vec<_> =
            container["command"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if spec["hostPID"] != true && !is_agent {
            bail!("the stand-in runs pods with hostPID only");
        }
        let net = if has_own_network { "--net " } else { "" };
        let mut start = kubelet.command(&format!(
            "exec unshare {net}--mount --propagation private -- bash -c \"$1\" bash \"${{@:2}}\""
        ));
        start.arg(START).arg(number.to_string()).arg(network).arg(if is_agent { "agent" } else { "" });
        let root = format!("/run/lab/pods/{number}");
        start.args(["-e", CONTAINER, &root, &capabilities, "started"]).args(command);
        let mut main = start.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut line = Vec::new();
        let mut stdout = main.stdout.take().context("a pipe")?;
        let mut byte = [0];
        while stdout.read(&mut byte)? == 1 && byte[0] != b'\n' {
            line.push(byte[0]);
        }
        let line = String::from_utf8_lossy(&line).into_owned();
        let Some(id) = line.strip_prefix("started ").and_then(|id| id.trim().parse().ok()) else {
            let mut stderr = String::new();
            if let Some(mut pipe) = main.stderr.take() {
                pipe.read_to_string(&mut stderr)?;
            }
            bail!("the pod did not start: {line}{stderr}");
        };
        Ok(Self { main, kubelet: kubelet.clone(), id, capabilities, has_own_network })
    }

    /// A command in the pod, as `kubectl exec` runs one.
    pub(super) fn exec(&self, words: &[String]) -> Command {
        let id = self.id;
        let net = if self.has_own_network { format!("--net=/proc/{id}/ns/net ") } else { String::new() };
        let mut command = self
            .kubelet
            .command(&format!("exec nsenter {net}--wdns=/ -- perl -e \"$1\" /proc/{id}/root \"${{@:2}}\""));
        command.args([CONTAINER, &self.capabilities, ""]).args(words);
        command
    }

    /// Whether its main process has exited.
    pub(super) fn has_exited(&mut self) -> bool {
        matches!(self.main.try_wait(), Ok(Some(_)))
    }
}

impl Drop for RunningPod {
    fn drop(&mut self) {
        // Its process ends with it.
        let _ended = self.main.kill();
        let _waited = self.main.wait();
    }
}

/// The numbers of the capabilities of a container.
fn capabilities(context: &Value) -> String {
    if context["privileged"] == true {
        return "all".to_owned();
    }
    let has = |list: &str, name: &str| {
        context["capabilities"][list].as_array().is_some_and(|all| all.iter().any(|one| one == name))
    };
    let is_kept = |name: &str| {
        let is_default = !NOT_BY_DEFAULT.contains(&name) && !has("drop", "ALL") && !has("drop", name);
        is_default || has("add", name)
    };
    let kept = CAPABILITIES.iter().filter(|(name, _)| is_kept(name)).map(|(_, number)| number.to_string());
    kept.collect::<Vec<_>>().join(",")
}
