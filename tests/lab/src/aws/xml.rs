//! EC2's XML, written from the JSON that the aws CLI prints.
//!
//! The CLI's keys and the wire's element names differ, and not by a rule: `shapes.txt` has every member of
//! every shape that the calls return, from the service's model. A line begins a shape, `Key` is a member
//! whose element is `key`, `Key=name` one whose element is `name`; `:Shape` behind it is a structure,
//! `[Shape]` a list of them, `[]` a list of texts.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::LazyLock;

use serde_json::Value;

pub(super) const CONTENT_TYPE: &str = "text/xml;charset=UTF-8";
pub(super) const PROLOGUE: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
pub(super) const EC2_NAMESPACE: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";
pub(super) const STS_NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// The shapes by name, each a list of members by the CLI's key.
static SHAPES: LazyLock<HashMap<&'static str, HashMap<&'static str, Member>>> =
    LazyLock::new(|| parse_shapes(include_str!("shapes.txt")));

/// A member of a shape.
#[derive(Debug, PartialEq, Eq)]
struct Member {
    /// The name of the XML element.
    element: Cow<'static, str>,
    kind: Kind,
}

/// What a member holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A text, a number or a truth value.
    Text,
    /// A structure of the shape named.
    Structure(&'static str),
    /// A list of structures of the shape named.
    Structures(&'static str),
    /// A list of texts.
    Texts,
}

/// Writes the members of `value`, a structure of the shape named.
///
/// A key that the shape does not have is an error: the data then is not what the aws CLI prints.
pub(super) fn write_structure(out: &mut String, shape: &str, value: &Value) -> Result<(), String> {
    let members = SHAPES.get(shape).ok_or_else(|| format!("no shape {shape}"))?;
    let object = value.as_object().ok_or_else(|| format!("{shape}: not an object: {value}"))?;
    for (key, value) in object {
        let member = members.get(key.as_str()).ok_or_else(|| format!("{shape} has no member {key}"))?;
        // An absent member and one that is null are the same to a client.
        if value.is_null() {
            continue;
        }
        let element = &member.element;
        out.extend(["<", element, ">"]);
        match member.kind {
            Kind::Text => write_text(out, key, value)?,
            Kind::Structure(shape) => write_structure(out, shape, value)?,
            Kind::Structures(_) | Kind::Texts => {
                let items = value.as_array().ok_or_else(|| format!("{shape}: {key} is not a list"))?;
                for item in items {
                    out.push_str("<item>");
                    match member.kind {
                        Kind::Structures(shape) => write_structure(out, shape, item)?,
                        _ => write_text(out, key, item)?,
                    }
                    out.push_str("</item>");
                }
            }
        }
        out.extend(["</", element, ">"]);
    }
    Ok(())
}

fn write_text(out: &mut String, key: &str, value: &Value) -> Result<(), String> {
    match value {
        Value::String(text) => out.push_str(&escape(text)),
        Value::Bool(_) | Value::Number(_) => out.push_str(&value.to_string()),
        _ => return Err(format!("{key} is not a text: {value}")),
    }
    Ok(())
}

/// `text` as the content of an element.
///
/// Control characters become references. XML 1.0 forbids most of them even so, and EC2 never sends them; but
/// the SDK for Rust takes them, and what reaches a terminal then is worth a test.
pub(super) fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(|character: char| matches!(character, '&' | '<' | '>' | '"') || character.is_control())
    {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            control if control.is_control() => {
                write!(out, "&#x{:x};", u32::from(control)).expect("a String takes all that is written");
            }
            other => out.push(other),
        }
    }
    out.into()
}

fn parse_shapes(table: &'static str) -> HashMap<&'static str, HashMap<&'static str, Member>> {
    table
        .split('}')
        .filter_map(|shape| shape.split_once('{'))
        .map(|(name, members)| (name.trim(), members.split_whitespace().map(parse_member).collect()))
        .collect()
}

/// A member: `Key`, `Key=element`, and behind either what it holds.
fn parse_member(text: &'static str) -> (&'static str, Member) {
    let (name, kind) = match text.find([':', '[']).map(|at| text.split_at(at)) {
        None => (text, Kind::Text),
        Some((name, "[]")) => (name, Kind::Texts),
        Some((name, kind)) => match kind.strip_prefix(':') {
            Some(shape) => (name, Kind::Structure(shape)),
            None => (name, Kind::Structures(kind.trim_matches(['[', ']']))),
        },
    };
    let (key, element) = match name.split_once('=') {
        Some((key, element)) => (key, Cow::Borrowed(element)),
        None => (name, Cow::Owned(name[..1].to_ascii_lowercase() + &name[1..])),
    };
    (key, Member { element, kind })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(shape: &str, value: &Value) -> Result<String, String> {
        let mut out = String::new();
        write_structure(&mut out, shape, value).map(|()| out)
    }

    #[test]
    fn lists_and_structures_have_the_names_of_the_wire() {
        let interface = json!({
            "Groups": [{ "GroupId": "sg-1" }],
            "Ipv6Addresses": [{ "Ipv6Address": "2001:db8::1" }],
            "Operator": { "Managed": false },
            "Attachment": { "DeviceIndex": 1 },
            "TagSet": [],
            "RequesterId": null,
            "AssociatedSubnets": ["subnet-1"],
        });
        let xml = written("NetworkInterface", &interface).expect("members of the shape");
        for part in [
            "<groupSet><item><groupId>sg-1</groupId></item></groupSet>",
            "<ipv6AddressesSet><item><ipv6Address>2001:db8::1</ipv6Address></item></ipv6AddressesSet>",
            "<operator><managed>false</managed></operator>",
            "<attachment><deviceIndex>1</deviceIndex></attachment>",
            "<tagSet></tagSet>",
            "<associatedSubnetSet><item>subnet-1</item></associatedSubnetSet>",
        ] {
            assert!(xml.contains(part), "{part} is not in {xml}");
        }
        assert!(!xml.contains("requesterId"), "{xml}");
    }

    #[test]
    fn names_that_no_rule_gives_are_in_the_table() {
        let instance =
            json!({ "PublicIpAddress": "1.2.3.4", "PublicDnsName": "n", "State": { "Name": "running" } });
        let xml = written("Instance", &instance).expect("members of the shape");
        assert!(xml.contains("<ipAddress>1.2.3.4</ipAddress>"), "{xml}");
        assert!(xml.contains("<dnsName>n</dnsName>"), "{xml}");
        assert!(xml.contains("<instanceState><name>running</name></instanceState>"), "{xml}");
    }

    #[test]
    fn a_key_that_is_not_of_the_shape_is_refused() {
        assert_eq!(written("Tag", &json!({ "Colour": "red" })), Err("Tag has no member Colour".to_owned()));
        assert!(written("Tag", &json!({ "Key": ["a"] })).is_err());
    }

    #[test]
    fn texts_are_escaped() {
        assert_eq!(escape("a<b>&\"c\"\u{1b}[2K é"), "a&lt;b&gt;&amp;&quot;c&quot;&#x1b;[2K é");
    }

    #[test]
    fn every_shape_that_is_named_is_there() {
        for (shape, members) in SHAPES.iter() {
            for (key, member) in members {
                if let Kind::Structure(inner) | Kind::Structures(inner) = member.kind {
                    assert!(SHAPES.contains_key(inner), "{shape}.{key}");
                }
            }
        }
    }
}
