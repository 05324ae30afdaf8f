//! How far a finding extends, so that one that got worse is not taken for the same.

use std::collections::BTreeSet;

use ipnet::IpNet;

/// What a finding is about beside its subject, of which more is worse: address blocks, processes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extent {
    /// All parts, as text.
    parts: BTreeSet<String>,
    /// Those that are blocks, merged and sorted.
    blocks: Vec<IpNet>,
}

impl Extent {
    /// The extent with these parts.
    pub fn new(parts: impl IntoIterator<Item = String>) -> Self {
        let parts: BTreeSet<_> = parts.into_iter().collect();
        let blocks = parts.iter().filter_map(|part| part.parse().ok()).collect();
        Self { blocks: IpNet::aggregate(&blocks), parts }
    }

    /// Whether it has these parts: each is one of its own, or a block in its blocks.
    #[must_use]
    pub fn contains(&self, parts: &[String]) -> bool {
        parts.iter().all(|part| {
            self.parts.contains(part) || part.parse().is_ok_and(|block| self.contains_block(block))
        })
    }

    fn contains_block(&self, block: IpNet) -> bool {
        let after = self.blocks.partition_point(|own| own.network() <= block.network());
        after.checked_sub(1).is_some_and(|at| self.blocks[at].contains(&block))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(parts: &[&str]) -> Vec<String> {
        parts.iter().map(|part| (*part).to_owned()).collect()
    }

    #[test]
    fn blocks_are_compared_by_their_addresses_and_other_parts_by_name() {
        let contains = |then: &[&str], now: &[&str]| Extent::new(texts(then)).contains(&texts(now));
        for (then, now) in [
            (&["16.0.0.0/7"][..], &["16.0.0.0/7"][..]),
            (&["16.0.0.0/7"], &["17.0.0.0/8", "16.1.0.0/16"]),
            (&["16.0.0.0/8", "17.0.0.0/8"], &["16.0.0.0/7"]),
            (&["0.0.0.0/1", "128.0.0.0/1"], &["0.0.0.0/0"]),
            (&["::/0", "10.0.0.0/8"], &["2001:db8::/32", "10.9.0.0/16"]),
            (&["kubelet", "kube-proxy"], &["kubelet"]),
            (&["kubelet"], &[]),
            (&[], &[]),
        ] {
            assert!(contains(then, now), "{then:?} {now:?}");
        }
        for (then, now) in [
            (&["16.0.0.0/7"][..], &["0.0.0.0/0"][..]),
            (&["16.0.0.0/7"], &["16.0.0.0/7", "203.0.113.7/32"]),
            (&["16.0.0.0/8"], &["16.0.0.0/7"]),
            (&["0.0.0.0/0"], &["::/0"]),
            (&["::/0"], &["0.0.0.0/0"]),
            (&["kubelet"], &["kubelet", "kube-proxy"]),
            (&[], &["kubelet"]),
        ] {
            assert!(!contains(then, now), "{then:?} {now:?}");
        }
    }
}
