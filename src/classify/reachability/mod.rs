//! Whether a place reaches the API server endpoint under given access settings, which need
//! not be those of today: the conditions of a connection, in the order in which it meets
//! them.
//!
//! What was seen outranks what is configured: an established connection, or an answer to a
//! probe, shows that packets pass on that way. It stays valid under other settings as far as
//! it does not depend on them: the way to the EKS-owned ENIs is the same in every access mode,
//! and that to the public endpoint depends on `publicAccessCidrs` alone.

mod acl;
mod answer;
mod bpa;
mod cidrs;
mod ends;
mod gaps;
mod groups;
mod index;
mod listed_addresses;
mod name;
mod places;
mod route;
mod seen;
mod source;
mod tls;

use std::collections::HashSet;
use std::net::IpAddr;

pub use self::answer::reach_report;
use self::ends::delay;
pub use self::index::Reachabilities;
use self::name::Side;
use self::route::Out;
use crate::model::cluster::EndpointAccess;
use crate::model::egress::WayOut;
use crate::model::facts::{Facts, Machine};
use crate::model::gap::Observed;
use crate::model::net::Interface;
use crate::model::probe::ProbeCause;
use crate::model::reachability::{
    Condition, ConditionKind, ConditionResult, EndpointSide, Location, Place, Reachability, Reaches,
};

/// How many EKS-owned ENIs that are not reached a reason names.
const LOST_MAX: usize = 3;

/// Whether a place reaches the endpoint under given access settings.
#[must_use]
pub fn reachability(facts: &Facts, access: &EndpointAccess, place: &Place) -> Reachability {
    Reachabilities::new(facts).of(access, place)
}

