//! Text that several rules use: references and lists.

use crate::model::text;

/// AWS's page on the modes of endpoint access.
pub(super) const ENDPOINT_ACCESS: &str =
    "https://docs.aws.amazon.com/eks/latest/userguide/cluster-endpoint.html";
/// AWS's page on what the cluster's VPC and subnets need.
pub(super) const NETWORK_REQUIREMENTS: &str =
    "https://docs.aws.amazon.com/eks/latest/userguide/network-reqs.html";
/// AWS's page on the security groups of control plane and nodes.
pub(super) const SECURITY_GROUP_REQUIREMENTS: &str =
    "https://docs.aws.amazon.com/eks/latest/userguide/sec-group-reqs.html";

/// The first few items, and the number of the others.
pub(super) fn list(items: &[String]) -> String {
    text::list(items, 5)
}
