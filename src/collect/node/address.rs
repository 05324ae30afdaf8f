//! Addresses as `ss` and `netstat` print them.
//!
//! The port stands behind the *last* colon. The address before it may be
//! IPv4, v4-mapped, IPv6 with or without brackets, `*`, and may name an
//! interface behind `%`, inside or outside the brackets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::model::socket::{Host, Port, SocketAddress};

/// Why a token is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAnAddress {
    /// It looks like `host:port` with a host name.
    Name,
    /// It is something else.
    Other,
}

/// `netstat` cuts address and port to 22 characters, and a colon between them,
/// unless it is told `--wide`.
const NETSTAT_COLUMN: usize = 23;

/// An address of `ss`.
pub(super) fn parse_ss(token: &[u8]) -> Result<SocketAddress, NotAnAddress> {
    let (host, port) = split(token)?;
    let port = parse_port(port)?;
    let host = parse_host(host).ok_or_else(|| why_not(host))?;
    Ok(SocketAddress { host, port })
}

/// An address of `netstat`, which may have cut it.
pub(super) fn parse_netstat(token: &[u8]) -> Result<SocketAddress, NotAnAddress> {
    let (host, port) = split(token)?;
    let port = parse_port(port)?;
    let fills_column = token.len() == NETSTAT_COLUMN && host.contains(&b':');
    let host = if fills_column && host.iter().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(byte)) {
        Host::Cut(String::from_utf8_lossy(host).into())
    } else {
        parse_host(host).ok_or_else(|| why_not(host))?
    };
    Ok(SocketAddress { host, port })
}

#[inline]
fn split(token: &[u8]) -> Result<(&[u8], &[u8]), NotAnAddress> {
    // A port or service name is short: look for the colon from the end.
    let colon = token.iter().rposition(|&byte| byte == b':').ok_or(NotAnAddress::Other)?;
    Ok((&token[..colon], &token[colon + 1..]))
}

fn parse_port(text: &[u8]) -> Result<Port, NotAnAddress> {
    if text == b"*" {
        return Ok(Port::Any);
    }
    if text.first().is_some_and(u8::is_ascii_digit) {
        return decimal(text)
            .and_then(|number| u16::try_from(number).ok())
            .map(Port::Number)
            .ok_or(NotAnAddress::Other);
    }
    // Names of /etc/services, for output without -n. Those that decide
    // anything here are known by number; the rest are kept as they are.
    let known = match text {
        b"https" => 443,
        b"http" => 80,
        b"ssh" => 22,
        b"domain" => 53,
        _ => {
            let is_name = text.first().is_some_and(u8::is_ascii_alphabetic)
                && text.len() <= 32
                && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+/".contains(byte));
            let name = if is_name { std::str::from_utf8(text).ok() } else { None };
            return name.map(|name| Port::Name(name.into())).ok_or(NotAnAddress::Other);
        }
    };
    Ok(Port::Number(known))
}

fn parse_host(text: &[u8]) -> Option<Host> {
    if let Some(ip) = parse_v4(text) {
        return Some(ip.into());
    }
    let text = strip_zone(text)?;
    if text == b"*" {
        return Some(Host::Any);
    }
    if let Some(ip) = parse_v4(strip_mapped(text)) {
        return Some(ip.into());
    }
    Some(parse_v6(text)?.to_canonical().into())
}

/// The address in `addr%iface`, `[addr]%iface`, `[addr%iface]` and `[addr]`.
fn strip_zone(text: &[u8]) -> Option<&[u8]> {
    let brackets = text.first() == Some(&b'[');
    if brackets && text.last() == Some(&b']') && !text.contains(&b'%') {
        return Some(&text[1..text.len() - 1]);
    }
    let Some(percent) = text.iter().position(|&byte| byte == b'%') else {
        return if brackets { None } else { Some(text) };
    };
    let (address, zone) = text.split_at(percent);
    match (brackets, zone.last()) {
        (false, _) => Some(address),
        (true, Some(b']')) if address.last() != Some(&b']') => address.get(1..),
        (true, _) => address[1..].strip_suffix(b"]"),
    }
}

impl From<IpAddr> for Host {
    fn from(ip: IpAddr) -> Self {
        if ip.is_unspecified() { Self::Any } else { Self::Ip(ip) }
    }
}

