//! An answer of EC2 about several clusters, and the part of it that is about one.

use std::ops::Range;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::failure::Failure;
use crate::evidence::aws::list::Listed;
use crate::evidence::aws::vpc::VpcAttributes;
use crate::model::file::Field;
use crate::model::net::Instance;

/// The most items of a list. A VPC has at most 256,000 network address units, each of which is
/// an address, and a region has 5,000 network interfaces unless the quota is raised.
///
/// <https://docs.aws.amazon.com/vpc/latest/userguide/network-address-usage.html>
pub(super) const ITEMS_MAX: usize = 1_000_000;
/// The most pages of a list: those of so many items, of which one of `ListClusters` has 100.
pub(super) const PAGES_MAX: usize = ITEMS_MAX / 100;
/// The most bytes of a list in JSON: of 256,000 interfaces, 1 KiB of each.
const LIST_MAX: usize = 256 << 20;
/// The most bytes of all lists that are in memory at a time, in KiB.
const LISTS_MAX: usize = 512 << 10;

/// The permits for the memory of all lists, in KiB.
pub(super) fn memory() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(LISTS_MAX))
}

/// An answer about several clusters.
#[derive(Debug)]
pub(super) struct Answer {
    /// The key of the list.
    list: &'static str,
    items: Items,
}

/// Items of one shape, as the aws CLI prints them. Each is serialized once, however many
/// clusters it is written for.
#[derive(Debug)]
pub(super) struct Items {
    /// The items, one after the other.
    json: Vec<u8>,
    parts: Vec<Item>,
    /// The most bytes of the list.
    max: usize,
    memory: Arc<Semaphore>,
    /// The memory that was permitted.
    permit: Option<OwnedSemaphorePermit>,
}

/// An item of a list.
#[derive(Debug)]
struct Item {
    scope: Scope,
    json: Range<usize>,
}

/// The clusters that an item is about.
#[derive(Debug)]
pub(super) enum Scope {
    /// Those in this VPC.
    Vpc(Option<Arc<str>>),
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

/// One cluster's part of an answer.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    answer: &'a Answer,
    items: Vec<&'a Item>,
    fields: VpcAttributes,
    /// The fields that are not in it.
    pub(crate) missing: Vec<MissingField>,
}

impl Items {
    /// No item. `memory` is that of all lists.
    pub(super) fn new(memory: &Arc<Semaphore>) -> Self {
        Self { json: Vec::new(), parts: Vec::new(), max: LIST_MAX, memory: Arc::clone(memory), permit: None }
    }

    /// Adds an item.
    pub(super) fn push<T: Listed>(&mut self, item: T, scope: impl FnOnce(T) -> Scope) -> Result<(), Failure> {
        let start = self.json.len();
        serde_json::to_writer(&mut self.json, &item)
            .map_err(|error| Failure::malformed(error.to_string()))?;
        self.parts.push(Item { scope: scope(item), json: start..self.json.len() });
        self.permit_memory()
    }

    /// Adds an item of a VPC.
    pub(super) fn push_of_vpc(&mut self, vpc: Option<&str>, item: impl Listed) -> Result<(), Failure> {
        // Items of one VPC follow each other, mostly.
        let last = self.parts.last().and_then(|item| match &item.scope {
            Scope::Vpc(Some(last)) if Some(&**last) == vpc => Some(Arc::clone(last)),
            _ => None,
        });
        self.push(item, |_| Scope::Vpc(last.or_else(|| vpc.map(Arc::from))))
    }

    /// The same items, sorted by their instances, each once.
    pub(super) fn sorted_by_instance(mut self) -> Self {
        let id = |item: &Item| item.instances().first().map(|instance| instance.id.clone());
        self.parts.sort_by_cached_key(id);
        self.parts.dedup_by(|a, b| id(a) == id(b));
        self
    }

    /// Adds all items of another list.
    pub(super) fn append(&mut self, other: Self) -> Result<(), Failure> {
        for Item { scope, json } in other.parts {
            let start = self.json.len();
            self.json.extend_from_slice(&other.json[json]);
            self.parts.push(Item { scope, json: start..self.json.len() });
        }
        self.permit_memory()
    }

    /// Fails if the list, or all lists, have more bytes than those of any account.
    fn permit_memory(&mut self) -> Result<(), Failure> {
        let permitted = self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let needed = self.json.len().div_ceil(1024);
        if needed <= permitted {
            return Ok(());
        }
        // Not one by one.
        let more = u32::try_from((needed - permitted).max(64)).unwrap_or(u32::MAX);
        let too_many = || {
            let max = self.max >> 20;
            Failure::malformed(format!("the list has more than {max} MiB, which no list of AWS has"))
        };
        if self.json.len() > self.max {
            return Err(too_many());
        }
        let permit = Arc::clone(&self.memory).try_acquire_many_owned(more).map_err(|_| too_many())?;
        match &mut self.permit {
            Some(own) => own.merge(permit),
            none => *none = Some(permit),
        }
        Ok(())
    }
}

