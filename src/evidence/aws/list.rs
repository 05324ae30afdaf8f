//! The lists that EC2 answers with: `{"NatGateways": [...]}`.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::evidence::json::{JsonError, from_json};

/// An AWS shape that a call lists.
pub(crate) trait Listed: DeserializeOwned + Serialize {
    /// The key of the list in the answer.
    const LIST: &'static str;
    /// Whether a file without the list is malformed. Otherwise it is an empty list.
    const IS_REQUIRED: bool = true;
}

/// Reads a list.
pub(super) fn read_list<T: Listed>(bytes: &[u8]) -> Result<Vec<T>, JsonError> {
    read_list_as::<T, T>(bytes)
}

/// Reads a list whose items are converted one by one, so that those of the wire are not all in
/// memory.
pub(super) fn read_list_as<T: Listed, U: From<T>>(bytes: &[u8]) -> Result<Vec<U>, JsonError> {
    let page: Page<T, U> = from_json(bytes)?;
    if page.has_next {
        return Err(JsonError::of_whole(
            "NextToken: this is a part of the list; leave out --max-items and --no-paginate",
        ));
    }
    Ok(page.items)
}

/// Reads a list inside an item; `null`, which a query of the aws CLI can print, is an empty
/// one.
pub(super) fn list_or_null<'de, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// One page of a list, or the whole list.
struct Page<T, U> {
    items: Vec<U>,
    /// Whether other pages follow.
    has_next: bool,
    wire: PhantomData<T>,
}

impl<'de, T: Listed, U: From<T>> Deserialize<'de> for Page<T, U> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PageVisitor(PhantomData))
    }
}

struct PageVisitor<T, U>(PhantomData<(T, U)>);

impl<'de, T: Listed, U: From<T>> Visitor<'de> for PageVisitor<T, U> {
    type Value = Page<T, U>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with the field `{}`", T::LIST)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Page<T, U>, A::Error> {
        let mut items = None;
        let mut has_next = false;
        while let Some(key) = map.next_key::<String>()? {
            if key == T::LIST {
                if items.is_some() {
                    return Err(A::Error::duplicate_field(T::LIST));
                }
                items = Some(map.next_value::<Items<T, U>>()?.items);
            } else if key == "NextToken" {
                has_next = map.next_value::<Option<IgnoredAny>>()?.is_some();
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        if items.is_none() && T::IS_REQUIRED {
            return Err(A::Error::missing_field(T::LIST));
        }
        Ok(Page { items: items.unwrap_or_default(), has_next, wire: PhantomData })
    }
}

/// The items of a list, converted.
struct Items<T, U> {
    items: Vec<U>,
    wire: PhantomData<T>,
}

impl<'de, T: Listed, U: From<T>> Deserialize<'de> for Items<T, U> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ItemsVisitor(PhantomData))
    }
}

struct ItemsVisitor<T, U>(PhantomData<(T, U)>);

impl<'de, T: Listed, U: From<T>> Visitor<'de> for ItemsVisitor<T, U> {
    type Value = Items<T, U>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Items<T, U>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element::<T>()? {
            items.push(item.into());
        }
        Ok(Items { items, wire: PhantomData })
    }
}
