//! What a change of access does to a client.

use super::clients::{ClientHost, User};
use super::needs;
use super::scenario::Scenario;
use super::socket_evidence::{Sides, SocketEvidence};
use crate::model::egress::WayOut;
use crate::model::facts::Facts;
use crate::model::gap::Subject;
use crate::model::reachability::{
    Condition, ConditionKind, ConditionResult, EndpointSide, Location, Place, Reachability, Reaches,
};
use crate::model::simulation::{Client, ClientPath, Effect};

/// Why the change does not affect what uses the `kubernetes` Service.
pub(super) const BY_CLUSTER_IP: &str =
    "its path is the ClusterIP, which ends on EKS-owned ENIs in every access mode";

impl Scenario {
    /// The sides on which the connections of a client end today, or may end.
    fn sides_today(&self, sight: SocketEvidence, now: Option<EndpointSide>) -> Vec<Option<EndpointSide>> {
        let sides = |Sides { public, private, cluster_ip }| {
            let all = [
                (public, EndpointSide::Public),
                (private, EndpointSide::Private),
                (cluster_ip, EndpointSide::ClusterIp),
            ];
            all.into_iter().filter(|(is_seen, _)| *is_seen).map(|(_, side)| Some(side)).collect()
        };
        match sight {
            SocketEvidence::Sides(seen) => {
                let mut all: Vec<_> = sides(seen);
                // Its new connections follow the name, wherever the open ones end.
                if (seen.public || seen.private) && !all.contains(&now) {
                    all.push(now);
                }
                all
            }
            // A connection to the public endpoint stays open after private access is turned on.
            SocketEvidence::Unseen | SocketEvidence::Unreadable if self.from.public() == Some(true) => {
                vec![now, Some(EndpointSide::Public)]
            }
            SocketEvidence::Unseen
            | SocketEvidence::Unreadable
            | SocketEvidence::Hanging
            | SocketEvidence::OtherFamily { .. }
            | SocketEvidence::Configured => vec![now],
            SocketEvidence::Unexplained | SocketEvidence::Unplaced => vec![now, None],
        }
    }

