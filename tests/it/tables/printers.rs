//! Prints sockets as each tool does.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use eks_netcheck::model::socket::{Port, SocketAddress, State};

use super::Entry;

/// How a capture of `/proc` lists the owners of sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owners {
    /// As the script does: a line for each process, one for each descriptor, and the names.
    Script,
    /// As find does, and the names; without the first and last line.
    Find,
    /// In one line each.
    Named,
}

/// Prints sockets as the tables in `/proc` with their owners.
pub(super) fn proc_of(entries: &[Entry], owners: Owners) -> String {
    let mut tables = [String::new(), String::new()];
    let mut numbers = [0, 0];
    let mut names = BTreeMap::new();
    let mut descriptors: BTreeMap<u32, Vec<(usize, usize)>> = BTreeMap::new();
    for (at, entry) in entries.iter().enumerate() {
        let ip = |address: &SocketAddress| address.ip().unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        let (local, peer) = (ip(&entry.socket.local), ip(&entry.socket.peer));
        let is_v6 = entry.is_mapped || local.is_ipv6() || peer.is_ipv6();
        let hex = |ip: IpAddr, address: &SocketAddress| {
            let v6 = match ip {
                IpAddr::V4(v4) if v4.is_unspecified() => Ipv6Addr::UNSPECIFIED,
                IpAddr::V4(v4) => v4.to_ipv6_mapped(),
                IpAddr::V6(v6) => v6,
            };
            let octets = match ip {
                IpAddr::V4(v4) if !is_v6 => v4.octets().to_vec(),
                _ => v6.octets().to_vec(),
            };
            let words = octets.chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap()));
            let host = words.map(|word| format!("{word:08X}")).collect::<Vec<_>>().concat();
            let port = match address.port {
                Port::Number(number) => number,
                _ => 0,
            };
            format!("{host}:{port:04X}")
        };
        let state = match entry.socket.state {
            State::Established => 1,
            State::SynSent => 2,
            State::SynRecv => 3,
            State::FinWait1 => 4,
            State::FinWait2 => 5,
            State::TimeWait => 6,
            State::CloseWait => 8,
            State::LastAck => 9,
            State::Listen => 10,
            State::Closing => 11,
            other => panic!("{other:?}"),
        };
        let inode = if entry.processes.is_empty() { 0 } else { 5000 + at };
        writeln!(
            tables[usize::from(is_v6)],
            "{:4}: {} {} {state:02X} 00000000:00000000 02:0000009B 00000000     0        0 {inode} 2 000000007b455b14 20 4 30 42 -1",
            numbers[usize::from(is_v6)],
            hex(local, &entry.socket.local),
            hex(peer, &entry.socket.peer),
        )
        .unwrap();
        numbers[usize::from(is_v6)] += 1;
        for (name, pid) in &entry.processes {
            names.insert(*pid, name);
            descriptors.entry(*pid).or_default().push((3 + at, inode));
        }
    }
    let mut text = String::new();
    if owners != Owners::Find {
        text += ">> proc\n>> /proc/1/net/tcp\n";
    }
    text +=
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
    text += &tables[0];
    if owners != Owners::Find {
        text += ">> /proc/1/net/tcp6\n";
    }
    text += "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
    text += &tables[1];
    match owners {
        Owners::Script => text += ">> fds\n",
        Owners::Find => {}
        Owners::Named => text += ">> owners\n",
    }
    for (pid, descriptors) in &descriptors {
        if owners == Owners::Script {
            writeln!(text, "/proc/{pid}/fd:").unwrap();
        }
        for (fd, inode) in descriptors {
            match owners {
                Owners::Script => writeln!(text, "{fd} socket:[{inode}]"),
                Owners::Find => writeln!(text, "/proc/{pid}/fd/{fd} socket:[{inode}]"),
                Owners::Named => writeln!(text, "{inode} {pid} {fd} {}", names[pid]),
            }
            .unwrap();
        }
    }
    if owners == Owners::Script {
        text += ">> comm\n";
    }
    if owners != Owners::Named {
        for (pid, name) in names {
            writeln!(text, "/proc/{pid} {name}").unwrap();
        }
    }
    if owners != Owners::Find {
        text += ">> end\n";
    }
    text
}

/// The address as a tool prints it.
pub(super) fn printed(address: &SocketAddress, is_bracketed: bool, is_mapped: bool) -> String {
    let Port::Number(port) = address.port else { unreachable!() };
    let host = match address.ip() {
        None if is_mapped => "::".to_owned(),
        None => "0.0.0.0".to_owned(),
        Some(IpAddr::V4(ip)) if is_mapped => format!("::ffff:{ip}"),
        Some(ip) => ip.to_string(),
    };
    if is_bracketed && host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

pub(super) fn ss_of(table: &[Entry]) -> String {
    let mut text = "State Recv-Q Send-Q Local Address:Port Peer Address:Port Process\n".to_owned();
    for Entry { socket, is_mapped, processes } in table {
        let [local, peer] = [&socket.local, &socket.peer].map(|address| printed(address, true, *is_mapped));
        let users: Vec<_> =
            processes.iter().map(|(name, pid)| format!("(\"{name}\",pid={pid},fd=3)")).collect();
        let users = if users.is_empty() { String::new() } else { format!("users:({})", users.join(",")) };
        writeln!(text, "{} 0 0 {local} {peer} {users}", socket.state.as_str()).unwrap();
    }
    text
}

/// netstat, with wide columns, of `BusyBox` or of net-tools.
pub(crate) fn netstat_of(table: &[Entry], is_busybox: bool) -> String {
    let width = if is_busybox { 51 } else { 23 };
    let mut text = "Active Internet connections (w/o servers)\nProto Recv-Q Send-Q Local Address Foreign Address State PID/Program name\n".to_owned();
    for Entry { socket, is_mapped, processes } in table {
        let [local, peer] =
            [&socket.local, &socket.peer].map(|address| printed(address, false, *is_mapped && is_busybox));
        let state = match socket.state {
            State::Established => "ESTABLISHED",
            State::SynSent => "SYN_SENT",
            State::CloseWait => "CLOSE_WAIT",
            State::LastAck => "LAST_ACK",
            State::FinWait1 => "FIN_WAIT1",
            State::FinWait2 => "FIN_WAIT2",
            _ => "CLOSING",
        };
        let process = processes.first().map_or("-".to_owned(), |(name, pid)| format!("{pid}/{name}"));
        writeln!(text, "tcp        0      0 {local:<width$} {peer:<width$} {state:<11} {process:<20}")
            .unwrap();
    }
    text
}
