//! The evidence about a cluster, except the sockets of its nodes.

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::cluster::Cluster;
use super::file::File;
use super::gap::{Gap, GapReason, Observed, Subject};
use super::kubernetes::{Kubernetes, KubernetesNode};
use super::net::{DHCP_OPTIONS, Instance, NETWORK_ACLS, Network, Vpc};
use super::probe::Probe;
use super::shell::written_into;
use super::tools::Tools;

/// The evidence about a cluster, except the sockets of its nodes.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// The answer of `DescribeCluster`.
    pub cluster: Cluster,
    /// The answers of EC2 about the cluster's VPC and nodes.
    pub network: Network,
    /// The answers of the Kubernetes API.
    pub kubernetes: Kubernetes,
    /// The DNS answers for the endpoint's host name, sorted by vantage point.
    pub dns: Vec<Vantage>,
    /// The answers to probes, sorted by vantage point.
    pub probes: Vec<Probe>,
    /// Other evidence that was requested and not obtained.
    pub gaps: Vec<Gap>,
    /// The function that returns the next step for missing evidence.
    pub next_step: NextStep,
    /// The directory that it was read from, if it is recorded evidence.
    pub directory: Option<PathBuf>,
    /// How the tools of the user reached the cluster, if it was collected by this run.
    pub tools: Arc<Tools>,
}

/// A function that returns the next step for obtaining missing evidence, such as a file
/// to record or an option to pass. Each source of evidence has its own.
pub type NextStep = fn(&Cluster, &Subject, GapReason) -> String;

impl Evidence {
    /// Empty evidence, with one gap as the reason for everything that is missing.
    #[must_use]
    pub fn none(gap: Gap, next_step: NextStep) -> Self {
        Self {
            cluster: Cluster::unknown(),
            network: Network::unseen(&gap),
            kubernetes: Kubernetes::unseen(&gap),
            dns: Vec::new(),
            probes: Vec::new(),
            gaps: vec![gap],
            next_step,
            directory: None,
            tools: Arc::default(),
        }
    }

    /// The next step for missing evidence, whose command writes into the directory of the
    /// evidence.
    #[must_use]
    pub fn hint(&self, subject: &Subject, why: GapReason) -> String {
        let hint = (self.next_step)(&self.cluster, subject, why);
        match &self.directory {
            Some(directory) => written_into(directory, hint),
            None => hint,
        }
    }

    /// Returns the gap for evidence that is needed and missing. A gap that the source of
    /// the evidence recorded for the same subject takes precedence: it names the cause.
    #[must_use]
    pub fn gap(&self, subject: impl Into<Subject>, why: GapReason, detail: impl Into<String>) -> Gap {
        let subject = subject.into();
        if let Some(recorded) = self.gaps.iter().find(|gap| gap.subject == subject) {
            return recorded.clone();
        }
        let hint = self.hint(&subject, why);
        Gap { subject, why, detail: detail.into(), hint }
    }

    /// The addresses that the endpoint's name resolved to at any vantage point.
    #[must_use]
    pub fn endpoint_addresses(&self) -> BTreeSet<IpAddr> {
        let answers = self.dns.iter().filter_map(|vantage| vantage.answer.seen());
        answers.flat_map(|answer| answer.addresses.iter().copied()).collect()
    }

    /// The vantage point with this name.
    #[must_use]
    pub fn vantage(&self, name: &str) -> Option<&Vantage> {
        let at = self.dns.binary_search_by(|vantage| vantage.name.as_str().cmp(name)).ok()?;
        self.dns.get(at)
    }

    /// The answers to probes from the vantage point with this name.
    #[must_use]
    pub fn probe(&self, name: &str) -> Option<&Probe> {
        let at = self.probes.binary_search_by(|probe| probe.vantage.as_str().cmp(name)).ok()?;
        self.probes.get(at)
    }

    /// The running instances that are nodes of the cluster.
    pub fn node_instances(&self) -> impl Iterator<Item = &Instance> {
        let instances = self.network.instances.seen().into_iter().flatten();
        instances.filter(|instance| instance.running && instance.is_node_of(&self.cluster))
    }

    /// The nodes that Kubernetes lists and EC2 does not.
    pub fn nodes_of_kubernetes_alone(&self) -> impl Iterator<Item = &KubernetesNode> {
        let listed: HashSet<&str> = self.node_instances().map(|instance| instance.id.as_str()).collect();
        let nodes = self.kubernetes.nodes.seen().into_iter().flatten();
        nodes.filter(move |node| node.instance_id().is_none_or(|id| !listed.contains(id)))
    }

    /// The ids of the instances that accept no login, as EC2 or Kubernetes shows.
    #[must_use]
    pub fn instances_without_login(&self) -> HashSet<&str> {
        let by_operator = self.node_instances().filter(|instance| instance.auto_mode);
        let nodes = self.kubernetes.nodes.seen().into_iter().flatten();
        let by_image = nodes.filter(|node| node.accepts_no_login());
        by_operator
            .map(|instance| instance.id.as_str())
            .chain(by_image.filter_map(KubernetesNode::instance_id))
            .collect()
    }

