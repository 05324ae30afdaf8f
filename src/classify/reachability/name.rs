//! To which side the endpoint's name resolves at a place.
//!
//! With private access on, a private hosted zone of EKS resolves the name to the EKS-owned
//! ENIs, for clients of the VPC's own resolver. Elsewhere public DNS answers: with public
//! addresses while public access is on, and with the private ones if it is off.
//!
//! <https://docs.aws.amazon.com/eks/latest/userguide/cluster-endpoint.html>

use std::net::IpAddr;

use ipnet::IpNet;

use super::gaps;
use super::index::Reachabilities;
use crate::model::cluster::{EndpointAccess, Hosting};
use crate::model::connection::Path;
use crate::model::evidence::Evidence;
use crate::model::file::{Field, File};
use crate::model::gap::{Gap, GapReason, Observed, Subject};
use crate::model::name::NodeName;
use crate::model::net::Vpc;
use crate::model::ranges::is_public;
use crate::model::reachability::{Condition, ConditionKind, EndpointSide, Location, Place};
use crate::model::rule::Step;
use crate::model::shell::shell_word;
use crate::model::text::list;
use crate::steps;

const KIND: ConditionKind = ConditionKind::Name;
/// How many addresses a condition names.
const SHOWN: usize = 10;

/// The side to which the name resolves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// This one.
    One(EndpointSide),
    /// One of them, and it is not known which.
    Either,
    /// It is not known.
    Unknown,
}

impl Side {
    pub(super) fn known(self) -> Option<EndpointSide> {
        match self {
            Self::One(side) => Some(side),
            Self::Either | Self::Unknown => None,
        }
    }
}

/// What is known of the name at a place.
pub(super) struct Name {
    pub(super) side: Side,
    pub(super) condition: Condition,
}

impl Name {
    fn one(side: EndpointSide, why: impl Into<String>) -> Self {
        Self { side: Side::One(side), condition: Condition::met(KIND, why) }
    }

    fn fails(side: Side, why: impl Into<String>, fix: Vec<Step>) -> Self {
        Self { side, condition: Condition::not_met(KIND, why, fix) }
    }

    fn unknown(side: Side, gap: Gap) -> Self {
        Self { side, condition: Condition::unknown(KIND, gap) }
    }
}

/// The name servers of the VPC.
enum Resolver {
    /// The VPC's own resolver.
    Amazon,
    /// Others, which may forward the name to it.
    Other(Vec<String>),
    /// It is not known which.
    Unknown(Gap),
}

/// Why the hosts of the VPC do not resolve names.
enum Unresolved {
    /// For this reason.
    Fails(&'static str),
    /// It is not known whether they do.
    Unknown(Gap),
}

impl<'a> Reachabilities<'a> {
    /// Whether the name resolves at a place, and to which side.
    pub(super) fn name(&self, access: &EndpointAccess, place: &Place) -> Name {
        let evidence = &self.facts.evidence;
        let cluster = &evidence.cluster;
        if cluster.hosting == Hosting::Connector {
            let detail = "the cluster is registered through EKS Connector: EKS does not run its control plane and has no endpoint of it";
            return Name::unknown(
                Side::Unknown,
                evidence.gap(File::CLUSTER, GapReason::NotSupported, detail),
            );
        }
        if cluster.endpoint.is_none() && cluster.status.as_deref() == Some("CREATING") {
            let why = "the cluster has no endpoint yet: it is being created";
            let wait = steps::wait_until_active(self.facts);
            return Name::fails(Side::Unknown, why, vec![Step::new("Wait until it is active").command(wait)]);
        }
        let is_today =
            access.public() == cluster.access.public() && access.private() == cluster.access.private();
        let answers = self.seen.names(place).filter_map(|name| evidence.vantage(name));
        for vantage in answers.filter(|_| is_today) {
            match &vantage.answer {
                Observed::Seen(answer) => {
                    if let Some(name) = self.by_answer(access, place, &answer.addresses) {
                        return name;
                    }
                }
                Observed::Unseen(gap) if gap.why == GapReason::NoAnswer => {
                    return Name::fails(
                        Side::Unknown,
                        format!("as seen: {}", gap.problem()),
                        self.resolve(access),
                    );
                }
                Observed::Unseen(_) => {}
            }
        }
        self.by_settings(access, place)
    }

