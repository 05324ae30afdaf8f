//! The requests to EKS.

use std::time::Instant;

use super::client::Client;
use super::failure::Failure;
use super::paging::{Attempts, log, pages};
use crate::evidence::aws::eks::parse_cluster;
use crate::evidence::aws::{DESCRIBE_CLUSTER, LIST_CLUSTERS};
use crate::model::cluster::Cluster;

/// The answer of `DescribeCluster`.
#[derive(Debug)]
pub(crate) struct Described {
    /// The answer as EKS wrote it, which is what the aws CLI prints: a flag that is absent
    /// in it is not a flag that is false.
    pub(crate) json: Vec<u8>,
    /// The same, parsed.
    pub(crate) cluster: Cluster,
}

impl Client {
    /// Describes a cluster.
    pub(super) async fn describe_cluster(&self, name: &str) -> Result<Described, Failure> {
        let began = Instant::now();
        let attempts = Attempts::with_body();
        let request = self.eks.describe_cluster().name(name).customize().interceptor(attempts.clone());
        let answer = request.send().await.map_err(|error| attempts.failure(&error, self.timeout));
        log(DESCRIBE_CLUSTER, began, &answer);
        answer?;
        let json = attempts.take_body();
        let cluster = parse_cluster(&json).map_err(|error| Failure::malformed(error.to_string()))?;
        if cluster.name != name {
            let problem = format!("the answer is about the cluster {:?}", cluster.name);
            return Err(Failure::malformed(problem));
        }
        Ok(Described { json, cluster })
    }

    /// The names of the clusters, sorted.
    pub(crate) async fn list_clusters(&self) -> Result<Vec<String>, Failure> {
        let began = Instant::now();
        let names: Result<Vec<String>, Failure> = pages!(self, self.eks.list_clusters(), clusters, Ok);
        log(LIST_CLUSTERS, began, &names);
        let mut names = names?;
        names.sort();
        Ok(names)
    }
}
