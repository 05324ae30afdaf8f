//! Compares a live audit with the manual procedure and with parallel ssh.
//!
//! ```sh
//! cargo build --profile optimized
//! cargo bench -p eks-netcheck-lab --bench live
//! ```
//!
//! Requires root, as the lab does. Each round measures every alternative in turn,
//! so that noise affects all of them; the medians and their ratios are printed.
//! `EKS_NETCHECK` is the path of another binary to measure. The manual procedure is
//! measured if the aws CLI and dig are on `PATH`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use eks_netcheck_lab::aws::{Agent, Api};
use eks_netcheck_lab::sandbox::{CLUSTER, CLUSTER_IP, ENDPOINT_HOST, Lab, LabConfig, PUBLIC, REGION};

const ROUNDS: usize = 15;
const SSH: &str = "ssh -o BatchMode=yes -o LogLevel=ERROR -l ec2-user";

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
    two_nodes(&tool)?;
    fifty_nodes(&tool)
}

/// A lab whose nodes are connected to the public endpoint.
fn start_lab(nodes: usize) -> Result<(Lab, Api)> {
    let lab = Lab::start(LabConfig { nodes })?;
    for node in lab.nodes() {
        node.dial("kubelet", (PUBLIC[0], 443))?;
        node.dial("kube-proxy", (PUBLIC[1], 443))?;
        node.dial("aws-k8s-agent", (CLUSTER_IP, 443))?;
    }
    let api = lab.serve_aws()?;
    Ok((lab, api))
}

fn two_nodes(tool: &Path) -> Result<()> {
    let (lab, api) = start_lab(2)?;
    let hosts: Vec<_> = lab.nodes().iter().map(|node| node.address().to_string()).collect();
    let manual_script = format!(
        "aws eks describe-cluster --name {CLUSTER} && aws ec2 describe-network-interfaces && dig +short {ENDPOINT_HOST} && for n in {}; do {SSH} $n sudo -n ss -tnp; done",
        hosts.join(" ")
    );
    let has_tools = is_on_path(&lab, "aws") && is_on_path(&lab, "dig");
    let (mut audit, mut ssh, mut describe, mut manual) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (wall, output) = time(audit_command(&lab, &api, tool).arg("-vv"))?;
        audit.push(wall);
        describe.push(describe_cluster_time(&output)?);
        let logins = hosts
            .iter()
            .map(|host| Ok(time(&mut bash(&lab, &api, &format!("{SSH} {host} sudo -n ss -tnp")))?.0));
        ssh.push(logins.collect::<Result<Vec<_>>>()?.into_iter().fold(0.0, f64::max));
        if has_tools {
            manual.push(time(&mut bash(&lab, &api, &manual_script))?.0);
        }
    }
    let (audit, ssh, describe) = (median(audit), median(ssh), median(describe));
    print_line(&format!("2 nodes, medians of {ROUNDS} rounds"));
    print_line(&format!("  audit                                 {audit:7.1} ms"));
    print_line(&format!("  slowest ssh NODE sudo ss -tnp         {ssh:7.1} ms"));
    print_line(&format!("  one DescribeCluster                   {describe:7.1} ms"));
    print_line(&format!("  audit / (ssh + DescribeCluster)       {:7.2}", audit / (ssh + describe)));
    if has_tools {
        let manual = median(manual);
        print_line(&format!("  manually: aws, aws, dig, ssh loop     {manual:7.1} ms"));
        print_line(&format!("  manually / audit                      {:7.2}", manual / audit));
    } else {
        print_line("  manually: not measured, aws CLI or dig not on PATH");
    }
    Ok(())
}

