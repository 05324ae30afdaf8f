//! Everything that is known of a cluster except its nodes' sockets.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::cluster::Cluster;
use super::gap::{Gap, GapReason, Observed, Subject};
use super::net::{Instance, Network};

/// Everything that is known of a cluster except its nodes' sockets.
#[derive(Debug)]
pub struct Evidence {
    /// `DescribeCluster`.
    pub cluster: Cluster,
    /// The answers of EC2 about the cluster's VPC and nodes.
    pub network: Network,
    /// The endpoint's addresses by vantage point, sorted by its name.
    pub dns: Vec<Vantage>,
    /// What was asked for and not obtained, beyond the above.
    pub gaps: Vec<Gap>,
    /// The next step for what is missing, as the source of this evidence knows it.
    pub next_step: NextStep,
}

/// The next step that obtains a piece of missing evidence: another file to record,
/// another option to pass. Each source of evidence has its own.
pub type NextStep = fn(&Cluster, &Subject, GapReason) -> String;

impl Evidence {
    /// No evidence at all, for one reason.
    #[must_use]
    pub fn none(gap: Gap, next_step: NextStep) -> Self {
        Self {
            cluster: Cluster::unknown(),
            network: Network::unseen(&gap),
            dns: Vec::new(),
            gaps: vec![gap],
            next_step,
        }
    }

    /// The gap for a piece of evidence that is needed and missing. A gap that the
    /// source itself recorded for it takes precedence, since it has the cause.
    #[must_use]
    pub fn gap(&self, subject: impl Into<Subject>, why: GapReason, detail: impl Into<String>) -> Gap {
        let subject = subject.into();
        if let Some(recorded) = self.gaps.iter().find(|gap| gap.subject == subject) {
            return recorded.clone();
        }
        let hint = (self.next_step)(&self.cluster, &subject, why);
        Gap { subject, why, detail: detail.into(), hint }
    }

    /// What the endpoint's name resolved to, from anywhere, each address once.
    #[must_use]
    pub fn endpoint_addresses(&self) -> BTreeSet<IpAddr> {
        let answers = self.dns.iter().filter_map(|vantage| vantage.answer.seen());
        answers.flat_map(|answer| answer.addresses.iter().copied()).collect()
    }

    /// The instances that are running nodes of the cluster.
    pub fn node_instances(&self) -> impl Iterator<Item = &Instance> {
        let instances = self.network.instances.seen().into_iter().flatten();
        instances.filter(|instance| instance.running && instance.is_node_of(&self.cluster.name))
    }

    /// Why the list of instances is incomplete where it holds no node, in words.
    #[must_use]
    pub fn no_node_instances(&self) -> String {
        format!(
            "no running instance in it is tagged kubernetes.io/cluster/{0} or eks:cluster-name = {0}",
            self.cluster.name
        )
    }

    /// What was not seen and would attribute an address.
    #[must_use]
    pub fn attribution_gaps(&self) -> Vec<Gap> {
        let network = [self.network.interfaces.as_result().err(), self.network.vpc.as_result().err()];
        let vantages = self.dns.iter().map(|vantage| vantage.answer.as_result().err());
        // Without a cluster, everything is missing for the same reason.
        let rest = network.into_iter().chain(vantages).flatten().filter(|gap| !self.gaps.contains(gap));
        self.gaps.iter().cloned().chain(rest).collect()
    }

    /// Everything that was not seen, whether or not a rule needs it.
    #[must_use]
    pub fn all_gaps(&self) -> Vec<Gap> {
        let vantages = self.dns.iter().filter_map(|vantage| vantage.answer.as_result().err());
        self.network.gaps().into_iter().chain(vantages).chain(self.gaps.iter().cloned()).collect()
    }
}

/// What the endpoint's host name resolves to, seen from one place.
#[derive(Debug, Clone)]
pub struct Vantage {
    /// `here`, or a node's name.
    pub name: String,
    /// The answer.
    pub answer: Observed<Answer>,
}

/// Addresses in the order in which they were given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The addresses.
    pub addresses: Vec<IpAddr>,
    /// Lines that are no address: CNAMEs and comments.
    pub aside: Vec<String>,
    /// For how many seconds the answer may be kept, where that was recorded.
    pub ttl: Option<u32>,
}
