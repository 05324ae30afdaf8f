//! Captures without `ss`: the tables in `/proc`, `conntrack -L`, and netstat of `BusyBox`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::process::Command;

use eks_netcheck::capture::parser::{Event, Parser};
use eks_netcheck::capture::proc_script::SCRIPT;
use eks_netcheck::capture::reading::CaptureSummary;
use eks_netcheck::evidence::next_step;
use eks_netcheck::evidence::nodes::node;
use eks_netcheck::model::node::NodeStatus;
use eks_netcheck::model::socket::{Host, Port, Socket, SocketAddress, State};
use proptest::prelude::*;
use serde_json::Value;

use crate::common::{Netcheck, copy_of, fixtures, scratch};
use crate::dialects::read;

/// A socket with its processes, as name and id.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    socket: Socket,
    /// Whether an IPv4 connection is in the table of IPv6.
    is_mapped: bool,
    processes: Vec<(String, u32)>,
}

/// The sockets of a capture.
pub(crate) fn entries(mut capture: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut sink = |event: Event<'_>| {
        if let Event::Row(row) = event {
            let name = |comm: &[u8]| String::from_utf8(comm.to_vec()).unwrap();
            let processes = row.processes.map(|process| (name(process.comm), process.pid().unwrap()));
            entries.push(Entry { socket: row.socket, is_mapped: false, processes: processes.collect() });
        }
    };
    let mut parser = Parser::new();
    while parser.read_from(&mut capture, &mut sink).unwrap() > 0 {}
    parser.finish(&mut sink);
    entries
}

/// How a capture of `/proc` lists the owners of sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owners {
    /// As the script does: a line for each process, one for each descriptor, and the names.
    Script,
    /// As find does, and the names; without the first and last line.
    Find,
    /// In one line each.
    Named,
}

