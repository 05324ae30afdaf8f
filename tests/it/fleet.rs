//! Audits of many clusters in one run, across regions and accounts, with one verdict.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use eks_netcheck_lab::aws::{Account, Api, Fault, FaultKind};
use serde_json::{Value, json};

use crate::common::{Netcheck, root, scratch, story};

const REGIONS: [&str; 2] = ["ap-northeast-2", "eu-west-1"];

/// An account whose clusters are copies of a story's, with the given names.
fn account(story_name: &str, id: &str, region: &str, names: &[&str]) -> Account {
    let mut account = Account::from_evidence(&story(story_name)).unwrap();
    let original = account.clusters.remove("myeks").unwrap();
    for name in names {
        let mut cluster = original.clone();
        cluster["name"] = json!(name);
        cluster["arn"] = json!(format!("arn:aws:eks:{region}:{id}:cluster/{name}"));
        account.clusters.insert((*name).to_owned(), cluster);
    }
    account.id = id.into();
    account.regions = REGIONS.map(str::to_owned).to_vec();
    account
}

/// The account of the run's own credentials.
const HERE: &str = "111122223333";

/// An AWS with `private` clusters in two regions.
fn two_regions() -> Api {
    let aws = Api::serve(account("private-only", HERE, REGIONS[0], &["a", "b"])).unwrap();
    aws.set_account_in(REGIONS[1], account("private-only", HERE, REGIONS[1], &["b", "c"]));
    aws
}

fn audit(aws: &Api, args: &[&str]) -> Netcheck {
    Netcheck::new(["audit", "--nodes", "none"])
        .args(args)
        .env("AWS_ENDPOINT_URL", &aws.url())
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "not-a-secret")
        .env("AWS_REGION", REGIONS[0])
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        // The endpoints' names do not resolve: judge only what AWS answers.
        .arg("--policy")
        .arg(policy())
}

/// A policy without the rules that need DNS answers.
fn policy() -> PathBuf {
    root().join("tests/it/fleet.toml")
}

/// Checks a combined report against its schema; `region name verdict` of each cluster.
fn reports(report: &Value) -> Vec<String> {
    let schema = root().join("src/report/reports.v1.schema.json");
    let schema = serde_json::from_str(&std::fs::read_to_string(schema).unwrap()).unwrap();
    let errors: Vec<_> = jsonschema::validator_for(&schema)
        .unwrap()
        .iter_errors(report)
        .map(|error| error.to_string())
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(report["schema"], "eks-netcheck.reports.v1");
    let all = report["reports"].as_array().unwrap().iter();
    all.map(|one| {
        let word = |key: &str| one["cluster"][key].as_str().unwrap().to_owned();
        format!("{} {} {}", word("region"), word("name"), one["verdict"].as_str().unwrap())
    })
    .collect()
}

