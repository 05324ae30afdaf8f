//! EC2's filters and pagination.

use std::borrow::Cow;

use serde_json::Value;

use super::call::{Call, PageToken};
use super::error::ApiError;

/// A filter. An element matches if it has any of the filter's values; a call's filters must all match.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Filter<'a> {
    attribute: Attribute<'a>,
    patterns: Vec<&'a str>,
}

/// The attribute of an element that a filter applies to.
#[derive(Clone, Debug, PartialEq)]
enum Attribute<'a> {
    /// The values at a path of keys.
    Path(&'a str),
    /// The keys of the tags, which are under this key.
    TagKeys(&'a str),
    /// The value of the tag `key`; the tags are under the key `tags`.
    Tag { tags: &'a str, key: &'a str },
}

impl<'a> Filter<'a> {
    /// Parses the filters of a call. `attributes` are the supported filters, each a name and the path of its
    /// values; `tags` is the key of an element's tags. Another name is an error.
    pub(super) fn from_call(
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
            let patterns = call.list_parameter(&format!("Filter.{number}.Value"));
            if patterns.is_empty() {
                let message = format!("The filter '{name}' has no values");
                return Err(ApiError::new(400, "InvalidParameterValue", message));
            }
            filters.push(Self { attribute, patterns });
        }
        Ok(filters)
    }

    /// Whether `element` has any of the filter's values.
    pub(super) fn matches(&self, element: &Value) -> bool {
        let values = match self.attribute {
            Attribute::Path(path) => texts(element, path),
            Attribute::TagKeys(tags) => tag_texts(element, tags, |_| true, "Key"),
            Attribute::Tag { tags, key } => tag_texts(element, tags, |tag| tag["Key"] == key, "Value"),
        };
        let is_match = |value: &str| {
            self.patterns.iter().any(|pattern| {
                // Most patterns have no wildcard, and some calls have many patterns.
                let is_literal = !pattern.contains(['*', '?', '\\']);
                if is_literal { *pattern == value } else { glob(pattern.as_bytes(), value.as_bytes()) }
            })
        };
        values.iter().any(|value| is_match(value))
    }
}

/// The values of `member` in the tags that satisfy `predicate`.
fn tag_texts<'v>(
    element: &'v Value,
    tags: &str,
    predicate: impl Fn(&Value) -> bool,
    member: &str,
) -> Vec<Cow<'v, str>> {
    let tags = element[tags].as_array().map(Vec::as_slice).unwrap_or_default();
    tags.iter().filter(|tag| predicate(tag)).flat_map(|tag| texts(tag, member)).collect()
}

/// The scalar values at a dotted path of keys, as strings. A list on the path contributes all its elements.
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

/// Whether `text` matches `pattern`: `*` matches any text, `?` one byte, and `\` escapes the next byte.
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

/// The page of `items` at `token`, by default the first, and the token of the next page.
pub(super) fn paginate<T>(items: &[T], size: usize, token: Option<PageToken>) -> (&[T], Option<PageToken>) {
    let PageToken { page, offset } = token.unwrap_or(PageToken { page: 1, offset: 0 });
    let start = offset.min(items.len());
    let end = start.saturating_add(size.max(1)).min(items.len());
    let next = (end < items.len()).then_some(PageToken { page: page + 1, offset: end });
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
            received_at: Instant::now(),
        };
        let element = json!({
            "VpcId": "vpc-1",
            "Groups": [{ "GroupId": "sg-1" }, { "GroupId": "sg-2" }],
            "RequesterManaged": false,
            "Tags": [{ "Key": "Name", "Value": "a*b" }, { "Key": "stage", "Value": "" }],
        });
        let filters = Filter::from_call(&call, ATTRIBUTES, "Tags").map_err(|error| error.message)?;
        Ok(filters.iter().all(|filter| filter.matches(&element)))
    }

    #[test]
    fn any_value_and_every_filter_must_match() {
        assert_eq!(matching(&[]), Ok(true));
        assert_eq!(matching(&[("vpc-id", &["vpc-2", "vpc-1"])]), Ok(true));
        assert_eq!(matching(&[("vpc-id", &["vpc-1"]), ("group-id", &["sg-3"])]), Ok(false));
        assert_eq!(matching(&[("vpc-id", &["vpc-1"]), ("group-id", &["sg-2"])]), Ok(true));
        assert_eq!(matching(&[("requester-managed", &["false"])]), Ok(true));
        assert_eq!(matching(&[("vpc-id", &["VPC-1"])]), Ok(false));
    }

    #[test]
    fn tags_are_matched_by_key_and_by_value() {
        assert_eq!(matching(&[("tag-key", &["Name"])]), Ok(true));
        assert_eq!(matching(&[("tag-key", &["a*b"])]), Ok(false));
        assert_eq!(matching(&[("tag:Name", &["a\\*b"])]), Ok(true));
        assert_eq!(matching(&[("tag:stage", &[""])]), Ok(true));
        assert_eq!(matching(&[("tag:colour", &["*"])]), Ok(false));
    }

    #[test]
    fn unknown_filter_is_rejected() {
        assert_eq!(matching(&[("colour", &["red"])]), Err("The filter 'colour' is invalid".to_owned()));
        assert!(matching(&[("vpc-id", &[])]).is_err());
    }

    #[test]
    fn glob_supports_wildcards_and_escapes() {
        for (pattern, text, is_match) in [
            ("*", "", true),
            ("vpc-*", "vpc-1", true),
            ("*eks*", "Amazon EKS myeks", true),
            ("vpc-?", "vpc-1", true),
            ("vpc-?", "vpc-", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a", "ab", false),
        ] {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), is_match, "{pattern} {text}");
        }
    }

    #[test]
    fn pages_are_contiguous_and_the_last_has_no_token() {
        let items: Vec<u32> = (0..11).collect();
        let (first, token) = paginate(&items, 5, None);
        let (second, token) = paginate(&items, 5, token);
        assert_eq!(token, Some(PageToken { page: 3, offset: 10 }));
        let (third, token) = paginate(&items, 5, token);
        assert_eq!((first.len(), second.len(), third, token), (5, 5, &[10][..], None));
        assert_eq!(paginate(&items, 5, Some(PageToken { page: 9, offset: 99 })), (&[][..], None));
    }
}
