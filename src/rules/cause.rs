//! The cause of a connection that hangs, as far as the evidence shows one.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::text::list;
use crate::model::connection::{Connection, Path};
use crate::model::egress::WayOut;
use crate::model::facts::Facts;
use crate::model::gap::Observed;
use crate::model::name::NodeName;

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
    Route,
    CidrList,
    AccessMode,
}

fn cause(facts: &Facts, attempt: &Connection) -> Option<(Certainty, String)> {
    let peer = attempt.socket.peer.ip()?;
    if attempt.attribution.path == Path::PublicEndpoint {
        return of_public_endpoint(facts, &attempt.node, peer);
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
    let machines = facts.machines_of(node).iter();
    let instances: Vec<_> = machines.filter_map(|machine| machine.instance.as_deref()).collect();
    let egress = facts.egress.iter().filter(|egress| instances.contains(&egress.instance.as_str()));
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
    let refused = addresses
        .map(|egress| egress.address)
        .find(|address| !allowed.iter().any(|block| block.contains(address)))?;
    Some((Certainty::CidrList, format!("publicAccessCidrs does not contain its egress address {refused}")))
}