impl Reachabilities<'_> {
    /// Whether a place reaches the endpoint by its name under given access settings.
    #[must_use]
    pub fn of(&self, access: &EndpointAccess, place: &Place) -> Reachability {
        if let Some(gap) = self.only_a_part(place) {
            let conditions = vec![Condition::unknown(ConditionKind::Route, gap)];
            return Reachability { side: None, conditions };
        }
        let name = self.name(access, place);
        if name.condition.result == ConditionResult::NotMet {
            return Reachability { side: name.side.known(), conditions: vec![name.condition] };
        }
        match name.side {
            Side::One(side) => {
                let mut conditions = vec![name.condition];
                conditions.extend(self.on_side(side, access, place));
                Reachability { side: Some(side), conditions }
            }
            Side::Unknown => Reachability { side: None, conditions: vec![name.condition] },
            Side::Either => self.on_either_side(access, place, name.condition),
        }
    }

    /// It is not known on which side the place's connections end. What both sides have in
    /// common is known all the same.
    fn on_either_side(&self, access: &EndpointAccess, place: &Place, name: Condition) -> Reachability {
        let sides = [EndpointSide::Private, EndpointSide::Public].map(|side| {
            let conditions = self.on_side(side, access, place);
            Reachability { side: Some(side), conditions }
        });
        let [private, public] = sides;
        let conditions = match (private.reaches(), public.reaches()) {
            (Reaches::Yes, Reaches::Yes) => {
                let why = format!("{}; it reaches both endpoints", name.why);
                let name = Condition::met(ConditionKind::Name, why);
                [name].into_iter().chain(private.conditions).collect()
            }
            (Reaches::No, Reaches::No) => [name].into_iter().chain(private.obstacle().cloned()).collect(),
            // The reason that they have in common, or none that decides.
            (Reaches::Unknown, Reaches::Unknown) => vec![name],
            _ => {
                let of = |reachability: &Reachability| {
                    let undecided = reachability.conditions.iter().find(|condition| {
                        matches!(condition.result, ConditionResult::NotMet | ConditionResult::Unknown)
                    });
                    let why = undecided.map(|condition| format!(" ({})", condition.why)).unwrap_or_default();
                    let word = match reachability.reaches() {
                        Reaches::Yes => "is reached",
                        Reaches::No => "is not reached",
                        Reaches::Unknown => "may be reached",
                    };
                    format!("{word}{why}")
                };
                let why =
                    format!("{}; a private address {}, a public one {}", name.why, of(&private), of(&public));
                vec![Condition { why, ..name }]
            }
        };
        Reachability { side: None, conditions }
    }

    /// The conditions after the name, for connections that end on one side.
    fn on_side(&self, side: EndpointSide, access: &EndpointAccess, place: &Place) -> Vec<Condition> {
        match side {
            EndpointSide::Public => self.public(access, place),
            EndpointSide::Private | EndpointSide::ClusterIp => self.private(place),
        }
    }

    fn public(&self, access: &EndpointAccess, place: &Place) -> Vec<Condition> {
        let reached = self.seen.reached(place, EndpointSide::Public);
        let cidrs = self.cidrs(access, place);
        let tls = self.tls(place, EndpointSide::Public);
        // What was seen shows that a condition is met, and not that it applies to the place.
        let as_seen = |judged: Condition| match &reached {
            Some(why) if judged.result != ConditionResult::NotApplicable || judged.gap.is_some() => {
                Condition::met(judged.kind, format!("as seen: {why}"))
            }
            _ => judged,
        };
        let to = |ends: &[IpAddr]| {
            let judged = [
                as_seen(self.route_out(place, ends)),
                as_seen(self.block_public_access(place, ends)),
                as_seen(self.acl_out(place, ends)),
                as_seen(self.groups_out(place, ends)),
                cidrs.clone(),
            ];
            let conditions = until_not_met(judged.into_iter().chain([tls.clone()]));
            Reachability { side: Some(EndpointSide::Public), conditions }
        };
        let whole = to(&self.public);
        let mut conditions = if reached.is_none() && whole.reaches() != Reaches::No {
            self.each_public_address(place, whole, to)
        } else {
            whole.conditions
        };
        if let Some(last) = conditions.last_mut().filter(|last| last.result == ConditionResult::NotMet) {
            let mut fix = self.to_private_side(access, place);
            fix.append(&mut last.fix);
            last.fix = fix;
            if reached.is_some() && *access == self.facts.evidence.cluster.access {
                last.is_connected = true;
                last.why = format!(
                    "{}; it is connected now, and new connections will be refused once these end",
                    last.why
                );
            }
        }
        let failed = self.seen.failed(place, EndpointSide::Public).or_else(|| self.failed_behind(place));
        match failed {
            Some(failure) if reached.is_none() && self.applies_to(access) => {
                self.lost(conditions, &failure, access, place)
            }
            _ => self.note_hanging(conditions, place, EndpointSide::Public),
        }
    }

    /// What shows that a node does not reach the public endpoint with an address, if no node that
    /// leaves the VPC with it does.
    fn failed_behind(&self, place: &Place) -> Option<seen::Failure> {
        let Location::Outside { blocks } = &place.location else { return None };
        let has_address = |way: &Observed<WayOut>| match way.seen() {
            Some(WayOut::Addresses(all)) => all.iter().any(|egress| *blocks == [egress.address.into()]),
            _ => false,
        };
        let instances = self.facts.egress.iter().filter(|egress| egress.ipv4.iter().any(has_address));
        let instances: HashSet<_> = instances.map(|egress| egress.instance.as_str()).collect();
        let is_behind =
            |machine: &Machine| machine.instance.as_deref().is_some_and(|id| instances.contains(id));
        let nodes = self.facts.nodes.iter().zip(&self.facts.machines);
        let nodes = nodes.filter(|(_, machines)| matches!(machines.as_slice(), [only] if is_behind(only)));
        let places: Vec<_> = nodes
            .map(|(node, _)| Place { name: node.name.to_string(), location: Location::Unknown })
            .collect();
        if places.iter().any(|node| self.seen.reached(node, EndpointSide::Public).is_some()) {
            return None;
        }
        let failed = |node: &Place| Some((node.name.clone(), self.seen.failed(node, EndpointSide::Public)?));
        let (node, failure) = places.iter().find_map(failed)?;
        let text = format!("{node} leaves the VPC with this address, and of {node}, {}", failure.text);
        Some(seen::Failure { text, is_certain: false, ..failure })
    }

    /// The conditions of a place that reaches the public endpoint as a whole, or may do so, with
    /// what differs between its addresses: a client tries them one after the other.
    fn each_public_address(
        &self,
        place: &Place,
        whole: Reachability,
        to: impl Fn(&[IpAddr]) -> Reachability,
    ) -> Vec<Condition> {
        let uses_ipv6 = matches!(self.way_out(place, &self.public), Out::Ipv6);
        let ends: Vec<_> = self.public.iter().copied().filter(|end| end.is_ipv6() == uses_ipv6).collect();
        if ends.len() < 2 {
            return whole.conditions;
        }
        let each: Vec<_> = ends.iter().map(|end| to(std::slice::from_ref(end))).collect();
        let best = each.iter().rev().max_by_key(|one| rank(one));
        match best {
            Some(best) if best.reaches() == Reaches::Yes => {
                let mut conditions = best.conditions.clone();
                note_lost(&mut conditions, ends.iter().copied().zip(&each));
                conditions
            }
            // What lets one address pass stops another one, or may do so.
            Some(best) if best.reaches() == Reaches::No || whole.reaches() == Reaches::Yes => {
                best.conditions.clone()
            }
            _ => whole.conditions,
        }
    }

    /// The conditions of a place that reaches one side, with what was seen of attempts there
    /// that hang.
    fn note_hanging(
        &self,
        mut conditions: Vec<Condition>,
        place: &Place,
        side: EndpointSide,
    ) -> Vec<Condition> {
        let is_reached = conditions
            .iter()
            .all(|one| matches!(one.result, ConditionResult::Met | ConditionResult::NotApplicable));
        let route = conditions.iter_mut().find(|one| one.kind == ConditionKind::Route);
        if let Some(hanging) = self.seen.hanging(place, side)
            && let Some(route) = route.filter(|_| is_reached)
        {
            route.why = format!("{}; but {hanging}", route.why);
            route.fix = self.trace_packets(place);
        }
        conditions
    }

    /// Whether what failed at the public endpoint today fails under other settings too: they
    /// admit no more.
    fn applies_to(&self, access: &EndpointAccess) -> bool {
        self.facts.evidence.cluster.access.allowed().contains_all(&access.public_cidrs())
    }

    /// The conditions of connections that end on the ENIs, by their addresses or by the
    /// `ClusterIP`.
    fn private(&self, place: &Place) -> Vec<Condition> {
        const SIDE: EndpointSide = EndpointSide::Private;
        let kinds = [
            ConditionKind::Route,
            ConditionKind::BlockPublicAccess,
            ConditionKind::NetworkAcl,
            ConditionKind::SecurityGroups,
            ConditionKind::Cidrs,
        ];
        let not_applicable = |kind| match kind {
            ConditionKind::BlockPublicAccess => Condition::not_applicable(
                kind,
                "no packet leaves by an internet gateway on the way to the ENIs",
            ),
            _ => Condition::not_applicable(kind, "it restricts the public endpoint only"),
        };
        let is_judged = |kind| !matches!(kind, ConditionKind::BlockPublicAccess | ConditionKind::Cidrs);
        let tls = || self.tls(place, SIDE);
        if let Some(why) = self.seen.reached(place, SIDE) {
            let met = |kind| {
                if is_judged(kind) {
                    Condition::met(kind, format!("as seen: {why}"))
                } else {
                    not_applicable(kind)
                }
            };
            let conditions = until_not_met(kinds.into_iter().map(met).chain([tls()]));
            return self.note_hanging(conditions, place, SIDE);
        }
        let with = |eni: Option<&Interface>| {
            let judge = |kind| match kind {
                ConditionKind::Route => self.route_in(place, eni),
                ConditionKind::NetworkAcl => self.acl_in(place, eni),
                ConditionKind::SecurityGroups => self.groups_in(place, eni),
                other => not_applicable(other),
            };
            let conditions = until_not_met(kinds.into_iter().map(judge).chain([tls()]));
            Reachability { side: Some(SIDE), conditions }
        };
        // A client tries the addresses of all ENIs that the name resolves to: one is enough.
        let all: Vec<_> = self.enis.iter().map(|eni| with(Some(eni))).collect();
        // The first of those that are equal.
        let best = all.iter().rev().max_by_key(|one| rank(one)).cloned().unwrap_or_else(|| with(None));
        let reaches = best.reaches();
        let mut conditions = best.conditions;
        if reaches == Reaches::Yes {
            let addresses = self.enis.iter().map(|eni| eni.addresses.first().copied());
            note_lost(&mut conditions, addresses.zip(&all).filter_map(|(one, way)| Some((one?, way))));
        }
        match self.seen.failed(place, SIDE) {
            Some(failure) => self.lost(conditions, &failure, &self.facts.evidence.cluster.access, place),
            None => conditions,
        }
    }

    /// The conditions if what was seen from the place is a failure: where the configuration
    /// does not explain it, the cause is on the way and not in the evidence.
    fn lost(
        &self,
        conditions: Vec<Condition>,
        failure: &seen::Failure,
        access: &EndpointAccess,
        place: &Place,
    ) -> Vec<Condition> {
        let seen::Failure { text, is_certain, cause, side } = failure;
        // What a probe could not do says nothing of the way.
        let shows = *is_certain || cause.is_none();
        if let Some(at) = conditions.iter().position(|one| one.result == ConditionResult::NotMet) {
            let mut conditions = conditions;
            if shows {
                conditions[at].why = format!("{}; as seen: {text}", conditions[at].why);
            }
            return conditions;
        }
        if !is_certain {
            let mut conditions = conditions;
            if let Some(first) = conditions.first_mut() {
                let detail = if shows {
                    format!("{text}, and nothing in the configuration explains it")
                } else {
                    format!("{text}; other programs may reach it")
                };
                let gap = gaps::about(place, detail, &self.try_there());
                *first = Condition::unknown(ConditionKind::Route, gap);
            }
            return conditions;
        }
        // What was not judged may be the cause, as what is not known.
        // A list drops packets, so that a socket waits: no other failure is its doing.
        let may_be_list = cause.is_none_or(|cause| cause == ProbeCause::TimedOut);
        let unknown = conditions.iter().filter(|one| {
            (one.result == ConditionResult::Unknown || one.gap.is_some())
                && (may_be_list || one.kind != ConditionKind::Cidrs)
        });
        let unknown: Vec<_> = unknown.map(|one| one.why.clone()).collect();
        let is_restricted = may_be_list
            && *side == EndpointSide::Public
            && conditions
                .iter()
                .any(|one| one.kind == ConditionKind::Cidrs && one.result == ConditionResult::Unknown);
        if is_restricted {
            let before = conditions.into_iter().take_while(|one| one.kind < ConditionKind::Cidrs);
            let before = before.filter(|one| one.result != ConditionResult::Unknown);
            let why = format!(
                "as seen: {text}, as the public endpoint does with addresses that publicAccessCidrs does not contain"
            );
            let fix = self.find_and_add_address(access);
            return before.chain([Condition::not_met(ConditionKind::Cidrs, why, fix)]).collect();
        }
        let rest = if unknown.is_empty() {
            "; nothing in the evidence explains it: a firewall, a proxy or the routes of the place's own network do"
                .to_owned()
        } else {
            format!("; the cause may be what is not known ({})", unknown.join("; "))
        };
        vec![Condition::not_met(
            ConditionKind::Route,
            format!("as seen: {text}{rest}"),
            self.trace_packets(place),
        )]
    }
}