impl Answer {
    /// A list of items of one shape.
    pub(super) fn of<T: Listed>(items: Items) -> Self {
        Self { list: T::LIST, items }
    }

    /// The items that are about a cluster.
    pub(super) fn part(&self, is_about: impl Fn(&Scope) -> bool, fields: Fields) -> Part<'_> {
        let items = self.items.parts.iter().filter(|item| is_about(&item.scope)).collect();
        Part { answer: self, items, fields: fields.found, missing: fields.missing }
    }
}

impl Item {
    /// The instances that it is about.
    fn instances(&self) -> &[Instance] {
        match &self.scope {
            Scope::Instances(instances) => instances,
            Scope::Vpc(_) | Scope::Region => &[],
        }
    }
}

impl Part<'_> {
    /// The instances in it.
    pub(crate) fn instances(&self) -> Vec<Instance> {
        self.items.iter().flat_map(|item| item.instances()).cloned().collect()
    }

    /// Its items as JSON.
    pub(crate) fn items(&self) -> impl Iterator<Item = &[u8]> {
        self.items.iter().map(|item| &self.answer.items.json[item.json.clone()])
    }

    /// It as the aws CLI prints it, without blanks.
    ///
    /// # Errors
    /// If it cannot be serialized.
    pub(crate) fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        /// What stands beside the list.
        #[derive(Serialize)]
        struct Beside<'a> {
            #[serde(flatten)]
            fields: &'a VpcAttributes,
        }
        let beside = serde_json::to_vec(&Beside { fields: &self.fields })?;
        let items: usize = self.items.iter().map(|item| item.json.len() + 1).sum();
        let mut json = Vec::with_capacity(items + beside.len() + self.answer.list.len() + 8);
        json.push(b'{');
        serde_json::to_writer(&mut json, self.answer.list)?;
        json.extend_from_slice(b":[");
        for (number, item) in self.items.iter().enumerate() {
            if number > 0 {
                json.push(b',');
            }
            json.extend_from_slice(&self.answer.items.json[item.json.clone()]);
        }
        json.push(b']');
        // `{}` is no field.
        if beside.len() > 2 {
            json.push(b',');
            json.extend_from_slice(&beside[1..]);
        } else {
            json.push(b'}');
        }
        Ok(json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::aws::interfaces::NetworkInterface;
    use crate::evidence::aws::vpc::AttributeBooleanValue;
    use crate::model::gap::GapReason;

    fn interface(description: &str) -> NetworkInterface {
        let json = serde_json::json!({"NetworkInterfaceId": "eni-1", "Description": description});
        serde_json::from_value(json).expect("an interface")
    }

    #[test]
    fn lists_have_a_limit_each_and_together() {
        // Of 8 MiB together, and 4 MiB each.
        let memory = Arc::new(Semaphore::new(8 << 10));
        let large = "x".repeat(1 << 19);
        let fill = |count: usize| {
            let mut list = Items { max: 4 << 20, ..Items::new(&memory) };
            let pushed = (0..count).try_for_each(|_| list.push_of_vpc(Some("vpc-1"), interface(&large)));
            (list, pushed)
        };
        let (list, pushed) = fill(8);
        assert_eq!(pushed.expect_err("a list that is too long").why, GapReason::Malformed);
        // What is dropped counts no longer.
        drop(list);
        let mut lists: Vec<_> = (0..2).map(|_| fill(7)).collect();
        assert!(lists.iter().all(|(_, pushed)| pushed.is_ok()));
        assert!(fill(7).1.is_err());
        lists.pop();
        assert_eq!(fill(7).1, Ok(()));
    }

    #[test]
    fn a_part_has_the_items_of_one_vpc_and_the_fields() {
        let mut items = Items::new(&memory());
        for vpc in ["vpc-1", "vpc-2", "vpc-1"] {
            items.push_of_vpc(Some(vpc), interface(vpc)).expect("a small list");
        }
        let answer = Answer::of::<NetworkInterface>(items);
        let is_in =
            |id: &'static str| move |scope: &Scope| matches!(scope, Scope::Vpc(Some(vpc)) if **vpc == *id);
        let json = |id, fields| -> serde_json::Value {
            let json = answer.part(is_in(id), fields).to_json().expect("JSON");
            serde_json::from_slice(&json).expect("JSON")
        };
        let one = json("vpc-1", Fields::default());
        assert_eq!(one["NetworkInterfaces"].as_array().map(Vec::len), Some(2));
        assert_eq!(one.as_object().map(serde_json::Map::len), Some(1));
        let enable_dns_support = Some(AttributeBooleanValue { value: Some(true) });
        let found = VpcAttributes { enable_dns_support, ..VpcAttributes::default() };
        let two = json("vpc-2", Fields { found, missing: Vec::new() });
        assert_eq!(two["NetworkInterfaces"][0]["Description"], "vpc-2");
        assert_eq!(two["EnableDnsSupport"]["Value"], true);
        assert_eq!(json("vpc-3", Fields::default()), serde_json::json!({"NetworkInterfaces": []}));
    }
}
