//! Whether a route leads from a place to the endpoint: out of the VPC to the public one, and
//! back from the EKS-owned ENIs of the private one. Of peered networks, only the routes of the
//! cluster's own VPC are in the evidence.

use std::net::IpAddr;

use ipnet::IpNet;

use super::super::egress::{EgressHost, egress_addresses, route, targets};
use super::super::route_tables::{ToBlock, to_block};
use super::ends::common_families;
use super::gaps;
use super::index::Reachabilities;
use crate::model::egress::{EgressAddress, WayOut};
use crate::model::gap::{Gap, GapReason};
use crate::model::net::{Interface, ROUTE_TABLES, Route, RouteTable, RouteTarget};
use crate::model::ranges::is_public;
use crate::model::reachability::{Condition, ConditionKind, ConditionResult, Location, Place};
use crate::model::rule::Step;
use crate::model::seen_from::HERE;
use crate::model::shell::shell_word;
use crate::steps;

const KIND: ConditionKind = ConditionKind::Route;

/// The way of a place in the VPC to the public endpoint.
pub(super) enum Out {
    /// It leaves with one of these addresses.
    Addresses(Vec<EgressAddress>),
    /// It leaves over IPv6 alone, with its own address.
    Ipv6,
    /// It cannot leave, for this reason.
    None(String),
    /// It is not known.
    Unknown(Gap),
}

/// The IPv4 addresses among those of the public endpoint, or none if they are not known: the
/// default route is judged then.
pub(super) fn ipv4_of(ends: &[IpAddr]) -> Vec<Option<IpAddr>> {
    let known: Vec<_> = ends.iter().copied().filter(IpAddr::is_ipv4).map(Some).collect();
    if known.is_empty() { vec![None] } else { known }
}

