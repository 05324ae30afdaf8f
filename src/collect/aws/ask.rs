//! The calls: asked, paged through, and recorded as the aws CLI prints them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_ec2::config::http::HttpResponse;
use aws_sdk_ec2::config::interceptors::FinalizerInterceptorContextRef;
use aws_sdk_ec2::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_ec2::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::types::{AttributeBooleanValue, Filter, Instance, VpcAttributeName};
use serde_json::Value;
use tracing::debug;

use super::failure::{Failure, causes, failure};
use super::record;
use super::session::Session;
use crate::evidence::aws as calls;
use crate::model::file::Field;
use crate::model::gap::GapReason;

/// Over this, a list is not one of a VPC or a region.
const ITEMS_MAX: usize = 1_000_000;

pub(super) type Answer = Result<Value, Failure>;

/// What an operation's attempts left behind.
#[derive(Debug, Clone, Default)]
struct Trace(Arc<Mutex<Attempts>>);

#[derive(Debug, Default)]
struct Attempts {
    count: u32,
    /// How the last one failed, which a time-out of the whole would hide.
    last: Option<String>,
    /// The body of the answer: EKS's is the JSON that the aws CLI prints, in
    /// which a flag that is absent is not a flag that is false.
    body: Vec<u8>,
}

impl Trace {
    fn attempts(&self) -> MutexGuard<'_, Attempts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What an error means, given how the attempts went.
    fn failure<E>(&self, error: &SdkError<E, HttpResponse>, timeout: Duration) -> Failure
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        if matches!(error, SdkError::TimeoutError(_)) { self.timed_out(timeout) } else { failure(error) }
    }

    fn timed_out(&self, timeout: Duration) -> Failure {
        let attempts = self.attempts();
        let last =
            attempts.last.as_ref().map(|last| format!("; the last of {} attempts: {last}", attempts.count));
        Failure::new(
            GapReason::TimedOut,
            format!("no answer within {} s{}", timeout.as_secs(), last.unwrap_or_default()),
        )
    }
}

impl Intercept for Trace {
    fn name(&self) -> &'static str {
        "Trace"
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let mut attempts = self.attempts();
        attempts.count += 1;
        let error = context.output_or_error().and_then(Result::err);
        attempts.last = match (error, context.response()) {
            (None, _) => None,
            (Some(_), Some(response)) => Some(format!("HTTP status {}", response.status().as_u16())),
            (Some(error), None) => error.as_connector_error().map(|error| causes(error)),
        };
        if let Some(bytes) = context.response().and_then(|response| response.body().bytes()) {
            attempts.body = bytes.to_vec();
        }
        Ok(())
    }
}

/// All items of a call that answers in pages, or why not; its time-out is for
/// all of them.
macro_rules! pages {
    ($session:expr, $call:expr, $items:ident) => {{
        let trace = Trace::default();
        let timeout = $session.timeout;
        let all = async {
            let mut items = Vec::new();
            let mut token = None;
            loop {
                let call = $call.set_next_token(token.clone()).customize().interceptor(trace.clone());
                let page = call.send().await.map_err(|error| trace.failure(&error, timeout))?;
                items.extend(page.$items.unwrap_or_default());
                let next = page.next_token.filter(|token| !token.is_empty());
                if next.is_none() {
                    return Ok(items);
                }
                if next == token || items.len() > ITEMS_MAX {
                    return Err(Failure::new(GapReason::Malformed, "its pages do not end"));
                }
                token = next;
            }
        };
        match tokio::time::timeout(timeout, all).await {
            Ok(result) => result,
            Err(_) => Err(trace.timed_out(timeout)),
        }
    }};
}

fn filter(name: &str, values: impl IntoIterator<Item = String>) -> Filter {
    Filter::builder().name(name).set_values(Some(values.into_iter().collect())).build()
}

fn in_vpcs(vpcs: &[String]) -> Filter {
    filter("vpc-id", vpcs.iter().map(|vpc| literal(vpc)))
}

