//! Socket addresses as `ss` and `netstat` print them.
//!
//! The port follows the *last* colon. The address before it is IPv4, IPv4-mapped IPv6,
//! IPv6 with or without brackets, or `*`. It may have a zone (`%iface`), inside or
//! outside the brackets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::bytes::{self, is_blank_or_end};
use crate::model::socket::{Host, Port, SocketAddress};

/// Why a token is not a socket address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAnAddress {
    /// It is `host:port` with a host name.
    Name,
    /// It is anything else.
    Other,
}

/// The width of the address columns of `netstat`. Without `--wide`, `netstat` truncates an
/// IPv6 address so that address, colon and port fit.
const NETSTAT_COLUMN: usize = 23;

/// An IPv4 or IPv4-mapped address with a numeric port: the form of most addresses. It
/// is small enough to stay in registers, which a [`SocketAddress`] is not.
#[derive(Debug, Clone, Copy)]
pub(super) struct CommonAddress {
    ip: Ipv4Addr,
    port: u16,
}

impl CommonAddress {
    /// Parses such an address at the start of `text`, up to a blank or the end, and
    /// returns it with the rest. `None` if the token has another form, valid or not.
    #[inline]
    pub(super) fn parse_prefix(text: &[u8]) -> Option<(Self, &[u8])> {
        let (ip, rest) = match text.strip_prefix(b"[::ffff:") {
            Some(mapped) => {
                let (ip, rest) = parse_v4_prefix(mapped, b']')?;
                (ip, rest.strip_prefix(b":")?)
            }
            None => parse_v4_prefix(text, b':')?,
        };
        let (port, rest) = parse_number_prefix(rest)?;
        let port = u16::try_from(port).ok()?;
        is_blank_or_end(rest).then_some((Self { ip, port }, rest))
    }
}

impl From<CommonAddress> for SocketAddress {
    fn from(CommonAddress { ip, port }: CommonAddress) -> Self {
        Self { host: ip.into(), port: Port::Number(port) }
    }
}

/// Parses a socket address that `ss` printed.
pub(super) fn parse_ss(token: &[u8]) -> Result<SocketAddress, NotAnAddress> {
    let (host, port) = split(token)?;
    let port = parse_port(port)?;
    let host = parse_host(host).ok_or_else(|| invalid_host(host))?;
    Ok(SocketAddress { host, port })
}

/// Parses a socket address that `netstat` printed, possibly truncated, given what follows
/// it. In its wide columns, `BusyBox` pads an address that would fill a narrow one.
pub(super) fn parse_netstat(token: &[u8], rest: &[u8]) -> Result<SocketAddress, NotAnAddress> {
    if let Some((address, [])) = CommonAddress::parse_prefix(token) {
        return Ok(address.into());
    }
    let (host, port) = split(token)?;
    let port = parse_port(port)?;
    let fills_column = token.len() == NETSTAT_COLUMN && !rest.starts_with(b"  ") && host.contains(&b':');
    let host = if fills_column && host.iter().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(byte)) {
        Host::Truncated(String::from_utf8_lossy(host).into())
    } else {
        parse_host(host).ok_or_else(|| invalid_host(host))?
    };
    Ok(SocketAddress { host, port })
}

