//! Whether the network ACLs of the subnets on the way let the packets of a connection pass.
//! They keep no state: answers need an entry too. They do not apply within a subnet.
//!
//! Without evidence of them they decide nothing: few recordings have them, and the default one
//! of a VPC lets everything pass.
//!
//! <https://docs.aws.amazon.com/vpc/latest/userguide/vpc-network-acls.html>

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use super::super::network_acls::{LAST, Passage, Passes, passes};
use super::ends::common_families;
use super::gaps;
use super::index::Reachabilities;
use crate::model::gap::GapReason;
use crate::model::net::{Interface, NETWORK_ACLS, NetworkAcl};
use crate::model::reachability::{Condition, ConditionKind, ConditionResult, Location, Place};
use crate::model::rule::Step;
use crate::model::shell::shell_word;
use crate::steps;

const KIND: ConditionKind = ConditionKind::NetworkAcl;
/// The local ports of Linux, to which answers go.
///
/// <https://docs.kernel.org/networking/ip-sysctl.html> (`ip_local_port_range`)
const LOCAL_PORTS: (u16, u16) = (32768, 60999);
/// The ports that AWS recommends to allow for answers: those of NAT gateways, load balancers
/// and other systems too.
///
/// <https://docs.aws.amazon.com/vpc/latest/userguide/custom-network-acl.html>
const RECOMMENDED_PORTS: (u16, u16) = (1024, u16::MAX);

