//! Clusters, regions and answers that fail, and what is written then.

use eks_netcheck_lab::aws::{Api, Fault, FaultKind};
use serde_json::Value;

use super::{HERE, REGIONS, account, audit, reports, two_regions, unjudged};
use crate::common::{root, scratch};

#[test]
fn one_failing_cluster_fails_the_run_and_is_named_in_the_table() {
    let aws = two_regions();
    aws.set_account_in(REGIONS[1], account("study-public", HERE, REGIONS[1], &["open"]));
    let args = ["--all-clusters", "--region", "all"];
    let (report, code) = audit(&aws, &args).json();
    assert_eq!(reports(&report)[2], "eu-west-1 open fail");
    assert_eq!((code, &report["verdict"]), (1, &"fail".into()));
    // A finding takes precedence over what could not be judged.
    aws.inject_fault(Fault::always("DescribeCluster", FaultKind::Denied).matching("a"));
    let (report, code) = audit(&aws, &args).json();
    assert_eq!((code, unjudged(&report)), (1, vec![("cluster a (ap-northeast-2)", "access-denied")]));
    // A row of a table, or a text where there is no room for one.
    for (width, begins) in [("80", "FAIL  open (eu-west-1): public, node traffic:"), ("200", "open ")] {
        let ran = audit(&aws, &args).env("COLUMNS", width).run();
        assert!(
            ran.stdout.starts_with("FAIL  2 clusters: 1 fail, 0 inconclusive, 1 pass; 1 could not"),
            "{}",
            ran.stdout
        );
        let overview: Vec<_> = ran.stdout.lines().filter(|line| line.starts_with(begins)).collect();
        assert!(overview.len() == 1 && overview[0].contains("FAIL"), "{}", ran.stdout);
        // A word of a command is not broken.
        let wide = ran.stdout.lines().find(|line| {
            line.chars().count() > width.parse().unwrap() && line.split_whitespace().count() > 2
        });
        assert_eq!(wide, None);
    }
}

#[test]
fn an_unreadable_region_or_cluster_makes_the_run_inconclusive() {
    let all = ["--all-clusters", "--region", "all"];
    for (fault, subject, why) in [
        (
            Fault::always("ListClusters", FaultKind::Denied).matching("eu-west-1"),
            "all clusters (eu-west-1)",
            "access-denied",
        ),
        (Fault::always("DescribeRegions", FaultKind::Denied), "all regions", "access-denied"),
        (
            Fault::always("ListClusters", FaultKind::Html).matching("eu-west-1"),
            "all clusters (eu-west-1)",
            "malformed",
        ),
        (
            Fault::always("DescribeCluster", FaultKind::Denied).matching("c"),
            "cluster c (eu-west-1)",
            "access-denied",
        ),
        // Deleted between ListClusters and DescribeCluster.
        (
            Fault::always("DescribeCluster", FaultKind::NotFound).matching("c"),
            "cluster c (eu-west-1)",
            "not-found",
        ),
        (
            Fault::always("DescribeCluster", FaultKind::Throttled).matching("c"),
            "cluster c (eu-west-1)",
            "timed-out",
        ),
        (
            Fault::always("DescribeCluster", FaultKind::NoResponse).matching("c"),
            "cluster c (eu-west-1)",
            "timed-out",
        ),
    ] {
        let aws = two_regions();
        let name = format!("{fault:?}");
        aws.inject_fault(fault);
        let (report, code) = audit(&aws, &all).args(&["--timeout", "2"]).json();
        assert_eq!((code, &report["verdict"]), (3, &"inconclusive".into()), "{name}");
        assert_eq!(unjudged(&report), [(subject, why)], "{name}");
        let hint = report["unjudged"][0]["hint"].as_str().unwrap();
        assert!(!hint.is_empty(), "{name}");
        reports(&report);
        // The format does not change the exit code, and names what was not judged.
        for format in ["table", "html", "sarif", "junit", "markdown", "github", "gitlab", "ocsf"] {
            let ran = audit(&aws, &all).args(&["--timeout", "2", "--format", format]).run();
            assert_eq!(ran.code, 3, "{name} {format}");
            assert!(
                ran.stdout.contains(subject.split(' ').next_back().unwrap().trim_matches(['(', ')'])),
                "{name} {format}: {}",
                ran.stdout
            );
        }
    }
}

