//! Calls that are refused, fail, or have an answer that is not whole.

use std::time::{Duration, Instant};

use eks_netcheck_lab::aws::{Fault, FaultKind};
use serde_json::json;

use super::{Aws, gap, text};
use crate::common::{Netcheck, Ran, root};

/// The EC2 calls, the file that each fills, and the rules that cannot judge a
/// private-only cluster without it.
const FILES: [(&str, &str, &[&str]); 8] = [
    ("DescribeNetworkInterfaces", "network-interfaces.json", &["control-plane-enis-missing"]),
    ("DescribeInstances", "instances.json", &[]),
    ("DescribeVpcs", "vpc.json", &["private-dns-unavailable"]),
    ("DescribeSubnets", "subnets.json", &[]),
    ("DescribeDhcpOptions", "dhcp-options.json", &["private-dns-unavailable"]),
    ("DescribeNatGateways", "nat-gateways.json", &[]),
    ("DescribeRouteTables", "route-tables.json", &[]),
    ("DescribeSecurityGroups", "security-groups.json", &[]),
];

#[test]
fn a_denied_call_is_a_gap_that_names_the_action_and_the_affected_rules() {
    for (operation, file, affected) in FILES {
        let aws = Aws::of("private-only");
        aws.fault(operation, FaultKind::Denied);
        let (report, _) = aws.audit().json();
        let gap = gap(&report, file).unwrap_or_else(|| panic!("{file}: {report:#}"));
        assert_eq!(gap["why"], "access-denied", "{file}");
        assert!(text(&gap["detail"]).contains("UnauthorizedOperation: "), "{gap}");
        assert!(text(&gap["hint"]).contains(&format!("ec2:{operation}")), "{gap}");
        let rules: Vec<_> = gap["rules"].as_array().unwrap().iter().map(text).collect();
        assert_eq!(rules, affected, "{file}");
    }
}

#[test]
fn a_denied_vpc_attribute_is_a_gap_of_its_own() {
    let aws = Aws::of("private-only");
    aws.fault("DescribeVpcAttribute", FaultKind::Denied);
    let (report, code) = aws.audit().json();
    assert_eq!((code, report["verdict"].as_str()), (3, Some("inconclusive")));
    for attribute in ["enableDnsSupport", "enableDnsHostnames"] {
        let gap = gap(&report, &format!("vpc.json: {attribute}")).unwrap();
        assert_eq!(gap["why"], "access-denied");
        assert!(text(&gap["hint"]).starts_with("allow ec2:DescribeVpcAttribute"), "{gap}");
        assert_eq!(gap["rules"], json!(["private-dns-unavailable"]));
    }
}

#[test]
fn throttled_calls_are_retried() {
    let aws = Aws::of("study-public");
    for operation in ["DescribeCluster", "DescribeNetworkInterfaces"] {
        aws.0.inject_fault(Fault::always(operation, FaultKind::Throttled).times(2));
    }
    aws.0.inject_fault(Fault::always("DescribeSubnets", FaultKind::Internal).times(1));
    let (report, _) = aws.audit().json();
    for file in ["network-interfaces.json", "subnets.json"] {
        assert!(gap(&report, file).is_none(), "{report:#}");
    }
    assert_eq!(report["enis"].as_array().unwrap().iter().filter(|eni| eni["eks_owned"] == true).count(), 2);
}

#[test]
fn persistent_throttling_is_a_gap_with_its_cause() {
    let aws = Aws::of("study-public");
    aws.fault("DescribeNetworkInterfaces", FaultKind::Throttled);
    let began = Instant::now();
    let (report, _) = aws.run("audit").args(&["--nodes", "none", "--timeout", "3"]).json();
    assert!(began.elapsed() < Duration::from_secs(12));
    let gap = gap(&report, "network-interfaces.json").unwrap();
    assert!(text(&gap["detail"]).contains("HTTP status 503"), "{gap}");
}

