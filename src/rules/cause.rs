//! The cause of a connection that hangs, as far as the evidence shows one.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::text::list;
use crate::model::connection::{Connection, Path};
use crate::model::egress::WayOut;
use crate::model::facts::Facts;
use crate::model::gap::Observed;
use crate::model::name::NodeName;
use crate::model::net::BlockMode;
use crate::model::reach::{Admission, MissingRule, RuleSide};

/// The causes of attempts of a node to connect to the API server, the most certain one
/// first.
pub(super) fn of_hanging(facts: &Facts, attempts: &[&Connection]) -> Option<String> {
    let causes: BTreeSet<_> = attempts.iter().filter_map(|attempt| cause(facts, attempt)).collect();
    let causes: Vec<_> = causes.into_iter().map(|(_, text)| text).collect();
    (!causes.is_empty()).then(|| list(&causes))
}

/// How certainly a kind of evidence explains a connection that hangs.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Certainty {
    Interface,
    SecurityGroup,
    Route,
    CidrList,
    BlockPublicAccess,
    AccessMode,
}

fn cause(facts: &Facts, attempt: &Connection) -> Option<(Certainty, String)> {
    let peer = attempt.socket.peer.ip()?;
    if attempt.attribution.path == Path::PublicEndpoint {
        return of_public_endpoint(facts, &attempt.node, peer);
    }
    if attempt.attribution.path == Path::PrivateEni {
        return of_security_groups(facts, &attempt.node);
    }
    let has_interface = attempt.attribution.eni.is_some();
    let are_known = facts.evidence.network.interfaces.seen().is_some();
    (!has_interface && are_known && facts.is_in_vpc(attempt)).then(|| {
        let text =
            format!("no network interface has {peer}: the interface that had it was deleted or replaced");
        (Certainty::Interface, text)
    })
}

fn of_public_endpoint(facts: &Facts, node: &NodeName, peer: IpAddr) -> Option<(Certainty, String)> {
    let cluster = &facts.evidence.cluster;
    if cluster.access.public() == Some(false) {
        let text = format!("{peer} is an address of the public endpoint, and the public endpoint is off");
        return Some((Certainty::AccessMode, text));
    }
    let instances = instances(facts, node);
    // Both lists are sorted by instance.
    let egress = instances.iter().filter_map(|id| {
        let at = facts.egress.binary_search_by(|egress| egress.instance.as_str().cmp(id)).ok()?;
        facts.egress.get(at)
    });
    let ways: Vec<_> = egress
        .flat_map(|egress| &egress.ipv4)
        .filter_map(|way| match way {
            Observed::Seen(way) => Some(way),
            Observed::Unseen(_) => None,
        })
        .collect();
    if let Some(WayOut::None(reason)) = ways.iter().find(|way| matches!(way, WayOut::None(_))) {
        return Some((Certainty::Route, reason.clone()));
    }
    let allowed = cluster.public_cidrs();
    let addresses = ways.iter().flat_map(|way| match way {
        WayOut::Addresses(addresses) => addresses.as_slice(),
        WayOut::None(_) => &[],
    });
    let mut addresses = addresses.map(|egress| egress.address);
    if let Some(refused) = addresses.find(|address| !allowed.iter().any(|block| block.contains(address))) {
        let text = format!("publicAccessCidrs does not contain its egress address {refused}");
        return Some((Certainty::CidrList, text));
    }
    of_block_public_access(facts, &instances).map(|text| (Certainty::BlockPublicAccess, text))
}

/// The instances of a node's capture.
fn instances<'a>(facts: &'a Facts, node: &NodeName) -> Vec<&'a str> {
    facts.machines_of(node).iter().filter_map(|machine| machine.instance.as_deref()).collect()
}

/// The security groups that do not admit a node to the EKS-owned ENIs.
fn of_security_groups(facts: &Facts, node: &NodeName) -> Option<(Certainty, String)> {
    let instances = instances(facts, node);
    let known = facts.reach.seen()?;
    let nodes = instances.iter().filter_map(|id| {
        let at = known.binary_search_by(|reach| reach.instance.as_str().cmp(id)).ok()?;
        known.get(at)
    });
    let blocked = nodes.filter(|reach| !reach.api.is_established);
    let rules: Vec<_> = blocked
        .filter_map(|reach| match &reach.api.admission {
            Admission::Blocked(rules) => rules.first(),
            Admission::Admitted | Admission::Unknown(_) => None,
        })
        .collect();
    let MissingRule { group, side, port, peer } = rules.first()?;
    let preposition = match side {
        RuleSide::Inbound => "from",
        RuleSide::Outbound => "to",
    };
    let text =
        format!("security group {group} has no {} rule for TCP {port} {preposition} {peer}", side.as_str());
    Some((Certainty::SecurityGroup, text))
}

/// Block Public Access of the subnet of a node, or of its VPC.
fn of_block_public_access(facts: &Facts, instances: &[&str]) -> Option<String> {
    let network = &facts.evidence.network;
    let nodes = facts.evidence.node_instances();
    let subnet =
        nodes.filter(|node| instances.contains(&node.id.as_str())).find_map(|node| node.subnet.as_deref());
    let mut subnets = network.subnets.seen().into_iter().flatten();
    let of_subnet = subnets.find(|known| known.id.as_deref() == subnet).and_then(|known| known.block_mode);
    let mode = of_subnet.or_else(|| network.vpc.seen()?.block_mode)?;
    (mode == BlockMode::Bidirectional)
        .then(|| "VPC Block Public Access is block-bidirectional for its subnet".to_owned())
}
