//! Outputs of Run Command that are read from a bucket, since they are too long for Systems
//! Manager.

use std::fmt::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use eks_netcheck_lab::aws::{Agent, Bucket, FaultKind};
use serde_json::{Value, json};

use crate::aws::{Aws, gap, text};
use crate::common::Netcheck;
use crate::ssm::{id, many_nodes, output, output_with};

const BUCKET: &str = "my-bucket";
const OUTPUT: [&str; 4] = ["--nodes", "ssm", "--ssm-output", "s3://my-bucket/some/prefix"];
/// A connection that only the whole output contains.
const LAST: &str = r#"ESTAB 0 0 192.168.1.20:50000 192.168.1.55:443 users:(("last-agent",pid=3011,fd=99))"#;

/// Rows that do not compress well enough for Systems Manager, and then the last one.
fn many_rows() -> String {
    let mut rows = String::new();
    let mut state: u64 = 7;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for _ in 0..5000 {
        let (port, pid, descriptor) = (random(60000), random(99999), random(999));
        let peer = format!("10.{}.{}.{}", random(250), random(250), random(250));
        let row =
            format!("ESTAB 0 0 192.168.1.20:{port} {peer}:443 users:((\"agent\",pid={pid},fd={descriptor}))");
        writeln!(rows, "{row}").unwrap();
    }
    rows + LAST + "\n"
}

/// Two nodes, of which the first prints more than Systems Manager keeps, and a bucket.
fn long_output(bucket: Bucket) -> Aws {
    let aws = many_nodes(2, output());
    let long = output_with(&many_rows());
    assert!(long.stdout.len() > 24_000);
    aws.0.ssm().set_agent(&id(0), Agent::online(Arc::new(move |_| Ok(long.clone()))));
    aws.0.s3().create_bucket(BUCKET, bucket);
    aws
}

/// How often an object was requested, and in which regions.
fn requests(aws: &Aws) -> Vec<String> {
    let calls = aws.0.calls().into_iter().filter(|call| call.operation == "GetObject");
    calls.map(|call| call.region.unwrap()).collect()
}

/// Asserts that the whole output of the first node was judged.
fn assert_whole(report: &Value) {
    let connections = report["connections"].as_array().unwrap();
    assert!(connections.iter().any(|one| one.to_string().contains("last-agent")), "{report:#}");
    let nodes = report["nodes"].as_array().unwrap();
    for node in nodes {
        assert_eq!((&node["status"], &node["via"]), (&json!("read"), &json!("ssm")), "{report:#}");
    }
    assert!(gap(report, "node n0").is_none(), "{report:#}");
}

#[test]
fn an_output_that_was_cut_is_read_from_its_bucket() {
    let aws = long_output(Bucket { appears_after: Duration::from_millis(1500), ..Bucket::default() });
    let (report, _) = aws.run("audit").args(&OUTPUT).json();
    assert_whole(&report);
    assert!(requests(&aws).len() > 2);
    let calls = aws.0.calls();
    let call = calls.iter().find(|call| call.operation == "GetObject").unwrap();
    assert!(call.user_agent.starts_with("eks-netcheck/"), "{}", call.user_agent);
    // Without the bucket, it cannot be judged.
    let (report, _) = aws.run("audit").args(&OUTPUT[..2]).json();
    assert_eq!(gap(&report, "node n0").unwrap()["why"], "too-much-output");
    // An output that fits is not requested.
    let aws = many_nodes(2, output());
    aws.0.s3().create_bucket(BUCKET, Bucket::default());
    aws.run("audit").args(&OUTPUT).json();
    assert!(requests(&aws).is_empty());
}

/// The name of the step is another in the document of AWS.
#[test]
fn the_key_is_that_of_the_document() {
    for (bucket, prefix, args) in [
        ("my.bucket", "", &[][..]),
        ("my-bucket", "/a=b/@c", &["--ssm-document", "AWS-RunShellScript"]),
        ("my_bucket", "/..//x/", &["--role-arn", "arn:aws:iam::111122223333:role/audit"]),
    ] {
        let aws = long_output(Bucket::default());
        aws.0.s3().create_bucket(bucket, Bucket::default());
        let url = format!("s3://{bucket}{prefix}");
        let args = [&["--nodes", "ssm", "--ssm-output", &url], args].concat();
        // Its credentials have a session token.
        let (report, _) = aws.run("audit").env("AWS_SESSION_TOKEN", "a-token").args(&args).json();
        assert_whole(&report);
    }
}

