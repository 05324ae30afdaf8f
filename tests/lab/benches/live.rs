//! A live audit beside what it replaces, in one run: `cargo build --release`,
//! then `cargo bench -p eks-netcheck-lab`. Needs root, as the lab does.
//!
//! Rounds alternate between what is compared, and medians and their ratios are
//! printed: the machine's noise meets both. `EKS_NETCHECK` names another binary;
//! with the aws CLI and dig on `PATH`, the by-hand procedure is timed too.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use eks_netcheck_lab::aws::Api;
use eks_netcheck_lab::sandbox::{CLUSTER, CLUSTER_IP, ENDPOINT_HOST, Lab, PUBLIC, Plan, REGION};

const ROUNDS: usize = 15;
const SSH: &str = "ssh -o BatchMode=yes -o LogLevel=ERROR -l ec2-user";

fn main() -> Result<()> {
    // `cargo test --all-targets` runs benchmarks too, to see that they build.
    if !std::env::args().any(|arg| arg == "--bench") {
        return Ok(());
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let built = root.join("target/release/eks-netcheck");
    let tool = std::env::var_os("EKS_NETCHECK").map_or(built, PathBuf::from);
    ensure!(tool.is_file(), "{} is not there; build it with: cargo build --release", tool.display());
    two_nodes(&tool)?;
    fifty_nodes(&tool)
}

/// A lab whose nodes are on the public endpoint.
fn scene(nodes: usize) -> Result<(Lab, Api)> {
    let lab = Lab::up(Plan { nodes })?;
    for node in lab.nodes() {
        node.dial("kubelet", (PUBLIC[0], 443))?;
        node.dial("kube-proxy", (PUBLIC[1], 443))?;
        node.dial("aws-k8s-agent", (CLUSTER_IP, 443))?;
    }
    let api = lab.serve_aws()?;
    Ok((lab, api))
}

fn two_nodes(tool: &Path) -> Result<()> {
    let (lab, api) = scene(2)?;
    let hosts: Vec<_> = lab.nodes().iter().map(|node| node.address().to_string()).collect();
    let by_hand = format!(
        "aws eks describe-cluster --name {CLUSTER} && aws ec2 describe-network-interfaces && dig +short {ENDPOINT_HOST} && for n in {}; do {SSH} $n sudo -n ss -tnp; done",
        hosts.join(" ")
    );
    let has_tools = has(&lab, "aws") && has(&lab, "dig");
    let (mut audit, mut ssh, mut describe, mut hand) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (wall, output) = time(audit_command(&lab, &api, tool).arg("-vv"))?;
        audit.push(wall);
        describe.push(round_trip(&output)?);
        let slowest = hosts
            .iter()
            .map(|host| Ok(time(&mut bash(&lab, &api, &format!("{SSH} {host} sudo -n ss -tnp")))?.0));
        ssh.push(slowest.collect::<Result<Vec<_>>>()?.into_iter().fold(0.0, f64::max));
        if has_tools {
            hand.push(time(&mut bash(&lab, &api, &by_hand))?.0);
        }
    }
    let (audit, ssh, describe) = (median(audit), median(ssh), median(describe));
    say(&format!("2 nodes, medians of {ROUNDS} rounds"));
    say(&format!("  audit                                 {audit:7.1} ms"));
    say(&format!("  slowest ssh NODE sudo ss -tnp         {ssh:7.1} ms"));
    say(&format!("  one DescribeCluster                   {describe:7.1} ms"));
    say(&format!("  audit / (ssh + DescribeCluster)       {:7.2}", audit / (ssh + describe)));
    if has_tools {
        let hand = median(hand);
        say(&format!("  by hand: aws, aws, dig, ssh loop      {hand:7.1} ms"));
        say(&format!("  by hand / audit                       {:7.2}", hand / audit));
    } else {
        say("  by hand: not timed, no aws CLI or no dig on PATH");
    }
    Ok(())
}

