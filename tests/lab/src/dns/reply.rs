//! A query and an entry make the bytes that go back. No socket, no clock.

use std::net::IpAddr;
use std::time::Duration;

use hickory_proto::ProtoError;
use hickory_proto::op::{Edns, Message, Metadata, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::entry::{Behaviour, Entry};
use super::server::Transport;

/// The most a datagram holds for a client that doesn't say what it takes.
const DATAGRAM: usize = 512;

/// What aliases' names begin with, before a number.
const ALIAS: &str = "alias-";

/// What goes back to the client, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) after: Duration,
    pub(super) delivery: Delivery,
}

/// What goes back to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// Nothing; a connection stays open.
    Nothing,
    /// Nothing; a connection is closed.
    Close,
    /// A message.
    Whole(Vec<u8>),
    /// The first half of a message.
    Half(Vec<u8>),
}

/// What `entry` says to `request`, which asks one `question`. `alias` tells which of the name's own aliases
/// is asked for, 0 is the name itself.
pub(super) fn reply(
    entry: &Entry,
    alias: usize,
    request: &Message,
    question: &Query,
    transport: Transport,
) -> Result<Reply, ProtoError> {
    let mut message = response(request);
    let mut after = Duration::ZERO;
    match entry.behaviour {
        Behaviour::Timeout => return Ok(Reply { after, delivery: Delivery::Nothing }),
        Behaviour::TruncatedNoTcp if transport == Transport::Tcp => {
            return Ok(Reply { after, delivery: Delivery::Close });
        }
        Behaviour::Nx => message.metadata.response_code = ResponseCode::NXDomain,
        Behaviour::ServFail => message.metadata.response_code = ResponseCode::ServFail,
        Behaviour::Refused => message.metadata.response_code = ResponseCode::Refused,
        Behaviour::NoData => {}
        Behaviour::CnameLoop => add_loop(&mut message, entry, alias, question)?,
        Behaviour::CnameChain(links) => add_chain(&mut message, entry, alias..links, question)?,
        Behaviour::Slow(time) => {
            after = time;
            add_addresses(&mut message, entry, &question.name, question.query_type);
        }
        Behaviour::Answer
        | Behaviour::Truncated
        | Behaviour::TruncatedNoTcp
        | Behaviour::CutPacket
        | Behaviour::WrongId => add_addresses(&mut message, entry, &question.name, question.query_type),
    }
    let empty = message.answers.is_empty();
    if empty && matches!(message.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain) {
        message.add_authority(authority(question, entry.ttl)?);
    }
    if entry.behaviour == Behaviour::WrongId {
        message.metadata.id ^= 1;
    }
    let mut bytes = message.to_vec()?;
    let truncated = matches!(entry.behaviour, Behaviour::Truncated | Behaviour::TruncatedNoTcp);
    if transport == Transport::Udp && (truncated || bytes.len() > room(request)) {
        bytes = message.truncate().to_vec()?;
    }
    let delivery =
        if entry.behaviour == Behaviour::CutPacket { Delivery::Half(bytes) } else { Delivery::Whole(bytes) };
    Ok(Reply { after, delivery })
}

/// The name whose entry speaks for `name`, and which of its aliases `name` is, if it is written as one.
pub(super) fn alias_of(name: &str) -> Option<(&str, usize)> {
    let (label, target) = name.split_once('.')?;
    Some((target, label.strip_prefix(ALIAS)?.parse().ok()?))
}

/// An answer to `request` with nothing in it yet.
fn response(request: &Message) -> Message {
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

/// How long a datagram the client takes.
fn room(request: &Message) -> usize {
    request.edns.as_ref().map_or(DATAGRAM, |edns| usize::from(edns.max_payload()).max(DATAGRAM))
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

/// Adds the aliases with the numbers, each that of the one before, and the addresses of the last.
fn add_chain(
    message: &mut Message,
    entry: &Entry,
    aliases: std::ops::Range<usize>,
    question: &Query,
) -> Result<(), ProtoError> {
    let name = if aliases.start == 0 { question.name.clone() } else { question.name.base_name() };
    let mut owner = question.name.clone();
    for alias in aliases {
        let target = name.prepend_label(format!("{ALIAS}{}", alias + 1))?;
        message.add_answer(Record::from_rdata(owner, entry.ttl, RData::CNAME(CNAME(target.clone()))));
        owner = target;
    }
    add_addresses(message, entry, &owner, question.query_type);
    Ok(())
}

/// Adds one of the two aliases that stand for each other. A client asks for the other, and so on.
fn add_loop(message: &mut Message, entry: &Entry, alias: usize, question: &Query) -> Result<(), ProtoError> {
    let owner = question.name.clone();
    let target = if alias == 0 { owner.prepend_label(format!("{ALIAS}1"))? } else { owner.base_name() };
    message.add_answer(Record::from_rdata(owner, entry.ttl, RData::CNAME(CNAME(target))));
    Ok(())
}

/// The record that says how long to remember that there is nothing.
fn authority(question: &Query, ttl: u32) -> Result<Record, ProtoError> {
    let (server, mail) = (Name::from_ascii("ns.lab.")?, Name::from_ascii("hostmaster.lab.")?);
    let data = RData::SOA(SOA::new(server, mail, 1, 7200, 900, 1_209_600, ttl));
    Ok(Record::from_rdata(question.name.base_name(), ttl, data))
}
