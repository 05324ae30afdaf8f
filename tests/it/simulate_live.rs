//! `simulate` against AWS: it describes, and changes nothing.

use eks_netcheck_lab::aws::FaultKind;
use serde_json::Value;

use crate::aws::Aws;
use crate::common::{Netcheck, scratch};

fn simulate(aws: &Aws, args: &[&str]) -> Netcheck {
    aws.run("simulate").args(&["--nodes", "none", "--timeout", "5"]).args(args)
}

#[test]
fn nothing_is_changed_in_aws() {
    let aws = Aws::of("private-only");
    // The nodes are not read, and the change concerns them.
    let (report, code) = simulate(&aws, &["--access", "public", "--public-cidrs", "203.0.113.0/24"]).json();
    assert_ne!(code, 0, "{report:#}");
    assert_eq!(
        (report["from"]["access"].as_str(), report["to"]["access"].as_str()),
        (Some("private"), Some("public"))
    );
    let nodes = report["clients"].as_array().unwrap().iter().filter(|client| client["kind"] == "node");
    assert!(nodes.count() > 0, "{report:#}");
    let (report, code) = simulate(&aws, &["--access", "private"]).json();
    assert_eq!((code, report["steps"].as_array().map(Vec::len)), (0, Some(0)), "{report:#}");
    let calls = aws.0.calls();
    assert!(calls.len() > 10);
    for call in calls {
        let is_question = ["Describe", "List", "Get"].iter().any(|verb| call.operation.starts_with(verb));
        assert!(is_question, "{}", call.operation);
    }
}

/// Files are written for a cluster that is absent or cannot be described, too.
#[test]
fn a_cluster_that_is_not_described_is_reported() {
    let dir = scratch();
    let file = dir.path().join("change.json");
    let write = format!("json={}", file.display());
    let args = ["--access", "private", "--write", &write];
    for (kind, expected) in [(FaultKind::NotFound, 4), (FaultKind::Denied, 3)] {
        let aws = Aws::of("private-only");
        aws.fault("DescribeCluster", kind);
        let ran = simulate(&aws, &args).run();
        assert_eq!(ran.code, expected, "{}", ran.stderr);
        assert!(ran.stdout.is_empty() && ran.stderr.contains("myeks"), "{}", ran.stderr);
        let report: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!(report["verdict"], "unknown");
        assert_eq!(report["gaps"][0]["what"], "cluster.json");
        std::fs::remove_file(&file).unwrap();
    }
}
