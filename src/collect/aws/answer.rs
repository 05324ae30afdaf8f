//! An answer of EC2 about several clusters, and the part of it that is about one.

use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use super::failure::Failure;
use crate::evidence::aws::list::Listed;
use crate::evidence::aws::vpc::VpcAttributes;
use crate::model::file::Field;
use crate::model::net::Instance;

/// An answer about several clusters.
#[derive(Debug)]
pub(super) struct Answer {
    /// The key of the list.
    list: &'static str,
    items: Vec<Item>,
}

/// An item of a list, as the aws CLI prints it. It is serialized once, however many
/// clusters it is written for.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) scope: Scope,
    pub(super) json: Box<RawValue>,
}

/// The clusters that an item is about.
#[derive(Debug)]
pub(super) enum Scope {
    /// Those in this VPC.
    Vpc(Option<String>),
    /// Those that these instances are nodes of, which may be none.
    Instances(Vec<Instance>),
    /// All of the region.
    Region,
}

/// Fields that are written beside the list, and need separate requests for each VPC.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) found: VpcAttributes,
    pub(super) missing: Vec<MissingField>,
}

/// A field that could not be obtained.
#[derive(Debug)]
pub(crate) struct MissingField {
    pub(crate) field: Field,
    /// The IAM action of its request.
    pub(crate) action: &'static str,
    pub(crate) failure: Failure,
}

/// One cluster's part of an answer, as the aws CLI prints it.
#[derive(Debug, Serialize)]
pub(crate) struct Part<'a> {
    #[serde(flatten)]
    list: PartOfList<'a>,
    #[serde(flatten)]
    fields: VpcAttributes,
    /// The fields that are not in it.
    #[serde(skip)]
    pub(crate) missing: Vec<MissingField>,
}

#[derive(Debug)]
struct PartOfList<'a> {
    list: &'static str,
    items: Vec<&'a Item>,
}

impl Answer {
    /// A list of items of one shape.
    pub(super) fn of<T: Listed>(items: Vec<Item>) -> Self {
        Self { list: T::LIST, items }
    }

    /// The items that are about a cluster.
    pub(super) fn part(&self, is_about: impl Fn(&Scope) -> bool, fields: Fields) -> Part<'_> {
        let items = self.items.iter().filter(|item| is_about(&item.scope)).collect();
        let list = PartOfList { list: self.list, items };
        Part { list, fields: fields.found, missing: fields.missing }
    }
}

impl Item {
    /// The instances that it is about.
    pub(super) fn instances(&self) -> &[Instance] {
        match &self.scope {
            Scope::Instances(instances) => instances,
            Scope::Vpc(_) | Scope::Region => &[],
        }
    }
}

/// Serializes an item.
pub(super) fn to_json(item: &impl Listed) -> Result<Box<RawValue>, Failure> {
    to_raw_value(item).map_err(|error| Failure::malformed(error.to_string()))
}

impl Part<'_> {
    /// The instances in it.
    pub(crate) fn instances(&self) -> Vec<Instance> {
        self.list.items.iter().flat_map(|item| item.instances()).cloned().collect()
    }
}

impl Serialize for PartOfList<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let items: Vec<_> = self.items.iter().map(|item| &item.json).collect();
        serializer.collect_map([(self.list, items)])
    }
}
