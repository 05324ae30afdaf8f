//! Whether the security groups of a place and of the EKS-owned ENIs admit the connection.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use super::super::security_groups::{Addresses, Admits, Peer, admits, preferred};
use super::ends::common_families;
use super::gaps;
use super::index::Reachabilities;
use crate::model::gap::{GapReason, Observed};
use crate::model::net::{Interface, SECURITY_GROUPS};
use crate::model::reach::{MissingRule, RuleSide};
use crate::model::reachability::{Condition, ConditionKind, Location, Place};
use crate::model::rule::Step;
use crate::model::text::list;
use crate::steps;

const KIND: ConditionKind = ConditionKind::SecurityGroups;
/// How many groups or blocks a condition names.
const SHOWN: usize = 10;

impl Reachabilities<'_> {
    /// Whether the groups of a place let it out to the public endpoint, of which `ends` are the
    /// known addresses.
    pub(super) fn groups_out(&self, place: &Place, ends: &[IpAddr]) -> Condition {
        let Location::Vpc { groups, .. } = &place.location else {
            return Condition::not_applicable(KIND, "the public endpoint has no security groups");
        };
        if let Observed::Unseen(gap) = &self.facts.evidence.network.security_groups {
            return Condition::unknown(KIND, gap.clone());
        }
        let [outbound, _] = &self.rules;
        let any = [IpNet::V4(Ipv4Net::default())];
        let addresses = if ends.is_empty() { Addresses::Every(&any) } else { Addresses::Any(ends.to_vec()) };
        match admits(groups.as_deref(), outbound, &Peer { groups: Some(&[]), addresses }) {
            Admits::Yes => Condition::met(KIND, "its security groups let it out to the public endpoint"),
            Admits::No => {
                let groups = groups.as_deref().unwrap_or_default();
                let port = self.facts.evidence.cluster.api_port();
                let why = format!(
                    "no outbound rule of its security groups ({}) admits TCP {port} to the public endpoint",
                    list(groups, SHOWN)
                );
                let group = self.preferred(groups);
                Condition::not_met(KIND, why, vec![self.add(&group, RuleSide::Outbound, &any[0].to_string())])
            }
            Admits::Unknown(_) if groups.is_none() => Condition::unknown(KIND, gaps::no_interface(place)),
            Admits::Unknown(reason) => self.unknown_groups(reason),
        }
    }

    /// Whether the groups at both ends admit a connection with an EKS-owned ENI.
    pub(super) fn groups_in(&self, place: &Place, eni: Option<&Interface>) -> Condition {
        let (groups, blocks) = match &place.location {
            Location::Vpc { groups, blocks, .. } => (groups.as_deref(), blocks.as_slice()),
            // A peered VPC has groups of its own, which rules can name.
            Location::Outside { blocks } => (Some(&[][..]), blocks.as_slice()),
            Location::Unknown => return Condition::unknown(KIND, gaps::unknown_place(place)),
        };
        if let Observed::Unseen(gap) = &self.facts.evidence.network.security_groups {
            return Condition::unknown(KIND, gap.clone());
        }
        let Some(eni) = eni else { return Condition::unknown(KIND, self.no_enis()) };
        let [out_rules, in_rules] = &self.rules;
        let families = || common_families(blocks, eni);
        let inbound = either(families().map(|(own, _)| {
            let place = Peer { groups, addresses: Addresses::Every(&own) };
            admits(Some(&eni.groups), in_rules, &place)
        }));
        let outbound = if Self::is_in_vpc(place) {
            either(families().map(|(_, of_eni)| {
                let eni = Peer { groups: Some(&eni.groups), addresses: Addresses::Every(&of_eni) };
                admits(groups, out_rules, &eni)
            }))
        } else {
            Admits::Yes
        };
        let missing =
            [(RuleSide::Outbound, outbound == Admits::No), (RuleSide::Inbound, inbound == Admits::No)];
        match outbound.and(inbound) {
            Admits::Yes if !Self::is_in_vpc(place) => Condition::met(
                KIND,
                "the security groups of the EKS-owned ENIs admit it; what filters at the other end is not in the evidence",
            ),
            Admits::Yes => Condition::met(KIND, "the security groups at both ends admit it"),
            Admits::Unknown(_) if groups.is_none() => Condition::unknown(KIND, gaps::no_interface(place)),
            Admits::Unknown(reason) => self.unknown_groups(reason),
            Admits::No => {
                let sides = missing.into_iter().filter(|(_, is_missing)| *is_missing).map(|(side, _)| side);
                self.blocked(sides, groups, blocks, eni)
            }
        }
    }

    fn blocked(
        &self,
        sides: impl Iterator<Item = RuleSide>,
        groups: Option<&[String]>,
        blocks: &[IpNet],
        eni: &Interface,
    ) -> Condition {
        let port = self.facts.evidence.cluster.api_port();
        let own = groups.filter(|groups| !groups.is_empty());
        let texts: Vec<_> = blocks.iter().map(ToString::to_string).collect();
        let (mut reasons, mut fix) = (Vec::new(), Vec::new());
        for side in sides {
            let (of, with) = match side {
                RuleSide::Inbound => (
                    "the EKS-owned ENIs",
                    own.map_or_else(
                        || list(&texts, SHOWN),
                        |own| format!("{} ({})", list(&texts, SHOWN), list(own, SHOWN)),
                    ),
                ),
                RuleSide::Outbound => {
                    ("its interface", format!("the EKS-owned ENIs ({})", list(&eni.groups, SHOWN)))
                }
            };
            let lacking = match side {
                RuleSide::Inbound => eni.groups.as_slice(),
                RuleSide::Outbound => own.unwrap_or_default(),
            };
            reasons.push(format!(
                "no {} rule of the security groups of {of} ({}) admits TCP {port} {} {with}",
                side.as_str(),
                list(lacking, SHOWN),
                side.preposition()
            ));
            let group = self.preferred(lacking);
            match (side, own) {
                (RuleSide::Outbound, _) => fix.push(self.add(&group, side, &self.preferred(&eni.groups))),
                (RuleSide::Inbound, Some(own)) => fix.push(self.add(&group, side, &self.preferred(own))),
                (RuleSide::Inbound, None) => {
                    fix.extend(texts.iter().take(SHOWN).map(|block| self.add(&group, side, block)));
                }
            }
        }
        Condition::not_met(KIND, reasons.join("; "), fix)
    }

    fn add(&self, group: &str, side: RuleSide, peer: &str) -> Step {
        let port = self.facts.evidence.cluster.api_port();
        steps::add_rule(
            self.facts,
            &MissingRule { group: group.to_owned(), side, port, peer: peer.to_owned() },
        )
    }

    /// The group to which a rule is added.
    fn preferred(&self, groups: &[String]) -> String {
        preferred(&self.facts.evidence.cluster, groups.iter())
    }

    fn unknown_groups(&self, reason: String) -> Condition {
        let evidence = &self.facts.evidence;
        Condition::unknown(KIND, evidence.gap(SECURITY_GROUPS, GapReason::NotSupported, reason))
    }
}

/// What holds if one of several connections suffices.
fn either(all: impl Iterator<Item = Admits>) -> Admits {
    let mut result: Option<Admits> = None;
    for admits in all {
        match (&admits, &result) {
            (Admits::Yes, _) => return Admits::Yes,
            (Admits::Unknown(_), None | Some(Admits::No)) | (Admits::No, None) => result = Some(admits),
            _ => {}
        }
    }
    result.unwrap_or_else(|| Admits::Unknown("both ends have no address of the same family".to_owned()))
}
