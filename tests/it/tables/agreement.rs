//! Every tool shows the same sockets; netstat of `BusyBox`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use eks_netcheck::model::socket::{Host, Port, Socket, SocketAddress, State};
use proptest::prelude::*;

use super::printers::{Owners, netstat_of, printed, proc_of, ss_of};
use super::{Entry, gaps, sorted};
use crate::dialects::read;

/// netstat of `BusyBox`, as it is and with the columns of `-W` and `-p`.
#[test]
fn netstat_of_busybox() {
    let narrow = "Active Internet connections (w/o servers)\n\
        Proto Recv-Q Send-Q Local Address           Foreign Address         State       \n\
        tcp        0      0 127.0.0.1:45350         127.0.0.1:10250         ESTABLISHED \n\
        tcp        0      0 ::1:10250               ::1:42932               ESTABLISHED \n\
        tcp        0      0 ::ffff:127.0.0.1:10250  ::ffff:127.0.0.1:45350  ESTABLISHED \n";
    let capture = read(narrow.as_bytes());
    assert_eq!(
        capture.rows,
        [
            "ESTAB 127.0.0.1:45350 127.0.0.1:10250",
            "ESTAB [::1]:10250 [::1]:42932",
            "ESTAB 127.0.0.1:10250 127.0.0.1:45350",
        ]
    );
    assert!(capture.rejected.is_empty());
    let row = |local: &str, peer: &str, process: &str| {
        format!("tcp        0      0 {local:<51} {peer:<51} {:<12}{process}\n", "ESTABLISHED")
    };
    let wide = format!(
        "Active Internet connections (w/o servers)\nProto Recv-Q Send-Q {:<51} {:<51} State       PID/Program name\n{}{}{}",
        "Local Address",
        "Foreign Address",
        row("::ffff:10.0.0.155:10250", "::ffff:192.168.100.200:41302", "27628/kubelet"),
        row("192.168.10.10:42010", "203.0.113.10:443", "27628/kubelet"),
        row("2600:1f13:abc:de01::94:443", "2600:1f13:abc:de01::1234:5678:51778", "-"),
    );
    let capture = read(wide.as_bytes());
    assert_eq!(
        capture.rows,
        [
            "ESTAB 10.0.0.155:10250 192.168.100.200:41302 kubelet:27628",
            "ESTAB 192.168.10.10:42010 203.0.113.10:443 kubelet:27628",
            "ESTAB [2600:1f13:abc:de01::94]:443 [2600:1f13:abc:de01::1234:5678]:51778",
        ]
    );
    assert!(capture.rejected.is_empty());
}

/// A table of sockets: processes by their id, and rows with indexes of their processes.
fn table() -> impl Strategy<Value = Vec<Entry>> {
    let ip = prop_oneof![
        3 => any::<[u8; 4]>().prop_map(|octets| IpAddr::V4(Ipv4Addr::from(octets))),
        2 => any::<[u16; 8]>().prop_map(|groups| IpAddr::V6(Ipv6Addr::from(groups)).to_canonical()),
        1 => Just(IpAddr::V6(Ipv6Addr::LOCALHOST)),
    ];
    let address = (ip, 1..=u16::MAX).prop_map(|(ip, port)| SocketAddress {
        host: if ip.is_unspecified() { Host::Any } else { Host::Ip(ip) },
        port: Port::Number(port),
    });
    let state = prop::sample::select(vec![
        State::Established,
        State::SynSent,
        State::CloseWait,
        State::LastAck,
        State::FinWait1,
        State::FinWait2,
        State::Closing,
    ]);
    // A beginning of the name of a component is that of a row of netstat that was cut in it.
    let is_whole = |name: &String| {
        !["kubelet", "kube-proxy"].iter().any(|whole| whole.starts_with(name) && whole != name)
    };
    let name = "[a-z][a-z0-9_-]{0,14}".prop_filter("cut name", is_whole);
    let processes = prop::collection::btree_map(1..400_000u32, name, 1..6);
    processes.prop_flat_map(move |processes| {
        let processes: Vec<(String, u32)> = processes.into_iter().map(|(pid, name)| (name, pid)).collect();
        let own = prop::sample::subsequence(processes.clone(), 0..=processes.len().min(3));
        let row = (state.clone(), address.clone(), address.clone(), any::<bool>(), own);
        let row = row.prop_map(|(state, local, peer, is_mapped, mut processes)| {
            // The newest process first, as ss lists them.
            processes.reverse();
            Entry { socket: Socket { state, local, peer }, is_mapped, processes }
        });
        prop::collection::vec(row, 0..12)
    })
}

/// Any name of a process, and some that imitate other lines.
fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[^\n\r\0]{1,15}",
        1 => prop::sample::select(vec!["x socket:[5]", "6 socket:[5000]", "/proc/7 a", ">> end", "1 2 3 kubelet", "kubelet ", "/fd:", "01020304:0016"]).prop_map(str::to_owned),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// The same table has the same sockets and processes, whatever prints it; netstat names
    /// one process.
    #[test]
    fn every_tool_shows_the_same_table(table in table()) {
        let rows = |text: &str| {
            let capture = read(text.as_bytes());
            assert!(capture.rejected.is_empty(), "{:?} {text}", capture.rejected);
            sorted(capture.rows)
        };
        let of_ss = rows(&ss_of(&table));
        prop_assert_eq!(of_ss.len(), table.len());
        for owners in [Owners::Script, Owners::Find, Owners::Named] {
            let text = proc_of(&table, owners);
            prop_assert_eq!(&rows(&text), &of_ss, "{}", text);
            let (_, mut details) = gaps(text.as_bytes());
            // A table without processes, and one without marks whose length is that of a cut.
            let expected = ["lists a process", "may have been cut", "Systems Manager"];
            let expected = if owners == Owners::Find { &expected[..] } else { &expected[..1] };
            details.retain(|detail| !expected.iter().any(|part| detail.contains(part)));
            prop_assert!(details.is_empty(), "{:?} {}", details, text);
        }
        let first: Vec<Entry> = table.iter().cloned().map(|mut entry| { entry.processes.truncate(1); entry }).collect();
        let of_ss = rows(&ss_of(&first));
        prop_assert_eq!(&rows(&netstat_of(&table, true)), &of_ss);
        // net-tools truncates an address that fills its column, or may have.
        let is_whole = |address: &SocketAddress| printed(address, false, false).len() != 23;
        let whole: Vec<Entry> = first.into_iter().filter(|entry| is_whole(&entry.socket.local) && is_whole(&entry.socket.peer)).collect();
        prop_assert_eq!(rows(&netstat_of(&whole, false)), rows(&ss_of(&whole)));
    }

    /// Any process name without a line feed.
    #[test]
    fn any_name_is_read(name in any_name(), pid in 1..400_000u32) {
        let socket = Socket {
            state: State::Established,
            local: SocketAddress { host: Host::Ip(Ipv4Addr::LOCALHOST.into()), port: Port::Number(7) },
            peer: SocketAddress { host: Host::Ip(Ipv4Addr::LOCALHOST.into()), port: Port::Number(1) },
        };
        let entry = Entry { socket, is_mapped: false, processes: vec![(name.clone(), pid)] };
        for owners in [Owners::Script, Owners::Find, Owners::Named] {
            let text = proc_of(std::slice::from_ref(&entry), owners);
            let capture = read(text.as_bytes());
            prop_assert_eq!(&capture.rows, &[format!("ESTAB 127.0.0.1:7 127.0.0.1:1 {name}:{pid}")], "{}", text);
        }
    }
}
