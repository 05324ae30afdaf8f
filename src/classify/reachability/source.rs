//! The address with which the operator's host reaches the public endpoint: its own, where that
//! is public and the endpoint shows that no other one takes its place on the way.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::gaps;
use super::index::Reachabilities;
use crate::model::gap::Gap;
use crate::model::probe::{AddressProbe, Probe, ProbeTarget, ProbeWay};
use crate::model::ranges::{of_nat64, range_use};
use crate::model::reachability::{EndpointSide, Location, Place};
use crate::model::seen_from::HERE;
use crate::model::text::list;

/// How many addresses a reason names.
const SHOWN: usize = 3;

/// How the user tells the address with which this host leaves its network.
const OWN_ADDRESS_HINT: &str = "pass that address, to simulate as --client here=ADDRESS/32, to reach with --from; it is printed by: curl -s https://checkip.amazonaws.com";

/// What probes from here show of this host's address.
enum Source {
    /// The public endpoint sees these addresses, which are its own.
    Own(BTreeSet<IpAddr>),
    /// The public endpoint sees, or may see, another one, for this reason.
    Other(String),
    /// Nothing is recorded.
    Unknown,
}

impl Reachabilities<'_> {
    /// The vantage point of the operator. Unless its own address shows where it is, that shows in
    /// what was seen from it alone.
    #[must_use]
    pub fn here(&self) -> Place {
        let location = match self.source() {
            Source::Own(addresses) => self.of_sources(&addresses),
            Source::Other(_) | Source::Unknown => Location::Unknown,
        };
        Place { name: HERE.to_owned(), location }
    }

    /// The gap for a place of which the address is not known with which it leaves its network.
    pub(super) fn unknown_address(&self, place: &Place) -> Gap {
        self.with_doubt(gaps::unknown_address(place), place)
    }

    /// The gap for a place of which the way to the public endpoint is not known.
    pub(super) fn unknown_place(&self, place: &Place) -> Gap {
        self.with_doubt(gaps::unknown_place(place), place)
    }

    /// A gap with the reason for which this host's own address does not close it.
    fn with_doubt(&self, gap: Gap, place: &Place) -> Gap {
        if place.name == HERE
            && let Source::Other(why) = self.source()
        {
            let gap_of_address = gaps::unknown_address(place);
            let detail = format!("{}: {why}", gap_of_address.detail);
            return Gap { detail, hint: OWN_ADDRESS_HINT.to_owned(), ..gap };
        }
        gap
    }

    /// What tells that the addresses of a place are known as those of this host alone.
    pub(super) fn whose(&self, place: &Place) -> &'static str {
        if place.name == HERE && *place == self.here() { ", which this host has" } else { "" }
    }

    fn of_sources(&self, addresses: &BTreeSet<IpAddr>) -> Location {
        let mut locations = addresses.iter().map(|&address| self.address(address).location);
        match (locations.next(), addresses.len()) {
            (Some(location), 1) => location,
            (Some(Location::Outside { .. }), _)
                if locations.all(|one| matches!(one, Location::Outside { .. })) =>
            {
                Location::Outside { blocks: addresses.iter().copied().map(IpNet::from).collect() }
            }
            _ => Location::Unknown,
        }
    }

    fn source(&self) -> Source {
        let probe = self.facts.evidence.probes.iter().find(|probe| probe.vantage == HERE);
        probe.map_or(Source::Unknown, |probe| self.source_of(probe))
    }

    fn source_of(&self, probe: &Probe) -> Source {
        let answers = || probe.answers.iter().filter(|answer| answer.target != ProbeTarget::Peer);
        let proxy = answers().find_map(|answer| match &answer.way {
            ProbeWay::Proxy(proxy) => Some(proxy),
            ProbeWay::Direct => None,
        });
        let (public, of_enis): (Vec<_>, Vec<_>) =
            answers().partition(|answer| self.seen.is_of(answer, EndpointSide::Public));
        let sources = |answers: &[&AddressProbe]| -> BTreeSet<_> {
            answers.iter().filter_map(|answer| answer.source).collect()
        };
        // Where the endpoint is reached by a proxy, the address is that of the proxy.
        if let Some(proxy) = proxy {
            return Source::Other(format!("there is a proxy on the way, {proxy}"));
        }
        // The cluster's own certificate shows that this is the VPC, and not another network with
        // the same addresses.
        let (reached, lost): (Vec<_>, Vec<_>) = of_enis.into_iter().partition(|one| one.is_reached());
        let signed: Vec<_> = reached.iter().copied().filter(|one| one.is_api_server()).collect();
        let inside = sources(&signed);
        if !inside.is_empty() && inside.iter().all(|own| self.interfaces.contains_key(own)) {
            return Source::Own(inside);
        }
        let is_decided =
            |one: &&AddressProbe| one.failure().is_some_and(|failure| failure.cause.is_decisive());
        // A public address may have a way into the VPC too, as by a VPN.
        if reached.is_empty() && !lost.iter().any(is_decided) {
            return Source::Unknown;
        }
        // A way to the ENIs is another one than that to the internet; packets that are lost follow
        // the default route, unless there is such a way.
        let own = match (public.as_slice(), reached.as_slice()) {
            ([], []) => sources(&lost),
            ([], _) => return Source::Unknown,
            _ => sources(&public),
        };
        if own.is_empty() {
            return Source::Unknown;
        }
        let private: Vec<_> =
            own.iter().filter(|own| range_use(**own).is_some()).map(ToString::to_string).collect();
        if !private.is_empty() {
            let own = list(&private, SHOWN);
            return Source::Other(format!("its own one, {own}, is not public, and is translated on the way"));
        }
        self.doubt(&public, &own).map_or(Source::Own(own), Source::Other)
    }

    /// Why the public endpoint may see another address than a host's own. That it sees the own
    /// one is shown by a list that admits this address and not every one, and by the answer of
    /// the endpoint.
    fn doubt(&self, answers: &[&AddressProbe], all: &BTreeSet<IpAddr>) -> Option<String> {
        let is_nat64 = |address: IpAddr| matches!(address, IpAddr::V6(ip) if of_nat64(ip).is_some());
        if let Some(answer) = answers.iter().find(|answer| is_nat64(answer.address.ip())) {
            let address = answer.address.ip();
            return Some(format!("NAT64 translates it, on the way to {address}"));
        }
        let shown = || list(&all.iter().map(ToString::to_string).collect::<Vec<_>>(), SHOWN);
        let access = &self.facts.evidence.cluster.access;
        let today = IpNet::aggregate(&access.public_cidrs());
        let admits = |own: IpAddr| today.iter().any(|block| block.contains(&own));
        let refused = |answer: &&&AddressProbe| answer.source.is_some_and(|own| !admits(own));
        let reached = || answers.iter().filter(|answer| answer.is_reached());
        if access.public() != Some(true) {
            return Some(format!(
                "the public endpoint is off, and does not show whether something on the way translates its own one, {}",
                shown()
            ));
        }
        if let Some(AddressProbe { source: Some(own), address, .. }) = reached().find(refused) {
            return Some(format!(
                "publicAccessCidrs does not contain its own one, {own}, and {address} answered all the same: something on the way translates it"
            ));
        }
        let is_open = |own: IpAddr| {
            let is_of_family = |block: &&IpNet| block.addr().is_ipv4() == own.is_ipv4();
            today.iter().filter(is_of_family).any(|block| block.prefix_len() == 0)
        };
        if let Some(own) = all.iter().find(|own| is_open(**own)) {
            return Some(format!(
                "publicAccessCidrs contains every address, and does not show whether something on the way translates its own one, {own}"
            ));
        }
        // The certificate shows that it was the endpoint that answered, and nothing on the way.
        let is_shown =
            |own: &IpAddr| answers.iter().any(|answer| answer.source == Some(*own) && answer.is_api_server());
        let own = all.iter().find(|own| !is_shown(own))?;
        let does = if admits(*own) { "contains" } else { "does not contain" };
        Some(format!(
            "publicAccessCidrs {does} its own one, {own}, and the endpoint did not show that it sees this one: something on the way may translate it"
        ))
    }
}
