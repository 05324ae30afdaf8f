//! `--plan`: a change from a Terraform plan.

use serde_json::{Value, json};

use super::run;
use crate::common::{scratch, story};

/// The plan of a change, as Terraform prints it.
fn plan(change: &Value) -> Value {
    json!({
        "format_version": "1.2",
        "terraform_version": "1.9.8",
        "resource_changes": [
            {"address": "aws_vpc.this", "type": "aws_vpc", "change": {"actions": ["no-op"]}},
            {"address": "module.eks.aws_eks_cluster.this[0]", "type": "aws_eks_cluster", "change": change},
        ],
    })
}

fn settings(public: bool, private: bool, cidrs: &Value) -> Value {
    json!({"name": "myeks", "vpc_config": [{
        "endpoint_public_access": public,
        "endpoint_private_access": private,
        "public_access_cidrs": cidrs,
    }]})
}

#[test]
fn a_terraform_plan_has_the_change() {
    let dir = scratch();
    let path = dir.path().join("plan.json");
    let with = |change: Value| {
        std::fs::write(&path, plan(&change).to_string()).unwrap();
        run(&story("study-public"), &["--plan", path.to_str().unwrap(), "--format", "json"])
    };
    let before = settings(true, false, &json!(["0.0.0.0/0"]));
    let ran = with(
        json!({"actions": ["update"], "before": before, "after": settings(true, true, &json!(["203.0.113.0/24"])), "after_unknown": {"vpc_config": [{"public_access_cidrs": [false]}]}}),
    );
    let report: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{}", ran.stderr));
    assert_eq!(
        report["to"],
        json!({"access": "public-and-private", "public_access_cidrs": ["203.0.113.0/24"]})
    );
    let ran = with(json!({"actions": ["no-op"], "before": before, "after": before, "after_unknown": {}}));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let unknown = json!({"vpc_config": [{"public_access_cidrs": true}]});
    let element = json!({"vpc_config": [{"public_access_cidrs": [false, true]}]});
    let after = settings(true, true, &json!(["203.0.113.0/24"]));
    for (change, message) in [
        (json!({"actions": ["update"], "after": after, "after_unknown": unknown}), "known only after apply"),
        (json!({"actions": ["update"], "after": after, "after_unknown": element}), "known only after apply"),
        (
            json!({"actions": ["update"], "after": after, "after_unknown": {"vpc_config": true}}),
            "known only after apply",
        ),
        (json!({"actions": ["delete", "create"], "before": before, "after": after}), "it deletes"),
        (
            json!({"actions": ["update"], "after": settings(false, false, &json!([]))}),
            "has no value that EKS accepts",
        ),
        (
            json!({"actions": ["update"], "after": settings(true, true, &json!(["no block"]))}),
            "has no value that EKS accepts",
        ),
        (
            json!({"actions": ["update"], "after": settings(true, true, &json!(["203.0.113.7/24"]))}),
            "has no value that EKS accepts",
        ),
        (
            json!({"actions": ["update"], "after": settings(true, true, &json!(["10.0.0.0/16"]))}),
            "has no value that EKS accepts",
        ),
        (
            json!({"actions": ["update"], "after": settings(true, true, &json!(vec!["203.0.113.0/24"; 41]))}),
            "has no value that EKS accepts",
        ),
        (json!({"actions": ["update"], "after": {"name": "other"}}), "those in it are other"),
    ] {
        let ran = with(change);
        assert_eq!(ran.code, 2, "{message}: {}", ran.stdout);
        assert!(ran.stderr.contains(message) && ran.stdout.is_empty(), "{message}: {}", ran.stderr);
    }
    // A data source of the same name is read during apply, and a deposed object is deleted.
    let mut with_data = plan(&json!({"actions": ["update"], "before": before, "after": after}));
    let changes = with_data["resource_changes"].as_array_mut().unwrap();
    let mut data = changes[0].clone();
    data["mode"] = "data".into();
    data["change"] =
        json!({"actions": ["read"], "after": {"name": "myeks"}, "after_unknown": {"vpc_config": true}});
    let mut deposed = changes[0].clone();
    deposed["deposed"] = "d1a2b3c4".into();
    deposed["change"]["actions"] = json!(["delete"]);
    changes.extend([data, deposed]);
    std::fs::write(&path, with_data.to_string()).unwrap();
    let ran = run(&story("study-public"), &["--plan", path.to_str().unwrap(), "--format", "json"]);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{}", ran.stderr));
    assert_eq!(report["to"]["access"], "public-and-private");
    std::fs::write(&path, "# a plan for people").unwrap();
    let ran = run(&story("study-public"), &["--plan", path.to_str().unwrap()]);
    assert!(ran.code == 2 && ran.stderr.contains("terraform show -json"), "{}", ran.stderr);
}