#[test]
fn a_bucket_in_another_region_is_followed_once() {
    let elsewhere = || Bucket { region: Some("us-east-2".to_owned()), ..Bucket::default() };
    for bucket in [elsewhere(), Bucket { is_strict: true, ..elsewhere() }] {
        let aws = long_output(bucket);
        let (report, _) = aws.run("audit").args(&OUTPUT).json();
        assert_whole(&report);
        assert_eq!(requests(&aws), ["ap-northeast-2", "us-east-2"]);
    }
    // One that is in no region that it names.
    let aws = long_output(elsewhere());
    aws.0.s3().create_bucket(BUCKET, Bucket { region: Some("a/b".to_owned()), ..Bucket::default() });
    let (report, _) = aws.run("audit").args(&OUTPUT).json();
    let gap = gap(&report, "node n0").unwrap();
    assert!(text(&gap["hint"]).contains("get-bucket-location --bucket my-bucket"), "{gap:#}");
    assert_eq!(requests(&aws).len(), 1);
}

#[test]
fn failures_that_pass_are_waited_for() {
    for (kind, times) in [
        (FaultKind::Throttled, 2),
        (FaultKind::Internal, 2),
        (FaultKind::Close, 1),
        (FaultKind::TruncatedBody, 1),
    ] {
        let aws = long_output(Bucket::default());
        aws.0.inject_fault(eks_netcheck_lab::aws::Fault::always("GetObject", kind.clone()).times(times));
        let (report, _) = aws.run("audit").args(&OUTPUT).json();
        assert_whole(&report);
        assert!(requests(&aws).len() > times, "{kind:?}");
    }
    // So is an object that is denied as long as it does not exist.
    let appears_after = Duration::from_millis(1500);
    let aws = long_output(Bucket { is_unlisted: true, appears_after, ..Bucket::default() });
    let (report, _) = aws.run("audit").args(&OUTPUT).json();
    assert_whole(&report);
}

/// An error of S3, with a message.
fn error(status: u16, code: &str, message: &str) -> FaultKind {
    FaultKind::Error { status, code: code.to_owned(), message: message.to_owned() }
}

/// Each failure is a gap of that node, with a next step and the command that adds the output to
/// a recording; the other node is read.
#[test]
fn each_failure_of_s3_has_its_own_gap_and_hint() {
    let kms = "User: arn:aws:iam::1:user/u is not authorized to perform: kms:Decrypt on the resource";
    let failures = [
        (
            FaultKind::Denied,
            "access-denied",
            "s3:GetObject",
            "allow s3:GetObject on arn:aws:s3:::my-bucket/some/prefix/",
        ),
        (error(403, "AccessDenied", "Access Denied"), "access-denied", "AccessDenied", "s3:PutObject"),
        (error(403, "AccessDenied", kms), "access-denied", "kms:Decrypt", "allow kms:Decrypt on the key"),
        (
            error(400, "KMS.DisabledException", "it is disabled"),
            "failed",
            "KMS.Disabled",
            "get-bucket-encryption",
        ),
        (error(404, "NoSuchBucket", "no bucket"), "not-found", "NoSuchBucket", "--ssm-output"),
        (error(404, "NoSuchKey", "no key"), "not-found", "NoSuchKey", "s3:PutObject"),
        (error(403, "SignatureDoesNotMatch", "x"), "no-credentials", "SignatureDoesNotMatch", "clock"),
        (FaultKind::Expired, "no-credentials", "ExpiredToken", "log in again"),
        (FaultKind::EndlessBody, "too-much-output", "more than 32 MiB", "another of --nodes"),
        (FaultKind::NoResponse, "timed-out", "within 3 s", "--timeout"),
        (FaultKind::SlowBody, "timed-out", "within 3 s", "--timeout"),
        (FaultKind::Internal, "failed", "InternalError", "try again"),
        (FaultKind::Html, "malformed", "not the whole output", "aws s3 cp s3://my-bucket/some/prefix/"),
        (FaultKind::Cut { thousandths: 900 }, "malformed", "it is cut", "aws s3 cp"),
    ];
    for (kind, why, detail, hint) in failures {
        let aws = long_output(Bucket::default());
        aws.fault("GetObject", kind.clone());
        let began = Instant::now();
        let (report, code) = aws.run("audit").args(&OUTPUT).args(&["--timeout", "3"]).json();
        let gap = gap(&report, "node n0").unwrap_or_else(|| panic!("{kind:?}: {report:#}"));
        let found = (text(&gap["why"]), text(&gap["detail"]), text(&gap["hint"]));
        assert!(found.0 == why && found.1.contains(detail) && found.2.contains(hint), "{kind:?}: {gap:#}");
        assert!(found.1.contains("s3://my-bucket/some/prefix/"), "{gap:#}");
        assert_eq!((code, &report["nodes"][1]["status"]), (3, &json!("read")), "{report:#}");
        assert!(began.elapsed() < Duration::from_secs(9), "{kind:?}: {:?}", began.elapsed());
    }
}

