//! Builds the reply to a query from an entry. Pure: no sockets, no clock.

use std::net::IpAddr;
use std::time::Duration;

use hickory_proto::ProtoError;
use hickory_proto::op::{Edns, Message, Metadata, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::entry::{Behaviour, Entry};
use super::server::Transport;

/// The maximum UDP message size for a client without EDNS.
const DEFAULT_MAX_DATAGRAM: usize = 512;

/// The prefix of an alias' label; a number follows.
const ALIAS_PREFIX: &str = "alias-";

/// A reply to the client, and its delay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) delay: Duration,
    pub(super) delivery: Delivery,
}

/// The bytes to send to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// Nothing; a TCP connection stays open.
    Nothing,
    /// Nothing; a TCP connection is closed.
    Close,
    /// A whole message.
    Whole(Vec<u8>),
    /// The first half of a message.
    Half(Vec<u8>),
}

/// Builds the reply to `request`, which has one `question`, from `entry`. `alias` is the number of the alias
/// queried, or 0 for the name itself.
pub(super) fn build_reply(
    entry: &Entry,
    alias: usize,
    request: &Message,
    question: &Query,
    transport: Transport,
) -> Result<Reply, ProtoError> {
    let mut message = empty_response(request);
    let mut delay = Duration::ZERO;
    match entry.behaviour {
        Behaviour::Timeout => return Ok(Reply { delay, delivery: Delivery::Nothing }),
        Behaviour::TruncatedNoTcp if transport == Transport::Tcp => {
            return Ok(Reply { delay, delivery: Delivery::Close });
        }
        Behaviour::NxDomain => message.metadata.response_code = ResponseCode::NXDomain,
        Behaviour::ServFail => message.metadata.response_code = ResponseCode::ServFail,
        Behaviour::Refused => message.metadata.response_code = ResponseCode::Refused,
        Behaviour::NoData => {}
        Behaviour::CnameLoop => add_loop(&mut message, entry, alias, question)?,
        Behaviour::CnameChain(links) => add_chain(&mut message, entry, alias..links, question)?,
        Behaviour::Slow(time) => {
            delay = time;
            add_addresses(&mut message, entry, &question.name, question.query_type);
        }
        Behaviour::Answer
        | Behaviour::Truncated
        | Behaviour::TruncatedNoTcp
        | Behaviour::HalfMessage
        | Behaviour::WrongId => add_addresses(&mut message, entry, &question.name, question.query_type),
    }
    let empty = message.answers.is_empty();
    if empty && matches!(message.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain) {
        message.add_authority(soa(question, entry.ttl)?);
    }
    if entry.behaviour == Behaviour::WrongId {
        message.metadata.id ^= 1;
    }
    let mut bytes = message.to_vec()?;
    let truncated = matches!(entry.behaviour, Behaviour::Truncated | Behaviour::TruncatedNoTcp);
    if transport == Transport::Udp && (truncated || bytes.len() > max_datagram(request)) {
        bytes = message.truncate().to_vec()?;
    }
    let delivery = if entry.behaviour == Behaviour::HalfMessage {
        Delivery::Half(bytes)
    } else {
        Delivery::Whole(bytes)
    };
    Ok(Reply { delay, delivery })
}

/// Parses `name` as an alias: the name it is an alias of, and its number.
pub(super) fn parse_alias(name: &str) -> Option<(&str, usize)> {
    let (label, target) = name.split_once('.')?;
    Some((target, label.strip_prefix(ALIAS_PREFIX)?.parse().ok()?))
}

/// An empty response to `request`.
fn empty_response(request: &Message) -> Message {
    let mut message = Message::response(request.metadata.id, request.metadata.op_code);
    message.metadata = Metadata::response_from_request(&request.metadata);
    message.metadata.recursion_available = true;
    message.add_queries(request.queries.iter().cloned());
    if request.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(1232);
        message.set_edns(edns);
    }
    message
}

/// The maximum UDP message size that the client accepts.
fn max_datagram(request: &Message) -> usize {
    request
        .edns
        .as_ref()
        .map_or(DEFAULT_MAX_DATAGRAM, |edns| usize::from(edns.max_payload()).max(DEFAULT_MAX_DATAGRAM))
}

fn add_addresses(message: &mut Message, entry: &Entry, owner: &Name, kind: RecordType) {
    for address in &entry.addresses {
        let data = match (address, kind) {
            (IpAddr::V4(address), RecordType::A) => RData::A(A(*address)),
            (IpAddr::V6(address), RecordType::AAAA) => RData::AAAA(AAAA(*address)),
            _ => continue,
        };
        message.add_answer(Record::from_rdata(owner.clone(), entry.ttl, data));
    }
}

/// Adds a CNAME record for each alias number in `aliases`, and the addresses of the last target.
fn add_chain(
    message: &mut Message,
    entry: &Entry,
    aliases: std::ops::Range<usize>,
    question: &Query,
) -> Result<(), ProtoError> {
    let name = if aliases.start == 0 { question.name.clone() } else { question.name.base_name() };
    let mut owner = question.name.clone();
    for alias in aliases {
        let target = name.prepend_label(format!("{ALIAS_PREFIX}{}", alias + 1))?;
        message.add_answer(Record::from_rdata(owner, entry.ttl, RData::CNAME(CNAME(target.clone()))));
        owner = target;
    }
    add_addresses(message, entry, &owner, question.query_type);
    Ok(())
}

/// Adds one of two CNAME records that point to each other, so that a client that follows them never ends.
fn add_loop(message: &mut Message, entry: &Entry, alias: usize, question: &Query) -> Result<(), ProtoError> {
    let owner = question.name.clone();
    let target =
        if alias == 0 { owner.prepend_label(format!("{ALIAS_PREFIX}1"))? } else { owner.base_name() };
    message.add_answer(Record::from_rdata(owner, entry.ttl, RData::CNAME(CNAME(target))));
    Ok(())
}

/// The SOA record of a negative answer, which sets how long the answer may be cached.
fn soa(question: &Query, ttl: u32) -> Result<Record, ProtoError> {
    let (server, mail) = (Name::from_ascii("ns.lab.")?, Name::from_ascii("hostmaster.lab.")?);
    let data = RData::SOA(SOA::new(server, mail, 1, 7200, 900, 1_209_600, ttl));
    Ok(Record::from_rdata(question.name.base_name(), ttl, data))
}
