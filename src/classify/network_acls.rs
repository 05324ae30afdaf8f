//! Evaluation of network ACLs: whether they let packets pass. Entries are evaluated by their
//! number, and the first that matches decides.
//!
//! <https://docs.aws.amazon.com/vpc/latest/userguide/nacl-rules.html>

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::model::evidence::Evidence;
use crate::model::gap::Gap;
use crate::model::net::{AclEntry, NetworkAcl};

/// How many entries of a network ACL are evaluated. EC2 permits at most 40 in each direction.
///
/// <https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html>
const ENTRIES_MAX: usize = 400;
/// The number of the last entry of every network ACL, which denies.
pub(super) const LAST: u32 = 32767;

/// The network ACLs, by subnet.
pub(super) struct Acls<'a> {
    by_subnet: HashMap<&'a str, &'a NetworkAcl>,
    /// Why they are not known, if they are not.
    pub(super) missing: Option<Gap>,
}

impl<'a> Acls<'a> {
    /// The network ACLs of the evidence.
    pub(super) fn new(evidence: &'a Evidence) -> Self {
        let acls = || evidence.network.network_acls.seen().into_iter().flatten();
        let by_subnet = acls().flat_map(|acl| acl.subnets.iter().map(move |subnet| (subnet.as_str(), acl)));
        Self { by_subnet: by_subnet.collect(), missing: evidence.network.network_acls.as_result().err() }
    }

    /// The network ACL of a subnet; `None` if it is not recorded. Every subnet has an association
    /// with one, with the default one too, so that none follows from the absence of others.
    pub(super) fn of(&self, subnet: &str) -> Option<&'a NetworkAcl> {
        self.by_subnet.get(subnet).copied()
    }
}

/// The packets of one direction at one subnet.
pub(super) struct Passage<'a> {
    /// The subnet.
    pub(super) subnet: &'a str,
    /// Whether they leave it.
    pub(super) is_outbound: bool,
    /// The other end.
    pub(super) blocks: Vec<IpNet>,
    /// The ports to which they go.
    pub(super) ports: (u16, u16),
}

/// Whether an ACL lets packets pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Passes {
    /// All of them.
    All,
    /// None of them: the entry with this number denies them.
    None(u32),
    /// Some of them, as this text says.
    Some(String),
}

/// Whether an ACL lets packets pass. Each part of the other end that entries distinguish is
/// judged by its first address.
pub(super) fn passes(acl: &NetworkAcl, passage: &Passage<'_>) -> Passes {
    if acl.entries.len() > ENTRIES_MAX {
        return Passes::Some(format!("it has more than {ENTRIES_MAX} entries"));
    }
    let entries: Vec<&AclEntry> = acl
        .entries
        .iter()
        .filter(|entry| entry.is_outbound == passage.is_outbound && entry.ports.is_some())
        .collect();
    if entries.iter().any(|entry| entry.block.is_none()) {
        return Passes::Some("the block of an entry is not recorded".to_owned());
    }
    let (mut allowed, mut denied) = (false, None);
    let mut text = None;
    for block in &passage.blocks {
        for address in representatives(block, &entries) {
            let (open, number) = at_address(&entries, address, passage.ports);
            allowed |= !open.is_empty();
            if let Some(number) = number {
                denied = denied.or(Some(number));
                let ports = open.first().map(|(first, last)| format!(", which allows {first}-{last} only"));
                let ports = ports.unwrap_or_default();
                text.get_or_insert_with(|| {
                    format!("entry {number} denies a part of it, at {address}{ports}")
                });
            }
        }
    }
    match (allowed, denied) {
        (_, None) => Passes::All,
        (false, Some(number)) => Passes::None(number),
        (true, Some(_)) => Passes::Some(text.unwrap_or_default()),
    }
}

/// The first address of each part of a block that entries distinguish.
fn representatives(block: &IpNet, entries: &[&AclEntry]) -> BTreeSet<IpAddr> {
    let mut first = BTreeSet::from([block.network()]);
    for other in entries.iter().filter_map(|entry| entry.block) {
        let after = match other.broadcast() {
            IpAddr::V4(ip) => u32::from(ip).checked_add(1).map(|bits| IpAddr::V4(Ipv4Addr::from(bits))),
            IpAddr::V6(ip) => u128::from(ip).checked_add(1).map(|bits| IpAddr::V6(Ipv6Addr::from(bits))),
        };
        first.extend(
            [Some(other.network()), after].into_iter().flatten().filter(|address| block.contains(address)),
        );
    }
    first
}

/// The ranges of ports that entries allow with an address, and the number of the entry that
/// denies others; without one, the last.
fn at_address(
    entries: &[&AclEntry],
    address: IpAddr,
    (first, last): (u16, u16),
) -> (Vec<(u16, u16)>, Option<u32>) {
    let mut open = vec![(first, last)];
    let (mut allowed, mut denied) = (Vec::new(), None);
    for entry in entries {
        let Some((from, to)) = entry.ports else { continue };
        if from > to || !entry.block.is_some_and(|block| block.contains(&address)) {
            continue;
        }
        let mut rest = Vec::new();
        for (first, last) in open {
            if to < first || last < from {
                rest.push((first, last));
                continue;
            }
            let matched = (first.max(from), last.min(to));
            if entry.allows {
                allowed.push(matched);
            } else {
                denied = denied.or(Some(entry.number));
            }
            rest.extend((first < matched.0).then(|| (first, matched.0 - 1)));
            rest.extend((matched.1 < last).then(|| (matched.1 + 1, last)));
        }
        open = rest;
    }
    if !open.is_empty() {
        denied = denied.or(Some(LAST));
    }
    (allowed, denied)
}
