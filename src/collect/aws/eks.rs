//! The requests to EKS.

use std::time::Instant;

use aws_sdk_eks::operation::list_clusters::ListClusters;

use super::client::Client;
use super::failure::Failure;
use super::paging::{Attempts, log, pages};
use crate::evidence::aws::eks::parse_cluster;
use crate::evidence::aws::{DESCRIBE_CLUSTER, LIST_CLUSTERS};
use crate::model::cluster::Cluster;
use crate::model::name::is_cluster_name;

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
        if !is_cluster_name(name) {
            // The SDK panics for one that makes the URL too long.
            return Err(Failure::malformed("EKS accepts no such name of a cluster"));
        }
        let began = Instant::now();
        let attempts = Attempts::in_region(&self.region).with_body();
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
        let mut names = Vec::new();
        let mut add = |name: String| -> Result<(), Failure> {
            names.push(name);
            Ok(())
        };
        let request = self.eks.list_clusters();
        let listed: Result<(), Failure> = pages!(self, ListClusters::new(), request, clusters, add);
        log(LIST_CLUSTERS, began, &listed);
        listed?;
        names.sort();
        Ok(names)
    }
}
