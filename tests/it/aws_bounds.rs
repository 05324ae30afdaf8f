//! Answers of AWS that are larger than any: bodies and lists without end, and large pages.

use std::fmt::Write;
use std::time::{Duration, Instant};

use eks_netcheck_lab::aws::FaultKind;

use crate::aws::{Aws, gap, text};

/// The memory of a run with small answers, and some more, in MiB.
const PROGRAM: u64 = 56;

/// The largest answer of EC2 that is read, in MiB.
const ANSWER_MAX: u64 = 128;

#[test]
fn a_body_without_end_takes_the_memory_of_its_limit() {
    let aws = Aws::of("private-only");
    aws.fault("DescribeNetworkInterfaces", FaultKind::EndlessBody);
    // Until the limit of the size, however busy the machine is.
    let audit = aws.run("audit").args(&["--nodes", "none", "--timeout", "120", "--format", "json"]);
    let (ran, peak) = audit.run_measured();
    let report = serde_json::from_str(&ran.stdout).unwrap();
    let gap = gap(&report, "network-interfaces.json").unwrap();
    assert_eq!(text(&gap["why"]), "malformed");
    assert!(text(&gap["detail"]).contains("has more than 128 MiB, which no answer of AWS has"), "{gap}");
    assert!(peak < PROGRAM + ANSWER_MAX, "{peak} MiB");
    let calls = aws.0.calls();
    let requests = calls.iter().filter(|call| call.operation == "DescribeNetworkInterfaces").count();
    assert_eq!(requests, 1, "it is not requested again");
}

/// One large answer is read at a time.
#[test]
fn many_bodies_without_end_take_the_memory_of_one() {
    let aws = Aws::of("private-only");
    let operations = ["NetworkInterfaces", "Instances", "Vpcs", "Subnets", "DhcpOptions", "NatGateways"];
    for operation in operations.into_iter().chain(["RouteTables", "SecurityGroups", "VpcAttribute"]) {
        aws.fault(&format!("Describe{operation}"), FaultKind::EndlessBody);
    }
    let (ran, peak) = aws.audit().run_measured();
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    // Thirteen others wait at 8 MiB, in buffers of up to 16 MiB.
    assert!(peak < PROGRAM + ANSWER_MAX + 13 * 16, "{peak} MiB");
}

#[test]
fn a_description_without_end_is_not_read_to_the_limit_of_lists() {
    let aws = Aws::of("private-only");
    aws.fault("DescribeCluster", FaultKind::EndlessBody);
    let (ran, peak) = aws.audit().run_measured();
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("has more than 16 MiB, which no answer of AWS has"), "{}", ran.stderr);
    assert!(peak < PROGRAM + 16, "{peak} MiB");
}

#[test]
fn pages_without_end_end_with_the_time() {
    for operation in ["DescribeNetworkInterfaces", "DescribeRouteTables"] {
        let aws = Aws::of("private-only");
        aws.fault(operation, FaultKind::EndlessPages);
        let began = Instant::now();
        let run = aws.run("audit").args(&["--nodes", "none", "--timeout", "2", "--format", "json"]);
        let (ran, peak) = run.run_measured();
        let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        assert!(report["gaps"].to_string().contains(&format!("ec2:{operation}: ")), "{report:#}");
        assert!(began.elapsed() < Duration::from_secs(10));
        assert!(peak < PROGRAM + 64, "{peak} MiB");
    }
    let aws = Aws::of("private-only");
    aws.fault("ListClusters", FaultKind::EndlessPages);
    aws.0.update_account(|account| account.clusters.clear());
    let ran = aws.run("audit").args(&["--nodes", "none", "--timeout", "2"]).run();
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    assert!(ran.stderr.contains("(tried: no answer within 2 s"), "{}", ran.stderr);
}

/// A page of 30,000 network interfaces, thirty times as many as AWS sends at once.
fn large_page() -> String {
    let mut page = String::from("<DescribeNetworkInterfacesResponse><networkInterfaceSet>");
    for number in 0..30_000 {
        write!(
            page,
            "<item><networkInterfaceId>eni-{number:017x}</networkInterfaceId>\
             <subnetId>subnet-0123456789abcdef0</subnetId><vpcId>vpc-0743da384fd1e48f4</vpcId>\
             <availabilityZone>ap-northeast-2a</availabilityZone>\
             <description>aws-K8S-i-0123456789abcdef0</description><ownerId>111122223333</ownerId>\
             <requesterId>AROAEXAMPLE:i-0123456789abcdef0</requesterId><status>in-use</status>\
             <privateIpAddress>10.0.{}.{}</privateIpAddress>\
             <groupSet><item><groupId>sg-0123456789abcdef0</groupId></item></groupSet>\
             <attachment><instanceOwnerId>111122223333</instanceOwnerId><deviceIndex>1</deviceIndex>\
             <status>attached</status></attachment><privateIpAddressesSet><item><privateIpAddress>10.0.{}.{}\
             </privateIpAddress><primary>true</primary></item></privateIpAddressesSet></item>",
            number / 256 % 256,
            number % 256,
            number / 256 % 256,
            number % 256,
        )
        .unwrap();
    }
    page + "</networkInterfaceSet></DescribeNetworkInterfacesResponse>"
}

#[test]
fn a_large_page_takes_at_most_four_times_its_size() {
    let page = large_page();
    let max = PROGRAM + 4 * (page.len() as u64 >> 20);
    let aws = Aws::of("private-only");
    aws.fault("DescribeNetworkInterfaces", FaultKind::Body(page));
    let (ran, peak) = aws.audit().args(&["--format", "json"]).run_measured();
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["enis"].as_array().unwrap().len(), 30_000);
    assert!(peak < max, "{peak} of {max} MiB");
    let out = crate::common::scratch();
    let dir = out.path().join("evidence");
    let collect = aws.run("collect").args(&["--nodes", "none", "--timeout", "20", "--out"]).arg(&dir);
    let (ran, peak) = collect.run_measured();
    assert!(ran.stderr.contains("recorded in "), "{}", ran.stderr);
    assert!(peak < max, "{peak} of {max} MiB");
    let recorded = std::fs::read_to_string(dir.join("network-interfaces.json")).unwrap();
    assert_eq!(recorded.matches("\"NetworkInterfaceId\": \"eni-").count(), 30_000);
}

/// What is cut off in a large page is not taken for the end of it.
#[test]
fn a_large_page_that_is_cut_off_is_a_gap() {
    let page = large_page();
    let body = page[..page.len() * 9 / 10].to_owned();
    let aws = Aws::of("private-only");
    aws.fault("DescribeNetworkInterfaces", FaultKind::Body(body));
    let (report, _) = aws.run("audit").args(&["--nodes", "none", "--timeout", "8"]).json();
    let gap = gap(&report, "network-interfaces.json").unwrap();
    assert!(text(&gap["detail"]).contains("cut off") || gap["why"] == "timed-out", "{gap}");
    assert_eq!(report["enis"], serde_json::json!([]));
}
