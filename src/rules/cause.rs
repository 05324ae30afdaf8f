//! The causes of connections that hang, as far as the evidence shows them, and the steps
//! that remove them.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::text::list;
use crate::model::connection::{Attribution, Connection, Direction, Path};
use crate::model::egress::{PublicBlock, WayOut};
use crate::model::facts::Facts;
use crate::model::gap::Observed;
use crate::model::name::NodeName;
use crate::model::net::BlockMode;
use crate::model::reach::{Admission, MissingRule};
use crate::model::rule::{Finding, Step};
use crate::model::socket::State;
use crate::steps::{self, Restart};

/// A cause; the most certain one first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    /// No network interface has the address.
    NoInterface(IpAddr),
    /// A security group lacks this rule.
    SecurityGroup(MissingRule),
    /// The route leads nowhere, for this reason.
    Route(String),
    /// `publicAccessCidrs` does not contain this egress address.
    CidrList(IpAddr),
    /// VPC Block Public Access, in this mode.
    BlockPublicAccess(BlockMode),
    /// The address is one of the public endpoint, which is off.
    PublicEndpointOff(IpAddr),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoInterface(peer) => {
                write!(
                    f,
                    "no network interface has {peer}: the interface that had it was deleted or replaced"
                )
            }
            Self::SecurityGroup(MissingRule { group, side, port, peer }) => {
                let preposition = side.preposition();
                let side = side.as_str();
                write!(f, "security group {group} has no {side} rule for TCP {port} {preposition} {peer}")
            }
            Self::Route(reason) => f.write_str(reason),
            Self::CidrList(address) => {
                write!(f, "publicAccessCidrs does not contain its egress address {address}")
            }
            Self::BlockPublicAccess(mode) => {
                write!(f, "VPC Block Public Access is {} for its subnet", mode.as_str())
            }
            Self::PublicEndpointOff(peer) => {
                write!(f, "{peer} is an address of the public endpoint, and the public endpoint is off")
            }
        }
    }
}

/// The text with which a finding names the causes of attempts to connect; empty if none is
/// known.
pub(super) fn likely<'a>(facts: &Facts, attempts: impl Iterator<Item = &'a Connection>) -> String {
    let causes = of_attempts(facts, attempts);
    let causes: Vec<_> = causes.iter().map(ToString::to_string).collect();
    if causes.is_empty() { String::new() } else { format!("; likely cause: {}", list(&causes)) }
}

/// The steps that remove the causes on the nodes that findings are about.
pub(super) fn steps(facts: &Facts, findings: &[Finding]) -> Vec<Step> {
    let nodes: BTreeSet<&str> = findings.iter().map(|finding| finding.subject.as_str()).collect();
    let attempts = facts.connections.iter().filter(|connection| {
        connection.socket.state == State::SynSent
            && connection.direction == Direction::Outbound
            && nodes.contains(connection.node.as_str())
    });
    let mut steps = Vec::new();
    let mut refused = BTreeSet::new();
    let (mut needs_private_path, mut needs_dns, mut needs_restart) = (false, false, false);
    for cause in of_attempts(facts, attempts) {
        match cause {
            Cause::NoInterface(_) => needs_restart = true,
            Cause::SecurityGroup(rule) => steps.push(steps::add_rule(facts, &rule)),
            Cause::CidrList(address) => {
                refused.insert(IpNet::from(address));
            }
            Cause::Route(_) | Cause::BlockPublicAccess(_) => needs_private_path = true,
            Cause::PublicEndpointOff(_) => needs_dns = true,
        }
    }
    if !refused.is_empty() {
        steps.push(steps::add_blocks(facts, refused));
    }
    if needs_private_path {
        steps.extend(steps::to_private_path(facts));
    } else if needs_dns {
        let attributes = steps::dns_attributes(facts);
        let is_changed = !attributes.is_empty();
        steps.extend(attributes);
        steps.extend(steps::after_dns(facts, is_changed));
    } else if needs_restart {
        let named = facts.nodes.iter().map(|node| &node.name);
        let named: Vec<_> = named.filter(|name| nodes.contains(name.as_str())).collect();
        let restart = Restart { kubelet: named.clone(), kube_proxy: named, ..Restart::default() };
        steps.extend(restart.steps(facts));
    }
    if steps.is_empty() { steps::find_out(facts, &Vec::from_iter(nodes)) } else { steps }
}