#[inline]
fn split(token: &[u8]) -> Result<(&[u8], &[u8]), NotAnAddress> {
    // Port and service names are short, so search from the end.
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
    // Service names from /etc/services, in output without -n. The ports that
    // classification depends on are converted to numbers; other names are kept.
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
    let inside = text.strip_prefix(b"[").and_then(|text| text.strip_suffix(b"]"));
    if let Some(ip) = inside.and_then(parse_v6) {
        return Some(ip.to_canonical().into());
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

/// Parses an IP address; IPv4-mapped addresses become IPv4.
pub(super) fn parse_ip(text: &[u8]) -> Option<IpAddr> {
    parse_v4(text).map(IpAddr::V4).or_else(|| Some(parse_v6(text)?.to_canonical()))
}

/// Strips brackets and zone: `addr%iface`, `[addr]%iface`, `[addr%iface]` and `[addr]`
/// become `addr`.
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

/// Parses an IPv4 address in dotted decimal.
fn parse_v4(text: &[u8]) -> Option<Ipv4Addr> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Parses a dotted-decimal address at the start of `text`, terminated by the byte
/// `end`, and returns it with what follows `end`. The standard library's parser takes
/// three times as long, and this runs up to twice for each row.
#[inline]
fn parse_v4_prefix(text: &[u8], end: u8) -> Option<(Ipv4Addr, &[u8])> {
    let mut bits = 0;
    let mut rest = text;
    for end in [b'.', b'.', b'.', end] {
        let (octet, after) = parse_octet_prefix(rest, end)?;
        bits = bits << 8 | u32::from(octet);
        rest = after;
    }
    Some((Ipv4Addr::from_bits(bits), rest))
}

/// Parses a number up to 255 without leading zeros at the start of `text`, terminated
/// by the byte `end`, and returns it with what follows `end`.
#[inline]
fn parse_octet_prefix(text: &[u8], end: u8) -> Option<(u8, &[u8])> {
    /// The smallest valid value by number of digits. Without digits no value is valid.
    const MIN_VALUE: [u32; 4] = [256, 0, 10, 100];
    let word = bytes::word(text);
    let count = bytes::first(bytes::not_digits(word));
    let min = *MIN_VALUE.get(count)?;
    let digits = bytes::pad_start(word ^ bytes::splat(b'0'), count).to_le_bytes();
    let [.., hundreds, tens, ones] = digits.map(u32::from);
    let value = 100 * hundreds + 10 * tens + ones;
    if value < min || text.get(count) != Some(&end) {
        return None;
    }
    Some((u8::try_from(value).ok()?, &text[count + 1..]))
}

/// Parses a number at the start of `text` and returns it with the rest. Only the first
/// eight digits are parsed; further digits remain in the rest.
#[inline]
fn parse_number_prefix(text: &[u8]) -> Option<(u32, &[u8])> {
    let word = bytes::word(text);
    let count = bytes::first(bytes::not_digits(word));
    if count == 0 {
        return None;
    }
    // Combine the digits to two-digit, four-digit and eight-digit numbers.
    let ones = bytes::pad_start(word ^ bytes::splat(b'0'), count);
    let twos = (ones * 10 + (ones >> 8)) & 0x00FF_00FF_00FF_00FF;
    let fours = (twos * 100 + (twos >> 16)) & 0x0000_FFFF_0000_FFFF;
    let all = (fours * 10_000 + (fours >> 32)) & 0xFFFF_FFFF;
    Some((u32::try_from(all).ok()?, &text[count..]))
}

/// Parses an IPv6 address: hexadecimal groups with at most one `::`. An embedded
/// dotted-decimal address, which `ss` never prints, is left to the standard library.
fn parse_v6(text: &[u8]) -> Option<IpAddr> {
    let mut bits = 0u128;
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
        bits = bits << 16 | u128::from(value);
        count += 1;
        rest = match rest {
            [] => break,
            [b':', b':', after @ ..] if gap.is_none() => {
                gap = Some(count);
                after
            }
            // A single colon: not at the end, and not part of a second `::`.
            [b':', after @ ..] if after.first().is_some_and(|&byte| byte != b':') => after,
            _ => return None,
        };
    }
    let bits = match gap {
        None if count == 8 => bits,
        Some(at) if count < 8 => {
            let after_gap = 16 * (count - at);
            let before_gap = (bits >> after_gap).checked_shl(128 - 16 * at).unwrap_or(0);
            before_gap | bits & ((1 << after_gap) - 1)
        }
        _ => return None,
    };
    Some(Ipv6Addr::from_bits(bits).into())
}

/// Parses an unsigned decimal number.
pub(super) fn decimal(text: &[u8]) -> Option<u32> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u32, |value, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 { None } else { value.checked_mul(10)?.checked_add(digit.into()) }
    })
}