fn fifty_nodes(tool: &Path) -> Result<()> {
    let (lab, api) = start_lab(50)?;
    let hosts: Vec<_> = lab.nodes().iter().map(|node| node.address().to_string()).collect();
    let print_hosts = format!("printf '%s\\n' {}", hosts.join(" "));
    // The calls from which an audit gets the nodes' addresses.
    let describe_hosts = format!(
        "aws eks describe-cluster --name {CLUSTER} && aws ec2 describe-instances \
         --filters Name=tag:eks:cluster-name,Values={CLUSTER} --output text \
         --query 'Reservations[].Instances[].[PrivateIpAddress]'"
    );
    let run_on_all = |list: &str, remote: &str| {
        format!("{{ {list}; }} | grep '^[0-9]' | xargs -P32 -I{{}} {SSH} {{}} '{remote}'")
    };
    let ss_and_getent = format!("sudo -n ss -tnp; getent ahosts {ENDPOINT_HOST}");
    let audit = format!(
        "{} audit --cluster {CLUSTER} --ssh-user ec2-user --concurrency 32 --fail-on never",
        tool.display()
    );
    manage(&lab, &api, tool)?;
    let by_ssm = format!("{} audit --cluster {CLUSTER} --nodes ssm --fail-on never", tool.display());
    let calls = |api: &Api| api.calls().iter().filter(|call| call.service.name() == "ssm").count();
    let before = calls(&api);
    time(&mut bash(&lab, &api, &by_ssm))?;
    print_line(&format!("50 nodes by Systems Manager: {} calls of it", calls(&api) - before));
    let mut scripts = vec![
        ("audit", audit),
        ("audit --nodes ssm", by_ssm),
        ("xargs -P32 ssh: ss", run_on_all(&print_hosts, "sudo -n ss -tnp")),
        ("xargs -P32 ssh: ss and getent", run_on_all(&print_hosts, &ss_and_getent)),
    ];
    if is_on_path(&lab, "aws") {
        scripts.push(("aws, xargs -P32 ssh: ss and getent", run_on_all(&describe_hosts, &ss_and_getent)));
    }
    let mut times = vec![(Vec::new(), Vec::new()); scripts.len()];
    for _ in 0..ROUNDS {
        for ((_, script), (wall_times, cpu_times)) in scripts.iter().zip(&mut times) {
            let script = format!("TIMEFORMAT='%R %U %S'; time {{ {script} >/dev/null 2>&1; }}");
            let (_, output) = time(&mut bash(&lab, &api, &script))?;
            let stderr = String::from_utf8_lossy(&output.stderr);
            let numbers: Vec<f64> =
                stderr.split_whitespace().filter_map(|number| number.parse().ok()).collect();
            ensure!(numbers.len() == 3, "unexpected output of bash's time: {stderr:?}");
            wall_times.push(numbers[0] * 1000.0);
            cpu_times.push((numbers[1] + numbers[2]) * 1000.0);
        }
    }
    let times: Vec<_> = times.into_iter().map(|(wall, cpu)| (median(wall), median(cpu))).collect();
    print_line(&format!("50 nodes, 32 at a time, medians of {ROUNDS} rounds"));
    for ((name, _), (wall, cpu)) in scripts.iter().zip(&times) {
        let (wall_ratio, cpu_ratio) = (times[0].0 / wall, times[0].1 / cpu);
        print_line(&format!(
            "  {name:34} wall {wall:7.1} ms (audit / this: {wall_ratio:.2}), CPU {cpu:7.1} ms ({cpu_ratio:.2})"
        ));
    }
    Ok(())
}

/// Registers an agent of Systems Manager on every node, and the document.
fn manage(lab: &Lab, api: &Api, tool: &Path) -> Result<()> {
    let document = time(command(lab, api, tool).arg("ssm-document"))?.1;
    api.ssm().create_document("eks-netcheck", &String::from_utf8(document.stdout)?);
    for node in lab.nodes() {
        node.set_kubeconfig(&format!("https://{ENDPOINT_HOST}"))?;
        api.ssm().set_agent(&node.instance_id(), Agent::online(node.runner()));
    }
    Ok(())
}

fn is_on_path(lab: &Lab, program: &str) -> bool {
    let mut command = lab.operator_command("bash");
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
    let mut command = lab.operator_command(program);
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

/// The caller's `PATH`, to find the aws CLI and dig.
fn path() -> String {
    std::env::var("PATH").unwrap_or_default()
}

/// Runs a command, and returns its wall time in milliseconds and its output.
fn time(command: &mut Command) -> Result<(f64, Output)> {
    let start = Instant::now();
    let output = command.output()?;
    let wall = start.elapsed().as_secs_f64() * 1000.0;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok((wall, output))
}

/// The duration of `DescribeCluster` in milliseconds, from the tool's log.
fn describe_cluster_time(output: &Output) -> Result<f64> {
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

fn print_line(line: &str) {
    use std::io::Write;

    _ = writeln!(std::io::stdout(), "{line}");
}
