//! The words of which the output of tools that resolve names consists.

use std::net::IpAddr;

/// The host in a URL, or the text itself, without the final dot of a name.
pub(super) fn host_of(word: &str) -> &str {
    let host = word.split_once("://").map_or(word, |(_, rest)| rest);
    let host = host.split('/').next().unwrap_or_default();
    without_port(host).trim_end_matches('.')
}

/// Whether a word is a time to live: seconds, or with units, as in `1m30s`.
pub(super) fn is_ttl(text: &str) -> bool {
    text.starts_with(|char: char| char.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

pub(super) fn parse_ip(text: &str) -> Option<IpAddr> {
    let text = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    // A zone, such as that of a link-local address.
    let text = text.split('%').next().unwrap_or_default();
    text.parse().ok().map(|address: IpAddr| address.to_canonical())
}

pub(super) fn without_port(text: &str) -> &str {
    match text.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => text,
    }
}

/// Whether a word is the name of a host: labels, of which the last one has a letter.
pub(super) fn is_host_name(text: &str) -> bool {
    let text = text.trim_end_matches('.');
    let Some((_, last)) = text.rsplit_once('.') else { return false };
    !text.starts_with(['.', '-'])
        && last.bytes().any(|byte| byte.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}