/// Says in the log how a call ended.
fn log<T>(action: &str, began: Instant, result: &Result<T, Failure>) {
    let ms = began.elapsed().as_millis();
    match result {
        Ok(_) => debug!(action, ms, "answered"),
        Err(failure) => debug!(action, ms, failure = failure.detail, "failed"),
    }
}

impl Session {
    /// `DescribeCluster`, as EKS answers it.
    pub(crate) async fn describe_cluster(&self, name: &str) -> Result<Vec<u8>, Failure> {
        let began = Instant::now();
        let trace = Trace::default();
        let answer =
            self.eks.describe_cluster().name(name).customize().interceptor(trace.clone()).send().await;
        let result = match answer {
            Ok(_) => Ok(std::mem::take(&mut trace.attempts().body)),
            Err(error) => Err(trace.failure(&error, self.timeout)),
        };
        log(calls::DESCRIBE_CLUSTER, began, &result);
        result
    }

    /// The clusters that there are, sorted.
    pub(crate) async fn list_clusters(&self) -> Result<Vec<String>, Failure> {
        let began = Instant::now();
        let result: Result<Vec<String>, Failure> = pages!(self, self.eks.list_clusters(), clusters);
        log(calls::LIST_CLUSTERS, began, &result);
        let mut names = result?;
        names.sort();
        Ok(names)
    }

    /// The regions that the account has switched on, sorted.
    pub(crate) async fn regions(&self) -> Result<Vec<String>, Failure> {
        let began = Instant::now();
        let trace = Trace::default();
        let call = self.ec2.describe_regions().customize().interceptor(trace.clone());
        let result = call.send().await.map_err(|error| trace.failure(&error, self.timeout));
        log(calls::DESCRIBE_REGIONS, began, &result);
        let regions = result?.regions.unwrap_or_default();
        let mut names: Vec<_> = regions.into_iter().filter_map(|region| region.region_name).collect();
        names.sort();
        Ok(names)
    }

    /// The region asked.
    pub(crate) fn region(&self) -> &str {
        &self.region
    }

    /// The clusters' running nodes, by the tags that node groups and launch templates
    /// give them: filters of different names all have to hold, so that each tag
    /// is a call of its own.
    ///
    /// <https://docs.aws.amazon.com/eks/latest/userguide/launch-templates.html>
    pub(super) async fn instances(&self, clusters: &[String]) -> Answer {
        let began = Instant::now();
        let by_tag = async |filter: Filter| -> Result<Vec<aws_sdk_ec2::types::Reservation>, Failure> {
            let call = self.ec2.describe_instances().include_managed_resources(true);
            let call =
                call.filters(filter).filters(self::filter("instance-state-name", ["running".to_owned()]));
            pages!(self, call.clone(), reservations)
        };
        let names = || clusters.iter().map(|cluster| literal(cluster));
        let owned = names().map(|name| format!("kubernetes.io/cluster/{name}"));
        let result = tokio::try_join!(
            by_tag(filter("tag-key", owned)),
            by_tag(filter("tag:eks:cluster-name", names())),
            by_tag(filter("tag:aws:eks:cluster-name", names())),
        );
        log("ec2:DescribeInstances", began, &result);
        let (first, second, third) = result?;
        let reservations = first.into_iter().chain(second).chain(third);
        let mut instances: Vec<Instance> =
            reservations.flat_map(|reservation| reservation.instances.unwrap_or_default()).collect();
        instances.sort_by(|a, b| a.instance_id().cmp(&b.instance_id()));
        instances.dedup_by(|a, b| a.instance_id() == b.instance_id());
        Ok(record::list("Reservations", &instances, record::reservation))
    }

    /// Every network interface of some VPCs, those that AWS services manage among them.
    pub(super) async fn interfaces(&self, vpcs: &[String]) -> Answer {
        let began = Instant::now();
        let result = pages!(
            self,
            self.ec2.describe_network_interfaces().filters(in_vpcs(vpcs)).include_managed_resources(true),
            network_interfaces
        );
        log("ec2:DescribeNetworkInterfaces", began, &result);
        result.map(|all| record::list("NetworkInterfaces", &all, record::interface))
    }