/// Prints sockets as the tables in `/proc` with their owners.
fn proc_of(entries: &[Entry], owners: Owners) -> String {
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

fn sorted(mut rows: Vec<String>) -> Vec<String> {
    rows.sort();
    rows
}

fn fixture(path: &str) -> String {
    fs::read_to_string(fixtures().join(path)).unwrap()
}

/// What is missing of a capture of the node `n1`, and its status.
fn gaps(capture: &[u8]) -> (NodeStatus, Vec<String>) {
    let name = "n1".parse().unwrap();
    let summary = CaptureSummary::read(&name, capture, |_| {}).unwrap();
    let node = node(name, summary, next_step::capture);
    (node.status, node.gaps.into_iter().map(|gap| gap.detail).collect())
}

/// The real tables, joined, are what `ss` printed at the same moment, with the processes in
/// the same order.
#[test]
fn real_tables_give_the_rows_of_ss() {
    for moment in ["exec-open-public", "clusterip-and-scrape"] {
        let parts = ["proc_net_tcp", "proc_net_tcp6", "proc_fd", "proc_comm"];
        let text: String = parts.map(|part| fixture(&format!("proc/{moment}/{part}.txt"))).concat();
        let capture = read(text.as_bytes());
        assert!(capture.rejected.is_empty(), "{:?}", capture.rejected);
        assert_eq!(capture.tally.lines(), text.lines().count() as u64);
        let expected = read(fixture(&format!("proc/{moment}/ss_-tanp.txt")).as_bytes()).rows;
        assert_eq!(sorted(capture.rows), sorted(expected), "{moment}");
        assert_eq!(gaps(text.as_bytes()), (NodeStatus::Read, vec![]));
    }
}

/// What pods with several sets of rights printed, next to `ss` in the same pod.
#[test]
fn pods_without_the_right_to_trace_have_no_names() {
    let pods = ["none", "sys-ptrace", "sys-ptrace-alone", "privileged"];
    for pod in pods {
        let text = fixture(&format!("proc/pods/pod-{pod}.txt"));
        let (tables, ss) = text.split_once(">> ss\n").unwrap();
        let capture = read(tables.as_bytes());
        assert!(capture.rejected.is_empty(), "{pod}: {:?}", capture.rejected);
        let rows: BTreeSet<_> = capture.rows.into_iter().filter(|row| row.starts_with("ESTAB")).collect();
        let expected: BTreeSet<_> = read(ss.as_bytes()).rows.into_iter().collect();
        assert_eq!(rows, expected, "{pod}");
        let (status, gaps) = gaps(tables.as_bytes());
        let has_names = pod != "none";
        assert_eq!(status, if has_names { NodeStatus::Read } else { NodeStatus::NoProcessNames }, "{pod}");
        assert_eq!(gaps.len(), usize::from(!has_names), "{pod}: {gaps:?}");
    }
}

/// The script prints the same sockets and processes as `ss`, in the shells of nodes and of
/// images: dash, and `BusyBox` with its own programs.
#[test]
fn the_script_prints_what_ss_does() {
    let listener = TcpListener::bind(("::", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let clients = ["127.0.0.1", "127.0.0.1", "::1"].map(|host| TcpStream::connect((host, port)).unwrap());
    let accepted = [(); 3].map(|()| listener.accept().unwrap());
    // The namespace of process 1 may be another one here.
    let script = SCRIPT.replace("/proc/1/net/", "/proc/self/net/");
    let all = script.replace("; tables &&", "; tables all &&");
    assert_ne!(script, all);
    let own = |text: &[u8]| -> Vec<String> {
        let has_port = |row: &String| row.contains(&format!(":{port}")) && !row.starts_with("LISTEN");
        sorted(read(text).rows.into_iter().filter(has_port).collect())
    };
    let ss = Command::new("ss").arg("-tnp").output().unwrap().stdout;
    let expected = own(&ss);
    assert_eq!(expected.len(), 6, "{expected:#?}");
    let pid = std::process::id().to_string();
    assert!(expected.iter().all(|row| row.ends_with(&pid)), "{expected:#?}");
    let applets = scratch();
    let mut shells = vec![("sh", None)];
    if let Some(busybox) = busybox() {
        for applet in ["cat", "ls", "sed", "sh"] {
            std::os::unix::fs::symlink(&busybox, applets.path().join(applet)).unwrap();
        }
        shells.push(("sh", Some(applets.path())));
    }
    for (shell, path) in shells {
        for (script, has_listeners) in [(&script, false), (&all, true)] {
            let mut command = Command::new(path.map_or(shell.into(), |path| path.join(shell)));
            command.args(["-c", script]);
            if let Some(path) = path {
                command.env("PATH", path);
            }
            let output = command.output().unwrap();
            assert!(output.status.success(), "{path:?}: {output:?}");
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(text.starts_with(">> proc\n") && text.ends_with(">> end counted\n"), "{path:?}: {text}");
            assert_eq!(own(text.as_bytes()), expected, "{path:?}: {text}");
            assert_eq!(gaps(text.as_bytes()), (NodeStatus::Read, vec![]), "{path:?}");
            let listens = |row: &String| row.starts_with(&format!("LISTEN *:{port} "));
            assert_eq!(read(text.as_bytes()).rows.iter().any(listens), has_listeners, "{path:?}");
            no_end_of_a_part_can_be_removed(&text);
        }
    }
    // The commands of docs/evidence.md.
    let by_hand = "cat /proc/self/net/tcp /proc/self/net/tcp6; find /proc/[0-9]*/fd -lname 'socket:*' -printf '%p %l\\n'; \
        for process in /proc/[0-9]*; do echo \"$process $(cat $process/comm)\"; done";
    let output = Command::new("sh").args(["-c", by_hand]).output().unwrap();
    assert_eq!(own(&output.stdout), expected);
    drop((clients, accepted));
}

fn busybox() -> Option<std::path::PathBuf> {
    ["/bin/busybox", "/usr/bin/busybox"]
        .into_iter()
        .map(Into::into)
        .find(|path: &std::path::PathBuf| path.exists())
}

/// An audit of captures of `/proc` has the result of one of `ss`.
#[test]
fn an_audit_of_tables_has_the_result_of_one_of_ss() {
    for story in ["private-only", "public-and-private-stale", "endpoint-black-holed", "ipv6"] {
        let expected = Netcheck::audit(&crate::common::story(story)).json();
        for owners in [Owners::Script, Owners::Find, Owners::Named] {
            let copy = copy_of(story);
            for entry in fs::read_dir(copy.path().join("nodes")).unwrap() {
                let path = entry.unwrap().path();
                let text = proc_of(&entries(&fs::read(&path).unwrap()), owners);
                fs::write(&path, text).unwrap();
            }
            let (report, code) = Netcheck::audit(copy.path()).json();
            assert_eq!(code, expected.1, "{story} {owners:?}");
            for key in ["findings", "gaps", "node_traffic", "connections", "other_connections", "verdict"] {
                assert_eq!(report[key], expected.0[key], "{story} {owners:?} {key}");
            }
        }
    }
}

/// A capture that was cut anywhere, or that lacks a part, is never a pass.
#[test]
fn tables_that_were_cut_are_incomplete() {
    let capture = fs::read(crate::common::story("private-only").join("nodes/n1.txt")).unwrap();
    let entries = entries(&capture);
    for owners in [Owners::Script, Owners::Find, Owners::Named] {
        let text = proc_of(&entries, owners);
        assert_eq!(gaps(text.as_bytes()), (NodeStatus::Read, vec![]), "{owners:?}");
        for length in 0..text.trim_end().len() {
            assert!(!gaps(&text.as_bytes()[..length]).1.is_empty(), "{owners:?} {:?}", &text[..length]);
            // From the beginning, too: of a log that was rotated.
            let rest = &text[length + 1..];
            let is_cut = rest.trim_start() != text.trim_start();
            assert!(!is_cut || !gaps(rest.as_bytes()).1.is_empty(), "{owners:?} {rest}");
        }
        // The built binary, at some of these places.
        let copy = copy_of("private-only");
        for length in (1..text.trim_end().len()).step_by(text.len() / 20) {
            fs::write(copy.path().join("nodes/n1.txt"), &text[..length]).unwrap();
            let ran = Netcheck::audit(copy.path()).run();
            assert_eq!(ran.code, 3, "{owners:?} {length}: {}", ran.stdout);
        }
    }
}

/// Tables that a filter shortened, parts in an order that does not show a cut, and damaged
/// rows.
#[test]
fn tables_of_which_lines_are_missing_are_incomplete() {
    let capture = fs::read(crate::common::story("private-only").join("nodes/n1.txt")).unwrap();
    let entries = entries(&capture);
    let text = proc_of(&entries, Owners::Find);
    let detail = |text: &str| gaps(text.as_bytes()).1.join("; ");
    let lines: Vec<_> = text.lines().collect();
    let rows = lines.iter().enumerate().filter(|(_, line)| line.contains(" 00000000:00000000 02:"));
    for (at, row) in rows {
        let without = |line: &str| {
            let mut lines = lines.clone();
            lines.splice(at..=at, (!line.is_empty()).then_some(line));
            lines.join("\n") + "\n"
        };
        let is_last = !lines[at + 1].contains(" 00000000:00000000 02:");
        if !is_last {
            assert!(detail(&without("")).contains("are missing"), "{row}");
        }
        for damaged in [
            row.replace(": ", " "),
            row.replace(" 01 ", " 1 "),
            row[..60].to_owned(),
            row.replace(" 02:", " "),
        ] {
            assert!(detail(&without(&damaged)).contains("cannot be parsed"), "{damaged}");
        }
    }
    let grep: String =
        text.lines().filter(|line| line.contains(":01BB")).map(|line| line.to_owned() + "\n").collect();
    assert!(!detail(&grep).is_empty());
    let at = text.find("/proc/").unwrap();
    let turned = format!("{}{}", &text[at..], &text[..at]);
    assert!(detail(&turned).contains("may have been cut"), "{}", detail(&turned));
    let only_v4 = text.split("  sl  ").next().unwrap().to_owned()
        + "  sl  "
        + text.split("  sl  ").nth(1).unwrap()
        + &text[at..];
    assert!(detail(&only_v4).contains("lacks the table /proc/net/tcp6"), "{}", detail(&only_v4));
    // Where IPv6 is disabled, the script says so.
    let script = proc_of(&entries, Owners::Script);
    let (before, after) = script.split_once(">> /proc/1/net/tcp6\n").unwrap();
    let (_, after) = after.split_once('\n').unwrap();
    assert_eq!(detail(&format!("{before}>> no /proc/1/net/tcp6\n{after}")), "");
    // A line that only resembles one of such a capture does not make one of another kind.
    let mixed = String::from_utf8(capture).unwrap() + "/proc/1 systemd\n";
    assert_eq!(detail(&mixed), "");
}

/// Captures of several nodes in one file.
#[test]
fn tables_of_several_nodes_in_one_file() {
    let copy = copy_of("private-only");
    let expected = Netcheck::audit(copy.path()).json();
    let mut combined = String::new();
    for node in ["n1", "n2"] {
        let capture = fs::read(copy.path().join(format!("nodes/{node}.txt"))).unwrap();
        // The same inodes and process ids on both.
        write!(combined, ">> node {node} <<\n{}", proc_of(&entries(&capture), Owners::Script)).unwrap();
    }
    fs::remove_dir_all(copy.path().join("nodes")).unwrap();
    let path = copy.path().join("nodes.txt");
    fs::write(&path, &combined).unwrap();
    let (report, code) = Netcheck::audit(copy.path()).json();
    assert_eq!((code, &report["connections"]), (expected.1, &expected.0["connections"]));
    assert_eq!(report["findings"], expected.0["findings"]);
    // That of the first one was cut.
    fs::write(&path, combined.replacen(">> end\n", "", 1)).unwrap();
    let (report, code) = Netcheck::audit(copy.path()).json();
    assert_eq!((code, needed(&report)), (3, vec!["node n1".to_owned()]));
}

/// A capture of any size is joined in bounded memory: what is beyond the bounds is a gap.
#[test]
fn captures_with_too_many_processes_are_incomplete() {
    let tables = "  sl  local_address rem_address   st\n  sl  local_address remote_address st\n";
    let many = |what: &str, middle: &dyn Fn(&mut String, u32)| {
        let mut text = format!(">> proc\n{tables}>> fds\n/proc/1/fd:\n");
        let begin = text.len();
        (0..=1 << 20).for_each(|number| middle(&mut text, number));
        if what == "names" {
            text.insert_str(begin, ">> comm\n/proc/1 a\n");
        } else {
            text += ">> comm\n/proc/1 a\n";
        }
        text += ">> end\n";
        let (_, gaps) = gaps(text.as_bytes());
        let expected = format!("its capture has more than 1048576 {what}; further ones are not read");
        assert!(gaps.iter().any(|gap| gap.contains(&expected)), "{gaps:?}");
    };
    many("descriptors", &|text, number| writeln!(text, "3 socket:[{number}]").unwrap());
    many("names", &|text, number| writeln!(text, "/proc/{} a", number + 2).unwrap());
}

/// Whoever removes lines by hand, be it the last ones of a part with their number, is noticed.
fn no_end_of_a_part_can_be_removed(text: &str) {
    let lines: Vec<_> = text.lines().collect();
    let is_number = |line: &str| line.bytes().all(|byte| byte.is_ascii_digit());
    let numbers: Vec<_> = (0..lines.len()).filter(|at| is_number(lines[*at])).collect();
    // Two tables, the descriptors and the names.
    assert_eq!(numbers.len(), 4, "{text}");
    for at in numbers {
        for removed in [at - 1..at, at - 1..at + 1, at - 2..at, at..at + 1] {
            let rest = [&lines[..removed.start], &lines[removed.end..]].concat().join("\n") + "\n";
            assert!(!gaps(rest.as_bytes()).1.is_empty(), "{removed:?}: {rest}");
        }
    }
}

/// Captures of several machines that were pasted into one file are incomplete, and the
/// processes of one do not have the sockets of the other, whose inodes may be the same.
#[test]
fn tables_of_several_machines_are_incomplete() {
    let copy = copy_of("private-only");
    let of_node = |node: &str, owners| {
        let capture =
            fs::read(crate::common::story("private-only").join(format!("nodes/{node}.txt"))).unwrap();
        proc_of(&entries(&capture), owners)
    };
    for owners in [Owners::Script, Owners::Find, Owners::Named] {
        let pasted = of_node("n1", owners) + &of_node("n2", owners);
        fs::write(copy.path().join("nodes/n1.txt"), &pasted).unwrap();
        let (report, code) = Netcheck::audit(copy.path()).json();
        assert_eq!(code, 3, "{owners:?}");
        assert!(needed(&report).contains(&"node n1".to_owned()), "{owners:?}");
        if owners != Owners::Find {
            let rows = |text: &str| read(text.as_bytes()).rows;
            assert_eq!(rows(&pasted), [rows(&of_node("n1", owners)), rows(&of_node("n2", owners))].concat());
        }
    }
    // A capture that was cut, and a whole one of the same node.
    let whole = of_node("n1", Owners::Script);
    for (length, _) in whole.match_indices('\n') {
        let text = format!("{}{whole}", &whole[..=length]);
        let is_cut = length + 1 < whole.len();
        assert_eq!(gaps(text.as_bytes()).1.is_empty(), !is_cut, "{text}");
    }
    // The beginning and the end of one, as from a terminal that did not keep the middle.
    let lines: Vec<_> = whole.lines().collect();
    let fds = lines.iter().position(|line| *line == ">> fds").unwrap();
    for begin in 1..fds {
        for end in begin + 1..=fds + 1 {
            let text = [&lines[..begin], &lines[end..]].concat().join("\n") + "\n";
            // Rows alone at the end of a table leave no gap in its numbers.
            let are_rows = lines[begin..end].iter().all(|line| line.contains(": "));
            assert!(!gaps(text.as_bytes()).1.is_empty() || are_rows, "{text}");
        }
    }
    fs::write(copy.path().join("nodes/n1.txt"), format!("{whole}{whole}")).unwrap();
    assert_eq!(Netcheck::audit(copy.path()).run().code, 0);
}

/// The subjects of the gaps that a rule needs.
fn needed(report: &Value) -> Vec<String> {
    let gaps = report["gaps"].as_array().unwrap().iter();
    let needed = gaps.filter(|gap| !gap["rules"].as_array().unwrap().is_empty());
    needed.map(|gap| gap["what"].as_str().unwrap().to_owned()).collect()
}

/// A table of sockets that many processes share takes linear time, and says what it left out.
#[test]
fn the_processes_of_a_shared_socket_are_bounded() {
    let socket = |port| Socket {
        state: State::Established,
        local: SocketAddress { host: Host::Ip(Ipv4Addr::LOCALHOST.into()), port: Port::Number(port) },
        peer: SocketAddress { host: Host::Ip(Ipv4Addr::LOCALHOST.into()), port: Port::Number(1) },
    };
    let entry = |processes: u32| Entry {
        socket: socket(7),
        is_mapped: false,
        processes: (1..=processes).map(|pid| ("httpd".to_owned(), pid)).collect(),
    };
    assert_eq!(gaps(proc_of(&[entry(256)], Owners::Script).as_bytes()).1, Vec::<String>::new());
    let (_, details) = gaps(proc_of(&[entry(257)], Owners::Script).as_bytes());
    assert!(details[0].contains("share a socket"), "{details:?}");
}

/// Real entries of conntrack of a node, 192.168.1.20, and of a pod on it, 192.168.1.101: the
/// node's own are those that `ss` printed at the same moment, with the destination of the
/// `ClusterIP` resolved.
#[test]
fn conntrack_shows_the_connections_of_the_node_itself() {
    let copy = copy_of("private-only");
    for file in ["conntrack.txt", "nf_conntrack.txt"] {
        fs::copy(fixtures().join("conntrack").join(file), copy.path().join("nodes/n1.txt")).unwrap();
        let (report, code) = Netcheck::audit(copy.path()).json();
        assert_eq!(code, 3, "{file}");
        let n1 = &report["nodes"][0];
        assert_eq!((&n1["name"], &n1["status"]), (&"n1".into(), &"no-process-names".into()), "{file}");
        assert_eq!(report["node_traffic"][0]["path"], "unknown", "{file}");
        let own: Vec<_> =
            report["connections"].as_array().unwrap().iter().filter(|row| row["node"] == "n1").collect();
        let shown: BTreeSet<_> = own
            .iter()
            .map(|row| {
                assert_eq!(row["process"], Value::Null);
                let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
                [text("state"), text("local"), text("peer"), text("direction"), text("path")].join(" ")
            })
            .collect();
        let expected = [
            "ESTAB 192.168.1.20:10250 192.168.1.55:48443 inbound private-eni",
            // The ClusterIP, 10.100.0.1, and the ENI itself.
            "ESTAB 192.168.1.20:35583 192.168.1.55:443 outbound private-eni",
            "ESTAB 192.168.1.20:59549 192.168.1.55:443 outbound private-eni",
        ];
        assert_eq!(shown, expected.map(ToOwned::to_owned).into(), "{file}");
        let n1 = report["gaps"].as_array().unwrap().iter().filter(|gap| gap["what"] == "node n1");
        let reasons: Vec<_> = n1.map(|gap| gap["why"].as_str().unwrap()).collect();
        assert_eq!(reasons, ["incomplete", "no-process-names"], "{file}");
    }
    // Next to the same moment's ss: the sockets of the node.
    let table = fixture("conntrack/conntrack.txt");
    let rows = read(table.as_bytes()).rows;
    let of_ss = read(fixture("conntrack/ss_-tn.txt").as_bytes()).rows;
    let is_tracked = |row: &String| {
        let (_, addresses) = row.split_once(' ').unwrap();
        let (local, peer) = addresses.split_once(' ').unwrap();
        let peer = peer.replace("10.100.0.1", "192.168.1.55");
        rows.iter()
            .any(|row| row.ends_with(&format!("{local} {peer}")) || row.ends_with(&format!("{peer} {local}")))
    };
    assert_eq!(of_ss.iter().filter(|row| !is_tracked(row)).count(), 0);
    // Of 13 entries, 4 are of the pod, two of which the node only forwards to the ENI.
    assert_eq!(rows.len(), 13);
}

/// Without a name that says which address is the node's own, no entry counts.
#[test]
fn conntrack_of_an_unknown_node_has_no_connections() {
    let copy = copy_of("private-only");
    let table = fixture("conntrack/conntrack.txt");
    for (name, is_known) in [
        ("192.168.1.20", true),
        ("i-00d7b63458527ea51", true),
        ("ip-192-168-1-20", true),
        ("ip-192-168-1-20.ap-northeast-2.compute.internal", true),
        ("worker", false),
        // The address of a pod.
        ("192.168.1.249", false),
    ] {
        fs::remove_dir_all(copy.path().join("nodes")).unwrap();
        fs::create_dir(copy.path().join("nodes")).unwrap();
        fs::write(copy.path().join(format!("nodes/{name}.txt")), &table).unwrap();
        let (report, code) = Netcheck::audit(copy.path()).json();
        assert_eq!(code, 3, "{name}");
        assert_eq!(!report["connections"].as_array().unwrap().is_empty(), is_known, "{name}");
        let details = report["gaps"].to_string();
        assert_eq!(
            !details.contains("none of the connections counts as its own"),
            is_known,
            "{name}: {details}"
        );
        assert_eq!(report["node_traffic"][0]["path"], "unknown", "{name}");
    }
}

/// No entry of conntrack makes an audit pass, wherever a table was cut.
#[test]
fn conntrack_is_never_a_pass() {
    let copy = copy_of("private-only");
    let table = fixture("conntrack/conntrack.txt");
    for length in (0..=table.len()).step_by(table.len() / 40) {
        fs::write(copy.path().join("nodes/n1.txt"), &table[..length]).unwrap();
        let ran = Netcheck::audit(copy.path()).run();
        assert_eq!(ran.code, 3, "{length}: {}", ran.stdout);
    }
    // Cut in an address: the last entry is rejected.
    let at = table.rfind("192.168.1.55").unwrap() + "192.168.1.5".len();
    let capture = read(&table.as_bytes()[..at]);
    assert_eq!(capture.rejected.len(), 6, "{:?}", capture.rejected);
    let (status, details) = gaps(table.as_bytes());
    assert_eq!(status, NodeStatus::NoProcessNames);
    assert!(details.iter().all(|detail| detail.contains("conntrack")), "{details:?}");
    // Beside the sockets of ss, entries of conntrack change nothing.
    let sockets = fs::read_to_string(crate::common::story("private-only").join("nodes/n1.txt")).unwrap();
    fs::write(copy.path().join("nodes/n1.txt"), format!("{sockets}{table}")).unwrap();
    assert_eq!(Netcheck::audit(copy.path()).run().code, 0);
}

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
    let processes = prop::collection::btree_map(1..400_000u32, "[a-z][a-z0-9_-]{0,14}", 1..6);
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

/// The address as a tool prints it.
fn printed(address: &SocketAddress, is_bracketed: bool, is_mapped: bool) -> String {
    let Port::Number(port) = address.port else { unreachable!() };
    let host = match address.ip() {
        None if is_mapped => "::".to_owned(),
        None => "0.0.0.0".to_owned(),
        Some(IpAddr::V4(ip)) if is_mapped => format!("::ffff:{ip}"),
        Some(ip) => ip.to_string(),
    };
    if is_bracketed && host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn ss_of(table: &[Entry]) -> String {
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
