//! Which clusters of which regions and accounts are audited.

use eks_netcheck_lab::aws::{Api, Fault, FaultKind};
use serde_json::{Value, json};

use super::{HERE, REGIONS, account, audit, reports, two_regions, unjudged};
use crate::common::scratch;

#[test]
fn all_clusters_of_all_regions_are_judged_in_one_run() {
    let aws = two_regions();
    let (report, code) = audit(&aws, &["--all-clusters", "--region", "all"]).json();
    assert_eq!(
        reports(&report),
        ["ap-northeast-2 a pass", "ap-northeast-2 b pass", "eu-west-1 b pass", "eu-west-1 c pass"]
    );
    assert_eq!((code, &report["verdict"], unjudged(&report)), (0, &"pass".into(), vec![]));
    // One region, several regions, names, and a name that exists in both regions.
    let regions = ["--region", REGIONS[0], "--region", REGIONS[1]];
    for (args, expected) in [
        (&["--all-clusters"][..], 2),
        (&["--all-clusters", "--region", "eu-west-1"], 2),
        (&[&["--all-clusters"], &regions[..]].concat(), 4),
        (&["--cluster", "a", "--cluster", "b"], 2),
        (&["--cluster", "a", "--cluster", "a", "--cluster", "b"], 2),
        (&[&["--cluster", "b"], &regions[..]].concat(), 2),
        (&[&["--cluster", "c"], &regions[..]].concat(), 1),
    ] {
        let (report, code) = audit(&aws, args).json();
        assert_eq!((reports(&report).len(), code), (expected, 0), "{args:?}");
    }
}

#[test]
fn no_matching_cluster_exits_with_4() {
    let aws = Api::serve(account("private-only", HERE, REGIONS[0], &[])).unwrap();
    let ran = audit(&aws, &["--all-clusters", "--region", REGIONS[0]]).run();
    assert_eq!((ran.code, ran.stdout.as_str()), (4, ""));
    assert!(ran.stderr.contains("no cluster in the accounts and regions queried"), "{}", ran.stderr);
    let aws = two_regions();
    let ran = audit(&aws, &["--cluster", "x", "--region", REGIONS[0], "--region", REGIONS[1]]).run();
    assert_eq!((ran.code, ran.stdout.as_str()), (4, ""));
    assert!(ran.stderr.contains("it does not exist in any of 2"), "{}", ran.stderr);
    // One unknown cluster of two makes the run inconclusive.
    let (report, code) = audit(&aws, &["--cluster", "a", "--cluster", "x"]).json();
    assert_eq!((code, unjudged(&report)), (3, vec![("cluster x (ap-northeast-2)", "not-found")]));
}

#[test]
fn each_account_is_queried_with_its_role() {
    let aws = two_regions();
    aws.set_account_in(REGIONS[0], account("private-only", "444455556666", REGIONS[0], &["other"]));
    let (one, other) = ("arn:aws:iam::111122223333:role/audit", "arn:aws:iam::444455556666:role/audit");
    let (report, code) = audit(&aws, &["--all-clusters", "--role-arn", one, "--role-arn", other]).json();
    let arns: Vec<_> =
        report["reports"].as_array().unwrap().iter().map(|one| one["cluster"]["arn"].clone()).collect();
    assert_eq!(code, 0, "{arns:?}");
    assert_eq!(
        arns,
        [
            "arn:aws:eks:ap-northeast-2:111122223333:cluster/a",
            "arn:aws:eks:ap-northeast-2:111122223333:cluster/b",
            "arn:aws:eks:ap-northeast-2:444455556666:cluster/other",
        ]
    );
    // Without a default region, a role is assumed in the clusters' region.
    let (report, code) =
        audit(&aws, &["--all-clusters", "--region", REGIONS[0], "--role-arn", one, "--role-arn", other])
            .env("AWS_REGION", "")
            .json();
    assert_eq!((code, reports(&report).len()), (0, 3), "{report:#}");
    // The same from a file, with a role that may not be assumed.
    let dir = scratch();
    let file = dir.path().join("accounts");
    std::fs::write(&file, format!("# ours\n{one}  # the first\n\n{other}\n")).unwrap();
    aws.inject_fault(Fault::always("AssumeRole", FaultKind::Denied).matching(other));
    let accounts = file.to_str().unwrap();
    let (report, code) = audit(&aws, &["--all-clusters", "--accounts", accounts]).json();
    assert_eq!((code, reports(&report).len()), (3, 2));
    let [(subject, _)] = unjudged(&report)[..] else { panic!("{report:#}") };
    assert_eq!(subject, "all clusters (account 444455556666, ap-northeast-2)");
    assert!(report["unjudged"][0]["hint"].as_str().unwrap().contains("sts:AssumeRole"), "{report:#}");
    for (text, message) in [("arn:nonsense", "accounts:1: "), ("# none\n", "names no role")] {
        std::fs::write(&file, text).unwrap();
        let ran = audit(&aws, &["--all-clusters", "--accounts", accounts]).run();
        assert_eq!(ran.code, 2);
        assert!(ran.stderr.contains(message), "{}", ran.stderr);
    }
}

