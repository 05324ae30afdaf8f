//! Batched requests: EC2 describes many VPCs in one answer, and limits the rate of
//! requests.
//!
//! <https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html>

use std::collections::{BTreeSet, HashMap};
use std::panic::resume_unwind;
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::OnceCell;

use super::answer::{Answer, Fields, Part, Scope};
use super::client::Client;
use super::eks::Described;
use super::failure::Failure;
use crate::evidence::aws::{CALLS, Call};
use crate::model::file::File;
use crate::model::net::INSTANCES;

/// The most clusters in a batch: a filter accepts 200 values.
pub(crate) const MAX: usize = 100;

/// The answers about clusters of one account and region, each requested once, when it is
/// first needed.
#[derive(Debug)]
pub(crate) struct Batch {
    client: Client,
    clusters: Arc<[String]>,
    descriptions: OnceCell<HashMap<String, Result<Described, Failure>>>,
    vpcs: OnceCell<Arc<[String]>>,
    /// One for each of [`CALLS`].
    answers: HashMap<File, OnceCell<Result<Answer, Failure>>>,
}

impl Batch {
    /// A batch of which nothing is requested yet.
    #[must_use]
    pub(crate) fn new(client: Client, clusters: Vec<String>) -> Self {
        Self {
            client,
            clusters: clusters.into(),
            descriptions: OnceCell::new(),
            vpcs: OnceCell::new(),
            answers: CALLS.iter().map(|call| (call.file, OnceCell::new())).collect(),
        }
    }

    /// The client of the account and region.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Describes all the clusters.
    pub(crate) async fn describe_clusters(&self) {
        self.descriptions().await;
    }

    /// The description of a cluster.
    pub(crate) async fn description(&self, cluster: &str) -> Result<&Described, Failure> {
        match self.descriptions().await.get(cluster) {
            Some(description) => description.as_ref().map_err(Clone::clone),
            None => Err(Failure::malformed(format!("{cluster:?} is not in the batch"))),
        }
    }

    async fn descriptions(&self) -> &HashMap<String, Result<Described, Failure>> {
        let request = async || {
            let descriptions = self.clusters.iter().map(async |name| {
                let (client, cluster) = (self.client.clone(), name.clone());
                let description = in_task(async move { client.describe_cluster(&cluster).await }).await;
                (name.clone(), description)
            });
            join_all(descriptions).await.into_iter().collect()
        };
        self.descriptions.get_or_init(request).await
    }

    /// The VPCs of all the clusters.
    async fn vpcs(&self) -> Arc<[String]> {
        let find = async || {
            let descriptions = self.descriptions().await.values().flatten();
            let vpcs: BTreeSet<_> =
                descriptions.filter_map(|described| described.cluster.vpc.clone()).collect();
            vpcs.into_iter().collect()
        };
        Arc::clone(self.vpcs.get_or_init(find).await)
    }

    /// One cluster's part of the answer to a call. `vpc` is the cluster's; the call for
    /// the instances does without, since it filters by the clusters' names.
    pub(crate) async fn part(
        &self,
        call: &'static Call,
        cluster: &str,
        vpc: Option<&str>,
    ) -> Result<Part<'_>, Failure> {
        let (answer, fields, described) =
            tokio::join!(self.answer(call), self.fields(call, vpc), self.description(cluster));
        let answer = answer.as_ref().map_err(Clone::clone)?;
        let cluster = &described?.cluster;
        let is_alone = self.clusters.len() == 1;
        let is_about = |scope: &Scope| match scope {
            Scope::Vpc(id) => is_alone || id.as_deref() == vpc,
            Scope::Instances(instances) => instances.iter().any(|instance| instance.is_node_of(cluster)),
            Scope::Region => true,
        };
        Ok(answer.part(is_about, fields))
    }

    async fn answer(&self, call: &'static Call) -> &Result<Answer, Failure> {
        let request = async || {
            let (client, clusters) = (self.client.clone(), Arc::clone(&self.clusters));
            let vpcs = if call.file == INSTANCES { Arc::default() } else { self.vpcs().await };
            in_task(async move { client.answer(call, &clusters, &vpcs).await }).await
        };
        self.answers[&call.file].get_or_init(request).await
    }

    async fn fields(&self, call: &'static Call, vpc: Option<&str>) -> Fields {
        let Some(vpc) = vpc.map(str::to_owned) else { return Fields::default() };
        let client = self.client.clone();
        in_task(async move { client.fields(call, &vpc).await }).await
    }
}

/// Runs a request in a task of its own, which another worker thread can take: the answers
/// about many clusters take longer to parse than to arrive.
async fn in_task<T: Send + 'static>(request: impl Future<Output = T> + Send + 'static) -> T {
    // Nothing cancels the task, so that an error is a panic.
    tokio::spawn(request).await.unwrap_or_else(|error| resume_unwind(error.into_panic()))
}