/// A node whose object does not appear costs no other node its time.
#[test]
fn other_nodes_do_not_wait_for_an_object() {
    let aws = long_output(Bucket { appears_after: Duration::from_mins(10), ..Bucket::default() });
    let other = output();
    let mut slow = Agent::online(Arc::new(move |_| Ok(other.clone())));
    slow.delay = Duration::from_millis(2200);
    aws.0.ssm().set_agent(&id(1), slow);
    let (report, code) = aws.run("audit").args(&OUTPUT).args(&["--timeout", "4"]).json();
    assert_eq!((code, text(&gap(&report, "node n0").unwrap()["why"])), (3, "not-found"));
    assert_eq!(report["nodes"][1]["status"], "read", "{report:#}");
}

#[test]
fn an_endpoint_of_s3_is_used_for_it_alone() {
    let aws = long_output(Bucket::default());
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let wrong = format!("http://{free}");
    let (report, _) = aws.run("audit").args(&OUTPUT).env("AWS_ENDPOINT_URL_S3", &wrong).json();
    let refused = gap(&report, "node n0").unwrap();
    assert_eq!(refused["why"], "unreachable", "{refused:#}");
    assert!(text(&refused["detail"]).contains(&free.to_string()), "{refused:#}");
    let url = aws.0.url();
    let netcheck = aws.run("audit").args(&OUTPUT).env("AWS_ENDPOINT_URL", &wrong);
    let services = ["EKS", "EC2", "SSM", "S3"];
    let netcheck = services.iter().fold(netcheck, |netcheck: Netcheck, service| {
        netcheck.env(&format!("AWS_ENDPOINT_URL_{service}"), &url)
    });
    assert_whole(&netcheck.json().0);
    // What is no URL is said to be none.
    let (report, _) = aws.run("audit").args(&OUTPUT).env("AWS_ENDPOINT_URL_S3", "not a url").json();
    let gap = gap(&report, "node n0").unwrap();
    let (detail, hint) = (text(&gap["detail"]), text(&gap["hint"]));
    assert!(detail.contains("is not a URL") && hint.contains("is AWS_ENDPOINT_URL right"), "{gap:#}");
}

#[test]
fn the_policy_permits_to_read_the_outputs_and_no_more() {
    let policy = |args: &[&str]| -> Value {
        let ran = Netcheck::new([&["iam-policy"], args].concat()).run();
        serde_json::from_str(&ran.stdout).unwrap()
    };
    let without = policy(&OUTPUT[..2]);
    let with = policy(&OUTPUT);
    let (without, with) = (without["Statement"].as_array().unwrap(), with["Statement"].as_array().unwrap());
    assert_eq!(with[..2], without[..]);
    let more: Vec<_> =
        with[2..].iter().map(|statement| (&statement["Action"], &statement["Resource"])).collect();
    let expected = [
        (json!(["s3:GetObject"]), json!(["arn:aws:s3:::my-bucket/some/prefix/*"])),
        (json!(["s3:ListBucket"]), json!(["arn:aws:s3:::my-bucket"])),
    ];
    assert_eq!(more, expected.each_ref().map(|(action, resource)| (action, resource)));
    let ran = Netcheck::new(["iam-policy", "--ssm-output", "s3://my-bucket"]).run();
    assert_eq!(ran.code, 2, "{}", ran.stderr);
}
