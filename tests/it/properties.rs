//! Property tests of the parser (any socket table round-trips through the output of
//! `ss`, every line of any input is accounted for), the classifier and the history.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use eks_netcheck::capture::parser::{Event, Parser};
use eks_netcheck::classify::Classifier;
use eks_netcheck::classify::history::History;
use eks_netcheck::evidence::directory::EvidenceDir;
use eks_netcheck::model::connection::{By, Direction, Path};
use eks_netcheck::model::facts::Facts;
use eks_netcheck::model::name::NodeName;
use eks_netcheck::model::reaches::Reaches;
use eks_netcheck::model::socket::{Host, Port, Socket, SocketAddress, State};
use eks_netcheck::model::trace::{Phase, Presence, Sighting};
use proptest::prelude::*;

use crate::dialects::read;

/// A row of a socket table before it is printed.
#[derive(Debug, Clone)]
struct TableRow {
    state: &'static str,
    local: (IpAddr, u16),
    peer: (IpAddr, u16),
    mapped: bool,
    users: Vec<(String, u32, u32)>,
}

impl TableRow {
    /// The row in the form that `dialects::read` gives.
    fn expected(&self, with_names: bool) -> String {
        let end = |(ip, port): (IpAddr, u16)| match ip {
            ip if ip.is_unspecified() => format!("*:{port}"),
            IpAddr::V4(ip) => format!("{ip}:{port}"),
            IpAddr::V6(ip) => format!("[{ip}]:{port}"),
        };
        let users = self.users.iter().filter(|_| with_names).map(|(comm, pid, _)| format!(" {comm}:{pid}"));
        format!("{} {} {}{}", self.state, end(self.local), end(self.peer), users.collect::<String>())
    }
}

/// How a version of `ss` prints a table: one bit for each option in `Prints`.
#[derive(Debug, Clone, Copy)]
struct Dialect(u16);

#[derive(Clone, Copy)]
enum Prints {
    Header,
    State,
    Netid,
    Brackets,
    KeyedUsers,
    Tabs,
    Extended,
    Info,
    Crlf,
    Zone,
    Wrapped,
    TimerFirst,
}

