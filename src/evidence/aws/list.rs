//! The lists that EC2 answers with: `{"NatGateways": [...]}`.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, Error, IgnoredAny, MapAccess, Visitor};
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
    let page: Page<T> = from_json(bytes)?;
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
struct Page<T> {
    items: Vec<T>,
    /// Whether other pages follow.
    has_next: bool,
}

impl<'de, T: Listed> Deserialize<'de> for Page<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PageVisitor(PhantomData))
    }
}

struct PageVisitor<T>(PhantomData<T>);

impl<'de, T: Listed> Visitor<'de> for PageVisitor<T> {
    type Value = Page<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with the field `{}`", T::LIST)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Page<T>, A::Error> {
        let mut items = None;
        let mut has_next = false;
        while let Some(key) = map.next_key::<String>()? {
            if key == T::LIST {
                if items.is_some() {
                    return Err(A::Error::duplicate_field(T::LIST));
                }
                items = Some(map.next_value()?);
            } else if key == "NextToken" {
                has_next = map.next_value::<Option<IgnoredAny>>()?.is_some();
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        if items.is_none() && T::IS_REQUIRED {
            return Err(A::Error::missing_field(T::LIST));
        }
        Ok(Page { items: items.unwrap_or_default(), has_next })
    }
}
