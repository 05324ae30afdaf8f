//! The columns of a row: words between blanks, the queues, and the names of states.

use super::bytes::{self, digits, is_blank_or_end};
use crate::model::socket::State;

/// Returns the next token and the rest.
#[inline]
pub(super) fn token(text: &[u8]) -> (&[u8], &[u8]) {
    let text = skip_blanks(text);
    bytes::split(text, |word| bytes::equal(word, b' ') | bytes::equal(word, b'\t'))
}

/// Skips leading blanks and TABs. `ss` pads with dozens of blanks; TABs are rare.
#[inline]
pub(super) fn skip_blanks(mut text: &[u8]) -> &[u8] {
    while let Some(rest) = text.strip_prefix(b"        ") {
        text = rest;
    }
    if let Some(bytes) = text.first_chunk() {
        text = &text[bytes::first(u64::from_le_bytes(*bytes) ^ bytes::splat(b' '))..];
    }
    let start = text.iter().position(|&byte| byte != b' ' && byte != b'\t').unwrap_or(text.len());
    &text[start..]
}

/// Parses the name of a state, as `ss` prints it.
#[inline]
pub(super) fn parse_ss_state(token: &[u8]) -> Option<State> {
    Some(match token {
        b"ESTAB" => State::Established,
        b"SYN-SENT" => State::SynSent,
        b"SYN-RECV" | b"NEW-SYN-RECV" => State::SynRecv,
        b"FIN-WAIT-1" => State::FinWait1,
        b"FIN-WAIT-2" => State::FinWait2,
        b"TIME-WAIT" => State::TimeWait,
        b"UNCONN" => State::Close,
        b"CLOSE-WAIT" => State::CloseWait,
        b"LAST-ACK" => State::LastAck,
        b"LISTEN" => State::Listen,
        b"CLOSING" => State::Closing,
        b"BOUND-INACTIVE" => State::BoundInactive,
        b"UNKNOWN" => State::Unknown,
        _ => return None,
    })
}

/// Parses the name of a state, as `netstat` prints it.
#[inline]
pub(super) fn parse_netstat_state(token: &[u8]) -> Option<State> {
    Some(match token {
        b"ESTABLISHED" => State::Established,
        b"SYN_SENT" => State::SynSent,
        b"SYN_RECV" => State::SynRecv,
        b"FIN_WAIT1" => State::FinWait1,
        b"FIN_WAIT2" => State::FinWait2,
        b"TIME_WAIT" => State::TimeWait,
        b"CLOSE" => State::Close,
        b"CLOSE_WAIT" => State::CloseWait,
        b"LAST_ACK" => State::LastAck,
        b"LISTEN" => State::Listen,
        b"CLOSING" => State::Closing,
        b"UNKNOWN" => State::Unknown,
        _ => return None,
    })
}

/// Skips the columns Recv-Q and Send-Q and returns the rest.
#[inline]
pub(super) fn after_queues(text: &[u8]) -> Option<&[u8]> {
    after_number(after_number(text)?)
}

/// Skips the next token if it is a number, and returns the rest.
#[inline]
pub(super) fn after_number(text: &[u8]) -> Option<&[u8]> {
    let (digits, rest) = digits(skip_blanks(text));
    (!digits.is_empty() && is_blank_or_end(rest)).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_blanks_separates_tokens() {
        for (front, back) in (0..20).flat_map(|front| (0..20).map(move |back| (front, back))) {
            let blanks = format!("{}\t{}", " ".repeat(front), " ".repeat(back));
            for blanks in [&blanks, &blanks[..front], &blanks[front..]] {
                let text = format!("{blanks}token\u{b}\u{a0}0 ");
                assert_eq!(skip_blanks(text.as_bytes()), &text.as_bytes()[blanks.len()..], "{text:?}");
                assert_eq!(token(text.as_bytes()), ("token\u{b}\u{a0}0".as_bytes(), &b" "[..]), "{text:?}");
                assert_eq!(skip_blanks(blanks.as_bytes()), b"", "{blanks:?}");
            }
        }
    }
}
