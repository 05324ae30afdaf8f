//! Real output of `ss` and `netstat`: every version and option gives the same
//! sockets, and no row is lost.

use std::collections::BTreeSet;
use std::path::Path;

use eks_netcheck::capture::parser::{Event, Parser};
use eks_netcheck::model::node::Tally;

use crate::common::{fixtures, subdirs};

/// A parsed capture: each row as `STATE LOCAL PEER COMM:PID...`, each rejected line
/// with its number, and the tally.
pub(crate) struct Capture {
    pub(crate) rows: Vec<String>,
    pub(crate) rejected: Vec<String>,
    pub(crate) tally: Tally,
}

/// Parses a capture.
pub(crate) fn read(mut bytes: &[u8]) -> Capture {
    let (mut rows, mut rejected) = (Vec::new(), Vec::new());
    let mut sink = |event: Event<'_>| match event {
        Event::Row(row) => {
            let names: Vec<_> = row
                .processes
                .map(|process| {
                    let pid = process.pid().map(|pid| pid.to_string()).unwrap_or_default();
                    format!(" {}:{pid}", String::from_utf8_lossy(process.comm))
                })
                .collect();
            let socket = row.socket;
            rows.push(format!(
                "{} {} {}{}",
                socket.state.as_str(),
                socket.local,
                socket.peer,
                names.concat()
            ));
        }
        Event::Rejected { number, text, .. } => {
            rejected.push(format!("{number} {}", String::from_utf8_lossy(text)));
        }
        Event::Node { .. } | Event::Joined(_) => {}
    };
    let mut parser = Parser::new();
    while parser.read_from(&mut bytes, &mut sink).unwrap() > 0 {}
    let tally = parser.finish(&mut sink);
    Capture { rows, rejected, tally }
}

fn read_file(path: &Path) -> Capture {
    let bytes = std::fs::read(path).unwrap();
    let capture = read(&bytes);
    let lines = bytes.split_inclusive(|&byte| byte == b'\n').count() as u64;
    assert_eq!(capture.tally.lines(), lines, "{}", path.display());
    assert_eq!(capture.tally.rows, capture.rows.len() as u64);
    capture
}

/// The connections that were open on the node when the captures were taken.
const CONNECTIONS: [&str; 10] = [
    "CLOSE-WAIT 192.168.2.94:10250 192.168.2.10:56633 kubelet:59",
    "ESTAB 192.168.1.100:50385 192.168.2.94:22 sshd:70 sshd:69",
    "ESTAB 192.168.2.94:10250 192.168.2.10:40225 kubelet:59",
    "ESTAB 192.168.2.94:22 192.168.1.100:50385 sshd:67",
    "ESTAB 192.168.2.94:43453 10.100.0.1:443 aws-k8s-agent:65",
    "ESTAB 192.168.2.94:46227 43.201.141.73:443 kube-proxy:62",
    "ESTAB 192.168.2.94:50239 3.37.234.25:443 kubelet:59",
    "ESTAB [2600:1f13:abc:de01::94]:10250 [2600:1f13:abc:de01::10]:53137 kubelet:59",
    "ESTAB [2600:1f13:abc:de01::94]:35475 [2600:1f13:abc:de01::10]:443 kubelet:59",
    "FIN-WAIT-2 192.168.2.10:56633 192.168.2.94:10250",
];

/// The listeners on the node then; `*`, `0.0.0.0` and `::` all print as `*`.
const LISTENERS: [&str; 4] = [
    "LISTEN *:10250 *:* kubelet:59",
    "LISTEN *:22 *:* sshd:67",
    "LISTEN 127.0.0.1:10248 *:* kubelet:59",
    "LISTEN 127.0.0.53:53 *:* systemd-resolve:66",
];

fn set<'a>(rows: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
    rows.into_iter().collect()
}

/// The row of an established socket as it is parsed without the column of the state, which
/// `ss state established` omits.
fn without_state(row: &str) -> String {
    row.replacen("ESTAB", "UNKNOWN", 1)
}

#[test]
fn every_version_and_option_of_ss_gives_the_same_sockets() {
    let mut checked = 0;
    for entry in std::fs::read_dir(fixtures().join("ss/iproute2")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let capture = read_file(&path);
        assert!(capture.rejected.is_empty(), "{name}: {:?}", capture.rejected);
        let rows = set(capture.rows.iter().map(String::as_str));
        let Some((_, option)) = name.split_once("0-") else { continue };
        checked += 1;
        let option = option.split_once('-').map_or(option, |(option, _)| option);
        let estab = || CONNECTIONS.into_iter().filter(|row| row.starts_with("ESTAB"));
        match option.trim_end_matches(".txt") {
            "tnp" if name.contains("stateestab") => {
                let stateless: Vec<_> = estab().map(without_state).collect();
                assert_eq!(rows, set(stateless.iter().map(String::as_str)), "{name}");
            }
            "tnp" if name.contains("nonroot") => assert_nameless(&name, &rows),
            "tn" => assert_nameless(&name, &rows),
            "tnp" | "HOtnp" | "OtnpieH" => assert_eq!(rows, set(CONNECTIONS), "{name}"),
            "tanpoe" | "tunap" => assert_eq!(rows, set(CONNECTIONS.into_iter().chain(LISTENERS)), "{name}"),
            "tnlp" => assert_eq!(rows, set(LISTENERS), "{name}"),
            // Captured on the whole machine, which also has the peers' sockets.
            "tnpi" => assert!(rows.is_superset(&set(CONNECTIONS)), "{name}: {rows:?}"),
            other => panic!("{name}: unknown option {other}"),
        }
    }
    assert_eq!(checked, 45, "number of captures checked");
}

