//! What a certificate says, as far as it is shown: names, validity and fingerprint.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use der::asn1::{AnyRef, GeneralizedTime, ObjectIdentifier, UtcTime};
use der::{Reader, SliceReader, Tag, Tagged};
use sha2::{Digest, Sha256};

use crate::model::probe::Certificate;

/// The most names of a certificate that are kept.
const NAMES_MAX: usize = 100;
/// The most characters of a name that are kept.
const NAME_MAX: usize = 300;
/// The extension `subjectAltName`.
const ALTERNATIVE_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
/// The attributes of a name with a short form.
const ATTRIBUTES: [(ObjectIdentifier, &str); 9] = [
    (ObjectIdentifier::new_unwrap("2.5.4.3"), "CN"),
    (ObjectIdentifier::new_unwrap("2.5.4.5"), "serialNumber"),
    (ObjectIdentifier::new_unwrap("2.5.4.6"), "C"),
    (ObjectIdentifier::new_unwrap("2.5.4.7"), "L"),
    (ObjectIdentifier::new_unwrap("2.5.4.8"), "ST"),
    (ObjectIdentifier::new_unwrap("2.5.4.10"), "O"),
    (ObjectIdentifier::new_unwrap("2.5.4.11"), "OU"),
    (ObjectIdentifier::new_unwrap("0.9.2342.19200300.100.1.25"), "DC"),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.1"), "emailAddress"),
];
/// The name of a certificate that cannot be parsed.
const UNREADABLE: &str = "(cannot be read)";

/// Describes a certificate. One that cannot be parsed has only a fingerprint.
pub(super) fn describe(der: &[u8]) -> Certificate {
    let fingerprint = Sha256::digest(der).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    let unreadable = || Certificate {
        subject: UNREADABLE.to_owned(),
        issuer: UNREADABLE.to_owned(),
        names: Vec::new(),
        not_before: 0,
        not_after: 0,
        fingerprint: String::new(),
    };
    Certificate { fingerprint, ..parse(der).unwrap_or_else(|_| unreadable()) }
}

/// The parts of a certificate (RFC 5280), without its fingerprint.
fn parse(der: &[u8]) -> der::Result<Certificate> {
    let missing = || der::Error::from(der::ErrorKind::Failed);
    let certificate = items(AnyRef::try_from(der)?.value())?;
    let signed = items(certificate.first().ok_or_else(missing)?.value())?;
    let mut fields = signed.into_iter().peekable();
    // [0], the version, is left out in version 1.
    fields.next_if(|field| is_context(field.tag(), 0));
    // The serial number and the algorithm of the signature come before the issuer.
    let mut fields = fields.skip(2);
    let mut next = || fields.next().ok_or_else(missing);
    let issuer = name(&next()?)?;
    let validity = items(next()?.value())?;
    let [not_before, not_after] = validity.as_slice() else { return Err(missing()) };
    let (not_before, not_after) = (seconds(not_before)?, seconds(not_after)?);
    let subject = name(&next()?)?;
    let mut names = Vec::new();
    for field in fields.filter(|field| is_context(field.tag(), 3)) {
        for extension in items(field.value())?.iter().take(1).map(|list| items(list.value())) {
            for extension in extension? {
                alternative_names(&extension, &mut names)?;
            }
        }
    }
    Ok(Certificate { subject, issuer, names, not_before, not_after, fingerprint: String::new() })
}

/// The values in a value of a constructed type.
fn items(value: &[u8]) -> der::Result<Vec<AnyRef<'_>>> {
    let mut reader = SliceReader::new(value)?;
    let mut items = Vec::new();
    while !reader.is_finished() {
        items.push(reader.decode()?);
    }
    Ok(items)
}

fn is_context(tag: Tag, number: u32) -> bool {
    matches!(tag, Tag::ContextSpecific { number: own, .. } if own.value() == number)
}

/// A time in seconds since 1970.
fn seconds(time: &AnyRef<'_>) -> der::Result<i64> {
    let since = match time.tag() {
        Tag::UtcTime => time.decode_as::<UtcTime>()?.to_unix_duration(),
        _ => time.decode_as::<GeneralizedTime>()?.to_unix_duration(),
    };
    Ok(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// A distinguished name as text, in the order in which it is written.
fn name(name: &AnyRef<'_>) -> der::Result<String> {
    let mut parts = Vec::new();
    for set in items(name.value())? {
        for attribute in items(set.value())? {
            let pair = items(attribute.value())?;
            let [kind, value] = pair.as_slice() else { continue };
            let kind: ObjectIdentifier = kind.decode_as()?;
            let short = ATTRIBUTES.iter().find(|(id, _)| *id == kind).map(|(_, short)| (*short).to_owned());
            parts.push(format!("{}={}", short.unwrap_or_else(|| kind.to_string()), text(value)));
        }
    }
    Ok(shortened(&parts.join(", ")))
}

/// A string of any of the types that names have.
fn text(value: &AnyRef<'_>) -> String {
    let bytes = value.value();
    if value.tag() == Tag::BmpString {
        let units = bytes.as_chunks().0.iter().map(|&unit| u16::from_be_bytes(unit));
        return char::decode_utf16(units).map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    }
    String::from_utf8_lossy(bytes).into_owned()
}

/// The names in an extension, if it has any.
fn alternative_names(extension: &AnyRef<'_>, names: &mut Vec<String>) -> der::Result<()> {
    let fields = items(extension.value())?;
    let (Some(kind), Some(value)) = (fields.first(), fields.last()) else { return Ok(()) };
    if kind.decode_as::<ObjectIdentifier>()? != ALTERNATIVE_NAME {
        return Ok(());
    }
    // An octet string that contains a sequence.
    for general in items(AnyRef::try_from(value.value())?.value())? {
        let value = general.value();
        let name = match general.tag() {
            tag if is_context(tag, 2) => String::from_utf8_lossy(value).into_owned(),
            tag if is_context(tag, 7) => match (<[u8; 4]>::try_from(value), <[u8; 16]>::try_from(value)) {
                (Ok(v4), _) => Ipv4Addr::from(v4).to_string(),
                (_, Ok(v6)) => Ipv6Addr::from(v6).to_string(),
                _ => continue,
            },
            _ => continue,
        };
        if names.len() < NAMES_MAX {
            names.push(shortened(&name));
        }
    }
    Ok(())
}

/// The beginning of a text.
pub(super) fn shortened(text: &str) -> String {
    let mut chars = text.chars();
    let mut short: String = chars.by_ref().take(NAME_MAX).collect();
    if chars.next().is_some() {
        short.push('…');
    }
    short
}
