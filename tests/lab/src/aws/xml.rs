//! Conversion of the JSON that the aws CLI prints to EC2's XML.
//!
//! The XML element names do not follow from the JSON keys by a rule, so `shapes.txt` lists every member of
//! every shape in the responses, taken from the service model. Each shape is `Name { members }`. The member
//! `Key` has the XML element `key`, and `Key=name` has the element `name`. A suffix gives the member's type:
//! `:Shape` a structure, `[Shape]` a list of structures, `[]` a list of scalars; without one it is a scalar.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::LazyLock;

use serde_json::Value;

pub(super) const CONTENT_TYPE: &str = "text/xml;charset=UTF-8";
pub(super) const PROLOGUE: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
pub(super) const EC2_NAMESPACE: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";
pub(super) const STS_NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// The shapes by name, each with its members by JSON key.
static SHAPES: LazyLock<HashMap<&'static str, HashMap<&'static str, Member>>> =
    LazyLock::new(|| parse_shapes(include_str!("shapes.txt")));

/// A member of a shape.
#[derive(Debug, PartialEq, Eq)]
struct Member {
    /// The XML element name.
    element: Cow<'static, str>,
    kind: Kind,
}

/// The type of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A string, a number or a boolean.
    Scalar,
    /// A structure of the named shape.
    Structure(&'static str),
    /// A list of structures of the named shape.
    Structures(&'static str),
    /// A list of scalars.
    Scalars,
}

/// Writes the members of `value`, a structure of the named shape.
///
/// An unknown key is an error: the data is not output of the aws CLI.
pub(super) fn write_structure(out: &mut String, shape: &str, value: &Value) -> Result<(), String> {
    let members = SHAPES.get(shape).ok_or_else(|| format!("unknown shape {shape}"))?;
    let object = value.as_object().ok_or_else(|| format!("{shape}: not an object: {value}"))?;
    for (key, value) in object {
        let member = members.get(key.as_str()).ok_or_else(|| format!("{shape} has no member {key}"))?;
        // To a client, a null member is the same as an absent one.
        if value.is_null() {
            continue;
        }
        let element = &member.element;
        out.extend(["<", element, ">"]);
        match member.kind {
            Kind::Scalar => write_scalar(out, key, value)?,
            Kind::Structure(shape) => write_structure(out, shape, value)?,
            Kind::Structures(_) | Kind::Scalars => {
                let items = value.as_array().ok_or_else(|| format!("{shape}: {key} is not a list"))?;
                for item in items {
                    out.push_str("<item>");
                    match member.kind {
                        Kind::Structures(shape) => write_structure(out, shape, item)?,
                        _ => write_scalar(out, key, item)?,
                    }
                    out.push_str("</item>");
                }
            }
        }
        out.extend(["</", element, ">"]);
    }
    Ok(())
}

fn write_scalar(out: &mut String, key: &str, value: &Value) -> Result<(), String> {
    match value {
        Value::String(text) => out.push_str(&escape(text)),
        Value::Bool(_) | Value::Number(_) => out.push_str(&value.to_string()),
        _ => return Err(format!("{key} is not a scalar: {value}")),
    }
    Ok(())
}

/// Escapes `text` for the content of an element.
///
/// Control characters become character references. XML 1.0 forbids most of these too, and EC2 never sends
/// them, but the SDK for Rust accepts them, so tests can check that none reaches the terminal.
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
                write!(out, "&#x{:x};", u32::from(control)).expect("writing to a String does not fail");
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

/// Parses a member: `Key` or `Key=element`, then its type.
fn parse_member(text: &'static str) -> (&'static str, Member) {
    let (name, kind) = match text.find([':', '[']).map(|at| text.split_at(at)) {
        None => (text, Kind::Scalar),
        Some((name, "[]")) => (name, Kind::Scalars),
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

    fn to_xml(shape: &str, value: &Value) -> Result<String, String> {
        let mut out = String::new();
        write_structure(&mut out, shape, value).map(|()| out)
    }

    #[test]
    fn lists_and_structures_have_their_xml_names() {
        let interface = json!({
            "Groups": [{ "GroupId": "sg-1" }],
            "Ipv6Addresses": [{ "Ipv6Address": "2001:db8::1" }],
            "Operator": { "Managed": false },
            "Attachment": { "DeviceIndex": 1 },
            "TagSet": [],
            "RequesterId": null,
            "AssociatedSubnets": ["subnet-1"],
        });
        let xml = to_xml("NetworkInterface", &interface).expect("valid members");
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
    fn irregular_element_names_come_from_the_table() {
        let instance =
            json!({ "PublicIpAddress": "1.2.3.4", "PublicDnsName": "n", "State": { "Name": "running" } });
        let xml = to_xml("Instance", &instance).expect("valid members");
        assert!(xml.contains("<ipAddress>1.2.3.4</ipAddress>"), "{xml}");
        assert!(xml.contains("<dnsName>n</dnsName>"), "{xml}");
        assert!(xml.contains("<instanceState><name>running</name></instanceState>"), "{xml}");
    }

    #[test]
    fn unknown_key_is_rejected() {
        assert_eq!(to_xml("Tag", &json!({ "Colour": "red" })), Err("Tag has no member Colour".to_owned()));
        assert!(to_xml("Tag", &json!({ "Key": ["a"] })).is_err());
    }

    #[test]
    fn special_characters_are_escaped() {
        assert_eq!(escape("a<b>&\"c\"\u{1b}[2K é"), "a&lt;b&gt;&amp;&quot;c&quot;&#x1b;[2K é");
    }

    #[test]
    fn every_referenced_shape_is_defined() {
        for (shape, members) in SHAPES.iter() {
            for (key, member) in members {
                if let Kind::Structure(inner) | Kind::Structures(inner) = member.kind {
                    assert!(SHAPES.contains_key(inner), "{shape}.{key}");
                }
            }
        }
    }
}
