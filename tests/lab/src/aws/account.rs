//! The data that the API serves, in the JSON that the aws CLI prints.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use anyhow::{Context, Result};
use serde_json::Value;

/// An AWS account in one region. Each `Value` is one element of a list that the aws CLI prints.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    /// The account ID, returned by `GetCallerIdentity`.
    pub id: String,
    /// Clusters by name, each as `aws eks describe-cluster` prints it under `cluster`.
    pub clusters: BTreeMap<String, Value>,
    /// `NetworkInterfaces` of `aws ec2 describe-network-interfaces`.
    pub network_interfaces: Vec<Value>,
    /// `Reservations` of `aws ec2 describe-instances`.
    pub reservations: Vec<Value>,
    /// `Vpcs` of `aws ec2 describe-vpcs`.
    pub vpcs: Vec<Value>,
    /// The attribute `enableDnsSupport` of every VPC.
    pub dns_support: bool,
    /// The attribute `enableDnsHostnames` of every VPC.
    pub dns_hostnames: bool,
    /// `Subnets` of `aws ec2 describe-subnets`.
    pub subnets: Vec<Value>,
    /// `DhcpOptions` of `aws ec2 describe-dhcp-options`.
    pub dhcp_options: Vec<Value>,
    /// `NatGateways` of `aws ec2 describe-nat-gateways`.
    pub nat_gateways: Vec<Value>,
    /// `RouteTables` of `aws ec2 describe-route-tables`.
    pub route_tables: Vec<Value>,
    /// `SecurityGroups` of `aws ec2 describe-security-groups`.
    pub security_groups: Vec<Value>,
    /// `NetworkAcls` of `aws ec2 describe-network-acls`.
    pub network_acls: Vec<Value>,
    /// The enabled regions, returned by `DescribeRegions`.
    pub regions: Vec<String>,
    /// An upper limit on the page size, applied in addition to `MaxResults`.
    pub page_size: Option<usize>,
}

impl Default for Account {
    /// An account without clusters and without EC2 resources.
    fn default() -> Self {
        Self {
            id: "111122223333".to_owned(),
            clusters: BTreeMap::new(),
            network_interfaces: Vec::new(),
            reservations: Vec::new(),
            vpcs: Vec::new(),
            dns_support: true,
            dns_hostnames: true,
            subnets: Vec::new(),
            dhcp_options: Vec::new(),
            nat_gateways: Vec::new(),
            route_tables: Vec::new(),
            security_groups: Vec::new(),
            network_acls: Vec::new(),
            regions: vec!["ap-northeast-2".to_owned()],
            page_size: None,
        }
    }
}

impl Account {
    /// Reads an account from an evidence directory. A missing file counts as an empty list.
    ///
    /// # Errors
    ///
    /// A file cannot be read or is not valid JSON, or the cluster has no name.
    pub fn from_evidence(dir: &Path) -> Result<Self> {
        let mut account = Self {
            network_interfaces: list(dir, "network-interfaces.json", "NetworkInterfaces")?,
            reservations: list(dir, "instances.json", "Reservations")?,
            vpcs: list(dir, "vpc.json", "Vpcs")?,
            subnets: list(dir, "subnets.json", "Subnets")?,
            dhcp_options: list(dir, "dhcp-options.json", "DhcpOptions")?,
            nat_gateways: list(dir, "nat-gateways.json", "NatGateways")?,
            route_tables: list(dir, "route-tables.json", "RouteTables")?,
            security_groups: list(dir, "security-groups.json", "SecurityGroups")?,
            network_acls: list(dir, "network-acls.json", "NetworkAcls")?,
            ..Self::default()
        };
        let vpc = read(dir, "vpc.json")?;
        let enabled = |attribute: &str| vpc[attribute]["Value"].as_bool().unwrap_or(true);
        account.dns_support = enabled("EnableDnsSupport");
        account.dns_hostnames = enabled("EnableDnsHostnames");
        if let Some(owner) = account.vpcs.iter().find_map(|vpc| vpc["OwnerId"].as_str()) {
            owner.clone_into(&mut account.id);
        }
        let mut cluster = read(dir, "cluster.json")?["cluster"].take();
        if !cluster.is_null() {
            let name = cluster["name"].as_str().context("cluster.json: the cluster has no name")?;
            account.clusters.insert(name.to_owned(), cluster.take());
        }
        Ok(account)
    }
}

/// Reads the list under `key` in a file of `dir`.
fn list(dir: &Path, file: &str, key: &str) -> Result<Vec<Value>> {
    match read(dir, file)?[key].take() {
        Value::Null => Ok(Vec::new()),
        Value::Array(values) => Ok(values),
        other => anyhow::bail!("{file}: {key} is not a list: {other}"),
    }
}

/// Reads a file's JSON; an empty object if the file does not exist.
fn read(dir: &Path, file: &str) -> Result<Value> {
    let path = dir.join(file);
    match fs::read(&path) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).with_context(|| format!("{} is not valid JSON", path.display()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Value::Object(serde_json::Map::new())),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}
