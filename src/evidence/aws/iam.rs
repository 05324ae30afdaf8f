//! The minimal IAM policies that the calls need.

use serde::Serialize;

use super::ssm::{
    CANCEL_COMMAND, DESCRIBE_INSTANCE_INFORMATION, GET_COMMAND_INVOCATION, GET_OBJECT, LIST_BUCKET,
    LIST_COMMAND_INVOCATIONS, SEND_COMMAND,
};
use super::{CALLS, DESCRIBE_CLUSTER, DESCRIBE_REGIONS, LIST_CLUSTERS};

/// An IAM policy, its keys in the order that AWS's own have.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct IamPolicy {
    version: &'static str,
    statement: Vec<Statement>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    sid: &'static str,
    effect: &'static str,
    action: Vec<&'static str>,
    resource: Resource,
}

/// One resource, or several.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Resource {
    All(&'static str),
    Named(Vec<String>),
}

fn policy(statement: Vec<Statement>) -> IamPolicy {
    IamPolicy { version: "2012-10-17", statement }
}

fn allow(sid: &'static str, action: Vec<&'static str>, resource: Resource) -> Statement {
    Statement { sid, effect: "Allow", action, resource }
}

/// The minimal IAM policy that all calls need. EC2 has no narrower resource for
/// its Describe actions, and `ListClusters` none either.
///
/// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html>
#[must_use]
pub fn iam_policy() -> IamPolicy {
    let mut action = vec![DESCRIBE_CLUSTER, LIST_CLUSTERS, DESCRIBE_REGIONS];
    action.extend(CALLS.iter().flat_map(|call| call.actions));
    action.sort_unstable();
    policy(vec![allow("EksNetcheck", action, Resource::All("*"))])
}

/// The IAM policy that reading nodes by Systems Manager needs in addition: one document may
/// be run, on any node. `output` is the bucket of the outputs and the prefix of their keys.
///
/// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssystemsmanager.html>
#[must_use]
pub fn ssm_policy(document: &str, output: Option<&(String, Option<String>)>) -> IamPolicy {
    // The documents of AWS belong to no account.
    let account = if document.starts_with("AWS-") { "" } else { "*" };
    let document = match document.split_once(":document/") {
        Some(_) => document.to_owned(),
        None => format!("arn:aws:ssm:*:{account}:document/{document}"),
    };
    let run = vec![
        document,
        "arn:aws:ec2:*:*:instance/*".to_owned(),
        "arn:aws:ssm:*:*:managed-instance/*".to_owned(),
    ];
    let mut action =
        vec![DESCRIBE_INSTANCE_INFORMATION, LIST_COMMAND_INVOCATIONS, GET_COMMAND_INVOCATION, CANCEL_COMMAND];
    action.sort_unstable();
    let mut statements = vec![
        allow("EksNetcheckRunCommand", vec![SEND_COMMAND], Resource::Named(run)),
        allow("EksNetcheckCommands", action, Resource::All("*")),
    ];
    if let Some((bucket, prefix)) = output {
        let bucket = format!("arn:aws:s3:::{bucket}");
        let prefix = prefix.as_ref().map(|prefix| format!("{prefix}/")).unwrap_or_default();
        let objects = format!("{bucket}/{prefix}*");
        statements.push(allow("EksNetcheckOutputs", vec![GET_OBJECT], Resource::Named(vec![objects])));
        // Without it, an object that does not exist yet is denied like one that may not be read.
        statements.push(allow("EksNetcheckBucket", vec![LIST_BUCKET], Resource::Named(vec![bucket])));
    }
    policy(statements)
}
