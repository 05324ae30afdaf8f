//! The rules: one file each, named by its id. Each is a pure function of the facts
//! and of what the policy expects. A rule that lacks evidence returns a gap and is never
//! counted as passed: it makes the run inconclusive, except for rules that are listed as
//! not judged ([`WithoutEvidence::NotJudged`](crate::model::rule::WithoutEvidence)) and for
//! gaps that the policy accepts.

mod access_mode_not_allowed;
mod anonymous_access_open;
mod anonymous_version_disclosed;
mod block_public_access_cuts_nodes;
mod cidr_not_allowed;
mod control_plane_enis_missing;
mod endpoint_certificate_mismatch;
mod endpoint_connection_hanging;
mod endpoint_witnesses_disagree;
mod hybrid_nodes_with_both_endpoints;
mod nat_address_not_stable;
mod node_agent_on_public_path;
mod node_cut_off;
mod node_egress_not_allowed;
mod node_on_public_path;
mod private_dns_unavailable;
mod private_endpoint_disabled;
mod public_endpoint_enabled;
mod public_endpoint_open;
mod security_group_blocks_api;
mod security_group_blocks_kubelet;
mod unattributed_connection;
mod unexpected_kubelet_client;

mod blocked;
mod cause;
mod controls;
mod gaps;
mod probed;
mod reach;
mod text;
mod unknown_path;

use crate::model::expectations::Expectations;
use crate::model::facts::Facts;
use crate::model::rule::{Outcome, Rule};

/// Every rule, in the order in which they are documented.
pub static ALL: [&Rule; 23] = [
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
    &node_cut_off::RULE,
    &node_agent_on_public_path::RULE,
    &security_group_blocks_api::RULE,
    &security_group_blocks_kubelet::RULE,
    &hybrid_nodes_with_both_endpoints::RULE,
    &block_public_access_cuts_nodes::RULE,
    &nat_address_not_stable::RULE,
    &endpoint_witnesses_disagree::RULE,
    &endpoint_certificate_mismatch::RULE,
    &anonymous_access_open::RULE,
    &anonymous_version_disclosed::RULE,
];

/// Judges facts by every rule.
#[must_use]
pub fn outcomes(facts: &Facts, expected: &Expectations) -> Vec<(&'static Rule, Outcome)> {
    let judge = |rule: &'static Rule| {
        let outcome = (rule.check)(facts, expected);
        let steps = if outcome.findings.is_empty() {
            Vec::new()
        } else {
            (rule.steps)(facts, expected, &outcome.findings)
        };
        (rule, Outcome { steps, ..outcome })
    };
    ALL.into_iter().map(judge).collect()
}