    /// What an answer of DNS at the place shows; `None` if it has no address.
    fn by_answer(&self, access: &EndpointAccess, place: &Place, addresses: &[IpAddr]) -> Option<Name> {
        let texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        let texts = list(&texts, SHOWN);
        let path = |address: &IpAddr| {
            let path = self.facts.endpoint_addresses.get(address).copied();
            path.filter(|path| *path != Path::PublicEndpoint || !self.may_be_of_eni(address))
        };
        let count = |wanted| addresses.iter().filter(|address| path(address) == Some(wanted)).count();
        let (private, public) = (count(Path::PrivateEni), count(Path::PublicEndpoint));
        let other = addresses.len() - private - public;
        if addresses.is_empty() {
            return None;
        }
        let name = if private == addresses.len() {
            Name::one(
                EndpointSide::Private,
                format!("as seen: it resolves to {texts}, which EKS-owned ENIs have"),
            )
        } else if public == addresses.len() && access.public() == Some(false) {
            let why =
                format!("as seen: it resolves to the public addresses {texts}, and public access is off");
            Name::fails(Side::One(EndpointSide::Public), why, self.resolve(access))
        } else if public == addresses.len() {
            let off = if Self::is_in_vpc(place) && access.private() == Some(true) {
                self.attribute_off()
            } else {
                None
            };
            let off =
                off.map(|field| format!(", since {} of the VPC is off", field.name())).unwrap_or_default();
            Name::one(
                EndpointSide::Public,
                format!("as seen: it resolves to the public addresses {texts}{off}"),
            )
        } else if other == 0 {
            let detail = format!("it resolves to both public and private addresses: {texts}");
            Name::unknown(Side::Either, gaps::at(place, detail))
        } else {
            let interfaces = &self.facts.evidence.network.interfaces;
            let gap = interfaces.as_result().err().unwrap_or_else(|| {
                gaps::at(place, format!("it resolves to {texts}, and no EKS-owned ENI has all of these"))
            });
            // What else resolves inside the VPC is an address of an interface.
            let is_private = access.public() == Some(false);
            Name::unknown(if is_private { Side::One(EndpointSide::Private) } else { Side::Either }, gap)
        };
        Some(name)
    }

    /// Whether an address may be that of an EKS-owned ENI, since the interfaces were not seen.
    fn may_be_of_eni(&self, address: &IpAddr) -> bool {
        let network = &self.facts.evidence.network;
        network.interfaces.seen().is_none()
            && match network.vpc.seen() {
                Some(vpc) => vpc.cidrs.iter().any(|block| block.contains(address)),
                None => !is_public(&IpNet::from(*address)),
            }
    }

    /// To which side the name resolves by the settings.
    fn by_settings(&self, access: &EndpointAccess, place: &Place) -> Name {
        if let Some(name) = self.without_ipv6(place) {
            return name;
        }
        let name = self.by_modes(access, place);
        if !Self::is_in_vpc(place) {
            return name;
        }
        match self.vpc_resolves() {
            Ok(()) => name,
            Err(Unresolved::Fails(why)) => match self.answers_of_nodes().next() {
                Some((node, _)) => {
                    let detail = format!("{why}, and {node} resolves the name all the same");
                    Name::unknown(Side::Unknown, gaps::at(place, detail))
                }
                None => Name::fails(Side::Unknown, why, steps::dns_attributes(self.facts)),
            },
            Err(Unresolved::Unknown(gap)) => {
                // A component that is connected has resolved the name.
                let is_resolved = |side| self.seen.component(place, side).is_some();
                match name.side {
                    Side::One(side) if is_resolved(side) => name,
                    Side::Either => Name::unknown(Side::Unknown, gap),
                    side => Name::unknown(side, gap),
                }
            }
        }
    }

    /// To which side the name resolves, if it does.
    fn by_modes(&self, access: &EndpointAccess, place: &Place) -> Name {
        let is_in_vpc = Self::is_in_vpc(place);
        match (access.public(), access.private()) {
            (Some(true), Some(false)) => Name::one(
                EndpointSide::Public,
                "with public access alone, the name resolves to public addresses everywhere",
            ),
            (Some(false), Some(true)) if is_in_vpc => Name::one(
                EndpointSide::Private,
                "with private access alone, the name resolves to the EKS-owned ENIs",
            ),
            (Some(false), Some(true)) => Name::one(
                EndpointSide::Private,
                "with private access alone, public DNS resolves the name to the private addresses, unless a resolver on the way drops these",
            ),
            (Some(true), Some(true)) => match &place.location {
                Location::Vpc { .. } => self.in_vpc(place),
                Location::Outside { .. } => Name::one(
                    EndpointSide::Public,
                    "outside the VPC, the name resolves to public addresses while public access is on, unless the zone of the VPC is forwarded there",
                ),
                Location::Unknown => {
                    let detail = "it resolves to private addresses in the VPC and to public ones elsewhere, and whether this place is in the VPC is not known";
                    let hint = "pass its address with --from, or run eks-netcheck reach there";
                    Name::unknown(Side::Either, gaps::about(place, detail, hint))
                }
            },
            _ => {
                let detail = "which endpoints are on is not recorded";
                let gap = self.facts.evidence.gap(Field::EndpointAccess, GapReason::NotRecorded, detail);
                Name::unknown(Side::Unknown, gap)
            }
        }
    }

