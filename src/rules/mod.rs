//! The rules: one file each, named by its id. Each is a pure function of the facts
//! and of what the policy expects. Missing evidence makes a rule inconclusive; it
//! never makes it pass.

mod access_mode_not_allowed;
mod cidr_not_allowed;
mod control_plane_enis_missing;
mod endpoint_connection_hanging;
mod node_egress_not_allowed;
mod node_on_public_path;
mod private_dns_unavailable;
mod private_endpoint_disabled;
mod public_endpoint_enabled;
mod public_endpoint_open;
mod unattributed_connection;
mod unexpected_kubelet_client;

mod gaps;
mod reach;

use crate::model::rule::Rule;

/// Every rule, in the order in which they are documented.
pub static ALL: [&Rule; 12] = [
    &public_endpoint_open::RULE,
    &public_endpoint_enabled::RULE,
    &private_endpoint_disabled::RULE,
    &node_on_public_path::RULE,
    &node_egress_not_allowed::RULE,
    &private_dns_unavailable::RULE,
    &unexpected_kubelet_client::RULE,
    &unattributed_connection::RULE,
    &control_plane_enis_missing::RULE,
    &endpoint_connection_hanging::RULE,
    &cidr_not_allowed::RULE,
    &access_mode_not_allowed::RULE,
];

/// AWS's page on the modes of endpoint access.
const ENDPOINT_ACCESS: &str = "https://docs.aws.amazon.com/eks/latest/userguide/cluster-endpoint.html";
/// AWS's page on what the cluster's VPC and subnets need.
const NETWORK_REQUIREMENTS: &str = "https://docs.aws.amazon.com/eks/latest/userguide/network-reqs.html";

/// The first few of many, and how many there are more.
fn list(items: &[String]) -> String {
    const SHOWN: usize = 5;
    match items.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => format!("{} and {more} more", items[..SHOWN].join(", ")),
        _ => items.join(", "),
    }
}