impl From<Ipv4Addr> for Host {
    fn from(ip: Ipv4Addr) -> Self {
        IpAddr::V4(ip).into()
    }
}

fn strip_mapped(text: &[u8]) -> &[u8] {
    match text.split_at_checked(7) {
        Some((prefix, v4)) if prefix.eq_ignore_ascii_case(b"::ffff:") => v4,
        _ => text,
    }
}

/// Dotted decimal. The standard library's parser wants `str` and costs three
/// times as much, on the hottest path there is.
#[inline]
fn parse_v4(text: &[u8]) -> Option<Ipv4Addr> {
    let (a, rest) = octet(text)?;
    let (b, rest) = octet(rest.strip_prefix(b".")?)?;
    let (c, rest) = octet(rest.strip_prefix(b".")?)?;
    let (d, rest) = octet(rest.strip_prefix(b".")?)?;
    rest.is_empty().then_some(Ipv4Addr::new(a, b, c, d))
}

/// A number up to 255 without a leading zero, and what follows it.
#[inline]
fn octet(text: &[u8]) -> Option<(u8, &[u8])> {
    let digit = |byte: &u8| Some(byte.wrapping_sub(b'0')).filter(|digit| *digit < 10);
    let (first, rest) = text.split_first()?;
    let first = digit(first)?;
    let Some(second) = rest.first().and_then(digit) else { return Some((first, rest)) };
    if first == 0 {
        return None;
    }
    let two = first * 10 + second;
    let Some(third) = rest.get(1).and_then(digit) else { return Some((two, &rest[1..])) };
    Some((two.checked_mul(10)?.checked_add(third)?, &rest[2..]))
}

/// Hexadecimal groups with at most one `::`. Forms that `ss` never prints,
/// such as a dotted tail, are left to the standard library.
fn parse_v6(text: &[u8]) -> Option<IpAddr> {
    let mut groups = [0u16; 8];
    let mut count = 0;
    let mut gap = None;
    let mut rest = text;
    if let Some(after) = rest.strip_prefix(b"::") {
        gap = Some(0);
        rest = after;
    }
    while !rest.is_empty() {
        let mut value = 0u16;
        let mut digits = 0;
        for &byte in rest.iter().take(5) {
            let Some(digit) = char::from(byte).to_digit(16) else { break };
            value = (value << 4) | u16::try_from(digit).ok()?;
            digits += 1;
        }
        rest = &rest[digits..];
        if rest.first() == Some(&b'.') {
            let ip: Ipv6Addr = std::str::from_utf8(text).ok()?.parse().ok()?;
            return Some(ip.into());
        }
        if !(1..=4).contains(&digits) || count == 8 {
            return None;
        }
        groups[count] = value;
        count += 1;
        rest = match rest {
            [] => break,
            [b':', b':', after @ ..] if gap.is_none() => {
                gap = Some(count);
                after
            }
            // not at the end, and not a second gap
            [b':', after @ ..] if after.first().is_some_and(|&byte| byte != b':') => after,
            _ => return None,
        };
    }
    match gap {
        None if count == 8 => {}
        Some(at) if count < 8 => {
            groups.copy_within(at..count, 8 - (count - at));
            groups[at..8 - (count - at)].fill(0);
        }
        _ => return None,
    }
    Some(Ipv6Addr::from(groups).into())
}

/// A decimal number without sign.
pub(super) fn decimal(text: &[u8]) -> Option<u32> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u32, |value, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 { None } else { value.checked_mul(10)?.checked_add(digit.into()) }
    })
}

