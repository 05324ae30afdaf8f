//! Clusters of one account and region, asked about together: EC2 tells of many
//! VPCs in one answer, and allows only so many calls a second.
//!
//! <https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html>

use std::collections::{BTreeSet, HashMap};
use std::panic::resume_unwind;
use std::sync::Arc;

use futures_util::future::join_all;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::ask::Answer;
use super::failure::Failure;
use super::session::Session;
use crate::evidence::aws::eks;
use crate::model::file::Field;
use crate::model::net::is_node_tag;

/// As many clusters as are asked about together: a filter takes 200 values.
pub const MAX: usize = 100;

/// The answers about some clusters, each asked for once.
#[derive(Debug)]
pub struct Together {
    session: Session,
    clusters: Vec<String>,
    described: OnceCell<HashMap<String, Result<Vec<u8>, Failure>>>,
    vpc_ids: OnceCell<Arc<[String]>>,
    instances: OnceCell<Answer>,
    interfaces: OnceCell<Answer>,
    vpcs: OnceCell<Answer>,
    subnets: OnceCell<Answer>,
    dhcp_options: OnceCell<Answer>,
    nat_gateways: OnceCell<Answer>,
    route_tables: OnceCell<Answer>,
    security_groups: OnceCell<Answer>,
}

impl Together {
    /// Nothing is asked yet.
    #[must_use]
    pub fn new(session: Session, clusters: Vec<String>) -> Self {
        Self {
            session,
            clusters,
            described: OnceCell::new(),
            vpc_ids: OnceCell::new(),
            instances: OnceCell::new(),
            interfaces: OnceCell::new(),
            vpcs: OnceCell::new(),
            subnets: OnceCell::new(),
            dhcp_options: OnceCell::new(),
            nat_gateways: OnceCell::new(),
            route_tables: OnceCell::new(),
            security_groups: OnceCell::new(),
        }
    }

    /// Who asks.
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// Has EKS describe all of them.
    pub async fn describe(&self) {
        self.described().await;
    }

    /// `DescribeCluster`, as EKS answers it.
    pub(crate) async fn describe_cluster(&self, name: &str) -> Result<Vec<u8>, Failure> {
        self.described().await.get(name).cloned().unwrap_or_else(|| {
            // Nobody asks for one that is not among them.
            Err(Failure::malformed(format!("{name:?} was not asked about")))
        })
    }

    async fn described(&self) -> &HashMap<String, Result<Vec<u8>, Failure>> {
        let ask = async || {
            let answers = self.clusters.iter().map(async |name| {
                let (session, cluster) = (self.session.clone(), name.clone());
                let answer = elsewhere(async move { session.describe_cluster(&cluster).await }).await;
                (name.clone(), answer)
            });
            join_all(answers).await.into_iter().collect()
        };
        self.described.get_or_init(ask).await
    }