    /// Whether both EC2 and Kubernetes list no node.
    #[must_use]
    pub fn has_no_nodes(&self) -> bool {
        self.network.instances.seen().is_some()
            && self.node_instances().next().is_none()
            && self.kubernetes.nodes.seen().is_some_and(Vec::is_empty)
    }

    /// The detail of the gap for a list of instances that contains no node of the cluster.
    #[must_use]
    pub fn no_node_instances(&self) -> String {
        format!(
            "no running instance in it is a node of the cluster, by the tag kubernetes.io/cluster/{0}, eks:cluster-name = {0} or eks:eks-cluster-name = {0}",
            self.cluster.name
        )
    }

    /// The name servers in the DHCP options of the VPC.
    ///
    /// # Errors
    /// The gap, if they are not known.
    pub fn name_servers(&self, vpc: &Vpc) -> Result<Vec<String>, Gap> {
        let id = vpc.dhcp_options.as_deref();
        // `default` means that the VPC has no option set.
        if id == Some("default") {
            return Ok(Vec::new());
        }
        let all = self.network.dhcp_options.as_result()?;
        let options = match (id, all.as_slice()) {
            (Some(id), all) => all.iter().find(|options| options.id == id),
            (None, [only]) => Some(only),
            (None, _) => None,
        };
        options.map(|options| options.dns_servers.clone()).ok_or_else(|| {
            let detail = match id {
                Some(id) => format!("the VPC's DHCP option set {id} is not in it"),
                None => "which of them is the VPC's is not known".to_owned(),
            };
            self.gap(DHCP_OPTIONS, GapReason::Incomplete, detail)
        })
    }

    /// The gaps in the evidence by which addresses are attributed.
    #[must_use]
    pub fn attribution_gaps(&self) -> Vec<Gap> {
        let network = [self.network.interfaces.as_result().err(), self.network.vpc.as_result().err()];
        let vantages = self.dns.iter().map(|vantage| vantage.answer.as_result().err());
        // If the cluster is missing, all of these are the same gap.
        let rest = network.into_iter().chain(vantages).flatten().filter(|gap| !self.gaps.contains(gap));
        self.gaps_of_rules().cloned().chain(rest).collect()
    }

    /// The gaps about evidence that is there: its source says that it is a part of what it
    /// should be. Of an answer of DNS that lacks a record type only IPv4 addresses count,
    /// which every endpoint has.
    #[must_use]
    pub fn incomplete(&self) -> Vec<Gap> {
        let has_answer = |name: &String| {
            self.dns.iter().any(|vantage| vantage.name == *name && vantage.answer.seen().is_some())
        };
        let is_there = |gap: &&Gap| match &gap.subject {
            Subject::File(File::CLUSTER) => true,
            Subject::File(file) => !self.network.lacks(*file) && !self.kubernetes.lacks(*file),
            Subject::Vantage(name) | Subject::Records { kind: "A", vantage: name } => has_answer(name),
            Subject::Vantages => self.dns.iter().any(|vantage| vantage.answer.seen().is_some()),
            Subject::Probe(name) => self.probe(name).is_some(),
            Subject::Nodes | Subject::Sockets => !gap.is_left_out(),
            _ => false,
        };
        self.gaps.iter().filter(is_there).cloned().collect()
    }

    /// Takes the evidence away that a gap is about, if that is an answer.
    pub fn take_away(&mut self, gap: &Gap) {
        let unsee = |vantage: &mut Vantage| vantage.answer = Observed::Unseen(gap.clone());
        match &gap.subject {
            Subject::File(file) => {
                self.network.take_away(*file, gap);
                self.kubernetes.take_away(*file, gap);
            }
            Subject::Vantage(name) | Subject::Records { vantage: name, .. } => {
                self.dns.iter_mut().filter(|vantage| vantage.name == *name).for_each(unsee);
            }
            Subject::Vantages => self.dns.iter_mut().for_each(unsee),
            Subject::Probe(name) => self.probes.retain(|probe| probe.vantage != *name),
            _ => {}
        }
    }

    /// All gaps, whether or not a rule needs the evidence.
    #[must_use]
    pub fn all_gaps(&self) -> Vec<Gap> {
        let vantages = self.dns.iter().filter_map(|vantage| vantage.answer.as_result().err());
        self.network.gaps().into_iter().chain(vantages).chain(self.gaps_of_rules().cloned()).collect()
    }

    /// The other evidence that was requested and not obtained, without network ACLs, which no
    /// rule reads.
    fn gaps_of_rules(&self) -> impl Iterator<Item = &Gap> {
        self.gaps.iter().filter(|gap| gap.subject != Subject::File(NETWORK_ACLS))
    }
}

/// The DNS answer for the endpoint's host name at one vantage point.
#[derive(Debug, Clone)]
pub struct Vantage {
    /// The name of the vantage point: `here`, or a node's name.
    pub name: String,
    /// The answer.
    pub answer: Observed<Answer>,
}

/// A DNS answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The addresses, in the order of the answer.
    pub addresses: Vec<IpAddr>,
    /// Lines that are not an address: CNAMEs and comments.
    pub aside: Vec<String>,
    /// The TTL in seconds, if recorded.
    pub ttl: Option<u32>,
}
