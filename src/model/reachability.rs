//! Whether a place can reach the API server endpoint: the conditions of a connection, in the
//! order in which it meets them.

use std::net::IpAddr;

use ipnet::IpNet;

use super::cluster::EndpointAccess;
use super::gap::{Gap, Subject};
pub use super::reaches::Reaches;
use super::rule::Step;

/// A place from which the endpoint is used, today or after a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its name in reports: `here`, a node, a CIDR block, or the name of a client.
    pub name: String,
    /// Where it is.
    pub location: Location,
}

/// Where a place is, as far as the ways to the endpoint depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// In the VPC of the cluster.
    Vpc {
        /// The id of its instance or network interface, by which its egress is known.
        id: Option<String>,
        /// Its subnet.
        subnet: Option<String>,
        /// Its addresses, those of pods left out; a block if it is a part of the VPC.
        blocks: Vec<IpNet>,
        /// Its public address.
        public_ip: Option<IpAddr>,
        /// The security groups of its interface; `None` if they are not known.
        groups: Option<Vec<String>>,
    },
    /// Outside the VPC, with these addresses as others see them. A private block is that of a
    /// peered VPC, a VPN or an on-premises network.
    Outside {
        /// Its addresses.
        blocks: Vec<IpNet>,
    },
    /// It is not known where.
    Unknown,
}

/// Which of the two endpoints a connection ends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndpointSide {
    /// The public endpoint.
    Public,
    /// The EKS-owned ENIs.
    Private,
    /// The `ClusterIP` of the `kubernetes` Service, which ends on them too.
    ClusterIp,
}

/// Whether a place reaches the endpoint under given settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reachability {
    /// On which side its connections end; `None` if it is not known.
    pub side: Option<EndpointSide>,
    /// The conditions of a connection, in the order in which it meets them. Those after the
    /// first that is not met are left out.
    pub conditions: Vec<Condition>,
}

/// A condition of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// What it is about.
    pub kind: ConditionKind,
    /// Whether it is met.
    pub result: ConditionResult,
    /// The reason for the result, as a sentence without a full stop.
    pub why: String,
    /// What makes it met, if it is not, with the command; or, if it is met and some
    /// connections hang all the same, what helps those.
    pub fix: Vec<Step>,
    /// Whether the place is connected all the same, by connections that were opened before it
    /// ceased to be met.
    pub is_connected: bool,
    /// The evidence that is missing, if the result is not known, or if it does not apply for
    /// want of it.
    pub gap: Option<Gap>,
}

impl Condition {
    /// A condition that is met.
    #[must_use]
    pub fn met(kind: ConditionKind, why: impl Into<String>) -> Self {
        Self {
            kind,
            result: ConditionResult::Met,
            why: why.into(),
            fix: Vec::new(),
            is_connected: false,
            gap: None,
        }
    }

    /// A condition that is not met, with what makes it met.
    #[must_use]
    pub fn not_met(kind: ConditionKind, why: impl Into<String>, fix: Vec<Step>) -> Self {
        Self { kind, result: ConditionResult::NotMet, why: why.into(), fix, is_connected: false, gap: None }
    }

    /// A condition of which it is not known whether it is met.
    #[must_use]
    pub fn unknown(kind: ConditionKind, gap: Gap) -> Self {
        let why = match gap.subject {
            // The place itself.
            Subject::Other(_) | Subject::Egress(_) => gap.detail.clone(),
            _ => gap.problem(),
        };
        let fix = Step::of_hint(&gap.hint).into_iter().collect();
        Self { kind, result: ConditionResult::Unknown, why, fix, is_connected: false, gap: Some(gap) }
    }

    /// A condition that is not judged without evidence that may be missing: it decides nothing,
    /// and the gap says what would judge it.
    #[must_use]
    pub fn not_judged(kind: ConditionKind, why: impl Into<String>, gap: Gap) -> Self {
        let fix = Step::of_hint(&gap.hint).into_iter().collect();
        Self { fix, gap: Some(gap), ..Self::not_applicable(kind, why) }
    }

    /// A condition that does not apply.
    #[must_use]
    pub fn not_applicable(kind: ConditionKind, why: impl Into<String>) -> Self {
        Self {
            kind,
            result: ConditionResult::NotApplicable,
            why: why.into(),
            fix: Vec::new(),
            is_connected: false,
            gap: None,
        }
    }
}

/// What a condition is about, in the order in which a connection meets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionKind {
    /// The endpoint's name resolves: private hosted zone, DHCP options, resolver.
    Name,
    /// A route leads there: route tables, peering, transit gateway, NAT gateway.
    Route,
    /// VPC Block Public Access admits the way out.
    BlockPublicAccess,
    /// The network ACLs admit it.
    NetworkAcl,
    /// The security groups admit it.
    SecurityGroups,
    /// `publicAccessCidrs` contains the source address.
    Cidrs,
    /// The certificate is one of the cluster's.
    Tls,
}

/// Whether a condition is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionResult {
    /// It is.
    Met,
    /// It is not.
    NotMet,
    /// It is not known: evidence is missing.
    Unknown,
    /// It does not apply on this way, or is not judged without evidence that may be missing.
    NotApplicable,
}

/// Whether a place reaches the endpoint of a cluster with its access of today, as a report
/// says it.
#[derive(Debug)]
pub struct ReachReport {
    /// The cluster's name.
    pub cluster: String,
    /// Its endpoint access.
    pub access: EndpointAccess,
    /// The place.
    pub place: Place,
    /// The conditions.
    pub reachability: Reachability,
    /// Whether it reaches it.
    pub reaches: Reaches,
    /// What was not seen, and would show whether a condition is met.
    pub gaps: Vec<Gap>,
}

impl Reachability {
    /// Whether the place reaches the endpoint: it does if every condition is met, and does
    /// not if any is not.
    #[must_use]
    pub fn reaches(&self) -> Reaches {
        let has = |result| self.conditions.iter().any(|condition| condition.result == result);
        if has(ConditionResult::NotMet) {
            Reaches::No
        } else if has(ConditionResult::Unknown) || self.conditions.is_empty() {
            Reaches::Unknown
        } else {
            Reaches::Yes
        }
    }

    /// The first condition that is not met.
    #[must_use]
    pub fn obstacle(&self) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.result == ConditionResult::NotMet)
    }

    /// The first condition that is met, and yet not for every connection.
    #[must_use]
    pub fn restriction(&self) -> Option<&Condition> {
        let is_met = |condition: &&Condition| condition.result == ConditionResult::Met;
        self.conditions.iter().filter(is_met).find(|condition| !condition.fix.is_empty())
    }
}

impl EndpointSide {
    /// Its name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
            Self::ClusterIp => "cluster-ip",
        }
    }
}

impl ConditionKind {
    /// Its name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Route => "route",
            Self::BlockPublicAccess => "block-public-access",
            Self::NetworkAcl => "network-acl",
            Self::SecurityGroups => "security-groups",
            Self::Cidrs => "public-access-cidrs",
            Self::Tls => "tls",
        }
    }
}

impl ConditionResult {
    /// Its name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::NotMet => "not-met",
            Self::Unknown => "unknown",
            Self::NotApplicable => "not-applicable",
        }
    }
}