/// Says of the conditions of a place that reaches one address of the endpoint which others it
/// does not reach: clients try the addresses in any order.
fn note_lost<'a>(conditions: &mut [Condition], all: impl Iterator<Item = (IpAddr, &'a Reachability)>) {
    let all: Vec<_> = all.collect();
    let lost: Vec<_> = all.iter().filter_map(|(address, one)| Some((address, one.obstacle()?))).collect();
    let of_kind = |conditions: &[Condition], obstacle: &Condition| {
        conditions.iter().position(|one| one.kind == obstacle.kind)
    };
    let mut noted = None;
    for (address, obstacle) in lost.iter().take(LOST_MAX) {
        let Some(at) = of_kind(conditions, obstacle) else { continue };
        let condition = &mut conditions[at];
        condition.why = format!("{}; but {address} is not reached: {}", condition.why, obstacle.why);
        noted = Some(at);
        for step in &obstacle.fix {
            if !condition.fix.contains(step) {
                condition.fix.push(step.clone());
            }
        }
    }
    if let Some(at) = noted {
        conditions[at].why = format!("{}; {}", conditions[at].why, delay(lost.len(), all.len()));
    }
}

/// The conditions up to the first that is not met.
fn until_not_met(conditions: impl Iterator<Item = Condition>) -> Vec<Condition> {
    let mut kept = Vec::new();
    for condition in conditions {
        let is_last = condition.result == ConditionResult::NotMet;
        kept.push(condition);
        if is_last {
            break;
        }
    }
    kept
}

/// The order in which answers about several ENIs are preferred.
fn rank(reachability: &Reachability) -> (u8, usize) {
    let of = match reachability.reaches() {
        Reaches::Yes => 2,
        Reaches::Unknown => 1,
        Reaches::No => 0,
    };
    (of, reachability.conditions.len())
}
