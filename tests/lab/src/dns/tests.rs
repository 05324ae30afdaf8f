//! The name server as a client on a socket sees it.

use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

use super::*;

/// As long as a busy machine may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

const HOST: &str = "ABC.gr7.example.";

fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).expect("a name"), kind));
    message
}

/// Sends a query as a datagram, and returns the bytes that come back.
fn datagram(server: &NameServer, query: &Message) -> io::Result<Vec<u8>> {
    datagram_within(PATIENCE, server, query)
}

fn datagram_within(wait: Duration, server: &NameServer, query: &Message) -> io::Result<Vec<u8>> {
    let socket = UdpSocket::bind(("127.0.0.1", 0))?;
    socket.set_read_timeout(Some(wait))?;
    socket.send_to(&query.to_vec().expect("a query"), server.address())?;
    let mut bytes = vec![0; 65536];
    let (length, _) = socket.recv_from(&mut bytes)?;
    bytes.truncate(length);
    Ok(bytes)
}

/// Sends a query over a connection, and returns the bytes that come back in its frame.
fn connection(server: &NameServer, query: &Message) -> io::Result<Vec<u8>> {
    connection_within(PATIENCE, server, query)
}

fn connection_within(wait: Duration, server: &NameServer, query: &Message) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server.address())?;
    stream.set_read_timeout(Some(wait))?;
    let bytes = query.to_vec().expect("a query");
    let length = u16::try_from(bytes.len()).expect("a short query");
    stream.write_all(&[&length.to_be_bytes(), bytes.as_slice()].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn ask(server: &NameServer, name: &str, kind: RecordType) -> Message {
    let bytes = datagram(server, &query(name, kind)).expect("an answer");
    Message::from_vec(&bytes).expect("a message")
}

fn addresses(message: &Message) -> Vec<IpAddr> {
    message.answers.iter().filter_map(|record| record.data.ip_addr()).collect()
}

fn public() -> Entry {
    Entry::addresses(["203.0.113.10", "203.0.113.11"].map(|address| address.parse().expect("an address")))
}

fn serving(entry: Entry) -> NameServer {
    let server = NameServer::serve().expect("a port");
    server.set(HOST, entry);
    server
}

#[test]
fn addresses_are_answered_by_family() {
    let server = serving(public().ttl(7));
    let message = ask(&server, "abc.GR7.example.", RecordType::A);
    assert_eq!(addresses(&message), public().addresses);
    assert_eq!(
        (message.answers[0].ttl, message.queries[0].name.to_ascii()),
        (7, "abc.GR7.example.".to_owned())
    );
    let message = ask(&server, HOST, RecordType::AAAA);
    assert_eq!((message.metadata.response_code, message.answers.len()), (ResponseCode::NoError, 0));
    assert!(matches!(message.authorities[0].data, RData::SOA(_)));
}

#[test]
fn a_name_with_ipv6_addresses_only_has_no_a_record() {
    let server = serving(Entry::addresses(["2001:db8::1".parse().expect("an address")]));
    assert_eq!(ask(&server, HOST, RecordType::A).answers.len(), 0);
    assert_eq!(addresses(&ask(&server, HOST, RecordType::AAAA)).len(), 1);
}

#[test]
fn refusals_have_their_codes() {
    let server = serving(public());
    for (behaviour, code) in [
        (Behaviour::Nx, ResponseCode::NXDomain),
        (Behaviour::NoData, ResponseCode::NoError),
        (Behaviour::ServFail, ResponseCode::ServFail),
        (Behaviour::Refused, ResponseCode::Refused),
    ] {
        server.set(HOST, public().behaving(behaviour));
        let message = ask(&server, HOST, RecordType::A);
        assert_eq!((message.metadata.response_code, message.answers.len()), (code, 0), "{behaviour:?}");
    }
    assert_eq!(ask(&server, "other.example.", RecordType::A).metadata.response_code, ResponseCode::NXDomain);
    server.set_default(public());
    assert_eq!(addresses(&ask(&server, "other.example.", RecordType::A)), public().addresses);
}

#[test]
fn silence_and_lateness() {
    let server = serving(Entry::failing(Behaviour::Timeout));
    let wait = Duration::from_millis(100);
    for silence in
        [datagram_within, connection_within].map(|ask| ask(wait, &server, &query(HOST, RecordType::A)))
    {
        assert_eq!(silence.expect_err("an answer").kind(), io::ErrorKind::WouldBlock);
    }
    server.set(HOST, public().behaving(Behaviour::Slow(Duration::from_millis(60))));
    let start = Instant::now();
    assert_eq!(addresses(&ask(&server, HOST, RecordType::A)), public().addresses);
    assert!(start.elapsed() >= Duration::from_millis(60));
}

#[test]
fn a_truncated_answer_is_whole_over_a_connection() {
    let query = query(HOST, RecordType::A);
    let server = serving(public().behaving(Behaviour::Truncated));
    let message = ask(&server, HOST, RecordType::A);
    assert!(message.metadata.truncation && message.answers.is_empty());
    let message = Message::from_vec(&connection(&server, &query).expect("an answer")).expect("a message");
    assert!(!message.metadata.truncation);
    assert_eq!(addresses(&message), public().addresses);

    server.set(HOST, public().behaving(Behaviour::TruncatedNoTcp));
    assert!(ask(&server, HOST, RecordType::A).metadata.truncation);
    let error = connection(&server, &query).expect_err("no answer");
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn a_datagram_holds_what_the_client_takes() {
    let server = serving(Entry::big(50));
    let mut query = query(HOST, RecordType::A);
    let truncated = |query: &Message| {
        let bytes = datagram(&server, query).expect("an answer");
        Message::from_vec(&bytes).expect("a message").metadata.truncation
    };
    assert!(truncated(&query));
    let mut edns = Edns::new();
    edns.set_max_payload(1232);
    query.set_edns(edns);
    assert!(!truncated(&query));
    server.set(HOST, Entry::big(400));
    assert!(truncated(&query));
    let message = Message::from_vec(&connection(&server, &query).expect("an answer")).expect("a message");
    assert_eq!(addresses(&message).len(), 400);
}

#[test]
fn broken_answers() {
    let server = serving(public().behaving(Behaviour::CutPacket));
    let bytes = datagram(&server, &query(HOST, RecordType::A)).expect("some bytes");
    assert!(Message::from_vec(&bytes).is_err());
    let error = connection(&server, &query(HOST, RecordType::A)).expect_err("half a frame");
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);

    server.set(HOST, public().behaving(Behaviour::WrongId));
    let query = query(HOST, RecordType::A);
    let answer = Message::from_vec(&datagram(&server, &query).expect("an answer")).expect("a message");
    assert_ne!(answer.metadata.id, query.metadata.id);
}

#[test]
fn aliases_lead_to_the_addresses_or_round_and_round() {
    let server = serving(public().behaving(Behaviour::CnameChain(3)));
    let message = ask(&server, HOST, RecordType::A);
    let owners: Vec<_> = message.answers.iter().map(|record| plain(&record.name.to_ascii())).collect();
    assert_eq!(owners[0], "abc.gr7.example");
    assert_eq!(owners[1..3], ["alias-1.abc.gr7.example", "alias-2.abc.gr7.example"]);
    assert_eq!(owners[3..], ["alias-3.abc.gr7.example"; 2]);
    assert_eq!(addresses(&message), public().addresses);
    assert_eq!(ask(&server, "alias-2.abc.gr7.example.", RecordType::A).answers.len(), 3);

    server.set(HOST, Entry::failing(Behaviour::CnameLoop));
    let mut name = HOST.to_owned();
    for _ in 0..4 {
        let message = ask(&server, &name, RecordType::A);
        let RData::CNAME(target) = &message.answers[0].data else { panic!("no alias: {message}") };
        name = target.to_ascii();
    }
    assert_eq!(name, HOST);
}

#[test]
fn the_journal_has_every_query() {
    let server = serving(public());
    ask(&server, HOST, RecordType::AAAA);
    connection(&server, &query("x.example.", RecordType::A)).expect("an answer");
    let journal = server.journal();
    let asked =
        journal.iter().map(|asked| (asked.name.as_str(), asked.record_type.as_str(), asked.transport));
    let expected = [("abc.gr7.example", "AAAA", Transport::Udp), ("x.example", "A", Transport::Tcp)];
    assert_eq!(asked.collect::<Vec<_>>(), expected);
    assert!(journal[0].peer.ip().is_loopback());
}

#[test]
fn a_dropped_server_leaves_its_port() {
    let server = serving(public());
    let address = server.address();
    drop(server);
    UdpSocket::bind(address).expect("the port is free again");
}

/// A name in lower case, without the dot at its end.
fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}
