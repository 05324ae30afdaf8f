//! `reach` with the answers of AWS.

use eks_netcheck_lab::aws::{Account, Api, Fault, FaultKind};
use serde_json::Value;

use super::{reach, step, with_acls, without_the_bastion};
use crate::aws::Aws;
use crate::common::{Netcheck, scratch};

fn serve(dir: &std::path::Path) -> Aws {
    Aws(Api::serve(Account::from_evidence(dir).unwrap()).unwrap())
}

/// The bastion is no node, so that only its network interface is known.
#[test]
fn live_answers_are_those_of_a_recording() {
    let dir = with_acls();
    for code in [0, 1] {
        let aws = serve(dir.path());
        let (live, live_code) = aws.run("reach").args(&["--from", "192.168.11.10"]).json();
        let (recorded, recorded_code) = reach(dir.path(), "192.168.11.10").json();
        assert_eq!((live_code, recorded_code), (code, code), "{live:#}");
        assert_eq!(live, recorded);
        without_the_bastion(dir.path());
    }
}

#[test]
fn a_cluster_that_does_not_exist_ends_with_4() {
    let aws = serve(with_acls().path());
    let run = Netcheck::new(["reach", "--cluster", "nope"]).env("AWS_ENDPOINT_URL", &aws.0.url());
    let run = run.env("AWS_ACCESS_KEY_ID", "A").env("AWS_SECRET_ACCESS_KEY", "B");
    let ran = run.env("AWS_REGION", "ap-northeast-2").run();
    assert_eq!((ran.code, ran.stdout.as_str()), (4, ""), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("cannot describe the cluster nope") && ran.stderr.contains("myeks"),
        "{}",
        ran.stderr
    );
}

#[test]
fn network_acls_that_are_refused_decide_nothing() {
    let aws = serve(with_acls().path());
    aws.0.inject_fault(Fault::always("DescribeNetworkAcls", FaultKind::Denied));
    let (report, code) = aws.run("reach").args(&["--from", "192.168.11.10"]).json();
    assert_eq!((code, &report["verdict"]), (0, &"yes".into()), "{report:#}");
    assert_eq!(step(&report, "network-acl")["result"], "not-applicable");
    assert!(report["gaps"].to_string().contains("ec2:DescribeNetworkAcls"), "{report:#}");
}

#[test]
fn a_cluster_that_does_not_exist_leaves_a_report_that_says_so() {
    let aws = serve(with_acls().path());
    let out = scratch();
    let file = out.path().join("report.json");
    let run = Netcheck::new(["reach", "--cluster", "nope"]).env("AWS_ENDPOINT_URL", &aws.0.url());
    let run = run.env("AWS_ACCESS_KEY_ID", "A").env("AWS_SECRET_ACCESS_KEY", "B");
    let run = run.env("AWS_REGION", "ap-northeast-2").arg("--write");
    let ran = run.arg(format!("json={}", file.display())).run();
    assert_eq!((ran.code, ran.stdout.as_str()), (4, ""), "{}", ran.stderr);
    let report: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!((&report["cluster"], &report["verdict"]), (&"nope".into(), &"unknown".into()));
    assert!(report["gaps"].to_string().contains("myeks"), "{report:#}");
}

/// Older IAM policies lack the action.
#[test]
fn network_acls_that_are_refused_leave_the_exit_code_of_collect() {
    for (fault, code) in [
        (None, 0),
        (Some(("DescribeNetworkAcls", FaultKind::Denied)), 0),
        (Some(("DescribeNetworkAcls", FaultKind::Internal)), 3),
        (Some(("DescribeSubnets", FaultKind::Denied)), 3),
    ] {
        let aws = serve(with_acls().path());
        aws.0.update_account(|account| {
            let cluster = account.clusters.get_mut("myeks").unwrap();
            cluster["endpoint"] = "https://localhost".into();
        });
        let name = format!("{fault:?}");
        if let Some((operation, kind)) = fault {
            aws.0.inject_fault(Fault::always(operation, kind));
        }
        let out = scratch();
        let dir = out.path().join("evidence");
        let collect = aws.run("collect").args(&["--nodes", "none", "--timeout", "8", "--out"]);
        let ran = collect.arg(&dir).run();
        assert_eq!(ran.code, code, "{name}: {}", ran.stderr);
        assert_eq!(
            ran.stderr.contains("network-acls.json: "),
            name.contains("NetworkAcls"),
            "{name}: {}",
            ran.stderr
        );
        // What is refused is not missed by audit; reach lists it, and answers without it.
        if name.contains("NetworkAcls") {
            let audit = Netcheck::audit(&dir).run();
            assert!(!audit.stdout.contains("network-acls"), "{}", audit.stdout);
            let reached = reach(&dir, "192.168.11.10").run();
            assert_eq!(reached.code, 0, "{}", reached.stdout);
            assert!(reached.stdout.contains("- network-acls.json: "), "{}", reached.stdout);
        } else {
            assert!(dir.join("network-acls.json").exists());
        }
    }
}