impl Dialect {
    fn has(self, option: Prints) -> bool {
        self.0 >> option as u16 & 1 == 1
    }
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        3 => any::<[u8; 4]>().prop_map(|octets| IpAddr::V4(Ipv4Addr::from(octets))),
        2 => any::<[u16; 8]>().prop_map(|groups| IpAddr::V6(Ipv6Addr::from(groups)).to_canonical()),
        1 => Just(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        1 => Just(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
    ]
}

/// Any process name of up to 15 bytes without a line feed (which another test
/// covers). In the old form without keys, a quote would be ambiguous.
fn comm(keyed: bool) -> BoxedStrategy<String> {
    let any_name = "[^\n\r\0]{1,15}".prop_filter("at most 15 bytes", |name| name.len() <= 15);
    if keyed {
        prop_oneof![
            any_name,
            Just("kubelet".to_owned()),
            Just("x\",pid=1,fd=2)".to_owned()),
            Just("))((\"\"".to_owned()),
            Just("a b  c".to_owned()),
        ]
        .boxed()
    } else {
        any_name.prop_filter("no quote", |name| !name.contains('"')).boxed()
    }
}

fn table_row(keyed: bool) -> impl Strategy<Value = TableRow> {
    let state =
        prop::sample::select(vec!["ESTAB", "SYN-SENT", "CLOSE-WAIT", "LAST-ACK", "FIN-WAIT-1", "SYN-RECV"]);
    let users = prop::collection::vec((comm(keyed), any::<u32>(), any::<u32>()), 0..4);
    (state, (address(), any::<u16>()), (address(), any::<u16>()), any::<bool>(), users)
        .prop_map(|(state, local, peer, mapped, users)| TableRow { state, local, peer, mapped, users })
}

fn render(table: &[TableRow], dialect: Dialect) -> String {
    let mut text = String::new();
    let feed = if dialect.has(Prints::Crlf) { "\r\n" } else { "\n" };
    let gap = |width: usize, cell: &str| {
        if dialect.has(Prints::Tabs) {
            "\t".to_owned()
        } else {
            " ".repeat(width.saturating_sub(cell.len()).max(1))
        }
    };
    let end = |(ip, port): (IpAddr, u16), mapped: bool| {
        let (open, close) = if dialect.has(Prints::Brackets) { ("[", "]") } else { ("", "") };
        match ip {
            ip if ip.is_unspecified() => format!("*:{port}"),
            IpAddr::V4(ip) if mapped => format!("{open}::ffff:{ip}{close}:{port}"),
            IpAddr::V4(ip) => format!("{ip}{}:{port}", if dialect.has(Prints::Zone) { "%eth0" } else { "" }),
            IpAddr::V6(ip) => format!("{open}{ip}{close}:{port}"),
        }
    };
    if dialect.has(Prints::Header) {
        text.push_str("State      Recv-Q Send-Q        Local Address:Port          Peer Address:Port");
        text.push_str(feed);
    }
    for row in table {
        if dialect.has(Prints::Netid) {
            text.push_str("tcp");
            text.push_str(&gap(6, "tcp"));
        }
        if dialect.has(Prints::State) {
            text.push_str(row.state);
            text.push_str(&gap(11, row.state));
        }
        text.push_str(&["0", &gap(7, "0"), "12", &gap(7, "12")].concat());
        let (local, peer) = (end(row.local, row.mapped), end(row.peer, row.mapped));
        text.push_str(&[gap(45, &local), local, gap(46, &peer), peer].concat());
        if dialect.has(Prints::TimerFirst) {
            text.push_str(" timer:(keepalive,28sec,0)");
        }
        if !row.users.is_empty() {
            // A narrow terminal puts the processes on a line of their own.
            text.push_str(if dialect.has(Prints::Wrapped) && !dialect.has(Prints::TimerFirst) {
                feed
            } else {
                ""
            });
            let users = row.users.iter().map(|(comm, pid, fd)| {
                if dialect.has(Prints::KeyedUsers) {
                    format!("(\"{comm}\",pid={pid},fd={fd})")
                } else {
                    format!("(\"{comm}\",{pid},{fd})")
                }
            });
            text.push_str(&["  users:(", &users.collect::<Vec<_>>().join(","), ")"].concat());
        }
        if dialect.has(Prints::Extended) {
            text.push_str(" ino:91338 sk:16 cgroup:/kubepods.slice v6only:0 <->");
        }
        text.push_str("   ");
        text.push_str(feed);
        if dialect.has(Prints::Info) {
            text.push_str("\t ts sack bbr wscale:10,10 rto:204 rtt:0.048/0.024");
            text.push_str(feed);
        }
    }
    text
}

fn table_and_dialect() -> impl Strategy<Value = (Vec<TableRow>, Dialect)> {
    any::<u16>().prop_map(Dialect).prop_flat_map(|dialect| {
        (prop::collection::vec(table_row(dialect.has(Prints::KeyedUsers)), 0..12), Just(dialect))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    /// Printing any table in any dialect and parsing the text gives the table back.
    #[test]
    fn every_dialect_round_trips((mut table, dialect) in table_and_dialect()) {
        if !dialect.has(Prints::State) {
            // Without the column, the state is not known.
            for row in &mut table {
                row.state = "UNKNOWN";
            }
        }
        let text = render(&table, dialect);
        let capture = read(text.as_bytes());
        let expected: Vec<_> = table.iter().map(|row| row.expected(true)).collect();
        prop_assert_eq!(&capture.rows, &expected, "{}", text);
        prop_assert!(capture.rejected.is_empty(), "{:?}", capture.rejected);
        prop_assert_eq!(capture.tally.lines(), text.lines().count() as u64);
    }

    /// Any bytes are read without a panic, and every line is accounted for.
    #[test]
    fn any_bytes_are_accounted_for(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let capture = read(&bytes);
        prop_assert_eq!(capture.tally.lines(), lines(&bytes));
        prop_assert_eq!(capture.tally.rejected, capture.rejected.len() as u64);
    }

    /// Lines of tokens from `ss` output in random order are accounted for as well.
    #[test]
    fn shuffled_tokens_are_accounted_for(tokens in prop::collection::vec(token(), 0..60), size in 1usize..64) {
        let text = tokens.concat();
        let capture = read(text.as_bytes());
        prop_assert_eq!(capture.tally.lines(), lines(text.as_bytes()));
        prop_assert_eq!(capture.tally.rows, capture.rows.len() as u64);
        // Also when read in pieces of any size.
        prop_assert_eq!(in_pieces(text.as_bytes(), size), capture.rows.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every socket is classified exactly once, whatever the order of rows.
    #[test]
    fn classification_is_total_and_order_independent(rows in prop::collection::vec(near_the_cluster(), 0..40)) {
        let facts = classify(rows.iter());
        let backwards = classify(rows.iter().rev());
        // The same connection twice counts once.
        let unique: BTreeSet<_> = facts.connections.iter().collect();
        prop_assert_eq!(unique.len(), facts.connections.len());
        let rows_of_components: BTreeSet<_> = rows.iter().filter(|(_, name)| matches!(name, Some("kubelet" | "kube-proxy"))).collect();
        prop_assert!(facts.connections.len() >= rows_of_components.len());
        prop_assert!(facts.connections.len() as u64 + facts.other_connections <= rows.len() as u64);
        let unique_rows: BTreeSet<_> = rows.iter().collect();
        prop_assert!(facts.connections.len() as u64 + facts.other_connections >= unique_rows.len() as u64);
        let twice = classify(rows.iter().chain(rows.iter()));
        prop_assert_eq!(&twice.connections, &facts.connections);
        prop_assert_eq!(&facts.connections, &backwards.connections);
        prop_assert_eq!(facts.other_connections, backwards.other_connections);
        prop_assert_eq!(&facts.seen_from, &backwards.seen_from);
        prop_assert_eq!(&facts.architecture, &backwards.architecture);
        prop_assert_eq!(&twice.architecture, &facts.architecture);
        // What a place reaches follows from its sockets alone, since there is no probe.
        for sight in &facts.seen_from.sights {
            let is_here = facts.seen_from.places[sight.place].name != "n1";
            let has = |state| facts.connections.iter().any(|connection| {
                let to = connection.socket.peer.ip() == Some(sight.address);
                !is_here && to && connection.socket.state == state && connection.direction == Direction::Outbound
                    && (connection.attribution.path.is_api_server() || facts.endpoint_addresses.contains_key(&sight.address))
            });
            let reaches = match (has(State::Established), has(State::SynSent)) {
                (true, _) => Reaches::Yes,
                (false, true) => Reaches::No,
                (false, false) => Reaches::Unknown,
            };
            prop_assert_eq!(sight.view.reaches, reaches, "{:?}", sight);
        }
        for connection in &facts.connections {
            let is_known = connection.attribution.by != By::None;
            let needs_none = matches!(connection.attribution.path, Path::Loopback | Path::Unattributed | Path::Other);
            prop_assert_ne!(is_known, needs_none, "{:?}", connection);
        }
    }
}

type Row = (Socket, Option<&'static str>);

/// Sockets between addresses and ports that occur in the story, and some that do
/// not.
fn near_the_cluster() -> impl Strategy<Value = Row> {
    let host = prop::sample::select(vec![
        "192.168.1.20",
        "192.168.1.55",
        "192.168.2.66",
        "192.168.2.108",
        "192.168.77.77",
        "3.39.55.189",
        "3.37.178.179",
        "10.100.0.1",
        "10.100.0.10",
        "127.0.0.1",
        "198.51.100.7",
        "::1",
        "2600:1f13::1",
    ]);
    let port = prop::sample::select(vec![443u16, 10250, 50000, 8443, 22]);
    let address = (host, port).prop_map(|(host, port)| SocketAddress {
        host: Host::Ip(host.parse().unwrap()),
        port: Port::Number(port),
    });
    let state =
        prop::sample::select(vec![State::Established, State::SynSent, State::Listen, State::TimeWait]);
    let comm =
        prop::option::of(prop::sample::select(vec!["kubelet", "kube-proxy", "aws-k8s-agent", "nginx"]));
    (state, address.clone(), address, comm)
        .prop_map(|(state, local, peer, comm)| (Socket { state, local, peer }, comm))
}

fn classify<'a>(rows: impl Iterator<Item = &'a Row>) -> Facts {
    let dir = EvidenceDir::open(&crate::common::story("public-and-private-stale")).unwrap();
    let mut classifier = Classifier::new(dir.read("myeks").unwrap());
    let node = "n1".parse().unwrap();
    for (socket, comm) in rows {
        classifier.add(&node, socket.clone(), comm.iter().map(|comm| (comm.as_bytes(), Some(1))));
    }
    classifier.finish(Vec::new())
}

fn token() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "ESTAB",
            "tcp",
            "udp",
            "0",
            "12",
            " ",
            "  ",
            "        ",
            "\t",
            "\n",
            "\r\n",
            "1.2.3.4:443",
            "[::1]:443",
            "*:*",
            "::ffff:1.2.3.4:10250",
            "users:((",
            "users:((\"kubelet\",pid=1,fd=2))",
            "(\"a\",pid=1,fd=2)",
            "\"",
            ")",
            ",",
            ">> node n1 <<",
            "State Recv-Q Local Address",
            "timer:(keepalive,1sec,0)",
            "[",
            "]",
            "%",
            ":",
            "ESTABLISHED",
            "59/kubelet",
            "-",
            "1.2.3.4:https",
            "host:443",
            "\0",
            "ESTAB 0 0 1.2.3.4:1 5.6.7.8:443",
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,6}",
    ]
}

fn lines(bytes: &[u8]) -> u64 {
    bytes.split_inclusive(|&byte| byte == b'\n').count() as u64
}

/// The number of rows of a capture that is read in pieces.
fn in_pieces(bytes: &[u8], size: usize) -> usize {
    let mut rows = 0;
    let mut sink = |event: Event<'_>| rows += usize::from(matches!(event, Event::Row(_)));
    let mut parser = Parser::new();
    for mut piece in bytes.chunks(size) {
        while parser.read_from(&mut piece, &mut sink).unwrap() > 0 {}
    }
    parser.finish(&mut sink);
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Each sample before, during and after is a set of sockets, as bits: the presence
    /// of a socket follows from these sets.
    #[test]
    fn presence_follows_from_the_samples(
        before in prop::collection::vec(any::<u8>(), 0..4),
        during in prop::collection::vec(any::<u8>(), 0..4),
        after in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        let node: NodeName = "n1".parse().unwrap();
        let mut history = History::default();
        let phases = [(Phase::Before, &before), (Phase::During, &during), (Phase::After, &after)];
        for (phase, samples) in phases {
            for set in samples {
                let mut sample = history.begin_sample(&node, phase, None);
                for number in (0..8u16).filter(|number| set >> number & 1 == 1) {
                    let end = |port| SocketAddress {
                        host: Host::Ip(Ipv4Addr::LOCALHOST.into()), port: Port::Number(port),
                    };
                    let socket = Socket { state: State::Established, local: end(10250), peer: end(number + 1) };
                    // The process id differs from sample to sample, and is not compared.
                    sample.add(socket, [(&b"kubelet"[..], Some(u32::from(*set)))].into_iter());
                }
            }
        }
        let is_in = |set: Option<&u8>, number: u16| set.is_some_and(|set| set >> number & 1 == 1);
        let last = after.last().or(during.last()).or(before.last());
        let mut seen = 0;
        for (_, socket) in history.sockets() {
            let Port::Number(port) = socket.socket.peer.port else { unreachable!() };
            let number = port - 1;
            let there_before = is_in(before.last(), number);
            let there_last = is_in(last, number);
            let is_known = before.iter().chain(&during).any(|set| is_in(Some(set), number));
            let there_during = during.iter().any(|set| is_in(Some(set), number))
                || (is_in(after.first(), number) && (there_before || !is_known && !there_last));
            // What follows the last sample is not known, nor what precedes the first one.
            let if_seen = |is_seen: bool, there| if is_seen { Sighting::seen(there) } else { Sighting::Unknown };
            let presence = Presence {
                before: if_seen(!before.is_empty(), there_before),
                during: if_seen(there_during || !after.is_empty(), there_during),
                // What has ended does not return.
                after: if_seen(!there_last || !after.is_empty(), there_last),
                has_ended: !there_last,
                is_after_only: !there_last && !is_known && !is_in(after.first(), number),
            };
            prop_assert_eq!(socket.presence, presence);
            seen |= 1u8 << number;
        }
        let all = before.iter().chain(&during).chain(&after).fold(0, |all, set| all | set);
        prop_assert_eq!(seen, all);
        let unseen = history.coverage(&node).unseen;
        prop_assert_eq!(unseen.contains(&Phase::Before), before.is_empty());
        prop_assert_eq!(unseen.contains(&Phase::After), after.is_empty());
    }
}
