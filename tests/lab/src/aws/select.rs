//! EC2's filters, and pages.

use std::borrow::Cow;

use serde_json::Value;

use super::call::{Call, Token};
use super::error::ApiError;

/// A filter: the names that are asked for in it are alternatives, and all filters of a call must agree.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Filter<'a> {
    attribute: Attribute<'a>,
    patterns: Vec<&'a str>,
}

/// What of an element a filter looks at.
#[derive(Clone, Debug, PartialEq)]
enum Attribute<'a> {
    /// The values at a path of keys.
    Path(&'a str),
    /// The keys of the tags under the member named.
    TagKeys(&'a str),
    /// The value of one tag.
    Tag { tags: &'a str, key: &'a str },
}

impl<'a> Filter<'a> {
    /// The filters of a call on elements with the `attributes` (a filter's name and the path to its values),
    /// the tags of which are under `tags`. A name that is not among them is an error, never ignored.
    pub(super) fn of_call(
        call: &'a Call,
        attributes: &[(&str, &'a str)],
        tags: &'a str,
    ) -> Result<Vec<Self>, ApiError> {
        let mut filters = Vec::new();
        for number in 1.. {
            let Some(name) = call.parameter(&format!("Filter.{number}.Name")) else { break };
            let attribute = if name == "tag-key" {
                Attribute::TagKeys(tags)
            } else if let Some(key) = name.strip_prefix("tag:") {
                Attribute::Tag { tags, key }
            } else if let Some((_, path)) = attributes.iter().find(|(known, _)| *known == name) {
                Attribute::Path(path)
            } else {
                return Err(ApiError::new(
                    400,
                    "InvalidParameterValue",
                    format!("The filter '{name}' is invalid"),
                ));
            };
            let patterns = call.numbered(&format!("Filter.{number}.Value"));
            if patterns.is_empty() {
                let message = format!("The filter '{name}' has no values");
                return Err(ApiError::new(400, "InvalidParameterValue", message));
            }
            filters.push(Self { attribute, patterns });
        }
        Ok(filters)
    }

    /// Whether `element` has one of the values asked for.
    pub(super) fn matches(&self, element: &Value) -> bool {
        let values = match self.attribute {
            Attribute::Path(path) => texts(element, path),
            Attribute::TagKeys(tags) => tag_texts(element, tags, |_| true, "Key"),
            Attribute::Tag { tags, key } => tag_texts(element, tags, |tag| tag["Key"] == key, "Value"),
        };
        let fits = |value: &str| {
            self.patterns.iter().any(|pattern| {
                // Most are plain, and there are many of them.
                let is_plain = !pattern.contains(['*', '?', '\\']);
                if is_plain { *pattern == value } else { glob(pattern.as_bytes(), value.as_bytes()) }
            })
        };
        values.iter().any(|value| fits(value))
    }
}

/// The member `member` of the tags that are `wanted`.
fn tag_texts<'v>(
    element: &'v Value,
    tags: &str,
    wanted: impl Fn(&Value) -> bool,
    member: &str,
) -> Vec<Cow<'v, str>> {
    let tags = element[tags].as_array().map(Vec::as_slice).unwrap_or_default();
    tags.iter().filter(|tag| wanted(tag)).flat_map(|tag| texts(tag, member)).collect()
}

/// The values at a dotted path of keys, as texts; every element of a list on the way counts.
fn texts<'v>(value: &'v Value, path: &str) -> Vec<Cow<'v, str>> {
    match value {
        Value::Array(items) => items.iter().flat_map(|item| texts(item, path)).collect(),
        Value::Object(members) => {
            let (key, rest) = path.split_once('.').unwrap_or((path, ""));
            members.get(key).map(|member| texts(member, rest)).unwrap_or_default()
        }
        Value::String(text) if path.is_empty() => vec![Cow::Borrowed(text)],
        Value::Bool(_) | Value::Number(_) if path.is_empty() => vec![Cow::Owned(value.to_string())],
        _ => Vec::new(),
    }
}

/// Whether `text` fits `pattern`, where `*` is any text, `?` one character and `\` takes their meaning away.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], _) => text.is_empty(),
        ([b'*', rest @ ..], _) => (0..=text.len()).any(|skipped| glob(rest, &text[skipped..])),
        ([b'?', rest @ ..], [_, text @ ..]) => glob(rest, text),
        ([b'\\', escaped, rest @ ..], [first, text @ ..]) => escaped == first && glob(rest, text),
        ([literal, rest @ ..], [first, text @ ..]) => literal == first && glob(rest, text),
        (_, []) => false,
    }
}