/// Tells a host name, which asks for `-n`, from noise.
fn why_not(host: &[u8]) -> NotAnAddress {
    let name = host.first().is_some_and(u8::is_ascii_alphanumeric)
        && host.iter().any(u8::is_ascii_alphabetic)
        && host.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._%".contains(byte));
    if name { NotAnAddress::Name } else { NotAnAddress::Other }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(token: &str) -> String {
        parse_ss(token.as_bytes()).map_or_else(|why| format!("{why:?}"), |address| address.to_string())
    }

    #[test]
    fn every_form_of_address_is_normalised() {
        for (token, expected) in [
            ("192.168.1.20:443", "192.168.1.20:443"),
            ("[::ffff:192.168.1.20]:10250", "192.168.1.20:10250"),
            ("[::FFFF:192.168.1.20]:10250", "192.168.1.20:10250"),
            ("[::ffff:c0a8:114]:10250", "192.168.1.20:10250"),
            ("::ffff:192.168.1.20:10250", "192.168.1.20:10250"),
            ("[::ffff:192.168.1.20]%eth0:10250", "192.168.1.20:10250"),
            ("[2600:1f13:abc:de01::94]:443", "[2600:1f13:abc:de01::94]:443"),
            ("2600:1f13:abc:de01::94:443", "[2600:1f13:abc:de01::94]:443"),
            ("[2600:1F13:ABC:DE01:0:0:0:94]:443", "[2600:1f13:abc:de01::94]:443"),
            ("[fe80::1%eth0]:22", "[fe80::1]:22"),
            ("[fe80::1]%eth0:22", "[fe80::1]:22"),
            ("fe80::1%eth0:22", "[fe80::1]:22"),
            ("127.0.0.53%lo:53", "127.0.0.53:53"),
            ("*:10250", "*:10250"),
            ("*%eth0:68", "*:68"),
            (":::10250", "*:10250"),
            ("[::]:10250", "*:10250"),
            ("0.0.0.0:*", "*:*"),
            ("::1:443", "[::1]:443"),
            ("203.0.113.10:https", "203.0.113.10:443"),
            ("203.0.113.10:x11-1", "203.0.113.10:x11-1"),
        ] {
            assert_eq!(shown(token), expected, "{token}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for token in [
            "",
            ":",
            "443",
            "1.2.3.4",
            "1.2.3.4:",
            "1.2.3:443",
            "1.2.3.4.5:443",
            "1.2.3.256:443",
            "01.2.3.4:443",
            "1..3.4:443",
            "1.2.3.4:65536",
            "1.2.3.4:4x",
            "[1.2.3.4:443",
            "[::1:443",
            "::1]:443",
            "%eth0:443",
            "[]:443",
            "/run/x.sock:443",
            "1.2.3.4:-1",
            "1.2.3.4:a b",
            "10:20:30",
        ] {
            assert_eq!(shown(token), "Other", "{token}");
        }
        for token in ["ip-192-168-1-20.ec2.internal:https", "localhost:443"] {
            assert_eq!(shown(token), "Name", "{token}");
        }
    }

    #[test]
    fn ipv6_is_read_as_the_standard_library_reads_it() {
        for text in [
            "::",
            "::1",
            "1::",
            "1::8",
            "1:2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7::",
            "::2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7",
            ":::",
            "1:::8",
            "1::2::3",
            ":1",
            "1:",
            "12345::",
            "g::",
            "::ffff:1.2.3.4",
            "64:ff9b::1.2.3.4",
            "1:2:3:4:5:6:7:8:9",
            "1:2:3:4::5:6:7:8",
            "::1:",
            "fe80::1",
            "2600:1F13:ABC:DE01::94",
            "",
            "1:2:3:4:5:6:1.2.3.4",
            "1.2.3.4",
            "::1.2.3.4:5",
            "0:0:0:0:0:0:0:0",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "00001::",
        ] {
            let expected = text.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
            assert_eq!(parse_v6(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn netstat_cuts_ipv6_to_its_column() {
        let shown = |token: &str| parse_netstat(token.as_bytes()).map(|address| address.to_string());
        assert_eq!(shown("2600:1f13:abc:de0:59075").as_deref(), Ok("[2600:1f13:abc:de0...]:59075"));
        assert_eq!(shown("2600:1f13:abc:de01::443").as_deref(), Ok("[2600:1f13:abc:de01:...]:443"));
        assert_eq!(shown("2600:1f13:abc::10:443").as_deref(), Ok("[2600:1f13:abc::10]:443"));
        assert_eq!(shown("2600:1f13:abc:de01::94:10250").as_deref(), Ok("[2600:1f13:abc:de01::94]:10250"));
        assert_eq!(shown("255.255.255.255:65535").as_deref(), Ok("255.255.255.255:65535"));
    }
}