    /// Judges a client, `now` and `then` being what is known of its place under the access
    /// today and afterwards.
    pub(super) fn judge(
        &self,
        facts: &Facts,
        host: &ClientHost,
        user: &User,
        [now, then]: [&Reachability; 2],
    ) -> Client {
        let sides = self.sides_today(user.sight, now.side);
        let closes = self.from.public() != Some(false) && self.to.public() == Some(false);
        // The public endpoint is what is left to a place whose new connections to the ENIs fail.
        let is_left_without = closes
            && then.reaches() != Reaches::Yes
            && matches!(user.sight, SocketEvidence::Sides(Sides { private: true, .. }));
        let is_touched = is_left_without || sides.iter().any(|&side| self.touches(side, then.side));
        let is_seen = matches!(user.sight, SocketEvidence::Sides(_) | SocketEvidence::Hanging);
        let today = match user.sight {
            SocketEvidence::Sides(seen) => way(seen),
            SocketEvidence::Hanging => ClientPath::None,
            SocketEvidence::Unseen | SocketEvidence::Unexplained | SocketEvidence::Unplaced => {
                ClientPath::Unknown
            }
            // It may be older than private access.
            SocketEvidence::Unreadable if self.has_both() => ClientPath::Unknown,
            SocketEvidence::Unreadable | SocketEvidence::OtherFamily { .. } | SocketEvidence::Configured => {
                now.side.into()
            }
        };
        let reaches_today = match (user.sight, now.reaches()) {
            (SocketEvidence::Sides(_), _) => Reaches::Yes,
            (SocketEvidence::Hanging, _) => Reaches::No,
            // It may do so all the same, as an established connection would show.
            (SocketEvidence::OtherFamily { has_ipv4: false }, _)
            | (
                SocketEvidence::Unseen | SocketEvidence::Unexplained | SocketEvidence::Unplaced,
                Reaches::No,
            ) => Reaches::Unknown,
            (_, reaches) => reaches,
        };
        let is_followed = match user.sight {
            // What goes through a proxy or a load balancer of its own does not follow the name.
            SocketEvidence::Unseen | SocketEvidence::Unexplained | SocketEvidence::Unplaced => false,
            SocketEvidence::Unreadable => !(closes && self.has_both()),
            SocketEvidence::Sides(_)
            | SocketEvidence::Hanging
            | SocketEvidence::OtherFamily { .. }
            | SocketEvidence::Configured => true,
        };
        let automatic = self.automatic_gateway(facts, &host.place, then).filter(|_| is_touched);
        let configured = then.reaches();
        let is_not_decided = match user.sight {
            SocketEvidence::OtherFamily { has_ipv4 } => !has_ipv4,
            _ => is_touched && (!is_followed || automatic.is_some()) && configured == Reaches::Yes,
        };
        let reaches = if !is_touched && is_seen {
            reaches_today
        } else if is_not_decided {
            Reaches::Unknown
        } else {
            configured
        };
        let is_cut = closes
            && match user.sight {
                SocketEvidence::Sides(seen) => seen.public,
                SocketEvidence::Unreadable => now.side == Some(EndpointSide::Public),
                _ => false,
            };
        let effect = match effect(reaches_today, reaches, today, then) {
            _ if !is_touched => Effect::Unchanged,
            Effect::Moves if is_cut => Effect::Interrupted,
            effect => effect,
        };
        let after = if is_touched { then.side.into() } else { today };
        let is_stale = is_touched
            && match user.sight {
                SocketEvidence::Unreadable => is_cut,
                SocketEvidence::Sides(seen) => {
                    seen.public && then.side != Some(EndpointSide::Public)
                        || seen.private && then.side == Some(EndpointSide::Public)
                }
                _ => false,
            };
        let mut client = Client {
            name: user.name.clone(),
            kind: user.kind,
            node: user.node.clone(),
            process: user.process.clone(),
            today,
            reaches_today,
            after,
            is_stale,
            reaches,
            effect,
            why: String::new(),
            needs: Vec::new(),
        };
        client.why = self.why(user, &client, is_touched, [now, then]);
        if let Some(gateway) = automatic.filter(|_| client.reaches == Reaches::Unknown) {
            client.why.push_str("; ");
            client.why.push_str(&added_addresses(gateway));
        }
        if is_touched && client.reaches == Reaches::Unknown {
            client.why.push_str(&egress(facts, &host.place, then));
        }
        if is_touched {
            client.needs = needs::of(facts, [&self.from, &self.to], host, user, &client, then);
        }
        client
    }