/// An audit in which `DescribeCluster` fails.
fn failed_describe(kind: FaultKind) -> Ran {
    let aws = Aws::of("study-public");
    aws.fault("DescribeCluster", kind);
    aws.run("audit").args(&["--nodes", "none", "--timeout", "3"]).run()
}

#[test]
fn a_cluster_that_cannot_be_described_is_not_judged() {
    let kinds = [
        (FaultKind::Denied, "AccessDeniedException", "; allow eks:DescribeCluster; "),
        (FaultKind::Expired, "ExpiredTokenException", "; log in again (aws sso login), "),
        (FaultKind::Throttled, "HTTP status 429", "; try again, or pass a longer --timeout"),
        (FaultKind::Html, "not from AWS", "; check what answers at that address"),
        (FaultKind::NoResponse, "no answer within 3 s", "; try again, or pass a longer --timeout"),
        (FaultKind::TruncatedBody, "", "; "),
        (FaultKind::Close, "", "; "),
    ];
    for (kind, message, next_step) in kinds {
        let name = format!("{kind:?}");
        let ran = failed_describe(kind);
        assert_eq!(ran.code, 3, "{name}: {}", ran.stderr);
        assert!(ran.stdout.is_empty(), "{name}");
        assert!(ran.stderr.contains(message) && ran.stderr.contains(next_step), "{name}: {}", ran.stderr);
        assert!(
            ran.stderr.starts_with("error: cannot describe the cluster myeks (ap-northeast-2): "),
            "{name}"
        );
        assert!(!ran.stderr.contains("service error"), "{name}: {}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1, "{name}: {}", ran.stderr);
    }
}

#[test]
fn an_unknown_cluster_is_refused_with_the_names_that_exist() {
    let aws = Aws::of("study-public");
    let audit_unknown = |aws: &Aws| {
        aws.0.update_account(|account| account.clusters.retain(|name, _| name == "myeks"));
        Netcheck::new(["audit", "--cluster", "MyEKS", "--region", "ap-northeast-2"])
            .env("AWS_ENDPOINT_URL", &aws.0.url())
            .env("AWS_ACCESS_KEY_ID", "A")
            .env("AWS_SECRET_ACCESS_KEY", "B")
            .run()
    };
    let ran = audit_unknown(&aws);
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("the clusters in ap-northeast-2 are myeks; names are case-sensitive"),
        "{}",
        ran.stderr
    );
    aws.fault("ListClusters", FaultKind::Denied);
    let ran = audit_unknown(&aws);
    assert_eq!(ran.code, 4);
    assert!(ran.stderr.contains("aws eks list-clusters --region ap-northeast-2"), "{}", ran.stderr);
}

#[test]
fn an_html_page_is_not_an_empty_list() {
    let aws = Aws::of("private-only");
    aws.fault("DescribeNetworkInterfaces", FaultKind::Html);
    // Without nodes, only rules of medium severity need the interfaces.
    let (report, code) = aws.audit().args(&["--fail-on", "medium"]).json();
    let gap = gap(&report, "network-interfaces.json").unwrap();
    assert_eq!(gap["why"], "malformed");
    assert_eq!((code, report["verdict"].as_str()), (3, Some("inconclusive")), "{report:#}");
}

