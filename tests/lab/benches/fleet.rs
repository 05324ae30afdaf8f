//! Measures an audit of 100 clusters against an AWS API with a latency of 20 ms
//! per call, and compares it with Prowler.
//!
//! ```sh
//! cargo build --profile optimized
//! cargo bench -p eks-netcheck-lab --bench fleet
//! ```
//!
//! Requires root, as the lab does. `EKS_NETCHECK` is the path of another binary to
//! measure. Prowler is measured if `prowler` is on `PATH`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use eks_netcheck_lab::aws::{Account, Api, Fault, FaultKind};
use eks_netcheck_lab::sandbox::{CLUSTER, ENDPOINT_HOST, Lab, LabConfig, REGION};
use serde_json::Value;

const CLUSTERS: usize = 100;
/// The number of clusters described at the same time.
const CONCURRENCY: usize = 32;
const LATENCY: Duration = Duration::from_millis(20);
const ROUNDS: usize = 11;
const PROWLER_ROUNDS: usize = 3;

/// Python code that runs a command and prints the peak RSS, in KiB, of it or of one of its descendants.
const PEAK_MEMORY: &str = "import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)";

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
    let lab = Lab::start(LabConfig { nodes: 1 })?;
    let api = lab.serve_aws()?;
    api.set_account(account_with_clusters(&root)?);
    api.inject_fault(Fault::always("*", FaultKind::Delay(LATENCY)));

    let audit = format!(
        "{} audit --all-clusters --nodes none --fail-on never --concurrency {CONCURRENCY} --format json",
        tool.display()
    );
    let prowler = "prowler aws --service eks --ignore-exit-code-3 --no-banner --no-color \
                   --output-formats csv --output-directory /run/operator/prowler"
        .to_owned();
    let has_prowler = bash(&lab, &api, "command -v prowler").output()?.status.success();
    let (mut wall_times, mut cpu_times, mut prowler_times) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let (wall, cpu) = time(&lab, &api, &audit)?;
        wall_times.push(wall);
        cpu_times.push(cpu);
        if has_prowler && round < PROWLER_ROUNDS {
            prowler_times.push(time(&lab, &api, &prowler)?.0);
        }
    }
    let output = run(&mut bash(&lab, &api, &audit))?;
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let audited = report["reports"].as_array().map_or(0, Vec::len);
    ensure!(audited == CLUSTERS, "{audited} of {CLUSTERS} clusters were audited");
    let output = run(command(&lab, &api, "python3").args(["-c", PEAK_MEMORY]).args(audit.split(' ')))?;
    let memory: f64 = String::from_utf8_lossy(&output.stdout).trim().parse().context("ru_maxrss")?;

    // ListClusters, then for each batch DescribeCluster and the calls that depend on it.
    let sequential_calls = 1 + 2 * CLUSTERS.div_ceil(CONCURRENCY);
    let minimum = LATENCY.as_secs_f64() * 1000.0 * f64::from(u16::try_from(sequential_calls)?);
    let wall = median(wall_times);
    print_line(&format!(
        "{CLUSTERS} clusters, {CONCURRENCY} at a time, {LATENCY:?} per call, medians of {ROUNDS} rounds"
    ));
    print_line(&format!(
        "  audit --nodes none                    {wall:7.1} ms, CPU {:.1} ms",
        median(cpu_times)
    ));
    print_line(&format!("  latency of {sequential_calls} sequential calls         {minimum:7.1} ms"));
    print_line(&format!("  audit / latency                       {:7.2}", wall / minimum));
    print_line(&format!("  peak memory                           {:7.1} MB", memory * 1024.0 / 1e6));
    if has_prowler {
        let prowler = median(prowler_times);
        print_line(&format!(
            "  prowler aws --service eks             {prowler:7.1} ms, median of {PROWLER_ROUNDS}"
        ));
        print_line(&format!("  prowler / audit                       {:7.1}", prowler / wall));
    } else {
        print_line("  prowler: not measured, not on PATH");
    }
    Ok(())
}

/// An account with [`CLUSTERS`] clusters, each in its own VPC.
fn account_with_clusters(root: &Path) -> Result<Account> {
    let template = Account::from_evidence(&root.join("fixtures/evidence/public-and-private-stale"))?;
    let cluster = template.clusters.get(CLUSTER).context("the template has no cluster")?;
    let vpc = cluster["resourcesVpcConfig"]["vpcId"].as_str().context("the template has no VPC")?.to_owned();
    let mut account = Account {
        id: template.id.clone(),
        dhcp_options: template.dhcp_options.clone(),
        ..Account::default()
    };
    for number in 0..CLUSTERS {
        let name = format!("cluster-{number:03}");
        let new_vpc = format!("vpc-{number:017x}");
        let adapt = |value: &Value| -> Result<Value> {
            let text = value.to_string().replace(&vpc, &new_vpc);
            let text = text.replace(&format!("Amazon EKS {CLUSTER}"), &format!("Amazon EKS {name}"));
            Ok(serde_json::from_str(&text)?)
        };
        let adapt_all = |values: &[Value]| values.iter().map(adapt).collect::<Result<Vec<_>>>();
        let mut cluster = adapt(cluster)?;
        cluster["name"] = name.as_str().into();
        cluster["endpoint"] = format!("https://{ENDPOINT_HOST}").into();
        cluster["arn"] = format!("arn:aws:eks:{REGION}:{}:cluster/{name}", template.id).into();
        account.clusters.insert(name.clone(), cluster);
        account.network_interfaces.extend(adapt_all(&template.network_interfaces)?);
        account.vpcs.extend(adapt_all(&template.vpcs)?);
        account.subnets.extend(adapt_all(&template.subnets)?);
        account.nat_gateways.extend(adapt_all(&template.nat_gateways)?);
        account.route_tables.extend(adapt_all(&template.route_tables)?);
        account.security_groups.extend(adapt_all(&template.security_groups)?);
    }
    Ok(account)
}

/// Runs a script, and returns its wall time and CPU time in milliseconds.
fn time(lab: &Lab, api: &Api, script: &str) -> Result<(f64, f64)> {
    let script = format!("TIMEFORMAT='%U %S'; time {{ {script} >/dev/null 2>/dev/null; }}");
    let start = Instant::now();
    let output = run(&mut bash(lab, api, &script))?;
    let wall = start.elapsed().as_secs_f64() * 1000.0;
    let stderr = String::from_utf8_lossy(&output.stderr);
    let cpu: f64 = stderr.split_whitespace().filter_map(|number| number.parse::<f64>().ok()).sum();
    Ok((wall, cpu * 1000.0))
}

fn run(command: &mut Command) -> Result<Output> {
    let output = command.output()?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output)
}

fn bash(lab: &Lab, api: &Api, script: &str) -> Command {
    let mut command = command(lab, api, "bash");
    command.args(["-c", script]);
    command
}

fn command(lab: &Lab, api: &Api, program: &str) -> Command {
    let mut command = lab.operator_command(program);
    command
        .env("PATH", std::env::var("PATH").unwrap_or_default())
        .env("AWS_ENDPOINT_URL", api.url())
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "not-a-secret")
        .env("AWS_DEFAULT_REGION", REGION)
        .env("AWS_REGION", REGION)
        .stdin(Stdio::null());
    command
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

fn print_line(line: &str) {
    use std::io::Write;

    _ = writeln!(std::io::stdout(), "{line}");
}