impl Reachabilities<'_> {
    /// The network ACL of a place's subnet, on its way to the public endpoint, of which `ends`
    /// are the known addresses.
    pub(super) fn acl_out(&self, place: &Place, ends: &[IpAddr]) -> Condition {
        let Location::Vpc { subnet, .. } = &place.location else {
            return Condition::not_applicable(KIND, "the public endpoint has no network ACL");
        };
        if let Some(not_judged) = self.acls_not_seen() {
            return not_judged;
        }
        let Some(subnet) = subnet.as_deref() else {
            return Condition::unknown(KIND, self.no_subnet(place, "its network ACL"));
        };
        let port = self.facts.evidence.cluster.api_port();
        let any = vec![IpNet::V4(Ipv4Net::default())];
        let known: Vec<_> = ends.iter().copied().map(IpNet::from).collect();
        let ends: Vec<_> =
            if known.is_empty() { vec![any] } else { known.into_iter().map(|end| vec![end]).collect() };
        // A client tries every address: one is enough.
        let ways = ends.into_iter().map(|end| {
            vec![
                Passage { subnet, is_outbound: true, blocks: end.clone(), ports: (port, port) },
                Passage { subnet, is_outbound: false, blocks: end, ports: LOCAL_PORTS },
            ]
        });
        self.any_passes(&ways.collect::<Vec<_>>())
    }

    /// The network ACLs of a place's subnet and of that of an EKS-owned ENI.
    pub(super) fn acl_in(&self, place: &Place, eni: Option<&Interface>) -> Condition {
        let (own, blocks) = match &place.location {
            Location::Vpc { subnet, blocks, .. } => (subnet.as_deref(), blocks),
            Location::Outside { blocks } => (None, blocks),
            Location::Unknown => return Condition::unknown(KIND, gaps::unknown_place(place)),
        };
        let is_in_vpc = Self::is_in_vpc(place);
        if let Some(not_judged) = self.acls_not_seen() {
            return not_judged;
        }
        let Some(eni) = eni else { return Condition::unknown(KIND, self.no_enis()) };
        if own == Some(eni.subnet.as_str()) {
            return Condition::met(
                KIND,
                "it is in the subnet of an EKS-owned ENI, within which network ACLs do not apply",
            );
        }
        if is_in_vpc && own.is_none() {
            return Condition::unknown(KIND, self.no_subnet(place, "its network ACL"));
        }
        let port = self.facts.evidence.cluster.api_port();
        let ways = common_families(blocks, eni).map(|(blocks, of_eni)| {
            let passage = |subnet, is_outbound, blocks: &[IpNet], ports| Passage {
                subnet,
                is_outbound,
                blocks: blocks.to_vec(),
                ports,
            };
            let to = (port, port);
            let at_place =
                own.map(|own| [passage(own, true, &of_eni, to), passage(own, false, &of_eni, LOCAL_PORTS)]);
            let at_eni =
                [passage(&eni.subnet, false, &blocks, to), passage(&eni.subnet, true, &blocks, LOCAL_PORTS)];
            at_place.into_iter().flatten().chain(at_eni).collect()
        });
        let condition = self.any_passes(&ways.collect::<Vec<_>>());
        if condition.result == ConditionResult::Met && !is_in_vpc {
            let why = "the network ACLs of the EKS-owned ENIs' subnets let the connection and its answers pass; what filters at the other end is not in the evidence";
            return Condition::met(KIND, why);
        }
        condition
    }

    /// The condition if no network ACL was seen.
    fn acls_not_seen(&self) -> Option<Condition> {
        let gap = self.acls.missing.clone()?;
        let why = "not judged: the network ACLs were not seen; the default one of a VPC lets everything pass";
        Some(Condition::not_judged(KIND, why, gap))
    }

    /// Judges several ways, of which one is enough.
    fn any_passes(&self, ways: &[Vec<Passage<'_>>]) -> Condition {
        let mut worst: Option<Condition> = None;
        for way in ways {
            let condition = self.all_pass(way);
            match condition.result {
                ConditionResult::Met => return condition,
                ConditionResult::Unknown => worst = Some(condition),
                _ => worst = worst.or(Some(condition)),
            }
        }
        worst.unwrap_or_else(|| self.unknown_acl("both ends have no address of the same family"))
    }

    fn all_pass(&self, way: &[Passage<'_>]) -> Condition {
        let mut partly = None;
        for passage in way {
            let Some(acl) = self.acls.of(passage.subnet) else {
                let detail = format!("the network ACL of {} is not in it", passage.subnet);
                partly.get_or_insert_with(|| self.unknown_acl(&detail));
                continue;
            };
            let end = passage.blocks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let (direction, preposition) =
                if passage.is_outbound { ("outbound", "to") } else { ("inbound", "from") };
            match passes(acl, passage) {
                Passes::All => {}
                Passes::None(number) => {
                    let (first, last) = passage.ports;
                    let ports = if first == last {
                        format!("port {first}")
                    } else {
                        format!("ports {first}-{last}, to which answers go,")
                    };
                    let entry = if number >= LAST {
                        "its last entry, which denies what no other allows".to_owned()
                    } else {
                        format!("its entry {number}")
                    };
                    let why = format!(
                        "the network ACL {} of {} denies {direction} TCP {ports} {preposition} {end}, by {entry}",
                        acl.id, passage.subnet
                    );
                    return Condition::not_met(KIND, why, self.allow(acl, passage, number));
                }
                Passes::Some(text) => {
                    let detail =
                        format!("{} of {}, {direction} {preposition} {end}: {text}", acl.id, passage.subnet);
                    partly.get_or_insert_with(|| self.unknown_acl(&detail));
                }
            }
        }
        partly.unwrap_or_else(|| {
            Condition::met(KIND, "the network ACLs let the connection and its answers pass")
        })
    }

    fn unknown_acl(&self, detail: &str) -> Condition {
        Condition::unknown(KIND, self.facts.evidence.gap(NETWORK_ACLS, GapReason::NotSupported, detail))
    }

    /// The steps that add an entry before the one that denies.
    fn allow(&self, acl: &NetworkAcl, passage: &Passage<'_>, denies: u32) -> Vec<Step> {
        let of_direction = acl.entries.iter().filter(|entry| entry.is_outbound == passage.is_outbound);
        let taken: BTreeSet<u32> = of_direction.map(|entry| entry.number).collect();
        let mut free = (1..denies.min(LAST)).rev().filter(|number| !taken.contains(number));
        let is_for_answers = passage.ports == LOCAL_PORTS;
        let (first, last) = if is_for_answers { RECOMMENDED_PORTS } else { passage.ports };
        let ports = if first == last { first.to_string() } else { format!("{first}-{last}") };
        let reason = if is_for_answers {
            format!(
                " ({ports} are the ports that AWS recommends for answers; Linux uses {}-{} of them)",
                LOCAL_PORTS.0, LOCAL_PORTS.1
            )
        } else {
            String::new()
        };
        let direction = if passage.is_outbound { "egress" } else { "ingress" };
        let word = if passage.is_outbound { "outbound" } else { "inbound" };
        let options = steps::aws_options(self.facts);
        let steps = passage.blocks.iter().map(|block| {
            let number = free.next().map_or_else(|| "NUMBER".to_owned(), |number| number.to_string());
            let option = if block.addr().is_ipv4() { "cidr-block" } else { "ipv6-cidr-block" };
            let id = shell_word(&acl.id, "NETWORK_ACL");
            let text = format!(
                "Allow {word} TCP {ports} with {block} in {}, by an entry before the one that denies{reason}",
                acl.id
            );
            Step::new(text).command(format!(
                "aws ec2 create-network-acl-entry{options} --network-acl-id {id} --{direction} --rule-number {number} --protocol tcp --port-range From={first},To={last} --{option} {block} --rule-action allow"
            ))
        });
        steps.collect()
    }
}