    /// With both endpoints on, whether the VPC's hosts resolve the name in the private zone.
    fn in_vpc(&self, place: &Place) -> Name {
        let evidence = &self.facts.evidence;
        let vpc = match &evidence.network.vpc {
            Observed::Seen(vpc) => vpc,
            Observed::Unseen(gap) => return Name::unknown(Side::Either, gap.clone()),
        };
        if let Some(field) = self.attribute_off() {
            // What was seen outranks the setting, and shows nothing about another host.
            if let (Some(node), None) = self.resolved_by_nodes() {
                let detail = format!(
                    "{} of the VPC is off, and {node} resolves the name to EKS-owned ENIs all the same",
                    field.name()
                );
                return Name::unknown(Side::Either, gaps::at(place, detail));
            }
            let why = format!("{} of the VPC is off, so the name resolves to public addresses", field.name());
            return Name::one(EndpointSide::Public, why);
        }
        let all =
            [(Field::EnableDnsSupport, vpc.dns_support), (Field::EnableDnsHostnames, vpc.dns_hostnames)];
        if let Some((field, _)) = all.into_iter().find(|(_, value)| value.is_none()) {
            let detail = format!("whether {} is on is not recorded", field.name());
            return Name::unknown(Side::Either, evidence.gap(field, GapReason::NotRecorded, detail));
        }
        match resolver(evidence, vpc) {
            Resolver::Amazon => Name::one(
                EndpointSide::Private,
                "the VPC's resolver answers with the EKS-owned ENIs, from the private zone",
            ),
            Resolver::Other(servers) => self.forwarded(place, &servers),
            Resolver::Unknown(gap) => Name::unknown(Side::Either, gap),
        }
    }

    /// The DNS attribute of the VPC that is off.
    fn attribute_off(&self) -> Option<Field> {
        let vpc = self.facts.evidence.network.vpc.seen()?;
        let all =
            [(Field::EnableDnsSupport, vpc.dns_support), (Field::EnableDnsHostnames, vpc.dns_hostnames)];
        all.into_iter().find(|(_, value)| *value == Some(false)).map(|(field, _)| field)
    }

    /// The steps after which a place in the VPC, whose connections end on the public endpoint
    /// although private access is on, uses the private one.
    pub(super) fn to_private_side(&self, access: &EndpointAccess, place: &Place) -> Vec<Step> {
        if access.private() != Some(true) || !Self::is_in_vpc(place) {
            return Vec::new();
        }
        let mut fix = steps::dns_attributes(self.facts);
        if fix.is_empty() {
            fix.push(Step::new(
                "Make the name servers in the VPC's DHCP options forward the endpoint's name to the VPC's resolver, or use AmazonProvidedDNS",
            ));
        }
        fix
    }

    /// The addresses to which nodes in the VPC resolve the name.
    fn answers_of_nodes(&self) -> impl Iterator<Item = (&'a NodeName, &'a [IpAddr])> {
        let facts = self.facts;
        let nodes = facts.nodes.iter().filter(|node| !facts.is_hybrid(&node.name));
        nodes.filter_map(|node| {
            let answer = facts.evidence.vantage(node.name.as_str())?.answer.seen()?;
            Some((&node.name, answer.addresses.as_slice())).filter(|(_, addresses)| !addresses.is_empty())
        })
    }

    /// With both endpoints on, a node in the VPC whose name servers answered with the EKS-owned
    /// ENIs alone, and one whose name servers answered with public addresses alone.
    fn resolved_by_nodes(&self) -> (Option<&'a NodeName>, Option<&'a NodeName>) {
        *self.resolved_by_nodes.get_or_init(|| self.find_resolved_by_nodes())
    }

    fn find_resolved_by_nodes(&self) -> (Option<&'a NodeName>, Option<&'a NodeName>) {
        let access = &self.facts.evidence.cluster.access;
        if access.public() != Some(true) || access.private() != Some(true) {
            return (None, None);
        }
        let resolved = |path: Path| {
            let is_path = |address: &IpAddr| self.facts.endpoint_addresses.get(address) == Some(&path);
            self.answers_of_nodes().find(|(_, addresses)| addresses.iter().all(is_path)).map(|(node, _)| node)
        };
        (resolved(Path::PrivateEni), resolved(Path::PublicEndpoint))
    }

