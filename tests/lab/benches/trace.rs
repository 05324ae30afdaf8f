//! Measures how many short execs `trace` detects, and the CPU time that sampling
//! takes on a node.
//!
//! ```sh
//! cargo build --release
//! cargo bench -p eks-netcheck-lab --bench trace
//! ```
//!
//! Requires root, as the lab does, and kubectl 1.30 or later on `PATH`.
//! `EKS_NETCHECK` is the path of another binary to measure.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use eks_netcheck_lab::aws::Api;
use eks_netcheck_lab::kube::ApiServer;
use eks_netcheck_lab::sandbox::{CLUSTER, CLUSTER_IP, ENIS, Lab, LabConfig, Node, OPERATOR, PUBLIC, REGION};

const ROUNDS: usize = 25;
/// How long the CPU time of sampling is measured.
const MEASUREMENT_TIME: Duration = Duration::from_secs(10);
/// The unit of the CPU times in `/proc/PID/stat`: `sysconf(_SC_CLK_TCK)`, 100 on Linux.
const TICKS_PER_SECOND: f64 = 100.0;

fn main() -> Result<()> {
    // `cargo test --all-targets` runs benchmarks too: do nothing then.
    if !std::env::args().any(|arg| arg == "--bench") {
        return Ok(());
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let built = root.join("target/release/eks-netcheck");
    let tool = std::env::var_os("EKS_NETCHECK").map_or(built, PathBuf::from);
    ensure!(tool.is_file(), "{} does not exist; build it with: cargo build --release", tool.display());
    let lab = Lab::start(LabConfig { nodes: 2 })?;
    for node in lab.nodes() {
        node.dial("kubelet", (PUBLIC[0], 443))?;
        node.dial("kube-proxy", (PUBLIC[1], 443))?;
        node.dial("aws-k8s-agent", (CLUSTER_IP, 443))?;
    }
    let aws = lab.serve_aws()?;
    detection_rate(&lab, &aws, &tool)?;
    sampling_cost(&lab, &aws, &tool)
}

/// Prints how many of [`ROUNDS`] execs are in the report, by the user's permissions and the exec's duration.
fn detection_rate(lab: &Lab, aws: &Api, tool: &Path) -> Result<()> {
    let kubelets: Vec<_> = lab.nodes().iter().map(Node::kubelet).collect();
    let kube = ApiServer::serve_in(&lab.operator_netns(), (OPERATOR, 6443).into(), ENIS[0], kubelets)?;
    print_line(&format!(
        "execs (kubectl exec ds/aws-node -- true) that trace detects at its default interval, of {ROUNDS}"
    ));
    for (permissions, user) in [("root (with ss -E)", "ec2-user"), ("sudo for ss -tnp only", "onlyss")] {
        for duration in [10, 30, 100, 300] {
            kube.set_exec_duration(Duration::from_millis(duration));
            let mut detected = 0;
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
                detected += usize::from(String::from_utf8_lossy(&output.stdout).contains("\"private-eni\""));
            }
            print_line(&format!("  {permissions:28} exec of {duration:3} ms: {detected:2}"));
        }
    }
    Ok(())
}

/// Prints the CPU time of sampling on a node, in percent of one core.
fn sampling_cost(lab: &Lab, aws: &Api, tool: &Path) -> Result<()> {
    let node = lab.node(0);
    print_line("CPU time of sampling on a node, in percent of one core");
    for sockets in [0, 1_000, 10_000] {
        let open = open_sockets(node)?;
        for number in open..sockets {
            // At most 1,000 sockets per process, because of its limit on open files.
            node.dial(&format!("load{}", number / 1_000), (PUBLIC[0], 443))?;
        }
        for interval in ["200ms", "1s"] {
            let mut trace = trace(lab, aws, tool, "ec2-user");
            trace.args(["-q", "--only", "n1", "--interval", interval, "--node"]);
            trace.arg(format!("n1={}", node.address())).args(["--", "sleep", "25"]);
            let mut trace = trace.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn()?;
            // Skip the first seconds, in which trace samples more often.
            thread::sleep(Duration::from_secs(7));
            let (start, before) = (Instant::now(), sampling_time(node)?);
            thread::sleep(MEASUREMENT_TIME);
            let share = (sampling_time(node)? - before) / start.elapsed().as_secs_f64();
            print_line(&format!(
                "  {:6} sockets, every {interval:5} {:5.1} %",
                open_sockets(node)?,
                share * 100.0
            ));
            trace.kill()?;
            trace.wait()?;
            thread::sleep(Duration::from_secs(1));
        }
    }
    Ok(())
}

fn open_sockets(node: &Node) -> Result<usize> {
    let output = node.run("ss -tnH | wc -l")?;
    String::from_utf8_lossy(&output.stdout).trim().parse().context("the output of wc")
}

/// The CPU seconds used so far by the sampling loop and its child processes.
fn sampling_time(node: &Node) -> Result<f64> {
    // Fields 12 to 15 after the name are utime, stime, cutime and cstime.
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
    let mut command = lab.operator_command(tool);
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

fn print_line(line: &str) {
    _ = writeln!(std::io::stdout(), "{line}");
}
