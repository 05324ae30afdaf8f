//! Measures what the script that Systems Manager runs, and the filter in a session of ssh, cost
//! a node with many sockets, beside `ss -tnp` without a filter.
//!
//! ```sh
//! cargo bench -p eks-netcheck-lab --bench filter
//! ```
//!
//! Requires root, as the lab does.

use std::io::Write;

use anyhow::{Result, bail};
use eks_netcheck_lab::sandbox::{CLUSTER_IP, ENDPOINT_HOST, Lab, LabConfig, Node, PUBLIC};

const SCRIPT: &str = concat!(
    include_str!("../../../src/evidence/aws/ssm_begin.sh"),
    include_str!("../../../src/capture/filter.awk"),
    include_str!("../../../src/evidence/aws/ssm_end.sh"),
);
/// As a session of ssh runs it.
const BY_SSH: &str = "case $(awk -W version </dev/null 2>&1) in mawk*) each='-W interactive';; esac; \
    { ss -tnp; echo \"eks-netcheck status $?\"; } | \
    awk $each -v begin=x -v peers='192.168.1.55 192.168.1.56' -v kinds=8 -v proxy=unread \"$(cat /tmp/program)\"";
const ROUNDS: usize = 9;

fn main() -> Result<()> {
    // `cargo test --all-targets` runs benchmarks too: do nothing then.
    if !std::env::args().any(|arg| arg == "--bench") {
        return Ok(());
    }
    let lab = Lab::start(LabConfig { nodes: 2 })?;
    let (node, other) = (lab.node(0), lab.node(1));
    node.set_kubeconfig(&format!("https://{ENDPOINT_HOST}"))?;
    std::fs::write(node.root().join("tmp/script"), SCRIPT)?;
    std::fs::write(node.root().join("tmp/program"), include_str!("../../../src/capture/filter.awk"))?;
    node.dial("kubelet", (PUBLIC[0], 443))?;
    node.dial("kube-proxy", (PUBLIC[1], 443))?;
    for number in 0..20 {
        node.dial(&format!("agent{number}"), (CLUSTER_IP, 443))?;
    }
    for sockets in [0, 10_000] {
        for number in 0..sockets {
            // At most 1,000 sockets per process, because of its limit on open files. They are
            // neither to port 443 nor at port 10250.
            node.dial(&format!("load{}", number / 1_000), (other.address(), 10250))?;
        }
        print_line(&format!("{} sockets, medians of {ROUNDS} rounds", 22 + sockets));
        let unfiltered = print(node, "ss -tnp", "ss -tnp")?;
        print(node, "ss -tnp, gzip and base64", "ss -tnp | gzip -c | base64")?;
        let filtered = print(node, "script", "sh /tmp/script")?;
        let by_ssh = print(node, "filter of a session", BY_SSH)?;
        for (name, filtered) in [("script", filtered), ("filter of a session", by_ssh)] {
            print_line(&format!(
                "  {name} / ss: CPU {:.2}, bytes {:.4}",
                filtered.0 / unfiltered.0,
                filtered.1 / unfiltered.1
            ));
        }
    }
    Ok(())
}

/// Prints the medians of the CPU time of a command on a node, in milliseconds, of its wall
/// time, and the length of its output; returns the first and the last.
fn print(node: &Node, name: &str, command: &str) -> Result<(f64, f64)> {
    let measured = (0..ROUNDS).map(|_| measure(node, command)).collect::<Result<Vec<_>>>()?;
    let median = |value: fn(&[f64; 3]) -> f64| {
        let mut values: Vec<_> = measured.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values[ROUNDS / 2]
    };
    let (cpu, wall, bytes) = (median(|one| one[1]), median(|one| one[0]), median(|one| one[2]));
    print_line(&format!("  {name:28} CPU {cpu:7.1} ms, wall {wall:7.1} ms, {bytes:9} bytes"));
    Ok((cpu, bytes))
}

/// The wall time, the CPU time and the length of the output of a command.
fn measure(node: &Node, command: &str) -> Result<[f64; 3]> {
    let command =
        format!("TIMEFORMAT='%R %U %S'; time {{ {command}; }} >/tmp/output 2>/dev/null; wc -c </tmp/output");
    let output = node.run(&command)?;
    let text =
        format!("{} {}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    let [wall, user, system, bytes] = numbers[..] else {
        bail!("unexpected output of bash's time: {text:?}");
    };
    Ok([wall * 1000.0, (user + system) * 1000.0, bytes])
}

fn print_line(line: &str) {
    _ = writeln!(std::io::stdout(), "{line}");
}
