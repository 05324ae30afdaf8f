//! How much of the internet `publicAccessCidrs` covers, judged as a union.

use ipnet::IpNet;

use crate::model::cluster::EndpointAccess;
use crate::model::expectations::Expectations;

/// The merged blocks that count as the internet at large.
pub(super) fn open_blocks(cidrs: &[IpNet], expected: &Expectations) -> Vec<IpNet> {
    let is_open = |block: &IpNet| match block {
        IpNet::V4(block) => block.prefix_len() < expected.widest_v4,
        IpNet::V6(block) => block.prefix_len() < expected.widest_v6,
    };
    union(cidrs).into_iter().filter(is_open).collect()
}

/// What a finding adds where the public endpoint is only assumed to be on.
pub(super) fn assumed(access: &EndpointAccess) -> &'static str {
    match access.public() {
        Some(_) => "",
        None => "; endpointPublicAccess is not recorded and is assumed to be on",
    }
}

/// The blocks, with adjacent and overlapping ones merged.
pub(super) fn union(cidrs: &[IpNet]) -> Vec<IpNet> {
    IpNet::aggregate(&cidrs.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(cidrs: &[&str]) -> Vec<String> {
        let cidrs: Vec<_> = cidrs.iter().map(|cidr| cidr.parse().expect("a CIDR")).collect();
        open_blocks(&cidrs, &Expectations::default()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn blocks_are_judged_together() {
        assert_eq!(open(&["0.0.0.0/0"]), ["0.0.0.0/0"]);
        assert_eq!(open(&["203.0.113.0/24", "::/0"]), ["::/0"]);
        assert_eq!(open(&["0.0.0.0/1", "128.0.0.0/1"]), ["0.0.0.0/0"]);
        assert_eq!(open(&["16.0.0.0/7"]), ["16.0.0.0/7"]);
        assert_eq!(open(&["17.0.0.0/8", "16.0.0.0/8"]), ["16.0.0.0/7"]);
        assert_eq!(open(&["2600::/31"]), ["2600::/31"]);
        let quarters: Vec<_> = (0..256).map(|first| format!("{first}.0.0.0/8")).collect();
        assert_eq!(open(&quarters.iter().map(String::as_str).collect::<Vec<_>>()), ["0.0.0.0/0"]);
        assert!(open(&["16.0.0.0/8", "203.0.113.7/32", "2600::/32"]).is_empty());
    }
}