    /// The regional NAT gateway by which a place leaves its network and to which AWS adds
    /// addresses by itself, if the list has to contain them.
    ///
    /// <https://docs.aws.amazon.com/vpc/latest/userguide/nat-gateways-regional.html>
    pub(super) fn automatic_gateway<'a>(
        &self,
        facts: &'a Facts,
        place: &Place,
        then: &Reachability,
    ) -> Option<&'a str> {
        let is_open = self.to.allowed().contains_ipv4();
        let Location::Vpc { id, .. } = &place.location else { return None };
        if is_open || then.side != Some(EndpointSide::Public) {
            return None;
        }
        let gateways = facts.evidence.network.nat_gateways.seen().into_iter().flatten();
        let mut automatic = gateways.filter(|gateway| gateway.has_automatic_addresses).peekable();
        automatic.peek()?;
        let own = id.iter().chain([&place.name]).filter_map(|name| facts.egress_of(name));
        let ways = own.flat_map(|egress| &egress.ipv4);
        let addresses = ways.filter_map(|way| match way.seen()? {
            WayOut::Addresses(addresses) => Some(addresses),
            WayOut::None(_) => None,
        });
        let via: Vec<_> = addresses.flatten().map(|egress| egress.via.as_str()).collect();
        automatic.find(|gateway| via.contains(&gateway.id.as_str())).map(|gateway| gateway.id.as_str())
    }

    /// The reason for the effect.
    fn why(&self, user: &User, client: &Client, is_touched: bool, [now, then]: [&Reachability; 2]) -> String {
        if !is_touched {
            return if client.today == ClientPath::ClusterIp {
                BY_CLUSTER_IP.to_owned()
            } else if user.sight == SocketEvidence::Hanging {
                "it does not reach the API server today, and the change does not affect its path".to_owned()
            } else {
                let known = match (user.sight, then.reaches()) {
                    (SocketEvidence::Configured, Reaches::No | Reaches::Unknown) => reason(then),
                    _ => None,
                };
                let known = known.map(|why| format!("; as today, {why}")).unwrap_or_default();
                format!("the change does not affect its path{known}")
            };
        }
        let why = self.reason_after(then);
        let mut why = match (client.reaches, user.sight) {
            (Reaches::Unknown, SocketEvidence::Unseen) if then.reaches() == Reaches::Yes => {
                format!(
                    "no connection of it with the API server was seen, so it is not known how it connects; by configuration, {why}"
                )
            }
            (_, SocketEvidence::OtherFamily { has_ipv4: false }) => {
                format!("{ONLY_IPV4}: pass its IPv4 address")
            }
            (_, SocketEvidence::OtherFamily { has_ipv4: true }) => {
                return format!("{ONLY_IPV4}: its IPv4 addresses decide");
            }
            (Reaches::Unknown, SocketEvidence::Unreadable) if then.reaches() == Reaches::Yes => format!(
                "its sockets cannot be read: a connection that is older than private access would be cut off; by configuration, {why}"
            ),
            (Reaches::Unknown, SocketEvidence::Unplaced) if then.reaches() == Reaches::Yes => format!(
                "it is connected to public addresses that nothing explains, and no DNS answer has those of the public endpoint; by configuration, {why}"
            ),
            (Reaches::Unknown, SocketEvidence::Unexplained) if then.reaches() == Reaches::Yes => format!(
                "its connections go to addresses that nothing explains: those of a proxy, or of the public endpoint if no DNS answer has them; by configuration, {why}"
            ),
            _ => why,
        };
        if client.effect == Effect::Unchanged && client.reaches != Reaches::Yes {
            let today = reason(now).filter(|_| now.reaches() == Reaches::No);
            let today = today.map(|today| format!(": {today}")).unwrap_or_default();
            why = format!("it does not reach the API server today{today}; afterwards, {why}");
        }
        if client.effect == Effect::Breaks && client.reaches_today == Reaches::Unknown {
            let today = reason(now).map(|today| format!(": {today}")).unwrap_or_default();
            why =
                format!("it is not known whether it reaches the API server today{today}; afterwards, {why}");
        }
        if client.is_stale {
            why.push_str(self.stale(client));
        }
        why
    }

    /// Why a place reaches the endpoint afterwards, or does not. Where private access is on,
    /// what leads to the public endpoint is a part of the reason.
    fn reason_after(&self, then: &Reachability) -> String {
        let why = reason(then).unwrap_or_else(|| "nothing is known of its place".to_owned());
        let name = then.conditions.iter().find(|condition| condition.kind == ConditionKind::Name);
        let goes_out = self.to.private() == Some(true) && then.side == Some(EndpointSide::Public);
        match name.filter(|name| goes_out && !why.contains(&name.why)) {
            Some(name) => format!("{}, and {why}", name.why),
            None => why,
        }
    }

    /// What happens to connections that are established on another side.
    fn stale(&self, client: &Client) -> &'static str {
        match client.today {
            ClientPath::Public | ClientPath::Mixed if self.to.public() == Some(false) => {
                "; the connections that the client itself has to the public endpoint hang or end when that closes, and the client is cut off until it connects again: restart it before"
            }
            ClientPath::Public | ClientPath::Mixed => {
                "; the connections that the client itself has to the public endpoint remain until they end or the client is restarted"
            }
            _ => {
                "; the connections that the client itself has to the EKS-owned ENIs remain until they end or the client is restarted"
            }
        }
    }
}

