//! Entries of the kernel's connection tracking, as `conntrack -L` and
//! `/proc/net/nf_conntrack` list them.
//!
//! ```text
//! tcp      6 86399 ESTABLISHED src=192.168.1.20 dst=10.100.0.1 sport=33884 dport=443 src=192.168.1.55 dst=192.168.1.20 sport=443 dport=33884 [ASSURED] mark=0 use=1
//! ```
//!
//! The first four addresses and ports are those of the first packet, the others those of its
//! reply: the source of the reply is where the connection of a `ClusterIP` really went. An
//! entry names no process, and may be of a pod: connections are tracked that the node only
//! forwards. It may also outlive the connection.

use super::address::{decimal, parse_ip};
use super::columns::token;
use crate::model::node::RejectReason;
use crate::model::socket::{Host, Port, Socket, SocketAddress, State};

/// Parses an entry; `None` if a line is none. The local address is the source of the first
/// packet, and the peer is the source of the reply.
pub(super) fn parse_entry(text: &[u8]) -> Option<Result<Socket, RejectReason>> {
    let (mut protocol, mut rest) = token(text);
    if matches!(protocol, b"ipv4" | b"ipv6") {
        let (number, after) = token(rest);
        decimal(number)?;
        (protocol, rest) = token(after);
    }
    let (number, rest) = token(rest);
    decimal(number)?;
    if !rest.trim_ascii_start().first().is_some_and(u8::is_ascii_alphanumeric)
        || memchr::memmem::find(rest, b" src=").is_none()
    {
        return None;
    }
    if protocol != b"tcp" {
        return Some(Err(RejectReason::NotTcp));
    }
    Some(parse_tcp(rest).ok_or(RejectReason::BrokenRow))
}

/// Whether an entry ends as one does. The count of references is its last column.
pub(super) fn is_whole(text: &[u8]) -> bool {
    memchr::memmem::find(text, b" use=").is_some()
}

/// Parses what follows the number of the protocol.
fn parse_tcp(rest: &[u8]) -> Option<Socket> {
    let (timeout, rest) = token(rest);
    decimal(timeout)?;
    let (state, mut rest) = token(rest);
    let state = parse_state(state)?;
    let (mut first, mut reply) = (Tuple::default(), Tuple::default());
    let mut tuples = 0;
    let mut is_replied = true;
    while !rest.is_empty() {
        let (word, after) = token(rest);
        rest = after;
        is_replied &= word != b"[UNREPLIED]";
        tuples += u32::from(word.starts_with(b"src="));
        match tuples {
            0 => {}
            1 => first.add(word)?,
            2 => reply.add(word)?,
            _ => return None,
        }
    }
    let (local, peer) = (first.source()?, reply.source()?);
    let is_pair = first.has_destination() && reply.has_destination();
    // Without a reply, it was not seen that the connection was established.
    let state = if state == State::Established && !is_replied { State::Unknown } else { state };
    is_pair.then_some(Socket { state, local, peer })
}

/// The addresses and ports of packets in one direction.
#[derive(Default)]
struct Tuple {
    src: Option<Host>,
    dst: Option<Host>,
    sport: Option<u16>,
    dport: Option<u16>,
}

impl Tuple {
    /// Adds a column; `None` if it is damaged.
    fn add(&mut self, word: &[u8]) -> Option<()> {
        let port = |text| u16::try_from(decimal(text)?).ok();
        if let Some(text) = word.strip_prefix(b"src=") {
            self.src = Some(parse_ip(text)?.into());
        } else if let Some(text) = word.strip_prefix(b"dst=") {
            self.dst = Some(parse_ip(text)?.into());
        } else if let Some(text) = word.strip_prefix(b"sport=") {
            self.sport = Some(port(text)?);
        } else if let Some(text) = word.strip_prefix(b"dport=") {
            self.dport = Some(port(text)?);
        }
        Some(())
    }

    fn source(&mut self) -> Option<SocketAddress> {
        Some(SocketAddress { host: self.src.take()?, port: Port::Number(self.sport?) })
    }

    fn has_destination(&self) -> bool {
        self.dst.is_some() && self.dport.is_some()
    }
}

/// Parses the name of a state.
///
/// <https://github.com/torvalds/linux/blob/master/net/netfilter/nf_conntrack_proto_tcp.c>
fn parse_state(text: &[u8]) -> Option<State> {
    Some(match text {
        b"ESTABLISHED" => State::Established,
        b"SYN_SENT" | b"SYN_SENT2" => State::SynSent,
        b"SYN_RECV" => State::SynRecv,
        b"FIN_WAIT" => State::FinWait1,
        b"CLOSE_WAIT" => State::CloseWait,
        b"LAST_ACK" => State::LastAck,
        b"TIME_WAIT" => State::TimeWait,
        b"CLOSE" => State::Close,
        b"LISTEN" => State::Listen,
        b"NONE" => State::Unknown,
        _ => return None,
    })
}