    /// The subnets of some VPCs.
    pub(super) async fn subnets(&self, vpcs: &[String]) -> Answer {
        let began = Instant::now();
        let result = pages!(self, self.ec2.describe_subnets().filters(in_vpcs(vpcs)), subnets);
        log("ec2:DescribeSubnets", began, &result);
        result.map(|all| record::list("Subnets", &all, record::subnet))
    }

    /// The region's DHCP option sets: which one the VPC uses, the VPC tells.
    pub(super) async fn dhcp_options(&self) -> Answer {
        let began = Instant::now();
        let result = pages!(self, self.ec2.describe_dhcp_options(), dhcp_options);
        log("ec2:DescribeDhcpOptions", began, &result);
        result.map(|all| record::list("DhcpOptions", &all, record::dhcp_options))
    }

    /// The NAT gateways of some VPCs.
    pub(super) async fn nat_gateways(&self, vpcs: &[String]) -> Answer {
        let began = Instant::now();
        let result = pages!(self, self.ec2.describe_nat_gateways().filter(in_vpcs(vpcs)), nat_gateways);
        log("ec2:DescribeNatGateways", began, &result);
        result.map(|all| record::list("NatGateways", &all, record::nat_gateway))
    }

    /// The route tables of some VPCs, the main ones among them, which name no subnet.
    pub(super) async fn route_tables(&self, vpcs: &[String]) -> Answer {
        let began = Instant::now();
        let result = pages!(self, self.ec2.describe_route_tables().filters(in_vpcs(vpcs)), route_tables);
        log("ec2:DescribeRouteTables", began, &result);
        result.map(|all| record::list("RouteTables", &all, record::route_table))
    }

    /// The security groups of some VPCs.
    pub(super) async fn security_groups(&self, vpcs: &[String]) -> Answer {
        let began = Instant::now();
        let result =
            pages!(self, self.ec2.describe_security_groups().filters(in_vpcs(vpcs)), security_groups);
        log("ec2:DescribeSecurityGroups", began, &result);
        result.map(|all| record::list("SecurityGroups", &all, record::security_group))
    }

    /// Some VPCs.
    pub(super) async fn vpcs(&self, vpcs: &[String]) -> Answer {
        let began = Instant::now();
        let result = pages!(self, self.ec2.describe_vpcs().filters(in_vpcs(vpcs)), vpcs);
        log("ec2:DescribeVpcs", began, &result);
        result.map(|all| record::list("Vpcs", &all, record::vpc))
    }

    /// A VPC's two DNS attributes: name, what the aws CLI calls it, and whether it
    /// is on, if that is said.
    pub(super) async fn vpc_attributes(
        &self,
        vpc: &str,
    ) -> [(Field, &'static str, Result<Option<bool>, Failure>); 2] {
        let began = Instant::now();
        let ask = async |name: VpcAttributeName| {
            let trace = Trace::default();
            let call = self.ec2.describe_vpc_attribute().vpc_id(vpc).attribute(name).customize();
            let answer = call.interceptor(trace.clone()).send().await;
            let answer = answer.map_err(|error| trace.failure(&error, self.timeout));
            log(calls::DESCRIBE_VPC_ATTRIBUTE, began, &answer);
            answer
        };
        let (support, hostnames) =
            tokio::join!(ask(VpcAttributeName::EnableDnsSupport), ask(VpcAttributeName::EnableDnsHostnames));
        let support =
            support.map(|answer| answer.enable_dns_support().and_then(AttributeBooleanValue::value));
        let hostnames =
            hostnames.map(|answer| answer.enable_dns_hostnames().and_then(AttributeBooleanValue::value));
        [
            (Field::EnableDnsSupport, "EnableDnsSupport", support),
            (Field::EnableDnsHostnames, "EnableDnsHostnames", hostnames),
        ]
    }
}

/// A value that a filter takes as it stands: `*`, `?` and `\` mean themselves.
fn literal(value: &str) -> String {
    let mut literal = String::with_capacity(value.len());
    for char in value.chars() {
        if matches!(char, '*' | '?' | '\\') {
            literal.push('\\');
        }
        literal.push(char);
    }
    literal
}