/// An answer without its list names no cluster and no region, and is not the answer that
/// there are none.
#[test]
fn a_list_that_is_missing_or_cut_off_is_not_empty() {
    let bodies = ["{}", r#"{"clusters": null}"#, r#"{"nextToken": null}"#, "", r#"{"clusters": ["a""#];
    let bodies = bodies.map(|body| FaultKind::Body(body.to_owned()));
    for kind in bodies.into_iter().chain([300, 700, 950].map(|thousandths| FaultKind::Cut { thousandths })) {
        let aws = two_regions();
        aws.inject_fault(Fault::always("ListClusters", kind.clone()));
        let (report, code) = audit(&aws, &["--all-clusters", "--timeout", "1"]).json();
        let subjects: Vec<_> = unjudged(&report).into_iter().map(|(subject, _)| subject).collect();
        assert_eq!((code, subjects), (3, vec!["all clusters (ap-northeast-2)"]), "{kind:?}");
    }
    let response = |inner: &str| format!("<DescribeRegionsResponse>{inner}</DescribeRegionsResponse>");
    let bodies = ["", "<regionInfo/>", "<regionInfo><item/></regionInfo>"];
    let bodies = bodies.map(|inner| FaultKind::Body(response(inner)));
    for kind in bodies.into_iter().chain([300, 700, 950].map(|thousandths| FaultKind::Cut { thousandths })) {
        let aws = two_regions();
        aws.inject_fault(Fault::always("DescribeRegions", kind.clone()));
        let (report, code) = audit(&aws, &["--all-clusters", "--region", "all", "--timeout", "1"]).json();
        let subjects: Vec<_> = unjudged(&report).into_iter().map(|(subject, _)| subject).collect();
        assert_eq!((code, subjects), (3, vec!["all regions"]), "{kind:?}");
    }
}

/// Each batched call fails in turn: what a rule at the threshold needs makes every
/// cluster inconclusive, the rest is only listed.
#[test]
fn a_failed_batched_call_is_a_gap_of_every_cluster() {
    for (operation, file, code) in [
        ("DescribeNetworkInterfaces", "network-interfaces.json", 3),
        ("DescribeVpcs", "vpc.json", 3),
        ("DescribeVpcAttribute", "vpc.json: enableDnsSupport", 3),
        ("DescribeDhcpOptions", "dhcp-options.json", 3),
        ("DescribeInstances", "instances.json", 0),
        ("DescribeSubnets", "subnets.json", 0),
        ("DescribeNatGateways", "nat-gateways.json", 0),
        ("DescribeRouteTables", "route-tables.json", 0),
        ("DescribeSecurityGroups", "security-groups.json", 0),
    ] {
        for kind in [FaultKind::Denied, FaultKind::Throttled] {
            // The name in the descriptions of the story's ENIs.
            let aws = Api::serve(account("private-only", HERE, REGIONS[0], &["myeks"])).unwrap();
            aws.set_account_in(REGIONS[1], account("private-only", HERE, REGIONS[1], &["myeks"]));
            let name = format!("{operation} {kind:?}");
            aws.inject_fault(Fault::always(operation, kind));
            let args = ["--all-clusters", "--region", "all", "--timeout", "2", "--fail-on", "low"];
            let (report, ran) = audit(&aws, &args).json();
            assert_eq!((ran, reports(&report).len()), (code, 2), "{name}: {report:#}");
            for one in report["reports"].as_array().unwrap() {
                let gaps = one["gaps"].as_array().unwrap();
                assert!(gaps.iter().any(|gap| gap["what"] == file), "{name}: {gaps:?}");
            }
        }
    }
    // An empty list is an answer, and does not pass either.
    let aws = two_regions();
    let mut empty = account("private-only", HERE, REGIONS[0], &["a", "b"]);
    empty.network_interfaces.clear();
    aws.set_account(empty);
    let (report, code) = audit(&aws, &["--all-clusters", "--fail-on", "medium"]).json();
    assert_eq!(
        (code, report["reports"][0]["findings"][0]["rule"].as_str()),
        (1, Some("control-plane-enis-missing"))
    );
}

/// A single cluster that cannot be described still gets a report in every format.
#[test]
fn a_failed_describe_replaces_old_reports() {
    let aws = two_regions();
    aws.inject_fault(Fault::always("DescribeCluster", FaultKind::Denied));
    let dir = scratch();
    let (sarif, summary) = (dir.path().join("r.sarif"), dir.path().join("summary"));
    std::fs::write(&sarif, "of the last run").unwrap();
    let run = audit(&aws, &["--cluster", "a", "--format", "json"])
        .args(&["--write", &format!("sarif={}", sarif.display())])
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_STEP_SUMMARY", summary.to_str().unwrap());
    let ran = run.run();
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["gaps"][0]["what"], "cluster a (ap-northeast-2)");
    assert_eq!(report["gaps"][0]["why"], "access-denied");
    assert!(ran.stderr.contains("error: cannot describe the cluster a (ap-northeast-2): "), "{}", ran.stderr);
    let log: Value = serde_json::from_str(&std::fs::read_to_string(&sarif).unwrap()).unwrap();
    assert_eq!(log["runs"][0]["invocations"][0]["executionSuccessful"], false);
    assert!(std::fs::read_to_string(&summary).unwrap().contains("cluster a"));
}