    /// Own name servers work where they forward the name: what nodes resolved shows it.
    fn forwarded(&self, place: &Place, servers: &[String]) -> Name {
        let servers = if servers.is_empty() { "none".to_owned() } else { list(servers, SHOWN) };
        let options = format!("the DHCP options of the VPC name other name servers ({servers})");
        let (private, public) = self.resolved_by_nodes();
        match (private, public) {
            (Some(node), None) => Name::one(
                EndpointSide::Private,
                format!("{options}, which forward the name to the VPC's resolver, as {node} shows"),
            ),
            (None, Some(node)) => Name::one(
                EndpointSide::Public,
                format!("{options}, which do not forward the name to the VPC's resolver, as {node} shows"),
            ),
            _ => {
                let detail = format!(
                    "{options}, and whether these forward the name to the VPC's resolver is not known"
                );
                let gap = self.facts.evidence.gap(
                    Subject::Vantage(place.name.clone()),
                    GapReason::NotRecorded,
                    detail,
                );
                Name::unknown(Side::Either, gap)
            }
        }
    }

    /// Whether the hosts of the VPC resolve any name: its own resolver is on, or the DHCP
    /// options name others.
    fn vpc_resolves(&self) -> Result<(), Unresolved> {
        let evidence = &self.facts.evidence;
        let vpc = evidence.network.vpc.as_result().map_err(Unresolved::Unknown)?;
        match (vpc.dns_support, resolver(evidence, vpc)) {
            (Some(true), _) | (Some(false), Resolver::Other(_)) => Ok(()),
            (Some(false), Resolver::Amazon) => {
                let why = "enableDnsSupport of the VPC is off, which turns its resolver off, and the DHCP options name no other";
                Err(Unresolved::Fails(why))
            }
            (Some(false), Resolver::Unknown(gap)) => Err(Unresolved::Unknown(gap)),
            (None, _) => {
                let detail = "whether enableDnsSupport is on is not recorded";
                let gap = evidence.gap(Field::EnableDnsSupport, GapReason::NotRecorded, detail);
                Err(Unresolved::Unknown(gap))
            }
        }
    }

    /// The endpoint of an IPv4 cluster has no IPv6 address.
    ///
    /// <https://docs.aws.amazon.com/eks/latest/userguide/cni-ipv6.html>
    fn without_ipv6(&self, place: &Place) -> Option<Name> {
        let Location::Outside { blocks } = &place.location else { return None };
        let ips = &self.facts.evidence.cluster.cluster_ips;
        let is_ipv4_cluster = !ips.is_empty() && ips.iter().all(IpAddr::is_ipv4);
        let is_dual_stack = self.facts.has_ipv6_public_endpoint();
        if is_dual_stack || !is_ipv4_cluster || blocks.iter().any(|block| block.addr().is_ipv4()) {
            return None;
        }
        let why = "the endpoint of an IPv4 cluster has no IPv6 address, and the place has no IPv4 address";
        let fix = Step::new(
            "Give the place an IPv4 address, or a way to IPv4 addresses by NAT64 and DNS64: EKS takes no IPv6 blocks for an IPv4 cluster",
        );
        Some(Name::fails(Side::Unknown, why, vec![fix]))
    }

    /// The steps by which the name resolves.
    fn resolve(&self, access: &EndpointAccess) -> Vec<Step> {
        let cluster = &self.facts.evidence.cluster;
        let host = cluster.endpoint.as_ref().map_or("", |endpoint| endpoint.host.as_str());
        let host = shell_word(host, "ENDPOINT");
        let mut fix = Vec::new();
        if access.private() == Some(true) {
            fix.push(Step::new(
                "Make the resolver of that network forward the name to the VPC, with a Route 53 Resolver inbound endpoint there, or resolve it by public DNS, which answers with the private addresses once public access is off",
            ));
        }
        let name = shell_word(&cluster.name, "CLUSTER");
        fix.push(
            Step::new("Make sure that the cluster still has this name")
                .command(format!("dig +short {host}"))
                .check(
                    "A cluster that was made again has another one; update the kubeconfig with",
                    format!("aws eks update-kubeconfig{} --name {name}", steps::aws_options(self.facts)),
                ),
        );
        fix
    }
}

/// The name servers of the VPC's hosts.
fn resolver(evidence: &Evidence, vpc: &Vpc) -> Resolver {
    match evidence.name_servers(vpc) {
        Ok(servers) if servers.iter().any(|server| vpc.is_own_resolver(server)) => Resolver::Amazon,
        Ok(servers) => Resolver::Other(servers),
        Err(gap) => Resolver::Unknown(gap),
    }
}