/// The subject and reason of each cluster or region that could not be judged.
fn unjudged(report: &Value) -> Vec<(&str, &str)> {
    let all = report["unjudged"].as_array().unwrap().iter();
    all.map(|one| (one["subject"].as_str().unwrap(), one["why"].as_str().unwrap())).collect()
}

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
    for width in ["80", "200"] {
        let ran = audit(&aws, &args).env("COLUMNS", width).run();
        assert!(
            ran.stdout.starts_with("FAIL  2 clusters: 1 fail, 0 inconclusive, 1 pass; 1 could not"),
            "{}",
            ran.stdout
        );
        let overview: Vec<_> = ran.stdout.lines().filter(|line| line.starts_with("open ")).collect();
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

/// With rules selected, several clusters are judged by those alone, in every format, with the same
/// exit code.
#[test]
fn a_selection_of_rules_holds_for_every_cluster_and_format() {
    let aws = two_regions();
    aws.set_account_in(REGIONS[1], account("study-public", HERE, REGIONS[1], &["open"]));
    let dir = scratch();
    let fleet = ["--all-clusters", "--region", "all"];
    for (rules, code) in [
        (["--rule", "public-endpoint-open"], 1),
        (["--rule", "public-endpoint-enabled"], 0),
        (["--skip-rule", "public-endpoint-open,node-egress-not-allowed"], 0),
    ] {
        let mut run = audit(&aws, &[&fleet[..], &rules].concat());
        for format in eks_netcheck::report::FORMATS {
            run = run.args(&["--write", &format!("{0}={1}/{0}", format.name, dir.path().display())]);
        }
        let ran = run.run();
        assert_eq!(ran.code, code, "{rules:?}: {}{}", ran.stdout, ran.stderr);
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        let json = |name: &str| serde_json::from_str::<Value>(&read(name)).unwrap();
        let report = json("json");
        assert_eq!(reports(&report).len(), 3);
        let skipped: Vec<_> =
            report["reports"].as_array().unwrap().iter().map(|one| &one["rules_skipped"]).collect();
        assert!(skipped.iter().all(|one| *one == skipped[0] && !one.as_array().unwrap().is_empty()));
        let skipped: Vec<_> = skipped[0].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
        let judged = eks_netcheck::rules::ALL.len() - skipped.len();
        let number = format!("{} rules not judged (--rule", skipped.len());
        for name in ["table", "html", "markdown", "github", "sarif"] {
            let text = read(name).split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(text.contains(&number), "{rules:?} {name}: {text}");
        }
        assert_eq!(read("junit").matches("not selected on the command line").count(), 3 * skipped.len());
        assert_eq!(read("junit").contains("<failure"), code == 1);
        let asff: Vec<Value> =
            read("asff").lines().flat_map(|line| serde_json::from_str::<Vec<Value>>(line).unwrap()).collect();
        assert_eq!(asff.len(), 3 * judged, "{rules:?}");
        for id in skipped {
            for (name, pointer) in [("sarif", "ruleId"), ("gitlab", "check_name"), ("ocsf", "event_code")] {
                let is_found = format!("\"{pointer}\": \"{id}\"");
                assert!(!read(name).contains(&is_found), "{rules:?} {name}: {id}");
            }
            let is_judged = format!("rule=\"{id}\"}} 1");
            let metrics = read("openmetrics");
            let of = metrics.lines().filter(|line| line.starts_with("eks_netcheck_rule_judged{"));
            assert!(!of.into_iter().any(|line| line.ends_with(&is_judged)), "{id}: {metrics}");
        }
    }
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

/// Formats without a size limit contain all findings of 500 clusters; the others give
/// a count of what they leave out.
#[test]
fn five_hundred_clusters_are_reported_in_full_or_counted() {
    let names: Vec<_> = (0..500).map(|number| format!("c{number:03}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let aws = Api::serve(account("study-public", HERE, REGIONS[0], &names)).unwrap();
    let dir = scratch();
    let file = |name: &str| dir.path().join(name);
    let mut run = audit(&aws, &["--all-clusters", "--timeout", "120", "--format", "json"]);
    for format in
        ["html", "sarif", "junit", "markdown", "github", "gitlab", "ocsf", "asff", "openmetrics", "table"]
    {
        run = run.args(&["--write", &format!("{format}={}", file(format).display())]);
    }
    let began = Instant::now();
    let ran = run.run();
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(began.elapsed() < Duration::from_secs(100), "{:?}", began.elapsed());
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(reports(&report).len(), 500);
    let findings = report["reports"][0]["findings"].as_array().unwrap().len() * 500;
    assert!(findings >= 1500, "{findings}");
    let read = |name: &str| std::fs::read_to_string(file(name)).unwrap();
    let json = |name: &str| serde_json::from_str::<Value>(&read(name)).unwrap();
    let results = json("sarif")["runs"][0]["results"].as_array().unwrap().clone();
    let fingerprints: std::collections::BTreeSet<_> =
        results.iter().map(|one| one["partialFingerprints"]["primaryLocationLineHash"].to_string()).collect();
    assert_eq!(
        (fingerprints.len(), results.len()),
        (findings, findings),
        "no two results share a fingerprint"
    );
    assert_eq!(json("gitlab").as_array().unwrap().len(), findings);
    // One finding for each rule and cluster, at most 100 in a batch.
    let batches: Vec<Vec<Value>> =
        read("asff").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: std::collections::BTreeSet<_> =
        batches.iter().flatten().map(|one| one["Id"].to_string()).collect();
    let all = 500 * eks_netcheck::rules::ALL.len();
    assert_eq!((ids.len(), batches.len()), (all, all.div_ceil(100)));
    assert!(batches.iter().all(|batch| batch.len() <= 100));
    let verdicts = r#"eks_netcheck_clusters{verdict="fail"} 500"#;
    assert!(read("openmetrics").contains(verdicts));
    assert!(read("markdown").len() < 1 << 20);
    assert_eq!(read("html").matches("<section class=\"cluster\"").count(), 500);
    let lines = read("github");
    let count = |level: &str| lines.lines().filter(|line| line.starts_with(level)).count();
    assert_eq!((count("::error "), count("::warning "), count("::notice ")), (10, 10, 2));
    assert!(lines.trim_end().lines().last().unwrap().contains(&format!("{} more", findings - 20)), "{lines}");
    let rules = std::fs::read_dir(root().join("fixtures/rules")).unwrap().count();
    assert!(read("junit").contains(&format!(r#"tests="{}""#, 500 * rules)));
}

/// The documented commands import each batch in its region; a stub of the aws CLI records
/// them.
#[test]
fn the_documented_commands_import_every_batch_of_asff() {
    let aws = two_regions();
    let dir = scratch();
    let to = format!("asff={}", dir.path().join("findings.json").display());
    audit(&aws, &["--all-clusters", "--region", "all", "--write", &to]).run();
    let stub = "#!/bin/sh\nprintf '%s ' \"$@\" >>calls\njq length \"${6#file://}\" >>calls\n";
    let path = dir.path().join("aws");
    std::fs::write(&path, stub).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let commands = crate::docs::code_block("docs/compliance.md", "import");
    let search = format!("{}:/usr/bin:/bin", dir.path().display());
    let ran = std::process::Command::new("sh")
        .args(["-euc", &commands])
        .current_dir(dir.path())
        .env("PATH", search)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    // Of two clusters in each region.
    let rules = 2 * eks_netcheck::rules::ALL.len();
    let calls: Vec<_> = [("aa", REGIONS[0]), ("ab", REGIONS[1])]
        .map(|(name, region)| {
            format!(
                "securityhub batch-import-findings --region {region} --findings file://batch.{name} {rules}"
            )
        })
        .into();
    let called = std::fs::read_to_string(dir.path().join("calls")).unwrap();
    assert_eq!(called.lines().collect::<Vec<_>>(), calls);
}