/// However a run fails, and whatever it was asked about, each file has a whole report that is not
/// a pass, and the shape of the JSON is that of the question.
#[test]
fn every_file_is_written_however_a_run_fails() {
    let absent = || Api::serve(account("private-only", HERE, REGIONS[0], &[])).unwrap();
    let denied = |operation: &str| {
        let aws = two_regions();
        aws.inject_fault(Fault::always(operation, FaultKind::Denied));
        aws
    };
    let all = ["--all-clusters", "--region", REGIONS[0]];
    let cases: [(Api, &[&str], i32, bool); 7] = [
        (absent(), &["--cluster", "a"], 4, false),
        (absent(), &all, 4, true),
        (absent(), &["--cluster", "a", "--cluster", "b"], 4, true),
        (denied("DescribeCluster"), &["--cluster", "a"], 3, false),
        (denied("DescribeCluster"), &["--cluster", "a", "--cluster", "b"], 3, true),
        (denied("ListClusters"), &all, 3, true),
        (denied("DescribeCluster"), &all, 3, true),
    ];
    for (aws, args, code, is_many) in cases {
        let dir = scratch();
        let mut run = audit(&aws, args);
        for format in &eks_netcheck::report::FORMATS {
            let file = dir.path().join(format.name);
            std::fs::write(&file, "of the last run").unwrap();
            run = run.args(&["--write", &format!("{}={}", format.name, file.display())]);
        }
        let ran = run.run();
        assert_eq!(
            (ran.code, ran.stdout.is_empty()),
            (code, code == 4 || !is_many),
            "{args:?} {}",
            ran.stderr
        );
        for format in &eks_netcheck::report::FORMATS {
            let name = format.name;
            let text = std::fs::read_to_string(dir.path().join(name)).unwrap();
            assert!(!text.contains("of the last run") && text.ends_with('\n'), "{args:?} {name}: {text}");
            let json = || serde_json::from_str::<Value>(&text).unwrap();
            match name {
                "json" => {
                    let report = json();
                    let schema = if is_many { "reports" } else { "report" };
                    assert_eq!(report["schema"], format!("eks-netcheck.{schema}.v1"), "{args:?}");
                    let file = root().join(format!("src/report/{schema}.v1.schema.json"));
                    let schema = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
                    jsonschema::validate(&schema, &report).unwrap();
                    assert_eq!(report["verdict"], "inconclusive", "{args:?}");
                    assert!(is_many || report["cluster"]["name"] == "a", "{report:#}");
                }
                "sarif" => assert_eq!(json()["runs"][0]["invocations"][0]["executionSuccessful"], false),
                "ocsf" => assert!(!json().as_array().unwrap().is_empty(), "{args:?}"),
                "gitlab" => assert!(json().is_array()),
                "junit" => assert!(text.contains("<error") && text.contains("</testsuites>"), "{text}"),
                "table" | "markdown" => {
                    assert!(text.to_lowercase().contains("inconclusive"), "{args:?} {name}: {text}");
                }
                "github" => assert!(text.starts_with("::"), "{args:?}: {text}"),
                // The shape of others is that of their own tests.
                _ => assert!(!text.trim().is_empty(), "{args:?} {name}"),
            }
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), eks_netcheck::report::FORMATS.len());
    }
}