fn of_attempts<'a>(facts: &Facts, attempts: impl Iterator<Item = &'a Connection>) -> BTreeSet<Cause> {
    let attempts: BTreeSet<_> = attempts
        .filter_map(|attempt| Some((&attempt.node, attempt.socket.peer.ip()?, &attempt.attribution)))
        .collect();
    let cause =
        |(node, peer, attribution): (&NodeName, IpAddr, &_)| of_attempt(facts, node, peer, attribution);
    attempts.into_iter().filter_map(cause).collect()
}

fn of_attempt(facts: &Facts, node: &NodeName, peer: IpAddr, attribution: &Attribution) -> Option<Cause> {
    match attribution.path {
        Path::PublicEndpoint => of_public_endpoint(facts, node, peer),
        Path::PrivateEni => of_security_groups(facts, node),
        _ => {
            let vpc = facts.evidence.network.vpc.seen()?;
            let is_in_vpc = vpc.cidrs.iter().any(|block| block.contains(&peer));
            let are_known = facts.evidence.network.interfaces.seen().is_some();
            (attribution.eni.is_none() && are_known && is_in_vpc).then_some(Cause::NoInterface(peer))
        }
    }
}

fn of_public_endpoint(facts: &Facts, node: &NodeName, peer: IpAddr) -> Option<Cause> {
    let cluster = &facts.evidence.cluster;
    if cluster.access.public() == Some(false) {
        return Some(Cause::PublicEndpointOff(peer));
    }
    let allowed = cluster.allowed();
    let instances = instances(facts, node);
    let egress: Vec<_> = instances.iter().filter_map(|id| facts.egress_of(id)).collect();
    if peer.is_ipv6() {
        // A host reaches it with an address of its own, by routes that are not judged here.
        let mut own = egress.iter().flat_map(|egress| &egress.ipv6).copied();
        return own.find(|address| !allowed.contains(*address)).map(Cause::CidrList);
    }
    let ways: Vec<_> = egress
        .iter()
        .flat_map(|egress| &egress.ipv4)
        .filter_map(|way| match way {
            Observed::Seen(way) => Some(way),
            Observed::Unseen(_) => None,
        })
        .collect();
    if let Some(WayOut::None(reason)) = ways.iter().find(|way| matches!(way, WayOut::None(_))) {
        return Some(Cause::Route(reason.clone()));
    }
    let addresses = ways.iter().flat_map(|way| match way {
        WayOut::Addresses(addresses) => addresses.as_slice(),
        WayOut::None(_) => &[],
    });
    let mut addresses = addresses.map(|egress| egress.address);
    let refused = addresses.find(|address| !allowed.contains(*address));
    let blocked = || {
        egress.iter().find_map(|egress| match egress.block {
            PublicBlock::Blocked(mode) => Some(Cause::BlockPublicAccess(mode)),
            _ => None,
        })
    };
    refused.map(Cause::CidrList).or_else(blocked)
}

/// The instances of a node's capture.
fn instances<'a>(facts: &'a Facts, node: &NodeName) -> Vec<&'a str> {
    facts.machines_of(node).iter().filter_map(|machine| machine.instance.as_deref()).collect()
}

/// The rule of a security group that would admit a node to the EKS-owned ENIs.
fn of_security_groups(facts: &Facts, node: &NodeName) -> Option<Cause> {
    let known = facts.reach.seen()?;
    let instances = instances(facts, node);
    // The list is sorted by instance.
    let mut nodes = instances.iter().filter_map(|id| {
        let at = known.binary_search_by(|reach| reach.instance.as_str().cmp(id)).ok()?;
        known.get(at)
    });
    nodes
        .find_map(|node| match &node.api.admission {
            Admission::Blocked(rules) if !node.api.is_established => rules.first().cloned(),
            _ => None,
        })
        .map(Cause::SecurityGroup)
}