/// The page of `items` that `token` points to, or the first, and where the next begins.
pub(super) fn page<T>(items: &[T], size: usize, token: Option<Token>) -> (&[T], Option<Token>) {
    let Token { page, offset } = token.unwrap_or(Token { page: 1, offset: 0 });
    let start = offset.min(items.len());
    let end = start.saturating_add(size.max(1)).min(items.len());
    let next = (end < items.len()).then_some(Token { page: page + 1, offset: end });
    (&items[start..end], next)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Instant;

    use serde_json::json;

    use super::super::call::Service;
    use super::*;

    const ATTRIBUTES: &[(&str, &str)] =
        &[("vpc-id", "VpcId"), ("group-id", "Groups.GroupId"), ("requester-managed", "RequesterManaged")];

    fn matching(filters: &[(&str, &[&str])]) -> Result<bool, String> {
        let mut parameters = BTreeMap::new();
        for (number, (name, values)) in (1..).zip(filters) {
            parameters.insert(format!("Filter.{number}.Name"), (*name).to_owned());
            for (value, text) in (1..).zip(*values) {
                parameters.insert(format!("Filter.{number}.Value.{value}"), (*text).to_owned());
            }
        }
        let call = Call {
            service: Service::Ec2,
            operation: String::new(),
            parameters,
            page: 1,
            access_key: None,
            region: None,
            user_agent: String::new(),
            at: Instant::now(),
        };
        let element = json!({
            "VpcId": "vpc-1",
            "Groups": [{ "GroupId": "sg-1" }, { "GroupId": "sg-2" }],
            "RequesterManaged": false,
            "Tags": [{ "Key": "Name", "Value": "a*b" }, { "Key": "stage", "Value": "" }],
        });
        let filters = Filter::of_call(&call, ATTRIBUTES, "Tags").map_err(|error| error.message)?;
        Ok(filters.iter().all(|filter| filter.matches(&element)))
    }

    #[test]
    fn values_are_alternatives_and_filters_are_not() {
        assert_eq!(matching(&[]), Ok(true));
        assert_eq!(matching(&[("vpc-id", &["vpc-2", "vpc-1"])]), Ok(true));
        assert_eq!(matching(&[("vpc-id", &["vpc-1"]), ("group-id", &["sg-3"])]), Ok(false));
        assert_eq!(matching(&[("vpc-id", &["vpc-1"]), ("group-id", &["sg-2"])]), Ok(true));
        assert_eq!(matching(&[("requester-managed", &["false"])]), Ok(true));
        assert_eq!(matching(&[("vpc-id", &["VPC-1"])]), Ok(false));
    }

    #[test]
    fn tags_are_found_by_key_and_by_value() {
        assert_eq!(matching(&[("tag-key", &["Name"])]), Ok(true));
        assert_eq!(matching(&[("tag-key", &["a*b"])]), Ok(false));
        assert_eq!(matching(&[("tag:Name", &["a\\*b"])]), Ok(true));
        assert_eq!(matching(&[("tag:stage", &[""])]), Ok(true));
        assert_eq!(matching(&[("tag:colour", &["*"])]), Ok(false));
    }

    #[test]
    fn a_filter_that_is_not_known_is_refused() {
        assert_eq!(matching(&[("colour", &["red"])]), Err("The filter 'colour' is invalid".to_owned()));
        assert!(matching(&[("vpc-id", &[])]).is_err());
    }

    #[test]
    fn wildcards() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("vpc-*", "vpc-1", true),
            ("*eks*", "Amazon EKS myeks", true),
            ("vpc-?", "vpc-1", true),
            ("vpc-?", "vpc-", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a", "ab", false),
        ] {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn pages_meet_and_end() {
        let items: Vec<u32> = (0..11).collect();
        let (first, token) = page(&items, 5, None);
        let (second, token) = page(&items, 5, token);
        assert_eq!(token, Some(Token { page: 3, offset: 10 }));
        let (third, token) = page(&items, 5, token);
        assert_eq!((first.len(), second.len(), third, token), (5, 5, &[10][..], None));
        assert_eq!(page(&items, 5, Some(Token { page: 9, offset: 99 })), (&[][..], None));
    }
}