    /// What there is in the VPCs of all.
    async fn about_vpcs<F>(&self, ask: impl FnOnce(Session, Arc<[String]>) -> F) -> Answer
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let find = async || {
            let described = self.described().await.values().flatten();
            let clusters = described.filter_map(|bytes| eks::parse_cluster(bytes).ok());
            let ids: BTreeSet<_> = clusters.filter_map(|cluster| cluster.vpc).collect();
            ids.into_iter().collect()
        };
        let ids = Arc::clone(self.vpc_ids.get_or_init(find).await);
        elsewhere(ask(self.session.clone(), ids)).await
    }

    /// The cluster's running nodes.
    pub(crate) async fn instances(&self, cluster: &str) -> Result<Part<'_>, Failure> {
        let is_of = |reservation: &Value| {
            let tags = reservation.pointer("/Instances/0/Tags").and_then(Value::as_array);
            tags.into_iter().flatten().any(|tag| {
                let word = |key: &str| tag[key].as_str().unwrap_or_default();
                is_node_tag(word("Key"), word("Value"), cluster)
            })
        };
        let ask = || {
            let (session, clusters) = (self.session.clone(), self.clusters.clone());
            elsewhere(async move { session.instances(&clusters).await })
        };
        self.own(self.instances.get_or_init(ask).await, "Reservations", is_of)
    }

    /// Every network interface of the VPC, those that AWS services manage among them.
    pub(crate) async fn interfaces(&self, vpc: &str) -> Result<Part<'_>, Failure> {
        let ask = || self.about_vpcs(|session, vpcs| async move { session.interfaces(&vpcs).await });
        self.of_vpc(self.interfaces.get_or_init(ask).await, "NetworkInterfaces", vpc)
    }

    /// The VPC's subnets.
    pub(crate) async fn subnets(&self, vpc: &str) -> Result<Part<'_>, Failure> {
        let ask = || self.about_vpcs(|session, vpcs| async move { session.subnets(&vpcs).await });
        self.of_vpc(self.subnets.get_or_init(ask).await, "Subnets", vpc)
    }

    /// The region's DHCP option sets: which one the VPC uses, the VPC tells.
    pub(crate) async fn dhcp_options(&self) -> Result<Part<'_>, Failure> {
        self.own(self.dhcp_options.get_or_init(|| self.session.dhcp_options()).await, "DhcpOptions", |_| true)
    }

    /// The VPC's NAT gateways.
    pub(crate) async fn nat_gateways(&self, vpc: &str) -> Result<Part<'_>, Failure> {
        let ask = || self.about_vpcs(|session, vpcs| async move { session.nat_gateways(&vpcs).await });
        self.of_vpc(self.nat_gateways.get_or_init(ask).await, "NatGateways", vpc)
    }

    /// The VPC's route tables, the main one among them, which names no subnet.
    pub(crate) async fn route_tables(&self, vpc: &str) -> Result<Part<'_>, Failure> {
        let ask = || self.about_vpcs(|session, vpcs| async move { session.route_tables(&vpcs).await });
        self.of_vpc(self.route_tables.get_or_init(ask).await, "RouteTables", vpc)
    }

    /// The VPC's security groups.
    pub(crate) async fn security_groups(&self, vpc: &str) -> Result<Part<'_>, Failure> {
        let ask = || self.about_vpcs(|session, vpcs| async move { session.security_groups(&vpcs).await });
        self.of_vpc(self.security_groups.get_or_init(ask).await, "SecurityGroups", vpc)
    }

    /// The VPC with its two DNS attributes, which have a permission of their own,
    /// and of which each takes a call. The second part is which of them is missing
    /// although the VPC is there.
    pub(crate) async fn vpc(&self, id: &str) -> (Answer, Vec<(Field, Failure)>) {
        let ask = || self.about_vpcs(|session, vpcs| async move { session.vpcs(&vpcs).await });
        let (session, vpc) = (self.session.clone(), id.to_owned());
        let attributes = elsewhere(async move { session.vpc_attributes(&vpc).await });
        let (all, attributes) = tokio::join!(self.vpcs.get_or_init(ask), attributes);
        let mut value = match self.of_vpc(all, "Vpcs", id) {
            Ok(part) => json!({ part.list: part.items }),
            Err(failure) => return (Err(failure), Vec::new()),
        };
        let mut lacks = Vec::new();
        for (attribute, key, answer) in attributes {
            match answer {
                Ok(flag) => value[key] = json!({ "Value": flag }),
                Err(failure) => lacks.push((attribute, failure)),
            }
        }
        (Ok(value), lacks)
    }

    fn of_vpc<'a>(&self, all: &'a Answer, list: &'static str, vpc: &str) -> Result<Part<'a>, Failure> {
        self.own(all, list, |item| item["VpcId"] == vpc)
    }

    /// One cluster's part of what was asked for all.
    fn own<'a>(
        &self,
        all: &'a Answer,
        list: &'static str,
        is_own: impl Fn(&Value) -> bool,
    ) -> Result<Part<'a>, Failure> {
        let all = all.as_ref().map_err(Clone::clone)?;
        let items = all[list].as_array().into_iter().flatten();
        let is_alone = self.clusters.len() == 1;
        Ok(Part { list, items: items.filter(|item| is_alone || is_own(item)).collect() })
    }
}

/// Has another thread ask, if there is one: of many clusters, answers take longer
/// to parse than to come.
async fn elsewhere<T: Send + 'static>(ask: impl Future<Output = T> + Send + 'static) -> T {
    // Nothing cancels it.
    tokio::spawn(ask).await.unwrap_or_else(|error| resume_unwind(error.into_panic()))
}

/// One cluster's part of an answer, as the aws CLI prints it.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    list: &'static str,
    items: Vec<&'a Value>,
}

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([(self.list, &self.items)])
    }
}