fn fifty_nodes(tool: &Path) -> Result<()> {
    let (lab, api) = scene(50)?;
    let hosts: Vec<_> = lab.nodes().iter().map(|node| node.address().to_string()).collect();
    let listed = format!("printf '%s\\n' {}", hosts.join(" "));
    // What tells an audit where the nodes are.
    let asked = format!(
        "aws eks describe-cluster --name {CLUSTER} && aws ec2 describe-instances \
         --filters Name=tag:eks:cluster-name,Values={CLUSTER} --output text \
         --query 'Reservations[].Instances[].[PrivateIpAddress]'"
    );
    let over = |list: &str, remote: &str| {
        format!("{{ {list}; }} | grep '^[0-9]' | xargs -P32 -I{{}} {SSH} {{}} '{remote}'")
    };
    let both = format!("sudo -n ss -tnp; getent ahosts {ENDPOINT_HOST}");
    let audit = format!(
        "{} audit --cluster {CLUSTER} --ssh-user ec2-user --concurrency 32 --fail-on never",
        tool.display()
    );
    let mut scripts = vec![
        ("audit", audit),
        ("xargs -P32 ssh: ss", over(&listed, "sudo -n ss -tnp")),
        ("xargs -P32 ssh: ss and getent", over(&listed, &both)),
    ];
    if has(&lab, "aws") {
        scripts.push(("aws, xargs -P32 ssh: the same", over(&asked, &both)));
    }
    let mut times = vec![(Vec::new(), Vec::new()); scripts.len()];
    for _ in 0..ROUNDS {
        for ((_, script), (walls, cpus)) in scripts.iter().zip(&mut times) {
            let script = format!("TIMEFORMAT='%R %U %S'; time {{ {script} >/dev/null 2>&1; }}");
            let (_, output) = time(&mut bash(&lab, &api, &script))?;
            let said = String::from_utf8_lossy(&output.stderr);
            let numbers: Vec<f64> =
                said.split_whitespace().filter_map(|number| number.parse().ok()).collect();
            ensure!(numbers.len() == 3, "bash's time said {said:?}");
            walls.push(numbers[0] * 1000.0);
            cpus.push((numbers[1] + numbers[2]) * 1000.0);
        }
    }
    let times: Vec<_> = times.into_iter().map(|(walls, cpus)| (median(walls), median(cpus))).collect();
    say(&format!("50 nodes, 32 at a time, medians of {ROUNDS} rounds"));
    for ((name, _), (wall, cpu)) in scripts.iter().zip(&times) {
        let (wall_ratio, cpu_ratio) = (times[0].0 / wall, times[0].1 / cpu);
        say(&format!(
            "  {name:30} wall {wall:7.1} ms (audit takes {wall_ratio:.2} of it), CPU {cpu:7.1} ms ({cpu_ratio:.2})"
        ));
    }
    Ok(())
}

fn has(lab: &Lab, program: &str) -> bool {
    let mut command = lab.operator("bash");
    command.env("PATH", path()).args(["-c", &format!("command -v {program}")]);
    command.output().is_ok_and(|output| output.status.success())
}

fn audit_command(lab: &Lab, api: &Api, tool: &Path) -> Command {
    let mut command = command(lab, api, tool);
    command.args(["audit", "--cluster", CLUSTER, "--ssh-user", "ec2-user", "--fail-on", "never"]);
    command
}

fn bash(lab: &Lab, api: &Api, script: &str) -> Command {
    let mut command = command(lab, api, "bash");
    command.args(["-c", script]);
    command
}

fn command(lab: &Lab, api: &Api, program: impl AsRef<OsStr>) -> Command {
    let mut command = lab.operator(program);
    command
        .env("PATH", path())
        .env("AWS_ENDPOINT_URL", api.url())
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "not-a-secret")
        .env("AWS_DEFAULT_REGION", REGION)
        .env("AWS_REGION", REGION)
        .stdin(Stdio::null());
    command
}

/// Where the caller's aws CLI and dig are.
fn path() -> String {
    std::env::var("PATH").unwrap_or_default()
}

/// Milliseconds, and what was said.
fn time(command: &mut Command) -> Result<(f64, Output)> {
    let began = Instant::now();
    let output = command.output()?;
    let wall = began.elapsed().as_secs_f64() * 1000.0;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok((wall, output))
}

/// What `DescribeCluster` took, as the tool's own log says.
fn round_trip(output: &Output) -> Result<f64> {
    let log = String::from_utf8_lossy(&output.stderr);
    let line = log
        .lines()
        .find(|line| line.contains("eks:DescribeCluster"))
        .context("no DescribeCluster in the log")?;
    let ms = line.rsplit("ms=").next().and_then(|ms| ms.trim().parse().ok());
    ms.with_context(|| format!("no ms= in {line}"))
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

fn say(line: &str) {
    use std::io::Write;

    _ = writeln!(std::io::stdout(), "{line}");
}
