//! What `trace` catches of a short exec, and what its looks cost a node:
//! `cargo build --release`, then `cargo bench -p eks-netcheck-lab --bench trace`.
//! Needs root, as the lab does, and a kubectl since 1.30 on `PATH`.
//! `EKS_NETCHECK` names another binary.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use eks_netcheck_lab::aws::Api;
use eks_netcheck_lab::kube::ApiServer;
use eks_netcheck_lab::sandbox::{CLUSTER, CLUSTER_IP, ENIS, Lab, Node, OPERATOR, PUBLIC, Plan, REGION};

const ROUNDS: usize = 25;
/// How long looks are measured.
const MEASURED: Duration = Duration::from_secs(10);
/// The lab's machine tells time in ticks of a hundredth of a second.
const TICKS_PER_SECOND: f64 = 100.0;

fn main() -> Result<()> {
    // `cargo test --all-targets` runs benchmarks too, to see that they build.
    if !std::env::args().any(|arg| arg == "--bench") {
        return Ok(());
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let built = root.join("target/release/eks-netcheck");
    let tool = std::env::var_os("EKS_NETCHECK").map_or(built, PathBuf::from);
    ensure!(tool.is_file(), "{} is not there; build it with: cargo build --release", tool.display());
    let lab = Lab::up(Plan { nodes: 2 })?;
    for node in lab.nodes() {
        node.dial("kubelet", (PUBLIC[0], 443))?;
        node.dial("kube-proxy", (PUBLIC[1], 443))?;
        node.dial("aws-k8s-agent", (CLUSTER_IP, 443))?;
    }
    let aws = lab.serve_aws()?;
    catch_rate(&lab, &aws, &tool)?;
    cost(&lab, &aws, &tool)
}

/// How many of some execs are in the report, by what the user may do.
fn catch_rate(lab: &Lab, aws: &Api, tool: &Path) -> Result<()> {
    let kubelets: Vec<_> = lab.nodes().iter().map(Node::kubelet).collect();
    let kube = ApiServer::serve_in(&lab.operator_netns(), (OPERATOR, 6443).into(), ENIS[0], kubelets)?;
    say(&format!("kubectl exec ds/aws-node -- true, seen by trace at its default interval, of {ROUNDS}"));
    for (who, user) in [("root's rights, told of ends", "ec2-user"), ("sudo for ss -tnp alone", "onlyss")] {
        for takes in [10, 30, 100, 300] {
            kube.set_takes(Duration::from_millis(takes));
            let mut seen = 0;
            for _ in 0..ROUNDS {
                let mut trace = trace(lab, aws, tool, user);
                trace.args(["-q", "--settle", "300ms", "--format", "json", "--", "kubectl", "--server"]);
                trace.arg(kube.url());
                trace.args([
                    "-n",
                    "kube-system",
                    "exec",
                    "ds/aws-node",
                    "-c",
                    "aws-eks-nodeagent",
                    "--",
                    "true",
                ]);
                let output = trace.output()?;
                ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                seen += usize::from(String::from_utf8_lossy(&output.stdout).contains("\"private-eni\""));
            }
            say(&format!("  {who:28} open for {takes:3} ms: {seen:2}"));
        }
    }
    Ok(())
}

/// The node's CPU time for the looks, as a part of one core.
fn cost(lab: &Lab, aws: &Api, tool: &Path) -> Result<()> {
    let node = lab.node(0);
    say("CPU time of the looks on a node, as a part of one core");
    for sockets in [0, 1_000, 10_000] {
        let open = open_sockets(node)?;
        for number in open..sockets {
            // No process holds more than a thousand.
            node.dial(&format!("load{}", number / 1_000), (PUBLIC[0], 443))?;
        }
        for interval in ["200ms", "1s"] {
            let mut trace = trace(lab, aws, tool, "ec2-user");
            trace.args(["-q", "--only", "n1", "--interval", interval, "--node"]);
            trace.arg(format!("n1={}", node.address())).args(["--", "sleep", "25"]);
            let mut trace = trace.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn()?;
            // Past the first seconds, which are looked at more often.
            thread::sleep(Duration::from_secs(7));
            let (began, before) = (Instant::now(), looks_time(node)?);
            thread::sleep(MEASURED);
            let part = (looks_time(node)? - before) / began.elapsed().as_secs_f64();
            say(&format!("  {:6} sockets, every {interval:5} {:5.1} %", open_sockets(node)?, part * 100.0));
            trace.kill()?;
            trace.wait()?;
            thread::sleep(Duration::from_secs(1));
        }
    }
    Ok(())
}

fn open_sockets(node: &Node) -> Result<usize> {
    let output = node.run("ss -tnH | wc -l")?;
    String::from_utf8_lossy(&output.stdout).trim().parse().context("a number of lines")
}

/// CPU seconds of the loop and of what it ran, so far.
fn looks_time(node: &Node) -> Result<f64> {
    // Of the fields behind the name, 12 to 15 are its own and its children's time.
    // https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
    let output = node.run("for pid in $(pgrep -x sh); do cat /proc/$pid/stat; done")?;
    let stat = String::from_utf8_lossy(&output.stdout);
    let ticks: f64 = stat
        .lines()
        .filter_map(|line| line.rsplit_once(')'))
        .flat_map(|(_, fields)| fields.split_whitespace().skip(11).take(4))
        .filter_map(|field| field.parse::<f64>().ok())
        .sum();
    Ok(ticks / TICKS_PER_SECOND)
}

fn trace(lab: &Lab, aws: &Api, tool: &Path, user: &str) -> Command {
    let mut command = lab.operator(tool);
    command
        .args(["trace", "--cluster", CLUSTER, "--ssh-user", user])
        .env("PATH", std::env::var("PATH").unwrap_or_default())
        .env("AWS_ENDPOINT_URL", aws.url())
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "not-a-secret")
        .env("AWS_REGION", REGION)
        .stdin(Stdio::null());
    command
}

fn say(line: &str) {
    _ = writeln!(std::io::stdout(), "{line}");
}
