//! What is requested of AWS.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Aws, text};
use crate::common::Netcheck;

#[test]
fn the_iam_policy_lists_exactly_the_actions_called() {
    let ran = Netcheck::new(["iam-policy"]).run();
    let policy: Value = serde_json::from_str(&ran.stdout).unwrap();
    let allowed: BTreeSet<_> = policy["Statement"][0]["Action"]
        .as_array()
        .unwrap()
        .iter()
        .map(|action| text(action).to_owned())
        .collect();
    let aws = Aws::of("study-public");
    aws.audit().run();
    let is_asked = || aws.0.calls().iter().any(|call| call.operation == "DescribeNetworkAcls");
    assert!(!is_asked(), "no rule needs the network ACLs");
    aws.run("reach").args(&["--from", "192.168.1.20"]).run();
    assert!(is_asked());
    for clusters in [&["--cluster", "nope"][..], &["--all-clusters", "--region", "all", "--nodes", "none"]] {
        let run = Netcheck::new(["audit"]).args(clusters);
        let run = run.env("AWS_ENDPOINT_URL", &aws.0.url()).env("AWS_REGION", "ap-northeast-2");
        run.env("AWS_ACCESS_KEY_ID", "A").env("AWS_SECRET_ACCESS_KEY", "B").run();
    }
    let called: BTreeSet<_> =
        aws.0.calls().iter().map(|call| format!("{}:{}", call.service.name(), call.operation)).collect();
    assert_eq!(called, allowed);
    assert!(aws.0.calls().iter().all(|call| call.user_agent.contains("app/eks-netcheck")));
}

#[test]
fn requests_are_filtered_and_include_managed_resources() {
    let aws = Aws::of("study-public");
    aws.audit().run();
    for call in aws.0.calls() {
        let parameters: Vec<_> = call.parameters.values().map(String::as_str).collect();
        match call.operation.as_str() {
            "DescribeNetworkInterfaces" => {
                assert_eq!(call.parameter("IncludeManagedResources"), Some("true"));
                assert!(parameters.contains(&"vpc-id"));
            }
            "DescribeInstances" => assert!(parameters.contains(&"running"), "{parameters:?}"),
            _ => {}
        }
    }
}

#[test]
fn all_pages_of_enis_are_read() {
    let aws = Aws::of("study-public");
    aws.0.update_account(|account| {
        account.page_size = Some(5);
        let model = account.network_interfaces[0].clone();
        for number in 0..200 {
            let mut eni = model.clone();
            eni["NetworkInterfaceId"] = json!(format!("eni-{number:017x}"));
            eni["Description"] = json!("");
            account.network_interfaces.push(eni);
        }
    });
    let (report, _) = aws.audit().json();
    let pages = aws.0.calls().iter().filter(|call| call.operation == "DescribeNetworkInterfaces").count();
    assert!(pages > 40, "{pages}");
    let enis = report["enis"].as_array().unwrap();
    assert!(enis.len() >= 200);
    assert_eq!(enis.iter().filter(|eni| eni["eks_owned"] == true).count(), 2);
}