/// Why an IPv6 address says nothing about a client of an IPv4 cluster.
pub(super) const ONLY_IPV4: &str =
    "the endpoint of an IPv4 cluster has no IPv6 address, and the client is named by one";

/// Why a list need not have the addresses of a NAT gateway.
pub(super) fn added_addresses(gateway: &str) -> String {
    format!(
        "AWS adds addresses to the regional NAT gateway {gateway} by itself, so that a list that has those of today need not have those of tomorrow"
    )
}

fn way(Sides { public, private, cluster_ip }: Sides) -> ClientPath {
    match (public, private, cluster_ip) {
        (true, false, false) => ClientPath::Public,
        (false, true, false) => ClientPath::Private,
        (false, false, true) => ClientPath::ClusterIp,
        (false, false, false) => ClientPath::Unknown,
        _ => ClientPath::Mixed,
    }
}

fn effect(before: Reaches, after: Reaches, today: ClientPath, then: &Reachability) -> Effect {
    match (before, after) {
        (Reaches::No, Reaches::Yes) => Effect::Gains,
        (_, Reaches::Yes) if today == ClientPath::from(then.side) => Effect::Unchanged,
        (_, Reaches::Yes) => Effect::Moves,
        (Reaches::No, _) => Effect::Unchanged,
        (_, Reaches::No) => Effect::Breaks,
        (_, Reaches::Unknown) => Effect::Unknown,
    }
}

/// Why a place reaches the endpoint, or does not: the conditions that decide it.
fn reason(reachability: &Reachability) -> Option<String> {
    let with = |result| reachability.conditions.iter().find(|condition| condition.result == result);
    let decisive = with(ConditionResult::NotMet).or_else(|| with(ConditionResult::Unknown));
    if let Some(condition) = decisive {
        return Some(why_of(condition));
    }
    let is_decisive = |condition: &&Condition| {
        let kinds = [ConditionKind::Name, ConditionKind::SecurityGroups, ConditionKind::Cidrs];
        // A fix of what is met is for connections that hang all the same.
        let is_restricted = !condition.fix.is_empty();
        condition.result == ConditionResult::Met && (is_restricted || kinds.contains(&condition.kind))
    };
    let met: Vec<_> =
        reachability.conditions.iter().filter(is_decisive).map(|one| one.why.as_str()).collect();
    let (last, first) = met.split_last()?;
    Some(match (first, last.strip_prefix("as seen: ")) {
        ([], _) => (*last).to_owned(),
        (first, Some(seen)) => format!("{}; as seen, {seen}", first.join(", ")),
        (first, None) => format!("{}, and {last}", first.join(", ")),
    })
}

/// The reason for a condition, without the name of the place, so that places that are alike have
/// the same.
fn why_of(condition: &Condition) -> String {
    match &condition.gap {
        Some(gap) if gap.problem() == condition.why => match gap.subject {
            Subject::File(_) | Subject::Field(_) => condition.why.clone(),
            _ => gap.detail.clone(),
        },
        _ => condition.why.clone(),
    }
}

/// Why the address is not known with which a place leaves its network, if it matters.
fn egress(facts: &Facts, place: &Place, then: &Reachability) -> String {
    let is_undecided =
        |one: &Condition| one.kind == ConditionKind::Cidrs && one.result == ConditionResult::Unknown;
    let Location::Vpc { id: Some(id), .. } = &place.location else { return String::new() };
    if !then.conditions.iter().any(is_undecided) {
        return String::new();
    }
    let mut own = facts.egress_of(id).into_iter().flat_map(|egress| &egress.ipv4);
    let gap = own.find_map(|way| way.as_result().err());
    gap.map(|gap| format!(": {}", gap.detail)).unwrap_or_default()
}
