//! Measures how many short connections `trace` detects, and the CPU time that a trace takes
//! on a node.
//!
//! ```sh
//! cargo build --profile optimized
//! cargo bench -p eks-netcheck-lab --bench trace
//! ```
//!
//! Requires root, as the lab does. `EKS_NETCHECK` is the path of another binary to measure,
//! `RUNS` the number of connections of each line.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use eks_netcheck_lab::aws::Api;
use eks_netcheck_lab::sandbox::{CLUSTER, CLUSTER_IP, ENIS, Lab, LabConfig, Node, PUBLIC, REGION};
use serde_json::Value;

/// The number of connections of each line.
const RUNS: usize = 300;
/// The number of connections in one trace: at once, one on each node; later, one after
/// another on each node.
const AT_ONCE: u64 = 1;
const LATER: u64 = 25;
/// The accounts on the nodes, and what they may do.
const ACCOUNTS: [(&str, &str); 3] =
    [("ec2-user", "root (by sudo)"), ("onlyss", "sudo for ss -tnp only"), ("nosudo", "no sudo")];
/// How long the CPU time of sampling is measured.
const MEASUREMENT_TIME: Duration = Duration::from_secs(20);

fn main() -> Result<()> {
    // `cargo test --all-targets` runs benchmarks too: do nothing then.
    if !std::env::args().any(|arg| arg == "--bench") {
        return Ok(());
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let built = root.join("target/optimized/eks-netcheck");
    let tool = std::env::var_os("EKS_NETCHECK").map_or(built, PathBuf::from);
    ensure!(
        tool.is_file(),
        "{} does not exist; build it with: cargo build --profile optimized",
        tool.display()
    );
    let runs = std::env::var("RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(RUNS);
    let lab = Lab::start(LabConfig { nodes: 2 })?;
    for node in lab.nodes() {
        node.dial("kubelet", (PUBLIC[0], 443))?;
        node.dial("kube-proxy", (PUBLIC[1], 443))?;
        node.dial("aws-k8s-agent", (CLUSTER_IP, 443))?;
    }
    let aws = lab.serve_aws()?;
    detection_rate(&lab, &aws, &tool, runs)?;
    sampling_cost(&lab, &aws, &tool)
}

/// Prints how many connections of 40 to 100 ms from an ENI to the kubelet are in the report.
fn detection_rate(lab: &Lab, aws: &Api, tool: &Path, runs: usize) -> Result<()> {
    print_line("connections of 40 to 100 ms that trace detects at its default interval");
    let dir = tempfile::tempdir()?;
    for (user, rights) in ACCOUNTS {
        for (when, delay, each) in [("at once", 0, AT_ONCE), ("5 s later", 5, LATER)] {
            let (mut made, mut detected, mut unseen) = (0, 0, 0);
            while made < runs {
                let begun = dir.path().join(format!("begun-{user}-{delay}-{made}"));
                // Each connection and the pause after it take at most 0.3 s.
                let lasts = Duration::from_millis(delay * 1000 + each * 350 + 200).as_secs_f64();
                let script = format!("touch {}; sleep {lasts}", begun.display());
                let mut trace = trace(lab, aws, tool, user);
                trace.args(["-q", "--settle", "300ms", "--format", "json", "--", "sh", "-c", &script]);
                let trace = trace.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
                while !begun.exists() {
                    thread::sleep(Duration::from_millis(1));
                }
                thread::sleep(Duration::from_secs(delay));
                let peers: Vec<_> = thread::scope(|scope| {
                    let nodes = lab.nodes().iter().enumerate();
                    let running: Vec<_> = nodes
                        .map(|(index, node)| scope.spawn(move || connections(node, made + index, each)))
                        .collect();
                    running
                        .into_iter()
                        .map(|thread| thread.join().expect("no panic"))
                        .collect::<Result<Vec<_>>>()
                })?
                .concat();
                let output = trace.wait_with_output()?;
                ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                let report: Value = serde_json::from_slice(&output.stdout)?;
                let changes = report["changes"].as_array().context("no changes")?;
                let is_detected = |peer: &&SocketAddr| {
                    changes.iter().any(|change| {
                        change["peer"] == peer.to_string()
                            && change["direction"] == "inbound"
                            && change["change"] == "transient"
                    })
                };
                made += peers.len();
                detected += peers.iter().filter(is_detected).count();
                let nodes = report["nodes"].as_array().context("no nodes")?;
                unseen += nodes.iter().filter_map(|node| node["unseen_inbound"].as_u64()).sum::<u64>();
            }
            print_line(&format!(
                "  {rights:24} {when:10} {detected:4} of {made:4} ({:5.1} %); reported as unseen: at most {unseen}",
                percent(detected, made)
            ));
        }
    }
    Ok(())
}

fn percent(part: usize, of: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let share = part as f64 / of as f64;
    share * 100.0
}

/// Opens connections one after another; their peers.
fn connections(node: &Node, seed: usize, number: u64) -> Result<Vec<SocketAddr>> {
    let seed = seed as u64;
    let mut peers = Vec::new();
    for index in 0..number {
        let connection = node.exec_from(ENIS[0])?;
        thread::sleep(Duration::from_millis(40 + (seed * 31 + index * 37) % 61));
        peers.push(connection.peer());
        drop(connection);
        if number > 1 {
            thread::sleep(Duration::from_millis(50 + (seed * 17 + index * 53) % 150));
        }
    }
    Ok(peers)
}

/// Prints the CPU time of a trace on a node, in percent of one core.
fn sampling_cost(lab: &Lab, aws: &Api, tool: &Path) -> Result<()> {
    let node = lab.node(0);
    print_line("CPU time of all processes of a trace on a node, sshd's too, in percent of one core");
    for number in 0..20 {
        node.dial(&format!("other{number}"), (PUBLIC[0], 443))?;
    }
    for sockets in [0, 10_000] {
        for number in open_sockets(node)?..sockets {
            // At most 1,000 sockets per process, because of its limit on open files.
            node.dial(&format!("load{}", number / 1_000), (PUBLIC[0], 443))?;
        }
        for (user, rights) in ACCOUNTS {
            let mut trace = trace(lab, aws, tool, user);
            trace.args(["-q", "--only", "n1", "--node"]);
            trace.arg(format!("n1={}", node.address())).args(["--", "sleep", "60"]);
            let mut trace = trace.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn()?;
            thread::sleep(Duration::from_secs(7));
            let (start, before) = (Instant::now(), node.login_cpu_time()?);
            thread::sleep(MEASUREMENT_TIME);
            let used = node.login_cpu_time()?.saturating_sub(before);
            let share = used.as_secs_f64() / start.elapsed().as_secs_f64();
            print_line(&format!("  {rights:24} {:6} sockets {:5.1} %", open_sockets(node)?, share * 100.0));
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
