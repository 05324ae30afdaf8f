//! The minimal IAM policy that all calls need.

use serde::Serialize;

use super::{CALLS, DESCRIBE_CLUSTER, DESCRIBE_REGIONS, LIST_CLUSTERS};

/// An IAM policy, its keys in the order that AWS's own have.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct IamPolicy {
    version: &'static str,
    statement: [Statement; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    sid: &'static str,
    effect: &'static str,
    action: Vec<&'static str>,
    resource: &'static str,
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
    let statement = Statement { sid: "EksNetcheck", effect: "Allow", action, resource: "*" };
    IamPolicy { version: "2012-10-17", statement: [statement] }
}
