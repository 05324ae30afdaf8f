//! Tests of the name server over UDP and TCP.

use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

use super::*;

/// The read timeout, long enough for a busy machine.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

const HOST: &str = "ABC.gr7.example.";

fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).expect("a name"), kind));
    message
}

/// Sends a query over UDP, and returns the reply's bytes.
fn query_udp(server: &NameServer, query: &Message) -> io::Result<Vec<u8>> {
    query_udp_within(READ_TIMEOUT, server, query)
}

fn query_udp_within(timeout: Duration, server: &NameServer, query: &Message) -> io::Result<Vec<u8>> {
    let socket = UdpSocket::bind(("127.0.0.1", 0))?;
    socket.set_read_timeout(Some(timeout))?;
    socket.send_to(&query.to_vec().expect("a query"), server.address())?;
    let mut bytes = vec![0; 65536];
    let (length, _) = socket.recv_from(&mut bytes)?;
    bytes.truncate(length);
    Ok(bytes)
}

/// Sends a query over TCP, and returns the bytes of the reply's frame.
fn query_tcp(server: &NameServer, query: &Message) -> io::Result<Vec<u8>> {
    query_tcp_within(READ_TIMEOUT, server, query)
}

fn query_tcp_within(timeout: Duration, server: &NameServer, query: &Message) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server.address())?;
    stream.set_read_timeout(Some(timeout))?;
    let bytes = query.to_vec().expect("a query");
    let length = u16::try_from(bytes.len()).expect("a short query");
    stream.write_all(&[&length.to_be_bytes(), bytes.as_slice()].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn resolve(server: &NameServer, name: &str, kind: RecordType) -> Message {
    let bytes = query_udp(server, &query(name, kind)).expect("a reply");
    Message::from_vec(&bytes).expect("a message")
}

fn addresses(message: &Message) -> Vec<IpAddr> {
    message.answers.iter().filter_map(|record| record.data.ip_addr()).collect()
}

fn public_entry() -> Entry {
    Entry::addresses(["203.0.113.10", "203.0.113.11"].map(|address| address.parse().expect("an address")))
}

fn serve(entry: Entry) -> NameServer {
    let server = NameServer::serve().expect("a port");
    server.set(HOST, entry);
    server
}

#[test]
fn addresses_are_returned_by_family() {
    let server = serve(public_entry().with_ttl(7));
    let message = resolve(&server, "abc.GR7.example.", RecordType::A);
    assert_eq!(addresses(&message), public_entry().addresses);
    assert_eq!(
        (message.answers[0].ttl, message.queries[0].name.to_ascii()),
        (7, "abc.GR7.example.".to_owned())
    );
    let message = resolve(&server, HOST, RecordType::AAAA);
    assert_eq!((message.metadata.response_code, message.answers.len()), (ResponseCode::NoError, 0));
    assert!(matches!(message.authorities[0].data, RData::SOA(_)));
}

#[test]
fn name_with_only_ipv6_addresses_has_no_a_record() {
    let server = serve(Entry::addresses(["2001:db8::1".parse().expect("an address")]));
    assert_eq!(resolve(&server, HOST, RecordType::A).answers.len(), 0);
    assert_eq!(addresses(&resolve(&server, HOST, RecordType::AAAA)).len(), 1);
}

#[test]
fn failures_have_their_response_codes() {
    let server = serve(public_entry());
    for (behaviour, code) in [
        (Behaviour::NxDomain, ResponseCode::NXDomain),
        (Behaviour::NoData, ResponseCode::NoError),
        (Behaviour::ServFail, ResponseCode::ServFail),
        (Behaviour::Refused, ResponseCode::Refused),
    ] {
        server.set(HOST, public_entry().with_behaviour(behaviour));
        let message = resolve(&server, HOST, RecordType::A);
        assert_eq!((message.metadata.response_code, message.answers.len()), (code, 0), "{behaviour:?}");
    }
    assert_eq!(
        resolve(&server, "other.example.", RecordType::A).metadata.response_code,
        ResponseCode::NXDomain
    );
    server.set_default(public_entry());
    assert_eq!(addresses(&resolve(&server, "other.example.", RecordType::A)), public_entry().addresses);
}

#[test]
fn replies_can_be_suppressed_and_delayed() {
    let server = serve(Entry::failing(Behaviour::Timeout));
    let timeout = Duration::from_millis(100);
    for result in
        [query_udp_within, query_tcp_within].map(|send| send(timeout, &server, &query(HOST, RecordType::A)))
    {
        assert_eq!(result.expect_err("a reply").kind(), io::ErrorKind::WouldBlock);
    }
    server.set(HOST, public_entry().with_behaviour(Behaviour::Slow(Duration::from_millis(60))));
    let start = Instant::now();
    assert_eq!(addresses(&resolve(&server, HOST, RecordType::A)), public_entry().addresses);
    assert!(start.elapsed() >= Duration::from_millis(60));
}

#[test]
fn truncated_reply_is_complete_over_tcp() {
    let query = query(HOST, RecordType::A);
    let server = serve(public_entry().with_behaviour(Behaviour::Truncated));
    let message = resolve(&server, HOST, RecordType::A);
    assert!(message.metadata.truncation && message.answers.is_empty());
    let message = Message::from_vec(&query_tcp(&server, &query).expect("a reply")).expect("a message");
    assert!(!message.metadata.truncation);
    assert_eq!(addresses(&message), public_entry().addresses);

    server.set(HOST, public_entry().with_behaviour(Behaviour::TruncatedNoTcp));
    assert!(resolve(&server, HOST, RecordType::A).metadata.truncation);
    let error = query_tcp(&server, &query).expect_err("no reply");
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn datagram_size_is_limited_by_the_client() {
    let server = serve(Entry::with_many_addresses(50));
    let mut query = query(HOST, RecordType::A);
    let truncated = |query: &Message| {
        let bytes = query_udp(&server, query).expect("a reply");
        Message::from_vec(&bytes).expect("a message").metadata.truncation
    };
    assert!(truncated(&query));
    let mut edns = Edns::new();
    edns.set_max_payload(1232);
    query.set_edns(edns);
    assert!(!truncated(&query));
    server.set(HOST, Entry::with_many_addresses(400));
    assert!(truncated(&query));
    let message = Message::from_vec(&query_tcp(&server, &query).expect("a reply")).expect("a message");
    assert_eq!(addresses(&message).len(), 400);
}

#[test]
fn malformed_replies_are_sent() {
    let server = serve(public_entry().with_behaviour(Behaviour::HalfMessage));
    let bytes = query_udp(&server, &query(HOST, RecordType::A)).expect("some bytes");
    assert!(Message::from_vec(&bytes).is_err());
    let error = query_tcp(&server, &query(HOST, RecordType::A)).expect_err("half a frame");
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);

    server.set(HOST, public_entry().with_behaviour(Behaviour::WrongId));
    let query = query(HOST, RecordType::A);
    let answer = Message::from_vec(&query_udp(&server, &query).expect("a reply")).expect("a message");
    assert_ne!(answer.metadata.id, query.metadata.id);
}

#[test]
fn cname_chains_end_and_cname_loops_do_not() {
    let server = serve(public_entry().with_behaviour(Behaviour::CnameChain(3)));
    let message = resolve(&server, HOST, RecordType::A);
    let owners: Vec<_> = message.answers.iter().map(|record| normalize(&record.name.to_ascii())).collect();
    assert_eq!(owners[0], "abc.gr7.example");
    assert_eq!(owners[1..3], ["alias-1.abc.gr7.example", "alias-2.abc.gr7.example"]);
    assert_eq!(owners[3..], ["alias-3.abc.gr7.example"; 2]);
    assert_eq!(addresses(&message), public_entry().addresses);
    assert_eq!(resolve(&server, "alias-2.abc.gr7.example.", RecordType::A).answers.len(), 3);

    server.set(HOST, Entry::failing(Behaviour::CnameLoop));
    let mut name = HOST.to_owned();
    for _ in 0..4 {
        let message = resolve(&server, &name, RecordType::A);
        let RData::CNAME(target) = &message.answers[0].data else { panic!("no alias: {message}") };
        name = target.to_ascii();
    }
    assert_eq!(name, HOST);
}

#[test]
fn every_query_is_recorded() {
    let server = serve(public_entry());
    resolve(&server, HOST, RecordType::AAAA);
    query_tcp(&server, &query("x.example.", RecordType::A)).expect("a reply");
    let queries = server.queries();
    let received =
        queries.iter().map(|query| (query.name.as_str(), query.record_type.as_str(), query.transport));
    let expected = [("abc.gr7.example", "AAAA", Transport::Udp), ("x.example", "A", Transport::Tcp)];
    assert_eq!(received.collect::<Vec<_>>(), expected);
    assert!(queries[0].peer.ip().is_loopback());
}

#[test]
fn dropped_server_releases_its_port() {
    let server = serve(public_entry());
    let address = server.address();
    drop(server);
    UdpSocket::bind(address).expect("the port is free again");
}

/// The name in lower case, without the trailing dot.
fn normalize(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}
