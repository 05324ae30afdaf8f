//! The control plane's own way out, if its traffic is routed through the cluster's VPC.
//!
//! With `controlPlaneEgressMode` `CUSTOMER_ROUTED`, calls of webhooks, OIDC providers and
//! aggregated APIs leave by the EKS-owned ENIs. They have no public addresses, so an
//! internet gateway does not route them: their subnets need a NAT gateway, or another
//! network that leads out.
//!
//! <https://docs.aws.amazon.com/eks/latest/APIReference/API_VpcConfigResponse.html>

use std::collections::BTreeSet;

use super::route_tables::RouteTables;
use crate::model::evidence::Evidence;
use crate::model::facts::{ClassifiedInterface, InterfaceKind};
use crate::model::net::{Route, RouteTarget};

/// The mode in which the control plane's traffic is routed through the VPC.
const CUSTOMER_ROUTED: &str = "CUSTOMER_ROUTED";

/// Returns the subnets of the EKS-owned ENIs from which nothing leads out of the VPC;
/// `None` if the mode is another one, or the ENIs or route tables are not known.
pub(super) fn subnets_without_egress(
    evidence: &Evidence,
    interfaces: &[ClassifiedInterface],
) -> Option<Vec<String>> {
    if evidence.cluster.egress_mode.as_deref() != Some(CUSTOMER_ROUTED) {
        return None;
    }
    evidence.network.route_tables.seen()?;
    let owned = interfaces.iter().filter(|known| known.kind == InterfaceKind::EksOwned);
    let subnets: BTreeSet<_> = owned.map(|known| known.interface.subnet.as_str()).collect();
    if subnets.is_empty() || subnets.contains("") {
        return None;
    }
    let tables = RouteTables::new(evidence);
    let mut without = Vec::new();
    for subnet in subnets {
        let table = tables.of(subnet)?;
        if !table.routes.iter().any(leads_out) {
            without.push(subnet.to_owned());
        }
    }
    Some(without)
}

/// Whether a route leads private IPv4 addresses out of the VPC. A default route can be given
/// as two halves.
fn leads_out(route: &Route) -> bool {
    let is_default = route.destination.is_some_and(|block| block.addr().is_ipv4() && block.prefix_len() <= 1);
    is_default && matches!(route.target, RouteTarget::NatGateway(_) | RouteTarget::Other(_))
}
