//! `--format openmetrics`: metrics for Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::common::{Netcheck, copy_of, copy_probe, fixtures, scratch, story};
use crate::formats::mixed;

/// The samples of a run, by name and labels without those of the cluster.
fn samples(run: Netcheck) -> BTreeMap<String, f64> {
    let ran = run.args(&["--format", "openmetrics"]).run();
    assert!(ran.stdout.ends_with("\n# EOF\n"), "{}", ran.stderr);
    let mut samples = BTreeMap::new();
    for line in ran.stdout.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        let name = name.replace(r#"cluster="myeks",region="ap-northeast-2",account="#, "");
        let name = match name.split_once("{\"") {
            // The account is 12 digits and a quote.
            Some((name, labels)) => {
                let labels = labels[13..].trim_start_matches(',');
                if labels == "}" { name.to_owned() } else { format!("{name}{{{labels}") }
            }
            None => name,
        };
        assert!(samples.insert(name, value.parse().unwrap()).is_none(), "{line} twice");
    }
    samples
}

fn of(dir: &Path) -> BTreeMap<String, f64> {
    samples(Netcheck::audit(dir))
}

#[test]
fn verdicts_and_findings_are_samples_with_zeros() {
    let all = of(&story("study-public"));
    let value = |name: &str| *all.get(name).unwrap_or_else(|| panic!("no {name}: {all:#?}"));
    for verdict in ["pass", "fail", "inconclusive"] {
        let expected = if verdict == "fail" { 1.0 } else { 0.0 };
        for name in ["verdict", "run_verdict", "clusters"] {
            let name = format!("eks_netcheck_{name}{{verdict=\"{verdict}\"}}");
            assert!((value(&name) - expected).abs() < 0.1, "{name}: {all:#?}");
        }
    }
    let is = |name: &str, expected: f64| assert!((value(name) - expected).abs() < 0.1, "{name}: {all:#?}");
    is("eks_netcheck_clusters_unjudged", 0.0);
    is(r#"eks_netcheck_findings{rule="public-endpoint-open",severity="high"}"#, 1.0);
    is(r#"eks_netcheck_control_met{standard="aws-fsbp-1.0.0",control="EKS.1"}"#, 0.0);
    is(r#"eks_netcheck_nodes{status="read"}"#, 2.0);
    is(r#"eks_netcheck_nodes{status="unreachable"}"#, 0.0);
    is(r#"eks_netcheck_node_traffic_nodes{path="public"}"#, 2.0);
    is(r#"eks_netcheck_rule_judged{rule="endpoint-certificate-mismatch"}"#, 0.0);
    is(r#"eks_netcheck_rule_judged{rule="public-endpoint-open"}"#, 1.0);
    for rule in eks_netcheck::rules::ALL {
        value(&format!(
            "eks_netcheck_findings{{rule=\"{}\",severity=\"{}\"}}",
            rule.id,
            rule.severity.as_str()
        ));
    }
    let age = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64()
        - value("eks_netcheck_last_run_timestamp_seconds");
    assert!((0.0..60.0).contains(&age), "{age}");
    let private = of(&story("private-only"));
    assert!(
        (private[r#"eks_netcheck_control_met{standard="cis-eks-1.8.0",control="5.4.2"}"#] - 1.0).abs() < 0.1
    );
}

/// Sockets are those of the report: listed ones, and those that are only counted.
#[test]
fn sockets_are_counted_by_component_and_path() {
    let copy = copy_of("study-public");
    let node = copy.path().join("nodes/n1.txt");
    let mut text = fs::read_to_string(&node).unwrap();
    let peer = "3.39.55.189:443";
    assert!(text.contains(peer));
    // More with one peer than the report lists.
    for port in 0..3000 {
        let local = 10_000 + port;
        writeln!(text, "ESTAB 0 0 192.168.1.20:{local} {peer} users:((\"kubelet\",pid=2957,fd=20))").unwrap();
    }
    fs::write(&node, text).unwrap();
    let (report, _) = Netcheck::audit(copy.path()).json();
    assert!(!report["connections_omitted"].as_array().unwrap().is_empty());
    let all = of(copy.path());
    let kubelet = all[r#"eks_netcheck_sockets{component="kubelet",direction="outbound",path="public-endpoint",state="established"}"#];
    assert!((3001.0..3010.0).contains(&kubelet), "{all:#?}");
    let zero = all[r#"eks_netcheck_sockets{component="kube-proxy",direction="outbound",path="private-eni",state="established"}"#];
    assert!(zero.abs() < 0.1);
    assert!(!all.keys().any(|name| name.contains("10250")), "{all:#?}");
}

#[test]
fn waived_findings_and_gaps_are_apart() {
    let (copy, policy) = mixed();
    let all = samples(Netcheck::audit(copy.path()).args(&policy.each_ref().map(String::as_str)));
    let is = |name: &str, expected: f64| assert!((all[name] - expected).abs() < 0.1, "{name}: {all:#?}");
    is("eks_netcheck_findings_waived", 1.0);
    is(r#"eks_netcheck_findings{rule="public-endpoint-open",severity="high"}"#, 0.0);
    is(r#"eks_netcheck_rule_judged{rule="control-plane-enis-missing"}"#, 0.0);
    assert!(all[r#"eks_netcheck_gaps{needed="true"}"#] >= 1.0, "{all:#?}");
    is(r#"eks_netcheck_verdict{verdict="inconclusive"}"#, 1.0);
}

/// Nodes that were not read are counted, whatever gaps there are for them.
#[test]
fn nodes_that_were_not_read_are_counted() {
    let copy = copy_of("study-public");
    for (file, read, not_read) in [("nodes/n1.txt", 1.0, 1.0), ("nodes/n2.txt", 0.0, 2.0)] {
        fs::remove_file(copy.path().join(file)).unwrap();
        let all = of(copy.path());
        let is = |status: &str, expected: f64| {
            let number = all[&format!("eks_netcheck_nodes{{status=\"{status}\"}}")];
            assert!((number - expected).abs() < 0.1, "{file}: {all:#?}");
        };
        is("read", read);
        is("not-read", not_read);
    }
}

/// The earliest expiry of what the endpoint shows.
#[test]
fn certificates_have_their_expiry() {
    let copy = copy_of("private-only");
    copy_probe(&fixtures().join("rules/anonymous-version-disclosed/quiet"), copy.path());
    let (report, _) = Netcheck::audit(copy.path()).json();
    let all = of(copy.path());
    let expiry: Vec<_> =
        all.iter().filter(|(name, _)| name.contains("certificate_expiry_timestamp_seconds")).collect();
    assert!(!expiry.is_empty(), "{all:#?}\n{:#}", report["probes"]);
    for (name, value) in expiry {
        assert!(name.contains("ca=\"cluster\"") && *value > 1e9, "{name} {value}");
    }
}

/// Another program reads the file while it is replaced: it is whole at any time, and what it
/// is written to beside it has no name that a collector of `*.prom` reads.
#[test]
fn the_file_is_replaced_in_one_step() {
    let dir = scratch();
    let file = dir.path().join("eks-netcheck.prom");
    let write = || {
        let to = format!("openmetrics={}", file.display());
        Netcheck::audit(&story("study-public")).args(&["--write", &to]).run();
    };
    write();
    let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap());
    let (before, held) = (inode(&file), fs::File::open(&file).unwrap());
    write();
    assert_ne!(inode(&file), before);
    assert!(std::io::read_to_string(held).unwrap().ends_with("# EOF\n"));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}
