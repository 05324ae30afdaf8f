//! Compares audits of 50 nodes by kubectl with one by ssh: wall time, CPU time of the
//! operator's processes, and requests to the Kubernetes API.
//!
//! ```sh
//! cargo build --profile optimized
//! cargo bench -p eks-netcheck-lab --bench kubectl
//! ```
//!
//! Requires root, as the lab does, and kubectl. `EKS_NETCHECK` is the path of another
//! binary to measure.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Result, ensure};
use eks_netcheck_lab::aws::Api;
use eks_netcheck_lab::kube::ApiServer;
use eks_netcheck_lab::sandbox::{CLUSTER, ENIS, Lab, LabConfig, Node, OPERATOR, PUBLIC, REGION};
use serde_json::json;

const NODES: usize = 50;
const ROUNDS: usize = 5;
/// A certificate authority: PEM in Base64.
const AUTHORITY: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUIKLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=";

fn main() -> Result<()> {
    // `cargo test --all-targets` runs benchmarks too: do nothing then.
    if !std::env::args().any(|arg| arg == "--bench") {
        return Ok(());
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let tool =
        std::env::var_os("EKS_NETCHECK").map_or(root.join("target/optimized/eks-netcheck"), PathBuf::from);
    ensure!(
        tool.is_file(),
        "{} does not exist; build it with: cargo build --profile optimized",
        tool.display()
    );
    let lab = Lab::start(LabConfig { nodes: NODES })?;
    for node in lab.nodes() {
        node.dial("kubelet", (PUBLIC[0], 443))?;
        node.dial("kube-proxy", (PUBLIC[1], 443))?;
    }
    let aws = lab.serve_aws()?;
    let mut account = lab.account();
    if let Some(cluster) = account.clusters.get_mut(CLUSTER) {
        cluster["certificateAuthority"] = json!({"data": AUTHORITY});
    }
    aws.set_account(account);
    let kubelets: Vec<_> = lab.nodes().iter().map(Node::kubelet).collect();
    let kube = ApiServer::serve_in(&lab.operator_netns(), (OPERATOR, 6443).into(), ENIS[0], kubelets)?;
    let dir = tempfile::tempdir()?;
    let config = dir.path().join("kubeconfig");
    std::fs::write(&config, kubeconfig(&kube.url()))?;
    measure("ssh", &["--ssh-user", "ec2-user"], &tool, &lab, &aws, &kube, &config)?;
    measure("kubectl, Jobs", &["--nodes", "kubectl"], &tool, &lab, &aws, &kube, &config)?;
    for node in lab.nodes() {
        kube.add_agent(node.name());
    }
    measure("kubectl, the agent's pods", &["--nodes", "kubectl"], &tool, &lab, &aws, &kube, &config)
}

fn kubeconfig(url: &str) -> String {
    let cluster = json!({"server": url, "certificate-authority-data": AUTHORITY});
    json!({
        "apiVersion": "v1", "kind": "Config",
        "clusters": [{"name": "lab", "cluster": cluster}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "user"}}],
        "users": [{"name": "user", "user": {"token": "none"}}],
    })
    .to_string()
}

/// Measures an audit in several rounds, and prints the medians and the requests of the last one.
fn measure(
    name: &str,
    args: &[&str],
    tool: &Path,
    lab: &Lab,
    aws: &Api,
    kube: &ApiServer,
    config: &Path,
) -> Result<()> {
    let (mut walls, mut cpus) = (Vec::new(), Vec::new());
    let mut requests = BTreeMap::new();
    for _ in 0..ROUNDS {
        drop(kube.take_journal());
        let script = format!(
            "TIMEFORMAT='%U %S'; time {{ {} audit --cluster {CLUSTER} --fail-on never --format json {} | grep -c '\"status\": \"read\"'; }}",
            tool.display(),
            args.join(" ")
        );
        let mut command: Command = lab.operator_command("bash");
        command
            .args(["-c", &script])
            .env("PATH", std::env::var("PATH").unwrap_or_default())
            .env("KUBECONFIG", config)
            .env("AWS_ENDPOINT_URL", aws.url())
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "not-a-secret")
            .env("AWS_REGION", REGION)
            .stdin(Stdio::null());
        let began = Instant::now();
        let output = command.output()?;
        walls.push(began.elapsed().as_secs_f64());
        let (stdout, stderr) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(stdout.trim() == NODES.to_string(), "{stdout} nodes were read: {stderr}");
        let times = stderr.lines().next_back().unwrap_or_default();
        cpus.push(times.split_whitespace().filter_map(|time| time.parse::<f64>().ok()).sum());
        requests = BTreeMap::new();
        for access in kube.take_journal() {
            *requests.entry(format!("{} {}", access.verb, access.resource)).or_insert(0) += 1;
        }
    }
    let total: u32 = requests.values().sum();
    let mut out = std::io::stdout();
    writeln!(
        out,
        "{NODES} nodes, {name}: wall {:.2} s, CPU {:.2} s, {total} requests {requests:?}",
        median(walls),
        median(cpus)
    )?;
    Ok(())
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
