//! The `CloudFormation` template of the read-only role: its policy is that of `iam-policy`, and
//! cfn-lint accepts it.
//!
//! `tests/validate --install` installs cfn-lint.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::common::{Netcheck, root, scratch};

/// The template.
const TEMPLATE: &str = "packaging/cloudformation/read-only-role.yaml";

fn template() -> String {
    fs::read_to_string(root().join(TEMPLATE)).unwrap()
}

/// The template without the tags of the template's functions, which JSON does not have.
fn parsed(text: &str) -> Value {
    let tags = ["!Ref ", "!GetAtt ", "!If", "!Not ", "!Equals "];
    let plain = tags
        .iter()
        .fold(text.to_owned(), |text, tag| text.replace(tag, if *tag == "!If" { "" } else { " " }));
    serde_saphyr::from_str(&plain).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_policy_is_the_one_that_iam_policy_prints() {
    let printed: Value = serde_json::from_str(&Netcheck::new(["iam-policy"]).run().stdout).unwrap();
    let role = &parsed(&template())["Resources"]["Role"]["Properties"];
    assert_eq!(role["Policies"].as_array().unwrap().len(), 1);
    assert_eq!(role["Policies"][0]["PolicyDocument"], printed);
    assert!(role["ManagedPolicyArns"].is_null());
}

#[test]
fn the_documented_command_names_the_template() {
    let docs = fs::read_to_string(root().join("docs/live.md")).unwrap();
    let named: Vec<_> = docs
        .split("--template-body file://")
        .skip(1)
        .map(|rest| rest.split_whitespace().next().unwrap())
        .collect();
    assert_eq!(named, [TEMPLATE]);
}

#[test]
fn only_the_role_that_audits_is_trusted() {
    let role = &parsed(&template())["Resources"]["Role"]["Properties"];
    let [statement] = role["AssumeRolePolicyDocument"]["Statement"].as_array().unwrap().as_slice() else {
        panic!("one statement")
    };
    assert_eq!(statement["Principal"], serde_json::json!({"AWS": "AuditRoleArn"}));
    // A session of EKS Pod Identity has transitive tags: without the second, it may assume no role.
    assert_eq!(statement["Action"], serde_json::json!(["sts:AssumeRole", "sts:TagSession"]));
    let condition = &statement["Condition"];
    assert_eq!(condition[0], "HasOrganization");
    assert_eq!(condition[1]["StringEquals"]["aws:PrincipalOrgID"], "OrganizationId");
}

/// Whether cfn-lint accepts a template, and its output.
fn lint(path: &Path) -> (bool, String) {
    let program = root().join("target/validators/bin/cfn-lint");
    assert!(program.exists(), "cfn-lint is missing; install it with: tests/validate --install");
    let output = Command::new(program).arg("--template").arg(path).output().unwrap();
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[test]
fn cfn_lint_accepts_the_template() {
    let (is_accepted, output) = lint(&root().join(TEMPLATE));
    assert!(is_accepted && output.is_empty(), "{output}");
    let dir = scratch();
    for (from, to) in [
        ("!Ref AuditRoleArn", "!Ref AuditRole"),
        ("Effect: Allow", "Effect: Permit"),
        ("MaxSessionDuration: 3600", "MaxSessionDuration: 60"),
    ] {
        assert!(template().contains(from));
        let path = dir.path().join("template.yaml");
        fs::write(&path, template().replacen(from, to, 1)).unwrap();
        let (is_accepted, output) = lint(&path);
        assert!(!is_accepted, "{to}: {output}");
    }
}