/// A body that no length delimits ends where the connection does, which the client cannot
/// tell from its end.
#[test]
fn no_beginning_of_an_answer_is_taken_for_the_answer() {
    let files = FILES.map(|(operation, file, _)| (operation, file));
    let attributes = ["vpc.json: enableDnsSupport", "vpc.json: enableDnsHostnames"];
    let attributes = attributes.map(|what| ("DescribeVpcAttribute", what));
    let calls = [&files[..], &attributes[..]];
    let cuts = [0, 150, 400, 600, 800, 900, 970, 999];
    // Names do not resolve here: without rules that need DNS, the cluster passes.
    let policy = root().join("tests/it/fleet.toml");
    let audit = |aws: &Aws| aws.run("audit").args(&["--nodes", "none", "--policy"]).arg(&policy);
    assert_eq!(audit(&Aws::of("private-only")).run().code, 0);
    for (thousandths, calls) in cuts.into_iter().flat_map(|cut| calls.map(|calls| (cut, calls))) {
        let aws = Aws::of("private-only");
        for (operation, _) in calls {
            aws.fault(operation, FaultKind::Cut { thousandths });
        }
        let (report, code) = audit(&aws).args(&["--timeout", "1"]).json();
        assert_eq!((code, text(&report["verdict"])), (3, "inconclusive"), "{thousandths}: {report:#}");
        for (_, what) in calls {
            let gap = gap(&report, what).unwrap_or_else(|| panic!("{what} of {thousandths}: {report:#}"));
            // The empty document is no XML for the SDK either. On a slow machine, the first
            // attempt may not end in time.
            let detail = if thousandths == 0 { "not from AWS" } else { "the answer is cut off or damaged" };
            let is_named = text(&gap["detail"]).contains(detail);
            assert!(is_named || gap["why"] == "timed-out", "{gap}");
        }
    }
}

#[test]
fn an_answer_that_is_cut_off_once_is_requested_again() {
    let aws = Aws::of("private-only");
    for (operation, ..) in FILES {
        aws.0.inject_fault(Fault::always(operation, FaultKind::Cut { thousandths: 700 }).times(1));
    }
    let (report, _) = aws.audit().json();
    for (_, file, _) in FILES {
        assert!(gap(&report, file).is_none(), "{report:#}");
    }
}

/// A cut in a later page loses nodes, not the whole answer.
#[test]
fn a_page_that_is_cut_off_is_a_gap() {
    let aws = Aws::of("private-only");
    aws.0.update_account(|account| account.page_size = Some(1));
    let cut = FaultKind::Cut { thousandths: 950 };
    aws.0.inject_fault(Fault::always("DescribeNetworkInterfaces", cut).after(1));
    let (report, code) =
        aws.run("audit").args(&["--nodes", "none", "--timeout", "1", "--fail-on", "medium"]).json();
    assert_eq!(code, 3, "{report:#}");
    assert!(gap(&report, "network-interfaces.json").is_some(), "{report:#}");
}

#[test]
fn a_description_that_is_cut_off_is_not_judged() {
    for thousandths in [0, 100, 300, 500, 700, 900, 990, 999] {
        let ran = failed_describe(FaultKind::Cut { thousandths });
        assert_eq!((ran.code, ran.stdout.as_str()), (3, ""), "{thousandths}: {}", ran.stderr);
    }
}

/// An empty list is an answer; the answer without the list is not.
#[test]
fn an_answer_without_its_list_is_a_gap() {
    for (operation, file, _) in FILES {
        let aws = Aws::of("private-only");
        let body = format!("<{operation}Response><requestId>1</requestId></{operation}Response>");
        aws.fault(operation, FaultKind::Body(body));
        let (report, _) = aws.audit().json();
        let gap = gap(&report, file).unwrap_or_else(|| panic!("{file}: {report:#}"));
        assert_eq!(gap["why"], "malformed", "{gap}");
        assert!(text(&gap["detail"]).contains("the answer has no list of"), "{gap}");
    }
    let aws = Aws::of("private-only");
    let body = "<DescribeVpcAttributeResponse><vpcId>vpc-1</vpcId></DescribeVpcAttributeResponse>";
    aws.fault("DescribeVpcAttribute", FaultKind::Body(body.to_owned()));
    let (report, code) = aws.audit().json();
    let gap = gap(&report, "vpc.json: enableDnsSupport").unwrap();
    assert_eq!((code, text(&gap["why"])), (3, "malformed"), "{gap}");
}

#[test]
fn an_endless_answer_is_cut_off() {
    let aws = Aws::of("study-public");
    aws.fault("DescribeSubnets", FaultKind::SlowBody);
    let began = Instant::now();
    let (report, _) = aws.run("audit").args(&["--nodes", "none", "--timeout", "2"]).json();
    assert!(began.elapsed() < Duration::from_secs(10));
    assert!(gap(&report, "subnets.json").is_some());
}
