//! The gate over a hundred clusters beside Prowler, in one run, on an AWS whose
//! every answer takes 20 ms: `cargo build --release`, then
//! `cargo bench -p eks-netcheck-lab --bench fleet`. Needs root, as the lab does.
//!
//! `EKS_NETCHECK` names another binary; with `prowler` on `PATH`, it is timed too.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use eks_netcheck_lab::aws::{Account, Api, Fault, FaultKind};
use eks_netcheck_lab::sandbox::{CLUSTER, ENDPOINT_HOST, Lab, Plan, REGION};
use serde_json::Value;

const CLUSTERS: usize = 100;
/// As many clusters as are asked about at a time.
const CONCURRENCY: usize = 32;
const LATENCY: Duration = Duration::from_millis(20);
const ROUNDS: usize = 11;
const ROUNDS_OF_PROWLER: usize = 3;

/// Runs a command and tells the largest memory that it or one below it had, in KiB.
const MEMORY: &str = "import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)";

fn main() -> Result<()> {
    // `cargo test --all-targets` runs benchmarks too, to see that they build.
    if !std::env::args().any(|arg| arg == "--bench") {
        return Ok(());
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let built = root.join("target/release/eks-netcheck");
    let tool = std::env::var_os("EKS_NETCHECK").map_or(built, PathBuf::from);
    ensure!(tool.is_file(), "{} is not there; build it with: cargo build --release", tool.display());
    let lab = Lab::up(Plan { nodes: 1 })?;
    let api = lab.serve_aws()?;
    api.set(many(&root)?);
    api.fault(Fault::always("*", FaultKind::Delay(LATENCY)));

    let audit = format!(
        "{} audit --all-clusters --nodes none --fail-on never --concurrency {CONCURRENCY} --format json",
        tool.display()
    );
    let prowler = "prowler aws --service eks --ignore-exit-code-3 --no-banner --no-color \
                   --output-formats csv --output-directory /run/operator/prowler"
        .to_owned();
    let has_prowler = bash(&lab, &api, "command -v prowler").output()?.status.success();
    let (mut walls, mut cpus, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let (wall, cpu) = time(&lab, &api, &audit)?;
        walls.push(wall);
        cpus.push(cpu);
        if has_prowler && round < ROUNDS_OF_PROWLER {
            theirs.push(time(&lab, &api, &prowler)?.0);
        }
    }
    let judged = run(&mut bash(&lab, &api, &audit))?;
    let report: Value = serde_json::from_slice(&judged.stdout)?;
    let judged = report["reports"].as_array().map_or(0, Vec::len);
    ensure!(judged == CLUSTERS, "{judged} clusters were judged");
    let output = run(command(&lab, &api, "python3").args(["-c", MEMORY]).args(audit.split(' ')))?;
    let memory: f64 = String::from_utf8_lossy(&output.stdout).trim().parse().context("ru_maxrss")?;

    // ListClusters, and for each batch DescribeCluster and what is asked by its answer.
    let chain = 1 + 2 * CLUSTERS.div_ceil(CONCURRENCY);
    let bound = LATENCY.as_secs_f64() * 1000.0 * f64::from(u16::try_from(chain)?);
    let wall = median(walls);
    say(&format!(
        "{CLUSTERS} clusters, {CONCURRENCY} at a time, {LATENCY:?} a call, medians of {ROUNDS} rounds"
    ));
    say(&format!("  audit --nodes none                    {wall:7.1} ms, CPU {:.1} ms", median(cpus)));
    say(&format!("  latency of its longest chain, {chain} calls {bound:7.1} ms"));
    say(&format!("  audit / latency                       {:7.2}", wall / bound));
    say(&format!("  memory                                {:7.1} MB", memory * 1024.0 / 1e6));
    if has_prowler {
        let theirs = median(theirs);
        say(&format!(
            "  prowler aws --service eks             {theirs:7.1} ms, median of {ROUNDS_OF_PROWLER}"
        ));
        say(&format!("  prowler / audit                       {:7.1}", theirs / wall));
    } else {
        say("  prowler: not timed, not on PATH");
    }
    Ok(())
}

/// An account with many clusters, each in a VPC of its own.
fn many(root: &Path) -> Result<Account> {
    let model = Account::from_evidence(&root.join("fixtures/evidence/public-and-private-stale"))?;
    let cluster = model.clusters.get(CLUSTER).context("the model has no cluster")?;
    let vpc = cluster["resourcesVpcConfig"]["vpcId"].as_str().context("the model has no VPC")?.to_owned();
    let mut account =
        Account { id: model.id.clone(), dhcp_options: model.dhcp_options.clone(), ..Account::default() };
    for number in 0..CLUSTERS {
        let name = format!("cluster-{number:03}");
        let own = format!("vpc-{number:017x}");
        let moved = |value: &Value| -> Result<Value> {
            let text = value.to_string().replace(&vpc, &own);
            let text = text.replace(&format!("Amazon EKS {CLUSTER}"), &format!("Amazon EKS {name}"));
            Ok(serde_json::from_str(&text)?)
        };
        let all = |values: &[Value]| values.iter().map(moved).collect::<Result<Vec<_>>>();
        let mut described = moved(cluster)?;
        described["name"] = name.as_str().into();
        described["endpoint"] = format!("https://{ENDPOINT_HOST}").into();
        described["arn"] = format!("arn:aws:eks:{REGION}:{}:cluster/{name}", model.id).into();
        account.clusters.insert(name.clone(), described);
        account.network_interfaces.extend(all(&model.network_interfaces)?);
        account.vpcs.extend(all(&model.vpcs)?);
        account.subnets.extend(all(&model.subnets)?);
        account.nat_gateways.extend(all(&model.nat_gateways)?);
        account.route_tables.extend(all(&model.route_tables)?);
        account.security_groups.extend(all(&model.security_groups)?);
    }
    Ok(account)
}

/// Milliseconds of the clock, and of CPU.
fn time(lab: &Lab, api: &Api, script: &str) -> Result<(f64, f64)> {
    let script = format!("TIMEFORMAT='%U %S'; time {{ {script} >/dev/null 2>/dev/null; }}");
    let began = Instant::now();
    let output = run(&mut bash(lab, api, &script))?;
    let wall = began.elapsed().as_secs_f64() * 1000.0;
    let said = String::from_utf8_lossy(&output.stderr);
    let cpu: f64 = said.split_whitespace().filter_map(|number| number.parse::<f64>().ok()).sum();
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
    let mut command = lab.operator(program);
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

fn say(line: &str) {
    use std::io::Write;

    _ = writeln!(std::io::stdout(), "{line}");
}