impl Reachabilities<'_> {
    /// Whether a route leads to the public endpoint, of which `ends` are the known addresses.
    pub(super) fn route_out(&self, place: &Place, ends: &[IpAddr]) -> Condition {
        match &place.location {
            Location::Vpc { .. } => {}
            Location::Outside { blocks } if blocks.iter().all(is_public) => {
                let why = "a public address reaches the public endpoint over the internet";
                return Condition::met(KIND, why);
            }
            Location::Outside { .. } => {
                let detail = "how it leaves its own network to the public addresses of the endpoint is not in the evidence";
                let hint = if self.facts.evidence.cluster.access.private() == Some(false) {
                    "pass the address with which it leaves with --from; there, it is printed by: curl -s https://checkip.amazonaws.com"
                } else {
                    "pass the address with which it leaves with --from; or make its resolver forward the name to a Route 53 Resolver inbound endpoint of the VPC, and it uses the private endpoint"
                };
                return Condition::unknown(KIND, gaps::about(place, detail, hint));
            }
            Location::Unknown => return Condition::unknown(KIND, self.unknown_place(place)),
        }
        match self.way_out(place, ends) {
            Out::Addresses(addresses) => {
                let EgressAddress { via, address } = &addresses[0];
                // A host with a public address has no gateway of its own between it and that.
                let is_direct = !via.starts_with("nat-");
                let why = if is_direct {
                    format!("it leaves the VPC by an internet gateway, with its public address {address}")
                } else {
                    format!("it leaves the VPC by {via}, with the address {address}")
                };
                Condition::met(KIND, why)
            }
            Out::Ipv6 => Condition::met(KIND, "it leaves the VPC over IPv6"),
            Out::None(reason) => {
                let mut fix = self.turn_private_on();
                fix.push(self.add_way_out(place, fix.is_empty()));
                Condition::not_met(KIND, reason, fix)
            }
            Out::Unknown(gap) => Condition::unknown(KIND, gap),
        }
    }

    /// The way of a place out of the VPC, to one of these addresses.
    pub(super) fn way_out(&self, place: &Place, ends: &[IpAddr]) -> Out {
        let Some(host) = Self::egress_host(place) else {
            return Out::Unknown(gaps::unknown_place(place));
        };
        let has_no_interface = matches!(place.location, Location::Vpc { id: None, .. });
        let has_no_subnet = matches!(place.location, Location::Vpc { id: None, subnet: None, .. });
        let evidence = &self.facts.evidence;
        let (mut addresses, mut reason, mut unknown) = (Vec::new(), None, None);
        for endpoint in ipv4_of(ends) {
            match egress_addresses(evidence, &self.tables, host, endpoint) {
                // Without an interface, nothing shows whether it has a public address.
                Ok(WayOut::None(_))
                    if has_no_interface
                        && self.target(place, endpoint) == Some(&RouteTarget::InternetGateway) =>
                {
                    unknown = Some(self.unknown_address(place));
                }
                Err(_) if endpoint.is_none() && self.has_no_public_route(place) => {
                    reason = Some("its subnet has no route out of the VPC to public addresses".to_owned());
                }
                Ok(WayOut::Addresses(found)) => addresses.extend(found),
                Ok(WayOut::None(text)) => reason = Some(text),
                // The next step of a node's route is none of a place whose subnet is not known.
                Err(_) if has_no_subnet => {
                    unknown = Some(self.no_table(place, None));
                }
                Err(gap) => unknown = Some(gap),
            }
        }
        if !addresses.is_empty() {
            return Out::Addresses(addresses);
        }
        if let Some(gap) = unknown {
            return Out::Unknown(gap);
        }
        let over_ipv6 = ends.iter().filter(|address| address.is_ipv6()).any(|address| {
            matches!(
                self.target(place, Some(*address)),
                Some(RouteTarget::InternetGateway | RouteTarget::Other(_))
            )
        });
        match reason {
            _ if over_ipv6 && !self.own_ipv6(place).is_empty() => Out::Ipv6,
            Some(reason) => Out::None(reason),
            None => Out::Unknown(self.unknown_address(place)),
        }
    }

    /// A place in the VPC, as far as its routes depend on it.
    pub(super) fn egress_host(place: &Place) -> Option<EgressHost<'_>> {
        let Location::Vpc { id, subnet, public_ip, .. } = &place.location else { return None };
        let id = id.as_deref().unwrap_or(&place.name);
        Some(EgressHost { id, subnet: subnet.as_deref(), public_ip: *public_ip })
    }

    fn target(&self, place: &Place, endpoint: Option<IpAddr>) -> Option<&RouteTarget> {
        let Location::Vpc { subnet, .. } = &place.location else { return None };
        route(self.tables.of(subnet.as_deref()?)?, endpoint)
    }

    /// The targets of the routes by which a place leaves the VPC to some addresses of the public
    /// endpoint.
    pub(super) fn targets_out(&self, place: &Place, ends: &[IpAddr]) -> Vec<&RouteTarget> {
        let Location::Vpc { subnet, .. } = &place.location else { return Vec::new() };
        let endpoints: Vec<_> = if matches!(self.way_out(place, ends), Out::Ipv6) {
            ends.iter().filter(|address| address.is_ipv6()).copied().map(Some).collect()
        } else {
            ipv4_of(ends)
        };
        targets(&self.tables, subnet.as_deref(), &endpoints)
    }

    /// Whether the subnet of a place has routes to private addresses alone.
    fn has_no_public_route(&self, place: &Place) -> bool {
        let Location::Vpc { subnet, .. } = &place.location else { return false };
        let table = subnet.as_deref().and_then(|subnet| self.tables.of(subnet));
        let leads_out = |route: &Route| match route.destination {
            Some(block) => block.addr().is_ipv4() && is_public(&block),
            // The prefix lists of gateway endpoints do not contain the endpoint.
            None => !matches!(&route.target, RouteTarget::Other(id) if id.starts_with("vpce-")),
        };
        let is_local = |route: &Route| route.target == RouteTarget::Local;
        table.is_some_and(|table| !table.routes.iter().any(|route| leads_out(route) && !is_local(route)))
    }

    /// Whether a route leads to an EKS-owned ENI, and back.
    pub(super) fn route_in(&self, place: &Place, eni: Option<&Interface>) -> Condition {
        match &place.location {
            Location::Unknown => Condition::unknown(KIND, gaps::unknown_place(place)),
            Location::Vpc { .. } => self.within_vpc(place, eni),
            Location::Outside { blocks } => self.outside_vpc(place, blocks, eni),
        }
    }

    /// The VPC routes between its subnets, unless a route that is more specific than the local
    /// one leads elsewhere, as one to a middlebox does.
    fn within_vpc(&self, place: &Place, eni: Option<&Interface>) -> Condition {
        let Location::Vpc { subnet, blocks, .. } = &place.location else {
            return Condition::unknown(KIND, gaps::unknown_place(place));
        };
        let Some(eni) = eni else { return Condition::unknown(KIND, self.no_enis()) };
        let Some(there) = subnet.as_deref().and_then(|subnet| self.tables.of(subnet)) else {
            return Condition::unknown(KIND, self.no_table(place, subnet.as_deref()));
        };
        let Some(back) = self.tables.of(&eni.subnet) else {
            return Condition::unknown(KIND, self.no_table(place, Some(&eni.subnet)));
        };
        let mut through = None;
        for (own, of_eni) in common_families(blocks, eni) {
            let there = of_eni.iter().map(|end| (there, "to", end));
            for (table, preposition, end) in there.chain(own.iter().map(|end| (back, "back to", end))) {
                match to_block(table, end) {
                    ToBlock::Whole(RouteTarget::Blackhole) => {
                        let why = format!(
                            "the route {preposition} {end} within the VPC is a blackhole: its target was deleted"
                        );
                        let fix = Step::new("Delete that route, or give it a target that exists");
                        return Condition::not_met(KIND, why, vec![fix]);
                    }
                    ToBlock::Whole(RouteTarget::Other(id)) => {
                        through.get_or_insert_with(|| {
                            format!("within the VPC, where the route {preposition} {end} leads through {id}")
                        });
                    }
                    ToBlock::Part(part) => {
                        let detail =
                            format!("the VPC routes {part} to another target than the rest of {end}");
                        let gap = gaps::about(place, detail, "pass a smaller block with --from");
                        return Condition::unknown(KIND, gap);
                    }
                    _ => {}
                }
            }
        }
        let local = || "it is in the VPC, which routes between its subnets".to_owned();
        Condition::met(KIND, through.unwrap_or_else(local))
    }

    /// Why the route table of a subnet is not known.
    fn no_table(&self, place: &Place, subnet: Option<&str>) -> Gap {
        let evidence = &self.facts.evidence;
        evidence.network.route_tables.as_result().err().unwrap_or_else(|| match subnet {
            Some(subnet) => {
                let detail = format!("the route table of {subnet} is not in it");
                evidence.gap(ROUTE_TABLES, GapReason::Incomplete, detail)
            }
            None => self.no_subnet(place, "its route table"),
        })
    }

    /// Why the subnet of a place in the VPC is not known, and so not what applies there.
    pub(super) fn no_subnet(&self, place: &Place, what: &str) -> Gap {
        let unseen = self.facts.evidence.network.subnets.as_result().err();
        unseen.unwrap_or_else(|| gaps::no_subnet(place, what))
    }

    fn outside_vpc(&self, place: &Place, blocks: &[IpNet], eni: Option<&Interface>) -> Condition {
        let are_public = !blocks.is_empty() && blocks.iter().all(is_public);
        let table = eni.and_then(|eni| self.tables.of(&eni.subnet));
        let is_connected = |block: &IpNet| {
            let target = table.map(|table| to_block(table, block));
            matches!(&target, Some(ToBlock::Whole(target)) if leads_to_network(target))
        };
        if are_public && !blocks.iter().any(is_connected) {
            let why = "a public address cannot reach the private endpoint: without a VPN, a peering connection or a transit gateway, no route leads to the VPC";
            return Condition::not_met(KIND, why, self.connect_or_open(blocks));
        }
        let Some(eni) = eni else { return Condition::unknown(KIND, self.no_enis()) };
        let Some(table) = table else {
            return Condition::unknown(KIND, self.no_table(place, Some(&eni.subnet)));
        };
        let conditions: Vec<_> =
            blocks.iter().map(|block| self.back_to(place, table, &eni.subnet, block)).collect();
        let differs = |one: &Condition| one.result != ConditionResult::Met;
        let is_lost = |one: &Condition| one.result == ConditionResult::NotMet;
        match conditions.iter().position(differs) {
            None => conditions
                .into_iter()
                .next()
                .unwrap_or_else(|| Condition::unknown(KIND, gaps::unknown_place(place))),
            Some(at) if conditions.iter().all(is_lost) || !is_lost(&conditions[at]) => conditions[at].clone(),
            Some(at) => {
                let hint = "pass the blocks with --from one at a time";
                let gap = gaps::about(
                    place,
                    format!("{}, and another block has a route", conditions[at].why),
                    hint,
                );
                Condition::unknown(KIND, gap)
            }
        }
    }

    /// Whether a route leads from an ENI back to a block outside the VPC.
    fn back_to(&self, place: &Place, table: &RouteTable, subnet: &str, block: &IpNet) -> Condition {
        // The blocks of a prefix list are not recorded.
        let by_prefix = table.routes.iter().find(|route| {
            route.destination.is_none()
                && matches!(&route.target, RouteTarget::Other(id) if !id.starts_with("vpce-"))
        });
        let by_list = || {
            by_prefix.map(|_| {
                let detail = format!(
                    "{subnet} has a route by a prefix list, and whether that contains {block} is not known"
                );
                Condition::unknown(
                    KIND,
                    gaps::about(
                        place,
                        detail,
                        "list it with: aws ec2 get-managed-prefix-list-entries --prefix-list-id PREFIX_LIST",
                    ),
                )
            })
        };
        let not_routed =
            |why: String| by_list().unwrap_or_else(|| Condition::not_met(KIND, why, self.add_routes(block)));
        match to_block(table, block) {
            ToBlock::Whole(RouteTarget::Local) => {
                Condition::met(KIND, "the VPC routes between its own blocks")
            }
            ToBlock::Whole(RouteTarget::Blackhole) => not_routed(format!(
                "the route from {subnet}, where an EKS-owned ENI is, back to {block} is a blackhole: the peering connection or gateway that it led to was deleted"
            )),
            ToBlock::Whole(RouteTarget::Other(id)) if !id.starts_with("eigw-") => Condition::met(
                KIND,
                format!(
                    "{subnet}, where an EKS-owned ENI is, has a route back to {block} by {id}; the routes of the other network are not in the evidence"
                ),
            ),
            ToBlock::Whole(target) => not_routed(format!(
                "{subnet}, where an EKS-owned ENI is, has no route back to {block} but the one to {}, which does not lead there",
                match target {
                    RouteTarget::NatGateway(id) => id,
                    _ => "the internet",
                }
            )),
            ToBlock::None => not_routed(format!(
                "{subnet}, where an EKS-owned ENI is, has no route back to {block}: answers are lost"
            )),
            ToBlock::Part(part) => {
                let detail = format!(
                    "{subnet}, where an EKS-owned ENI is, routes {part} to another target than the rest of {block}"
                );
                Condition::unknown(KIND, gaps::about(place, detail, "pass a smaller block with --from"))
            }
        }
    }

    /// The steps that give the tables of the EKS-owned ENIs' subnets a route to a block; a
    /// present one is replaced.
    fn add_routes(&self, block: &IpNet) -> Vec<Step> {
        let leads = |table: &RouteTable| match to_block(table, block) {
            ToBlock::Whole(RouteTarget::Local) => true,
            ToBlock::Whole(target) => leads_to_network(target),
            _ => false,
        };
        let tables = self.enis.iter().filter_map(|eni| self.tables.of(&eni.subnet));
        let mut lacking: Vec<&RouteTable> = Vec::new();
        for table in tables.filter(|table| !leads(table)) {
            if !lacking.iter().any(|known| std::ptr::eq(*known, table)) {
                lacking.push(table);
            }
        }
        lacking.into_iter().map(|table| self.add_route(table, block)).collect()
    }

    fn add_route(&self, table: &RouteTable, block: &IpNet) -> Step {
        let present = table.routes.iter().filter(|route| route.target == RouteTarget::Blackhole);
        let present = present.filter_map(|route| route.destination);
        let present = present.filter(|known| known.contains(block)).max_by_key(IpNet::prefix_len);
        let (verb, word, to) = match &present {
            Some(present) => ("replace", "Replace the", present),
            None => ("create", "Add a", block),
        };
        let option =
            if to.addr().is_ipv4() { "destination-cidr-block" } else { "destination-ipv6-cidr-block" };
        let id = shell_word(table.id.as_deref().unwrap_or_default(), "ROUTE_TABLE");
        let text = format!(
            "{word} route to {to} in {id}, the route table of an EKS-owned ENI's subnet, by the peering connection that leads there, whose id replaces PEERING_CONNECTION; for a transit gateway, use --transit-gateway-id, and for a virtual private gateway, --gateway-id"
        );
        let options = steps::aws_options(self.facts);
        Step::new(text).command(format!(
            "aws ec2 {verb}-route{options} --route-table-id {id} --{option} {to} --vpc-peering-connection-id PEERING_CONNECTION"
        ))
    }

    /// The step that gives the subnet of a place a default route to a NAT gateway.
    fn add_way_out(&self, place: &Place, is_first: bool) -> Step {
        let table = match &place.location {
            Location::Vpc { subnet: Some(subnet), .. } => self.tables.of(subnet),
            _ => None,
        };
        let default = table.and_then(|table| route(table, None));
        let verb = if default.is_some() { "replace" } else { "create" };
        let word = if is_first { "Give" } else { "Or give" };
        let id = table.and_then(|table| table.id.as_deref());
        let (verb, id, text) = match id {
            // Other subnets need that table as it is, that of the NAT gateway among them.
            Some(_) if default == Some(&RouteTarget::InternetGateway) => (
                "create",
                "ROUTE_TABLE",
                "a route table of its own, with a default route to a public NAT gateway (ROUTE_TABLE and NAT_GATEWAY stand for their ids)",
            ),
            Some(id) => (
                verb,
                shell_word(id, "ROUTE_TABLE"),
                "a default route to a public NAT gateway (NAT_GATEWAY stands for its id)",
            ),
            None => (
                "create",
                "ROUTE_TABLE",
                "a default route to a public NAT gateway (ROUTE_TABLE and NAT_GATEWAY stand for their ids)",
            ),
        };
        let options = steps::aws_options(self.facts);
        Step::new(format!("{word} its subnet {text}")).command(format!(
            "aws ec2 {verb}-route{options} --route-table-id {id} --destination-cidr-block 0.0.0.0/0 --nat-gateway-id NAT_GATEWAY"
        ))
    }

    /// The ways for public blocks to a cluster whose public endpoint is off.
    fn connect_or_open(&self, blocks: &[IpNet]) -> Vec<Step> {
        // EKS accepts 40 blocks.
        let blocks = &blocks[..blocks.len().min(40)];
        let texts: Vec<_> = blocks.iter().map(ToString::to_string).collect();
        let setting = format!("endpointPublicAccess=true,publicAccessCidrs={}", texts.join(","));
        vec![
            Step::new(
                "Connect from inside the VPC, or by a VPN, Direct Connect, a peering connection or Session Manager; a CI runner can run in the VPC",
            ),
            Step::new("Or turn public access on, for it alone")
                .command(steps::update(self.facts, &setting))
                .admits(blocks),
        ]
    }

    /// The step that turns private access on, unless it is on.
    pub(super) fn turn_private_on(&self) -> Vec<Step> {
        if self.facts.evidence.cluster.access.private() == Some(true) {
            return Vec::new();
        }
        let text = "Turn private access on, and the VPC's own hosts need no way out to reach the API server";
        vec![Step::new(text).command(steps::update(self.facts, "endpointPrivateAccess=true"))]
    }

    /// How to see from a place whether it reaches the endpoint, with what hosts have.
    pub(super) fn try_there(&self) -> String {
        let cluster = &self.facts.evidence.cluster;
        let host = cluster.endpoint.as_ref().map_or("", |endpoint| endpoint.host.as_str());
        format!("try it there: nc -vz {} {}", shell_word(host, "ENDPOINT"), cluster.api_port())
    }

    /// The commands that show where packets are lost.
    pub(super) fn trace_packets(&self, place: &Place) -> Vec<Step> {
        let cluster = &self.facts.evidence.cluster;
        let host = cluster.endpoint.as_ref().map_or("", |endpoint| endpoint.host.as_str());
        let host = shell_word(host, "ENDPOINT");
        let there = if place.name == HERE { HERE } else { "there" };
        vec![
            Step::new(format!(
                "Find out where packets are lost, {there}: a proxy in the environment, a firewall, or a route"
            ))
            .command(format!("curl -sv --connect-timeout 5 https://{host}:{}/version", cluster.api_port())),
        ]
    }
}

/// Whether a route leads to another private network.
fn leads_to_network(target: &RouteTarget) -> bool {
    matches!(target, RouteTarget::Other(id) if !id.starts_with("eigw-") && !id.starts_with("vpce-"))
}
