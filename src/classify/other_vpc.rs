//! Answers of EC2 about another VPC than the cluster's, as in a recording that was put together from
//! two. All nodes and EKS-owned ENIs of a cluster are in its VPC.
//!
//! <https://docs.aws.amazon.com/eks/latest/userguide/network-reqs.html>

use std::collections::BTreeSet;

use crate::model::evidence::Evidence;
use crate::model::file::File;
use crate::model::gap::{Gap, GapReason};
use crate::model::net::{INSTANCES, INTERFACES};
use crate::model::text::list;

/// How many VPCs a text names.
const SHOWN: usize = 3;

/// The gaps for the lists of nodes and of interfaces in which nothing is in the cluster's VPC.
pub(super) fn other_vpc(evidence: &Evidence) -> Vec<(File, Gap)> {
    let Some(own) = evidence.cluster.vpc.as_deref().filter(|id| !id.is_empty()) else { return Vec::new() };
    let nodes: Option<BTreeSet<_>> = evidence.node_instances().map(|node| node.vpc.as_deref()).collect();
    let interfaces = evidence.network.interfaces.seen().into_iter().flatten();
    let interfaces: BTreeSet<_> = interfaces.map(|interface| interface.vpc.as_str()).collect();
    let lists = [(INSTANCES, "its nodes are", nodes.unwrap_or_default()), (INTERFACES, "it is", interfaces)];
    let is_other = |vpcs: &BTreeSet<&str>| !vpcs.is_empty() && !vpcs.contains(own) && !vpcs.contains("");
    let others = lists.into_iter().filter(|(_, _, vpcs)| is_other(vpcs));
    let gap = |(file, what, vpcs): (File, &str, BTreeSet<&str>)| {
        let detail = format!(
            "{what} of {}, and {} is of {own}: they are of different clusters, or of different times",
            list(&Vec::from_iter(vpcs), SHOWN),
            File::CLUSTER
        );
        (file, evidence.gap(file, GapReason::Incomplete, detail))
    };
    others.map(gap).collect()
}
