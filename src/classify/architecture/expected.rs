//! The paths that the access mode makes expected, hop by hop.

use std::collections::BTreeSet;

use super::observed::Legs;
use crate::model::architecture::{ExpectedPath, Names};
use crate::model::cluster::Hosting;
use crate::model::connection::KUBELET_PORT;
use crate::model::egress::WayOut;
use crate::model::seen_from::HERE;

/// How many details of a hop are listed.
const DETAILS_SHOWN: usize = 3;

impl Legs<'_> {
    pub(super) fn expected_of_operator(&self) -> Vec<ExpectedPath> {
        let cluster = &self.facts.evidence.cluster;
        let mut ways = Vec::new();
        if cluster.hosting == Hosting::Connector {
            return ways;
        }
        let (public, private) = (cluster.access.public(), cluster.access.private());
        let is_recorded = public.is_some() && private.is_some();
        if public != Some(false) {
            let admitted = Names::new(cluster.public_cidrs().iter().map(ToString::to_string));
            let endpoint = format!("admits {}", admitted.shown(DETAILS_SHOWN));
            ways.push(ExpectedPath {
                whose: if_recorded(is_recorded, if private == Some(false) { "" } else { "outside the VPC" }),
                hops: vec![
                    hop(HERE, []),
                    hop("internet", []),
                    hop("public endpoint", [endpoint]),
                    hop("API server", []),
                ],
            });
        }
        if private != Some(false) {
            ways.push(ExpectedPath {
                whose: if_recorded(is_recorded, "in the VPC, or a connected network that uses its DNS"),
                hops: vec![hop(HERE, []), self.eni_hop(), hop("API server", [])],
            });
        }
        ways
    }

    pub(super) fn expected_of_nodes(&self) -> Vec<ExpectedPath> {
        let cluster = &self.facts.evidence.cluster;
        if cluster.hosting == Hosting::Connector {
            return Vec::new();
        }
        let private = cluster.access.private();
        let mut ways = Vec::new();
        if private != Some(true) {
            ways.push(ExpectedPath {
                whose: if_recorded(private.is_some(), "kubelet, kube-proxy"),
                hops: vec![
                    hop("node", []),
                    self.way_out(),
                    hop("public endpoint", []),
                    hop("API server", []),
                ],
            });
        }
        if private != Some(false) {
            ways.push(ExpectedPath {
                whose: if_recorded(private.is_some(), "kubelet, kube-proxy"),
                hops: vec![hop("node", []), self.eni_hop(), hop("API server", [])],
            });
        }
        let cluster_ips = cluster.cluster_ips.iter().map(ToString::to_string);
        ways.push(ExpectedPath {
            whose: "pods".to_owned(),
            hops: vec![hop("pod", []), hop("ClusterIP", cluster_ips), self.eni_hop(), hop("API server", [])],
        });
        ways
    }

    pub(super) fn expected_of_kubelets(&self) -> Vec<ExpectedPath> {
        if self.facts.evidence.cluster.hosting == Hosting::Connector {
            return Vec::new();
        }
        let kubelet = hop(&format!("kubelet:{KUBELET_PORT}"), []);
        vec![ExpectedPath {
            whose: "in every access mode".to_owned(),
            hops: vec![hop("API server", []), self.eni_hop(), kubelet],
        }]
    }

    /// The hop over the EKS-owned ENIs.
    fn eni_hop(&self) -> Vec<String> {
        if self.facts.evidence.cluster.hosting == Hosting::Outposts {
            return hop("ENI of the local cluster", []);
        }
        let owned = self.facts.eks_owned().map(|known| {
            let address = known.interface.addresses.first().map(|address| format!("{address} "));
            format!("{}{}", address.unwrap_or_default(), known.interface.id)
        });
        let mut details: Vec<_> = owned.take(DETAILS_SHOWN).collect();
        let more = self.facts.eks_owned().count().saturating_sub(DETAILS_SHOWN);
        if more > 0 {
            details.push(format!("and {more} more"));
        }
        hop("EKS-owned ENI", details)
    }

    /// The hop out of the VPC: NAT gateways, or the nodes' own public addresses.
    fn way_out(&self) -> Vec<String> {
        let ways = self.facts.egress.iter().flat_map(|node| &node.ipv4);
        let mut via = BTreeSet::new();
        for way in ways.filter_map(|way| way.seen()) {
            if let WayOut::Addresses(addresses) = way {
                via.extend(addresses.iter().map(|address| (address.via.as_str(), address.address)));
            }
        }
        let (gateways, own): (Vec<_>, Vec<_>) = via.into_iter().partition(|(via, _)| via.starts_with("nat-"));
        let name = match (gateways.is_empty(), own.is_empty()) {
            (false, true) => "NAT gateway",
            (true, false) => "internet gateway",
            _ => "NAT or internet gateway",
        };
        let all = gateways.iter().chain(&own);
        let mut addresses: Vec<_> = all.map(|(_, address)| address.to_string()).collect();
        let more = addresses.len().saturating_sub(DETAILS_SHOWN);
        addresses.truncate(DETAILS_SHOWN);
        if more > 0 {
            addresses.push(format!("and {more} more"));
        }
        hop(name, addresses)
    }
}

/// A hop with its details.
fn hop(name: &str, details: impl IntoIterator<Item = String>) -> Vec<String> {
    [name.to_owned()].into_iter().chain(details).collect()
}

/// For whom a way is; if the access mode is not recorded, it is one that is possible.
fn if_recorded(is_recorded: bool, whose: &str) -> String {
    let possibly = if is_recorded { "" } else { "possibly (the access mode is not recorded)" };
    let parts = [whose, possibly].into_iter().filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(", ")
}
