//! Which nodes are read, and how.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use super::super::aws::client::Client;
use super::super::progress::Progress;
use super::super::transport::probe::{NodeTargets, ProbeTime};
use super::super::transport::read::Peers;
use super::super::transport::{Target, Transport};
use crate::evidence::write::EvidenceWriter;
use crate::model::name::NodeName;

/// How long pods remain that are created for a trace.
const TRACE_MAX: Duration = Duration::from_hours(1);

/// How nodes are read.
#[derive(Debug, Clone)]
pub struct NodesRequest {
    /// The nodes that the user named; if there are none, those that EC2 lists.
    pub named: Vec<(NodeName, Option<Target>)>,
    /// How nodes are reached, in order of preference; not empty.
    pub(in crate::collect) transports: Vec<Transport>,
    /// How long a node may take.
    pub(in crate::collect) timeout: Duration,
    /// Whether rows that do not matter may be filtered on the nodes.
    pub(in crate::collect) may_filter: bool,
    /// How long nodes may take to probe the endpoint; `None` if they do not.
    pub(in crate::collect) probe_time: Option<Arc<ProbeTime>>,
    /// A permit for each node that may be read at a time.
    pub(in crate::collect) permits: Arc<Semaphore>,
}

impl NodesRequest {
    /// A request to read `concurrency` nodes at a time, or fewer if the transport limits
    /// it. As many `clusters` are audited at a time.
    #[must_use]
    pub fn new(
        transports: Vec<Transport>,
        named: Vec<(NodeName, Option<Target>)>,
        timeout: Duration,
        concurrency: usize,
        clusters: usize,
    ) -> Self {
        let max = transports.iter().map(|transport| transport.sessions_max(clusters)).min();
        let permits = concurrency.min(max.unwrap_or(concurrency));
        let mut transports = transports;
        for transport in &mut transports {
            if let Transport::Kubectl(config) = transport {
                // The clusters share the permits.
                config.concurrency = (permits / clusters.max(1)).max(1);
            }
        }
        let permits = Arc::new(Semaphore::new(permits));
        Self { named, transports, timeout, may_filter: false, probe_time: None, permits }
    }

    /// A request to have the endpoint probed from the nodes as well.
    #[must_use]
    pub fn with_probes(mut self) -> Self {
        let at_a_time = self.permits.available_permits();
        self.probe_time = Some(Arc::new(ProbeTime::new(self.timeout, at_a_time)));
        self
    }

    /// A request to read what matters to an audit: sockets that have nothing to do with the
    /// API server are counted.
    #[must_use]
    pub fn for_audit(mut self) -> Self {
        self.may_filter = true;
        self
    }

    /// A request to sample the nodes, for up to [`TRACE_MAX`] where that has to be limited.
    #[must_use]
    pub fn for_trace(mut self) -> Self {
        for transport in &mut self.transports {
            if let Transport::Kubectl(config) = transport {
                config.extra_lifetime = TRACE_MAX;
            }
        }
        self
    }

    /// Ends on the nodes what is running there, because the run ends.
    pub(in crate::collect) async fn cancel(&self) {
        for transport in &self.transports {
            if let Transport::Ssm(ssm) = transport {
                ssm.cancel().await;
            }
        }
    }
}

/// What may become known while nodes are read.
#[derive(Debug, Clone)]
pub(in crate::collect) struct Awaited {
    /// The endpoint's host name.
    pub(in crate::collect) host: watch::Receiver<Option<String>>,
    /// Which rows a filter on the nodes must not leave out; `None` if there is to be none.
    pub(in crate::collect) peers: Option<Peers>,
    /// What is probed from nodes.
    pub(in crate::collect) targets: NodeTargets,
}

/// How the nodes of a cluster are read, and where that is recorded.
#[derive(Clone, Copy)]
pub(in crate::collect) struct NodesRecording<'a> {
    pub(in crate::collect) request: &'a NodesRequest,
    pub(in crate::collect) client: &'a Client,
    pub(in crate::collect) awaited: &'a Awaited,
    pub(in crate::collect) writer: &'a EvidenceWriter,
    pub(in crate::collect) progress: &'a Progress,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::transport::kubectl::KubectlConfig;
    use crate::model::kubernetes::ReadingPods;

    /// Jobs must run as long as their nodes may wait.
    #[test]
    fn the_lifetime_of_jobs_depends_on_how_many_nodes_are_read_at_a_time() {
        let at_a_time = |concurrency, clusters| {
            let config = KubectlConfig {
                pods: ReadingPods::Any,
                context: None,
                kubeconfig: None,
                namespace: String::new(),
                image: String::new(),
                timeout: Duration::from_secs(30),
                extra_lifetime: Duration::ZERO,
                concurrency,
            };
            let transports = vec![Transport::Kubectl(config)];
            let request =
                NodesRequest::new(transports, Vec::new(), Duration::from_secs(30), concurrency, clusters);
            match &request.transports[0] {
                Transport::Kubectl(config) => config.concurrency,
                Transport::Ssh(_) | Transport::Ssm(_) => unreachable!("it is kubectl"),
            }
        };
        assert_eq!(at_a_time(8, 1), 8);
        assert_eq!(at_a_time(8, 4), 2);
        assert_eq!(at_a_time(2, 4), 1);
        assert!(at_a_time(1_000_000_000, 1) < 1_000_000_000, "open files limit it");
    }
}