/// Distinguishes a host name (the capture was made without `-n`) from other text.
fn invalid_host(host: &[u8]) -> NotAnAddress {
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
    fn address_forms_are_normalised() {
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
    fn invalid_addresses_are_rejected() {
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
    fn ipv6_parser_agrees_with_std() {
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
    fn fast_path_agrees_with_general_parser() {
        let hosts = [
            "1.2.3.4",
            "0.0.0.0",
            "255.255.255.255",
            "192.168.1.20",
            "10.00.0.1",
            "010.0.0.1",
            "1.2.3.256",
            "1.2.3.1000",
            "1.2.3",
            "1.2.3.4.5",
            ".1.2.3",
            "1..2.3",
            "1.2.3.",
            "1.2.3.4%lo",
            "-1.2.3.4",
            "1.2.3.a",
            "\u{b1}.2.3.4",
            "",
        ];
        let ports = [
            "0",
            "00443",
            "443",
            "65535",
            "65536",
            "99999999",
            "000000443",
            "4294967739",
            "*",
            "",
            "4x",
            "https",
        ];
        let mut parsed = 0;
        for (host, port) in hosts.iter().flat_map(|host| ports.map(|port| (host, port))) {
            let forms = ["", "[::ffff:", "::ffff:", "[", "[::FFFF:"].map(|prefix| format!("{prefix}{host}"));
            for token in forms.iter().flat_map(|form| [format!("{form}:{port}"), format!("{form}]:{port}")]) {
                for after in ["", " ", "\tusers:((", "              1.2.3.4:5"] {
                    let text = format!("{token}{after}");
                    let Some((address, rest)) = CommonAddress::parse_prefix(text.as_bytes()) else {
                        continue;
                    };
                    assert_eq!(rest, after.as_bytes(), "{text}");
                    assert_eq!(parse_ss(token.as_bytes()), Ok(address.into()), "{text}");
                    parsed += 1;
                }
            }
        }
        // Four valid hosts, four valid ports, two forms, four texts after the address.
        assert_eq!(parsed, 4 * 4 * 2 * 4);
        assert!(CommonAddress::parse_prefix(b"1.2.3.4:443:").is_none());
    }

    #[test]
    fn octets_have_no_leading_zero() {
        for number in 0..2000 {
            for text in [format!("{number}."), format!("0{number}."), format!("{number}.0.0.1:443")] {
                let (digits, rest) = text.split_once('.').expect("a dot");
                let expected = digits.parse().ok().filter(|octet: &u8| octet.to_string() == digits);
                let expected = expected.map(|octet| (octet, rest.as_bytes()));
                assert_eq!(parse_octet_prefix(text.as_bytes(), b'.'), expected, "{text}");
            }
        }
    }

    #[test]
    fn truncated_ipv6_of_netstat_is_kept_as_text() {
        let shown = |token: &str| parse_netstat(token.as_bytes(), b" ").map(|address| address.to_string());
        assert_eq!(shown("2600:1f13:abc:de0:59075").as_deref(), Ok("[2600:1f13:abc:de0...]:59075"));
        assert_eq!(shown("2600:1f13:abc:de01::443").as_deref(), Ok("[2600:1f13:abc:de01:...]:443"));
        assert_eq!(shown("2600:1f13:abc::10:443").as_deref(), Ok("[2600:1f13:abc::10]:443"));
        assert_eq!(shown("2600:1f13:abc:de01::94:10250").as_deref(), Ok("[2600:1f13:abc:de01::94]:10250"));
        assert_eq!(shown("255.255.255.255:65535").as_deref(), Ok("255.255.255.255:65535"));
        // BusyBox prints IPv4-mapped addresses as such: truncated, and complete in wide columns.
        assert_eq!(shown("::ffff:192.168.10:10250").as_deref(), Ok("[::ffff:192.168.10...]:10250"));
        assert_eq!(shown("::ffff:10.0.0.155:10250").as_deref(), Ok("[::ffff:10.0.0.155...]:10250"));
        let wide = parse_netstat(b"::ffff:10.0.0.155:10250", b"    ").map(|address| address.to_string());
        assert_eq!(wide.as_deref(), Ok("10.0.0.155:10250"));
    }
}