/// Checks that a capture without process names has the same addresses.
fn assert_nameless(name: &str, rows: &BTreeSet<&str>) {
    for connection in CONNECTIONS {
        let socket = connection.split(' ').take(3).collect::<Vec<_>>().join(" ");
        // Some of these captures were cut off before the last rows.
        let cut = socket.contains("10250 192.168.2.10:40225") || socket.contains("10250 192.168.2.10:56633");
        assert!(rows.contains(socket.as_str()) || cut, "{name} lacks {socket}: {rows:?}");
    }
    assert!(rows.iter().all(|row| row.split(' ').count() == 3), "{name}: {rows:?}");
}

#[test]
fn netstat_output_is_parsed() {
    for (name, rows) in [("netstat-tnp.txt", 16), ("netstat-plant.txt", 25)] {
        let capture = read_file(&fixtures().join("ss/iproute2").join(name));
        assert_eq!(capture.rows.len(), rows, "{name}");
        let has = |row: &str| {
            assert!(
                capture.rows.iter().any(|parsed| parsed == row),
                "{name} lacks {row}: {:#?}",
                capture.rows
            );
        };
        has("ESTAB 192.168.2.94:59501 3.37.234.25:443 python3:59");
        // v4-mapped, printed as bare IPv4
        has("ESTAB 192.168.2.94:10250 192.168.2.10:43119 python3:59");
        has("FIN-WAIT-2 192.168.2.10:35819 192.168.2.94:10250");
        // truncated to its column: shown as truncated, not as another address
        has("ESTAB [2600:1f13:abc:de0...]:59075 [2600:1f13:abc:de01:...]:443 python3:59");
    }
}

#[test]
fn captures_of_a_real_cluster_parse_without_rejected_lines() {
    let dir = fixtures().join("ss/kubernetes");
    let moments = subdirs(&dir);
    assert_eq!(moments.len(), 9, "{moments:?}");
    for moment in moments {
        let has_names = |file: &str| !file.contains("nobody");
        let plain = read_file(&dir.join(&moment).join("ss_-tnp.txt"));
        let expected = set(plain.rows.iter().map(String::as_str));
        for entry in std::fs::read_dir(dir.join(&moment)).unwrap() {
            let path = entry.unwrap().path();
            let file = path.file_name().unwrap().to_str().unwrap();
            let capture = read_file(&path);
            assert!(capture.rejected.is_empty(), "{moment}/{file}: {:?}", capture.rejected);
            let all: BTreeSet<_> = capture.rows.iter().map(String::as_str).collect();
            let rows: BTreeSet<_> = all.iter().copied().filter(|row| !row.starts_with("LISTEN")).collect();
            match file {
                // Captured a little later: short-lived sockets differ.
                "netstat_-tnp.txt" | "ss_-tanpoei.txt" => assert!(!rows.is_empty(), "{moment}/{file}"),
                "ss_-tnp_state_established.txt" => {
                    let estab = expected.iter().copied().filter(|row| row.starts_with("ESTAB"));
                    let stateless: Vec<_> = estab.map(without_state).collect();
                    assert_eq!(rows, set(stateless.iter().map(String::as_str)), "{moment}/{file}");
                }
                _ if has_names(file) => assert_eq!(rows, expected, "{moment}/{file}"),
                _ => assert!(rows.iter().all(|row| row.split(' ').count() == 3), "{moment}/{file}: {rows:?}"),
            }
        }
    }
}

/// Output that Systems Manager cut, at whatever line, is incomplete: also in one file of
/// several nodes.
#[test]
fn output_at_a_limit_of_systems_manager_is_incomplete() {
    let padded = |length: usize| {
        let mut text =
            std::fs::read_to_string(crate::common::story("private-only").join("nodes/n1.txt")).unwrap();
        let mut port = 10_000;
        while text.len() + 80 < length {
            let row = format!("TIME-WAIT 0 0 192.168.1.20:{port} 192.168.1.55:443\n");
            text.push_str(&row);
            port += 1;
        }
        let filler = length - text.len() - 1;
        text + &" ".repeat(filler) + "\n"
    };
    let codes = |length: usize, with_line_feed: bool, is_combined: bool| {
        let copy = crate::common::copy_of("private-only");
        let mut text = padded(length);
        if with_line_feed {
            text.push('\n');
        }
        let n1 = copy.path().join("nodes/n1.txt");
        if is_combined {
            let n2 = std::fs::read_to_string(copy.path().join("nodes/n2.txt")).unwrap();
            std::fs::remove_dir_all(copy.path().join("nodes")).unwrap();
            let nodes = format!(">> node n1 <<\n{text}>> node n2 <<\n{n2}");
            std::fs::write(copy.path().join("nodes.txt"), nodes).unwrap();
        } else {
            std::fs::write(n1, text).unwrap();
        }
        crate::common::Netcheck::audit(copy.path()).run().code
    };
    for is_combined in [false, true] {
        for (length, code) in [(2_498, 0), (2_500, 3), (2_502, 0), (23_998, 0), (24_000, 3), (24_002, 0)] {
            assert_eq!(codes(length, false, is_combined), code, "{length} {is_combined}");
        }
        for length in [2_500, 24_000] {
            assert_eq!(codes(length, true, is_combined), 3, "{length} and a line feed, {is_combined}");
        }
    }
}