/// One EC2 call covers several clusters; each gets only what belongs to it.
#[test]
fn answers_to_batched_requests_are_split_by_cluster() {
    let (mut here, names) = (account("private-only", HERE, REGIONS[0], &["a"]), ["a", "b"]);
    // A second cluster in another VPC, without ENIs.
    let mut other = here.clusters["a"].clone();
    other["name"] = json!("b");
    other["arn"] = json!(format!("arn:aws:eks:{}:{HERE}:cluster/b", REGIONS[0]));
    let vpc = other["resourcesVpcConfig"]["vpcId"].as_str().unwrap().to_owned();
    let moved = |value: &Value| -> Value {
        serde_json::from_str(&value.to_string().replace(&vpc, "vpc-0000000000000000b")).unwrap()
    };
    here.clusters.insert("b".to_owned(), moved(&other));
    here.vpcs.extend(here.vpcs.iter().map(moved).collect::<Vec<_>>());
    let aws = Api::serve(here).unwrap();
    let (report, _) = audit(&aws, &["--all-clusters"]).json();
    let enis = |index: usize| report["reports"][index]["enis"].as_array().unwrap().len();
    assert!(enis(0) > 0 && enis(1) == 0, "{report:#}");
    for (index, name) in names.iter().enumerate() {
        assert_eq!(report["reports"][index]["cluster"]["name"], *name);
    }
    let calls = aws.calls();
    let count = |operation: &str| calls.iter().filter(|call| call.operation == operation).count();
    assert_eq!(
        (count("DescribeCluster"), count("DescribeVpcs"), count("DescribeNetworkInterfaces")),
        (2, 1, 1)
    );
}

/// One report has one shape, several have another, however many clusters there are.
#[test]
fn the_shape_is_that_of_the_question() {
    let one = || Api::serve(account("private-only", HERE, REGIONS[0], &["a"])).unwrap();
    for (args, schema) in [
        (&["--cluster", "a"][..], "eks-netcheck.report.v1"),
        (&["--cluster", "a", "--cluster", "a"], "eks-netcheck.report.v1"),
        (&["--cluster", "a", "--region", REGIONS[0]], "eks-netcheck.report.v1"),
        (&["--all-clusters"], "eks-netcheck.reports.v1"),
        (&["--cluster", "a", "--cluster", "b"], "eks-netcheck.reports.v1"),
        (&["--cluster", "a", "--region", "all"], "eks-netcheck.reports.v1"),
    ] {
        let ran = audit(&one(), args).args(&["--format", "json"]).run();
        let report: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(report["schema"], schema, "{args:?}");
        let tool = &report["tool"];
        assert_eq!(
            (&tool["name"], &tool["version"]),
            (&json!("eks-netcheck"), &json!(env!("CARGO_PKG_VERSION")))
        );
        let time = tool["time"].as_str().unwrap();
        assert!(time.starts_with("20") && time.ends_with('Z') && time.contains('T'), "{time}");
    }
}

#[test]
fn single_cluster_options_are_refused_for_many_clusters() {
    let aws = two_regions();
    for args in [
        &["--all-clusters", "--nodes", "ssh", "--node", "n1"][..],
        &["--all-clusters", "--cluster", "a"],
        &["--all-clusters", "--evidence", "."],
        &["--cluster", "a", "--cluster", "b", "--evidence", "."],
        &[],
    ] {
        let ran = audit(&aws, args).run();
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{args:?}");
    }
}
