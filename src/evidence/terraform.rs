//! The change of a cluster's access in a Terraform plan, as `terraform show -json` prints it.
//!
//! <https://developer.hashicorp.com/terraform/internals/json-format>

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;

use super::json::{JsonError, from_json};
use crate::model::access::AccessMode;
use crate::model::net::PUBLIC_BLOCKS_MAX;
use crate::model::ranges::is_public;
use crate::model::simulation::AccessChange;

/// The largest plan that is read.
pub const PLAN_MAX: u64 = 64 << 20;
/// How many names of clusters a message has.
const NAMES_SHOWN: usize = 10;

#[derive(Deserialize)]
struct Plan {
    #[serde(default)]
    resource_changes: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    #[serde(default)]
    address: String,
    #[serde(rename = "type", default)]
    kind: String,
    /// `managed` or `data`.
    #[serde(default)]
    mode: String,
    /// The key of an object that an earlier replacement left behind, which the plan deletes.
    #[serde(default)]
    deposed: Option<String>,
    #[serde(default)]
    change: Change,
}

#[derive(Default, Deserialize)]
struct Change {
    #[serde(default)]
    actions: Vec<String>,
    #[serde(default)]
    before: Value,
    #[serde(default)]
    after: Value,
    #[serde(default)]
    after_unknown: Value,
}

/// Why a plan does not tell the access of a cluster afterwards.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// It is no JSON.
    #[error("it is not what `terraform show -json PLAN` prints: {0}")]
    Json(#[from] JsonError),
    /// It changes no cluster of this name.
    #[error("it has no aws_eks_cluster named {cluster}; {others}")]
    NoCluster {
        /// The name.
        cluster: String,
        /// The clusters that it has.
        others: String,
    },
    /// Several resources have the name.
    #[error("it has several resources that are named {0}: {1}")]
    Several(String, String),
    /// The cluster does not remain.
    #[error("it deletes {0}, or replaces it by another cluster")]
    Deleted(String),
    /// A value is not known.
    #[error(
        "{resource}: {argument} is known only after apply; name the change with --access and --public-cidrs"
    )]
    Unknown {
        /// The address of the resource.
        resource: String,
        /// The argument.
        argument: &'static str,
    },
    /// A value is of another kind.
    #[error("{resource}: {argument} has no value that EKS accepts")]
    Invalid {
        /// The address of the resource.
        resource: String,
        /// The argument.
        argument: &'static str,
    },
}

/// Returns the change of a cluster's access in a plan.
///
/// # Errors
/// If the plan does not have it.
pub fn access_change(plan: &[u8], cluster: &str) -> Result<AccessChange, PlanError> {
    let plan: Plan = from_json(plan)?;
    let clusters: Vec<_> = plan.resource_changes.iter().filter(|resource| resource.is_cluster()).collect();
    let named: Vec<_> = clusters.iter().filter(|resource| resource.is_named(cluster)).collect();
    match named.as_slice() {
        [resource] => resource.access(),
        [] => {
            let known: Vec<_> = clusters.iter().filter_map(|resource| resource.name()).collect();
            let others = if known.is_empty() {
                "no aws_eks_cluster with a known name is in it".to_owned()
            } else {
                format!("those in it are {}", known[..known.len().min(NAMES_SHOWN)].join(", "))
            };
            Err(PlanError::NoCluster { cluster: cluster.to_owned(), others })
        }
        several => {
            let addresses: Vec<_> = several.iter().map(|resource| resource.address.as_str()).collect();
            Err(PlanError::Several(
                cluster.to_owned(),
                addresses[..addresses.len().min(NAMES_SHOWN)].join(", "),
            ))
        }
    }
}

impl Resource {
    /// Whether it is a cluster that the configuration manages; one that it reads only is none.
    fn is_cluster(&self) -> bool {
        self.kind == "aws_eks_cluster" && self.mode != "data" && self.deposed.is_none()
    }

    fn name(&self) -> Option<&str> {
        let of = |values: &Value| values.get("name").and_then(Value::as_str).is_some();
        let values = [&self.change.after, &self.change.before].into_iter().find(|values| of(values))?;
        values.get("name").and_then(Value::as_str)
    }

    fn is_named(&self, cluster: &str) -> bool {
        let values = [&self.change.after, &self.change.before];
        values.iter().any(|values| values.get("name").and_then(Value::as_str) == Some(cluster))
    }

    fn access(&self) -> Result<AccessChange, PlanError> {
        if self.change.actions.iter().any(|action| action == "delete") {
            return Err(PlanError::Deleted(self.address.clone()));
        }
        let public = self.flag("endpoint_public_access")?;
        let private = self.flag("endpoint_private_access")?;
        let mode = AccessMode::ALL
            .into_iter()
            .find(|mode| (mode.public(), mode.private()) == (public, private))
            .ok_or_else(|| self.invalid("endpoint_public_access"))?;
        let cidrs = if mode.public() { self.blocks()? } else { None };
        Ok(AccessChange { mode: Some(mode), cidrs })
    }

    /// An argument of `vpc_config`.
    fn argument(&self, name: &'static str) -> Result<&Value, PlanError> {
        let unknown = &self.change.after_unknown["vpc_config"];
        let is_unknown = |value: &Value| match value {
            Value::Bool(is_unknown) => *is_unknown,
            // One element of a list is not known.
            Value::Array(all) => all.iter().any(|one| one.as_bool() == Some(true)),
            _ => false,
        };
        if unknown.as_bool() == Some(true) || is_unknown(&unknown[0][name]) {
            return Err(PlanError::Unknown { resource: self.address.clone(), argument: name });
        }
        Ok(&self.change.after["vpc_config"][0][name])
    }

    fn flag(&self, name: &'static str) -> Result<bool, PlanError> {
        self.argument(name)?.as_bool().ok_or_else(|| self.invalid(name))
    }

    /// The blocks; `None` if the plan leaves them as they are.
    fn blocks(&self) -> Result<Option<Vec<IpNet>>, PlanError> {
        const NAME: &str = "public_access_cidrs";
        let blocks = match self.argument(NAME)? {
            Value::Null => return Ok(None),
            Value::Array(blocks) => blocks,
            _ => return Err(self.invalid(NAME)),
        };
        let block = |block: &Value| {
            let block: IpNet = block.as_str()?.parse().ok()?;
            (block.trunc() == block && is_public(&block)).then_some(block)
        };
        let blocks: Option<Vec<_>> = blocks.iter().map(block).collect();
        let blocks = blocks.filter(|blocks| blocks.len() <= PUBLIC_BLOCKS_MAX);
        let blocks = blocks.ok_or_else(|| self.invalid(NAME))?;
        Ok((!blocks.is_empty()).then_some(blocks))
    }

    fn invalid(&self, argument: &'static str) -> PlanError {
        PlanError::Invalid { resource: self.address.clone(), argument }
    }
}
